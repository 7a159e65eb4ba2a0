"""Bugs to plant in the estate in a box: each hands back the parts of a play with one of them broken.

Production code knows nothing of this: what is broken is a rule handed to the hub, or a part of the box in its place.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from evenstock.core import booking, ordering
from evenstock.core.booking import Booking, Known, Position, PositionKey
from evenstock.core.counting import Loaded
from evenstock.core.intake import Fact, prepare
from evenstock.core.ledger import Move
from evenstock.core.reservations import Claim, Desk, Release, Reservation, Shipped
from evenstock.estate.box.books import Bookkeeper, Document
from evenstock.estate.box.box import PARTS, Parts
from evenstock.estate.box.doors import Door
from evenstock.estate.box.exposing import Call, Number, Sender
from evenstock.estate.box.hub import Arrived, Batch, Hub, Outcome
from evenstock.estate.box.lines import Line
from evenstock.estate.box.memory import FactKey, Kept, Posting
from evenstock.estate.box.process import Process, Waiting
from evenstock.estate.box.rules import offer
from evenstock.estate.box.silence import Silence

Plant = Callable[[], Parts]

KEYS_KEPT = timedelta(hours=1)


def no_dedupe() -> Parts:
    """A fact that comes again is booked again."""

    class Forgetful(Hub):
        def _standing(self, batch: Batch, key: FactKey) -> Kept | None:  # noqa: ARG002
            return None

    return PARTS._replace(hub=Forgetful)


def keys_forgotten_after_an_hour() -> Parts:
    """Keys are kept for a while only; a store that was away longer books twice."""

    class ShortOfMemory(Hub):
        def _claim(self, batch: Batch, arrived: Arrived) -> Outcome:
            self._at = arrived.received_at
            return super()._claim(batch, arrived)

        def _standing(self, batch: Batch, key: FactKey) -> Kept | None:
            kept = super()._standing(batch, key)
            return None if kept is None or self._at - kept.fact.received_at > KEYS_KEPT else kept

    return PARTS._replace(hub=ShortOfMemory)


def other_content_taken_for_a_duplicate() -> Parts:
    """A used key with other content is dropped without a word."""
    return PARTS._replace(rules=PARTS.rules._replace(same_fact=lambda _one, _other: True))


def buffered_fact_lost() -> Parts:
    """The shop's buffer loses its first fact when the line comes back."""

    class Leaky(Line):
        def _come_back(self) -> None:
            del self.kept[:1]
            super()._come_back()

    return PARTS._replace(line=Leaky)


def acknowledged_before_the_commit() -> Parts:
    """Senders are answered before their batch is safe; a crash loses it."""

    class Hasty(Process):
        def _lose(self, waiting: list[Waiting]) -> None:
            del waiting

    return PARTS._replace(process=Hasty)


def keys_claimed_in_a_transaction_of_their_own() -> Parts:
    """A crash leaves the keys taken and the facts unbooked: the next try is a duplicate."""

    class Torn(Process):
        def _lose(self, waiting: list[Waiting]) -> None:
            memory, box = self._box.hub.memory, self._box
            for _, batch, arrived in waiting:
                for told in batch:
                    key = (box.connections[told.event.source], told.event.id)
                    if key not in memory.facts:
                        fact = prepare(
                            told.event, b"", connection_id=key[0], received_at=box.instant(arrived), masters=memory.masters
                        )  # fmt: skip
                        memory.facts[key] = Kept(fact, told.event)
            super()._lose(waiting)

    return PARTS._replace(process=Torn)


def count_as_a_delta_against_now() -> Parts:
    """A count is compared with the stock of now, not with that of its own instant."""

    def book(
        work: booking.Work,
        positions: Mapping[PositionKey, Position],
        slow: Mapping[PositionKey, booking.SlowPosition],
        known: Known,
        claimed: Mapping[PositionKey, tuple[int, int]],
    ) -> Booking:
        loaded = {
            entry.count_id: Loaded(positions[entry.counted.item_id, entry.counted.location_id].vector)
            for position in slow.values()
            for entry in position.counts
        }
        return booking.book(work, positions, slow, Known(known.standing, loaded), claimed)

    return PARTS._replace(rules=PARTS.rules._replace(book=book))


def late_facts_not_absorbed() -> Parts:
    """A fact from before a count is booked as if it came after it."""

    def slow_positions(work: booking.Work, positions: Mapping[PositionKey, Position]) -> Any:
        unmarked = {key: msgspec.structs.replace(at, last_counted_at=None) for key, at in positions.items()}
        return booking.slow_positions(work, unmarked)

    return PARTS._replace(rules=PARTS.rules._replace(slow_positions=slow_positions))


def _with_moves(change: Callable[[Move], Move | None]) -> Parts:
    def changed(*args: Any, **given: Any) -> Fact:
        fact = prepare(*args, **given)
        fact.moves = [move for each in fact.moves if (move := change(each)) is not None]
        return fact

    return PARTS._replace(rules=PARTS.rules._replace(prepare=changed))


