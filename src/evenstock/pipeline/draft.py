"""One batch on its way into the ledger: lock, load, decide, number, write. The only writer of the ledger (D2).

    lock positions in one global order → load what counts need → decide (pure) → number and write → what follows from it

Everything happens in the caller's transaction. What another writer changed meanwhile is noticed before the COMMIT and
ends in `Changed`: the caller rolls back and does the batch again with fresh eyes.
"""

from collections import defaultdict
from datetime import datetime

import msgspec

from evenstock.core.booking import (
    Booking,
    CountEntry,
    Known,
    Position,
    PositionKey,
    Work,
    as_count,
    book,
    slow_positions,
)
from evenstock.core.counting import is_late
from evenstock.core.intake import Fact, HeldLine
from evenstock.core.ledger import Count
from evenstock.core.ordering import gaps, in_words, merge, stream_in_words
from evenstock.core.reservations import ClaimBook
from evenstock.pipeline.alarms import alarm_causes
from evenstock.pipeline.fulfil import ClaimsMoved, foresee, fulfil, is_stale
from evenstock.postgres import exceptions, ledger, masters, orders, promises, waiting
from evenstock.postgres.database import Connection
from evenstock.postgres.exceptions import Cause, HeldRow, StreamKey
from evenstock.postgres.ledger import FactKey, Head, Observed
from evenstock.postgres.waiting import Waiting


class Changed(Exception):  # noqa: N818 - not an error: the world moved on while the batch was prepared
    """Masters, or what is waited for, changed under a batch; it must be done again."""


class MissingPositions(Exception):  # noqa: N818 - not an error: they are made and the batch is done again
    """Positions must be made outside of the batch, before it (counting §3, step 0)."""

    def __init__(self, keys: list[PositionKey]) -> None:
        super().__init__(f"{len(keys)} positions")
        self.keys = keys


class Draft(msgspec.Struct):
    """What a batch is going to do, collected before anything is locked."""

    head: Head
    masters_version: int
    new: list[Fact] = []
    work: Work = msgspec.field(default_factory=Work)
    held: list[tuple[Fact, HeldLine]] = []
    born_voided: list[CountEntry] = []  # counts that arrive together with their void
    statuses: dict[int, tuple[str, str | None]] = {}
    voids: list[tuple[int, int, str]] = []
    parked: list[Waiting] = []
    found: list[Waiting] = []
    dropped: list[int] = []  # facts whose held lines are dropped
    settled: list[tuple[int, int]] = []  # held lines that are booked now
    opens: list[Cause] = []
    closes: list[tuple[str, str]] = []
    conflicts: list[tuple[FactKey, str]] = []  # other content under a key: key, body
    unvoided: list[int] = []  # facts that were not voided when the batch looked
    unsettled: list[tuple[int, int]] = []  # held lines that still waited when the batch looked
    sources: dict[int, str] = {}
    shipped: list[Fact] = []  # facts that fulfil claims
    again: list[Fact] = []  # that came before, now with a number of their stream that did not
    locked: dict[PositionKey, Position] = {}  # all it touches, or none: they are locked in one go

    def is_empty(self) -> bool:
        """Whether nothing at all is to be written."""
        return not (self.new or self.held or self.settled or self.conflicts or self.again)


class Done(msgspec.Struct):
    """What a batch did."""

    ledger_seq: int
    exception_ids: dict[tuple[str, str], int] = {}


async def finish(db: Connection, draft: Draft, now: datetime) -> Done:
    """Lock, load, decide and write a draft, inside the caller's transaction."""
    if draft.is_empty():
        return Done(draft.head.ledger_seq)
    work = draft.work
    shipping = await foresee(db, draft.shipped, draft.voids)
    keys = sorted({*work.position_keys(), *shipping.spots}) if shipping.spots else work.position_keys()
    positions = draft.locked or (await ledger.lock_positions(db, keys) if keys else {})
    if missing := [key for key in keys if key not in positions]:
        raise MissingPositions(missing)
    try:
        claims = await fulfil(db, shipping, positions, now) if shipping else None
    except ClaimsMoved:
        raise Changed from None
    slow = slow_positions(work, positions)
    known = await ledger.know(db, slow, positions) if slow else Known()
    booking = book(work, positions, slow, known, claims.changes() if claims is not None else {})
    if draft.held and await masters.lock_version(db) != draft.masters_version:
        raise Changed
    place = await ledger.write(db, draft.head.batch_id, now, booking)
    await _recheck(db, draft, place.parkings)
    if claims is not None:
        if place.ledger_seq > draft.head.ledger_seq + 1 and await is_stale(db, shipping, draft.voids):
            raise Changed
        await _claims(db, draft, claims, place.ledger_seq)
    ids = await _follow(db, draft, booking, positions, place.ledger_seq, place.recorded_at)
    return Done(place.ledger_seq, ids)


