"""What systems show when they are looked at: whose turn it is, what to look at, and what was seen."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from evenstock.postgres.database import Connection
from evenstock.postgres.queries import load
from evenstock.postgres.rows import tuples

SQL: Final = load("observed")


class Looked(msgspec.Struct, frozen=True):
    """A number that is looked at."""

    channel_id: int
    item_id: int
    channel: str
    sku: str
    scale: int
    code: str | None


class Noted(msgspec.Struct, frozen=True):
    """What was seen of a settled number; `strays`: so many looks in a row it was not `acked`. Units."""

    channel_id: int
    item_id: int
    quantity: int
    strays: int
    acked: int
    channel: str
    sku: str
    scale: int


async def take(
    db: Connection,
    connectors: Sequence[str],
    now: datetime,
    before: datetime,
    asked_before: datetime,
    *,
    whole: bool,
) -> list[int]:
    """Connections that nobody looked at since `before`, or since `asked_before` where a look was asked for; they are the caller's."""
    return [row[0] for row in await db.fetch(SQL.take, now, list(connectors), before, whole, asked_before)]


async def targets(db: Connection, connection_id: int, limit: int) -> list[Looked]:
    """What to look at next."""
    return [Looked(*row.values()) for row in await db.fetch(SQL.targets, connection_id, limit)]


async def named(
    db: Connection, connection_id: int, names: Sequence[tuple[str, str, str]]
) -> dict[int, tuple[int, int, int]]:
    """Channel, item and scale of (channel, sku, code) by their places; those that we do not know are left out."""
    rows = await db.fetch(
        SQL.named,
        connection_id,
        tuples(("n", "h", "s", "k"), ((n, *each) for n, each in enumerate(names))),
    )
    return {row["n"]: (row["channel_id"], row["item_id"], row["scale"]) for row in rows}


async def note(
    db: Connection,
    connection_id: int,
    seen: Sequence[tuple[int, int, int]],
    began: datetime,
    now: datetime,
) -> list[Noted]:
    """Write down what was seen (channel_id, item_id, units) in a look that began then."""
    rows = await db.fetch(SQL.note, connection_id, tuples(("c", "i", "q"), seen), began, now)
    return [Noted(*row.values()) for row in rows]
