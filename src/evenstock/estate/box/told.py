"""What somebody in the world reports: an event as the hub will read it, and what really happened, for the referee."""

from typing import NamedTuple

from evenstock.core.events import Event
from evenstock.core.ledger import Place

Spot = tuple[str, str]  # sku, location


class Moved(NamedTuple):
    """Units that really moved at a spot."""

    spot: Spot
    from_place: Place
    to_place: Place
    units: int


class Seen(NamedTuple):
    """What a count found for sale at a spot."""

    spot: Spot
    units: int


class Told:
    """A fact on its way. `at` is when it happened, `stamp` what its own clock says; both in µs of the scenario."""

    __slots__ = ("at", "event", "key", "local", "moved", "seen", "sender", "stamp", "voids")

    def __init__(  # noqa: PLR0913 - what there is to tell
        self,
        event: Event,
        at: int,
        stamp: int,
        sender: str,
        moved: tuple[Moved, ...] = (),
        seen: tuple[Seen, ...] = (),
        *,
        voids: tuple[str, str] | None = None,
        local: str | None = None,
    ) -> None:
        self.event = event
        self.key = (event.source, event.id)
        self.at = at
        self.stamp = stamp
        self.sender = sender
        self.moved = moved
        self.seen = seen
        self.voids = voids
        self.local = local  # the shop's own wall clock, where a file says no more than that
