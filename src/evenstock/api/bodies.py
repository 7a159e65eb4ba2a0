"""Request bodies: read as they stream in, unpacked with a hard limit, so that no body can fill the memory (H6)."""

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect, Request

from evenstock.core.bodies import BODY_BYTES_MAX, check_head, check_length, check_size, unpack
from evenstock.core.errors import Refusal

RAW_BODY_BYTES_MAX: Final = 2 * 1024 * 1024  # of a webhook
BODY_WITHIN_S: Final = 30.0


async def read(request: Request, *, within_s: float = BODY_WITHIN_S) -> bytes:
    """The body, unpacked.

    Raises Refusal `request.media_type`, `request.encoding`, `request.slow`, `limit.body`, `json.malformed`.
    """
    told = request.headers
    packed = check_head(
        told.get("content-type", ""), told.get("content-encoding", ""), told.get("content-length", "0")
    )
    body = await _within(request, within_s, BODY_BYTES_MAX)
    return unpack(body) if packed else body


async def read_raw(request: Request, *, within_s: float = BODY_WITHIN_S) -> bytes:
    """The body of a webhook, byte for byte as it was signed.

    Raises Refusal `request.encoding`, `request.slow`, `limit.body`, `json.malformed`.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", ""}:
        raise Refusal("request.encoding", f"The body is encoded as {encoding}; a webhook comes plain.")
    check_length(request.headers.get("content-length", "0"), RAW_BODY_BYTES_MAX)
    return await _within(request, within_s, RAW_BODY_BYTES_MAX)


async def _within(request: Request, within_s: float, bytes_max: int) -> bytes:
    try:
        async with asyncio.timeout(within_s):
            return await _arrived(request, bytes_max)
    except TimeoutError:
        raise Refusal("request.slow", f"The body did not arrive within {within_s:g} s.") from None
    except ClientDisconnect:
        raise Refusal("json.malformed", "The connection ended before the body did.") from None


async def _arrived(request: Request, bytes_max: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        check_size(size, bytes_max)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
