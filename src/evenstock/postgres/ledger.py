"""The ledger in PostgreSQL: keys claimed, positions locked, batches numbered and written. Nothing else writes it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from evenstock.core.booking import (
    Booking,
    CountEntry,
    Known,
    Position,
    PositionKey,
    SlowPosition,
    VoidedCount,
)
from evenstock.core.counting import Loaded
from evenstock.core.intake import Fact, TransferLeg
from evenstock.core.ledger import Count, Move
from evenstock.postgres.database import Connection, Record
from evenstock.postgres.queries import load
from evenstock.postgres.rows import document, integers, lines, tuples

SQL: Final = load("ledger")
COUNTS: Final = load("counts")
MONTHS_AHEAD: Final = 3

FactKey = tuple[int, str]  # (connection_id, key)
Observed = tuple[int, int, str, datetime]  # what a count is about: item_id, location_id, scope, counted_at


class Head(msgspec.Struct, frozen=True):
    """What a writer knows when it begins."""

    batch_id: int
    waiting: int
    parkings: int
    ledger_seq: int
    tag: str
    version: int


class Place(msgspec.Struct, frozen=True):
    """A batch's place in the order."""

    ledger_seq: int
    recorded_at: datetime
    parkings: int


class Claimed(msgspec.Struct, frozen=True):
    """What a batch got hold of: those of its facts whose key was free, and the positions it asked for."""

    head: Head
    new: list[Fact]
    positions: dict[PositionKey, Position]


class StoredFact(msgspec.Struct, frozen=True):
    """What stands under a key."""

    fact_id: int
    connection_id: int
    key: str
    type: str
    status: str
    reason: str | None
    trace_id: str | None
    body: str
    received_at: datetime


async def begin(db: Connection) -> Head:
    row = await db.fetchrow(SQL.begin_batch)
    assert row is not None  # noqa: S101 - two one-row tables
    return Head(
        row["batch_id"], row["waiting"], row["parkings"], row["ledger_seq"], row["tag"], row["version"]
    )


async def prepare_storage(db: Connection, tag: str, now: datetime) -> None:
    """Partitions for the months to come, and the tag of this ledger's trace ids where it has none."""
    await db.execute(SQL.ensure_partitions, now, MONTHS_AHEAD)
    if tag:
        await db.execute(SQL.set_tag, tag)


async def tag(db: Connection) -> str:
    """The first half of the trace ids of this ledger."""
    return str(await db.fetchval(SQL.tag))


async def invariants(db: Connection) -> int:
    """How many invariants this schema states."""
    return int(await db.fetchval(SQL.invariants))


async def head(db: Connection) -> tuple[int, datetime]:
    """The newest committed ledger_seq and its recorded_at."""
    row = await db.fetchrow(SQL.head)
    assert row is not None  # noqa: S101 - a one-row table
    return row["ledger_seq"], row["recorded_at"]


async def claim(db: Connection, facts: Sequence[Fact], spots: Sequence[PositionKey]) -> Claimed:
    """Begin a batch: take the keys of its facts, which come in key order, then lock these positions."""
    rows = [
        {
            "c": fact.connection_id,
            "k": fact.key,
            "t": fact.type,
            "s": "held" if fact.held and not (fact.moves or fact.counts) else "applied",
            "o": fact.occurred_at,
            "b": fact.time_basis,
            "v": fact.received_at,
            "i": fact.trace_id,
            "x": fact.ticket,
        }
        for fact in facts
    ]
    found = await db.fetchrow(
        SQL.claim,
        document(rows),
        lines(fact.body for fact in facts),
        integers(spot[0] for spot in spots),
        integers(spot[1] for spot in spots),
    )
    assert found is not None  # noqa: S101 - two one-row tables
    head, (fact_ids, connection_ids, keys), columns = Head(*found[:6]), found[6:9], found[9:]
    fact_ids = fact_ids or []
    if len(fact_ids) == len(facts):
        new = list(facts)
    else:
        taken = set(zip(connection_ids or (), keys or (), strict=True))
        new = [fact for fact in facts if (fact.connection_id, fact.key) in taken]
    for fact, fact_id in zip(new, fact_ids, strict=True):
        fact.fact_id = fact_id
    return Claimed(head, new, _positions(zip(*columns, strict=True)) if columns[0] else {})


def _positions(rows: Iterable[tuple[Any, ...]]) -> dict[PositionKey, Position]:
    return {
        (item, location): Position((s, q, d, t), reserved, allocated, counted_at)
        for item, location, s, q, d, t, reserved, allocated, counted_at in rows
    }


async def stored(db: Connection, keys: Iterable[FactKey]) -> dict[FactKey, StoredFact]:
    """The facts that stand under these keys."""
    wanted = list(keys)
    if not wanted:
        return {}
    rows = await db.fetch(SQL.claimed_before, [key[0] for key in wanted], [key[1] for key in wanted])
    return {(row["connection_id"], row["key"]): StoredFact(*row.values()) for row in rows}


async def own_moves(db: Connection, fact_id: int) -> list[tuple[Move, datetime]]:
    """The moves that a fact itself made, with their instant."""
    rows = await db.fetch(SQL.own_movements, fact_id)
    return [(Move(*list(row.values())[:7]), row["occurred_at"]) for row in rows]


async def create_positions(db: Connection, keys: Sequence[PositionKey]) -> int:
    """Make those of these positions that are missing, outside of any batch; how many there were."""
    done = await db.execute(SQL.create_positions, [key[0] for key in keys], [key[1] for key in keys])
    return int(done.rpartition(" ")[2])  # INSERT 0 n


