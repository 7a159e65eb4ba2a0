"""What actors report: facts with their own instants, on the way to become canonical events."""

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

US: Final = 1
SECOND: Final = 1_000_000 * US
MINUTE: Final = 60 * SECOND
SPEED_MAX: Final = 600  # so that instants of one place, at least STEP apart, stay apart on the wall's clock
STEP: Final = 1_000 * US

Line = tuple[str, int]  # sku, units


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One fact: what a CloudEvent says, and which link carries it. `at` is world time in µs; the show opens at 0."""

    at: int
    link: str  # `0107/2`: who reports it, at which location
    source: str
    id: str
    type: str
    data: dict[str, Any]
    sequence: int | None = None
    moves: int = 0  # how many movements it makes, counts aside

    @property
    def location(self) -> str:
        return self.link.partition("/")[0]


class NewItem(msgspec.Struct, frozen=True):
    """Head office adds an item to the master, at last."""

    at: int
    sku: str


class Timetable(msgspec.Struct, frozen=True):
    """World time on the wall's clock: before the show as it was, during the show `speed` times faster.

    In between the world stands still for as long as it takes to tell the hub the morning. When the speed changes, what has
    happened keeps its instant: `since` is the world time from which on this speed holds, and `before` what held until then.
    """

    opens_at: datetime
    speed: int
    still: timedelta = timedelta()
    since: int = 0
    before: "Timetable | None" = None

    def instant(self, at: int) -> datetime:
        if self.before is not None and at < self.since:
            return self.before.instant(at)
        if at < 0:
            return self.opens_at + timedelta(microseconds=at)
        return self.opens_at + self.still + timedelta(microseconds=(at - self.since) // self.speed)

    def at(self, now: datetime) -> int:
        """The world time at an instant of the show."""
        return self.since + (now - self.opens_at - self.still) // timedelta(microseconds=1) * self.speed

    def at_speed(self, speed: int, now: datetime) -> "Timetable":
        """The same until now, and another speed from now on."""
        return Timetable(now, speed, since=self.at(now), before=self)


def event(fact: Fact, timetable: Timetable) -> dict[str, Any]:
    """The fact as a CloudEvent."""
    found = {
        "specversion": "1.0",
        "id": fact.id,
        "source": fact.source,
        "type": fact.type,
        "time": timetable.instant(fact.at).isoformat(),
        "data": fact.data,
    }
    if fact.sequence is not None:
        found |= {"sequence": str(fact.sequence), "epoch": "installed-2026-03"}
    return found


def lines(wanted: list[Line], **more: Any) -> list[dict[str, Any]]:
    """Lines of an event."""
    return [
        {"line": str(number), "item": {"sku": sku}, "quantity": units, **more}
        for number, (sku, units) in enumerate(wanted, 1)
    ]
