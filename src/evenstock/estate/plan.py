"""What is sure to happen in a show, and when: whose line is cut, whose facts come late. All else is left to chance."""

from typing import Final

import msgspec

from evenstock.estate.cast import Cast
from evenstock.estate.facts import MINUTE, SECOND

MORNING: Final = 90 * MINUTE  # of shop life before the show opens
UNPLUGGED: Final = 40 * MINUTE  # before the show opens, the first register loses its line


class Plan(msgspec.Struct, frozen=True):
    """The show in acts that repeat, each with the next stores in the leading parts. `span` is world time in µs."""

    cast: Cast
    span: int

    @classmethod
    def of(cls, cast: Cast, seconds: float, speed: int) -> "Plan":
        """A plan that has shown everything once after so many seconds on the wall's clock."""
        return cls(cast, int(seconds * speed * SECOND))

    @property
    def every(self) -> int:
        """From one act to the next; between them the shops are left alone."""
        return 2 * self.span

    def time(self, act: int, part: float) -> int:
        """The world time of a part of an act, 0 its beginning and 1 its end."""
        return act * self.every + int(part * self.span)

    def lead(self, act: int) -> str:
        """The store where most happens: a register that comes late, a mistake, thefts, a count."""
        return self._store(act)

    def cut_off(self, act: int) -> str:
        """The store that goes offline."""
        return self._store(act + 1)

    def paperless(self, act: int) -> str:
        """The store whose back office is slow to report what arrived."""
        return self._store(act + 2)

    def away_until(self, link: str, at: int) -> int | None:
        """When a link that is cut off at this time comes back; None when it is not."""
        for act in {max(0, at // self.every), max(0, at // self.every + 1)}:
            for name, since, until in self._outages(act):
                if since <= at < until and (link == name or link.startswith(f"{name}/")):
                    return until
        return None

    def _outages(self, act: int) -> tuple[tuple[str, int, int], ...]:
        unplugged = -UNPLUGGED if act == 0 else self.time(act, -0.25)
        return (
            (f"{self.lead(act)}/2", unplugged, self.time(act, 0.40)),
            (self.cut_off(act), self.time(act, 0.12), self.time(act, 0.42)),
            (f"{self.paperless(act)}/office", self.time(act, 0.15), self.time(act, 0.50)),
        )

    def _store(self, number: int) -> str:
        return self.cast.stores[number % len(self.cast.stores)]
