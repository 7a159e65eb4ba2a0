"""Replays in PostgreSQL: plans with their exact items, whose turn it is, and what became of each item."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from evenstock.core.names import command_id, posting_id
from evenstock.core.replaying import SEEN_WITHIN, Rules, Status, Step, Verb, Wanted
from evenstock.postgres import commands, postings, troubles
from evenstock.postgres.database import Connection
from evenstock.postgres.inbox import public_message_id
from evenstock.postgres.queries import load
from evenstock.postgres.rows import tuples
from evenstock.postgres.stock import SEQ_MAX

SQL: Final = load("replays")
FAILURES_MAX: Final = 100  # shown of one replay

_PLANS: Final[dict[tuple[Step, Verb], str]] = {
    ("translate", "failed"): SQL.messages_failed,
    ("translate", "missing"): SQL.messages_missing,
    ("translate", "all"): SQL.messages_all,
    ("apply", "failed"): SQL.held,
    ("apply", "missing"): SQL.held,
    ("apply", "all"): SQL.held,
    ("dispatch", "failed"): SQL.exposures_failed,
    ("dispatch", "missing"): SQL.exposures_missing,
    ("dispatch", "all"): SQL.exposures_all,
    ("post", "failed"): SQL.postings_failed,
    ("post", "missing"): SQL.postings_missing,
    ("post", "all"): SQL.postings_all,
    ("command", "failed"): SQL.commands_failed,
    ("command", "missing"): SQL.commands_missing,
    ("command", "all"): SQL.commands_all,
}


class Item(msgspec.Struct, frozen=True):
    """One thing that is to be done again: a message, what held lines wait for, or an item of a channel."""

    target: int | None
    channel_id: int | None
    subject: str | None
    at: datetime
    place: str  # the connection, channel or subject that is affected
    known: int  # events that a message has already, or lines that wait


class Effect(msgspec.Struct, frozen=True):
    """What a replay does to one target."""

    target: str
    items: int
    words: str


class Failure(msgspec.Struct, frozen=True):
    """An item that came to nothing, and why."""

    item: str
    outcome: str


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """A replay: what was planned, and how far it is."""

    id: str
    step: Step
    verb: Verb
    rules: Rules
    reason: str
    status: Status
    items: int
    oldest_at: datetime | None
    effects: list[Effect]
    rate_per_s: int
    eta_s: float
    waiting: int
    asked: int
    done: int
    failed: int
    skipped: int
    stopped: bool  # by the kill switch, whatever its status
    made_by: str
    made_at: datetime
    ended_at: datetime | None
    failures: list[Failure] = []


class Turn(msgspec.Struct, frozen=True):
    """A running replay that nobody else works on, until the transaction ends."""

    replay_id: int
    step: Step
    verb: Verb
    rules: Rules
    rate_per_s: int
    running_since: datetime
    asked: int  # since then


class Next(msgspec.Struct, frozen=True):
    """An item whose turn it is."""

    ordinal: int
    target: int | None
    channel_id: int | None
    subject: str | None


class Mark(msgspec.Struct, frozen=True):
    """What became of an item."""

    ordinal: int
    status: str
    outcome: str | None = None
    version: int | None = None


class Switch(msgspec.Struct, frozen=True):
    """The kill switch of all replays."""

    stopped: bool
    changed_by: str | None
    changed_at: datetime | None
    reason: str | None


def public_replay_id(replay_id: int) -> str:
    return f"rpl_{replay_id:08d}"


async def planned(
    db: Connection, wanted: Wanted, lookable: Sequence[str], now: datetime, limit: int
) -> list[Item]:
    """What a replay would do again; `lookable`: connectors whose systems can be asked what they show."""
    of_channels = wanted.step in ("dispatch", "observe")
    third = wanted.channel if of_channels else wanted.messages
    given = (wanted.connection, wanted.exception_id, third, now, limit)
    if wanted.step == "observe":
        rows = await db.fetch(SQL.looks, *given, list(lookable), wanted.verb)
    else:
        rows = await db.fetch(_PLANS[wanted.step, wanted.verb], *given)
    return [Item(*row.values()) for row in rows]


async def insert(
    db: Connection,
    wanted: Wanted,
    items: Sequence[Item],
    effects: Sequence[Effect],
    who: str,
    now: datetime,
) -> int:
    """Keep a plan with its items; its number. In the caller's transaction."""
    oldest_at = min((item.at for item in items), default=None)
    told = msgspec.json.encode(effects).decode()
    said = (wanted.step, wanted.verb, wanted.rules, wanted.reason, wanted.rate_per_s)
    replay_id = await db.fetchval(SQL.insert, *said, len(items), oldest_at, told, who, now)
    await db.execute(
        SQL.insert_items,
        replay_id,
        list(range(len(items))),
        [item.target for item in items],
        [item.channel_id for item in items],
        [item.subject for item in items],
    )
    return int(replay_id)