def return_straight_to_sellable() -> Parts:
    """What a customer brings back is for sale before anybody looked at it."""
    return _with_moves(
        lambda move: msgspec.structs.replace(move, to_place="sellable") if move.why == "return" else move
    )


def transfer_arrives_without_leaving_transit() -> Parts:
    """What arrives is put on the shelf, and stays on its way too."""
    return _with_moves(
        lambda move: (
            msgspec.structs.replace(move, from_place="supplier") if move.why == "transfer_arrival" else move
        )
    )


def sold_units_stay() -> Parts:
    """Only the first line of a ticket is booked."""
    return _with_moves(lambda move: None if move.why == "sale" and move.line != "1" else move)


def future_fact_refused() -> Parts:
    """A till whose clock runs ahead is not believed, and its sales are dropped (D5)."""

    def refusing(*args: Any, **given: Any) -> Fact:
        fact = prepare(*args, **given)
        if fact.time_basis == "skewed":
            fact.moves = []
        return fact

    return PARTS._replace(rules=PARTS.rules._replace(prepare=refusing))


def void_at_its_own_time() -> Parts:
    """A void takes effect when it was sent, not where its target lies (C9)."""

    class Late(Hub):
        def _instant_of(self, void: Fact, target: Fact) -> datetime:  # noqa: ARG002
            return void.occurred_at

    return PARTS._replace(hub=Late)


def parked_void_lost() -> Parts:
    """A void that came before its target is never looked at again."""

    class Careless(Hub):
        def _unpark(self, key: FactKey) -> list[int]:
            super()._unpark(key)
            return []

    return PARTS._replace(hub=Careless)


def held_line_released_at_its_release() -> Parts:
    """What waited for its item is booked as if it happened when the item came."""

    class Sleepy(Hub):
        def _release(self, batch: Batch, kept: Kept, lines: Any) -> None:
            newest = max(each.fact.occurred_at for each in self.memory.by_id.values())
            first = len(batch.work.entries)
            super()._release(batch, kept, lines)
            batch.work.entries[first:] = [
                msgspec.structs.replace(entry, occurred_at=newest) for entry in batch.work.entries[first:]
            ]

    return PARTS._replace(hub=Sleepy)


def held_lines_forgotten() -> Parts:
    """The item comes, and nobody thinks of what waited for it."""

    class Oblivious(Hub):
        def _release(self, batch: Batch, kept: Kept, lines: Any) -> None:
            pass

    return PARTS._replace(hub=Oblivious)


def naive_time_is_utc() -> Parts:
    """What the clock on the shop's wall says is taken for Greenwich's."""

    def localise(zone: str, text: str) -> datetime:  # noqa: ARG001
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    return PARTS._replace(rules=PARTS.rules._replace(localise=localise))


def offset_of_the_day_of_installation() -> Parts:
    """The zone's offset is kept as it was in summer, when the hub was installed."""

    def localise(zone: str, text: str) -> datetime:  # noqa: ARG001
        return datetime.fromisoformat(text).replace(tzinfo=UTC) - timedelta(hours=2)

    return PARTS._replace(rules=PARTS.rules._replace(localise=localise))


def sequence_without_installation() -> Parts:
    """Numbers are merged as if nothing could be missing."""

    def merge(seen: Sequence[int], numbers: Any) -> list[int]:
        merged = ordering.merge(seen, numbers)
        return [1, merged[-1] + 1, merged[-1] + 3, merged[-1] + 3]

    return PARTS._replace(rules=PARTS.rules._replace(merge=merge))


# Promises


def hold_never_ends() -> Parts:
    """A cart that is not paid holds its units for ever."""

    class Patient(Hub):
        def expire(self, reservation_id: int, now: datetime) -> None:
            pass

    return PARTS._replace(hub=Patient)


def promised_without_looking_at_promises() -> Parts:
    """Check, then insert: what others were promised in the meantime is not seen."""

    class Blind(Desk):
        def _offer(self, line: Any, location_id: int, terms: Any) -> int:
            sellable = self._spot((line.item_id, location_id)).sellable
            return max(0, sellable - terms.safety_stock)

    return PARTS._replace(rules=PARTS.rules._replace(desk=Blind))


def shipment_leaves_its_claim() -> Parts:
    """What was shipped stays promised."""

    class Generous(Hub):
        def _ship(self, desk: Desk, shipped: Shipped, fact: Fact) -> None:
            pass

    return PARTS._replace(hub=Generous)


def release_keeps_the_counter() -> Parts:
    """A release closes the claim, and the position never hears of it."""

    class Forgetful(Desk):
        def _end(self, found: Reservation, status: Any) -> None:
            for claim in found.claims:
                claim.closed = True
            found.status = status
            self._has_ended(found)

    return PARTS._replace(rules=PARTS.rules._replace(desk=Forgetful))


def release_given_back_twice() -> Parts:
    """What is released is taken off the counter once more."""

    class Double(Desk):
        def _release(self, found: Reservation, command: Release) -> Any:
            answer = super()._release(found, command)
            if self.entries:
                last = self.entries[-1]
                self.entries.append(msgspec.structs.replace(last, ordinal=len(self.entries)))
            return answer

    return PARTS._replace(rules=PARTS.rules._replace(desk=Double))


