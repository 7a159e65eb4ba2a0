"""Request bodies: read as they stream in, unpacked with a hard limit, so that no body can fill the memory (H6)."""

import zlib
from typing import Final

from starlette.requests import ClientDisconnect, Request

from evenstock.core.errors import Refusal

BODY_BYTES_MAX: Final = 10 * 1024 * 1024
MEDIA_TYPES: Final = frozenset(
    {"application/json", "application/cloudevents+json", "application/cloudevents-batch+json", ""}
)
GZIP_WINDOW: Final = zlib.MAX_WBITS | 16


async def read(request: Request) -> bytes:
    """The body, unpacked.

    Raises Refusal `request.media_type`, `request.encoding`, `limit.body`, `json.malformed`.
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
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > BODY_BYTES_MAX:
                raise Refusal("limit.body", f"The body has more than {BODY_BYTES_MAX:,} bytes.")
            chunks.append(chunk)
    except ClientDisconnect:
        raise Refusal("json.malformed", "The connection ended before the body did.") from None
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return _unpack(body) if encoding == "gzip" else body


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
    return unpacked
