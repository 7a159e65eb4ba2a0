"""What a channel is told of an item: one number from positions and the channel's terms, and every term of it (DESIGN §5, S8).

The explanation is made of steps, of which each location has the same; they add up to the number, always.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from evenstock.core.availability import PositionRow
from evenstock.core.ledger import BUCKETS, Bucket
from evenstock.core.quantity import DECIMALS_MAX

LOW: Final = (
    3  # base units: at or below it a channel is about to sell what is not there, so it is told before others
)
TO_ZERO, TO_LOW, OTHER = 0, 1, 2  # ranks of what is told first (S55, S56)

LABELS: Final = (
    "on_hand", "quarantine", "damaged", "sellable", "in_transit", "elsewhere", "reserved", "allocated", "own_orders",
    "overcommitted", "safety_stock",
)  # fmt: skip
_LEFT_OUT: Final[tuple[tuple[int, Bucket], ...]] = ((1, "quarantine"), (2, "damaged"), (0, "sellable"))

Steps = tuple[int, ...]  # signed units, in the order of LABELS


class Terms(msgspec.Struct, frozen=True):
    """What a channel may sell from, what is kept back from it, and what a number means to it (D9).

    `own_orders_back`: the system takes its own open orders off what it is told, so they are not taken off here (S35, S36).
    """

    locations: frozenset[str] = frozenset()
    safety_stock: int = 0  # base units, at each location
    buckets: tuple[Bucket, ...] = ("sellable",)
    own_orders_back: bool = False
    decimals: int = DECIMALS_MAX  # that the system takes; more are cut off


class Term(msgspec.Struct, frozen=True):
    """One term of a number: what it is, how much in units, and where."""

    label: str
    units: int
    parts: tuple[tuple[str, int], ...] = ()  # location, units; those that are zero are left out


def steps(terms: Terms, safety: int, row: PositionRow) -> Steps:
    """What one location adds and takes away; their sum is what it offers, never below zero. `safety` is in units."""
    vector = row.buckets
    taken = [0, 0, 0, 0]
    for index, bucket in _LEFT_OUT:
        if bucket not in terms.buckets:
            taken[index] = -vector[index]
    arriving = vector[3] if "in_transit" in terms.buckets else 0
    counted = vector[0] + vector[1] + vector[2]
    left = counted + taken[0] + taken[1] + taken[2] + arriving
    head = (counted, taken[1], taken[2], taken[0], arriving)
    if row.location not in terms.locations:
        return (*head, -left, 0, 0, 0, 0, 0)
    own = row.own if terms.own_orders_back else 0
    left += own - row.reserved - row.allocated
    missing = -left if left < 0 else 0
    kept = min(safety, left + missing)
    return (*head, 0, -row.reserved, -row.allocated, own, missing, -kept)


def number(terms: Terms, scale: int, rows: Iterable[PositionRow]) -> int:
    """What the channel should see, in units: what each of its locations offers, which is the sum of its steps.

    Summed up without them, for every sale asks for it: each channel, over all its locations.
    """
    safety = terms.safety_stock * int(10**scale)
    places, own_back = terms.locations, terms.own_orders_back
    counted = [index for index, bucket in enumerate(BUCKETS) if bucket in terms.buckets]
    only = counted[0] if len(counted) == 1 else None
    total = 0
    for row in rows:
        if row.location in places:
            vector = row.buckets
            held = vector[only] if only is not None else sum([vector[index] for index in counted])
            free = held - row.reserved - row.allocated - safety + (row.own if own_back else 0)
            if free > 0:
                total += free
    return total - _rest(total, terms, scale)


def explained(terms: Terms, scale: int, rows: Sequence[PositionRow]) -> list[Term]:
    """The terms of that number, in order, without those that change nothing; their sum is the number."""
    safety = terms.safety_stock * int(10**scale)
    ordered = sorted(rows, key=lambda row: row.location)
    by_row = [(row.location, steps(terms, safety, row)) for row in ordered]
    found = []
    for index, label in enumerate(LABELS):
        parts = tuple((location, each[index]) for location, each in by_row if each[index])
        if parts or label == "on_hand":
            found.append(Term(label, sum(units for _, units in parts), parts))
    total = sum(term.units for term in found)
    if rest := _rest(total, terms, scale):
        found.append(Term("rounding", -rest))
    return found


def _rest(total: int, terms: Terms, scale: int) -> int:
    """What is cut off for a system that takes fewer decimals than the item has."""
    return total % int(10 ** (scale - terms.decimals)) if terms.decimals < scale else 0


def rank(intended: int, scale: int) -> int:
    """What is told first: nothing left, then little left, then the rest."""
    if intended == 0:
        return TO_ZERO
    return TO_LOW if intended <= LOW * 10**scale else OTHER