def claim_moves_without_its_counter() -> Parts:
    """Allocated units are counted as reserved still."""

    class Lazy(Desk):
        def _stage(self, found: Reservation, claim: Claim) -> None:
            claim.allocated = True
            self._keep(found)

    return PARTS._replace(rules=PARTS.rules._replace(desk=Lazy))


def overcommitted_hidden() -> Parts:
    """Nobody is told when there is less than was promised."""

    def book(*args: Any) -> Booking:
        booked = booking.book(*args)
        booked.alarms = [alarm for alarm in booked.alarms if alarm.code != "stock.overcommitted"]
        return booked

    return PARTS._replace(rules=PARTS.rules._replace(book=book))


# Channels and books


def claims_not_taken_off_the_offer() -> Parts:
    """Channels are told what lies there, promised or not."""

    def everything(position: Position, safety_stock: int) -> int:
        return offer(msgspec.structs.replace(position, reserved=0, allocated=0), safety_stock)

    return PARTS._replace(rules=PARTS.rules._replace(offer=everything))


def any_version_taken() -> Parts:
    """A number that was overtaken replaces the newer one."""

    class Trusting(Door):
        def _is_newer(self, item_id: int, version: int) -> bool:  # noqa: ARG002
            return True

    return PARTS._replace(door=Trusting)


def late_answer_believed() -> Parts:
    """The answer to an attempt that was given up counts for the one under way."""

    class Gullible(Sender):
        def _is_current(self, call: Call, number: Number) -> bool:  # noqa: ARG002
            return True

        def _land(self, number: Number) -> None:
            self._flying.pop(number.item_id, None)

        def busy(self, call: Call) -> None:
            self.done(call)

    return PARTS._replace(sender=Gullible)


def no_answer_taken_for_done() -> Parts:
    """A call without an answer is taken to have arrived."""

    class Optimist(Sender):
        def unanswered(self, call: Call) -> None:
            self.done(call)

    return PARTS._replace(sender=Optimist)


def last_change_coalesced_away() -> Parts:
    """What changes while a number is under way is never told."""

    class Swallowing(Sender):
        def _owe_again(self, number: Number) -> None:
            self.owed.pop(number.item_id, None)

    return PARTS._replace(sender=Swallowing)


def never_lit_again() -> Parts:
    """A store that was taken off the channels stays off."""

    class Grudging(Silence):
        def _light(self, name: str) -> None:
            pass

    return PARTS._replace(silence=Grudging)


def fed_by_identity() -> Parts:
    """The books follow facts by their number, and miss what is booked late under a lower one."""

    class ByNumber(Bookkeeper):
        _last = 0

        def _feed(self, number: int) -> list[Posting]:
            found = [each for each in super()._feed(number) if each.fact_id > self._last]
            self._last = max((each.fact_id for each in found), default=self._last)
            return found

    return PARTS._replace(bookkeeper=ByNumber)


def retried_under_a_new_key() -> Parts:
    """What may have been posted is posted again as something new."""

    class Renaming(Bookkeeper):
        def _same(self, documents: list[Document]) -> list[Document]:
            return [document._replace(key=f"{document.key}-again") for document in documents]

    return PARTS._replace(bookkeeper=Renaming)


def refused_posting_dropped() -> Parts:
    """What the books refuse is not tried again."""

    class Resigned(Bookkeeper):
        def _postpone(self, refused: list[Document]) -> None:
            pass

    return PARTS._replace(bookkeeper=Resigned)


AT_NIGHT: tuple[Plant, ...] = (naive_time_is_utc, offset_of_the_day_of_installation)
WHEN_DARK: tuple[Plant, ...] = (never_lit_again,)
BUGS: tuple[Plant, ...] = (
    no_dedupe,
    keys_forgotten_after_an_hour,
    other_content_taken_for_a_duplicate,
    buffered_fact_lost,
    acknowledged_before_the_commit,
    keys_claimed_in_a_transaction_of_their_own,
    count_as_a_delta_against_now,
    late_facts_not_absorbed,
    return_straight_to_sellable,
    transfer_arrives_without_leaving_transit,
    sold_units_stay,
    future_fact_refused,
    void_at_its_own_time,
    parked_void_lost,
    held_line_released_at_its_release,
    held_lines_forgotten,
    sequence_without_installation,
    hold_never_ends,
    promised_without_looking_at_promises,
    shipment_leaves_its_claim,
    release_keeps_the_counter,
    release_given_back_twice,
    claim_moves_without_its_counter,
    overcommitted_hidden,
    claims_not_taken_off_the_offer,
    any_version_taken,
    late_answer_believed,
    no_answer_taken_for_done,
    last_change_coalesced_away,
    fed_by_identity,
    retried_under_a_new_key,
    refused_posting_dropped,
    *AT_NIGHT,
    *WHEN_DARK,
)
