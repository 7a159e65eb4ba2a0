"""Who fetches: one task for each connection that has something to fetch, in one process at a time, begun again when it fails."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from random import SystemRandom
from typing import Final

import msgspec
import structlog

from evenstock.connectors.contract import Arrived, Failed, NotSent, World
from evenstock.core.errors import Refusal
from evenstock.core.retry import wait_s
from evenstock.pipeline.connections import Connection, Connections
from evenstock.pipeline.files import FOLDER, folder_name
from evenstock.pipeline.inbox import Inbox
from evenstock.pipeline.intake.delivered import Taker
from evenstock.pipeline.intake.polled import Poller
from evenstock.pipeline.link import Link
from evenstock.pipeline.worlds import Worlds
from evenstock.pipeline.writer import Writer
from evenstock.postgres import exceptions, faults, sources
from evenstock.postgres.database import Database, Pool, Session
from evenstock.postgres.exceptions import Cause

LOOK_EVERY_S: Final = 0.5  # for connections that came, changed or went; and for files
WRITTEN_EVERY_S: Final = 30.0  # that a connection still answers
SILENT_AFTER: Final = 5  # failures in a row, before a person is told
SESSIONS_MAX: Final = 6
FILES_MAX: Final = 2  # that are read at a time; each needs two sessions
UNREACHABLE: Final = "source.unreachable"
WORK: Final = "taken"  # folder of a connection's own files, for what is being read

log = structlog.get_logger()


class Tools(msgspec.Struct, frozen=True):
    """What those who fetch have to work with."""

    pool: Pool
    writer: Writer
    now: Callable[[], datetime]


class Intake:
    """Fetches from all connections that this process may have, until told to stop."""

    def __init__(
        self,
        database: Database,
        connections: Connections,
        writer: Writer,
        inbox: Inbox,
        worlds: Worlds,
        data: Path,
        now: Callable[[], datetime],
    ) -> None:
        self._link = Link(database, "evenstock intake")
        self._pool = database.pool(application="evenstock intake work", size_max=SESSIONS_MAX)
        self._tools = Tools(self._pool, writer, now)
        self._connections = connections
        self._inbox = inbox
        self._worlds = worlds
        self._data = data
        self._now = now
        self._chance = SystemRandom().random
        self._files = asyncio.Semaphore(FILES_MAX)
        self._held: dict[int, tuple[Connection, asyncio.Task[None]]] = {}
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._pool
        self._task = asyncio.create_task(self._run(), name="intake")

    async def stop(self) -> None:
        """Stop where we are; what was begun is gone on with by whoever comes next."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._drop(list(self._held))
        await self._link.close()
        await self._pool.close()

    async def _run(self) -> None:
        while True:
            try:
                await self._assign()
            except (*faults.ANY, Refusal) as error:
                log.warning("intake.waits", error=repr(error)[:300])
                self._link.abandon()
            except Exception:  # logged whole; the next look begins again
                log.exception("intake.failed")
                self._link.abandon()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _assign(self) -> None:
        """A task for each connection that we may have, and none for others."""
        db = await self._link.db()
        if db is not self._session:  # who holds what is known by the session, which is another one now
            await self._drop(list(self._held))
            self._session = db
        wanted = {each.connection_id: each for each in await self._connections.every() if _fetches(each)}
        for number, (connection, task) in list(self._held.items()):
            if wanted.get(number) is not connection or task.done():
                await self._drop([number])
                await sources.let_go(db, number)
        for number, connection in wanted.items():
            if number not in self._held and await sources.hold(db, number):
                task = asyncio.create_task(self._fetch(connection), name=f"intake of {connection.id}")
                self._held[number] = connection, task

    async def _drop(self, numbers: list[int]) -> None:
        tasks = [self._held.pop(number)[1] for number in numbers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, connection: Connection) -> None:
        """Fetch from one connection; what fails is tried again, later each time."""
        health = _Health(self._pool, connection, self._now)
        while True:
            try:
                await self._from(connection, health)
            except (OSError, TimeoutError, NotSent, Failed, Refusal, *faults.ANY) as error:
                words = error.problem.detail if isinstance(error, Refusal) else str(error)
                await health.failed(words or type(error).__name__)
            except Exception as error:  # a fault of a connector; logged whole
                log.exception("connector.failed", connection=connection.id)
                await health.failed(f"The connector failed: {type(error).__name__}.")
            await asyncio.sleep(wait_s(max(1, health.failures), self._chance()))

    async def _from(self, connection: Connection, health: "_Health") -> None:
        """What a connection is there for. Raises what ends it."""
        connector = connection.connector
        assert connector is not None  # noqa: S101 - else nothing is fetched
        if connector.delivery is not None:
            await self._deliveries(connection, health)
        elif connector.poll is not None and connector.streams is not None:
            streams = connector.streams(connection.settings)
            poller = Poller(self._pool, self._inbox, connection, streams, self._now, health.answered)
            await poller.run(await self._world(connection))
        elif connector.listen is not None:

            async def keep(arrived: Sequence[Arrived]) -> None:
                await self._inbox.keep(connection, arrived)
                await health.answered()

            await connector.listen(connection.settings, await self._world(connection), keep)
            raise ConnectionResetError("The connector stopped listening.")

    async def _deliveries(self, connection: Connection, health: "_Health") -> None:
        """Look at a shelf, again and again. Raises what ends it."""
        connector, settings = connection.connector, connection.settings
        assert connector is not None  # noqa: S101 - else nothing is fetched
        assert connector.delivery is not None  # noqa: S101
        assert connector.shelf is not None  # noqa: S101
        work = self._data / FOLDER / folder_name(connection.id) / WORK
        await asyncio.to_thread(work.mkdir, parents=True, exist_ok=True)
        taker = Taker(self._tools, connection, connector.delivery(settings), work)
        async with connector.shelf(settings, await self._world(connection)) as shelf:
            while True:
                async with self._files:
                    await taker.look(shelf)
                await health.answered()
                await asyncio.sleep(LOOK_EVERY_S)

    async def _world(self, connection: Connection) -> World:
        return await self._worlds.of(connection.id, connection.given)


