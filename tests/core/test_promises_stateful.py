"""Whatever is done to reservations and stock, in any order: the claims are what a model of a few sums says, and nothing
is promised twice.

The model knows a reservation by its sums alone: granted, shipped, asked back, and whether it was closed (K3). It knows
nothing of claims, locations, stages or entries.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from evenstock.core import commanding
from evenstock.core.booking import Position, PositionKey, is_overcommitted
from evenstock.core.channels import Terms
from evenstock.core.quantity import Quantity
from evenstock.core.reservations import (
    Allocate,
    Answer,
    Asked,
    ClaimBook,
    Command,
    Confirm,
    Desk,
    Dock,
    Expire,
    Locked,
    Refused,
    Release,
    Reservation,
    Reserve,
    Shipped,
)

ITEMS = (1, 2)
PLACES = (1, 2)
SPOTS = [(item, place) for item in ITEMS for place in PLACES]
ORDERS = ("O-1", "O-2", "O-3")
TERMS = Terms(PLACES, safety_stock=1, hold=timedelta(seconds=5), unpaid=timedelta(seconds=20))
IDENTITIES = {(channel, order) for channel in (None, 1) for order in ORDERS}

item = st.sampled_from(ITEMS)
place = st.sampled_from(PLACES)
few = st.integers(1, 4)
seldom = st.integers(0, 3).map(lambda number: number == 0)


class Sums(msgspec.Struct):
    """A line of a reservation in the model."""

    granted: int
    shipped: int = 0
    asked_back: int = 0


class Promise(msgspec.Struct):
    """A reservation in the model."""

    lines: dict[str, Sums]
    closed: bool = False
    desks: bool = False  # more was asked back than there was, or part of it was closed: what voids bring back is the desk's to say

    def open(self, line: str) -> int:
        sums = self.lines[line]
        return 0 if self.closed else max(0, sums.granted - sums.shipped - sums.asked_back)


def copies(reservations: Iterable[Reservation]) -> list[Reservation]:
    """As they would be read again."""
    return [
        replace(found, is_new=False, claims=[replace(claim, is_new=False) for claim in found.claims])
        for found in reservations
    ]


class Promises(RuleBasedStateMachine):
    """The desk and the dock over a store of dicts, and beside them the model."""

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime(2026, 3, 4, 9, tzinfo=UTC)
        self.numbers = 0
        self.positions = {spot: Position((0, 0, 0, 0)) for spot in SPOTS}
        self.stored: dict[int, Reservation] = {}
        self.shipments: list[Shipped] = []
        self.alarmed: set[PositionKey] = set()
        self.entered: Counter[tuple[int, int, bool]] = (
            Counter()
        )  # by reservation, claim, and whether allocated
        self.stock: Counter[PositionKey] = Counter()  # the model's
        self.promised: dict[int, Promise] = {}
        self.facts: dict[int, bool] = {}  # shipments, and whether they were voided
        self.told: Counter[commanding.Work] = (
            Counter()
        )  # what the systems at the places are to pick, or have picked
        self.picked: Counter[commanding.Work] = Counter()  # and what left from there

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    # The store -----------------------------------------------------------------------------------------------------

    def opened(self) -> ClaimBook:
        return ClaimBook(
            self.now, Locked(self.positions, set(SPOTS), copies(self.stored.values()), IDENTITIES)
        )

    def unclaimed(self) -> list[Shipped]:
        left: Counter[tuple[int, str | None, int, int]] = Counter()
        for each in self.shipments:
            if each.reservation_id is None:
                left[each.fact_id, each.order_ref, each.item_id, each.location_id] += each.units
        return [Shipped(*key, units) for key, units in left.items() if units > 0]

    def write(self, book: ClaimBook) -> None:
        for alarm in book.alarms():
            spot = (alarm.item_id, alarm.location_id)
            assert (spot in self.alarmed) != alarm.opens
            self.alarmed ^= {spot}
        for spot, (reserved, allocated) in book.changes().items():
            before = self.positions[spot]
            self.positions[spot] = Position(
                before.vector, before.reserved + reserved, before.allocated + allocated
            )
        for entry in book.entries:
            if entry.kind == "grant":
                assert entry.seen is not None
                sellable, reserved, allocated, safety = entry.seen
                assert reserved + allocated + entry.reserved + entry.allocated <= sellable - safety
            self.entered[entry.reservation_id, entry.claim_no, False] += entry.reserved
            self.entered[entry.reservation_id, entry.claim_no, True] += entry.allocated
        self.command(book)
        self.stored |= {found.reservation_id: found for found in copies(book.touched.values())}
        for shipped in book.shipments:
            if shipped.reservation_id is not None:
                found = self.stored[shipped.reservation_id]
                (claim,) = (each for each in found.claims if each.claim_no == shipped.claim_no)
                self.promised[shipped.reservation_id].lines[claim.line].shipped += shipped.units
        self.shipments += book.shipments

    def command(self, book: ClaimBook) -> None:
        """Both places are worked by a system of their own."""
        workers = {place: commanding.Worker(place) for place in PLACES}
        told = {work: [(workers[work[2]], units)] for work, units in self.told.items() if units}
        drafts = commanding.commands(commanding.changes(book), workers, told)
        for draft in drafts:
            assert draft.worker == workers[draft.location_id]
            for line in draft.lines:
                work = (draft.reservation_id, line.line, draft.location_id)
                self.told[work] += line.units if draft.kind == "pick" else -line.units
                assert line.units > 0
                assert self.told[work] >= 0, "nothing is cancelled that was not to be picked"
        for entry in book.entries:
            if entry.kind in {"ship", "unship"} and not entry.elsewhere:
                claim = book.reservations[entry.reservation_id].claims[entry.claim_no - 1]
                self.picked[entry.reservation_id, claim.line, entry.location_id] -= entry.allocated

    @invariant()
    def whoever_works_there_is_told_of_what_is_allocated_and_of_nothing_else(self) -> None:
        allocated: Counter[commanding.Work] = Counter()
        for found in self.stored.values():
            for claim in found.claims:
                if claim.allocated:
                    allocated[found.reservation_id, claim.line, claim.location_id] += claim.open
        for work in self.told.keys() | allocated.keys():
            assert self.told[work] - self.picked[work] == allocated[work]

    def move(self, spot: PositionKey, units: int) -> None:
        """Units come or leave; exceptions of state follow, as the ledger's booking makes them."""
        self.stock[spot] += units
        before = self.positions[spot]
        vector = (before.vector[0] + units, 0, 0, 0)
        self.positions[spot] = Position(vector, before.reserved, before.allocated)
        self.look(spot)

    def look(self, spot: PositionKey) -> None:
        position = self.positions[spot]
        if is_overcommitted(position.vector[0], position.reserved + position.allocated):
            self.alarmed.add(spot)
        else:
            self.alarmed.discard(spot)

    # What may be done ----------------------------------------------------------------------------------------------

    @rule(item=item, place=place, units=st.integers(-3, 9))
    def sell_or_receive(self, item: int, place: int, units: int) -> None:
        self.move((item, place), units)

    @rule(item=item, place=place, counted=st.integers(0, 9))
    def count(self, item: int, place: int, counted: int) -> None:
        self.move((item, place), counted - self.positions[item, place].vector[0])

    @rule(seconds=st.sampled_from((1, 3, 10)))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(batch=st.lists(st.tuples(st.sampled_from(("reserve", "confirm", "unpaid", "allocate", "move", "release", "some", "expire")),
          st.integers(0, 8), st.sampled_from(ORDERS), st.lists(st.tuples(item, few), min_size=1, max_size=2),
          st.sampled_from((None, None, *PLACES)), few), min_size=1, max_size=3))  # fmt: skip
    def promise(self, batch: list[tuple[Any, ...]]) -> None:
        """A batch of commands at one desk; those beyond the first are done over what the first has left."""
        book = self.opened()
        desk = Desk(book, unclaimed=self.unclaimed())
        for kind, which, order, lines, where, units in batch:
            wanted = self.wanted(kind, which, order, lines, where, units)
            before = len(book.entries)
            free = {spot: self.free(book, spot) for spot in SPOTS}
            over = {id_ for id_, found in book.reservations.items() if self.is_over(found)}
            answer = desk.do(wanted)
            self.follow_ends(book, over)
            self.judge(wanted, answer, book, free, changed=len(book.entries) > before)
        self.write(book)

    def wanted(
        self, kind: str, which: int, order: str, lines: list[tuple[int, int]], where: int | None, units: int
    ) -> Command:
        ids = sorted(self.stored)
        if kind == "reserve" or not ids:
            asked = tuple(
                Asked(str(index), each, f"sku-{each}", 0, number, where)
                for index, (each, number) in enumerate(lines, 1)
            )
            return Reserve(
                reservation_id=self.number(), channel_id=1 if where is None else None, channel=None, order_ref=order,
                asked=asked, terms=TERMS, all_or_nothing=which > 1,
            )  # fmt: skip
        id_ = ids[which % len(ids)]
        commands: dict[str, Command] = {
            "confirm": Confirm(id_),
            "unpaid": Confirm(id_, paid=False),
            "allocate": Allocate(id_),
            "move": Allocate(id_, where or 1),
            "release": Release(id_),
            "some": Release(id_, f"k{self.number()}", b"", None, (("1", Quantity(units)),)),
            "expire": Expire(id_),
        }
        return commands[kind]

    def free(self, book: ClaimBook, spot: PositionKey) -> int:
        """What may be promised at a position, counted from the claims themselves."""
        claimed = sum(
            claim.open
            for found in (book.reservations | book.touched).values()
            for claim in found.claims
            if claim.spot == spot
        )
        return max(0, self.stock[spot] - claimed - TERMS.safety_stock)

    def judge(
        self,
        wanted: Command,
        answer: Answer | Refused,
        book: ClaimBook,
        free: dict[PositionKey, int],
        *,
        changed: bool,
    ) -> None:
        """The answer is right by the model, and the model follows."""
        if isinstance(answer, Refused):
            if (
                isinstance(wanted, Reserve)
                and answer.problem.code == "reservation.insufficient"
                and not changed
            ):
                assert self.cannot(wanted, free)
            return
        id_ = int(answer.reservation.id.removeprefix("rsv_"))
        if answer.is_new:
            told = answer.reservation.lines
            for spot in SPOTS:
                here = sum(claim.open for claim in book.reservations[id_].claims if claim.spot == spot)
                assert here <= max(0, free[spot]) or changed
            self.promised[id_] = Promise({line.line: Sums(int(bytes(line.quantity))) for line in told})
            if isinstance(wanted, Reserve) and wanted.all_or_nothing:
                assert [int(bytes(line.quantity)) for line in told] == [each.units for each in wanted.asked]
        match wanted:
            case Release(lines=None):
                self.promised[id_].closed = True
            case Release(lines=lines) if lines is not None:
                self.give_back(self.promised[id_], lines, answer)
            case _:
                pass

    def give_back(
        self, promise: Promise, lines: Iterable[tuple[str, Quantity | None]], answer: Answer
    ) -> None:
        for (line, quantity), row in zip(lines, answer.reservation.released, strict=True):
            assert quantity is not None
            if not promise.desks:
                assert int(bytes(row.released)) == min(quantity.digits, promise.open(line))
            if not promise.closed:
                promise.lines[line].asked_back += quantity.digits
                promise.desks |= int(bytes(row.excess)) > 0

    def cannot(self, wanted: Reserve, free: dict[PositionKey, int]) -> bool:
        """Whether some item is short wherever the reservation might be placed."""
        needed: Counter[int] = Counter()
        there: Counter[int] = Counter()
        for each in wanted.asked:
            needed[each.item_id] += each.units
            where = PLACES if each.pickup is None else (each.pickup,)
            there[each.item_id] = sum(free[each.item_id, one] for one in where)
        return any(there[each] < number for each, number in needed.items())

    def is_over(self, found: Reservation) -> bool:
        return found.is_due(self.now) or found.status == "expired"

    def follow_ends(self, book: ClaimBook, over: set[int]) -> None:
        """What was over its time may be closed, or granted again as it was asked for; nothing else is."""
        for id_ in over & book.touched.keys():
            found, promise = book.reservations[id_], self.promised[id_]
            promise.closed = found.was_closed
            if not promise.closed:
                standing = [claim for claim in found.claims if not claim.closed]
                for line in promise.lines:
                    promise.lines[line] = Sums(sum(claim.open for claim in standing if claim.line == line))

    @rule(
        item=item,
        place=place,
        units=few,
        order=st.sampled_from(ORDERS),
        by_id=seldom,
        which=st.integers(0, 8),
    )
    def ship(self, item: int, place: int, units: int, order: str, by_id: bool, which: int) -> None:
        fact = self.number()
        ids = sorted(self.stored)
        id_ = ids[which % len(ids)] if by_id and ids else None
        book = self.opened()
        Dock(book).ship(
            Shipped(fact, None if id_ else order, item, place, units), None if id_ else order, id_
        )
        assert sum(each.units for each in book.shipments) == units
        self.facts[fact] = False
        self.write(book)
        self.move((item, place), -units)

    @precondition(lambda self: not all(self.facts.values()))
    @rule(which=st.integers(0, 8))
    def void(self, which: int) -> None:
        """A shipment never was."""
        standing = sorted(fact for fact, voided in self.facts.items() if not voided)
        fact = standing[which % len(standing)]
        self.facts[fact] = True
        left: dict[tuple[int | None, int | None], Shipped] = {}
        for each in self.shipments:
            if each.fact_id == fact:
                key = (each.reservation_id, each.claim_no)
                known = left.get(key)
                left[key] = each if known is None else replace(each, units=known.units + each.units)
        book = self.opened()
        dock = Dock(book)
        for each in left.values():
            if each.units:
                dock.unship(each)
                self.move((each.item_id, each.location_id), each.units)
        self.let_end(book)
        self.write(book)

    def let_end(self, book: ClaimBook) -> None:
        """An order that was cancelled, or has another reservation, is given nothing back."""
        for id_, found in book.touched.items():
            if all(claim.closed for claim in found.claims):
                self.promised[id_].closed = True
            elif found.has_ended and any(claim.closed for claim in found.claims):
                self.promised[id_].desks = True

    # What must hold ------------------------------------------------------------------------------------------------

    @invariant()
    def claims_are_what_the_model_says(self) -> None:
        for id_, promise in self.promised.items():
            for line in promise.lines:
                found = self.stored[id_]
                there = sum(claim.open for claim in found.claims if claim.line == line)
                if not promise.desks:
                    assert there == promise.open(line), (id_, line, found)

    @invariant()
    def counters_are_open_claims_and_entries(self) -> None:
        claimed: Counter[tuple[PositionKey, bool]] = Counter()
        for id_, found in self.stored.items():
            for claim in found.claims:
                claimed[claim.spot, claim.allocated] += claim.open
                entered = [self.entered[id_, claim.claim_no, allocated] for allocated in (False, True)]
                assert entered == ([0, claim.open] if claim.allocated else [claim.open, 0])
        for spot, position in self.positions.items():
            assert (position.reserved, position.allocated) == (claimed[spot, False], claimed[spot, True])
            assert position.vector[0] == self.stock[spot]

    @invariant()
    def a_status_is_what_its_claims_say(self) -> None:
        for found in self.stored.values():
            opened = [claim for claim in found.claims if claim.open]
            assert found.has_ended == (not opened)
            if found.status == "fulfilled":
                assert found.shipped > 0
            if found.status in {"held", "confirmed"}:
                assert not any(claim.allocated for claim in opened)
            if found.status in {"allocated", "picked"}:
                assert all(claim.allocated for claim in opened)
            if found.status in {"expired", "released"}:
                assert found.shipped == 0

    @invariant()
    def an_order_has_one_open_reservation(self) -> None:
        opened = Counter(found.identity for found in self.stored.values() if not found.has_ended)
        assert set(opened.values()) <= {1}

    @invariant()
    def shipped_is_the_sum_of_shipments(self) -> None:
        sums = Counter()  # type: ignore[var-annotated]
        for each in self.shipments:
            sums[each.reservation_id, each.claim_no] += each.units
        for id_, found in self.stored.items():
            for claim in found.claims:
                assert claim.shipped == sums[id_, claim.claim_no] >= 0

    @invariant()
    def overcommitted_is_shown_and_nothing_else(self) -> None:
        for spot, position in self.positions.items():
            claimed = position.reserved + position.allocated
            assert is_overcommitted(position.vector[0], claimed) == (spot in self.alarmed)


TestPromises = Promises.TestCase
TestPromises.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
