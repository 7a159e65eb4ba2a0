"""The one task of a process that writes: whatever waits is one batch, while the previous commit is under way (D2).

Callers' requests are grouped without an artificial wait. A batch whose transaction fails is done once more, then halved
until the offender stands alone; only its caller gets the error. A clean stop finishes what was accepted.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec
import structlog
from prometheus_client import Counter, Gauge, Histogram

from evenstock.core.errors import Problem, Refusal
from evenstock.pipeline.apply import Applied, Incoming, Memory, Result, apply, rejected
from evenstock.pipeline.release import release
from evenstock.postgres import faults, ledger
from evenstock.postgres.database import Connection, Database, Session

BATCH_EVENTS_MAX: Final = 1_000  # of one transaction, but never less than one request
EVENTS_WAITING_MAX: Final = 20_000  # beyond it callers are asked to come again
RECONNECT_S: Final = 0.2
GIVE_UP_S: Final = 10.0  # without a database, before the callers that wait are told

EVENTS = Counter("evenstock_events", "Events answered, by outcome.", ["outcome"])
WAITING = Gauge("evenstock_events_waiting", "Events accepted into the queue and not yet committed.")
BATCH_EVENTS = Histogram(
    "evenstock_batch_events", "Events in a batch.", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
)
BATCH_SECONDS = Histogram("evenstock_batch_seconds", "From taking a batch to its COMMIT.")
REFUSED = Counter("evenstock_requests_refused", "Requests that found the queue full or closed.", ["code"])

log = structlog.get_logger()


class _Submission(msgspec.Struct, eq=False):
    """Events of one caller, and where it waits for the answer."""

    incoming: Sequence[Incoming]
    answer: asyncio.Future[Applied]


class _Release(msgspec.Struct, eq=False):
    """Held lines to book, because their masters have come."""

    subjects: Sequence[str]
    answer: asyncio.Future[int]


class Writer:
    """Takes events and releases in order, and writes them batch by batch over a connection shared with nobody."""

    def __init__(
        self,
        database: Database,
        now: Callable[[], datetime],
        *,
        waiting_max: int = EVENTS_WAITING_MAX,
        give_up_s: float = GIVE_UP_S,
    ) -> None:
        self._database = database
        self._now = now
        self._waiting_max = waiting_max
        self._give_up_s = give_up_s
        self._queue: deque[_Submission | _Release] = deque()
        self._wake = asyncio.Event()
        self._events_waiting = 0
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._db: Session | None = None
        self.memory = Memory()

    async def start(self) -> None:
        """Connect and begin to write."""
        self._db = await self._database.connect(application="evenstock writer")
        self._task = asyncio.create_task(self._run(), name="writer")

    async def stop(self) -> None:
        """Take nothing more, finish what was accepted, and leave."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        if self._db is not None:
            await self._db.close()

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done() and not self._stopping

    async def submit(self, incoming: Sequence[Incoming]) -> Applied:
        """Apply events; returns when they are durable.

        Raises Refusal `hub.overloaded`, `hub.stopping` or `hub.memory_away`: then nothing of them is promised.
        """
        self._admit(len(incoming))
        submission = _Submission(incoming, asyncio.get_running_loop().create_future())
        self._queue.append(submission)
        self._wake.set()
        return await submission.answer

    async def release(self, subjects: Sequence[str]) -> int:
        """Book the lines that waited for these subjects; returns how many."""
        self._admit(0)
        job = _Release(subjects, asyncio.get_running_loop().create_future())
        self._queue.append(job)
        self._wake.set()
        return await job.answer

    def _admit(self, events: int) -> None:
        if self._stopping:
            REFUSED.labels("hub.stopping").inc()
            raise Refusal("hub.stopping", "The hub is stopping and takes nothing more.")
        if self._events_waiting + events > self._waiting_max:
            REFUSED.labels("hub.overloaded").inc()
            raise Refusal(
                "hub.overloaded",
                f"{self._events_waiting:,} events wait to be booked; at most {self._waiting_max:,} may.",
            )
        self._events_waiting += events
        WAITING.set(self._events_waiting)

    async def _run(self) -> None:
        while self._queue or not self._stopping:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            if isinstance(self._queue[0], _Release):
                job = self._queue.popleft()
                assert isinstance(job, _Release)  # noqa: S101 - it was the first
                await self._release(job)
            else:
                await self._write(self._take())

    def _take(self) -> list[_Submission]:
        """Whatever waits, up to the size of a batch, in arrival order."""
        taken: list[_Submission] = []
        events = 0
        while self._queue and isinstance(first := self._queue[0], _Submission):
            if taken and events + len(first.incoming) > BATCH_EVENTS_MAX:
                break
            self._queue.popleft()
            taken.append(first)
            events += len(first.incoming)
        return taken

    async def _write(self, taken: list[_Submission]) -> None:
        incoming = [entry for submission in taken for entry in submission.incoming]
        try:
            with BATCH_SECONDS.time():
                applied = await self._apply(incoming)
        except Refusal as refusal:
            for submission in taken:
                _fail(submission.answer, refusal)
            return
        except Exception:
            self._abandon()
            log.exception("batch.lost", events=len(incoming))
            for submission in taken:
                _fail(
                    submission.answer,
                    Refusal("hub.memory_away", "The database failed while these events were booked."),
                )
            return
        finally:
            self._events_waiting -= len(incoming)
            WAITING.set(self._events_waiting)
        BATCH_EVENTS.observe(len(incoming))
        start = 0
        for submission in taken:
            end = start + len(submission.incoming)
            if not submission.answer.done():
                submission.answer.set_result(Applied(applied.ledger_seq, applied.results[start:end]))
            start = end
        for result in applied.results:
            EVENTS.labels(result.outcome).inc()

    async def _apply(self, incoming: Sequence[Incoming]) -> Applied:
        """Apply, once more after a fault, then in halves until the offender stands alone."""
        if not incoming:
            return Applied((await ledger.head(await self._connection()))[0], [])
        for attempt in range(2):
            try:
                return await self._reconnecting(incoming)
            except (Refusal, asyncio.CancelledError):
                raise
            except Exception as error:  # noqa: BLE001 - whatever a batch can raise must not stop the writer
                self.memory = Memory()
                log.warning(
                    "batch.failed", events=len(incoming), attempt=attempt + 1, error=repr(error)[:500]
                )
                fault = error
        if len(incoming) == 1:
            log.error("event.failed", key=incoming[0].event.id, error=repr(fault)[:2000], exc_info=fault)
            problem = Problem(
                "hub.bug", "We could not book this event; it is our fault, and the logs say more."
            )
            return Applied(
                (await ledger.head(await self._connection()))[0], [rejected(incoming[0].event.id, problem)]
            )
        middle = len(incoming) // 2
        first, second = await self._apply(incoming[:middle]), await self._apply(incoming[middle:])
        return Applied(second.ledger_seq, [*first.results, *second.results])

    async def _reconnecting(self, incoming: Sequence[Incoming]) -> Applied:
        """Apply; when the session is lost, connect again and repeat: what had been committed answers `duplicate`."""
        deadline = asyncio.get_running_loop().time() + self._give_up_s
        while True:
            try:
                return await apply(await self._connection(), self.memory, incoming, self._now())
            except faults.CONNECTION_LOST as error:
                log.warning("database.lost", error=repr(error)[:300])
                self._abandon()
                if asyncio.get_running_loop().time() > deadline:
                    raise Refusal(
                        "hub.memory_away", f"The database has not answered for {self._give_up_s:g} s."
                    ) from error
                await asyncio.sleep(RECONNECT_S)

    async def _release(self, job: _Release) -> None:
        try:
            booked = await release(await self._connection(), self.memory, job.subjects, self._now())
        except Exception as error:
            self._abandon()
            log.warning(
                "release.failed", subjects=len(job.subjects), error=repr(error)[:2000], exc_info=error
            )
            _fail(
                job.answer,
                Refusal(
                    "hub.memory_away",
                    "The masters are stored; what waited for them was not booked yet. Send them again.",
                ),
            )
        else:
            if not job.answer.done():
                job.answer.set_result(booked)

    async def _connection(self) -> Connection:
        if self._db is None or self._db.is_closed():
            self._db = await self._database.connect(application="evenstock writer")
        return self._db

    def _abandon(self) -> None:
        """Let go of a session that may be broken."""
        if self._db is not None:
            self._db.terminate()
            self._db = None


def _fail(answer: asyncio.Future[Applied] | asyncio.Future[int], refusal: Refusal) -> None:
    if not answer.done():
        answer.set_exception(refusal)


__all__ = ["Applied", "Incoming", "Result", "Writer"]
