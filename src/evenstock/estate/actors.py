"""Who lives in the world: stores with their customers, thieves and counters, a warehouse, a web shop."""

from itertools import accumulate
from typing import TYPE_CHECKING, Final

import msgspec

from evenstock.estate.cast import COLLECT, HOME_DELIVERY, WAREHOUSE, Cast
from evenstock.estate.chance import stream
from evenstock.estate.facts import MINUTE, SECOND, Fact, Line, lines
from evenstock.estate.orders import End, Order, place_order
from evenstock.estate.plan import MORNING

if TYPE_CHECKING:
    from evenstock.estate.world import World

POS: Final = "pos-nl"
WMS: Final = "wms-tilburg"
WEB: Final = "web-shop"

VISIT_EVERY: Final = 45 * SECOND  # of a store
ORDER_EVERY: Final = 12 * SECOND  # of the web shop
COLLECT_EVERY: Final = 40 * SECOND  # between orders that are picked up in a store
SHRINK_EVERY: Final = 9 * MINUTE
COUNT_EVERY: Final = 12 * MINUTE
COUNT_LINES: Final = 6
REFILL_EVERY: Final = 10 * MINUTE
REFILL_LINES: Final = 20
BUY_EVERY: Final = 12 * MINUTE
RETURN_PART: Final = 0.07  # of sales
ELSEWHERE_PART: Final = 0.3  # of returns
RETURN_AFTER: Final = 15 * MINUTE
SHORT_PART: Final = 0.05  # of transfers
FOUND_PART: Final = 0.6  # of what was short
QUANTITIES: Final = (1, 1, 1, 1, 1, 1, 2, 2, 3)


class Visit(msgspec.Struct, frozen=True):
    """Somebody wants something, whether it is there or not."""

    at: int
    basket: list[Line]


class Demand:
    """What the customers of one place want, and when. Drawn without a look at the shelf, so that nothing else changes it."""

    def __init__(self, seed: int, place: str, cast: Cast, every: int) -> None:
        self._random = stream(seed, place, "demand")
        self._skus = cast.skus
        self._weights = list(accumulate(cast.popularity(sku) for sku in cast.skus))
        self._every = every

    def after(self, at: int) -> Visit:
        """The next visit."""
        chance = self._random
        later = at + 1 + int(chance.expovariate(1 / self._every))
        kinds = chance.choice((1, 1, 1, 2, 2, 3))
        wanted = dict.fromkeys(chance.choices(self._skus, cum_weights=self._weights, k=kinds))
        return Visit(later, [(sku, chance.choice(QUANTITIES)) for sku in wanted])


class Shop:
    """What a store and the web shop have in common: customers, who buy what is there and may bring it back."""

    def __init__(self, world: "World", name: str, location: str, every: int) -> None:
        self.world = world
        self.name = name
        self.location = location
        self.demand = Demand(world.seed, name, world.cast, every)
        self._returns = stream(world.seed, name, "returns")
        self._expect(self.demand.after(-MORNING))

    def _expect(self, visit: Visit) -> None:
        self.world.plan_next(self.name, visit.at, lambda _: self._serve(visit))

    def _serve(self, visit: Visit) -> None:
        self._expect(self.demand.after(visit.at))
        sale = self.sell(visit.at, visit.basket)
        chance = self._returns
        comes_back, elsewhere, where = chance.random(), chance.random(), chance.random()
        after = int(chance.expovariate(1 / RETURN_AFTER))
        if sale is None or comes_back > RETURN_PART:
            return
        stores = self.world.cast.stores
        there = (
            self.location
            if self.location in stores and elsewhere > ELSEWHERE_PART
            else stores[int(where * len(stores))]
        )
        sku = sale.data["lines"][0]["item"]["sku"]
        self.world.plan_next(
            self.name, visit.at + after, lambda at: self.world.stores[there].take_back(at, sale, sku)
        )

    def sell(self, at: int, basket: list[Line]) -> Fact | None:
        """Hand over what there is of a basket; None when there is nothing."""
        truth = self.world.truth
        given = [(sku, min(units, truth.units(sku, self.location))) for sku, units in basket]
        self.world.lost_sales += sum(
            units < wanted for (_, units), (_, wanted) in zip(given, basket, strict=True)
        )
        given = [(sku, units) for sku, units in given if units]
        if not given:
            return None
        for sku, units in given:
            truth.move((sku, self.location), "sellable", "customer", units)
        return self._ring_up(self.world.moment(self.location, at), given)

    def _ring_up(self, at: int, given: list[Line]) -> Fact:
        raise NotImplementedError


