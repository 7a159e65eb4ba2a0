"""What the systems that work at locations are commanded: to pick what is allocated there, and to cancel what is no more (D6).

Commands follow from how claims changed, and from nothing else:

- units that become allocated at a location that a system works are to be picked by it;
- units that are given back, run out of time, go to another location or left from another are cancelled, at the system that was
  told to pick them, whoever works there by now;
- units that left from their location were picked, and owe nothing.

Each matter (a command about a reservation, a shipment, a void) makes commands of its own: nothing is added up over matters, and
a cancel never takes the place of a pick that was not sent yet. So any batching of the same matters makes the same commands.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from evenstock.core.reservations import ClaimBook

Kind = Literal["pick", "cancel"]
Work = tuple[int, str, int]  # reservation, its line, location


class Worker(msgspec.Struct, frozen=True):
    """A connection whose system works; `is_told`: commands are sent to it, and not only written down."""

    connection_id: int
    is_told: bool = True


class Change(msgspec.Struct, frozen=True):
    """Units of a line that a location is to pick from now on; below zero: not any more."""

    matter: int
    reservation_id: int
    line: str
    item_id: int
    location_id: int
    units: int

    @property
    def work(self) -> Work:
        return (self.reservation_id, self.line, self.location_id)


class Line(msgspec.Struct, frozen=True):
    line: str
    item_id: int
    units: int


class Draft(msgspec.Struct, frozen=True):
    """A command to be: to whom, about which reservation where, and how many units of which lines."""

    worker: Worker
    kind: Kind
    reservation_id: int
    location_id: int
    lines: list[Line]


def changes(book: ClaimBook) -> list[Change]:
    """What changed of the work that claims mean, in the order in which it was decided."""
    found: list[Change] = []
    begins = iter([*book.matters, len(book.entries)])
    matter, until = -1, next(begins)
    for entry in book.entries:
        while entry.ordinal >= until:
            matter, until = matter + 1, next(begins)
        if entry.work:
            reservation = book.reservations[entry.reservation_id]
            line = reservation.claims[entry.claim_no - 1].line
            found.append(
                Change(matter, entry.reservation_id, line, entry.item_id, entry.location_id, entry.work)
            )
    return found


def commands(
    changed: Iterable[Change],
    workers: Mapping[int, Worker],
    told: Mapping[Work, Sequence[tuple[Worker, int]]],
) -> list[Draft]:
    """What is owed because of these changes, in their order.

    `workers`: who works at each location by now. `told`: whom each work was given to, and how many units of it were not cancelled.
    """
    given = {work: dict(shares) for work, shares in told.items()}
    drafts: list[Draft] = []
    open_ones: dict[tuple[int, int, int, Worker], Draft] = {}
    for change in changed:
        place = (change.matter, change.reservation_id, change.location_id)
        for worker, units in _shares(change, workers, given.setdefault(change.work, {})):
            kind: Kind = "pick" if units > 0 else "cancel"
            draft = open_ones.get((*place, worker))
            if draft is None or draft.kind != kind:
                draft = Draft(worker, kind, change.reservation_id, change.location_id, [])
                open_ones[(*place, worker)] = draft
                drafts.append(draft)
            _add(draft.lines, Line(change.line, change.item_id, abs(units)))
    return drafts


def _shares(
    change: Change, workers: Mapping[int, Worker], given: dict[Worker, int]
) -> list[tuple[Worker, int]]:
    """Who is told of a change, and of how many units; `given` follows."""
    if change.units > 0:
        worker = workers.get(change.location_id)
        if worker is None:
            return []
        given[worker] = given.get(worker, 0) + change.units
        return [(worker, change.units)]
    left, shares = -change.units, []
    for worker in reversed(list(given)):
        taken = min(left, given[worker])
        if taken > 0:
            given[worker] -= taken
            left -= taken
            shares.append((worker, -taken))
    return shares


def _add(lines: list[Line], line: Line) -> None:
    """Two claims of one line are one line."""
    for index, there in enumerate(lines):
        if there.line == line.line:
            lines[index] = msgspec.structs.replace(there, units=there.units + line.units)
            return
    lines.append(line)
