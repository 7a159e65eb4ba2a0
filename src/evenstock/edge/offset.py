"""How far our clock is from the hub's, by the `Date` of its answers.

When the hub wrote the date, our clock stood between the sending of the question and the coming of the answer; the date is
cut to seconds and may be a little old. Each answer so bounds the offset, and several bound it better: their intersection. If
they do not meet, a clock was set meanwhile, and only the newest counts.
"""

from collections import deque
from datetime import datetime, timedelta
from typing import Final

import msgspec

from evenstock.core.intake import CLOCK_TOLERANCE

DATE_AGE_MAX: Final = timedelta(
    seconds=2.5
)  # cut to a second, and made up to a second before; the rest is for a busy hub
ANSWERS_MAX: Final = 32

Bounds = tuple[timedelta, timedelta]


class Offset(msgspec.Struct, frozen=True):
    """How far ours is ahead of the hub's (negative: behind), in seconds, give or take."""

    seconds: float
    within: float

    @property
    def is_far(self) -> bool:
        return abs(self.seconds) > CLOCK_TOLERANCE.total_seconds()


class Offsets:
    """What the last answers say of the offset."""

    def __init__(self) -> None:
        self._heard: deque[Bounds] = deque(maxlen=ANSWERS_MAX)

    def hear(self, sent: datetime, date: datetime, received: datetime) -> None:
        """An answer of that date; when we asked and heard it, by our clock."""
        newest = (sent - date - DATE_AGE_MAX, received - date)
        if newest[0] > newest[1]:
            return  # our clock was set back between question and answer
        self._heard.append(newest)
        if _common(self._heard) is None:
            self._heard.clear()
            self._heard.append(newest)

    @property
    def now(self) -> Offset | None:
        """The offset, as well as it is known; None before any answer."""
        bounds = _common(self._heard)
        if bounds is None:
            return None
        low, high = bounds
        return Offset(
            round(((low + high) / 2).total_seconds(), 3), round(((high - low) / 2).total_seconds(), 3)
        )


def _common(heard: deque[Bounds]) -> Bounds | None:
    if not heard:
        return None
    low, high = max(low for low, _ in heard), min(high for _, high in heard)
    return (low, high) if low <= high else None
