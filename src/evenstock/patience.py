"""Until when a call may act on another system: a worker that was stopped and wakes up late must not do what it had in hand.

The loop cuts a late call off, but not before the step that it was in has gone on to its next wait; whoever sends bytes looks here
right before. Time is the process's own and steady: it goes on while the process is stopped.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_ends: Final[ContextVar[float | None]] = ContextVar("ends", default=None)


@contextmanager
def until(seconds: float) -> Iterator[None]:
    """What is done in here must begin within so many seconds."""
    token = _ends.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends.reset(token)


def left() -> float:
    """How many seconds are left to begin in; without end where nobody waits."""
    ends = _ends.get()
    return float("inf") if ends is None else max(0.0, ends - time.monotonic())


def is_over() -> bool:
    """Whether it is too late to begin anything."""
    return left() == 0
