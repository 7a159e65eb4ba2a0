"""What customers want, and when: drawn without a look at any shelf, so that every policy meets the same customers."""

from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from evenstock.estate.box.agenda import HOUR
from evenstock.estate.box.scenario import Promotion
from evenstock.estate.chance import stream

STORE_HOURS: Final = (
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.2, 0.4, 0.6, 0.7, 0.9, 1.1, 1.3, 1.2, 1.1, 1.1, 1.2, 1.4, 1.3, 1.0, 0.7, 0.4, 0.2, 0.1,
)  # fmt: skip
WEB_HOURS: Final = (
    0.4, 0.2, 0.1, 0.1, 0.1, 0.2, 0.4, 0.7, 0.9, 1.0, 1.1, 1.1, 1.2, 1.1, 1.1, 1.1, 1.1, 1.2, 1.3, 1.6, 1.8, 1.7, 1.4, 0.9,
)  # fmt: skip
LUCKS: Final = 8  # numbers between 0 and 1 that decide what becomes of a visit, whatever happens elsewhere
QUANTITIES: Final = (1, 1, 1, 1, 1, 1, 1, 2, 2, 3)
KINDS: Final = (1, 1, 1, 2, 2, 3)

Goods = tuple[str, int]  # sku, units


def popularity(rank: int) -> float:
    """How often an item is wanted, beside others."""
    return 1.0 / (rank + 6)


def levels(ranks: Sequence[int], average: float) -> list[int]:
    """How many units of each item are meant to be there: more of what is wanted more, at least two."""
    weights = [popularity(rank) for rank in ranks]
    unit = average * len(weights) / sum(weights)
    return [max(2, round(weight * unit)) for weight in weights]


class Visit(NamedTuple):
    """Somebody wants something, whether it is there or not."""

    at: int
    basket: tuple[Goods, ...]
    luck: tuple[float, ...]


class Wishes:
    """Which items are wanted, how much more than others; some of them far more for a while."""

    def __init__(self, skus: Sequence[str], ranks: Sequence[int], promotion: Promotion | None) -> None:
        self.skus = skus
        plain = [popularity(rank) for rank in ranks]
        special = [
            weight * (promotion.factor if promotion is not None and rank < promotion.items else 1.0)
            for weight, rank in zip(plain, ranks, strict=True)
        ]
        self._plain = list(accumulate(plain))
        self._special = list(accumulate(special))
        self._promotion = promotion

    def during(self, at: int) -> tuple[list[float], float]:
        """The weights at a time, summed up, and how much busier it is than on a plain day."""
        promotion = self._promotion
        if promotion is None or not 0 <= at - promotion.begins * HOUR < promotion.hours * HOUR:
            return self._plain, 1.0
        return self._special, self._special[-1] / self._plain[-1]


class Demand:
    """The customers of one place."""

    def __init__(
        self,
        seed: int,
        place: str,
        rate: Callable[[int], float],
        wishes: Wishes,
        kinds: Sequence[int] = KINDS,
    ) -> None:
        self._chance = stream(seed, place, "demand")
        self._rate = rate
        self._wishes = wishes
        self._kinds = kinds

    def after(self, at: int, until: int) -> Visit | None:
        """The next visit, None when there is none before a time."""
        chance = self._chance
        while True:
            weights, busier = self._wishes.during(at)
            rate = self._rate(at) * busier
            ends = (at // HOUR + 1) * HOUR
            gap = int(chance.expovariate(rate) * HOUR) + 1 if rate > 0 else HOUR
            if at + gap < ends:
                break
            at = ends
            if at >= until:
                return None
        at += gap
        if at >= until:
            return None
        total, skus = weights[-1], self._wishes.skus
        luck = chance.random
        basket: dict[str, int] = {}
        for _ in range(self._kinds[int(luck() * len(self._kinds))]):
            sku = skus[bisect(weights, luck() * total)]
            basket[sku] = QUANTITIES[int(luck() * len(QUANTITIES))]
        return Visit(at, tuple(basket.items()), tuple([luck() for _ in range(LUCKS)]))
