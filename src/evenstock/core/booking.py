"""From claimed facts and locked positions to what is written: one batch, decided in memory (D2).

On-time deltas only add up. A position that is counted, whose count is voided, or that gets a late delta is re-based by
`counting` (D4). Everything is relative, so what is written commutes with what others write.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from evenstock.core.counting import Correction, Delta, Loaded, NewCount, Rebased, Voided, is_late, rebase
from evenstock.core.intake import Counted, Fact, TransferLeg
from evenstock.core.ledger import ZERO, Count, Move, Vector, Why, add_effect

PositionKey = tuple[int, int]  # (item_id, location_id), in the global lock order
NO_CLAIMS: Final[Mapping[PositionKey, tuple[int, int]]] = {}


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A move on its way into the ledger: whose it is, when it happened, what it undoes."""

    fact_id: int
    move: Move
    occurred_at: datetime
    reverses: int | None = None


class CountEntry(msgspec.Struct, frozen=True):
    """A new count on its way into the ledger, with the identity it got."""

    count_id: int
    fact: Fact
    counted: Counted


class VoidedCount(msgspec.Struct, frozen=True):
    """A standing count that a void takes away."""

    count: Count
    item_id: int
    location_id: int
    void_fact_id: int


class Work(msgspec.Struct):
    """Everything that one batch brings."""

    entries: list[Entry] = []
    counts: list[CountEntry] = []
    voided: list[VoidedCount] = []
    legs: list[TransferLeg] = []

    def add(self, fact: Fact) -> None:
        """A claimed fact's own moves."""
        fact_id, occurred_at = fact.fact_id, fact.occurred_at
        self.entries.extend([Entry(fact_id, move, occurred_at) for move in fact.moves])
        self.legs.extend(fact.legs)

    def position_keys(self) -> list[PositionKey]:
        """Every position touched, in the global lock order."""
        touched = {(entry.move.item_id, entry.move.location_id) for entry in self.entries}
        touched.update((entry.counted.item_id, entry.counted.location_id) for entry in self.counts)
        touched.update((voided.item_id, voided.location_id) for voided in self.voided)
        return sorted(touched)


class Position(msgspec.Struct, frozen=True, gc=False):
    """A position as it was when it was locked."""

    vector: Vector = ZERO
    reserved: int = 0
    allocated: int = 0
    last_counted_at: datetime | None = None


class SlowPosition(msgspec.Struct):
    """What a position needs beyond its balances: the earliest instant touched, and its new counts."""

    since: datetime
    deltas: list[Delta] = []
    counts: list[CountEntry] = []
    voided: list[VoidedCount] = []


class Known(msgspec.Struct):
    """What the ledger told about slow positions: standing counts at or after `since`, and about each new count."""

    standing: Mapping[PositionKey, Sequence[Count]] = {}
    loaded: Mapping[int, Loaded] = {}  # by count_id of the new count


class Movement(
    msgspec.Struct,
    frozen=True,
    gc=False,
    omit_defaults=True,
    rename={
        "ordinal": "n", "item_id": "i", "location_id": "l", "from_place": "f", "to_place": "t", "quantity": "q",
        "why": "w", "fact_id": "a", "occurred_at": "o", "line": "e", "count_id": "c", "reverses": "r",
    },
):  # fmt: skip
    """A row of the ledger but for its place in the order; short names, for it travels by the thousand."""

    ordinal: int
    item_id: int
    location_id: int
    from_place: str
    to_place: str
    quantity: int
    why: Why
    fact_id: int
    occurred_at: datetime
    line: str | None = None
    count_id: int | None = None
    reverses: int | None = None


class Change(
    msgspec.Struct,
    frozen=True,
    gc=False,
    omit_defaults=True,
    rename={
        "item_id": "i", "location_id": "l", "sellable": "s", "quarantine": "q", "damaged": "d", "in_transit": "t",
        "counted_at": "c",
    },
):  # fmt: skip
    """How a position changes: relative, always."""

    item_id: int
    location_id: int
    sellable: int = 0
    quarantine: int = 0
    damaged: int = 0
    in_transit: int = 0
    counted_at: datetime | None = None


class Alarm(msgspec.Struct, frozen=True):
    """An exception of state that begins or ends at a position (C16)."""

    code: str
    item_id: int
    location_id: int
    opens: bool


class Booking(msgspec.Struct):
    """What one batch writes."""

    movements: list[Movement] = []
    changes: list[Change] = []
    adjusted: dict[int, int] = {}  # of counts that stood, and of new ones
    alarms: list[Alarm] = []


def slow_positions(work: Work, positions: Mapping[PositionKey, Position]) -> dict[PositionKey, SlowPosition]:
    """The positions that cannot just be added up: counted, un-counted, or touched at or before their last count."""
    slow: dict[PositionKey, SlowPosition] = {}
    for count in work.counts:
        spot = (count.counted.item_id, count.counted.location_id)
        _touch(slow, spot, count.counted.counted_at).counts.append(count)
    for voided in work.voided:
        _touch(slow, (voided.item_id, voided.location_id), voided.count.counted_at).voided.append(voided)
    for entry in work.entries:
        spot = (entry.move.item_id, entry.move.location_id)
        if is_late(entry.occurred_at, positions[spot].last_counted_at):
            _touch(slow, spot, entry.occurred_at)
    if slow:
        for entry in work.entries:
            spot = (entry.move.item_id, entry.move.location_id)
            if spot in slow:
                _touch(slow, spot, entry.occurred_at).deltas.append(_delta(entry))
    return slow


