"""Messages become events: claimed by their state, read by their connector, checked as at any door, booked by the same writer.

A try is counted before it begins, so that a message that kills its reader is known and ends as a dead letter. A message whose
events were booked and that was not settled is translated again: its events are known by their ids, and booked once.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import structlog
from prometheus_client import Counter

from evenstock.connectors.contract import Message, Untranslatable
from evenstock.connectors.reading import EVENTS_MAX
from evenstock.core.cards import masked
from evenstock.core.errors import MEANINGS, Problem, Refusal
from evenstock.core.reading import Received, Refused, read_event
from evenstock.core.tracing.ids import derived
from evenstock.pipeline.apply import Incoming, Result
from evenstock.pipeline.connections import Connection, Connections
from evenstock.pipeline.link import Link
from evenstock.pipeline.writer import Writer
from evenstock.postgres import exceptions, faults, inbox
from evenstock.postgres.database import Database, Session
from evenstock.postgres.exceptions import Cause
from evenstock.postgres.inbox import Settled, Taken, public_message_id

BATCH_MAX: Final = 50  # messages that are claimed at once
SUBMITTED_MAX: Final = 1_000  # events handed to the writer at once
ATTEMPTS_MAX: Final = 5  # of a message, each of which ended with its reader
LOOK_EVERY_S: Final = 1.0  # for messages that another process received, or that are asked for again
PAUSE_S: Final = 1.0  # after a failure
FORGET_EVERY_S: Final = 3600.0
UNTRANSLATABLE: Final = "message.untranslatable"
POISON: Final = "message.poison"

MESSAGES = Counter("evenstock_messages", "Messages settled, by what became of them.", ["outcome"])

log = structlog.get_logger()


class _Read(msgspec.Struct):
    """A message with what its connector made of it: events, or why there are none."""

    message: Taken
    connection: Connection | None
    events: list[Received] = []
    problem: Problem | None = None
    results: list[Result] = []


class Translator:
    """Reads what waits in the inbox, until told to stop."""

    def __init__(
        self,
        database: Database,
        connections: Connections,
        writer: Writer,
        now: Callable[[], datetime],
        tag: str,
        *,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._link = Link(database, "evenstock translator")
        self._connections = connections
        self._writer = writer
        self._now = now
        self._tag = tag
        self._look_every_s = look_every_s
        self._wake = asyncio.Event()
        self._owed: list[int] = []  # tries that did not count
        self._forgets_at = 0.0
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="translator")

    async def stop(self) -> None:
        """Settle what is under way, and leave; what waits is still there."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        await self._link.close()

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def wake(self) -> None:
        """Something waits."""
        self._wake.set()

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                worked = await self._round()
            except Exception as error:
                self._link.abandon()
                if not isinstance(error, (Refusal, *faults.ANY)):
                    log.exception("translator.failed")
                else:
                    log.warning("translator.waits", error=str(error)[:300])
                await self._pause(PAUSE_S)
                continue
            if not worked:
                await self._pause(self._look_every_s)

    async def _pause(self, seconds: float) -> None:
        if self._stopping:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _round(self) -> int:
        """Settle some messages: one that was tried before, then those that nobody tried yet; how many."""
        db = await self._link.db()
        await self._forget(db)
        if self._owed:
            await inbox.give_back(db, self._owed)
            self._owed = []
        worked = 0
        for tried_before in (True, False):
            claimed = await inbox.claim(db, BATCH_MAX, tried_before=tried_before)
            if claimed:
                try:
                    worked += await self._settle(db, claimed)
                except BaseException:
                    self._owed += claimed
                    raise
        return worked

    async def _forget(self, db: Session) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._forgets_at:
            self._forgets_at = now + FORGET_EVERY_S
            await inbox.forget_bodies(db, self._now())

    async def _settle(self, db: Session, claimed: Sequence[int]) -> int:
        """Hold these messages, book their events, and write what became of each: in one transaction of ours."""
        async with db.transaction():
            messages = await inbox.take(db, claimed)
            read = []
            for message in messages:
                read.append(await self._read(message))
                await asyncio.sleep(0)  # requests go on between two messages
            await self._book(read)
            await self._write(db, read)
        for one in read:
            MESSAGES.labels("dead" if one.problem else "translated").inc()
        return len(read)

    async def _read(self, message: Taken) -> _Read:
        if message.as_was:
            connection = await self._connections.as_of(message.connection_id, message.received_at)
        else:
            connection = await self._connections.by_number(message.connection_id)
        if message.attempts > ATTEMPTS_MAX:
            words = f"Its reader ended {ATTEMPTS_MAX} times while it was read."
            return _Read(message, connection, problem=Problem(POISON, words))
        if connection is None:
            return _Read(message, None, problem=Problem("connection.unknown", "Its connection is gone."))
        if connection.problem is not None:
            return _Read(message, connection, problem=connection.problem)
        try:
            return _Read(message, connection, events_of(connection, message))
        except Untranslatable as error:
            code = error.code if error.code in MEANINGS else "message.shape"
            return _Read(message, connection, problem=Problem(code, error.detail, error.pointer))
        except Exception as error:  # whatever a connector of others can raise is a dead letter, not our end
            log.exception(
                "connector.failed", connection=connection.id, message=public_message_id(message.message_id)
            )
            words = f"The connector failed: {type(error).__name__}."
            return _Read(message, connection, problem=Problem("connector.fault", words))

    async def _book(self, read: Sequence[_Read]) -> None:
        """Book the events of good messages, so many at once as the writer likes."""
        waiting: list[_Read] = []
        for one in [*(each for each in read if each.problem is None and each.events), None]:
            events = sum(len(each.events) for each in waiting)
            if waiting and (one is None or events + len(one.events) > SUBMITTED_MAX):
                await self._submit(waiting)
                waiting = []
            if one is not None:
                waiting.append(one)

    async def _submit(self, read: Sequence[_Read]) -> None:
        incoming = [
            Incoming(
                event.event,
                event.body,
                one.message.connection_id,
                one.message.received_at,
                self._trace_of(one),
            )
            for one in read
            for event in one.events
        ]
        results = iter((await self._writer.submit(incoming)).results)
        for one in read:
            one.results = [next(results) for _ in one.events]
            bad = next((result for result in one.results if result.outcome == "rejected"), None)
            if bad is not None and bad.code == "hub.bug":
                raise Refusal(
                    "hub.memory_away", "The ledger failed on an event of a message; it is tried again."
                )
            if bad is not None:
                booked = sum(result.outcome != "rejected" for result in one.results)
                words = f"{bad.detail} The event is {bad.id}, at {bad.pointer}; {booked} of {len(one.results)} events were booked."
                one.problem = Problem(bad.code or "", words)

    def _trace_of(self, one: _Read) -> str:
        """The facts of a message are of its trace."""
        return one.message.trace_id or derived(self._tag, "message", one.message.message_id)

    async def _write(self, db: Session, read: Sequence[_Read]) -> None:
        now = self._now()
        causes = {one.message.message_id: _cause(one) for one in read if one.problem is not None}
        ids = await exceptions.open_causes(db, causes.values(), now)
        settled = []
        for one in read:
            message_id = one.message.message_id
            cause, problem = causes.get(message_id), one.problem
            if cause is None or problem is None:
                settled.append(Settled(message_id, [event.event.id for event in one.events]))
                continue
            number = ids[cause.code, cause.subject]
            settled.append(
                Settled(message_id, [], problem.code, _plain(problem.detail), problem.pointer, number)
            )
        before = {one.message.exception_id for one in read} - {None}
        await inbox.settle(db, settled, sorted(number for number in before if number is not None), now)


