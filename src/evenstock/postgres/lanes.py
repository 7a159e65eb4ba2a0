"""Lanes: who talks to a connection, what it is owed next, and what became of each try."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from evenstock.core.windows import Closed
from evenstock.postgres.database import Connection as Db
from evenstock.postgres.queries import load
from evenstock.postgres.rows import document

SQL: Final = load("lanes")
CLOCKS_APART: Final = timedelta(minutes=1)  # of two hosts of hubs, at most
LOST: Final = "Its sender did not live to say what became of it."


class Lane(msgspec.Struct, frozen=True):
    """A connection that is ours to talk to, until its lease ends."""

    fence: int
    failures: int  # in a row
    per_s: float | None  # calls that its answers taught us, where they did
    retries: float  # that may be sent before what is new


class Answered(msgspec.Struct, frozen=True):
    """How a connection answered as a whole."""

    failures: int  # in a row
    not_before: datetime  # when it may be asked again
    paused: str | None  # why not at all
    per_s: float | None
    retries: float


class Connection(msgspec.Struct, frozen=True):
    """Whom a lane talks to."""

    connection_id: int
    id: str
    connector: str
    settings: dict[str, Any]
    closed: tuple[Closed, ...]  # when nothing is sent
    calls_per_s: float | None  # at most
    is_open: bool  # its flow is live, and nobody paused it
    drained_at: datetime | None  # what came later is not sent


class Try(msgspec.Struct, frozen=True):
    """A try to have a system take something, and what became of it."""

    number: int = msgspec.field(name="try")
    started_at: datetime
    ended_at: datetime
    outcome: str
    detail: str | None
    document: str | None


class Owed(msgspec.Struct, frozen=True):
    """A number that is about to be sent, and is written down as sent; `again`: an earlier try may have arrived."""

    channel_id: int
    item_id: int
    version: int
    units: int
    tries: int
    again: bool
    channel: str
    sku: str
    scale: int
    code: str | None
    ledger_seq: int
    computed_at: datetime
    trace_id: str | None


class Tried(
    msgspec.Struct,
    frozen=True,
    rename={
        "channel_id": "c", "item_id": "i", "version": "v", "tries": "n", "outcome": "o", "detail": "d", "document": "x", "due_at": "w",
    },
):  # fmt: skip
    """What became of a try, and when the number is tried again if it was not done."""

    channel_id: int
    item_id: int
    version: int
    tries: int
    outcome: str
    detail: str | None
    document: str | None
    due_at: datetime


class Ended(msgspec.Struct, frozen=True):
    """What became of a try to send a posting or a command, by its number, and when it is made again if it was not done."""

    number: int
    tries: int
    outcome: str
    detail: str | None
    document: str | None
    due_at: datetime
    code: str | None = None  # of the refusal
    is_late: bool = False


class Settled(msgspec.Struct, frozen=True):
    """A try that was ours to settle; whether the number that should be seen stands refused."""

    channel_id: int
    item_id: int
    is_refused: bool


async def clock_went_back(db: Db, now: datetime, lease: timedelta, turn: timedelta) -> None:
    """What waits for a time that only a clock which has gone back since can have meant, waits no longer."""
    await db.execute(SQL.clock_went_back, now, CLOCKS_APART, lease, turn)


async def due(db: Db, now: datetime, holder: str, connectors: Sequence[str]) -> list[int]:
    """Connections, of these connectors, that are owed something now and are free or ours."""
    return [row["connection_id"] for row in await db.fetch(SQL.due, now, holder, list(connectors))]


async def hold(db: Db, connection_id: int, holder: str, now: datetime, until: datetime) -> Lane | None:
    """Take or keep a connection's lane; None when it is another's, paused, or not to be asked yet."""
    row = await db.fetchrow(SQL.hold, connection_id, holder, now, until)
    return None if row is None else Lane(*row.values())


async def leave(db: Db, holder: str, now: datetime) -> None:
    """Let go of everything that this holder has."""
    await db.execute(SQL.leave, holder, now)


async def connection(db: Db, connection_id: int) -> Connection:
    row = await db.fetchrow(SQL.connection, connection_id)
    assert row is not None  # noqa: S101 - connections are never deleted
    return Connection(
        connection_id,
        row["id"],
        row["connector"],
        msgspec.json.decode(row["settings"], type=dict[str, Any]),
        msgspec.json.decode(row["closed"], type=tuple[Closed, ...]),
        row["calls_per_s"],
        row["is_open"],
        row["drained_at"],
    )


async def rest(db: Db, connection_id: int, fence: int, until: datetime, now: datetime) -> None:
    """The connection is closed until then: it is let go, and asked by nobody."""
    await db.execute(SQL.rest, connection_id, fence, until, now)


async def claim(
    db: Db,
    connection_id: int,
    now: datetime,
    fence: int,
    limit: int,
    retries: int,
    upto: datetime | None = None,
) -> list[Owed]:
    """What is told next, written down as sent in the caller's transaction, of it at most `retries` in place of something new.

    `upto`: nothing that was computed later.
    """
    rows = await db.fetch(SQL.claim, connection_id, now, fence, limit, LOST, upto, retries)
    return [Owed(*row.values()) for row in rows]


async def settle(
    db: Db, connection_id: int, fence: int, tried: Sequence[Tried], now: datetime
) -> list[Settled]:
    """Write down what became of tries; of an older fence nothing is believed."""
    rows = await db.fetch(SQL.settle, connection_id, fence, document(tried), now)
    return [Settled(*row.values()) for row in rows]


async def set_lane(db: Db, connection_id: int, fence: int, answered: Answered) -> bool:
    """How the connection answered as a whole; whether the lane was still ours."""
    mine = await db.fetchval(SQL.set_lane, connection_id, fence, *msgspec.structs.astuple(answered))
    return mine is not None


async def resume(db: Db, connections: Sequence[str], now: datetime) -> None:
    """These connections have other settings: what was paused is tried again."""
    await db.execute(SQL.resume, list(connections), now)


async def wake(db: Db, connection: str, now: datetime) -> None:
    """Do not wait any longer."""
    await db.execute(SQL.wake, connection, now)


async def is_troubled(db: Db, connection_id: int) -> bool:
    """Whether an exception about a single number of this connection is open."""
    return bool(await db.fetchval(SQL.troubled, connection_id))


class Turn(msgspec.Struct, frozen=True):
    """When a connection may be called, and whether that turn was taken for us."""

    at: datetime
    is_ours: bool


async def take_turn(db: Db, connection: str, now: datetime, until: datetime) -> Turn:
    """The next turn to call a connection, if it comes by `until`; at once where it has no limit."""
    row = await db.fetchrow(SQL.take_turn, connection, now, until)
    return Turn(now, is_ours=True) if row is None else Turn(row["at"], row["is_ours"])
