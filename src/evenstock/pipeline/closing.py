"""Exceptions that no writer looks for: looked up every now and then, off the path of facts.

They begin by time alone:

- `void.without_target`: a void has waited for its fact for a day.

They end by a fact:

- `void.before_count`: the item was counted there again, so the shelf is known.
- `source.clock_skew`: the source reported for an hour, and none of its times was ahead.
- `ownership.*` of masters: nobody but their owner has written them for a day.
- `event.key_reused`: the fact that stands was voided, or each refused content is booked under a key of its own.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from evenstock.core.events import Event, same_fact, type_of
from evenstock.core.intake import is_transfer
from evenstock.core.reading import read_stored
from evenstock.postgres import attention, exceptions
from evenstock.postgres.attention import CONFLICTS_MAX, RefusedContent
from evenstock.postgres.database import Connection
from evenstock.postgres.exceptions import Cause

EVERY_S: Final = 10.0  # between two looks
TARGET_WITHIN: Final = timedelta(hours=24)  # of a void: as long as a shop may be offline and be well


async def open_by_time(db: Connection, now: datetime) -> int:
    """Open what has waited for too long since the last look; how many."""
    found = await attention.overdue_voids(db, now - TARGET_WITHIN)
    if found:
        async with db.transaction():
            causes = [
                Cause("void.without_target", f"void:{each.fact_id}", each.words, each.connection_id)
                for each in found
            ]
            await exceptions.open_causes(db, causes, now)
    return len(found)


async def close_by_fact(db: Connection, now: datetime) -> int:
    """Close what facts have ended since the last look; how many."""
    async with db.transaction():
        causes = [*await attention.settled(db, now), *await _mended_keys(db)]
        await exceptions.close_causes(db, causes, now)
    return len(causes)


async def _mended_keys(db: Connection) -> list[tuple[str, str]]:
    """Keys of which every refused content is booked under a key of its own."""
    mended: dict[tuple[str, str], bool] = {}
    after = 0
    while refused := await attention.refused_contents(db, after):
        for one in refused:
            cause = (one.code, one.subject)
            mended[cause] = mended.get(cause, True) and await _is_booked(db, one)
        if len(refused) < CONFLICTS_MAX:
            break
        after = refused[-1].exception_id
    return [cause for cause, is_mended in mended.items() if is_mended]


async def _is_booked(db: Connection, refused: RefusedContent) -> bool:
    event = read_stored(refused.body)
    place = _place(event)
    if place is None or event.time is None:
        return False
    bodies = await attention.alike(db, refused, *place, event.time.astimezone(UTC), type_of(event))
    return any(same_fact(read_stored(body), event) for body in bodies)


def _place(event: Event) -> tuple[str, str] | None:
    """A location and an item that the event names, by which its movements are found; None where it moves nothing."""
    lines = getattr(event.data, "lines", ())
    if not lines:
        return None
    ref = lines[0].item
    location = event.data.from_ if is_transfer(event) else event.data.location  # type: ignore[union-attr]  # it has lines
    return location, ref.sku or ref.gtin or ref.id
