"""A store: registers, customers who take what is there, returns, thieves, and people who count."""

from typing import TYPE_CHECKING, Final

from evenstock.core.ledger import INDEX
from evenstock.estate.box import paper
from evenstock.estate.box.agenda import HOUR, MINUTE, SECOND
from evenstock.estate.box.demand import Goods, Visit
from evenstock.estate.box.lines import Line
from evenstock.estate.box.places import Place
from evenstock.estate.box.scenario import DEPOT
from evenstock.estate.box.told import Moved, Told
from evenstock.estate.chance import stream

if TYPE_CHECKING:
    from evenstock.estate.box.box import Box

IN_TRANSIT: Final = INDEX["in_transit"]
RETURN_AFTER: Final = 2 * HOUR
ELSEWHERE: Final = 0.3  # part of the returns that go to another store
LOOKED_AT_AFTER: Final = 10 * MINUTE
VOIDED_AFTER: Final = 10 * SECOND


class Register:
    """A till: the name on it, its installation, its number, and how wrong its clock is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.epoch = 1
        self.number = 0
        self.clock_error = 0  # µs
        self._given = name
        self._installations = 1

    @property
    def is_clone(self) -> bool:
        """Whether it goes by another's name."""
        return self.name != self._given

    def next_number(self) -> tuple[str, int, int]:
        """Name, epoch and number of the next ticket."""
        self.number += 1
        return self.name, self.epoch, self.number

    def copy(self, other: "Register") -> None:
        """It is set up from a copy of another's disk: name, installation and number."""
        self.name, self.epoch, self.number = other.name, other.epoch, other.number

    def install(self) -> None:
        """A new installation under its own name: its numbers begin again."""
        self._installations += 1
        self.name, self.epoch, self.number = self._given, self._installations, 0


