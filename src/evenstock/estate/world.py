"""The world: an agenda of what people do next, the truth that changes with it, and the facts that somebody reports.

No clock, no I/O: `until` plays on to a time and yields what was reported by then. The same seed, cast and plan play the
same world, however it is cut into calls.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from evenstock.estate import actors, scenes
from evenstock.estate.cast import Cast
from evenstock.estate.facts import STEP, Fact, NewItem
from evenstock.estate.orders import Order
from evenstock.estate.plan import MORNING, Plan
from evenstock.estate.truth import Truth

Action = Callable[[int], None]
Said = Fact | NewItem | Order


class World:
    """A retail estate, played from a seed."""

    def __init__(self, seed: int, cast: Cast, plan: Plan) -> None:
        self.seed = seed
        self.cast = cast
        self.plan = plan
        self.truth = Truth()
        self.lost_sales = 0  # customers who found the shelf empty
        self._agenda: list[tuple[int, str, int, Action]] = []
        self._planned: dict[str, int] = defaultdict(int)  # entries made, by actor
        self._owed: dict[int, Action] = {}
        self._last: dict[str, int] = {}  # instant of the last fact, by location
        self._numbers: dict[str, int] = defaultdict(int)
        self._said: list[Said] = []
        self._now = -MORNING
        self.warehouse = actors.Warehouse(self)
        self.stores = {id_: actors.Store(self, id_) for id_ in cast.stores}
        self.web = actors.WebShop(self)
        self.collect = actors.ClickAndCollect(self)
        scenes.Storyline(self)

    def until(self, at: int) -> list[Said]:
        """Play on to this time; what was reported since the last call, in the order in which it happened."""
        while self._agenda and self._agenda[0][0] <= at:
            self._now, _, _, action = heapq.heappop(self._agenda)
            action(self._now)
        self._now = max(self._now, at)
        said, self._said = self._said, []
        return said

    def close(self) -> list[Said]:
        """The world stops; what somebody owes the hub (a void, a missing master) is said now."""
        self._agenda.clear()
        for action in list(self._owed.values()):
            action(self._now)
        return self.until(self._now)

    def hand_over(self, order: Order, reservation: str) -> bool:
        """What was promised leaves the house, now; whether it was there."""
        lacking = [sku for sku, units in order.basket if self.truth.units(sku, order.location) < units]
        if lacking:
            return False
        for sku, units in order.basket:
            self.truth.move((sku, order.location), "sellable", "customer", units)
        at = self.moment(order.location, self._now)
        if order.location in self.stores:
            self.stores[order.location].hand_over(at, order, reservation)
        else:
            self.warehouse.send(at, order, reservation)
        return True

    # For actors

    def plan_next(self, actor: str, at: int, action: Action) -> None:
        """Put something on the agenda; of two at one time the order is by actor, then as they were planned."""
        self._planned[actor] += 1
        heapq.heappush(self._agenda, (at, actor, self._planned[actor], action))

    def owe(self, actor: str, at: int, action: Action) -> None:
        """The same, for what has to be done even when the world stops before."""
        number = len(self._owed) if not self._owed else max(self._owed) + 1

        def settle(now: int) -> None:
            if self._owed.pop(number, None) is not None:
                action(now)

        self._owed[number] = settle
        self.plan_next(actor, at, settle)

    def moment(self, location: str, at: int) -> int:
        """An instant for a fact at a location, later than that of any fact before: two are never a tie."""
        self._last[location] = max(at, self._last.get(location, at - STEP) + STEP)
        return self._last[location]

    def number(self, series: str) -> int:
        """The next number of a series: tickets of a register, transfers."""
        self._numbers[series] += 1
        return self._numbers[series]

    def say(self, said: Said) -> None:
        self._said.append(said)

    def report(
        self, link: str, source: str, id_: str, type_: str, at: int, data: dict[str, Any], moves: int = 0
    ) -> Fact:
        """Somebody reports a fact without a sequence of its own."""
        fact = Fact(at=at, link=link, source=source, id=id_, type=f"{type_}.v1", data=data, moves=moves)
        self.say(fact)
        return fact