async def page(db: Connection, before: int | None, limit: int) -> list[Replay]:
    """Replays, newest first."""
    return [_replay(row) for row in await db.fetch(SQL.page, before or SEQ_MAX, None, limit)]


async def find(db: Connection, replay_id: int) -> Replay | None:
    """One replay, with the first items that came to nothing."""
    rows = await db.fetch(SQL.page, SEQ_MAX, replay_id, 1)
    if not rows:
        return None
    failures = [
        Failure(_name(row), row["outcome"] or "")
        for row in await db.fetch(SQL.failures, replay_id, FAILURES_MAX)
    ]
    return msgspec.structs.replace(_replay(rows[0]), failures=failures)


def _name(row: Any) -> str:
    if row["subject"] is not None:
        return str(row["subject"])
    if row["channel"] is not None:
        return f"{row['channel']}, {row['sku']}"
    named = {"post": posting_id, "command": command_id}.get(row["step"], public_message_id)
    return named(row["target"])


def _replay(row: Any) -> Replay:
    ended = row["done"] + row["failed"] + row["skipped"]
    return Replay(
        id=public_replay_id(row["replay_id"]),
        step=row["step"],
        verb=row["verb"],
        rules=row["rules"],
        reason=row["reason"],
        status=row["status"],
        items=row["items"],
        oldest_at=row["oldest_at"],
        effects=msgspec.json.decode(row["told"], type=list[Effect]),
        rate_per_s=row["rate_per_s"],
        eta_s=(row["items"] - ended) / row["rate_per_s"],
        waiting=row["items"] - ended - row["asked"],
        asked=row["asked"],
        done=row["done"],
        failed=row["failed"],
        skipped=row["skipped"],
        stopped=row["stopped"],
        made_by=row["made_by"],
        made_at=row["made_at"],
        ended_at=row["ended_at"],
    )


async def lock(db: Connection, replay_id: int) -> Status | None:
    """The status of a replay, which nobody changes until the transaction ends."""
    status: Status | None = await db.fetchval(SQL.lock, replay_id)
    return status


async def set_status(db: Connection, replay_id: int, status: Status, now: datetime) -> None:
    await db.execute(SQL.set_status, replay_id, status, now)


async def skip_waiting(db: Connection, replay_id: int, why: str, now: datetime) -> None:
    """Items that are not asked any more."""
    await db.execute(SQL.skip_waiting, replay_id, why, now)


async def switch(db: Connection) -> Switch:
    row = await db.fetchrow(SQL.switch)
    assert row is not None  # noqa: S101 - a one-row table
    return Switch(*row.values())


async def set_switch(db: Connection, who: str, now: datetime, reason: str | None, *, stopped: bool) -> None:
    await db.execute(SQL.set_switch, stopped, who, now, reason)


async def turn(db: Connection, after: int) -> Turn | None:
    """The next running replay behind a number."""
    row = await db.fetchrow(SQL.turn, after)
    return None if row is None else Turn(*row.values())


async def next_items(db: Connection, replay_id: int, limit: int) -> list[Next]:
    return [Next(*row.values()) for row in await db.fetch(SQL.next, replay_id, limit)]


async def mark(db: Connection, replay_id: int, marks: Sequence[Mark], now: datetime) -> None:
    if marks:
        rows = ((each.ordinal, each.status, each.outcome, each.version) for each in marks)
        await db.execute(SQL.mark, replay_id, tuples(("o", "s", "w", "v"), rows), now)


async def ask_messages(
    db: Connection, message_ids: Sequence[int], statuses: Sequence[str], now: datetime, *, as_was: bool
) -> set[int]:
    """Have messages read once more, if they are still as they were planned; which of them are."""
    rows = await db.fetch(SQL.ask_messages, list(message_ids), now, as_was, list(statuses))
    return {row["message_id"] for row in rows}


