"""Request bodies: read as they stream in, unpacked with a hard limit, so that no body can fill the memory (H6)."""

import asyncio
import zlib
from typing import Final

from starlette.requests import ClientDisconnect, Request

from evenstock.core.errors import Refusal

BODY_BYTES_MAX: Final = 10 * 1024 * 1024
BODY_WITHIN_S: Final = 30.0
MEDIA_TYPES: Final = frozenset(
    {"application/json", "application/cloudevents+json", "application/cloudevents-batch+json", ""}
)
GZIP_WINDOW: Final = zlib.MAX_WBITS | 16


async def read(request: Request, *, within_s: float = BODY_WITHIN_S) -> bytes:
    """The body, unpacked.

    Raises Refusal `request.media_type`, `request.encoding`, `request.slow`, `limit.body`, `json.malformed`.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        raise Refusal("request.media_type", f"The body is {media_type}.")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", ""}:
        raise Refusal("request.encoding", f"The body is encoded as {encoding}.")
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > BODY_BYTES_MAX:
        raise Refusal(
            "limit.body", f"The body has {int(declared):,} bytes; at most {BODY_BYTES_MAX:,} are read."
        )
    try:
        async with asyncio.timeout(within_s):
            body = await _arrived(request)
    except TimeoutError:
        raise Refusal("request.slow", f"The body did not arrive within {within_s:g} s.") from None
    except ClientDisconnect:
        raise Refusal("json.malformed", "The connection ended before the body did.") from None
    return _unpack(body) if encoding == "gzip" else body


async def _arrived(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise Refusal("limit.body", f"The body has more than {BODY_BYTES_MAX:,} bytes.")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _unpack(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(GZIP_WINDOW)
    try:
        unpacked = unpacker.decompress(body, BODY_BYTES_MAX + 1)
    except zlib.error as error:
        raise Refusal("json.malformed", f"The body is not gzip: {error}.") from None
    if len(unpacked) > BODY_BYTES_MAX:
        raise Refusal("limit.body", f"The body unpacks to more than {BODY_BYTES_MAX:,} bytes.")
    if not unpacker.eof:
        raise Refusal("json.malformed", "The gzip body ends in the middle.")
    if unpacker.unused_data:
        raise Refusal("json.malformed", "Something follows the end of the gzip body.")
    return unpacked
