"""Everything is built here, once: settings → database → hub → doors."""

import asyncio
import gc
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from evenstock import clock
from evenstock.api.app import build
from evenstock.pipeline.hub import Hub
from evenstock.pipeline.promiser import Promiser
from evenstock.pipeline.reads import Reader
from evenstock.pipeline.receive import Sources
from evenstock.pipeline.writer import Writer
from evenstock.postgres import ledger
from evenstock.postgres.database import Database, Session, refuse_unsafe
from evenstock.postgres.embedded import Say, joined
from evenstock.postgres.migrate import migrate
from evenstock.postgres.stock import LocationNames
from evenstock.settings import Settings

PARTITIONS_EVERY_S = 6 * 3600.0
STOP_WITHIN_S = 20


@contextmanager
def database(settings: Settings, say: Say) -> Iterator[Database]:
    """The database of these settings: a server of the operator's, or the embedded one, started or joined."""
    if settings.database_url is not None:
        yield Database(settings.database_url, settings.schema)
        return
    with joined(settings.data, say, settings.pg_bin) as url:
        yield Database(url, settings.schema)


async def prepare(database: Database) -> list[str]:
    """Check the server, bring the schema up to date, make the partitions of the months to come."""
    applied = await migrate(database, clock.now())
    db = await database.connect(application="evenstock start")
    try:
        await refuse_unsafe(db)
        await ledger.prepare_storage(db, secrets.token_hex(8), clock.now())
    finally:
        await db.close()
    return applied


@asynccontextmanager
async def session(database: Database, application: str) -> AsyncIterator[Session]:
    """One session with an up-to-date schema, for a command."""
    await prepare(database)
    db = await database.connect(application=f"evenstock {application}", statement_timeout_s=0)
    try:
        yield db
    finally:
        await db.close()


@asynccontextmanager
async def hub(database: Database) -> AsyncIterator[Hub]:
    """A running hub; on the way out it finishes what it accepted."""
    async with database.pool() as pool:
        async with pool.acquire() as db:
            tag = await ledger.tag(db)
        writer = Writer(database, clock.now)
        await writer.start()
        names = LocationNames()
        promiser = Promiser(database, names, clock.now)
        await promiser.start()
        keeper = asyncio.create_task(_keep_partitions(database))
        try:
            yield Hub(
                pool,
                writer,
                promiser,
                Reader(pool, names, clock.now),
                Sources(pool, clock.now),
                names,
                tag,
                clock.now,
            )
        finally:
            keeper.cancel()
            await promiser.stop()
            await writer.stop()


async def _keep_partitions(database: Database) -> None:
    """Months come; their partitions are made ahead of them."""
    while True:
        await asyncio.sleep(PARTITIONS_EVERY_S)
        db = await database.connect(application="evenstock partitions")
        try:
            await ledger.prepare_storage(db, "", clock.now())
        finally:
            await db.close()


async def serve(database: Database, settings: Settings, say: Say) -> None:
    """Serve until told to stop; then finish what was accepted, and leave."""
    await prepare(database)
    _calm_garbage_collector()
    async with hub(database) as running:
        config = uvicorn.Config(
            build(running),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=STOP_WITHIN_S,
            server_header=False,
            loop="none",
        )
        server = Server(config, say)
        await server.serve()


def _calm_garbage_collector() -> None:
    """Batches make many short-lived records, hardly ever in cycles: look for those less often. Halves our processor time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


class Server(uvicorn.Server):
    """uvicorn, saying where it listens once it does."""

    def __init__(self, config: uvicorn.Config, say: Say) -> None:
        super().__init__(config)
        self._say = say

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]  # only passed on
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            for listener in self.servers:
                for socket in listener.sockets:
                    host, port = socket.getsockname()[:2]
                    self._say(f"listening on http://{host}:{port}")