class Store(Shop):
    """A store: registers, a back office, a shelf that some steal from and that is counted in turns."""

    def __init__(self, world: "World", location: str) -> None:
        self._tills = stream(world.seed, location, "tills")
        super().__init__(world, location, location, VISIT_EVERY)
        self._theft = stream(world.seed, location, "shrink")
        self._quality = stream(world.seed, location, "dispositions")
        self._boxes = stream(world.seed, location, "boxes")
        self._next_counted = self._theft.randrange(len(world.cast.skus))
        world.warehouse.fill_first(location, [(sku, self.level(sku)) for sku in world.cast.skus])
        self._plan_theft(-MORNING)
        begins = stream(world.seed, location, "routines")
        world.plan_next(location, -MORNING + begins.randrange(COUNT_EVERY), self._count_in_turn)
        world.plan_next(location, -MORNING + begins.randrange(REFILL_EVERY), self._refill)

    def level(self, sku: str) -> int:
        """How many of an item the shelf is meant to hold."""
        return 8 + int(3 * self.world.cast.popularity(sku))

    def _ring_up(self, at: int, given: list[Line]) -> Fact:
        return self.ring_up(at, given, 1 + self._tills.randrange(self.world.cast.registers))

    def ring_up(self, at: int, given: list[Line], register: int) -> Fact:
        """The ticket of a register."""
        link = f"{self.location}/{register}"
        number = self.world.number(link)
        fact = Fact(
            at=at,
            link=link,
            source=POS,
            id=f"T-{self.location}-{register}-{number:05d}",
            type="SaleRecorded.v1",
            data={"location": self.location, "register": str(register), "lines": lines(given)},
            sequence=number,
            moves=len(given),
        )
        self.world.say(fact)
        return fact

    def office(self, kind: str, prefix: str, at: int, data: dict[str, object], moves: int = 0) -> Fact:
        """A fact that the back office reports."""
        id_ = f"{prefix}-{self.location}-{self.world.number(f'{prefix}-{self.location}'):04d}"
        return self.world.report(
            f"{self.location}/office", POS, id_, kind, at, {"location": self.location} | data, moves
        )

    def take_back(self, at: int, sale: Fact, sku: str) -> None:
        """A customer brings one unit back; somebody looks at it later."""
        self.world.truth.move((sku, self.location), "customer", "quarantine", 1)
        original = {"source": sale.source, "id": sale.id}
        returned = self.office(
            "ReturnReceived",
            "R",
            self.world.moment(self.location, at),
            {"original": original, "lines": lines([(sku, 1)])},
            1,
        )
        to = self._quality.choices(("sellable", "damaged", "disposed"), (85, 10, 5))[0]
        later = at + 4 * MINUTE + self._quality.randrange(6 * MINUTE)
        self.world.plan_next(self.location, later, lambda now: self._dispose(now, returned, sku, to))

    def _dispose(self, at: int, returned: Fact, sku: str, to: str) -> None:
        place = {"sellable": "sellable", "damaged": "damaged", "disposed": "disposed"}[to]
        self.world.truth.move((sku, self.location), "quarantine", place, 1)  # type: ignore[arg-type]  # one of those three
        data: dict[str, object] = {"return": returned.id, "to": to, "lines": lines([(sku, 1)])}
        self.office("DispositionDecided", "D", self.world.moment(self.location, at), data, 1)

    def _plan_theft(self, at: int) -> None:
        later = at + 1 + int(self._theft.expovariate(1 / SHRINK_EVERY))
        sku = self._theft.choice(self.world.cast.skus)
        self.world.plan_next(self.location, later, lambda now: self._lose(now, sku))

    def _lose(self, at: int, sku: str) -> None:
        self.world.truth.vanish((sku, self.location), "sellable", 1)
        self._plan_theft(at)

    def _count_in_turn(self, at: int) -> None:
        skus = self.world.cast.skus
        turn = [skus[(self._next_counted + number) % len(skus)] for number in range(COUNT_LINES)]
        self._next_counted += COUNT_LINES
        self.count(at, turn)
        self.world.plan_next(self.location, at + COUNT_EVERY, self._count_in_turn)

    def count(self, at: int, skus: list[str], *, opening: bool = False) -> Fact:
        """Count what is for sale of these items, now."""
        found = [(sku, self.world.truth.count((sku, self.location))) for sku in skus]
        data = {"opening": opening, "lines": lines(found, bucket="sellable")}
        return self.office("StockCounted", "C", self.world.moment(self.location, at), data)

    def _refill(self, at: int) -> None:
        truth, low = self.world.truth, []
        for sku in self.world.cast.skus:
            coming = truth.units(sku, self.location, 3)
            here = truth.units(sku, self.location) + coming
            if here < self.level(sku) // 2:
                low.append((sku, self.level(sku) - here))
        if low:
            self.world.warehouse.ship(at, self.location, low[:REFILL_LINES])
        self.world.plan_next(self.location, at + REFILL_EVERY, self._refill)

    def unpack(self, at: int, transfer: str, sent: list[Line]) -> None:
        """A transfer arrives; sometimes a unit is missing, and sometimes that one is found later."""
        short, place, found = self._boxes.random(), self._boxes.randrange(len(sent)), self._boxes.random()
        after = 5 * MINUTE + self._boxes.randrange(10 * MINUTE)
        missing: Line | None = None
        arrived = list(sent)
        if short < SHORT_PART and sent[place][1] > 1:
            sku, units = sent[place]
            arrived[place], missing = (sku, units - 1), (sku, 1)
            self.world.truth.vanish((sku, self.location), "in_transit", 1)
        self.book_in(at, transfer, arrived)
        if missing is not None and found < FOUND_PART:
            self.world.plan_next(self.location, at + after, lambda now: self._find(now, transfer, missing))

    def _find(self, at: int, transfer: str, missing: Line) -> None:
        self.world.truth.turn_up((missing[0], self.location), "in_transit", missing[1])
        self.book_in(at, transfer, [missing])

    def hand_over(self, at: int, order: Order, reservation: str) -> None:
        """A customer picks up what was promised."""
        data: dict[str, object] = {
            "order_ref": order.ref,
            "reservation": reservation,
            "lines": lines(order.basket),
        }
        self.office("ShipmentConfirmed", "P", at, data, len(order.basket))

    def book_in(self, at: int, transfer: str, arrived: list[Line]) -> None:
        """Report what arrived of a transfer."""
        for sku, units in arrived:
            self.world.truth.move((sku, self.location), "in_transit", "sellable", units)
        data: dict[str, object] = {
            "transfer": transfer,
            "from": WAREHOUSE,
            "to": self.location,
            "lines": lines(arrived),
        }
        self.office("TransferReceived", "A", self.world.moment(self.location, at), data, len(arrived))


