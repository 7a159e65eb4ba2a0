"""A file's rows become facts: mapped, sent in batches, several at once, and counted.

What holds: a run may stop anywhere and continue, or start again, and the hub's keys see to it that nothing is applied
twice. The checkpoint only advances in the order of the file, past rows whose every event was answered.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from evenstock.core.errors import Problem
from evenstock.core.mapping import Mapped, Rejected, RowMapper, Skipped
from evenstock.core.reading import Received
from evenstock.pipeline.apply import Result
from evenstock.pipeline.rows import SourceRow

BATCHES_IN_FLIGHT_MAX = 4
BATCH_EVENTS = 500
BATCH_EVENTS_MAX = 5_000  # so that what is in flight fits the writer's queue
EVENTS_AHEAD_MAX = 10_000  # mapped before they are sent, so that their items are made known at once
ROWS_PER_BATCH_MAX = 5_000  # so that a file of skipped rows shows progress too

Master = dict[str, Any]  # an item or a location, as its batch call takes it


class Progress(msgspec.Struct, frozen=True):
    """How far the run is: rows done, earlier runs included, and bytes of the file, for a bar against its size."""

    rows: int
    position: int


class ImportSummary(msgspec.Struct, frozen=True):
    """What became of the rows that this run worked on: those after `resumed_after`."""

    resumed_after: int = 0  # rows that an earlier run had finished
    rows: int = 0
    events: int = 0
    applied: int = 0
    duplicate: int = 0
    parked: int = 0
    held: dict[str, int] = {}  # by code; the hub keeps them under an exception
    rejected: dict[str, int] = {}  # by code; they stand in the reject file
    skipped: dict[str, int] = {}  # by the mapping's reason
    zeroed: int = 0  # items that a full file did not name, counted as none
    absent: int = 0  # items that it did not name, kept as they are


class Checkpoint(Protocol):
    """Where a run of this file with this mapping stands. Its identity is the caller's: the digests of both."""

    async def load(self) -> int:
        """The rows that are done; 0 for a new or a finished run."""
        ...

    async def save(self, rows_done: int) -> None: ...

    async def finish(self) -> None:
        """The run is over: the next `load` answers 0."""
        ...


class NoCheckpoint:
    """For runs that start from the beginning each time."""

    async def load(self) -> int:
        return 0

    async def save(self, rows_done: int) -> None:
        pass

    async def finish(self) -> None:
        pass


Submit = Callable[[list[Received]], Awaitable[Sequence[Result]]]  # one result per event, in order
Register = Callable[
    [list[Master], list[Master]], Awaitable[None]
]  # items, locations: made known, again is harmless
Reject = Callable[[SourceRow, Problem], None]
Tell = Callable[[Progress], None]


class _Batch:
    """Rows that follow each other, and the events they became."""

    def __init__(self) -> None:
        self.rows = 0
        self.passed = 0  # rows that an earlier run had done
        self.last: SourceRow | None = None
        self.events: list[Received] = []
        self.rows_of_events: list[SourceRow] = []
        self.problems: list[tuple[SourceRow, Problem]] = []
        self.skipped: Counter[str] = Counter()
        self.items: list[Master] = []

    def pass_by(self, row: SourceRow, mapper: RowMapper) -> None:
        self.passed += 1
        self.last = row
        if row.problem is None:
            mapper.outcome_of(row.values)  # for the count of like rows

    def add(self, row: SourceRow, mapper: RowMapper) -> None:
        self.rows += 1
        self.last = row
        match Rejected(row.problem) if row.problem else mapper.outcome_of(row.values):
            case Mapped(events, item):
                self.events += events
                self.rows_of_events += [row] * len(events)
                if item is not None:
                    self.items.append(item)
            case Skipped(reason):
                self.skipped[reason] += 1
            case Rejected(problem):
                self.problems.append((row, problem))


class _Tally:
    """Counts as batches are answered, in the order of the file."""

    def __init__(self, resumed_after: int) -> None:
        self.resumed_after = resumed_after
        self.rows = 0
        self.events = 0
        self.outcomes: Counter[str] = Counter()
        self.held: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()

    def add(self, batch: _Batch, results: Sequence[Result]) -> list[tuple[SourceRow, Problem]]:
        """Counts a batch; its rejected rows, in the order of the file."""
        if len(results) != len(batch.events):
            raise RuntimeError(f"{len(batch.events)} events were sent and {len(results)} results came back")
        problems = list(batch.problems)
        for row, result in zip(batch.rows_of_events, results, strict=True):
            self.outcomes[result.outcome] += 1
            if result.outcome == "held":
                self.held[result.code or ""] += 1
            elif result.outcome == "rejected":
                problems.append((row, Problem(result.code or "", result.detail or "", result.pointer or "")))
        self.rows += batch.rows
        self.events += len(batch.events)
        self.skipped += batch.skipped
        self.rejected.update(problem.code for _, problem in problems)
        return sorted(problems, key=lambda found: found[0].number)

    def summary(self) -> ImportSummary:
        return ImportSummary(
            self.resumed_after, self.rows, self.events,
            self.outcomes["applied"], self.outcomes["duplicate"], self.outcomes["parked"],
            dict(self.held), dict(self.rejected), dict(self.skipped),
        )  # fmt: skip


