"""The writers of a process: whatever waits is one batch, while the previous commit is under way (D2).

Callers' requests are grouped without an artificial wait. Each of a few lanes has a connection shared with nobody, so that
one prepares its batch while another commits; what lanes may do to each other, processes may too, and is safe alike. What is
small goes first, so that a till never waits for days of another store that come at once; what is large is in every other
batch at least. A clean stop finishes what was accepted.
"""

import asyncio
from collections import Counter as Counted
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec
import structlog
from prometheus_client import Counter, Gauge, Histogram

from evenstock.core.errors import Refusal
from evenstock.pipeline.apply import Applied, Incoming, Memory
from evenstock.pipeline.lane import Lane
from evenstock.pipeline.link import GIVE_UP_S
from evenstock.postgres.database import Database

LANES: Final = 3  # one prepares, one takes its keys, one holds positions and commits
SECOND_LANE_EVENTS_MIN: Final = 100  # that wait, before they do not wait for the batch under way
BATCH_EVENTS_MAX: Final = 1_000  # of one transaction, but never less than one request
EVENTS_WAITING_MAX: Final = 20_000  # beyond it callers are asked to come again
BULK_EVENTS_MIN: Final = (
    100  # of one request, from which on it is taken for a store that catches up, not for a till
)
BULK_PART: Final = 0.75  # of the events that may wait; the rest is kept free for tills

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
    """Takes events and releases in order, and writes them batch by batch, in a few lanes."""

    def __init__(
        self,
        database: Database,
        now: Callable[[], datetime],
        *,
        memory: Memory | None = None,
        heard: Callable[[Sequence[Incoming]], None] | None = None,
        lanes: int = LANES,
        events_waiting_max: int = EVENTS_WAITING_MAX,
        give_up_s: float = GIVE_UP_S,
    ) -> None:
        self._memory = memory or Memory()
        self._lanes = [Lane(database, self._memory, now, give_up_s=give_up_s) for _ in range(lanes)]
        self._heard = heard  # told of events once what became of them is durable
        self._events_waiting_max = events_waiting_max
        self._queue: deque[_Submission | _Release] = deque()
        self._bulk: deque[_Submission] = deque()
        self._bulk_has_waited = False  # while a batch went without it
        self._wake = asyncio.Event()
        self._events_waiting = 0  # for their answer
        self._events_queued = 0  # for a lane
        self._lanes_busy = 0
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect and begin to write."""
        for lane in self._lanes:
            await lane.open()
        self._tasks = [asyncio.create_task(self._run(lane), name="writer") for lane in self._lanes]

    async def stop(self) -> None:
        """Take nothing more, finish what was accepted, and leave."""
        self._stopping = True
        self._wake.set()
        await asyncio.gather(*self._tasks)
        for lane in self._lanes:
            await lane.close()

    @property
    def is_running(self) -> bool:
        return bool(self._tasks) and not self._stopping and not any(task.done() for task in self._tasks)

    async def submit(self, incoming: Sequence[Incoming]) -> Applied:
        """Apply events; returns when they are durable.

        Raises Refusal `hub.overloaded`, `hub.stopping` or `hub.memory_away`: then nothing of them is promised.
        """
        self._admit(len(incoming))
        submission = _Submission(incoming, asyncio.get_running_loop().create_future())
        (self._bulk if len(incoming) >= BULK_EVENTS_MIN else self._queue).append(submission)
        self._events_queued += len(incoming)
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
        most = self._events_waiting_max
        if events >= BULK_EVENTS_MIN:
            most = int(most * BULK_PART)
        if self._events_waiting + events > most:
            REFUSED.labels("hub.overloaded").inc()
            detail = f"{self._events_waiting:,} events wait to be booked; at most {most:,} may."
            raise Refusal("hub.overloaded", detail)
        self._events_waiting += events
        WAITING.set(self._events_waiting)

    async def _run(self, lane: Lane) -> None:
        while self._queue or self._bulk or not self._stopping:
            if not (self._queue or self._bulk) or (
                self._lanes_busy and self._events_queued < SECOND_LANE_EVENTS_MIN
            ):
                self._wake.clear()
                await self._wake.wait()
                continue
            self._lanes_busy += 1
            first = self._queue[0] if self._queue else None
            if isinstance(first, _Release):
                self._queue.popleft()
                await self._release(lane, first)
            else:
                await self._write(lane, self._take())
            self._lanes_busy -= 1
            self._wake.set()

    def _take(self) -> list[_Submission]:
        """Whatever waits, up to the size of a batch: what is small, then what is large, each in arrival order."""
        taken: list[_Submission] = []
        events, bulk = 0, len(self._bulk)
        for queue in (self._bulk, self._queue) if self._bulk_has_waited else (self._queue, self._bulk):
            while queue and isinstance(first := queue[0], _Submission):
                if taken and events + len(first.incoming) > BATCH_EVENTS_MAX:
                    break
                queue.popleft()
                taken.append(first)
                events += len(first.incoming)
        self._bulk_has_waited = 0 < bulk == len(self._bulk)
        self._events_queued -= events
        return taken

    async def _write(self, lane: Lane, taken: list[_Submission]) -> None:
        incoming = [entry for submission in taken for entry in submission.incoming]
        try:
            with BATCH_SECONDS.time():
                applied = await lane.apply(incoming)
        except Refusal as refusal:
            _fail(taken, refusal)
            return
        except Exception:  # logged whole; the lane goes on, and who waits is told
            lane.abandon()
            log.exception("batch.lost", events=len(incoming))
            _fail(taken, Refusal("hub.memory_away", "The database failed while these events were booked."))
            return
        finally:
            self._events_waiting -= len(incoming)
            WAITING.set(self._events_waiting)
        BATCH_EVENTS.observe(len(incoming))
        if self._heard is not None:
            self._heard(incoming)
        start = 0
        for submission in taken:
            end = start + len(submission.incoming)
            if not submission.answer.done():
                submission.answer.set_result(Applied(applied.ledger_seq, applied.results[start:end]))
            start = end
        for outcome, number in Counted(result.outcome for result in applied.results).items():
            EVENTS.labels(outcome).inc(number)

    async def _release(self, lane: Lane, job: _Release) -> None:
        try:
            booked = await lane.release(job.subjects)
        except Exception:  # logged whole; the lane goes on, and who waits is told
            lane.abandon()
            log.exception("release.failed", subjects=len(job.subjects))
            detail = "The masters are stored; what waited for them was not booked yet. Send them again."
            _fail([job], Refusal("hub.memory_away", detail))
        else:
            if not job.answer.done():
                job.answer.set_result(booked)


def _fail(jobs: Sequence[_Submission | _Release], refusal: Refusal) -> None:
    for job in jobs:
        if not job.answer.done():
            job.answer.set_exception(refusal)