class Warehouse:
    """The warehouse: buys, fills the stores' shelves, and sends out what the web shop sold."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self._transit = stream(world.seed, WAREHOUSE, "transit")
        self._stock([(sku, self.level(sku)) for sku in world.cast.skus], -MORNING, "opening", WAREHOUSE)
        world.plan_next(WAREHOUSE, -MORNING + BUY_EVERY, self._buy)

    def level(self, sku: str) -> int:
        return 30 * (8 + int(3 * self.world.cast.popularity(sku)))

    def fill_first(self, location: str, stock: list[Line]) -> None:
        """What a store has when its doors open, counted."""
        self._stock(stock, -MORNING, "opening", location)

    def _stock(self, stock: list[Line], at: int, why: str, location: str) -> None:
        for sku, units in stock:
            self.world.truth.move((sku, location), "opening", "sellable", units)
        link, source = (f"{WAREHOUSE}/office", WMS) if location == WAREHOUSE else (f"{location}/office", POS)
        data = {"location": location, "opening": True, "lines": lines(stock, bucket="sellable")}
        self.world.report(
            link, source, f"C-{location}-{why}", "StockCounted", self.world.moment(location, at), data
        )

    def _buy(self, at: int) -> None:
        truth = self.world.truth
        low = [
            (sku, self.level(sku) - there)
            for sku in self.world.cast.skus
            if (there := truth.units(sku, WAREHOUSE)) < self.level(sku) * 9 // 10
        ]
        if low:
            self.receive(at, low)
        self.world.plan_next(WAREHOUSE, at + BUY_EVERY, self._buy)

    def receive(self, at: int, delivered: list[Line]) -> None:
        """A supplier delivers."""
        for sku, units in delivered:
            self.world.truth.move((sku, WAREHOUSE), "supplier", "sellable", units)
        number = self.world.number("PO")
        data = {"location": WAREHOUSE, "document": f"PO-{number:05d}", "lines": lines(delivered)}
        moment = self.world.moment(WAREHOUSE, at)
        self.world.report(
            f"{WAREHOUSE}/office", WMS, f"G-{number:05d}", "GoodsReceived", moment, data, len(delivered)
        )

    def send(self, at: int, order: Order, reservation: str) -> None:
        """Send to a customer what was promised."""
        data = {
            "location": WAREHOUSE,
            "order_ref": order.ref,
            "reservation": reservation,
            "lines": lines(order.basket),
        }
        number = self.world.number("SH")
        self.world.report(
            f"{WAREHOUSE}/dock", WMS, f"SH-{number:05d}", "ShipmentConfirmed", at, data, len(order.basket)
        )

    def ship(self, at: int, to: str, wanted: list[Line], *, arrives: int | None = None) -> None:
        """Send to a store what there is of this."""
        truth = self.world.truth
        sent = [(sku, units) for sku, wish in wanted if (units := min(wish, truth.units(sku, WAREHOUSE)))]
        under_way = 5 * MINUTE + self._transit.randrange(7 * MINUTE)
        if not sent:
            return
        for sku, units in sent:
            truth.move((sku, WAREHOUSE), "sellable", "transit", units)
            truth.move((sku, to), "transit", "in_transit", units)
        transfer = f"TR-{self.world.number('TR'):05d}"
        data = {"transfer": transfer, "from": WAREHOUSE, "to": to, "lines": lines(sent)}
        moment = self.world.moment(WAREHOUSE, at)
        self.world.report(
            f"{WAREHOUSE}/dock", WMS, f"S-{transfer}", "TransferShipped", moment, data, 2 * len(sent)
        )
        store = self.world.stores[to]
        if arrives is None:
            self.world.plan_next(to, at + under_way, lambda now: store.unpack(now, transfer, sent))
        else:
            self.world.plan_next(to, arrives, lambda now: store.book_in(now, transfer, sent))


class WebShop(Shop):
    """The web shop: what it sold in the morning comes in as sales; once the show is open, its customers reserve."""

    def __init__(self, world: "World") -> None:
        self._fates = stream(world.seed, WEB, "fates")
        super().__init__(world, WEB, WAREHOUSE, ORDER_EVERY)

    def sell(self, at: int, basket: list[Line]) -> Fact | None:
        if at < 0:
            return super().sell(at, basket)
        place_order(self.world, self._fates, at, HOME_DELIVERY, WAREHOUSE, basket)
        return None

    def _ring_up(self, at: int, given: list[Line]) -> Fact:
        order = f"ORD-{10_000 + self.world.number('ORD')}"
        data = {"location": WAREHOUSE, "ticket": order, "lines": lines(given)}
        return self.world.report(f"{WEB}/orders", WEB, order, "SaleRecorded", at, data, len(given))


class ClickAndCollect:
    """Customers of the web shop who pick up in a store, off the shelf that its own customers buy from."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self._fates = stream(world.seed, COLLECT, "fates")
        self._demand = Demand(world.seed, COLLECT, world.cast, COLLECT_EVERY)
        self._expect(self._demand.after(0))

    def _expect(self, visit: Visit) -> None:
        self.world.plan_next(COLLECT, visit.at, lambda _: self._serve(visit))

    def _serve(self, visit: Visit) -> None:
        self._expect(self._demand.after(visit.at))
        self.order(visit.at, self._fates.choice(self.world.cast.collect_stores), visit.basket)

    def order(self, at: int, location: str, basket: list[Line], end: End | None = None) -> None:
        """Somebody wants to pick this up there."""
        place_order(self.world, self._fates, at, COLLECT, location, basket, end)
