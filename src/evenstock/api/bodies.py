"""Request bodies: read as they stream in, unpacked with a hard limit, so that no body can fill the memory (H6)."""

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect, Request

from evenstock.core.bodies import check_head, check_size, unpack
from evenstock.core.errors import Refusal

BODY_WITHIN_S: Final = 30.0


async def read(request: Request, *, within_s: float = BODY_WITHIN_S) -> bytes:
    """The body, unpacked.

    Raises Refusal `request.media_type`, `request.encoding`, `request.slow`, `limit.body`, `json.malformed`.
    """
    told = request.headers
    packed = check_head(
        told.get("content-type", ""), told.get("content-encoding", ""), told.get("content-length", "0")
    )
    try:
        async with asyncio.timeout(within_s):
            body = await _arrived(request)
    except TimeoutError:
        raise Refusal("request.slow", f"The body did not arrive within {within_s:g} s.") from None
    except ClientDisconnect:
        raise Refusal("json.malformed", "The connection ended before the body did.") from None
    return unpack(body) if packed else body


async def _arrived(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        check_size(size)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
