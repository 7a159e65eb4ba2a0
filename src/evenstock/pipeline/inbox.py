"""Where a vendor's message goes first: verified over its raw bytes, cleared of card numbers, kept, and only then answered.

Whatever waits is one transaction, while the previous commit is under way (D2). Nothing that is not verified is kept.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
import structlog
from prometheus_client import Counter

from evenstock.connectors.contract import Arrived, Hook
from evenstock.connectors.signing import verify
from evenstock.core.cards import masked
from evenstock.core.errors import Refusal
from evenstock.core.tracing.ids import trace_id_of
from evenstock.pipeline.connections import Connection, Connections
from evenstock.pipeline.link import GIVE_UP_S, Link
from evenstock.postgres import inbox
from evenstock.postgres.database import Database
from evenstock.postgres.inbox import Arrival, Kept

BATCH_MAX: Final = 200  # messages of one transaction
WAITING_MAX: Final = 2_000  # beyond it vendors are asked to come again
HEADER_MAX: Final = 1_000  # characters kept of one

RECEIVED = Counter("evenstock_messages_received", "Webhooks answered, by what was done.", ["outcome"])

log = structlog.get_logger()


class _Job(msgspec.Struct, eq=False):
    """A message of one caller, and where it waits for the answer."""

    arrival: Arrival
    answer: asyncio.Future[Kept]


class Inbox:
    """Takes messages; what it has answered is durable."""

    def __init__(
        self,
        database: Database,
        connections: Connections,
        now: Callable[[], datetime],
        kept: Callable[[], None],
        *,
        give_up_s: float = GIVE_UP_S,
    ) -> None:
        self._link = Link(database, "evenstock inbox", give_up_s=give_up_s)
        self._connections = connections
        self._now = now
        self._kept = kept  # told when something new is there
        self._queue: deque[_Job] = deque()
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._link.db()
        self._task = asyncio.create_task(self._run(), name="inbox")

    async def stop(self) -> None:
        """Take nothing more, keep what was taken, and leave."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        await self._link.close()

    async def receive(self, connection_id: str, headers: Mapping[str, str], body: bytes) -> Kept:
        """Verify a webhook and keep it; returns when it is durable. Header names are in lower case.

        Raises Refusal: `hook.…`, `secret.…`, or `hub.…` when it could not be kept. Then nothing of it was.
        """
        try:
            connection, hook = await self._connections.taking_hooks(connection_id)
            secrets = await self._connections.secrets_of(connection)
            verify(hook, secrets, headers, body, self._now())
            kept = await self._keep(_arrival(connection, hook, headers, body, self._now()))
        except Refusal as refusal:
            RECEIVED.labels(refusal.problem.code).inc()
            raise
        RECEIVED.labels("duplicate" if kept.duplicate else "kept").inc()
        return kept

    async def keep(self, connection: Connection, arrived: Sequence[Arrived]) -> None:
        """Keep what was fetched from a connection; returns when all of it is durable. What came before is kept once.

        Raises Refusal `hub.…` when some of it could not be kept.
        """
        now = self._now()
        await asyncio.gather(*(self._keep(fetched(connection, each, now)) for each in arrived))

    def look(self) -> None:
        """Messages were kept by somebody else, with something of theirs."""
        self._kept()

    async def _keep(self, arrival: Arrival) -> Kept:
        if self._stopping:
            raise Refusal("hub.stopping", "The hub is stopping and takes nothing more.")
        if len(self._queue) >= WAITING_MAX:
            raise Refusal("hub.overloaded", f"{len(self._queue):,} messages wait to be kept.")
        job = _Job(arrival, asyncio.get_running_loop().create_future())
        self._queue.append(job)
        self._wake.set()
        return await job.answer

    async def _run(self) -> None:
        while self._queue or not self._stopping:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            taken = [self._queue.popleft() for _ in range(min(BATCH_MAX, len(self._queue)))]
            arrivals = [job.arrival for job in taken]
            try:
                kept = await self._link.through(lambda db, arrivals=arrivals: inbox.keep(db, arrivals))  # type: ignore[misc]
            except Refusal as refusal:
                _fail(taken, refusal)
                continue
            except Exception:  # logged whole; who waits is told, and nothing of it was answered
                self._link.abandon()
                log.exception("inbox.failed", messages=len(taken))
                _fail(taken, Refusal("hub.memory_away", "The database failed while this message was kept."))
                continue
            self._kept()
            for job, one in zip(taken, kept, strict=True):
                if not job.answer.done():
                    job.answer.set_result(one)


def _fail(jobs: Sequence[_Job], refusal: Refusal) -> None:
    for job in jobs:
        if not job.answer.done():
            job.answer.set_exception(refusal)


def fetched(connection: Connection, arrived: Arrived, now: datetime) -> Arrival:
    """A message that we fetched ourselves: it is known by its kind and its content."""
    stored = masked(arrived.body)
    if stored is not arrived.body:
        log.warning("message.card_masked", connection=connection.id)
    name = arrived.name[:HEADER_MAX].replace("\0", "\ufffd")
    headers = {key[:HEADER_MAX]: _clean(text) for key, text in arrived.headers.items()}
    content = f"{name}:{hashlib.sha256(stored).hexdigest()}"
    return Arrival(
        connection.connection_id, connection.id, content, _clean(arrived.id), name, headers, stored,
        stored is not arrived.body, now,
    )  # fmt: skip


def _clean(text: str) -> str:
    """A header as it is stored."""
    return masked(text[:HEADER_MAX].replace("\0", "\ufffd").encode("utf-8", "replace")).decode()


def _arrival(
    connection: Connection, hook: Hook, headers: Mapping[str, str], body: bytes, now: datetime
) -> Arrival:
    """What is kept of a message: its bytes, and the headers that its connector named. Credentials are not among them."""
    stored = masked(body)
    if stored is not body:
        log.warning("message.card_masked", connection=connection.id)
    id_, kind = (headers.get(name, "")[:HEADER_MAX] if name else "" for name in (hook.id, hook.kind))
    wanted = {name for name in (hook.id, hook.kind, hook.timestamp, *hook.keep) if name}
    wanted -= {hook.signature}
    kept = {
        name: masked(headers[name][:HEADER_MAX].encode()).decode()
        for name in sorted(wanted)
        if name in headers
    }
    vouched = id_ if hook.scheme == "standard" else f"{kind}:{hashlib.sha256(stored).hexdigest()}"
    return Arrival(
        connection.connection_id, connection.id, vouched, id_, kind, kept, stored, stored is not body, now,
        trace_id_of(headers.get("traceparent")),
    )  # fmt: skip
