"""What the books must say, from the facts alone: a second reading of the rules of counts, small and slow (C4, C9).

It knows nothing of batches, arrival, or `core`: the facts of a spot are replayed by instant, deltas before counts, and a
count sets what is for sale.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Final

from evenstock.estate.box.told import Spot, Told

Vector = tuple[int, int, int, int]
BUCKETS: Final = {"sellable": 0, "quarantine": 1, "damaged": 2, "in_transit": 3}

_Delta = tuple[int, bool, tuple[str, str], str, str, int]
_IN_ORDER: Final = itemgetter(0, 1, 2)


def books(facts: Iterable[Told], when: Callable[[Told], int]) -> dict[Spot, Vector]:
    """The balance of every spot, each fact at the instant that `when` gives it."""
    kept = list(facts)
    gone = {told.voids for told in kept if told.voids is not None}
    spots: defaultdict[Spot, list[_Delta]] = defaultdict(list)
    for told in kept:
        if told.key in gone or not (told.moved or told.seen):
            continue
        at = when(told)
        for moved in told.moved:
            spots[moved.spot].append((at, False, told.key, moved.from_place, moved.to_place, moved.units))
        for seen in told.seen:
            spots[seen.spot].append((at, True, told.key, "", "", seen.units))
    return {spot: _replay(events) for spot, events in spots.items()}


def _replay(events: list[_Delta]) -> Vector:
    balance = [0, 0, 0, 0]
    for _, is_count, _, from_place, to_place, units in sorted(events, key=_IN_ORDER):
        if is_count:
            balance[0] = units
            continue
        if from_place in BUCKETS:
            balance[BUCKETS[from_place]] -= units
        if to_place in BUCKETS:
            balance[BUCKETS[to_place]] += units
    return (balance[0], balance[1], balance[2], balance[3])
