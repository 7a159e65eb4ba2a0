"""What stands at the door: bytes in, an answer for each event, given only when what was accepted is durable."""

from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from evenstock.core.errors import Problem
from evenstock.core.reading import Received, Refused, read_events
from evenstock.pipeline.apply import Applied, Incoming, Result, rejected
from evenstock.pipeline.writer import EVENTS, Writer
from evenstock.postgres import exceptions, masters
from evenstock.postgres.database import Connection, Pool
from evenstock.postgres.keys import ApiKey

log = structlog.get_logger()


class Sources:
    """Connections by name, as events name them; read again when a name is new."""

    def __init__(self, pool: Pool, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._now = now
        self._ids: dict[str, int] = {}

    async def ids(self, names: Sequence[str], key: ApiKey) -> dict[str, int]:
        """Connection ids of those names that exist; a key with scope * makes those that do not."""
        if any(name not in self._ids for name in names):
            async with self._pool.acquire() as db:
                await self._read(db)
                missing = sorted({name for name in names if name not in self._ids})
                if missing and "*" in key.scopes:
                    await masters.add_connections(db, missing, "api", self._now())
                    await self._read(db)
        return self._ids

    async def _read(self, db: Connection) -> None:
        self._ids = await masters.connections(db)


async def receive(
    writer: Writer,
    sources: Sources,
    pool: Pool,
    key: ApiKey,
    body: bytes,
    received_at: datetime,
    trace_id: str | None = None,
) -> Applied:
    """Read a body, apply its events, answer each in order. `trace_id` is of the request, for events that name none.

    Raises Refusal where nothing of the body can be used, or the hub takes nothing now.
    """
    reading = read_events(body)
    answers: list[Result | None] = [None] * len(reading.entries)
    names = {entry.event.source for entry in reading.entries if isinstance(entry, Received)}
    known = await sources.ids(sorted(names), key)
    ids = {name: known[name] for name in names if name in known and key.speaks_for(known[name])}
    accepted: list[int] = []
    incoming: list[Incoming] = []
    for index, entry in enumerate(reading.entries):
        if isinstance(entry, Refused):
            answers[index] = rejected(entry.id, entry.problem)
            continue
        connection_id = ids.get(entry.event.source)
        if connection_id is None:
            detail = f"The key `{key.name}` may not speak for `{entry.event.source}`."
            answers[index] = rejected(
                entry.event.id, Problem("auth.source", detail, f"{reading.prefix(index)}/source")
            )
            continue
        accepted.append(index)
        incoming.append(Incoming(entry.event, entry.body, connection_id, received_at, trace_id))
    if any(answer is not None for answer in answers):
        EVENTS.labels("rejected").inc(sum(answer is not None for answer in answers))
    applied = await writer.submit(incoming)
    for index, result in zip(accepted, applied.results, strict=True):
        answers[index] = _located(result, reading.prefix(index))
    if key.device:
        bodies = [entry.body for entry in reading.entries]
        await _keep(pool, key, bodies, answers, received_at)
    return Applied(applied.ledger_seq, [answer for answer in answers if answer is not None])


def _located(result: Result, prefix: str) -> Result:
    """A result whose pointers start at what the caller sent."""
    if result.pointer is None or not prefix:
        return result
    held = [
        type(line)(line.line, line.code, prefix + line.pointer, line.detail, line.exception_id)
        for line in result.held_lines
    ]
    return Result(
        result.id,
        result.outcome,
        result.trace_id,
        result.code,
        result.detail,
        prefix + result.pointer,
        result.exception_id,
        held,
    )


async def _keep(
    pool: Pool, key: ApiKey, bodies: Sequence[bytes], answers: Sequence[Result | None], received_at: datetime
) -> None:
    """What a device cannot repair is kept, byte for byte, under an exception."""
    rows = [
        (answer.code or "", answer.detail or "", body)
        for answer, body in zip(answers, bodies, strict=True)
        if answer is not None and answer.outcome == "rejected"
    ]
    if not rows:
        return
    async with pool.acquire() as db, db.transaction():
        cause = exceptions.Cause(
            "event.malformed", f"device:{key.key_id}", f"The device {key.name} sent what we cannot read."
        )
        ids = await exceptions.open_causes(db, [cause], received_at)
        await exceptions.keep_rejected(db, key.key_id, rows, ids[cause.code, cause.subject], received_at)
    log.info("device.rejected", key=key.name, events=len(rows))
