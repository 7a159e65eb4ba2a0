"""When to try again, and how much of it: exponential, capped, with full jitter, so that many who failed together do not come back
together; and within a budget, so that what fails again and again takes a tenth of what is sent, and what is new goes out.
"""

from typing import Final

FIRST_S: Final = 0.5
LONGEST_S: Final = 60.0
ASKED_MAX_S: Final = 3600.0  # a longer wait is not believed
DOUBLINGS_MAX: Final = 10  # beyond it the longest wait is reached anyway


def wait_s(failures: int, chance: float, asked_s: float | None = None) -> float:
    """How long to wait after so many failures in a row (at least 1); `chance` is from 0 to 1.

    What the other side asked for is kept to, and spread by at most as much again, so that nobody comes back too early.
    """
    longest = min(LONGEST_S, FIRST_S * 2.0 ** min(failures - 1, DOUBLINGS_MAX))
    if asked_s is not None:
        return min(asked_s, ASKED_MAX_S) + longest * chance
    return longest * chance


SHARE: Final = 0.1  # of what is sent for the first time may be sent again, while more waits to be sent for the first time
SAVED_MAX: Final = 10.0  # retries, however long nothing failed


def earned(retries: float, *, first: int, again: int) -> float:
    """The budget for retries after a call of so many first tries and so many retries."""
    return max(0.0, min(SAVED_MAX, retries + SHARE * first - again))
