"""Reading stock: positions now, as of an instant, as known at a number of the ledger; movements; exceptions."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from evenstock.core.availability import Availability, Held, PositionRow, availability, availability_now
from evenstock.core.quantity import as_number
from evenstock.core.tracing.ids import derived
from evenstock.postgres.database import Connection
from evenstock.postgres.queries import load

SQL: Final = load("stock")
SEQ_MAX: Final = 2**62


class LocationNames:
    """The ids of locations by number; they never change, so a name once read stays."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    async def read(self, db: Connection, wanted: set[int]) -> dict[int, str]:
        if not wanted <= self._names.keys():
            self._names = {row["location_id"]: row["id"] for row in await db.fetch(SQL.location_names)}
        return self._names


class Stand(msgspec.Struct, frozen=True):
    """How an item stands: its positions, as of an instant and as known at a number of the ledger."""

    sku: str
    scale: int
    as_of: datetime
    ledger_seq: int
    rows: list[PositionRow]

    def answer(self) -> Availability:
        """What is answered to whoever asks."""
        return availability(self.sku, self.scale, self.as_of, self.ledger_seq, self.rows)


async def positions_of(
    db: Connection, skus: Sequence[str], names: LocationNames, now: datetime
) -> dict[str, Availability]:
    """Items as they are now, by sku, all in one snapshot; those that are not known are left out."""
    return {
        sku: availability_now(sku, scale, now, ledger_seq, held)
        for sku, scale, ledger_seq, held in await _held(db, skus, names, now)
    }


async def stands_of(
    db: Connection, skus: Sequence[str], names: LocationNames, now: datetime
) -> dict[str, Stand]:
    """How items stand now, the same way."""
    return {
        sku: Stand(
            sku,
            scale,
            now,
            ledger_seq,
            [PositionRow(place, (s, q, d, t), r, a) for place, s, q, d, t, r, a in held],
        )
        for sku, scale, ledger_seq, held in await _held(db, skus, names, now)
    }


async def _held(
    db: Connection, skus: Sequence[str], names: LocationNames, now: datetime
) -> list[tuple[str, int, int, list[Held]]]:
    """What is held of items: sku, scale, ledger_seq, positions. Holds that are over their time hold nothing."""
    rows = await db.fetch(SQL.positions_of, list(skus), now)
    over: dict[tuple[str, int], int] = {}
    if rows and rows[0]["some_are_due"]:
        due = await db.fetch(SQL.due_claims, list(skus), now)
        over = {(row["sku"], row["location_id"]): row["units"] for row in due}
    known = await names.read(db, {location_id for row in rows for location_id in row["location_ids"] or ()})
    found: list[tuple[str, int, int, list[Held]]] = []
    for sku, scale, ledger_seq, _, location_ids, s, q, d, t, counted, allocated in rows:
        held: list[Held] = []
        if location_ids is not None:
            reserved = counted
            if over:
                reserved = [
                    max(0, units - over.get((sku, location_id), 0))
                    for location_id, units in zip(location_ids, counted, strict=True)
                ]
            places = [known[location_id] for location_id in location_ids]
            held = list(zip(places, s, q, d, t, reserved, allocated, strict=True))
        found.append((sku, scale, ledger_seq, held))
    return found


async def position_then(
    db: Connection,
    sku: str,
    names: LocationNames,
    *,
    as_of: datetime | None,
    known_at: int | None,
    now: datetime,
) -> Availability | None:
    """An item as of an instant, as known at a number of the ledger; None when the item is not known."""
    stand = await stand_then(db, sku, names, as_of=as_of, known_at=known_at, now=now)
    return None if stand is None else stand.answer()


