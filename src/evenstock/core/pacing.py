"""How fast a system is asked: as fast as it takes, until it says that this is too fast.

A complaint halves the pace; each answer without one raises it by a little, so that the pace hovers below what the system bears,
whatever that is today. A system that never complains is asked at the operator's limit, or without one.
"""

from typing import Final

START_PER_S: Final = 8.0  # the pace that the first complaint halves
SLOWEST_PER_S: Final = 0.02
FASTER_BY: Final = 0.05  # of itself, with each answer
FREE_PER_S: Final = 50.0  # at this pace we are no hindrance any more, and stop counting


def paced(per_s: float | None, ceiling: float | None, *, complained: bool) -> float | None:
    """The pace after an answer, in calls a second; None: no need to hold back. `ceiling` is the operator's."""
    if complained:
        return max(SLOWEST_PER_S, min(per_s or START_PER_S, ceiling or START_PER_S) / 2)
    if per_s is None:
        return None
    faster = per_s * (1 + FASTER_BY)
    return None if faster >= min(FREE_PER_S, ceiling or FREE_PER_S) else faster


def gap_s(per_s: float | None, ceiling: float | None) -> float:
    """How long to leave a system alone between two calls, in seconds."""
    pace = min((each for each in (per_s, ceiling) if each is not None), default=None)
    return 0.0 if pace is None else 1 / pace
