"""The hub in the box: a thin shell that calls the rules of `core` in the order in which the pipeline does.

prepare → claim keys → relate voids → load → decide (book, Desk) → write. One thread, so nothing is locked; a batch that a
crash hits before its commit has left nothing behind, for everything is written at the end.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from evenstock.core.booking import CountEntry, Entry, Known, Work
from evenstock.core.errors import Refusal
from evenstock.core.events import Event
from evenstock.core.intake import Fact, HeldLine
from evenstock.core.masters import Item, Masters
from evenstock.core.ordering import gaps
from evenstock.core.reservations import Answer as Promised
from evenstock.core.reservations import ClaimBook, Command, Dock, Expire, Refused, Reserve, Shipped
from evenstock.core.voids import came_back, negative, reverse
from evenstock.estate.box.memory import EMPTY, FactKey, Hears, Kept, Memory, StreamKey
from evenstock.estate.box.rules import Rules

Outcome = Literal["applied", "duplicate", "parked", "held", "conflict", "rejected", "ignored"]
TAKEN: frozenset[Outcome] = frozenset({"applied", "duplicate", "parked", "held", "ignored"})


class Arrived(NamedTuple):
    """An event at the door."""

    event: Event
    connection_id: int
    received_at: datetime


class Batch:
    """What a batch is going to do."""

    def __init__(self) -> None:
        self.new: list[Kept] = []
        self.own: dict[FactKey, Kept] = {}
        self.work = Work()
        self.counts: list[CountEntry] = []
        self.born_voided: list[CountEntry] = []
        self.voids: dict[int, int] = {}
        self.shipped: list[Fact] = []
        self.unshipped: list[int] = []  # facts
        self.opens: list[tuple[str, str]] = []
        self.closes: list[tuple[str, str]] = []
        self.dropped: list[int] = []  # facts whose held lines wait no more


class Hub:
    """Facts in, promises out. `now` is handed in; there is no clock."""

    def __init__(self, masters: Masters, hears: Hears, rules: Rules) -> None:
        self.rules = rules
        self.memory = Memory(masters, hears)
        self._fact_ids = 0
        self._reservation_ids = 0

    # Facts ---------------------------------------------------------------------------------------------------------

    def apply(self, arrived: Sequence[Arrived], now: datetime) -> list[Outcome]:
        """Apply a batch, and say what became of each event."""
        batch = Batch()
        outcomes = [self._claim(batch, each) for each in arrived]
        batch.new.sort(key=lambda kept: (kept.fact.connection_id, kept.fact.key))
        for kept in batch.new:
            self._fact_ids += 1
            kept.fact.fact_id = self._fact_ids
            self._collect(batch, kept.fact)
        self._relate(batch)
        self._finish(batch, now)
        return [self._outcome(batch, each, outcome) for each, outcome in zip(arrived, outcomes, strict=True)]

    def _claim(self, batch: Batch, arrived: Arrived) -> Outcome:
        """The first under a key has it for ever (C2)."""
        event = arrived.event
        try:
            fact = self.rules.prepare(
                event,
                b"",
                connection_id=arrived.connection_id,
                received_at=arrived.received_at,
                masters=self.memory.masters,
            )
        except Refusal:
            return "rejected"
        key = (fact.connection_id, fact.key)
        stands = self._standing(batch, key)
        if stands is not None:
            if self.rules.same_fact(stands.event, event):
                return "duplicate"
            batch.opens.append(("event.key_reused", f"key:{fact.source}:{fact.key}"))
            return "conflict"
        status: Literal["held", "applied"] = (
            "held" if fact.held and not (fact.moves or fact.counts) else "applied"
        )
        kept = Kept(fact, event, status)
        batch.own[key] = kept
        batch.new.append(kept)
        return status

    def _standing(self, batch: Batch, key: FactKey) -> Kept | None:
        return self.memory.facts.get(key) or batch.own.get(key)

    def _collect(self, batch: Batch, fact: Fact) -> None:
        batch.work.add(fact)
        for counted in fact.counts:
            self.memory.count_ids += 1
            batch.counts.append(CountEntry(self.memory.count_ids, fact, counted))
        if fact.order is not None and fact.moves:
            batch.shipped.append(fact)
        if fact.time_basis == "skewed":
            batch.opens.append(("source.clock_skew", f"source:{fact.source}"))

    def _outcome(self, batch: Batch, arrived: Arrived, outcome: Outcome) -> Outcome:
        if outcome != "applied":
            return outcome
        return batch.own[arrived.connection_id, arrived.event.id].status

    # Voids and returns (pipeline/voids) ------------------------------------------------------------------------------

    def _relate(self, batch: Batch) -> None:
        memory = self.memory
        for kept in batch.new:
            fact = kept.fact
            reference = fact.target or fact.original
            if reference is None:
                continue
            key = (memory.masters.connections[reference.source], reference.id)
            target = batch.own.get(key) or memory.facts.get(key)
            if target is not None:
                if fact.target is not None:
                    self._void(batch, kept, target)
                continue
            memory.awaited[key].append(fact.fact_id)
            if fact.target is not None:
                kept.status = "parked"
            else:
                batch.opens.append(("return.without_sale", f"return:{fact.fact_id}"))
        for key in list(batch.own) if memory.awaited else ():
            for fact_id in self._unpark(key):
                waiting = memory.by_id.get(fact_id)
                if waiting is None:  # of this batch, and met above
                    continue
                if waiting.fact.target is None:
                    batch.closes.append(("return.without_sale", f"return:{fact_id}"))
                else:
                    waiting.status = "applied"
                    self._void(batch, waiting, batch.own[key])
        batch.work.counts = batch.counts

    def _unpark(self, key: FactKey) -> list[int]:
        return self.memory.awaited.pop(key, [])

    def _void(self, batch: Batch, void: Kept, target: Kept) -> None:
        fact, goal = void.fact, target.fact
        is_voided = goal.fact_id in self.memory.voided or goal.fact_id in batch.voids
        reason = self.rules.refusal(fact.goods, goal.type, is_voided=is_voided)
        if reason is not None:
            void.status, void.reason = "ignored", reason
            return
        batch.voids[goal.fact_id] = fact.fact_id
        if fact.goods == "count":
            self._void_counts(batch, fact, goal)
        elif fact.goods == "came_back":
            batch.work.entries += came_back(fact.fact_id, fact.occurred_at, goal.moves)
        else:
            batch.dropped.append(goal.fact_id)
            batch.work.entries += [
                Entry(fact.fact_id, reverse(move), self._instant_of(fact, goal), goal.fact_id)
                for move in goal.moves
            ]
            batch.work.legs += [negative(leg) for leg in goal.legs]
            if goal.order is not None:
                batch.unshipped.append(goal.fact_id)

    def _instant_of(self, void: Fact, target: Fact) -> datetime:  # noqa: ARG002 - a seam
        return target.occurred_at

    def _void_counts(self, batch: Batch, void: Fact, target: Fact) -> None:
        batch.work.voided += self.memory.counts_to_void(target.fact_id, void.fact_id)
        batch.born_voided += [entry for entry in batch.counts if entry.fact is target]
        batch.counts = [entry for entry in batch.counts if entry.fact is not target]

    # Decide and write (pipeline/draft) ---------------------------------------------------------------------------------

    def _finish(self, batch: Batch, now: datetime) -> None:
        memory, work = self.memory, batch.work
        claims = self._fulfil(batch, now) if batch.shipped or batch.unshipped else None
        keys = work.position_keys()
        claimed = claims.changes() if claims is not None else {}
        positions = {key: memory.positions.get(key, EMPTY) for key in (*keys, *claimed)}
        slow = self.rules.slow_positions(work, positions)
        known = memory.know(slow) if slow else Known()
        booking = self.rules.book(work, positions, slow, known, claimed)
        memory.write(booking, claims, now)
        if work.counts or work.voided or booking.adjusted:
            memory.write_counts(work.counts, work.voided, booking.adjusted)
        self._keep(batch)
        self._sequences(batch, now)
        self._follow(batch, claims, now)

    def _fulfil(self, batch: Batch, now: datetime) -> ClaimBook:
        """Shipments fulfil claims in the batch that books what left (pipeline/fulfil)."""
        memory = self.memory
        ids: dict[int, None] = {}
        for fact in batch.shipped:
            assert fact.order is not None  # noqa: S101 - only shipments come here
            if fact.order.reservation_id is not None:
                ids[fact.order.reservation_id] = None
            ids.update(dict.fromkeys(memory.of_order.get(fact.order.order_ref or "", ())))
        dock = self.rules.dock(self.rules.claims(now, memory.locked(ids)))
        for fact in batch.shipped:
            assert fact.order is not None  # noqa: S101 - only shipments come here
            for move in fact.moves:
                shipped = Shipped(
                    fact.fact_id, fact.order.order_ref, move.item_id, move.location_id, move.quantity
                )
                self._ship(dock, shipped, fact)
        return dock.book

    def _ship(self, dock: Dock, shipped: Shipped, fact: Fact) -> None:
        assert fact.order is not None  # noqa: S101 - only shipments come here
        dock.ship(shipped, fact.order.order_ref, fact.order.reservation_id)

    def _keep(self, batch: Batch) -> None:
        memory = self.memory
        memory.facts.update(batch.own)
        memory.voided.update(batch.voids)
        for kept in batch.new:
            fact = kept.fact
            memory.by_id[fact.fact_id] = kept
            for line in fact.held:
                memory.held[fact.fact_id, line.index] = line.subject
        for fact_id in batch.dropped:
            dropped = memory.by_id[fact_id]
            if dropped.status == "held":
                dropped.status, dropped.reason = "ignored", "voided"
            for key in [key for key in memory.held if key[0] == fact_id]:
                del memory.held[key]

    def _sequences(self, batch: Batch, now: datetime) -> None:
        memory = self.memory
        numbers: dict[StreamKey, list[int]] = {}
        for kept in batch.new:
            fact = kept.fact
            if fact.sequence is not None and fact.stream is not None:
                numbers.setdefault((fact.connection_id, fact.stream, fact.epoch), []).append(fact.sequence)
        for key, found in numbers.items():
            seen = memory.streams[key] = self.rules.merge(memory.streams.get(key, ()), found)
            subject = f"stream:{key[0]}:{key[1]}:{key[2]}"
            if len(seen) > 2 and gaps(seen):
                memory.exceptions.setdefault(("source.sequence_gap", subject), now)
            else:
                memory.exceptions.pop(("source.sequence_gap", subject), None)

    def _follow(self, batch: Batch, claims: ClaimBook | None, now: datetime) -> None:
        exceptions = self.memory.exceptions
        for kept in batch.new:
            for line in kept.fact.held:
                exceptions.setdefault((line.code, line.subject), now)
        for cause in batch.opens:
            exceptions.setdefault(cause, now)
        for cause in batch.closes:
            exceptions.pop(cause, None)
        if claims is not None:
            for shipped in claims.shipments:
                if shipped.reservation_id is None:
                    exceptions.setdefault(("stock.shipped_without_claim", f"shipment:{shipped.fact_id}"), now)

    # What waited for masters (pipeline/release) ------------------------------------------------------------------------

    def add_item(self, item: Item, now: datetime) -> int:
        """An item reaches the master; what waited for it is booked, each line at its own instant. Returns the lines."""
        memory = self.memory
        memory.masters.items_by_sku[item.sku] = item
        subject = f"sku:{item.sku}"
        waiting = [key for key, waits_for in memory.held.items() if waits_for == subject]
        waiting.sort(key=lambda key: (memory.by_id[key[0]].fact.occurred_at, key))
        batch = Batch()
        for fact_id in dict.fromkeys(fact_id for fact_id, _ in waiting):
            lines = [index for id_, index in waiting if id_ == fact_id]
            self._release(batch, memory.by_id[fact_id], lines)
        for key in waiting:
            del memory.held[key]
        self._finish_release(batch, now)
        memory.exceptions.pop(("stock.unknown_item", subject), None)
        return len(waiting)

    def _release(self, batch: Batch, kept: Kept, lines: Iterable[int]) -> None:
        before = kept.fact
        fact = self.rules.prepare(
            kept.event,
            b"",
            connection_id=before.connection_id,
            received_at=before.received_at,
            masters=self.memory.masters,
            only=list(lines),
        )
        fact.fact_id = before.fact_id
        self._collect(batch, fact)
        before.moves = [*before.moves, *fact.moves]
        before.counts = [*before.counts, *fact.counts]
        kept.status = "applied"

    def _finish_release(self, batch: Batch, now: datetime) -> None:
        batch.work.counts = batch.counts
        self._finish(batch, now)

    def still_held(self, kept: Kept) -> list[HeldLine]:
        """The lines of a fact that wait."""
        fact = kept.fact
        return [line for line in fact.held if (fact.fact_id, line.index) in self.memory.held]

    # Promises (pipeline/promise) -----------------------------------------------------------------------------------------

    def new_reservation_id(self) -> int:
        self._reservation_ids += 1
        return self._reservation_ids

    def promise(self, command: Command, now: datetime) -> Promised | Refused:
        """Decide one command. What is over its time has ended before, whether anybody swept it or not."""
        memory = self.memory
        ids: list[int] = []
        if not isinstance(command, Reserve):
            ids.append(command.reservation_id)
        elif command.order_ref is not None:
            current = memory.open.get((command.channel_id, command.order_ref))
            ids += [] if current is None else [current]
        desk = self.rules.desk(self.rules.claims(now, memory.locked(ids)))
        answer = desk.do(command)
        memory.write_promises(desk.book, now)
        return answer

    def expire(self, reservation_id: int, now: datetime) -> None:
        """End a reservation if its time is over."""
        found = self.memory.reservations.get(reservation_id)
        if found is not None and found.is_due(now):
            self.promise(Expire(reservation_id), now)