async def stand_then(
    db: Connection,
    sku: str,
    names: LocationNames,
    *,
    as_of: datetime | None,
    known_at: int | None,
    now: datetime,
) -> Stand | None:
    """How an item stood at an instant, as known at a number of the ledger; None when the item is not known.

    Claims happen when we commit them, so theirs is the earlier of both on the one axis of the ledger (K1).
    """
    if known_at is not None:
        rows = await db.fetch(SQL.positions_known_at, sku, as_of, known_at)
    else:
        rows = await db.fetch(SQL.positions_as_of, sku, as_of)
    if not rows:
        return None
    known = await names.read(db, {row["location_id"] for row in rows} - {None})
    claims = {
        row["location_id"]: (row["reserved"], row["allocated"])
        for row in await db.fetch(SQL.claims_then, sku, await claims_seq(db, as_of, known_at))
    }
    positions = [
        PositionRow(
            known[row["location_id"]],
            (row["sellable"], row["quarantine"], row["damaged"], row["in_transit"]),
            claimed[0],
            claimed[1],
            observed=row["observed"],
        )
        for row in rows
        if row["location_id"] is not None
        for claimed in (claims.get(row["location_id"], (0, 0)),)
    ]
    if (
        as_of is None
    ):  # all that was known: as of the instant when it was, so that the answer stays the same for ever
        as_of = now if known_at is None else await db.fetchval(SQL.recorded_at, known_at)
    return Stand(sku, rows[0]["scale"], as_of, rows[0]["ledger_seq"], positions)


async def claims_seq(db: Connection, as_of: datetime | None, known_at: int | None) -> int:
    """Until which number of the ledger our own decisions count: the earlier of both, on their one axis (K1)."""
    numbers = [] if known_at is None else [known_at]
    numbers += [] if as_of is None else [await seq_at(db, as_of)]
    return min(numbers, default=SEQ_MAX)


async def seq_at(db: Connection, instant: datetime) -> int:
    """The last number committed at an instant."""
    return int(await db.fetchval(SQL.seq_at, instant))


class MovementRow(msgspec.Struct, frozen=True):
    """A line of the ledger, with the fact behind it."""

    id: str
    ledger_seq: int
    sku: str
    location: str
    from_place: str = msgspec.field(name="from")
    to_place: str = msgspec.field(name="to")
    quantity: int | Decimal
    why: str
    line: str | None
    occurred_at: datetime
    recorded_at: datetime
    source: str
    key: str
    type: str
    trace_id: str


class MovementFilter(msgspec.Struct, frozen=True):
    """Which movements are wanted."""

    sku: str | None = None
    location: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    happened_by: datetime | None = None
    why: str | None = None
    known_at: int | None = None


async def movements(
    db: Connection, wanted: MovementFilter, after: tuple[int, int] | None, limit: int, tag: str
) -> list[MovementRow]:
    """Movements, newest knowledge first, from behind the cursor `after` (ledger_seq, ordinal)."""
    query = SQL.movements if wanted.sku is None else SQL.movements_of_item
    rows = await db.fetch(
        query,
        *(after or (SEQ_MAX, 0)),
        wanted.sku,
        wanted.location,
        wanted.since,
        wanted.until,
        SEQ_MAX if wanted.known_at is None else wanted.known_at,
        limit,
        wanted.why,
        wanted.happened_by,
    )
    return [_movement(row, tag) for row in rows]


def _movement(row: Any, tag: str) -> MovementRow:
    return MovementRow(
        id=f"mov_{row['ledger_seq']}_{row['ordinal']}",
        ledger_seq=row["ledger_seq"],
        sku=row["sku"],
        location=row["location"],
        from_place=row["from_place"],
        to_place=row["to_place"],
        quantity=as_number(row["quantity"], row["scale"]),
        why=row["why"],
        line=row["line"],
        occurred_at=row["occurred_at"],
        recorded_at=row["recorded_at"],
        source=row["source"],
        key=row["key"],
        type=row["type"],
        trace_id=row["trace_id"] or derived(tag, "fact", row["fact_id"]),
    )


async def summary(db: Connection) -> dict[str, Any]:
    """How much there is, for `status`."""
    row = await db.fetchrow(SQL.summary)
    assert row is not None  # noqa: S101 - ledger_head has one row
    return dict(row.items())