async def _recheck(db: Connection, draft: Draft, parkings: int) -> None:
    """With the ledger's order held: nobody began to wait for our facts, what we wait for did not arrive, and the facts
    that we void or release were not voided or released by another.
    """
    if parkings != draft.head.parkings and draft.new:
        known = {(entry.awaited, entry.fact_id) for entry in draft.found}
        own = [(fact.connection_id, fact.key) for fact in draft.new]
        if any((entry.awaited, entry.fact_id) not in known for entry in await waiting.waiting_for(db, own)):
            raise Changed
    if draft.parked and await ledger.stored(db, {entry.awaited for entry in draft.parked}):
        raise Changed
    if draft.found and not await waiting.are_awaited(db, draft.found):
        raise Changed
    if draft.unvoided and await waiting.voided(db, draft.unvoided):
        raise Changed
    if draft.unsettled and not await exceptions.are_unsettled(db, draft.unsettled):
        raise Changed


async def _claims(db: Connection, draft: Draft, claims: ClaimBook, ledger_seq: int) -> None:
    """What shipments and their voids changed of claims; units that nobody had promised are shown."""
    if await promises.write(db, claims, batch_id=draft.head.batch_id, ledger_seq=ledger_seq) is None:
        raise Changed
    facts = {shipped.fact_id for shipped in claims.shipments}
    unclaimed = await promises.unclaimed_facts(db, facts)
    orders = {shipped.fact_id: shipped.order_ref for shipped in claims.shipments}
    for fact_id in sorted(facts):
        subject = f"shipment:{fact_id}"
        if fact_id in unclaimed:
            detail = f"Units left for {orders[fact_id] or 'a reservation'} that nothing was promised to."
            draft.opens.append(Cause("stock.shipped_without_claim", subject, detail))
        else:
            draft.closes.append(("stock.shipped_without_claim", subject))


async def _follow(
    db: Connection,
    draft: Draft,
    booking: Booking,
    positions: dict[PositionKey, Position],
    ledger_seq: int,
    now: datetime,
) -> dict[tuple[str, str], int]:
    """What follows from the movements: counts, voids, who waits, exceptions that begin or end."""
    work = draft.work
    opens, closes = list(draft.opens), list(draft.closes)
    alarmed, calmed = alarm_causes(booking.alarms)
    opens += alarmed
    closes += calmed
    opens += _voids_before_counts(work, positions)
    if work.counts or draft.born_voided or work.voided or booking.adjusted:
        await ledger.write_counts(
            db,
            [*work.counts, *draft.born_voided],
            work.voided,
            booking.adjusted,
            born_voided=[entry.count_id for entry in draft.born_voided],
        )
    if work.counts or work.voided:
        await _count_conflicts(db, work, opens, closes)
    if work.legs:
        await _transfers(db, work, opens, closes)
    await waiting.insert_voids(db, draft.voids)
    await waiting.set_status(db, ((fact_id, *status) for fact_id, status in draft.statuses.items()))
    await waiting.change(db, draft.parked, draft.found)
    await orders.owe(db, [fact for fact in draft.new if fact.ordered is not None])
    await _sequences(db, draft, opens, closes)
    for fact, line in draft.held:
        opens.append(Cause(line.code, line.subject, line.detail, fact.connection_id))
    for (connection_id, key), _ in draft.conflicts:
        source = draft.sources[connection_id]
        opens.append(
            Cause(
                "event.key_reused",
                f"key:{source}:{key}",
                f"{source} used the key {key} again with other content.",
                connection_id,
            )
        )
    ids = await exceptions.open_causes(db, opens, now)
    await exceptions.close_causes(db, closes, now)
    await _lines(db, draft, ids, ledger_seq, now)
    return ids


