"""What a store and the depot have in common: a shelf that really holds things, a line to the hub, work for orders."""

from typing import TYPE_CHECKING

from evenstock.estate.box import paper
from evenstock.estate.box.agenda import DAY
from evenstock.estate.box.demand import Goods
from evenstock.estate.box.lines import Line
from evenstock.estate.box.paper import Basket
from evenstock.estate.box.told import Moved, Seen, Told

if TYPE_CHECKING:
    from evenstock.core.events import Event
    from evenstock.core.ledger import Place as LedgerPlace
    from evenstock.estate.box.box import Box


class Place:
    """A location with people in it."""

    def __init__(self, box: "Box", name: str, source: str, line: Line) -> None:
        self.box = box
        self.name = name
        self.source = source  # of what its office reports
        self.line = line
        self._numbers = 0
        self._last = -DAY

    def moment(self) -> int:
        """Now, or a little later than the last fact here: no two facts of a place are a tie."""
        self._last = max(self.box.agenda.now, self._last + 1)
        return self._last

    def number(self, prefix: str) -> str:
        """The next document."""
        self._numbers += 1
        return f"{prefix}-{self.name}-{self._numbers}"

    def moves(self, goods: Basket, from_place: "LedgerPlace", to_place: "LedgerPlace") -> tuple[Moved, ...]:
        """Units move here, really."""
        truth, name = self.box.truth, self.name
        moved = tuple(Moved((sku, name), from_place, to_place, units) for sku, units in goods)
        for spot, source, target, units in moved:
            truth.move(spot, source, target, units)
        return moved

    def report(
        self, event: "Event", at: int, moved: tuple[Moved, ...] = (), seen: tuple[Seen, ...] = ()
    ) -> Told:
        """Tell the hub."""
        told = Told(event, at, at, self.name, moved, seen)
        self.line.send(told)
        return told

    def units(self, sku: str) -> int:
        return self.box.truth.units(sku, self.name)

    # Counting

    def stock(self, goods: list[tuple[str, int, int]]) -> None:
        """What is here in the morning, as it is recorded, and what is really there."""
        truth = self.box.truth
        at = self.moment()
        for sku, recorded, really in goods:
            truth.move((sku, self.name), "opening", "sellable", recorded)
            if really != recorded:
                self.box.measures.drifted((sku, self.name), at)
                truth.drift((sku, self.name), "sellable", really - recorded)
        found = tuple((sku, recorded) for sku, recorded, _ in goods)
        seen = tuple(Seen((sku, self.name), recorded) for sku, recorded in found)
        event = paper.counted(
            self.number("C"), self.source, self.box.instant(at), self.name, found, opening=True
        )
        self.box.witness.said(told := Told(event, at, at, self.name, (), seen))
        self.box.morning.append(told)

    def count(self, skus: list[str]) -> None:
        """Count what is for sale of these items, now."""
        at = self.moment()
        truth = self.box.truth
        for sku in skus:
            self.box.measures.counted((sku, self.name), at, truth.unseen(sku, self.name))
        found = tuple((sku, truth.count((sku, self.name))) for sku in skus)
        seen = tuple(Seen((sku, self.name), units) for sku, units in found)
        event = paper.counted(self.number("C"), self.source, self.box.instant(at), self.name, found)
        self.report(event, at, (), seen)

    def drift(self, sku: str, units: int, bucket: str = "sellable") -> None:
        """Units appear or go, and nobody reports it."""
        self.box.measures.drifted((sku, self.name), self.box.agenda.now)
        self.box.trace.note(self.box.agenda.now, "drift", self.name, sku, units)
        self.box.truth.drift((sku, self.name), bucket, units)

    # Work for orders

    def ship(self, goods: Goods, order_ref: str) -> None:
        """Hand units of an order to the carrier."""
        at = self.moment()
        moved = self.moves((goods,), "sellable", "customer")
        event = paper.shipped(
            self.number("S"), self.source, self.box.instant(at), self.name, (goods,), order_ref
        )
        self.report(event, at, moved)