async def tell_again(
    db: Connection, keys: Sequence[tuple[int, int]], now: datetime
) -> dict[tuple[int, int], int]:
    """Have numbers (channel_id, item_id) told again; the version of each."""
    rows = await db.fetch(SQL.tell_again, [key[0] for key in keys], [key[1] for key in keys], now)
    return {(row["channel_id"], row["item_id"]): row["version"] for row in rows}


async def post_again(db: Connection, ids: Sequence[int], prefix: str, now: datetime) -> dict[int, int]:
    """Have postings brought to the books that are not there; by each that is owed now, the one that brings it."""
    again = await postings.send_again(db, None, None, prefix, now, list(ids))
    owed = {row["posting_id"]: row["posting_id"] for row in await db.fetch(SQL.hasten, list(ids), now)}
    for connection_id, id_ in await db.fetch(SQL.books_of, list(ids)):
        await troubles.show(db, connection_id, id_, now)
    return owed | again.carrying


async def command_again(db: Connection, ids: Sequence[int], now: datetime) -> set[int]:
    """Have commands sent that are not done; which of them are owed now."""
    await commands.send_again(db, None, None, now, list(ids))
    owed = await commands.hasten(db, ids, now)
    for connection_id, id_ in await commands.connections_of(db, ids):
        await troubles.show(db, connection_id, id_, now)
    return set(owed)


async def look_again(db: Connection, keys: Sequence[tuple[int, int]], now: datetime) -> set[tuple[int, int]]:
    """Have numbers (channel_id, item_id) looked at before their turn; those that can be."""
    rows = await db.fetch(SQL.ask_looks, [key[0] for key in keys], [key[1] for key in keys], now)
    return {(row["channel_id"], row["item_id"]) for row in rows}


async def settle(db: Connection, replay_id: int, step: Step, now: datetime) -> None:
    """Write down what became of what was asked."""
    if step == "translate":
        await db.execute(SQL.settle_messages, replay_id, now)
    elif step == "dispatch":
        await db.execute(SQL.settle_exposures, replay_id, now)
    elif step == "post":
        await db.execute(SQL.settle_postings, replay_id, now)
    elif step == "command":
        await db.execute(SQL.settle_commands, replay_id, now)
    elif step == "observe":
        await db.execute(SQL.settle_looks, replay_id, now, now - SEEN_WITHIN)
        await db.execute(SQL.forget_looks, now - SEEN_WITHIN)


async def is_open(db: Connection, replay_id: int) -> bool:
    return bool(await db.fetchval(SQL.is_open, replay_id))


async def are_held(db: Connection, subject: str) -> bool:
    """Whether lines still wait for this."""
    return bool(await db.fetchval(SQL.are_held, subject))


async def settings_then(db: Connection, connection_id: int, at: datetime) -> tuple[str, str, str] | None:
    """A connection's id, connector and settings (JSON) as they were at an instant."""
    row = await db.fetchrow(SQL.settings_then, connection_id, at)
    return None if row is None else (row["id"], row["connector"], row["settings"])


class MessageStored(msgspec.Struct, frozen=True):
    """A message with its bytes; `body` is None when they are gone."""

    message_id: int
    connection: str
    connection_id: int
    dedupe: str
    vendor_id: str
    name: str
    headers: str
    body: bytes | None
    received_at: datetime
    status: str
    replaced_by: int | None
    edited_from: int | None
    edited_by: str | None
    edit_reason: str | None
    trace_id: str | None


async def message(db: Connection, message_id: int) -> MessageStored | None:
    """A message, locked until the transaction ends."""
    row = await db.fetchrow(SQL.message, message_id)
    return None if row is None else MessageStored(*row.values())


async def insert_edit(
    db: Connection, message_id: int, body: bytes, who: str, reason: str, now: datetime, *, masked: bool
) -> int | None:
    """The message as somebody edited it, beside the one that was received; None when exactly this edit was made before."""
    found: int | None = await db.fetchval(SQL.insert_edit, message_id, body, masked, now, who, reason)
    return found


async def replace(db: Connection, message_id: int, by: int, now: datetime) -> None:
    """The edit speaks for the message from now on."""
    await db.execute(SQL.replace, message_id, by, now)
