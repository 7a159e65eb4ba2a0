"""What needs a person: exceptions by cause, the lines held under them, and what was kept of refused things."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from evenstock.postgres.database import Connection
from evenstock.postgres.queries import load
from evenstock.postgres.rows import tuples

SQL: Final = load("exceptions")
STREAMS: Final = load("streams")


class Cause(msgspec.Struct, frozen=True):
    """Why an exception is open: one for each (code, subject)."""

    code: str
    subject: str
    detail: str = ""
    connection_id: int | None = None
    item_id: int | None = None
    location_id: int | None = None


class HeldRow(msgspec.Struct, frozen=True):
    """A line that waits under an exception."""

    fact_id: int
    line_index: int
    code: str
    subject: str
    exception_id: int
    occurred_at: datetime
    units: str | None = None  # as the line says, in its own unit


class ReleasableLine(msgspec.Struct, frozen=True):
    """A held line whose master has come, with its event."""

    fact_id: int
    line_index: int
    subject: str
    exception_id: int
    connection_id: int
    key: str
    type: str
    body: str
    received_at: datetime
    occurred_at: datetime


StreamKey = tuple[int, str, str]  # connection_id, stream, epoch


def public_id(exception_id: int) -> str:
    return f"exc_{exception_id:08d}"


async def open_causes(db: Connection, causes: Iterable[Cause], now: datetime) -> dict[tuple[str, str], int]:
    """Open these, or find them open; return exception_id by (code, subject)."""
    distinct = {(cause.code, cause.subject): cause for cause in causes}
    if not distinct:
        return {}
    rows = tuples(
        ("c", "s", "o", "i", "l", "d"),
        ((c.code, c.subject, c.connection_id, c.item_id, c.location_id, c.detail) for c in distinct.values()),
    )
    return {
        (row["code"], row["subject"]): row["exception_id"]
        for row in await db.fetch(SQL.open_exceptions, rows, now)
    }


async def close_causes(db: Connection, causes: Iterable[tuple[str, str]], now: datetime) -> None:
    if rows := list(causes):
        await db.execute(SQL.close_exceptions, tuples(("c", "s"), rows), now)


async def hold(db: Connection, rows: Sequence[HeldRow]) -> None:
    if rows:
        values = (
            (r.fact_id, r.line_index, r.code, r.subject, r.exception_id, r.occurred_at, r.units) for r in rows
        )
        await db.execute(SQL.hold_lines, tuples(("a", "i", "c", "s", "e", "o", "u"), values))


async def releasable(
    db: Connection, subjects: Sequence[str], after: tuple[datetime, int, int], limit: int
) -> list[ReleasableLine]:
    """The next lines that wait for these subjects, oldest first."""
    rows = await db.fetch(SQL.lines_to_release, list(subjects), *after, limit)
    return [ReleasableLine(*row.values()) for row in rows]


async def settle(db: Connection, lines: Iterable[tuple[int, int]], now: datetime, ledger_seq: int) -> None:
    """Lines (fact_id, line_index) that are booked now."""
    if rows := list(lines):
        await db.execute(SQL.settle_lines, tuples(("a", "i"), rows), now, ledger_seq)


async def drop(db: Connection, fact_ids: Sequence[int], now: datetime, ledger_seq: int) -> None:
    """The lines still held of facts that were voided."""
    if fact_ids:
        await db.execute(SQL.drop_lines, list(fact_ids), now, ledger_seq)


async def unsettled_lines(db: Connection, fact_id: int) -> list[tuple[int, int]]:
    """The lines of a fact that still wait: (fact_id, line_index)."""
    return [(fact_id, row["line_index"]) for row in await db.fetch(SQL.unsettled_lines, fact_id)]


async def held_voids(db: Connection, source: str, key: str) -> list[int]:
    """Voids of this fact of another source that wait for who owns sales to be settled: their fact_id."""
    return [row["fact_id"] for row in await db.fetch(SQL.held_voids, source, key)]


async def are_unsettled(db: Connection, lines: Sequence[tuple[int, int]]) -> bool:
    """Whether all of these lines (fact_id, line_index) still wait."""
    return bool(await db.fetchval(SQL.count_unsettled, tuples(("a", "i"), lines)) == len(lines))


async def facts_held(db: Connection, fact_ids: Iterable[int]) -> list[int]:
    """Which of these facts are held as a whole."""
    return [row["fact_id"] for row in await db.fetch(SQL.facts_held, sorted(set(fact_ids)))]


async def close_settled(db: Connection, now: datetime) -> None:
    """Exceptions under which no line waits end."""
    await db.execute(SQL.close_settled_exceptions, now)


async def keep_conflicts(db: Connection, rows: Sequence[tuple[int, str, str, int]], now: datetime) -> None:
    """Other contents under a key already used: (connection_id, key, body, exception_id)."""
    if rows:
        await db.execute(SQL.keep_conflicts, tuples(("c", "k", "b", "e"), rows), now)


async def keep_rejected(
    db: Connection, key_id: str, rows: Sequence[tuple[str, str, bytes]], exception_id: int, now: datetime
) -> None:
    """What a device sent and we refused: (code, detail, body)."""
    codes, details, bodies = ([row[column] for row in rows] for column in range(3))
    await db.execute(SQL.keep_rejected, key_id, codes, details, bodies, exception_id, now)


async def load_streams(db: Connection, keys: Sequence[StreamKey]) -> dict[StreamKey, list[int]]:
    rows = await db.fetch(STREAMS.load_streams, tuples(("c", "s", "e"), keys))
    return {(row["connection_id"], row["stream"], row["epoch"]): row["seen"] for row in rows}


async def store_streams(db: Connection, seen: Iterable[tuple[StreamKey, Sequence[int]]]) -> None:
    rows = ((*key, list(ranges)) for key, ranges in seen)
    await db.execute(STREAMS.store_streams, tuples(("c", "s", "e", "r"), rows))
