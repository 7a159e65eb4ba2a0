"""When a system is closed to us: its maintenance, or the hours outside its posting window, by the clock of its place."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

import msgspec

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final[tuple[Day, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
AHEAD_MAX: Final = timedelta(days=8)  # that windows are followed; beyond it we look again
Clock = Annotated[str, msgspec.Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class Closed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Times of day at which nothing is sent, from `begin` to `end` (over midnight where `end` is the earlier).

    `days` are those on which it begins; none means every day.
    """

    begin: Clock
    end: Clock
    timezone: str = "UTC"
    days: tuple[Day, ...] = ()

    def __post_init__(self) -> None:
        if self.begin == self.end:
            raise ValueError("end: equals begin; to send nothing at all, say flow = off")
        try:
            ZoneInfo(self.timezone)
        except (ValueError, OSError, KeyError) as error:
            raise ValueError(f"timezone: there is no {self.timezone!r}; Europe/Amsterdam is one") from error

    def ends(self, now: datetime) -> datetime | None:
        """When it ends, if it holds at `now`."""
        zone = ZoneInfo(self.timezone)
        today = now.astimezone(zone).date()
        for first in (today - timedelta(days=1), today):
            if self.days and DAYS[first.weekday()] not in self.days:
                continue
            begins = datetime.combine(first, time.fromisoformat(self.begin), zone)
            last = first if self.begin < self.end else first + timedelta(days=1)
            ends = datetime.combine(last, time.fromisoformat(self.end), zone)
            if begins.timestamp() <= now.timestamp() < ends.timestamp():
                return ends
        return None


def opens_at(windows: Sequence[Closed], now: datetime) -> datetime:
    """When a system may be spoken to again: `now` if it is open."""
    at = now
    while at - now < AHEAD_MAX:
        ends = max((end for window in windows if (end := window.ends(at)) is not None), default=None)
        if ends is None:
            return at
        at = ends.astimezone(now.tzinfo)
    return at
