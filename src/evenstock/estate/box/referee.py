"""The referee knows the truth. It looks while the day goes on, and at the end asks that all agree, to the unit."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from evenstock.core.intake import CLOCK_TOLERANCE
from evenstock.estate.box.agenda import HOUR
from evenstock.estate.box.invariants import Looks
from evenstock.estate.box.oracle import Vector, books
from evenstock.estate.box.told import Spot, Told

if TYPE_CHECKING:
    from evenstock.estate.box.box import Box

EVERY: Final = HOUR  # a look at the invariants
TOLD_MAX: Final = 8  # of one check
TOLERANCE: Final = int(CLOCK_TOLERANCE.total_seconds() * 1_000_000)
NOTHING: Final = (0, 0, 0, 0)
STILL_OPEN: Final = frozenset({
    "source.clock_skew", "event.key_reused", "stock.unknown_item", "stock.shipped_without_claim", "stock.negative",
    "stock.overcommitted", "stock.in_transit_negative",
})  # fmt: skip


class Finding(msgspec.Struct, frozen=True):
    """Something that should not be."""

    check: str
    words: str
    at: int


class Referee:
    """Of one play."""

    def __init__(self, box: "Box") -> None:
        self.findings: list[Finding] = []
        self._box = box
        self._looks = Looks(box)
        self._told: dict[str, int] = {}
        self._plan()

    def _plan(self) -> None:
        if self._box.agenda.now < self._box.closes_at:
            self._box.agenda.plan(self._box.agenda.now + EVERY, self._look_on)

    def _look_on(self) -> None:
        self.look()
        self._plan()

    def look(self) -> None:
        """What holds at any time."""
        for check, words in self._looks.at(self._box.instant(self._box.agenda.now)):
            self._find(check, words)

    def _find(self, check: str, words: str) -> None:
        number = self._told[check] = self._told.get(check, 0) + 1
        if number <= TOLD_MAX:
            self.findings.append(Finding(check, words, self._box.agenda.now))

    # The end

    def judge(self) -> None:
        """When all faults are healed and everybody is at home."""
        self._looks.anew()
        self.look()
        for check, found in (
            ("lost", self._lost()),
            ("position", self._positions()),
            ("channel", self._channels()),
            ("books", self._books()),
            ("order", self._orders()),
            ("open", self._left_open()),
            ("answer", iter(self._box.witness.surprises)),
            ("hub", self._blamed()),
        ):
            for words in found:
                self._find(check, words)

    def too_late(self) -> None:
        """Somebody still had something to do when all should have been settled."""
        at = self._box.agenda.next_at
        if at is not None:
            self._find(
                "liveness", "After the last fault and in the time allowed, not everything came to rest."
            )

    def _lost(self) -> Iterator[str]:
        """Every fact that was said stands in the hub once; what was acknowledged before all."""
        box = self._box
        memory = box.hub.memory
        for key, record in box.witness.records.items():
            kept = memory.facts.get((box.connections[key[0]], key[1]))
            if kept is None:
                yield f"{key[1]} was {'acknowledged' if record.acked else 'said'} and the hub does not have it."
            elif kept.status in {"held", "parked"} or box.hub.still_held(kept):
                yield f"{key[1]} still waits: {kept.status}."
            elif kept.fact.occurred_at != box.instant(self._stands_at(record.told)):
                yield f"{key[1]} happened at {box.instant(record.told.stamp)}; the hub says {kept.fact.occurred_at}."
        for told in box.witness.clashes.values():
            if id(told) not in box.witness.mended:
                yield f"{told.key[1]} was refused under a used key, and nobody was told."
        if len(memory.facts) > len(box.witness.records):
            yield f"The hub has {len(memory.facts)} facts of {len(box.witness.records)}."

    def _positions(self) -> Iterator[str]:
        """The hub has what the facts say; the facts say what is true, but for what nobody has reported."""
        box = self._box
        facts = [record.told for record in box.witness.records.values()]
        should = books(facts, self._stands_at)
        for spot, words in _differences(should, self._believed()):
            yield f"{spot[0]} at {spot[1]}: {words}"
        if any(self._stands_at(told) != told.at for told in facts):
            should = books(facts, lambda told: told.at)
        for spot, words in _differences(box.truth.books(), should):
            yield f"The world itself is wrong. {spot[0]} at {spot[1]}: {words}"

    def _stands_at(self, told: Told) -> int:
        """The instant at which a fact must stand: its own, or that of its receipt when its clock runs ahead (D5)."""
        arrived = self._box.witness.records[told.key].arrived
        if arrived is not None and told.stamp > arrived + TOLERANCE:
            return arrived
        return told.stamp

    def _believed(self) -> dict[Spot, Vector]:
        names, skus = self._box.place_names, self._box.skus
        return {
            (skus[key[0] - 1], names[key[1]]): position.vector
            for key, position in self._box.hub.memory.positions.items()
        }

    def _channels(self) -> Iterator[str]:
        """Every channel shows what the hub offers."""
        box = self._box
        for id_, door in box.doors.items():
            view = box.view_of(id_)
            if view.dark:
                yield f"{id_} still does without {len(view.dark)} places that are back."
            for sku, item_id in box.items.items():
                should = max(0, view.ats(item_id))
                if door.told.get(item_id, 0) != should:
                    yield f"{id_} shows {door.told.get(item_id, 0)} of {sku}, the hub offers {should}."
                if door.unfetched.get(item_id, 0):
                    yield f"{id_} has orders of {sku} that were never fetched."

    def _books(self) -> Iterator[str]:
        """The ERP has what the ledger has, each posting once."""
        box = self._box
        if box.erp is None:
            return
        for key, position in box.hub.memory.positions.items():
            posted = tuple(box.erp.stock.get(key, NOTHING))
            if posted != position.vector:
                where = f"{box.skus[key[0] - 1]} at {box.place_names[key[1]]}"
                yield f"The ERP has {posted} of {where}, the ledger {position.vector}."

    def _orders(self) -> Iterator[str]:
        """Every unit of every order has come to an end, and nothing is promised any more."""
        for order in self._box.orders:
            if open_ := [wish.line for wish in order.wishes if wish.ended is None]:
                yield f"{order.ref}: {len(open_)} units have no end."
        memory = self._box.hub.memory
        for reservation in memory.reservations.values():
            if reservation.open:
                yield f"{reservation.order_ref} still claims {reservation.open} units ({reservation.status})."
        for shipped in memory.unclaimed:
            yield f"Units left for {shipped.order_ref} that nothing was promised to."

    def _left_open(self) -> Iterator[str]:
        """Exceptions close by fact; those that tell of the present may stay."""
        for code, subject in self._box.hub.memory.exceptions:
            if code not in STILL_OPEN:
                yield f"{code} is still open for {subject}."

    def _blamed(self) -> Iterator[str]:
        """No customer was disappointed by the hub."""
        for (channel, cause, detail), number in self._box.measures.oversold.items():
            if cause == "hub":
                yield f"{channel} oversold {number} units: {detail}."


def _differences(should: dict[Spot, Vector], found: dict[Spot, Vector]) -> Iterator[tuple[Spot, str]]:
    if should == found:
        return
    for spot in sorted({*should, *found}):
        one, other = should.get(spot, NOTHING), found.get(spot, NOTHING)
        if one != other:
            yield spot, f"{other} instead of {one} (sellable, quarantine, damaged, in transit)"
