"""The lane of promises, apart from ingest (K8): whatever waits is one batch, while the previous commit is under way (D2).

One lane a process, so that within a process who asks first is served first. A batch that fails is done once more, then
halved until the offender stands alone; only its caller gets the error.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec
import structlog
from prometheus_client import Counter, Histogram

from evenstock.core.errors import Problem, Refusal
from evenstock.core.reservations import Answer
from evenstock.pipeline.apply import Memory
from evenstock.pipeline.link import HELD_WORDS, Link
from evenstock.pipeline.promise import No, Promising, Wanted, promise, sweep
from evenstock.postgres import faults
from evenstock.postgres.database import Database
from evenstock.postgres.promises import DUE_MAX, only_by_key
from evenstock.postgres.stock import LocationNames

BATCH_MAX: Final = 200  # commands of one transaction
WAITING_MAX: Final = 10_000  # beyond it callers are asked to come again
SWEEP_EVERY_S: Final = 0.5

PROMISES = Counter("evenstock_promises", "Commands about reservations, by what became of them.", ["code"])
PROMISE_BATCH = Histogram(
    "evenstock_promise_batch", "Commands in a batch.", buckets=(1, 2, 5, 10, 20, 50, 100, 200)
)
EXPIRED = Counter("evenstock_reservations_swept", "Reservations that were ended because their time was over.")

log = structlog.get_logger()


class _Job(msgspec.Struct, eq=False):
    """A command of one caller, and where it waits for the answer."""

    wanted: Wanted
    answer: asyncio.Future[Answer | No]


class Promiser:
    """Takes commands about reservations in order, and does them batch by batch."""

    def __init__(
        self,
        database: Database,
        names: LocationNames,
        now: Callable[[], datetime],
        *,
        memory: Memory | None = None,
        sweep_every_s: float = SWEEP_EVERY_S,
    ) -> None:
        self._link = Link(database, "evenstock promises", only_by_key)
        self._memory = Promising(memory or Memory(), names)
        self._now = now
        self._sweep_every_s = sweep_every_s
        self._queue: deque[_Job] = deque()
        self._wake = asyncio.Event()
        self._sweep_due = False
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect and begin to promise, and to end what is over its time."""
        await self._link.db()
        self._tasks = [
            asyncio.create_task(self._run(), name="promises"),
            asyncio.create_task(self._remind(), name="sweeper"),
        ]

    async def stop(self) -> None:
        """Take nothing more, finish what was accepted, and leave."""
        self._stopping = True
        self._wake.set()
        promises, sweeper = self._tasks
        sweeper.cancel()
        await promises
        await self._link.close()

    @property
    def is_running(self) -> bool:
        return bool(self._tasks) and not self._stopping and not self._tasks[0].done()

    async def submit(self, wanted: Wanted) -> Answer | No:
        """Do a command; returns when it is durable, or refused.

        Raises Refusal `hub.overloaded`, `hub.stopping` or `hub.memory_away`: the same again is safe.
        """
        if self._stopping:
            raise Refusal("hub.stopping", "The hub is stopping and takes nothing more.")
        if len(self._queue) >= WAITING_MAX:
            raise Refusal("hub.overloaded", f"{len(self._queue):,} commands wait to be decided.")
        job = _Job(wanted, asyncio.get_running_loop().create_future())
        self._queue.append(job)
        self._wake.set()
        return await job.answer

    async def _remind(self) -> None:
        """Every now and then, look for what is over its time."""
        while True:
            await asyncio.sleep(self._sweep_every_s)
            self._sweep_due = True
            self._wake.set()

    async def _run(self) -> None:
        while self._queue or not self._stopping:
            if self._sweep_due:
                self._sweep_due = False
                await self._sweep()
                continue  # we may have been told to stop meanwhile
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            taken = [self._queue.popleft() for _ in range(min(BATCH_MAX, len(self._queue)))]
            try:
                answers = await self._do([job.wanted for job in taken])
            except Refusal as refusal:
                _fail(taken, refusal)
                continue
            except Exception:  # logged whole; the lane goes on, and who waits is told
                self._link.abandon()
                log.exception("promises.lost", commands=len(taken))
                _fail(taken, Refusal("hub.memory_away", "The database failed while this was decided."))
                continue
            PROMISE_BATCH.observe(len(taken))
            for job, answer in zip(taken, answers, strict=True):
                PROMISES.labels(answer.problem.code if isinstance(answer, No) else "done").inc()
                if not job.answer.done():
                    job.answer.set_result(answer)

    async def _do(self, wanted: Sequence[Wanted]) -> list[Answer | No]:
        for attempt in range(2):
            try:
                return await self._link.through(lambda db: promise(db, self._memory, wanted, self._now))
            except (Refusal, asyncio.CancelledError):
                raise
            except faults.FULL as error:
                raise Refusal("hub.memory_away", "The database has no room to write.") from error
            except faults.HELD as error:
                raise Refusal("hub.memory_away", HELD_WORDS) from error
            except Exception as error:  # noqa: BLE001 - whatever a batch can raise must not stop the lane
                self._memory.memory.forget()
                log.warning(
                    "promises.failed", commands=len(wanted), attempt=attempt + 1, error=repr(error)[:500]
                )
                fault = error
        if len(wanted) == 1 and isinstance(fault, faults.TRANSIENT):
            raise Refusal("hub.memory_away", "The database did not get to this command.") from fault
        if len(wanted) == 1:
            log.error("promise.failed", command=repr(wanted[0])[:500], exc_info=fault)
            return [
                No(Problem("hub.bug", "We could not decide this; it is our fault, and the logs say more."))
            ]
        middle = len(wanted) // 2
        return [*await self._do(wanted[:middle]), *await self._do(wanted[middle:])]

    async def _sweep(self) -> None:
        try:
            swept = await self._link.through(lambda db: sweep(db, self._memory, self._now))
        except (
            Refusal,
            *faults.CONNECTION_LOST,
            *faults.TRANSIENT,
        ) as error:  # what is due is due without it
            self._link.abandon()
            log.warning("sweep.waits", error=repr(error)[:300])
            return
        except Exception:  # logged whole; the next sweep tries again
            self._link.abandon()
            log.exception("sweep.failed")
            return
        if swept:
            EXPIRED.inc(swept)
        if swept == DUE_MAX:
            self._sweep_due = True
            self._wake.set()


def _fail(jobs: Sequence[_Job], refusal: Refusal) -> None:
    for job in jobs:
        if not job.answer.done():
            job.answer.set_exception(refusal)
