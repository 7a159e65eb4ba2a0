"""Signatures of webhooks, over the bytes as they came: made for tests and senders, verified in constant time."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from evenstock.connectors.contract import Hook
from evenstock.core.errors import Refusal

TOLERANCE_S: Final = 300  # between the vendor's clock and ours
VERSION: Final = "v1,"  # of the one symmetric scheme that Standard Webhooks has
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how keys begin, no key
SIGNATURES_MAX: Final = 10  # in one header
ID_MAX: Final = 256  # characters


def sign(hook: Hook, secret: str, id_: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers with which a vendor would send this body."""
    digest = _digest(hook, secret, id_, str(int(at.timestamp())), body)
    encoded = digest.hex() if hook.encoding == "hex" else base64.b64encode(digest).decode()
    if hook.scheme == "standard":
        return {hook.id: id_, hook.timestamp: str(int(at.timestamp())), hook.signature: VERSION + encoded}
    return {hook.id: id_, hook.signature: hook.prefix + encoded}


def verify(
    hook: Hook, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime
) -> None:
    """Whether one of these secrets signed these bytes, lately where the time is signed too.

    Raises Refusal `hook.signature`, `hook.stale`.
    """
    given = headers.get(hook.signature, "")
    if not given:
        raise Refusal("hook.signature", f"The request has no header {hook.signature}.")
    id_, timestamp = headers.get(hook.id, ""), ""
    if hook.scheme == "standard":
        timestamp = headers.get(hook.timestamp, "")
        if not id_ or len(id_) > ID_MAX:
            raise Refusal("hook.signature", f"The request has no usable header {hook.id}.")
        _check_time(hook, timestamp, now)
    expected = [_digest(hook, secret, id_, timestamp, body) for secret in secrets]
    offered = _offered(hook, given)
    matches = [hmac.compare_digest(one, other) for one in expected for other in offered]
    if not any(matches):
        raise Refusal(
            "hook.signature", f"The header {hook.signature} is no signature of these bytes by our secret."
        )


def _check_time(hook: Hook, timestamp: str, now: datetime) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise Refusal("hook.signature", f"The header {hook.timestamp} is no time in seconds.")
    apart = int(now.timestamp()) - int(timestamp)
    if abs(apart) > TOLERANCE_S:
        raise Refusal(
            "hook.stale",
            f"The message was signed {abs(apart):,} s {'ago' if apart > 0 else 'ahead of our clock'}; "
            f"at most {TOLERANCE_S} s are taken.",
        )


def _digest(hook: Hook, secret: str, id_: str, timestamp: str, body: bytes) -> bytes:
    if hook.scheme == "standard":
        return hmac.digest(_key(secret), f"{id_}.{timestamp}.".encode() + body, hashlib.sha256)
    return hmac.digest(secret.encode(), body, hashlib.sha256)


def _key(secret: str) -> bytes:
    """Standard Webhooks writes keys as `whsec_` and base64; any other text is the key itself."""
    if not secret.startswith(SECRET_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise Refusal(
            "secret.unusable", "The connection's secret begins with whsec_ and is not base64."
        ) from None


def _offered(hook: Hook, given: str) -> list[bytes]:
    """The signatures in the header; what is none is left out."""
    if hook.scheme == "standard":
        texts = [part.removeprefix(VERSION) for part in given.split(" ") if part.startswith(VERSION)]
    else:
        texts = [given.removeprefix(hook.prefix)] if given.startswith(hook.prefix) else []
    found = []
    for text in texts[:SIGNATURES_MAX]:
        try:
            found.append(
                bytes.fromhex(text) if hook.encoding == "hex" else base64.b64decode(text, validate=True)
            )
        except ValueError:
            continue
    return found
