"""What a play is measured by: who was disappointed and why, how late things were known, how long drift lay hidden."""

from collections import Counter, defaultdict
from typing import Literal

from evenstock.estate.box.demand import Goods
from evenstock.estate.box.told import Spot

OversellCause = Literal["hub", "stale channel", "late source", "accepted risk", "physical drift"]
LostCause = Literal["stale channel", "safety stock", "offline store", "late source", "physical drift"]


class Measures:
    """Counters of one play."""

    def __init__(self) -> None:
        self.walk_in_lines = 0
        self.walk_in_lost = 0
        self.wanted: Counter[str] = Counter()  # by channel, units
        self.accepted: Counter[str] = (
            Counter()
        )  # by channel, units that a customer was promised by the channel
        self.shipped = 0  # units of orders
        self.resourced = 0
        self.cancelled = 0
        self.abandoned = 0
        self.oversold: Counter[tuple[str, str, str]] = Counter()  # channel, cause, detail
        self.lost: Counter[tuple[str, str, str]] = Counter()
        self.sold_out = 0  # units that nobody could have sold
        self.detected: list[int] = []  # from drift to the count that found it
        self.dark: Counter[str] = Counter()  # store → µs without a line
        self.missed: dict[Spot, int] = {}  # when a count last found units missing
        self._hidden: defaultdict[Spot, list[int]] = defaultdict(list)

    def walk_ins(self, wanted: tuple[Goods, ...], given: tuple[Goods, ...]) -> None:
        self.walk_in_lines += len(wanted)
        self.walk_in_lost += len(wanted) - len(given)

    def drifted(self, spot: Spot, at: int) -> None:
        """Truth and books part."""
        self._hidden[spot].append(at)

    def counted(self, spot: Spot, at: int, unseen: int) -> None:
        """They meet again."""
        hidden = self._hidden.pop(spot, ())
        if unseen > 0:
            self.missed[spot] = at
        if unseen:
            self.detected += [at - since for since in hidden]

    @property
    def undetected(self) -> int:
        """Drifts that nobody has found."""
        return sum(len(hidden) for hidden in self._hidden.values())
