"""The inbox: messages as they were received, each once, and what became of them."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from evenstock.postgres import exceptions
from evenstock.postgres.database import Connection
from evenstock.postgres.exceptions import Cause, public_id
from evenstock.postgres.queries import load
from evenstock.postgres.rows import tuples

SQL: Final = load("inbox")
ID_MAX: Final = 2**62
BODY_KEPT: Final = timedelta(
    days=30
)  # of a translated message; a dead letter's is kept until it is translated
FORGET_MAX: Final = 1_000  # bodies at once


class Arrival(msgspec.Struct, frozen=True):
    """A verified message on its way in. `dedupe` is what its signature vouches for."""

    connection_id: int
    connection: str
    dedupe: str
    vendor_id: str
    name: str
    headers: dict[str, str]
    body: bytes
    masked: bool
    received_at: datetime
    trace_id: str | None = None


class Kept(msgspec.Struct, frozen=True):
    """Where a message is, and whether it was there before."""

    message_id: int
    duplicate: bool
    trace_id: str | None = None  # that the sender gave


class Taken(msgspec.Struct, frozen=True):
    """A message that nobody else has, until the transaction ends."""

    message_id: int
    connection_id: int
    name: str
    headers: dict[str, str]
    body: bytes
    received_at: datetime
    attempts: int
    exception_id: int | None
    trace_id: str | None = None
    as_was: bool = False  # by the settings of when it was received


class Settled(msgspec.Struct, frozen=True):
    """What became of a message: the ids of its events, or why it is a dead letter."""

    message_id: int
    keys: list[str] = []
    code: str | None = None
    detail: str | None = None
    pointer: str | None = None
    exception_id: int | None = None


def public_message_id(message_id: int) -> str:
    """`msg_0000000042`."""
    return f"msg_{message_id:010d}"


async def keep(db: Connection, arrivals: Sequence[Arrival]) -> list[Kept]:
    """Keep messages, each once, in one transaction; a vendor's id with other content is kept and shown, not translated."""
    async with db.transaction():
        new = await _insert(db, arrivals, [arrival.dedupe for arrival in arrivals])
        kept: dict[int, Kept] = {}
        for index, arrival in enumerate(arrivals):
            message_id = new.pop(_place(arrival), None)  # the second of two alike finds nothing any more
            if message_id is not None:
                kept[index] = Kept(message_id, duplicate=False, trace_id=arrival.trace_id)
        if rest := [index for index in range(len(arrivals)) if index not in kept]:
            kept |= await _known(db, arrivals, rest)
    return [kept[index] for index in range(len(arrivals))]


def _place(arrival: Arrival) -> tuple[int, str]:
    return arrival.connection_id, arrival.dedupe


async def _insert(
    db: Connection, arrivals: Sequence[Arrival], dedupes: Sequence[str]
) -> dict[tuple[int, str], int]:
    rows = await db.fetch(
        SQL.insert,
        [arrival.connection_id for arrival in arrivals],
        list(dedupes),
        [arrival.vendor_id for arrival in arrivals],
        [arrival.name for arrival in arrivals],
        [msgspec.json.encode(arrival.headers).decode() for arrival in arrivals],
        [arrival.body for arrival in arrivals],
        [arrival.masked for arrival in arrivals],
        [arrival.received_at for arrival in arrivals],
        [arrival.trace_id for arrival in arrivals],
    )
    return {(row["connection_id"], row["dedupe"]): row["message_id"] for row in rows}


async def _known(db: Connection, arrivals: Sequence[Arrival], indexes: Sequence[int]) -> dict[int, Kept]:
    """What stands under ids that were there: the same message, or another under the same id."""
    asked = [arrivals[index] for index in indexes]
    rows = await db.fetch(SQL.known, [each.connection_id for each in asked], [each.dedupe for each in asked])
    stands = {(row["connection_id"], row["dedupe"]): row for row in rows}
    kept = {}
    for index in indexes:
        arrival = arrivals[index]
        row = stands[_place(arrival)]
        message_id = row["message_id"]
        if row["body_sha256"] == hashlib.sha256(arrival.body).digest():
            kept[index] = Kept(message_id, duplicate=True, trace_id=row["trace_id"])
        else:
            kept[index] = await _keep_reused(db, arrival, message_id)
    return kept