async def lock_positions(db: Connection, keys: Sequence[PositionKey]) -> dict[PositionKey, Position]:
    """Lock positions in the global order and tell their balances."""
    rows = await db.fetch(
        SQL.lock_positions, integers(key[0] for key in keys), integers(key[1] for key in keys)
    )
    return _positions(tuple(row) for row in rows)


async def new_count_ids(db: Connection, number: int) -> list[int]:
    return [row["count_id"] for row in await db.fetch(COUNTS.new_count_ids, number)]


async def know(
    db: Connection, slow: Mapping[PositionKey, SlowPosition], positions: Mapping[PositionKey, Position]
) -> Known:
    """What the rules need of slow positions: one statement each, for all of them, after the lock (counting §3.4)."""
    touched = tuples(("i", "l", "s"), ((*key, position.since) for key, position in slow.items()))
    standing: dict[PositionKey, list[Count]] = {}
    for row in await db.fetch(COUNTS.standing_counts, touched):
        standing.setdefault((row["item_id"], row["location_id"]), []).append(_count(row))
    entries = [entry for position in slow.values() for entry in position.counts]
    loaded: dict[int, Loaded] = {}
    if entries:
        kept = await _kept(db, entries)
        instants = tuples(
            ("c", "i", "l", "e"),
            ((e.count_id, e.counted.item_id, e.counted.location_id, e.counted.counted_at) for e in entries),
        )
        after = {row["count_id"]: row for row in await db.fetch(COUNTS.moved_after, instants)}
        for entry in entries:
            now = positions[entry.counted.item_id, entry.counted.location_id].vector
            _, s, q, d, t = after[entry.count_id]
            loaded[entry.count_id] = Loaded(
                (now[0] - s, now[1] - q, now[2] - d, now[3] - t), kept.get(entry.count_id, 0)
            )
    return Known(standing, loaded)


async def _kept(db: Connection, entries: Sequence[CountEntry]) -> dict[int, int]:
    intervals = [entry for entry in entries if entry.counted.started_at < entry.counted.counted_at]
    if not intervals:
        return {}
    rows = tuples(
        ("c", "i", "l", "b", "e", "s"),
        (
            (
                e.count_id, e.counted.item_id, e.counted.location_id,
                e.counted.started_at, e.counted.counted_at, e.counted.scope,
            )
            for e in intervals
        ),
    )  # fmt: skip
    return {row["count_id"]: row["kept"] for row in await db.fetch(COUNTS.left_within, rows)}


def _count(row: Record) -> Count:
    return Count(
        count_id=row["count_id"],
        key=(row["source"], row["key"], row["line"]),
        scope=row["scope"],
        started_at=row["started_at"],
        counted_at=row["counted_at"],
        quantity=row["quantity"],
        opening=row["opening"],
        adjusted=row["adjusted"],
    )


async def counts_of(db: Connection, fact_id: int, void_fact_id: int) -> list[VoidedCount]:
    """The standing counts of a fact, about to be voided."""
    return [
        VoidedCount(_count(row), row["item_id"], row["location_id"], void_fact_id)
        for row in await db.fetch(COUNTS.counts_of_fact, fact_id)
    ]


async def write(db: Connection, batch_id: int, now: datetime, booking: Booking) -> Place:
    """Number the batch and write its movements and positions; the ledger's order is held from here to the COMMIT."""
    row = await db.fetchrow(
        SQL.number_and_write, batch_id, now, document(booking.movements), document(booking.changes)
    )
    assert row is not None  # noqa: S101 - ledger_head has one row
    return Place(row["ledger_seq"], row["recorded_at"], row["parkings"])


async def write_counts(
    db: Connection,
    entries: Sequence[CountEntry],
    voided: Sequence[VoidedCount],
    adjusted: Mapping[int, int],
    born_voided: Sequence[int],
) -> None:
    """New counts with what they adjusted, what old ones adjust now, and those that do not stand (any more)."""
    new = {entry.count_id for entry in entries}
    if entries:
        rows = (
            (
                e.count_id, e.fact.fact_id, e.fact.source, e.fact.key, e.counted.line, e.counted.item_id,
                e.counted.location_id, e.counted.scope, e.counted.started_at, e.counted.counted_at,
                e.counted.quantity, e.counted.opening, adjusted.get(e.count_id, 0),
            )
            for e in entries
        )  # fmt: skip
        await db.execute(
            COUNTS.insert_counts,
            tuples(("c", "a", "o", "k", "e", "i", "l", "s", "b", "t", "q", "p", "j"), rows),
        )
    if old := [(count_id, change) for count_id, change in adjusted.items() if count_id not in new]:
        await db.execute(COUNTS.adjust_counts, tuples(("c", "j"), old))
    if fallen := [*(entry.count.count_id for entry in voided), *born_voided]:
        await db.execute(COUNTS.void_counts, fallen)


async def conflicting_counts(db: Connection, observed: Sequence[Observed]) -> set[Observed]:
    """Of which of these the standing counts disagree (C5)."""
    found = await db.fetch(COUNTS.conflicting_counts, tuples(("i", "l", "s", "t"), observed))
    return {(row["item_id"], row["location_id"], row["scope"], row["counted_at"]) for row in found}


async def add_transfers(
    db: Connection, legs: Sequence[TransferLeg]
) -> list[tuple[str, int, int, int, int, int]]:
    """Add to transfers' sums; return each touched line: transfer, item, from, to, shipped, received."""
    sums: dict[tuple[str, int, int, int], list[int]] = {}
    for leg in legs:
        total = sums.setdefault((leg.transfer, leg.item_id, leg.from_location_id, leg.to_location_id), [0, 0])
        total[0] += leg.shipped
        total[1] += leg.received
    rows = tuples(("t", "i", "f", "l", "s", "r"), ((*key, *total) for key, total in sums.items()))
    return [tuple(row.values()) for row in await db.fetch(SQL.add_transfers, rows)]
