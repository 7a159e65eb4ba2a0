"""A replay's course, and how much of it may be done by now: rules, without a clock."""

import math
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from evenstock.core.errors import Refusal

Step = Literal["translate", "apply", "dispatch", "post", "command", "observe"]
Verb = Literal["failed", "missing", "all"]
Rules = Literal["current", "as_was"]
Status = Literal["planned", "running", "paused", "cancelled", "done"]
Command = Literal["run", "pause", "cancel"]

ITEMS_MAX: Final = 100_000  # of one replay
RATE_MAX_PER_S: Final = 1_000
RATE_DEFAULT_PER_S: Final = 50
SEEN_WITHIN: Final = timedelta(minutes=2)  # of asking for a look


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done again, and how fast."""

    step: Step
    verb: Verb = "failed"
    rules: Rules = "current"
    reason: str = ""
    rate_per_s: int = RATE_DEFAULT_PER_S
    connection: str | None = None
    channel: str | None = None
    exception_id: int | None = None
    messages: list[int] | None = None


_MOVES: Final[dict[Command, tuple[frozenset[Status], Status]]] = {
    "run": (frozenset({"planned", "paused"}), "running"),
    "pause": (frozenset({"running"}), "paused"),
    "cancel": (frozenset({"planned", "running", "paused"}), "cancelled"),
}


def moved(status: Status, command: Command) -> Status:
    """The status after a command; the same again is the same.

    Raises Refusal `replay.status`.
    """
    before, after = _MOVES[command]
    if status == after:
        return after
    if status not in before:
        raise Refusal("replay.status", f"The replay is {status}, so it cannot {command}.")
    return after


def budget(rate_per_s: int, running_for: timedelta, asked: int) -> int:
    """How many items may be asked now: those of the time that has passed, one to begin with, less those asked already."""
    return max(0, 1 + math.floor(rate_per_s * running_for.total_seconds()) - asked)


def eta_s(items: int, rate_per_s: int) -> float:
    """How long so many items take at this rate, in seconds, if their targets keep up."""
    return items / rate_per_s


def ends_at(open_items: int, rate_per_s: int, now: datetime) -> datetime:
    """When what is left would be done at this rate."""
    return now + timedelta(seconds=eta_s(open_items, rate_per_s))
