"""API keys: what may be done with them, and by whom; their secrets are kept only as hashes."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from evenstock.postgres.database import Connection
from evenstock.postgres.queries import load

SQL: Final = load("keys")
PREFIX: Final = "evk_"
KEY_ID_CHARACTERS: Final = 12
SECRET_BYTES: Final = 32


class ApiKey(msgspec.Struct, frozen=True):
    """A key that was shown: what it may do, and for which sources it may speak."""

    key_id: str
    name: str
    scopes: frozenset[str]
    connection_ids: frozenset[int]
    device: bool

    def may(self, scope: str) -> bool:
        """Whether the key may do this: scope `*` may do anything, `events:*` anything with events."""
        return "*" in self.scopes or scope in self.scopes or f"{scope.partition(':')[0]}:*" in self.scopes

    def speaks_for(self, connection_id: int) -> bool:
        return "*" in self.scopes or connection_id in self.connection_ids


async def create(
    db: Connection,
    name: str,
    scopes: Sequence[str],
    connection_ids: Sequence[int],
    now: datetime,
    *,
    device: bool,
) -> tuple[str, str]:
    """Make a key; return its id and the whole key, which is shown only now."""
    key_id = secrets.token_hex(KEY_ID_CHARACTERS // 2)
    secret = secrets.token_urlsafe(SECRET_BYTES)
    digest = hashlib.sha256(secret.encode()).digest()
    await db.execute(SQL.insert_key, key_id, name, digest, list(scopes), list(connection_ids), device, now)
    return key_id, f"{PREFIX}{key_id}_{secret}"


async def find(db: Connection, key: str) -> ApiKey | None:
    """The key that this text is; None when it opens nothing."""
    key_id, _, secret = key.removeprefix(PREFIX).partition("_")
    if not key.startswith(PREFIX) or not secret or not key_id.isascii():
        return None
    row = await db.fetchrow(SQL.key_by_id, key_id)
    digest = hashlib.sha256(secret.encode()).digest()
    if row is None or not hmac.compare_digest(digest, row["secret_sha256"]):
        return None
    return ApiKey(
        row["key_id"], row["name"], frozenset(row["scopes"]), frozenset(row["connection_ids"]), row["device"]
    )


async def every(db: Connection) -> list[dict[str, Any]]:
    """All keys, without their secrets."""
    return [dict(row.items()) for row in await db.fetch(SQL.every_key)]


async def revoke(db: Connection, key_id: str, now: datetime) -> bool:
    """Whether there was such a key to revoke."""
    return await db.fetchval(SQL.revoke, key_id, now) is not None
