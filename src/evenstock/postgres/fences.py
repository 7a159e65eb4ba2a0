"""A database that may have gone back in time: noticed where it stands elsewhere than it stood, and fenced off from what was told before.

A backup from ten minutes ago, or a standby that lost three seconds, would give out numbers a second time: versions of exposures,
references of postings, ids of reservations. A fence is raised in one transaction: a new epoch, above which everything is numbered from
then on, and every channel is told every number anew, whatever it had confirmed.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from evenstock.postgres.queries import load

if TYPE_CHECKING:  # sessions begin with us
    from evenstock.postgres.database import Connection

SQL: Final = load("fences")
EXCEPTIONS: Final = load("exceptions")

Why = Literal["moved", "said"]
CODE: Final = "hub.fence_raised"
SUBJECT: Final = "database"


class Fence(msgspec.Struct, frozen=True):
    """A fence: `recorded_at` is when the last batch of the ledger was recorded, so what came later may be lost."""

    epoch: int
    raised_at: datetime
    why: str
    ledger_seq: int
    recorded_at: datetime
    settled_at: datetime | None = None


async def has_moved(db: "Connection") -> bool:
    """Whether the database stands elsewhere than it stood when the last fence was raised."""
    return bool(await db.fetchval(SQL.has_moved))


async def raise_fence(db: "Connection", why: Why, now: datetime) -> Fence | None:
    """Raise a fence; None where the database was found elsewhere and another process has raised it meanwhile."""
    async with db.transaction():
        await db.execute(SQL.wait_turn)
        if why == "moved" and not await has_moved(db):
            return None
        row = await db.fetchrow(SQL.add, why, now)
        assert row is not None  # noqa: S101 - an INSERT from one row has one
        epoch, base, ledger_seq, recorded_at = row.values()
        await db.execute(SQL.number_from, base)
        await db.execute(SQL.forget_masters, base)
        await db.execute(SQL.let_go, base)
        await db.execute(SQL.tell_anew, base)
        fence = Fence(epoch, now, why, ledger_seq, recorded_at)
        detail = _in_words(fence, [tuple(each.values()) for each in await db.fetch(SQL.books)], base)
        cause = msgspec.json.encode([{"c": CODE, "s": SUBJECT, "o": None, "i": None, "l": None, "d": detail}])
        await db.execute(EXCEPTIONS.open_exceptions, cause.decode(), now)
        return fence


async def settle(db: "Connection", now: datetime) -> bool:
    """The sources have sent again what they had sent: close what says so; False when there was nothing to close."""
    async with db.transaction():
        settled = await db.fetch(SQL.settle, now)
        cause = msgspec.json.encode([{"c": CODE, "s": SUBJECT}])
        await db.execute(EXCEPTIONS.close_exceptions, cause.decode(), now)
        return bool(settled)


async def newest(db: "Connection") -> Fence:
    """The fence that holds; epoch 0 where none was ever raised."""
    row = await db.fetchrow(SQL.newest)
    assert row is not None  # noqa: S101 - the migration wrote the first
    return Fence(*row.values())


def _in_words(fence: Fence, books: list[tuple[str, str, int]], base: int) -> str:
    why = "is found elsewhere than it stood" if fence.why == "moved" else "was restored, an operator says"
    since = f"{fence.recorded_at:%Y-%m-%d %H:%M:%S} UTC" if fence.ledger_seq else "the beginning"
    said = (
        f"The database {why}. Its ledger ends at ledger_seq {fence.ledger_seq}, recorded {since}; what was recorded later may be lost. "
        "Have each source send again what it sent since then, and better too much: what is known is booked once. "
        "Channels are told all numbers anew."
    )
    unknown = [
        f"The books of {id_} may have documents with references from EV-{tag}-{last + 1} on, and below EV-{tag}-{base}, that are not known "
        "here: cancel them there, for what they hold is posted anew."
        for id_, tag, last in books
    ]
    return " ".join((said, *unknown))
