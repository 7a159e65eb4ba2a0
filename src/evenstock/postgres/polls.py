"""How far each stream that we ask a connection for was read."""

from datetime import datetime
from typing import Final

import msgspec

from evenstock.core.polling import Place
from evenstock.core.windows import Closed
from evenstock.postgres.database import Connection
from evenstock.postgres.queries import load

SQL: Final = load("polls")


class Terms(msgspec.Struct, frozen=True):
    """When a connection may be asked, and how fast."""

    closed: tuple[Closed, ...]
    calls_per_s: float | None  # at most
    is_asked: bool  # it is not off, and nobody paused it


class Stand(msgspec.Struct, frozen=True):
    """The place of a stream, as it was read, and when a pass was last ended."""

    place: Place
    revision: int
    passed_at: datetime | None


class Overtaken(Exception):  # noqa: N818 - not an error: what we were about to keep, somebody else has
    """Somebody else moved the stream since we read its place."""


async def terms(db: Connection, connection_id: int) -> Terms:
    row = await db.fetchrow(SQL.terms, connection_id)
    assert row is not None  # noqa: S101 - connections are never deleted
    closed = msgspec.json.decode(row["closed"], type=tuple[Closed, ...])
    return Terms(closed, row["calls_per_s"], row["is_asked"])


async def stand(db: Connection, connection_id: int, stream: str, begins: datetime, now: datetime) -> Stand:
    """Where a stream stands; one that was never asked for begins at `begins`."""
    await db.execute(SQL.begin, connection_id, stream, begins, now)
    row = await db.fetchrow(SQL.place, connection_id, stream)
    assert row is not None  # noqa: S101 - it was begun
    place = Place(mark=row["mark"], since=row["since"], after=row["after"], pages=row["pages"])
    return Stand(place, row["revision"], row["passed_at"])


async def move(
    db: Connection,
    connection_id: int,
    stream: str,
    before: Stand,
    place: Place,
    now: datetime,
    *,
    passed: bool,
) -> Stand:
    """Move a stream on, in the caller's transaction.

    Raises Overtaken; then the transaction must not be committed.
    """
    revision = await db.fetchval(
        SQL.move, connection_id, stream, before.revision, place.mark, place.since, place.after, place.pages, now, passed
    )  # fmt: skip
    if revision is None:
        raise Overtaken(stream)
    return Stand(place, revision, now if passed else before.passed_at)
