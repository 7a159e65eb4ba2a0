"""How facts travel: a link is slow now and then, says things twice, loses its line, and has everything come at once."""

from typing import Final, Literal

import msgspec

from evenstock.estate.chance import stream
from evenstock.estate.facts import Fact
from evenstock.estate.pace import Pace
from evenstock.estate.plan import Plan

LATENCY_S: Final = 0.15
AGAIN_PART: Final = 0.03  # of facts are sent twice: the answer got lost
AGAIN_AFTER_S: Final = (0.5, 2.5)
OVERTAKEN_PART: Final = 0.015  # of facts have to be sent again later, and others overtake them
OVERTAKEN_S: Final = 1.5


class Delivery(msgspec.Struct, frozen=True):
    """A fact reaches the hub's door, in world time."""

    at: int
    fact: Fact
    kind: Literal["first", "again"] = "first"
    late: bool = False  # its line was cut

    @property
    def order(self) -> tuple[int, int, str, str]:
        return (self.at, self.fact.at, self.fact.id, self.kind)


class Link:
    """What one sender's line does to its facts; first deliveries keep their order, but for the odd one overtaken."""

    def __init__(self, seed: int, name: str, plan: Plan, pace: Pace) -> None:
        self._name = name
        self._plan = plan
        self._pace = pace
        self._random = stream(seed, name, "network")
        self._last = -(10**15)

    def carry(self, fact: Fact) -> list[Delivery]:
        """When the hub gets it, and gets it again."""
        chance, second = self._random, self._pace.second
        latency = chance.expovariate(1 / LATENCY_S)
        overtaken, again, after = chance.random(), chance.random(), chance.uniform(*AGAIN_AFTER_S)
        at = max(self._last, fact.at + int(latency * second))
        back = self._plan.away_until(self._name, fact.at) or self._plan.away_until(self._name, at)
        if back is not None:
            at = max(at, back)
        self._last = at
        if back is None and overtaken < OVERTAKEN_PART:
            at += int(OVERTAKEN_S * second)
        carried = [Delivery(at, fact, late=back is not None)]
        if again < AGAIN_PART:
            carried.append(Delivery(at + int(after * second), fact, "again"))
        return carried
