"""Where units are promised: what is picked up there, else one location that fills all lines, else filled in order (D6)."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat

import msgspec

from evenstock.core.booking import PositionKey
from evenstock.core.quantity import as_number
from evenstock.core.reservations.claims import Asked


class Placed(msgspec.Struct, frozen=True):
    asked: Asked
    location_id: int
    units: int


class Short(msgspec.Struct, frozen=True):
    """A line for which there was too little."""

    asked: Asked
    available: int


def candidates(asked: Iterable[Asked], locations: Sequence[int]) -> set[PositionKey]:
    """Where lines may be placed."""
    asked = list(asked)
    found = {(line.item_id, line.pickup) for line in asked if line.pickup is not None}
    for item_id in {line.item_id for line in asked if line.pickup is None}:
        found.update(zip(repeat(item_id), locations))
    return found


def place(
    asked: Sequence[Asked], locations: Sequence[int], offer: Callable[[Asked, int], int]
) -> tuple[list[Placed], list[Short]]:
    """Every unit on a location: where it is picked up, else one location that fills all lines, else filled in order (D6).

    What lines take of one position is added up first, so that two lines never pass against the same number (S10).
    """
    taken: dict[PositionKey, int] = defaultdict(int)
    placed: list[Placed] = []

    def take(line: Asked, location_id: int, wanted: int) -> int:
        got = min(wanted, max(0, offer(line, location_id) - taken[line.item_id, location_id]))
        if got > 0:
            taken[line.item_id, location_id] += got
            placed.append(Placed(line, location_id, got))
        return got

    free = [line for line in asked if line.pickup is None]
    short = [
        Short(line, got)
        for line in asked
        if line.pickup is not None and (got := take(line, line.pickup, line.units)) < line.units
    ]
    if free:
        whole = _one_for_all(free, locations, offer, taken)
        for line in free:
            left = line.units
            for location_id in (whole,) if whole is not None else locations:
                left -= take(line, location_id, left)
                if not left:
                    break
            if left:
                short.append(Short(line, line.units - left))
    return placed, short


def _one_for_all(
    lines: Sequence[Asked],
    locations: Sequence[int],
    offer: Callable[[Asked, int], int],
    taken: Mapping[PositionKey, int],
) -> int | None:
    needed: dict[int, int] = defaultdict(int)
    by_item = {line.item_id: line for line in lines}
    for line in lines:
        needed[line.item_id] += line.units
    wanted = [(item_id, by_item[item_id], number) for item_id, number in needed.items()]
    for location_id in locations:
        for item_id, line, number in wanted:
            free = offer(line, location_id)
            if free < number or (taken and free - taken.get((item_id, location_id), 0) < number):
                break
        else:
            return location_id
    return None


def in_words(short: Sequence[Short]) -> str:
    return " ".join(
        f"Line {entry.asked.line}: {as_number(entry.available, entry.asked.scale)} of "
        f"{as_number(entry.asked.units, entry.asked.scale)} {entry.asked.sku} can be promised there."
        for entry in short
    )