def events_of(connection: Connection, message: Taken) -> list[Received]:
    """What the connector makes of a message, each event read as strictly as at the door.

    Raises Untranslatable; whatever else comes out is a fault of the connector.
    """
    connector = connection.connector
    if connector is None or connector.translate is None:
        raise Untranslatable("message.unsupported", f"The connection `{connection.id}` reads no messages.")
    given = Message(message.body, message.received_at, message.headers, message.name)
    told: list[dict[str, Any]] = connector.translate(connection.settings, given)
    if len(told) > EVENTS_MAX:
        raise Untranslatable("limit.batch", f"{len(told):,} events in one message; at most {EVENTS_MAX:,}.")
    found = []
    for number, event in enumerate(told, 1):
        read = read_event({"specversion": "1.0", **event, "source": connection.id})
        if isinstance(read, Refused):
            problem = read.problem
            where = f", at {problem.pointer} of event {number}" if problem.pointer else f", in event {number}"
            raise Untranslatable(problem.code, problem.detail.removesuffix(".") + where + ".")
        found.append(read)
    return found


def shape_of(pointer: str) -> str:
    """A pointer without the numbers of lists, so that line 1 and line 7 are one cause."""
    return re.sub(r"/[0-9]+(?=/|$)", "/*", pointer)


def _cause(one: _Read) -> Cause:
    """One exception for each shape of fault of a connection, not one for each message."""
    problem, source = one.problem, one.connection.id if one.connection else "?"
    assert problem is not None  # noqa: S101 - only dead letters have a cause
    number = public_message_id(one.message.message_id)
    at = f", at {problem.pointer}" if problem.pointer else ""
    code = POISON if problem.code == POISON else UNTRANSLATABLE
    kind = one.message.name
    subject = f"message:{source}:{kind}:{problem.code}:{shape_of(problem.pointer)}"
    told = f" ({kind})" if kind else ""
    words = (
        f"Messages of {source}{told} are not events yet: {_plain(problem.detail)} For example {number}{at}."
    )
    return Cause(code, subject, words, one.message.connection_id)


def _plain(detail: str) -> str:
    """Words that quote a message hold no card number either, and nothing that a database does not keep."""
    return masked(detail.replace("\0", "\ufffd").encode("utf-8", "replace")).decode()
