"""A step of a trace, and what is missing from it: when, who, and what it was in plain words."""

from datetime import datetime
from typing import Final, Literal

import msgspec

Name = Literal[
    "happened", "received", "translated", "reused", "parked", "ignored", "held", "booked", "promised",
    "computed", "told", "acknowledged", "refused", "observed",
]  # fmt: skip
State = Literal["done", "waiting", "failed"]

# Steps of one instant stand in the order in which one leads to the next; tries of one number as they were made.
ORDER: Final[dict[str, int]] = {name: number for number, name in enumerate(Name.__args__)}  # type: ignore[attr-defined]  # of a Literal
ORDER["acknowledged"] = ORDER["refused"] = ORDER["told"]


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened: when (as it was stored), to which system, and what it was in plain words."""

    at: datetime
    step: Name
    state: State
    words: str
    system: str | None = None
    trace_id: str | None = None
    event: str | None = None
    message: str | None = None
    movement: str | None = None
    reservation: str | None = None
    dispatch: str | None = None
    posting: str | None = None
    command: str | None = None
    exception_id: str | None = None
    ledger_seq: int | None = None
    document: str | None = None  # the other system's own number for it


class Missing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that has not happened yet: by whom, since when, and whether that is longer than it should take.

    `waiting` goes on by itself; `failed` needs a person.
    """

    system: str
    since: datetime
    state: Literal["waiting", "failed"]
    overdue: bool
    words: str
    exception_id: str | None = None


def since(at: datetime, now: datetime) -> str:
    """`since 14:03:11`, with the date when that was not today."""
    return f"since {at:%H:%M:%S}" if at.date() == now.date() else f"since {at:%Y-%m-%d %H:%M:%S}"
