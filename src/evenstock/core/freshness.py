"""Whether a source is heard from as often as it is expected to be (S49)."""

from datetime import datetime, timedelta
from typing import Literal

State = Literal["fresh", "waiting", "silent", "unwatched"]


def state_of(
    heard_at: datetime | None, expected_since: datetime | None, within_s: int | None, now: datetime
) -> State:
    """How fresh a source is, of which something is expected every `within_s` seconds since `expected_since`.

    `waiting`: nothing came yet, and its time is not over. `unwatched`: nothing is expected.
    """
    if within_s is None or expected_since is None:
        return "unwatched"
    last = expected_since if heard_at is None else max(heard_at, expected_since)
    if now - last > timedelta(seconds=within_s):
        return "silent"
    return "waiting" if heard_at is None else "fresh"


def in_words(span: timedelta) -> str:
    """`3 d 4 h`, `25 min`, `40 s`: the two largest units, or the one that counts."""
    seconds = max(0, int(span.total_seconds()))
    parts = [
        (seconds // 86_400, "d"),
        (seconds // 3_600 % 24, "h"),
        (seconds // 60 % 60, "min"),
        (seconds % 60, "s"),
    ]
    first = next((index for index, (number, _) in enumerate(parts) if number), 3)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2] if number) or "0 s"
