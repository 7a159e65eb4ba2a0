"""What is sure to be seen in every act of a show: a late register, a mistake, thefts and their discovery, an unknown item."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from evenstock.estate.cast import COLLECT_SAFETY, HERO, LAST
from evenstock.estate.facts import MINUTE, SECOND, Fact, NewItem, lines
from evenstock.estate.orders import End

if TYPE_CHECKING:
    from evenstock.estate.world import World

ACTOR: Final = "storyline"
SCARCE: Final = "TSH-WHT-S"
DELIVERY: Final = 24  # units that arrive unreported
WHY_AT: Final = 0.62  # the part of an act at which the lead's hero item has the most to tell
WHY_CHANNEL_AT: Final = 0.84  # and at which the channel has
TAKEN_AFTER: Final = 30 * SECOND  # before the earliest that an order is handed over
PROMISED: Final[tuple[tuple[float, int, End], ...]] = (
    (0.03, 2, "handed_over"),
    (0.09, 1, "left"),
    (0.16, 3, "cancelled"),
    (0.30, 2, "handed_over"),
    (0.66, 1, "left"),
    (0.72, 2, "handed_over"),
    (0.76, 1, "cancelled"),
    (0.80, 2, "handed_over"),
)  # the hero, wanted by customers of the web shop at the lead: when, how many, what comes of it


def novelty(act: int) -> str:
    """The item that sells in an act before anybody has put it into the item master."""
    return f"NEW-{act + 1:03d}-RED"


class Storyline:
    """The scenes of each act, planned one act at a time."""

    def __init__(self, world: "World") -> None:
        self.world = world
        lead = world.stores[world.plan.lead(0)]
        for minutes in (38, 27):
            world.plan_next(ACTOR, -minutes * MINUTE, lambda at: self._sell_unheard(at, lead.location))
        world.plan_next(ACTOR, -35 * MINUTE, lambda _: self._steal(lead.location, 1))
        world.plan_next(ACTOR, -20 * MINUTE, lambda at: self._count(at, lead.location))
        world.plan_next(ACTOR, 0, lambda _: self._act(0))

    def _act(self, act: int) -> None:
        plan, world = self.world.plan, self.world
        lead, cut_off, paperless = plan.lead(act), plan.cut_off(act), plan.paperless(act)
        self._scene(act, 0.02, lambda at: self._unknown_item(at, act))
        arrives = plan.time(act, 0.19)
        self._scene(
            act, 0.04, lambda at: world.warehouse.ship(at, paperless, [(SCARCE, DELIVERY)], arrives=arrives)
        )
        self._scene(act, 0.18, lambda at: self._buy_and_return(at, cut_off, lead, plan.time(act, 0.28)))
        self._scene(act, 0.20, lambda at: self._mistake(at, lead, plan.time(act, 0.36)))
        self._scene(act, 0.22, lambda _: self._steal(lead, 2))
        self._scene(act, 0.24, lambda at: self._sell_out(at, paperless))
        self._scene(act, 0.56, lambda at: self._count(at, lead))
        shelf = lead if lead in world.cast.collect_stores else world.cast.collect_stores[0]
        self._scene(act, 0.44, lambda at: self._last_units(at, shelf))
        for part, units, end in PROMISED:
            self._scene(act, part, partial(self._order, location=shelf, units=units, end=end))
        world.plan_next(ACTOR, plan.time(act + 1, 0), lambda _: self._act(act + 1))

    def _scene(self, act: int, part: float, action: Callable[[int], Any]) -> None:
        self.world.plan_next(ACTOR, self.world.plan.time(act, part), action)

    def _order(self, at: int, location: str, units: int, end: End) -> None:
        """Somebody at home wants the hero off the shelf that the store sells it from."""
        self.world.collect.order(at, location, [(HERO, units)], end)

    def _last_units(self, at: int, location: str) -> None:
        """Somebody at home is promised some of the last units; somebody in the store takes them all off the shelf meanwhile."""
        truth, store = self.world.truth, self.world.stores[location]
        known = truth.units(LAST, location) + truth.unseen(LAST, location)
        self.world.collect.order(at, location, [(LAST, max(1, (known - COLLECT_SAFETY) // 2))], "handed_over")

        def take(now: int) -> None:
            store.sell(now, [(LAST, truth.units(LAST, location))])

        self.world.plan_next(ACTOR, at + TAKEN_AFTER, take)

    def _sell_unheard(self, at: int, location: str) -> None:
        """The register without a line sells the hero; the count that follows misses it before the sale is known."""
        world = self.world
        world.truth.move((HERO, location), "sellable", "customer", 1)
        world.stores[location].ring_up(world.moment(location, at), [(HERO, 1)], 2)

    def _unknown_item(self, at: int, act: int) -> None:
        """A novelty reaches two stores before it reaches the item master; it sells all the same."""
        world, plan = self.world, self.world.plan
        sku = novelty(act)
        for number, location in enumerate((plan.lead(act), plan.paperless(act))):
            store = world.stores[location]
            world.truth.move((sku, location), "supplier", "sellable", 30)
            store.office("GoodsReceived", "G", world.moment(location, at), {"lines": lines([(sku, 30)])}, 1)
            buy = partial(store.sell, basket=[(sku, 1), ("SCK-BLK-39-42", 1)])
            for part in (0.07, 0.14, 0.26, 0.33, 0.44, 0.70):
                self._scene(act, part + number / 100, buy)
        world.owe(ACTOR, plan.time(act, 0.50), lambda now: world.say(NewItem(now, sku)))

    def _buy_and_return(self, at: int, there: str, here: str, later: int) -> None:
        """Bought in a store that is offline, brought back to another, which cannot know the sale."""
        sale = self.world.stores[there].sell(at, [(HERO, 1)])
        if sale is not None:
            self.world.plan_next(ACTOR, later, lambda now: self.world.stores[here].take_back(now, sale, HERO))

    def _mistake(self, at: int, location: str, later: int) -> None:
        """A sale is rung up that never was; the goods stay on the shelf, and a void takes it back."""
        world = self.world
        mistake = world.stores[location].ring_up(world.moment(location, at), [(HERO, 1)], 1)
        world.owe(ACTOR, later, lambda now: self._void(now, location, mistake))

    def _void(self, at: int, location: str, mistake: Fact) -> None:
        world = self.world
        data = {"target": mistake.id, "goods": "never_left", "reason": "rung up twice"}
        id_ = f"V-{location}-{world.number('V'):04d}"
        world.report(mistake.link, mistake.source, id_, "FactVoided", world.moment(location, at), data, 1)

    def _steal(self, location: str, units: int) -> None:
        self.world.truth.vanish((HERO, location), "sellable", units)

    def _sell_out(self, at: int, location: str) -> None:
        """Goods sell that the books have not seen arrive: the books go below zero."""
        truth = self.world.truth
        known = truth.units(SCARCE, location) + truth.unseen(SCARCE, location) - DELIVERY
        self.world.stores[location].sell(at, [(SCARCE, max(1, known + 4))])

    def _count(self, at: int, location: str) -> None:
        skus = [HERO, *(sku for sku in self.world.cast.skus[:4] if sku != HERO)]
        self.world.stores[location].count(at, skus)