async def _keep_reused(db: Connection, arrival: Arrival, first: int) -> Kept:
    dedupe = f"{arrival.dedupe}#{hashlib.sha256(arrival.body).hexdigest()}"
    new = await _insert(db, [arrival], [dedupe])
    if not new:
        rows = await db.fetch(SQL.known, [arrival.connection_id], [dedupe])
        return Kept(rows[0]["message_id"], duplicate=True, trace_id=rows[0]["trace_id"])
    message_id = new[arrival.connection_id, dedupe]
    detail = (
        f"{arrival.connection} sent {public_message_id(message_id)} under the id {arrival.vendor_id!r}, which was "
        f"{public_message_id(first)} with other content. The first stands."
    )
    cause = Cause(
        "message.id_reused", f"message:{arrival.connection}:{arrival.dedupe}", detail, arrival.connection_id
    )
    ids = await exceptions.open_causes(db, [cause], arrival.received_at)
    await db.execute(SQL.bury_reused, message_id, detail, ids[cause.code, cause.subject], arrival.received_at)
    return Kept(message_id, duplicate=False, trace_id=arrival.trace_id)


async def claim(db: Connection, limit: int, *, tried_before: bool) -> list[int]:
    """Count a try for messages that wait: those nobody tried yet, or the oldest that somebody did, by itself."""
    async with db.transaction():
        one = await db.fetchval(SQL.tried_before) if tried_before else None
        if tried_before and one is None:
            return []
        rows = await db.fetch(SQL.count_attempt, limit, one)
        return [row["message_id"] for row in rows]


async def take(db: Connection, message_ids: Sequence[int]) -> list[Taken]:
    """Those of them that still wait, locked; within a transaction."""
    rows = await db.fetch(SQL.take, list(message_ids))
    return [
        Taken(
            row["message_id"], row["connection_id"], row["name"], msgspec.json.decode(row["headers"]), row["body"],
            row["received_at"], row["attempts"], row["exception_id"], row["trace_id"],
            row["as_was"],
        )
        for row in rows
    ]  # fmt: skip


async def give_back(db: Connection, message_ids: Sequence[int]) -> None:
    """Uncount a try that was cut short by no fault of theirs."""
    await db.execute(SQL.give_back, list(message_ids))


async def settle(db: Connection, settled: Sequence[Settled], before: Sequence[int], now: datetime) -> None:
    """Write what became of messages, and close the exceptions (`before`) under which none is left."""
    rows = tuples(
        ("i", "s", "k", "c", "d", "p", "e"),
        (
            (
                s.message_id,
                "dead" if s.code else "translated",
                s.keys,
                s.code,
                s.detail,
                s.pointer,
                s.exception_id,
            )
            for s in settled
        ),
    )
    await db.execute(SQL.settle, rows, now)
    await close_empty(db, before, now)


async def close_empty(db: Connection, exception_ids: Sequence[int], now: datetime) -> None:
    """Close those of these exceptions under which no message is left."""
    if exception_ids:
        await db.fetch(SQL.lock_exceptions, list(exception_ids))
        await db.execute(SQL.close_empty, list(exception_ids), now)


async def exceptions_of(db: Connection, message_ids: Sequence[int]) -> list[int]:
    """The exceptions that show these messages."""
    return [row["exception_id"] for row in await db.fetch(SQL.exceptions_of, list(message_ids))]


async def ask_again(
    db: Connection,
    *,
    message_ids: Sequence[int] | None,
    exception_id: int | None,
    connection: str | None,
    limit: int,
    now: datetime,
) -> int:
    """Have dead letters translated once more; how many."""
    ids = None if message_ids is None else list(message_ids)
    return len(await db.fetch(SQL.ask_again, ids, exception_id, connection, limit, now))


async def forget_bodies(db: Connection, now: datetime) -> None:
    """Let go of the bytes of messages that were translated long ago; their hashes stay."""
    await db.execute(SQL.forget_bodies, now - BODY_KEPT, FORGET_MAX)


class MessageRow(msgspec.Struct, frozen=True):
    """A message as its reader sees it; `events` are the ids of the events that came of it."""

    id: str
    connection: str
    vendor_id: str
    name: str
    status: str
    attempts: int
    events: list[str]
    code: str | None
    detail: str | None
    pointer: str | None
    exception_id: str | None
    masked: bool
    received_at: datetime
    done_at: datetime | None
    body_sha256: str


async def page(
    db: Connection,
    *,
    before: int | None,
    status: str | None,
    connection: str | None,
    exception_id: int | None,
    limit: int,
) -> list[MessageRow]:
    """Messages, newest first."""
    rows = await db.fetch(SQL.page, before or ID_MAX, status, connection, exception_id, limit)
    return [_row(row) for row in rows]


def _row(row: Any) -> MessageRow:
    number = row["exception_id"]
    return MessageRow(
        public_message_id(row["message_id"]), row["connection"], row["vendor_id"], row["name"], row["status"], row["attempts"],
        row["keys"], row["code"], row["detail"], row["pointer"], None if number is None else public_id(number), row["masked"],
        row["received_at"], row["done_at"], row["body_sha256"],
    )  # fmt: skip