def _touch(slow: dict[PositionKey, SlowPosition], spot: PositionKey, at: datetime) -> SlowPosition:
    """The slow position there, reaching back at least to this instant."""
    found = slow.get(spot)
    if found is None:
        found = slow[spot] = SlowPosition(at)
    elif at < found.since:
        found.since = at
    return found


def _delta(entry: Entry) -> Delta:
    move = entry.move
    return Delta(
        entry.occurred_at,
        entry.fact_id,
        move.from_place,
        move.to_place,
        move.quantity,
        reversal=entry.reverses is not None,
    )


def book(
    work: Work,
    positions: Mapping[PositionKey, Position],
    slow: Mapping[PositionKey, SlowPosition],
    known: Known,
    claimed: Mapping[PositionKey, tuple[int, int]] = NO_CLAIMS,
) -> Booking:
    """What the batch writes, decided from what was locked and loaded; `claimed`: how claims change beside it."""
    booking = Booking([_movement(ordinal, entry) for ordinal, entry in enumerate(work.entries)])
    totals: dict[PositionKey, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for entry in work.entries:
        move = entry.move
        spot = (move.item_id, move.location_id)
        if spot not in slow:
            add_effect(totals[spot], move.from_place, move.to_place, move.quantity)
    counted_at: dict[PositionKey, datetime] = {}
    for spot, position in slow.items():
        rebased = _rebase(position, known, spot)
        totals[spot] = list(rebased.change)
        booking.adjusted.update(rebased.adjusted)
        for correction in rebased.corrections:
            booking.movements.append(_correction(len(booking.movements), spot, correction))
        if position.counts:
            counted_at[spot] = max(entry.counted.counted_at for entry in position.counts)
    for spot in claimed:
        totals[spot]  # claims alone may begin or end an alarm
    for spot in sorted(totals):
        s, q, d, t = total = totals[spot]
        booking.changes.append(Change(spot[0], spot[1], s, q, d, t, counted_at.get(spot)))
        booking.alarms.extend(
            _alarms(spot, positions[spot], total, sum(claimed[spot]) if spot in claimed else 0)
        )
    return booking


def _rebase(position: SlowPosition, known: Known, spot: PositionKey) -> Rebased:
    voided_ids = {voided.count.count_id for voided in position.voided}
    standing = known.standing.get(spot, ())
    locked = {
        count.count_id: count for count in standing
    }  # as it is now: others may have re-based it before the lock
    return rebase(
        deltas=position.deltas,
        new=[
            NewCount(as_count(entry), entry.fact.fact_id, known.loaded[entry.count_id])
            for entry in position.counts
        ],
        voided=[
            Voided(locked.get(voided.count.count_id, voided.count), voided.void_fact_id)
            for voided in position.voided
        ],
        standing=[count for count in standing if count.count_id not in voided_ids],
    )


def as_count(entry: CountEntry) -> Count:
    """A new count as the rules see it."""
    counted = entry.counted
    return Count(
        count_id=entry.count_id,
        key=(entry.fact.source, entry.fact.key, counted.line),
        scope=counted.scope,
        started_at=counted.started_at,
        counted_at=counted.counted_at,
        quantity=counted.quantity,
        opening=counted.opening,
    )


def _movement(ordinal: int, entry: Entry) -> Movement:
    move = entry.move
    return Movement(
        ordinal, move.item_id, move.location_id, move.from_place, move.to_place, move.quantity, move.why,
        entry.fact_id, entry.occurred_at, move.line, None, entry.reverses,
    )  # fmt: skip


def _correction(ordinal: int, spot: PositionKey, correction: Correction) -> Movement:
    return Movement(
        ordinal, *spot, correction.from_place, correction.to_place, correction.quantity, "count",
        correction.fact_id, correction.at, None, correction.count_id,
    )  # fmt: skip


def is_overcommitted(sellable: int, claimed: int) -> bool:
    """Whether more is promised at a position than there is."""
    return claimed > max(sellable, 0)


def alarms_of(vector: Sequence[int], claimed: int = 0) -> set[str]:
    """The exceptions of state that a balance and its claims have, whatever their history (C16)."""
    codes = set()
    if min(vector[:3]) < 0:
        codes.add("stock.negative")
    if vector[3] < 0:
        codes.add("stock.in_transit_negative")
    if is_overcommitted(vector[0], claimed):
        codes.add("stock.overcommitted")
    return codes


def _alarms(spot: PositionKey, before: Position, change: Sequence[int], claims: int) -> Sequence[Alarm]:
    vector = before.vector
    after = (vector[0] + change[0], vector[1] + change[1], vector[2] + change[2], vector[3] + change[3])
    claimed = before.reserved + before.allocated
    if not (claimed or claims) and min(vector) >= 0 and min(after) >= 0:
        return ()
    had, has = alarms_of(vector, claimed), alarms_of(after, claimed + claims)
    return [Alarm(code, *spot, opens=code in has) for code in sorted(had ^ has)]
