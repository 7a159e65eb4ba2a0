"""The depot: buys, fills the stores' shelves, and sends out what was sold online. It speaks at once, or in files at night."""

from random import Random
from typing import TYPE_CHECKING, Final

from evenstock.estate.box import paper
from evenstock.estate.box.agenda import HOUR, MINUTE, Action
from evenstock.estate.box.demand import levels
from evenstock.estate.box.lines import Line
from evenstock.estate.box.places import Place
from evenstock.estate.box.scenario import DEPOT, Depot
from evenstock.estate.box.told import Moved, Seen, Told
from evenstock.estate.chance import stream

if TYPE_CHECKING:
    from evenstock.core.events import Event
    from evenstock.estate.box.box import Box
    from evenstock.estate.box.stores import Store

UNDER_WAY: Final = (40 * MINUTE, 150 * MINUTE)
REFILLED: Final = 12  # items of one transfer
BOUGHT: Final = 8  # items of one receipt


class Warehouse(Place):
    """The depot and its lorries."""

    def __init__(self, box: "Box", what: Depot, line: Line) -> None:
        super().__init__(box, DEPOT, paper.WMS, line)
        self.what = what
        average = max(1, what.level * box.scenario.stores.number / 10)
        self._levels = dict(zip(box.skus, levels(range(len(box.skus)), average), strict=True))
        self._receipts = stream(box.seed, DEPOT, "receipts")
        self._lorries = stream(box.seed, DEPOT, "lorries")
        self._transfers = 0
        self.stock([(sku, level, level) for sku, level in self._levels.items()])
        self._plan(self._receipts, what.receipts_per_hour, self._receive)
        self._counting = stream(box.seed, DEPOT, "counting")
        self._plan(self._counting, what.counts_per_hour, self._count)
        for store in box.stores:
            chance = stream(box.seed, DEPOT, store.name)
            self._plan_lorry(store, int(chance.random() * HOUR / max(what.transfers_per_hour, 0.01)))

    def _plan(self, chance: Random, rate: float, action: Action) -> None:
        if rate > 0:
            at = self.box.agenda.now + int(chance.expovariate(rate) * HOUR)
            if at < self.box.closes_at:
                self.box.agenda.plan(at, action)

    def report(
        self, event: "Event", at: int, moved: tuple[Moved, ...] = (), seen: tuple[Seen, ...] = ()
    ) -> Told:
        """The warehouse system's files say what the clock on the wall says, where they say no more."""
        if not self.what.naive_times:
            return super().report(event, at, moved, seen)
        local, stamp = self.box.wall_clock(at)
        told = Told(event, at, stamp, self.name, moved, seen, local=local)
        self.line.send(told)
        return told

    def _count(self) -> None:
        self.count_some(
            int(self._counting.random() * len(self.box.skus)), self.box.skus, self.what.count_lines
        )
        self._plan(self._counting, self.what.counts_per_hour, self._count)

    # Goods in

    def _receive(self) -> None:
        chance, skus = self._receipts, self.box.skus
        begin = int(chance.random() * len(skus))
        low = [
            (sku, self._levels[sku] - there)
            for offset in range(min(BOUGHT, len(skus)))
            if (there := self.units(sku := skus[(begin + offset) % len(skus)])) < self._levels[sku]
        ]
        if low:
            goods, at = tuple(low), self.moment()
            moved = self.moves(goods, "supplier", "sellable")
            self.report(paper.received(self.number("G"), self.box.instant(at), self.name, goods), at, moved)
        self._plan(chance, self.what.receipts_per_hour, self._receive)

    # Goods out to stores

    def _plan_lorry(self, store: "Store", after: int) -> None:
        at = self.box.agenda.now + after
        if self.what.transfers_per_hour > 0 and at < self.box.closes_at:
            self.box.agenda.plan(at, self._load, store)

    def _load(self, store: "Store") -> None:
        goods = tuple(
            (sku, units)
            for sku, wanted in store.wants()[:REFILLED]
            if (units := min(wanted, self.units(sku))) > 0
        )
        if goods:
            self._send(store, goods)
        self._plan_lorry(store, int(HOUR / self.what.transfers_per_hour))

    def _send(self, store: "Store", goods: paper.Basket) -> None:
        box, at = self.box, self.moment()
        self._transfers += 1
        transfer = f"TR-{self._transfers}"
        moved = (
            *self.moves(goods, "sellable", "transit"),
            *store.moves(goods, "transit", "in_transit"),
        )
        event = paper.sent(f"S-{transfer}", box.instant(at), transfer, self.name, store.name, goods)
        self.report(event, at, moved)
        first, last = UNDER_WAY
        under_way = first + int(self._lorries.random() * (last - first))
        lost, which = self._lorries.random(), int(self._lorries.random() * len(goods))
        missing = goods[which] if lost < self.what.short else None
        box.agenda.plan(at + under_way, store.unpack, transfer, goods, missing)
