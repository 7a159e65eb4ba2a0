"""What really stands where, and what the books cannot know yet.

what the hub must believe, once every fact has arrived  =  truth + what vanished and nobody has counted since
"""

from collections import defaultdict
from typing import Final

from evenstock.core.ledger import BUCKETS, INDEX, Place, Vector, add_effect

Spot = tuple[str, str]  # sku, location
SELLABLE: Final = INDEX["sellable"]


class Truth:
    """Units by item, location and bucket; never below zero, for these are things."""

    def __init__(self) -> None:
        self._really: dict[Spot, list[int]] = defaultdict(lambda: [0] * len(BUCKETS))
        self._unseen: dict[Spot, list[int]] = defaultdict(lambda: [0] * len(BUCKETS))

    def units(self, sku: str, location: str, bucket: int = SELLABLE) -> int:
        return self._really[sku, location][bucket]

    def unseen(self, sku: str, location: str, bucket: int = SELLABLE) -> int:
        """Units that are gone and that no count has missed yet."""
        return self._unseen[sku, location][bucket]

    def move(self, spot: Spot, from_place: Place, to_place: Place, units: int) -> None:
        """Something happened that a fact tells."""
        there = self._really[spot]
        add_effect(there, from_place, to_place, units)
        self._check(there)

    def vanish(self, spot: Spot, bucket: str, units: int) -> int:
        """Units go and no fact tells it; returns how many there were to go."""
        there = self._really[spot]
        gone = min(units, there[INDEX[bucket]])
        there[INDEX[bucket]] -= gone
        self._unseen[spot][INDEX[bucket]] += gone
        return gone

    def turn_up(self, spot: Spot, bucket: str, units: int) -> int:
        """Units that had vanished are there again; returns how many."""
        found = min(units, self._unseen[spot][INDEX[bucket]])
        self._unseen[spot][INDEX[bucket]] -= found
        self._really[spot][INDEX[bucket]] += found
        return found

    def drift(self, spot: Spot, bucket: str, units: int) -> None:
        """Units appear (or, below zero, go) and no fact tells it."""
        there = self._really[spot]
        there[INDEX[bucket]] += units
        self._check(there)
        self._unseen[spot][INDEX[bucket]] -= units

    def count(self, spot: Spot) -> int:
        """Somebody counts what is for sale: its units; the books know it from here on."""
        self._unseen[spot][SELLABLE] = 0
        return self._really[spot][SELLABLE]

    def books(self) -> dict[Spot, Vector]:
        """What the hub must believe once it knows every fact."""
        return {spot: self._sum(there, self._unseen[spot]) for spot, there in list(self._really.items())}

    def undiscovered(self) -> int:
        """Units that are gone and that the books still have."""
        return sum(sum(unseen) for unseen in self._unseen.values())

    @staticmethod
    def _check(there: list[int]) -> None:
        if min(there) < 0:
            raise ValueError("the world gave away what it does not have")

    @staticmethod
    def _sum(there: list[int], unseen: list[int]) -> Vector:
        sellable, quarantine, damaged, in_transit = (a + b for a, b in zip(there, unseen, strict=True))
        return (sellable, quarantine, damaged, in_transit)
