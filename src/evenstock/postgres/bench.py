"""What a benchmark asks of the database beside the hub: the raw limit, and a long history in a short time."""

from datetime import datetime
from typing import Final

from evenstock.postgres.database import Connection
from evenstock.postgres.queries import load

SQL: Final = load("bench")
BATCHES_AT_ONCE: Final = 2_000  # of 500 movements


async def raw_start(db: Connection, items: int, locations: int) -> None:
    """Make the tables of the raw limit, empty, with every position filled."""
    await db.execute(SQL.raw_tables)
    await db.execute(SQL.raw_positions, items, locations)


async def raw_batch(db: Connection, rows: str, number: int, now: datetime) -> None:
    """One batch at the raw limit."""
    await db.execute(SQL.raw_batch, rows, number, now)


async def raw_end(db: Connection) -> None:
    await db.execute(SQL.raw_drop)


async def grow(
    db: Connection, movements: int, *, items: int, locations: int, connection_id: int, now: datetime
) -> None:
    """Make the ledger at least this long, with facts, batches and positions that agree."""
    missing = movements - int(await db.fetchval(SQL.count_movements))
    batches = max(0, -(-missing // 500))
    while batches > 0:
        some = min(batches, BATCHES_AT_ONCE)
        async with db.transaction():
            await db.execute(SQL.grow_batches, some, now)
            await db.execute(SQL.grow_facts, connection_id, now)
            await db.execute(SQL.grow_movements, items, locations, now)
            await db.execute(SQL.grow_positions)
            await db.execute(SQL.grow_head)
        batches -= some
    await db.execute(SQL.settle)
    await db.execute(SQL.checkpoint)


async def open_reservations(
    db: Connection, number: int, *, items: int, locations: int, now: datetime
) -> None:
    """Make this many reservations of one unit each, spread over all positions, with claims, entries and counters that agree."""
    async with db.transaction():
        await db.execute(SQL.open_batch, now)
        await db.execute(SQL.open_reservations, number, items, locations, now)
        await db.execute(SQL.open_claims, items, locations)
        await db.execute(SQL.open_entries)
        await db.execute(SQL.open_counters)
    await db.execute(SQL.settle)
    await db.execute(SQL.checkpoint)


async def checkpoint(db: Connection) -> None:
    """Flush what is dirty, so that what follows pays for full pages again."""
    await db.execute(SQL.checkpoint)


async def is_owed(db: Connection) -> bool:
    """Whether a channel is still to be told anything, or to be computed."""
    return bool(await db.fetchval(SQL.is_owed))


async def owed(db: Connection) -> int:
    """How many numbers channels are still to be told, once all are computed; -1 before."""
    return int(await db.fetchval(SQL.owed))


async def untranslated(db: Connection) -> bool:
    """Whether a message still waits for its translation."""
    return bool(await db.fetchval(SQL.untranslated))


async def messages(db: Connection) -> int:
    """How many messages became facts."""
    return int(await db.fetchval(SQL.messages))


async def owe_postings(
    db: Connection, connection: str, number: int, *, items: int, locations: int, now: datetime
) -> None:
    """Make this many postings of one line that are owed to a connection."""
    await db.execute(SQL.owe_postings, connection, number, items, locations, now)
    await db.execute(SQL.settle_postings)
    await db.execute(SQL.checkpoint)


async def head(db: Connection) -> int:
    """The newest number of the ledger."""
    return int(await db.fetchval(SQL.head))


async def lag(db: Connection, since: int, channel: str) -> tuple[int, float, float]:
    """Of movements after a number of the ledger: how many a channel confirmed, and p50 and p99 until it did, in ms."""
    row = await db.fetchrow(SQL.lag, since, channel)
    assert row is not None  # noqa: S101 - an aggregate has one row
    return row["events"], row["lags"][0], row["lags"][1]
