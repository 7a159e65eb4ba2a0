"""A file is brought into the running hub: its connection made, its items known, its events written, its place kept.

Rows that cannot be used stand in the reject file and under one exception for each cause, which closes by itself when
the same file comes again without them.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from evenstock.core.errors import MEANINGS
from evenstock.core.mapping import RowMapper
from evenstock.core.reading import Received
from evenstock.pipeline import absent
from evenstock.pipeline.apply import Incoming, Result
from evenstock.pipeline.census import Census
from evenstock.pipeline.imports import BATCH_EVENTS, ImportSummary, Master, Progress, run_import
from evenstock.pipeline.rejects import RejectFile
from evenstock.pipeline.rows import Rows
from evenstock.pipeline.writer import Writer
from evenstock.postgres import exceptions, imports, masters
from evenstock.postgres.database import Connection, Pool
from evenstock.postgres.exceptions import Cause
from evenstock.postgres.imports import ImportKey

REJECTED = "import.rejected"
CONNECTOR = "import"  # of connections that a mapping names and nobody made before
ASK_AGAIN_S = 0.2  # whether another run of the same import is over


class Ledger(Protocol):
    """What an import needs of a hub."""

    @property
    def pool(self) -> Pool: ...

    @property
    def writer(self) -> Writer: ...

    @property
    def now(self) -> Callable[[], datetime]: ...


class Import(msgspec.Struct, frozen=True):
    """One file to import: by name for people, by digest for us, and how it is read."""

    file: str
    mapping: str
    key: ImportKey
    rows: Rows
    mapper: RowMapper
    rejects: RejectFile
    batch_events: int = BATCH_EVENTS
    census: Census | None = None  # of a full file
    rejects_shown: str = ""  # where people find the rejects, if they are put elsewhere

    @property
    def subject(self) -> str:
        """What its exceptions are about; the code of the problem follows."""
        return f"import:{self.file}:{self.mapping}:"


async def bring(
    hub: Ledger, job: Import, *, say: Callable[[str], None], progress: Callable[[Progress], None]
) -> ImportSummary:
    """Import what is not yet done of a file. A second run of the same file waits for the first to end."""
    async with hub.pool.acquire() as db:
        waits = False
        while not await imports.take(db, job.key):
            if not waits:
                say(f"{job.file} is being imported with {job.mapping} by another process; waiting for it.")
            waits = True
            await asyncio.sleep(ASK_AGAIN_S)
        hands = _Hands(hub, job, await _connection(hub, db, job.mapper.mapping.source))
        try:
            summary = await run_import(
                rows=job.rows,
                mapper=job.mapper,
                submit=hands.submit,
                register=hands.register,
                reject=job.rejects,
                progress=progress,
                checkpoint=hands,
                batch_events=job.batch_events,
            )
            return summary if job.census is None else await hands.settle(summary, job.census)
        except asyncio.CancelledError:
            progress(Progress(await imports.begin(db, job.key), 0))  # what was saved, to the row
            raise
        finally:
            if not db.is_closed():
                await imports.let_go(db, job.key)


async def _connection(hub: Ledger, db: Connection, name: str) -> int:
    known = await masters.connections(db)
    if name not in known:
        await masters.add_connections(db, [name], CONNECTOR, hub.now())
        known = await masters.connections(db)
    return known[name]


class _Hands:
    """What one import does to the hub."""

    def __init__(self, hub: Ledger, job: Import, connection_id: int) -> None:
        self._hub = hub
        self._job = job
        self._connection_id = connection_id
        self._rejects = job.rejects
        self._told = 0  # rejected rows that stand under an exception

    async def submit(self, events: Sequence[Received]) -> Sequence[Result]:
        now = self._hub.now()
        incoming = [Incoming(entry.event, entry.body, self._connection_id, now) for entry in events]
        return (await self._hub.writer.submit(incoming)).results

    async def settle(self, summary: ImportSummary, census: Census) -> ImportSummary:
        """What a full file does not name, once it is booked."""
        census = msgspec.structs.replace(census, unusable=max(census.unusable, self._rejects.codes.total()))
        source = absent.Source(self._connection_id, self._job.mapper.mapping.source, self._job.file)
        found = await absent.settle(self._hub.pool, source, census, self.submit, self._hub.now)
        return msgspec.structs.replace(summary, zeroed=found.zeroed, absent=found.kept)

    async def register(self, items: Sequence[Master], locations: Sequence[Master]) -> None:
        """Make known what is not; what is, stays as it is, and only gets a name where it has none."""
        async with self._hub.pool.acquire() as db:
            subjects = await imports.add_masters(db, items, locations, self._hub.now())
        if subjects:
            await self._hub.writer.release(subjects)

    async def load(self) -> int:
        async with self._hub.pool.acquire() as db:
            done = await imports.begin(db, self._job.key)
        self._rejects.keep(done)
        return done

    async def save(self, rows_done: int) -> None:
        async with self._hub.pool.acquire() as db:
            if self._told < self._rejects.codes.total():
                self._told = self._rejects.codes.total()
                await exceptions.open_causes(db, self._causes(), self._hub.now())
            await imports.save(db, self._job.key, rows_done)

    async def finish(self) -> None:
        still = [self._job.subject + code for code in self._rejects.codes]
        async with self._hub.pool.acquire() as db, db.transaction():
            await imports.close_mended(db, REJECTED, self._job.subject, still, self._hub.now())
            await imports.finish(db, self._job.key, self._hub.now())

    def _causes(self) -> list[Cause]:
        return [
            Cause(
                REJECTED,
                self._job.subject + code,
                f"{rows:,} {'row' if rows == 1 else 'rows'} of {self._job.file} could not be used with {self._job.mapping}: "
                f"{MEANINGS[code].title} ({code}). The first is {self._rejects.first[code]} "
                f"All stand in {self._job.rejects_shown or self._rejects.path}.",
                self._connection_id,
            )
            for code, rows in self._rejects.codes.items()
        ]
