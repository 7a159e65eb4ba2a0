"""Numbers for what a shop reports, so that the hub can see when something is missing (S49).

A till that counts its tickets keeps its numbers. For one that does not, the agent counts, by stream, from 1, within an
epoch: the name of this life of its store. Where the past may be forgotten, a new epoch begins, so that no number is ever
given to two facts: when the store is new, when its file is a copy, when it was not alive for long (an old disk image), when
the clock went back. And when a till itself begins again with a number that another of its tickets has, its tickets get an
epoch from then on.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from evenstock.core.events import Event
from evenstock.core.ordering import is_seen, merge

LIFE_GAP_MAX: Final = timedelta(
    hours=24
)  # without a sign of life, before the store may be an old image of a disk

OUT_OF_ORDER_MAX: Final = 100  # numbers of a stream, by which one may come late


class Life(msgspec.Struct, frozen=True):
    """The last sign of life in a store: its epoch, which file it was in, and when."""

    epoch: str
    inode: int
    at: datetime


def why_new_epoch(last: Life, inode: int, now: datetime) -> str | None:
    """Why numbers begin again, in words; None when they go on."""
    if last.inode != inode:
        return "the store's file is a copy"
    if now < last.at:
        return "the clock went back"
    if now - last.at > LIFE_GAP_MAX:
        return "the store was not in use for more than 24 hours"
    return None


def epoch_name(now: datetime, token: str) -> str:
    """`20261120-9f2c4a17`: when it began, and chance, so that no two are the same."""
    return f"{now:%Y%m%d}-{token}"


class Told(msgspec.Struct, frozen=True):
    """What a till numbered itself in one stream: the ranges seen since it last began again, and how often it did."""

    epoch: str = ""  # none until it begins again
    seen: list[int] = []
    restarts: int = 0


def counts_itself(event: Event) -> bool:
    """Whether a till numbers its events, or has an opinion about it."""
    return event.sequence is not None or event.epoch is not None


def after(told: Told, number: int, epoch: str) -> Told:
    """After a number that came under a new key; `epoch` is the agent's own, which names restarts."""
    if begins_again(told.seen, number):
        restarts = told.restarts + 1
        return Told(f"{epoch}-{restarts}", [number, number], restarts)
    return Told(told.epoch, merge(told.seen, [number]), told.restarts)


def begins_again(seen: Sequence[int], number: int) -> bool:
    """Whether a till that gives this number under a new key has forgotten its past: it goes back to where it began, or far
    back. Two facts of one ticket may have one number, and a few may come out of order.
    """
    if not seen or number >= seen[-1]:
        return False
    if is_seen(seen, number):
        return number <= max(1, seen[0]) or seen[-1] - number > OUT_OF_ORDER_MAX
    return seen[0] - number > OUT_OF_ORDER_MAX
