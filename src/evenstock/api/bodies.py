"""Request bodies: read as they stream in, unpacked with a hard limit, so that no body can fill the memory (H6)."""

import asyncio
import zlib
from typing import Final

from starlette.requests import ClientDisconnect, Request

from evenstock.core.errors import Refusal

BODY_BYTES_MAX: Final = 10 * 1024 * 1024
RAW_BODY_BYTES_MAX: Final = 2 * 1024 * 1024  # of a webhook
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
    body = await _within(request, within_s, BODY_BYTES_MAX)
    return _unpack(body) if encoding == "gzip" else body


async def read_raw(request: Request, *, within_s: float = BODY_WITHIN_S) -> bytes:
    """The body of a webhook, byte for byte as it was signed.

    Raises Refusal `request.encoding`, `request.slow`, `limit.body`, `json.malformed`.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", ""}:
        raise Refusal("request.encoding", f"The body is encoded as {encoding}; a webhook comes plain.")
    return await _within(request, within_s, RAW_BODY_BYTES_MAX)


async def _within(request: Request, within_s: float, bytes_max: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > bytes_max:
        raise Refusal("limit.body", f"The body has {int(declared):,} bytes; at most {bytes_max:,} are read.")
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
        if size > bytes_max:
            raise Refusal("limit.body", f"The body has more than {bytes_max:,} bytes.")
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
