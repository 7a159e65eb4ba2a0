"""Imports of files: how far each is, who works on it, and the masters it makes known."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from evenstock.postgres import masters
from evenstock.postgres.database import Connection
from evenstock.postgres.queries import load

SQL: Final = load("imports")
LOCKS: Final = load("locks")


class ImportKey(msgspec.Struct, frozen=True):
    """The same bytes read by the same mapping are the same import, whatever the files are called."""

    file_sha256: bytes
    mapping_sha256: bytes


async def take(db: Connection, key: ImportKey) -> bool:
    """Take the import for this session, unless another has it; it ends with the session, or by `let_go`."""
    return bool(await db.fetchval(LOCKS.importing, _name(key)))


async def let_go(db: Connection, key: ImportKey) -> None:
    """Let another have the import."""
    await db.fetchval(LOCKS.imported, _name(key))


def _name(key: ImportKey) -> str:
    return key.file_sha256.hex() + key.mapping_sha256.hex()


async def begin(db: Connection, key: ImportKey) -> int:
    """Begin, or go on: the rows that are done. One that was finished begins again."""
    return int(await db.fetchval(SQL.begin, key.file_sha256, key.mapping_sha256))


async def save(db: Connection, key: ImportKey, rows_done: int) -> None:
    await db.execute(SQL.save, key.file_sha256, key.mapping_sha256, rows_done)


async def finish(db: Connection, key: ImportKey, now: datetime) -> None:
    await db.execute(SQL.finish, key.file_sha256, key.mapping_sha256, now)


async def add_masters(
    db: Connection, items: Sequence[dict[str, Any]], locations: Sequence[dict[str, Any]], now: datetime
) -> list[str]:
    """Make what is not known yet, and name what has no name; return the subjects under which lines may have waited."""
    subjects: list[str] = []
    by_id = {location["id"]: location for location in locations}
    if by_id and (new := [row["id"] for row in await db.fetch(SQL.unknown_locations, list(by_id))]):
        plain = {"name": None, "region": None, "count_policy": "low"}
        subjects += await masters.upsert_locations(db, [plain | by_id[id_] for id_ in new], now)
    by_sku = {item["sku"]: item for item in items}
    if by_sku:
        rows = await db.fetch(SQL.items_to_add, list(by_sku), ["name" in item for item in by_sku.values()])
        if rows:
            subjects += await masters.upsert_items(db, [_item(by_sku[row["sku"]], row) for row in rows], now)
    return subjects


def _item(item: dict[str, Any], known: Any) -> dict[str, Any]:
    """The item to write: one that is known keeps its unit and scale."""
    kept = {} if known["base_uom"] is None else {"base_uom": known["base_uom"], "scale": known["scale"]}
    return {"name": None, "gtins": [], "codes": {}, "uoms": {}, "value": None} | item | kept


async def close_mended(db: Connection, code: str, prefix: str, still: Sequence[str], now: datetime) -> None:
    """Close the exceptions of this code about subjects that begin so and are not `still` to be decided."""
    await db.execute(SQL.close_mended, code, prefix, list(still), now)
