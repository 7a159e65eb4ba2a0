"""What people do about exceptions: an owner, a reason to wait, to be left alone until a time, a note. Each is kept with who and when."""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from evenstock.core.errors import Refusal
from evenstock.postgres import attention
from evenstock.postgres.attention import Change, ExceptionRow, Filter, Note
from evenstock.postgres.database import Connection

IGNORED_DAYS_MAX: Final = 366


class Attended(ExceptionRow, frozen=True, kw_only=True):
    """An exception with what was said and done about it, newest first."""

    notes: list[Note]


async def show(db: Connection, exception_id: int, now: datetime) -> Attended:
    """One exception. Raises Refusal `exception.not_found`."""
    rows = await attention.exceptions(db, Filter(closed_too=True, ids=[exception_id]), None, 1, now)
    if not rows:
        raise Refusal("exception.not_found", "There is no exception of this id.")
    notes = await attention.notes(db, exception_id)
    return Attended(**msgspec.structs.asdict(rows[0]), notes=notes)


async def attend(
    db: Connection, exception_id: int, change: Change, note: str | None, who: str, now: datetime
) -> Attended:
    """Do what a person decided and keep that they did; in one transaction.

    Raises Refusal `exception.not_found`, `exception.resolved` (a note may still be added), `request.malformed`.
    """
    until = change.ignored_until
    if isinstance(until, datetime) and (until <= now or until - now > timedelta(days=IGNORED_DAYS_MAX)):
        raise Refusal(
            "request.malformed",
            f"An exception is ignored until a time to come, at most {IGNORED_DAYS_MAX} days from now.",
            "/ignored_until",
        )
    done = _in_words(change)
    async with db.transaction():
        before = await show(db, exception_id, now)
        if done and not await attention.change(db, exception_id, change):
            raise Refusal("exception.resolved", f"{before.id} is resolved; only notes can be added.")
        await attention.note(db, exception_id, now, who, [*done, *([note] if note else [])])
        return await show(db, exception_id, now)


def _in_words(change: Change) -> list[str]:
    """What was done, as it is kept."""
    done = []
    if change.owner is not msgspec.UNSET:
        done.append(f"Given to {change.owner}." if change.owner else "Given back: nobody owns it.")
    if change.waiting_for is not msgspec.UNSET:
        done.append(f"Waits for {change.waiting_for}." if change.waiting_for else "Waits no longer.")
    if change.ignored_until is not msgspec.UNSET:
        until = change.ignored_until
        done.append(f"Ignored until {until:%Y-%m-%d %H:%M %Z}." if until else "Ignored no longer.")
    return done