class Store(Place):
    """One store."""

    def __init__(self, box: "Box", number: int, line: Line) -> None:
        super().__init__(box, box.store_names[number], paper.OFFICE, line)
        name, what = self.name, box.scenario.stores
        self.what = what
        self._levels = box.market.levels(number)
        self.skus = list(self._levels)
        self.registers = [Register(str(nth)) for nth in range(1, what.registers + 1)]
        self.had_clone = False  # from then on a void would not know whose ticket it takes back
        self._shrink = stream(box.seed, name, "shrink")
        self._counting = stream(box.seed, name, "counting")
        self._demand = box.market.walk_ins(number, self.skus)
        self._open_shelves()
        self._expect(0)
        self._plan_shrink()
        self._plan_count()
        self._plan_delivery()

    def _open_shelves(self) -> None:
        chance = stream(self.box.seed, self.name, "shelves")
        goods = []
        for sku, level in self._levels.items():
            really = int(level * (0.4 + 1.2 * chance.random())) + 1
            wrong, by = chance.random(), chance.choice((-2, -1, 1, 2))
            recorded = max(0, really + by) if wrong < self.what.wrong_records else really
            goods.append((sku, recorded, really))
        self.stock(goods)

    # Customers

    def _expect(self, after: int) -> None:
        visit = self._demand.after(after, self.box.closes_at)
        if visit is not None:
            self.box.agenda.plan(visit.at, self._serve, visit)

    def _serve(self, visit: Visit) -> None:
        self._expect(visit.at)
        given = tuple(
            (sku, min(units, there)) for sku, units in visit.basket if (there := self.units(sku)) > 0
        )
        self.box.measures.walk_ins(visit.basket, given)
        if not given:
            return
        register = self.registers[int(visit.luck[0] * len(self.registers))]
        told = self._ring_up(given, register)
        if visit.luck[1] < self.what.misscans:
            self._misscan(given[0][0], visit.luck[2])
        if visit.luck[3] < self.what.mistakes and not self.had_clone:
            self._by_mistake(given[:1], register, visit.luck[2])
        if visit.luck[4] < self.what.returns:
            self._will_come_back(told, given[0][0], visit.luck)

    def _ring_up(self, given: paper.Basket, register: Register) -> Told:
        at = self.moment()
        return self._ticket(at, given, register, self.moves(given, "sellable", "customer"))

    def _ticket(self, at: int, given: paper.Basket, register: Register, moved: tuple[Moved, ...]) -> Told:
        box = self.box
        name, epoch, number = register.next_number()
        stamp = at + register.clock_error
        id_ = f"T-{self.name}-{name}-{epoch}-{number}"
        event = paper.sale(id_, box.instant(stamp), self.name, name, given, number, epoch)
        told = Told(event, at, stamp, self.name, moved)
        box.trace.note(at, "sold", self.name, *given)
        self.line.send(told)
        return told

    def clone(self) -> None:
        """The second register is set up from a copy of the first."""
        first, second = self.registers[:2]
        if not second.is_clone:
            second.copy(first)
            self.had_clone = True

    def unmask(self) -> None:
        """It gets a name of its own again, and a new installation."""
        second = self.registers[1]
        if second.is_clone:
            second.install()

    def _misscan(self, scanned: str, luck: float) -> None:
        """The ticket names an item that stayed; another one left."""
        other = self.skus[int(luck * len(self.skus))]
        if other != scanned and self.units(other) > 0:
            self.drift(scanned, 1)
            self.drift(other, -1)

    def _by_mistake(self, goods: paper.Basket, register: Register, luck: float) -> None:
        """A ticket for goods that never left; a void takes it back."""
        at = self.moment()
        moved = tuple(Moved((sku, self.name), "sellable", "customer", units) for sku, units in goods)
        told = self._ticket(at, goods, register, moved)
        after = VOIDED_AFTER + int(luck**4 * HOUR)  # mostly at once
        self.box.agenda.plan(at + after, self._void, told)

    def _void(self, mistake: Told) -> None:
        at = self.moment()
        event = paper.voided(self.number("V"), mistake.key[0], self.box.instant(at), mistake.key[1])
        self.line.send(Told(event, at, at, self.name, voids=mistake.key))

    # Returns

    def _will_come_back(self, sale: Told, sku: str, luck: tuple[float, ...]) -> None:
        stores = self.box.stores
        there = stores[int(luck[6] * len(stores))] if luck[5] < ELSEWHERE else self
        after = int(RETURN_AFTER * (0.1 + 2 * luck[7]))
        if self.box.agenda.now + after < self.box.closes_at:
            self.box.agenda.plan(self.box.agenda.now + after, there.take_back, sale, sku, luck[2])

    def take_back(self, sale: Told, sku: str, luck: float) -> None:
        """A customer brings a unit back; it is looked at later."""
        at = self.moment()
        moved = self.moves(((sku, 1),), "customer", "quarantine")
        event = paper.returned(self.number("R"), self.box.instant(at), self.name, ((sku, 1),), sale.key)
        self.report(event, at, moved)
        after = LOOKED_AT_AFTER + int(luck * HOUR)
        self.box.agenda.plan(at + after, self._look_at, event.id, sku, luck)

    def _look_at(self, of_return: str, sku: str, luck: float) -> None:
        to = "sellable" if luck < 0.85 else "damaged" if luck < 0.95 else "disposed"
        at = self.moment()
        moved = self.moves(((sku, 1),), "quarantine", to)  # type: ignore[arg-type]  # one of the three
        event = paper.disposed(self.number("D"), self.box.instant(at), self.name, ((sku, 1),), of_return, to)
        self.report(event, at, moved)

    # What nobody sees, and those who look

    def _plan_shrink(self) -> None:
        if self.what.shrink_per_hour > 0:
            after = int(self._shrink.expovariate(self.what.shrink_per_hour) * HOUR)
            sku = self.skus[int(self._shrink.random() * len(self.skus))]
            if self.box.agenda.now + after < self.box.closes_at:
                self.box.agenda.plan(self.box.agenda.now + after, self._lose, sku)

    def _lose(self, sku: str) -> None:
        if self.units(sku) > 0:
            self.drift(sku, -1)
        self._plan_shrink()

    def _plan_count(self) -> None:
        if self.what.counts_per_hour > 0:
            after = int(self._counting.expovariate(self.what.counts_per_hour) * HOUR)
            if self.box.agenda.now + after < self.box.closes_at:
                self.box.agenda.plan(self.box.agenda.now + after, self._count)

    def _count(self) -> None:
        self.count_some(int(self._counting.random() * len(self.skus)), self.skus, self.what.count_lines)
        self._plan_count()

    # Deliveries

    def _plan_delivery(self) -> None:
        if self.what.delivered_at is None:
            return
        at = (self.box.agenda.now // HOUR + 1) * HOUR
        while self.box.hour(at) != self.what.delivered_at:
            at += HOUR
        if at < self.box.closes_at:
            self.box.agenda.plan(at, self._take_delivery)

    def _take_delivery(self) -> None:
        """The supplier fills shelves less than half full."""
        goods = tuple(self.wants())
        if goods:
            at = self.moment()
            moved = self.moves(goods, "supplier", "sellable")
            self.report(paper.received(self.number("G"), self.box.instant(at), self.name, goods), at, moved)
        self._plan_delivery()

    def wants(self) -> list[Goods]:
        """What the shelf lacks, the emptiest first."""
        truth, name = self.box.truth, self.name
        lacking = [
            (there / level, sku, level - there)
            for sku, level in self._levels.items()
            if (there := truth.units(sku, name) + truth.units(sku, name, IN_TRANSIT)) * 2 < level
        ]
        return [(sku, units) for _, sku, units in sorted(lacking)]

    def unpack(self, transfer: str, goods: paper.Basket, missing: Goods | None) -> None:
        """A transfer arrives; sometimes a unit does not."""
        if missing is not None:
            sku = missing[0]
            self.drift(sku, -1, "in_transit")
            goods = tuple(
                (name, number - (name == sku)) for name, number in goods if (name, number) != (sku, 1)
            )
        if not goods:
            return
        at = self.moment()
        moved = self.moves(goods, "in_transit", "sellable")
        event = paper.arrived(f"A-{transfer}", self.box.instant(at), transfer, DEPOT, self.name, goods)
        self.report(event, at, moved)
