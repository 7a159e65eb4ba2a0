"""What a request body may be: its media type, its packing, its size. Every door that reads bodies holds to the same (H6)."""

import zlib
from typing import Final

from evenstock.core.errors import Refusal

BODY_BYTES_MAX: Final = 10 * 1024 * 1024
MEDIA_TYPES: Final = frozenset(
    {"application/json", "application/cloudevents+json", "application/cloudevents-batch+json", ""}
)
GZIP_WINDOW: Final = zlib.MAX_WBITS | 16


def check_head(content_type: str, content_encoding: str, content_length: str) -> bool:
    """Whether the body is packed with gzip, by its headers ("" for one that is not there).

    Raises Refusal `request.media_type`, `request.encoding`, `limit.body`.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        raise Refusal("request.media_type", f"The body is {media_type}.")
    encoding = content_encoding.strip().lower() or "identity"
    if encoding not in {"identity", "gzip"}:
        raise Refusal("request.encoding", f"The body is encoded as {encoding}.")
    check_length(content_length)
    return encoding == "gzip"


def check_length(content_length: str, bytes_max: int = BODY_BYTES_MAX) -> None:
    """Refuse a body for its declared length, before any of it is read.

    Raises Refusal `limit.body`.
    """
    if content_length.isdigit() and int(content_length) > bytes_max:
        raise Refusal(
            "limit.body", f"The body has {int(content_length):,} bytes; at most {bytes_max:,} are read."
        )


def check_size(size: int, bytes_max: int = BODY_BYTES_MAX) -> None:
    """Stop reading a body that has arrived so far.

    Raises Refusal `limit.body`.
    """
    if size > bytes_max:
        raise Refusal("limit.body", f"The body has more than {bytes_max:,} bytes.")


def unpack(body: bytes) -> bytes:
    """A gzip body unpacked, never beyond the limit.

    Raises Refusal `limit.body`, `json.malformed`.
    """
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