def _fetches(connection: Connection) -> bool:
    connector = connection.connector
    if connector is None:
        return False
    settings = connection.settings
    listens = connector.listen is not None and connector.listens(settings)
    polls = connector.streams is not None and bool(connector.streams(settings))
    return listens or polls or connector.delivery is not None


class _Health:
    """Whether a connection answers; a person is told when it does not for long."""

    def __init__(self, pool: Pool, connection: Connection, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._connection = connection
        self._now = now
        self._written_at = float("-inf")
        self.failures = 0

    async def answered(self) -> None:
        loop = asyncio.get_running_loop()
        if self.failures == 0 and loop.time() < self._written_at + WRITTEN_EVERY_S:
            return
        async with self._pool.acquire() as db, db.transaction():
            await sources.answered(db, self._connection.connection_id, self._now())
            await exceptions.close_causes(db, [(UNREACHABLE, self._subject)], self._now())
        self.failures, self._written_at = 0, loop.time()

    async def failed(self, words: str) -> None:
        """It did not answer, for this reason. What cannot be written down now is written the next time."""
        connection = self._connection
        log.warning("source.failed", connection=connection.id, words=words[:300])
        self.failures += 1
        try:
            async with self._pool.acquire() as db, db.transaction():
                number = connection.connection_id
                self.failures = await sources.failed(db, number, words[:1_000], self._now())
                if self.failures >= SILENT_AFTER:
                    detail = f"Nothing could be fetched from {connection.id} in {self.failures} tries. {words[:1_000]}"
                    cause = Cause(UNREACHABLE, self._subject, detail, number)
                    await exceptions.open_causes(db, [cause], self._now())
        except faults.ANY as error:
            log.warning("source.unwritten", connection=connection.id, error=repr(error)[:300])

    @property
    def _subject(self) -> str:
        return f"source:{self._connection.connection_id}"
