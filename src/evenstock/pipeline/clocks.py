"""What store agents say of their clocks: each measures how far its own is from ours, and tells it with what it forwards.

Nothing is booked differently for it: an event says itself when it happened. But a person is told, while a clock is far off.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from evenstock.core.intake import CLOCK_TOLERANCE
from evenstock.postgres import exceptions
from evenstock.postgres.database import Pool
from evenstock.postgres.exceptions import Cause
from evenstock.postgres.keys import ApiKey

AGENT: Final = "evenstock-agent"  # the header that names an agent
OFFSET: Final = "evenstock-clock-offset"  # its clock ahead of ours, in seconds
CODE: Final = "source.clock_off"
NAME_MAX: Final = 128  # characters of an agent's name; the rest is cut
WRITTEN_AGAIN_S: Final = 60.0  # what has not changed; another process may have heard something else
AGENTS_MAX: Final = 10_000  # that are remembered
_SECONDS = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,6})?")


class Clocks:
    """Which agents have a clock that is far off; an exception for each, until it says otherwise."""

    def __init__(self, pool: Pool, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._now = now
        self._known: dict[tuple[str, str], tuple[bool, datetime]] = {}

    async def hear(self, key: ApiKey, headers: Mapping[str, str]) -> None:
        """What the headers of a request say, if it is an agent's; what cannot be read says nothing."""
        found = _SECONDS.fullmatch(headers.get(OFFSET, ""))
        if found is None:
            return
        seconds, name = float(found[0]), headers.get(AGENT, "")[:NAME_MAX]
        agent, now = (key.key_id, name), self._now()
        is_far = abs(seconds) > CLOCK_TOLERANCE.total_seconds()
        known = self._known.get(agent)
        if known is not None and known[0] == is_far and (now - known[1]).total_seconds() < WRITTEN_AGAIN_S:
            return
        subject = f"agent:{key.key_id}:{name}"
        async with self._pool.acquire() as db, db.transaction():
            if is_far:
                cause = Cause(CODE, subject, _in_words(name, key.name, seconds))
                await exceptions.open_causes(db, [cause], now)
            else:
                await exceptions.close_causes(db, [(CODE, subject)], now)
        if len(self._known) >= AGENTS_MAX:
            self._known.clear()
        self._known[agent] = (is_far, now)


def _in_words(name: str, key_name: str, seconds: float) -> str:
    away = timedelta(seconds=round(abs(seconds)))
    side = "ahead of" if seconds > 0 else "behind"
    return f"The store agent {name} (key {key_name}) finds its clock {away} {side} ours; what it reports is booked at the times it claims."