async def run_import(  # noqa: PLR0913 - one run's hands, each named
    *,
    rows: Iterable[SourceRow],
    mapper: RowMapper,
    submit: Submit,
    register: Register,
    reject: Reject,
    progress: Tell,
    checkpoint: Checkpoint | None = None,
    batch_events: int = BATCH_EVENTS,
) -> ImportSummary:
    """Imports the rows that are not yet done. The mapper must be new: it sees every row of the file, done or not.

    When `submit` or `register` raises, batches under way are given up and the error is passed on; the checkpoint stands
    at the last row before which everything was answered.
    """
    checkpoint = checkpoint or NoCheckpoint()
    done = await checkpoint.load()
    progress(Progress(done, 0))
    tally = _Tally(done)
    known = _Known(register)
    await known.locations(mapper.locations)

    async def settled(batch: _Batch, results: Sequence[Result]) -> None:
        for row, problem in tally.add(batch, results):
            reject(row, problem)
        if batch.last is None:
            return
        if batch.rows:
            await checkpoint.save(batch.last.number)
        progress(Progress(done + tally.rows, batch.last.progress))

    lane = _Lane(known, submit, settled, batches_ahead=max(1, EVENTS_AHEAD_MAX // batch_events))
    try:
        for batch in _batches(rows, mapper, done, batch_events):
            await lane.take(batch)
        await lane.finish()
    finally:
        await lane.give_up()
    await checkpoint.finish()
    return tally.summary()


class _Lane:
    """Batches on their way: mapped → their items known → under way → settled, each step in the order of the file.

    Items of many batches are made known at once: each time, every writer reads its masters anew.
    """

    def __init__(
        self,
        known: "_Known",
        submit: Submit,
        settled: Callable[[_Batch, Sequence[Result]], Awaitable[None]],
        *,
        batches_ahead: int,
    ) -> None:
        self._known = known
        self._submit = submit
        self._settled = settled
        self._batches_ahead = batches_ahead
        self._mapped: list[_Batch] = []
        self._ready: deque[_Batch] = deque()
        self._under_way: deque[tuple[_Batch, asyncio.Future[Sequence[Result]]]] = deque()

    async def take(self, batch: _Batch) -> None:
        self._mapped.append(batch)
        if self._ready:
            await self._send_next()
        elif len(self._mapped) >= self._batches_ahead:
            await self._make_ready()
        await asyncio.sleep(0)  # what was sent goes on before the next batch is mapped

    async def finish(self) -> None:
        """Send and settle all that was taken."""
        while self._ready or self._mapped:
            if not self._ready:
                await self._make_ready()
            await self._send_next()
        while self._under_way:
            await self._settle()

    async def give_up(self) -> None:
        """Wait for nothing more."""
        for _, answer in self._under_way:
            answer.cancel()
        await asyncio.gather(*(answer for _, answer in self._under_way), return_exceptions=True)

    async def _make_ready(self) -> None:
        await self._known.items([item for batch in self._mapped for item in batch.items])
        self._ready.extend(self._mapped)
        self._mapped.clear()

    async def _send_next(self) -> None:
        while len(self._under_way) >= BATCHES_IN_FLIGHT_MAX:
            await self._settle()
        batch = self._ready.popleft()
        self._under_way.append((batch, asyncio.ensure_future(_answer(self._submit, batch.events))))

    async def _settle(self) -> None:
        batch, answer = self._under_way[0]
        await self._settled(batch, await answer)
        self._under_way.popleft()


async def _answer(submit: Submit, events: list[Received]) -> Sequence[Result]:
    return await submit(events) if events else ()


def _batches(rows: Iterable[SourceRow], mapper: RowMapper, done: int, batch_events: int) -> Iterator[_Batch]:
    batch = _Batch()
    for row in rows:
        if row.number <= done:
            batch.pass_by(row, mapper)
        else:
            batch.add(row, mapper)
        if len(batch.events) >= batch_events or batch.rows + batch.passed >= ROWS_PER_BATCH_MAX:
            yield batch
            batch = _Batch()
    if batch.last is not None:
        yield batch


class _Known:
    """Makes each item known once, and once more when its name turns up."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._named: dict[str, bool] = {}

    async def locations(self, locations: list[Master]) -> None:
        if locations:
            await self._register([], locations)

    async def items(self, items: list[Master]) -> None:
        fresh: dict[str, Master] = {}
        for item in items:
            sku, named = item["sku"], "name" in item
            if sku not in self._named or (named and not self._named[sku]):
                self._named[sku] = named
                fresh[sku] = item
        if fresh:
            await self._register(list(fresh.values()), [])


class DryRun(msgspec.Struct, frozen=True):
    """What an import would send: the first events, the first problems, and how many of each."""

    events: list[Received]
    problems: list[tuple[SourceRow, Problem]]
    summary: ImportSummary


def dry_run(rows: Iterable[SourceRow], mapper: RowMapper, *, shown_max: int = 10) -> DryRun:
    """Maps the whole file and sends nothing."""
    tally = _Tally(0)
    events: list[Received] = []
    problems: list[tuple[SourceRow, Problem]] = []
    for batch in _batches(rows, mapper, 0, BATCH_EVENTS):
        found = tally.add(batch, [Result(entry.event.id, "parked") for entry in batch.events])
        events += batch.events[: shown_max - len(events)]
        problems += found[: shown_max - len(problems)]
    return DryRun(events, problems, msgspec.structs.replace(tally.summary(), parked=0))
