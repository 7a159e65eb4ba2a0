"""How far a stream that we ask for was read: where to ask next, and when to begin again.

A pass is one question read page by page; it asks for everything that changed since the mark, less an overlap, for what a system
shows later than it dates it. Whatever is seen twice is known by its content and its keys.
"""

from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

PAGES_MAX: Final = 1_000  # of one pass; then it begins again, from where it has come to
AFTER_MAX: Final = 4_000  # characters of what a system calls its next page


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """How far a stream was read. Between two passes there is no `since`, and no page is under way."""

    mark: datetime  # what changed before was brought; by the system's own clock
    since: datetime | None = None  # what the pass under way asks for
    after: str | None = None  # where its next page begins, in the system's own words
    pages: int = 0  # of it, so far


def begun(place: Place, overlap: timedelta) -> Place:
    """The place with a pass under way: the one that is, else a new one."""
    if place.since is not None:
        return place
    return Place(mark=place.mark, since=place.mark - overlap)


def moved(place: Place, mark: datetime | None, after: str | None, now: datetime) -> Place:
    """The place after a page. A mark never goes back, nor past `now`: a system whose clock is ahead must not hide what is to come."""
    reached = place.mark if mark is None else max(place.mark, min(mark, now))
    if after is None:
        return Place(mark=reached)
    return Place(mark=reached, since=place.since, after=after, pages=place.pages + 1)


def given_up(place: Place) -> Place:
    """The place without the pass that was under way: the next begins anew, from the mark."""
    return Place(mark=place.mark)


def trouble(place: Place, overlap: timedelta, named: AbstractSet[str]) -> Literal["repeats", "endless", ""]:
    """Why a pass cannot go on: its pages come again (`named` are those of this pass so far), or do not end and lead nowhere."""
    if place.after is None or place.since is None:
        return ""
    if place.after in named:
        return "repeats"
    return "endless" if is_long(place) and place.mark <= place.since + overlap else ""


def is_long(place: Place) -> bool:
    """Whether a pass has had its pages; what is left is asked for by the next one."""
    return place.pages >= PAGES_MAX
