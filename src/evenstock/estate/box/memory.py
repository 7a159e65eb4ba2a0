"""What the hub in the box remembers: dicts in place of tables, changed only by what the rules decided."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from evenstock.core.booking import (
    Alarm,
    Booking,
    CountEntry,
    Known,
    Movement,
    Position,
    PositionKey,
    SlowPosition,
    VoidedCount,
    as_count,
)
from evenstock.core.counting import Loaded, outflow
from evenstock.core.events import Event
from evenstock.core.intake import Fact
from evenstock.core.ledger import Count, add_effect
from evenstock.core.masters import Masters
from evenstock.core.reservations import ClaimBook, Identity, Locked, Reservation, Shipped
from evenstock.core.reservations.claims import ClaimEntry

FactKey = tuple[int, str]  # connection, key
StreamKey = tuple[int, str, str]  # connection, stream, epoch
Status = Literal["applied", "held", "parked", "ignored"]
Hears = Callable[[PositionKey, Position, Position], None]
EMPTY: Final = Position()
NO_CLAIMS: Final = (0, 0)


class Kept(msgspec.Struct):
    """A fact that was accepted, and what became of it."""

    fact: Fact
    event: Event
    status: Status = "applied"
    reason: str | None = None


class Posting(msgspec.Struct, frozen=True, gc=False):
    """What a fact did to one position, as the books are owed it."""

    ledger_seq: int
    fact_id: int
    movements: tuple[Movement, ...]


class Memory:
    """Positions, facts, movements, counts, claims, exceptions, and who waits for whom."""

    def __init__(self, masters: Masters, hears: Hears) -> None:
        self.masters = masters
        self.ledger_seq = 0
        self.positions: dict[PositionKey, Position] = {}
        self.facts: dict[FactKey, Kept] = {}
        self.by_id: dict[int, Kept] = {}
        self.movements: defaultdict[PositionKey, list[Movement]] = defaultdict(list)
        self.counts: defaultdict[PositionKey, list[Count]] = defaultdict(list)  # that stand
        self.counts_of: defaultdict[int, list[tuple[PositionKey, int]]] = defaultdict(list)
        self.count_ids = 0
        self.count_at: dict[int, PositionKey] = {}
        self.voided: dict[int, int] = {}  # fact → the void that took it back
        self.awaited: defaultdict[FactKey, list[int]] = defaultdict(list)
        self.held: dict[tuple[int, int], str] = {}  # (fact, line) → what it waits for
        self.streams: dict[StreamKey, list[int]] = {}
        self.exceptions: dict[tuple[str, str], datetime] = {}
        self.reservations: dict[int, Reservation] = {}
        self.open: dict[Identity, int] = {}
        self.of_order: defaultdict[str, list[int]] = defaultdict(list)
        self.claims: list[ClaimEntry] = []
        self.unclaimed: list[Shipped] = []  # what left and nobody had promised
        self.feed: list[Posting] = []  # in the order of the ledger
        self.touched: dict[PositionKey, None] = {}  # since the referee looked last
        self._hears = hears

    def position(self, key: PositionKey) -> Position:
        return self.positions.get(key, EMPTY)

    def locked(self, ids: Iterable[int]) -> Locked:
        """These reservations, and what their orders have now; positions are anybody's, in one thread."""
        found = {id_: self.reservations[id_] for id_ in ids if id_ in self.reservations}
        for identity in [each.identity for each in found.values()]:
            if identity is not None and (current := self.open.get(identity)) is not None:
                found[current] = self.reservations[current]
        return Locked(self.positions, None, found.values(), None)

    # What the rules ask for (counting §3, load) --------------------------------------------------------------------

    def know(self, slow: dict[PositionKey, SlowPosition]) -> Known:
        """Standing counts from the earliest instant touched on, and what each new count needs."""
        standing = {
            key: [count for count in self.counts[key] if count.counted_at >= position.since]
            for key, position in slow.items()
        }
        loaded = {
            entry.count_id: self._loaded(key, entry)
            for key, position in slow.items()
            for entry in position.counts
        }
        return Known(standing, loaded)

    def _loaded(self, key: PositionKey, entry: CountEntry) -> Loaded:
        counted = entry.counted
        after = [0, 0, 0, 0]
        kept = 0
        for movement in self.movements[key]:
            if movement.occurred_at > counted.counted_at:
                add_effect(after, movement.from_place, movement.to_place, movement.quantity)  # type: ignore[arg-type]
            elif movement.count_id is None and movement.occurred_at > counted.started_at:
                kept += outflow(
                    movement.from_place,  # type: ignore[arg-type]
                    movement.to_place,  # type: ignore[arg-type]
                    movement.quantity,
                    counted.scope,
                    reversal=movement.reverses is not None,
                )
        s, q, d, t = self.position(key).vector
        return Loaded((s - after[0], q - after[1], d - after[2], t - after[3]), kept)

    def counts_to_void(self, fact_id: int, void_fact_id: int) -> list[VoidedCount]:
        """The standing counts of a fact."""
        return [
            VoidedCount(count, *key, void_fact_id)
            for key, count_id in self.counts_of[fact_id]
            for count in self.counts[key]
            if count.count_id == count_id
        ]

    # What the rules decided ----------------------------------------------------------------------------------------

    def write(self, booking: Booking, book: ClaimBook | None, now: datetime) -> None:
        """Append movements, change positions and claims by what was decided, open and close exceptions of state."""
        self.ledger_seq += 1
        claimed = book.changes() if book is not None else {}
        by_fact: dict[int, list[Movement]] = {}
        for movement in booking.movements:
            self.movements[movement.item_id, movement.location_id].append(movement)
            if (moved := by_fact.get(movement.fact_id)) is None:
                moved = by_fact[movement.fact_id] = []
            moved.append(movement)
        for change in booking.changes:
            key = (change.item_id, change.location_id)
            old = self.positions.get(key, EMPTY)
            s, q, d, t = old.vector
            reserved, allocated = claimed.get(key, NO_CLAIMS)
            mark = old.last_counted_at
            if change.counted_at is not None and (mark is None or change.counted_at > mark):
                mark = change.counted_at
            new = Position(
                (s + change.sellable, q + change.quarantine, d + change.damaged, t + change.in_transit),
                old.reserved + reserved,
                old.allocated + allocated,
                mark,
            )
            self._set(key, old, new)
        self.feed += [Posting(self.ledger_seq, fact_id, tuple(moved)) for fact_id, moved in by_fact.items()]
        if book is not None:
            self.keep_claims(book)
        self.ring(booking.alarms, now)

    def write_counts(
        self, new: Sequence[CountEntry], voided: Sequence[VoidedCount], adjusted: dict[int, int]
    ) -> None:
        """New counts with what they adjusted, what old ones adjust now, and without those that were voided."""
        for entry in new:
            key = (entry.counted.item_id, entry.counted.location_id)
            self.counts[key].append(as_count(entry))
            self.counts_of[entry.fact.fact_id].append((key, entry.count_id))
            self.count_at[entry.count_id] = key
        gone = [entry.count.count_id for entry in voided]
        for key in dict.fromkeys(self.count_at[count_id] for count_id in (*adjusted, *gone)):
            self.counts[key] = [
                msgspec.structs.replace(count, adjusted=count.adjusted + adjusted[count.count_id])
                if count.count_id in adjusted
                else count
                for count in self.counts[key]
                if count.count_id not in gone
            ]

    def write_promises(self, book: ClaimBook, now: datetime) -> None:
        """What a desk decided by itself: claims, and their counters on the positions."""
        if not (book.touched or book.entries):
            return
        self.ledger_seq += 1
        alarms = book.alarms()
        for key, (reserved, allocated) in book.changes().items():
            old = self.position(key)
            new = Position(
                old.vector, old.reserved + reserved, old.allocated + allocated, old.last_counted_at
            )
            self._set(key, old, new)
        self.keep_claims(book)
        self.ring(alarms, now)

    def keep_claims(self, book: ClaimBook) -> None:
        self.claims += book.entries
        for found in book.touched.values():
            if found.reservation_id not in self.reservations and found.order_ref is not None:
                self.of_order[found.order_ref].append(found.reservation_id)
            self.reservations[found.reservation_id] = found
            identity = found.identity
            if identity is None:
                continue
            if not found.has_ended:
                self.open[identity] = found.reservation_id
            elif self.open.get(identity) == found.reservation_id:
                del self.open[identity]
        self.unclaimed += [shipped for shipped in book.shipments if shipped.reservation_id is None]

    def ring(self, alarms: Sequence[Alarm], now: datetime) -> None:
        """Exceptions of state begin and end (C16)."""
        for alarm in alarms:
            subject = f"position:{alarm.item_id}@{alarm.location_id}"
            if alarm.opens:
                self.exceptions.setdefault((alarm.code, subject), now)
            else:
                self.exceptions.pop((alarm.code, subject), None)

    def _set(self, key: PositionKey, old: Position, new: Position) -> None:
        self.positions[key] = new
        self.touched[key] = None
        self._hears(key, old, new)