async def _lines(
    db: Connection, draft: Draft, ids: dict[tuple[str, str], int], ledger_seq: int, now: datetime
) -> None:
    """Held lines begin and end; contents that were refused under a used key are kept."""
    rows = [
        HeldRow(
            fact.fact_id,
            line.index,
            line.code,
            line.subject,
            ids[line.code, line.subject],
            fact.occurred_at,
            fact.quantities.get(line.index),
        )
        for fact, line in draft.held
    ]  # fmt: skip
    await exceptions.hold(db, rows)
    await exceptions.settle(db, draft.settled, now, ledger_seq)
    await exceptions.drop(db, draft.dropped, now, ledger_seq)
    if draft.settled or draft.dropped:
        dropped = await exceptions.facts_held(db, draft.dropped)
        await waiting.set_status(db, ((fact_id, "ignored", "voided") for fact_id in dropped))
        booked = await exceptions.facts_held(db, (fact_id for fact_id, _ in draft.settled))
        await waiting.set_status(db, ((fact_id, "applied", None) for fact_id in booked))
    if draft.unsettled or draft.dropped:
        await exceptions.close_settled(db, now)
    conflicts = [
        (connection_id, key, body, ids["event.key_reused", f"key:{draft.sources[connection_id]}:{key}"])
        for (connection_id, key), body in draft.conflicts
    ]
    await exceptions.keep_conflicts(db, conflicts, now)


def _voids_before_counts(work: Work, positions: dict[PositionKey, Position]) -> list[Cause]:
    """A sale voided as `never_left` after a count that may have seen its units: the two readings differ (C9)."""
    return [
        Cause(
            "void.before_count",
            f"void:{entry.fact_id}",
            "A sale from before a count was voided after it; if the goods came back, the count has not seen them.",
            None,
            entry.move.item_id,
            entry.move.location_id,
        )
        for entry in work.entries
        if entry.reverses is not None
        and entry.move.from_place == "customer"
        and is_late(entry.occurred_at, positions[entry.move.item_id, entry.move.location_id].last_counted_at)
    ]


async def _count_conflicts(
    db: Connection, work: Work, opens: list[Cause], closes: list[tuple[str, str]]
) -> None:
    """Counts of one instant that disagree are shown until all but one of them are voided (C5)."""
    new = {
        _observed(entry.counted.item_id, entry.counted.location_id, as_count(entry)) for entry in work.counts
    }
    gone = {_observed(entry.item_id, entry.location_id, entry.count) for entry in work.voided}
    conflicting = await ledger.conflicting_counts(db, sorted(new | gone))
    for observed in sorted(new & conflicting):
        item_id, location_id, scope, at = observed
        detail = f"Two counts of {scope} at {at:%Y-%m-%d %H:%M:%S} UTC say different things."
        opens.append(Cause("count.conflict", _subject(observed), detail, None, item_id, location_id))
    closes += [("count.conflict", _subject(observed)) for observed in sorted(gone - conflicting)]


def _observed(item_id: int, location_id: int, count: Count) -> Observed:
    return item_id, location_id, count.scope, count.counted_at


def _subject(observed: Observed) -> str:
    item_id, location_id, scope, at = observed
    return f"count:{item_id}@{location_id}:{scope}:{at.isoformat()}"


async def _transfers(db: Connection, work: Work, opens: list[Cause], closes: list[tuple[str, str]]) -> None:
    """A transfer that has arrived in part is short until the rest comes (S52)."""
    for transfer, item_id, from_id, to_id, shipped, received in await ledger.add_transfers(db, work.legs):
        subject = f"transfer:{transfer}:{item_id}:{from_id}:{to_id}"
        if 0 < received < shipped:
            detail = f"Of the {shipped:,} units shipped under {transfer}, {received:,} arrived."
            opens.append(Cause("transfer.short", subject, detail, None, item_id, to_id))
        else:
            closes.append(("transfer.short", subject))


async def _sequences(db: Connection, draft: Draft, opens: list[Cause], closes: list[tuple[str, str]]) -> None:
    """Numbers seen by stream; missing ones are shown, and never waited for."""
    numbers: dict[StreamKey, list[int]] = defaultdict(list)
    for fact in (*draft.new, *draft.again):
        if fact.sequence is not None and fact.stream is not None:
            numbers[fact.connection_id, fact.stream, fact.epoch].append(fact.sequence)
    if not numbers:
        return
    before = await exceptions.load_streams(db, sorted(numbers))
    after = {key: merge(before.get(key, ()), found) for key, found in numbers.items()}
    await exceptions.store_streams(db, sorted(after.items()))
    for key, seen in after.items():
        connection_id, stream, epoch = key
        subject = f"stream:{connection_id}:{stream}:{epoch}"
        if missing := gaps(seen):
            detail = f"{draft.sources[connection_id]}, {stream_in_words(stream)}: {in_words(missing)} did not arrive."
            opens.append(Cause("source.sequence_gap", subject, detail, connection_id))
        elif gaps(before.get(key, ())):
            closes.append(("source.sequence_gap", subject))
