"""Connections that we fetch from: who takes from them, whether they answer, and the files they delivered."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from evenstock.postgres import exceptions
from evenstock.postgres.database import Connection
from evenstock.postgres.exceptions import Cause
from evenstock.postgres.queries import load

SQL: Final = load("sources")
LOCKS: Final = load("locks")
ID_MAX: Final = 2**62
QUARANTINED: Final = "file.quarantined"


async def hold(db: Connection, connection_id: int) -> bool:
    """Take from a connection, as the only one, until the session ends or `let_go`; False while another does."""
    return bool(await db.fetchval(LOCKS.taking, connection_id))


async def let_go(db: Connection, connection_id: int) -> None:
    await db.fetchval(LOCKS.taken, connection_id)


async def answered(db: Connection, connection_id: int, now: datetime) -> None:
    """A connection answered, whatever it had for us."""
    await db.execute(SQL.answered, connection_id, now)


async def failed(db: Connection, connection_id: int, detail: str, now: datetime) -> int:
    """A connection did not answer; how many times in a row."""
    return int(await db.fetchval(SQL.failed, connection_id, now, detail))


async def take_file(
    db: Connection, connection_id: int, name: str, size: int, sha256: bytes, now: datetime
) -> int:
    """A file that is being read from now on; its number."""
    return int(await db.fetchval(SQL.take_file, connection_id, name, size, sha256, now))


async def end_file(
    db: Connection, file_id: int, rows: int, outcomes: Mapping[str, int], now: datetime
) -> None:
    """A file that was read to its end."""
    counts = msgspec.json.encode(outcomes).decode()
    await db.execute(SQL.end_file, file_id, "done", rows, counts, None, None, now)


async def quarantine_file(
    db: Connection, file_id: int, rows: int | None, code: str, detail: str, cause: Cause, now: datetime
) -> None:
    """A file that cannot be used, and the exception that shows it."""
    async with db.transaction():
        await db.execute(SQL.end_file, file_id, "quarantined", rows, "{}", code, detail, now)
        await exceptions.open_causes(db, [cause], now)


async def quarantined(db: Connection, prefix: str) -> list[str]:
    """What the open exceptions about files whose subject begins so are about."""
    return [row["subject"] for row in await db.fetch(SQL.quarantined, prefix)]


async def absent(db: Connection, location: str, scope: str, at: datetime) -> tuple[int, list[str]]:
    """How many items a location was counted at that instant, in a bucket or on hand; and the skus of what is there and was not."""
    counted = await db.fetchval(SQL.counted, location, scope, at)
    return int(counted), [row["sku"] for row in await db.fetch(SQL.absent, location, scope, at)]


async def held_at(db: Connection, connection_id: int, at: datetime) -> int:
    """How many lines of a connection's facts of that instant wait for something else than their item."""
    return int(await db.fetchval(SQL.held_at, connection_id, at))


class FileRow(msgspec.Struct, frozen=True):
    """A delivered file as its reader sees it. `outcomes` counts the events of its rows, and the rows that became none."""

    id: str
    connection: str
    name: str
    size: int
    sha256: str
    status: str
    rows: int | None
    outcomes: dict[str, int]
    code: str | None
    detail: str | None
    taken_at: datetime
    done_at: datetime | None


def public_file_id(file_id: int) -> str:
    """`fil_0000000042`."""
    return f"fil_{file_id:010d}"


async def page(
    db: Connection, *, before: int | None, status: str | None, connection: str | None, limit: int
) -> list[FileRow]:
    """Files, newest first."""
    return [_row(row) for row in await db.fetch(SQL.page, before or ID_MAX, status, connection, limit)]


def _row(row: Any) -> FileRow:
    return FileRow(
        public_file_id(row["file_id"]), row["connection"], row["name"], row["size"], row["sha256"], row["status"],
        row["rows"], msgspec.json.decode(row["outcomes"]), row["code"], row["detail"], row["taken_at"], row["done_at"],
    )  # fmt: skip
