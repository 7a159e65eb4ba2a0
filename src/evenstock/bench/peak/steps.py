"""Which load comes next: doubled until something breaks, then between what held and what did not.

Machines hiccup, so a load has broken when it broke twice and never held.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

FIRST: Final = 100.0  # events a second
UP_BY: Final = 2.0
CLOSE: Final = 1.15  # the load that broke, against the one that held: close enough
TRIES: Final = 2


class Tried(msgspec.Struct, frozen=True):
    """A load, in events a second, and whether everything held."""

    offered: float
    held: bool


def broke(tried: Sequence[Tried]) -> float | None:
    """The lowest load that broke; None when none did."""
    held = {each.offered for each in tried if each.held}
    failed = [each.offered for each in tried if not each.held and each.offered not in held]
    return min((load for load in set(failed) if failed.count(load) >= TRIES), default=None)


def knee(tried: Sequence[Tried]) -> float:
    """The highest load that held, below every one that broke; 0 when none held."""
    ceiling = broke(tried) or float("inf")
    return max((each.offered for each in tried if each.held and each.offered < ceiling), default=0.0)


def next_load(tried: Sequence[Tried], first: float = FIRST) -> float | None:
    """What to offer next; None when the knee is known well enough."""
    if not tried:
        return first
    last, ceiling, held = tried[-1], broke(tried), knee(tried)
    if not last.held and (ceiling is None or last.offered < ceiling):
        return last.offered
    if ceiling is None:
        return held * UP_BY
    if held == 0.0:
        return ceiling / UP_BY if ceiling > 1.0 else None
    return None if ceiling / held <= CLOSE else (ceiling * held) ** 0.5
