"""Everything is built here, once: settings → database → hub → doors."""

import asyncio
import gc
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol, TypeVar

import structlog
import uvicorn

from evenstock import clock
from evenstock.address import taken, url_of
from evenstock.api.app import build
from evenstock.api.routing import Api
from evenstock.api.whole import WholeAnswers
from evenstock.pipeline import closing, orders, replay
from evenstock.pipeline.apply import Memory
from evenstock.pipeline.bases import bases
from evenstock.pipeline.clocks import Clocks
from evenstock.pipeline.connections import Connections
from evenstock.pipeline.dispatch import LEASE_S
from evenstock.pipeline.feed import Feed
from evenstock.pipeline.hub import Hub
from evenstock.pipeline.inbox import Inbox
from evenstock.pipeline.intake.keeper import Intake
from evenstock.pipeline.link import GIVE_UP_S
from evenstock.pipeline.orders import Orders
from evenstock.pipeline.pace import WAIT_MAX_S
from evenstock.pipeline.promise import Promising
from evenstock.pipeline.promiser import Promiser
from evenstock.pipeline.publisher import Publisher
from evenstock.pipeline.pulse import Pulse
from evenstock.pipeline.reads import QUERIES_MAX, Reader
from evenstock.pipeline.receive import Sources
from evenstock.pipeline.replay import Replayer
from evenstock.pipeline.rounds import Rounds
from evenstock.pipeline.translate import Translator
from evenstock.pipeline.vault import KEY_FILE, Vault
from evenstock.pipeline.worlds import Worlds
from evenstock.pipeline.writer import EVENTS_WAITING_MAX, Writer
from evenstock.postgres import exposures, faults, lanes, ledger
from evenstock.postgres.database import Database, Session, refuse_unsafe
from evenstock.postgres.embedded import Say, joined
from evenstock.postgres.errors import DatabaseUnfit
from evenstock.postgres.feeds import Exposures, Stock
from evenstock.postgres.migrate import migrate
from evenstock.postgres.promises import only_by_key
from evenstock.postgres.stock import LocationNames
from evenstock.settings import Settings

PARTITIONS_EVERY_S: Final = 6 * 3600.0
PARTITIONS_AGAIN_S: Final = 60.0  # after a failure
REVIVE_AGAIN_S: Final = 1.0  # after a failure
STOP_WITHIN_S: Final = 20
IDLE_S: Final = 75  # of a connection between two requests: longer than most clients and balancers keep one
CONNECTIONS_WAITING_MAX: Final = 2048

log = structlog.get_logger()


@contextmanager
def database(settings: Settings, say: Say) -> Iterator[Database]:
    """The database of these settings: a server of the operator's, or the embedded one, started or joined."""
    if settings.database_url is not None:
        yield Database(settings.database_url, settings.schema)
        return
    with joined(settings.data, say, settings.pg_bin) as url:
        yield Database(url, settings.schema)


def vault(settings: Settings) -> Vault:
    """Where this process finds secrets: its environment, and the store that the key file opens."""
    return Vault(settings.secrets_key or settings.data / KEY_FILE, os.environ)


async def prepare(database: Database) -> list[str]:
    """Check the server, bring the schema up to date, make the partitions of the months to come."""
    with _in_words():
        applied = await migrate(database, clock.now())
        db = await database.connect(application="evenstock start")
        try:
            await refuse_unsafe(db)
            await ledger.prepare_storage(db, secrets.token_hex(8), clock.now())
            await exposures.renew_terms(db, bases(), clock.now())
        finally:
            await db.close()
    return applied


@contextmanager
def _in_words() -> Iterator[None]:
    """What the database answers, for an operator."""
    try:
        yield
    except faults.DAMAGED as error:
        raise DatabaseUnfit(
            f"The database is damaged: {error}. Stop every hub that uses it, keep a copy of its files as they are, and restore the newest "
            "backup; sources then send again what came after it, and what is known is booked once."
        ) from error
    except (*faults.ANY, ValueError) as error:  # ValueError: a URL that the driver cannot read
        raise DatabaseUnfit(
            f"The database does not answer, or not as it should: {str(error) or type(error).__name__}. Check that the "
            "server runs, that --database-url (EVENSTOCK_DATABASE_URL) is right, and that its user may make a schema there."
        ) from error


@asynccontextmanager
async def session(database: Database, application: str) -> AsyncIterator[Session]:
    """One session with an up-to-date schema, for a command."""
    await prepare(database)
    with _in_words():
        db = await database.connect(application=f"evenstock {application}", statement_timeout_s=0)
        try:
            yield db
        finally:
            await db.close()


@asynccontextmanager
async def hub(
    database: Database,
    *,
    vault: Vault | None = None,
    data: Path | None = None,
    outbound_allow: Sequence[str] = (),
    folders_allow: Sequence[Path] = (),
    events_waiting_max: int = EVENTS_WAITING_MAX,
    give_up_s: float = GIVE_UP_S,
) -> AsyncIterator[Hub]:
    """A running hub; on the way out it finishes what it accepted. Without a vault, secrets come from the environment only;
    without a data folder it tells no connection anything, and fetches nothing.
    """
    async with (
        database.pool() as pool,
        database.pool(application="evenstock reader", size_max=QUERIES_MAX, one_plan=True) as readers,
        AsyncExitStack() as running,  # stopped in the opposite order, also when one of them does not start
    ):
        async with pool.acquire() as db:
            tag = await ledger.tag(db)
        memory = Memory()  # of masters, for whoever writes
        names = LocationNames()
        vault = vault or Vault(None, os.environ)
        connections = Connections(pool, vault)
        pulse = await _started(running, Pulse(pool, clock.now))
        writer = Writer(
            database,
            clock.now,
            heard=pulse.hear,
            memory=memory,
            events_waiting_max=events_waiting_max,
            give_up_s=give_up_s,
        )
        await _started(running, writer)
        promiser = await _started(running, Promiser(database, names, clock.now, memory=memory))
        taker = Orders(Promising(memory, names), clock.now)
        await _started(running, Rounds(database, "orders", taker.round, orders.EVERY_S, prepare=only_by_key))
        translator = Translator(database, connections, writer, clock.now, tag)
        await _started(running, translator)
        inbox = Inbox(database, connections, clock.now, translator.wake, give_up_s=give_up_s)
        await _started(running, inbox)
        if data is not None:
            worlds = Worlds(pool, vault, data, clock.now, outbound_allow, folders_allow)
            running.push_async_callback(worlds.close)
            await _started(running, Publisher(database, names, clock.now, worlds, tag))
            await _started(running, Intake(database, connections, writer, inbox, worlds, data, clock.now))
        streams = Feed(pool, Stock(names)), Feed(pool, Exposures())
        for feed in streams:
            running.callback(feed.close)
        await _started(running, Rounds(database, "causes", _look_for_causes, closing.EVERY_S))
        replayer = Replayer(writer, translator.wake, tag, clock.now)
        await _started(running, Rounds(database, "replayer", replayer.round, replay.EVERY_S))
        running.callback(asyncio.create_task(_keep_partitions(database)).cancel)
        yield Hub(
            pool,
            writer,
            promiser,
            Reader(readers, names, clock.now),
            Sources(pool, clock.now),
            Clocks(pool, clock.now),
            *streams,
            names,
            inbox,
            translator,
            connections,
            tag,
            clock.now,
        )


class _Service(Protocol):
    async def start(self) -> None: ...

    async def stop(self) -> None: ...


S = TypeVar("S", bound=_Service)


async def _started(running: AsyncExitStack, service: S) -> S:
    await service.start()
    running.push_async_callback(service.stop)
    return service


async def _look_for_causes(db: Session) -> bool:
    await lanes.clock_went_back(db, clock.now(), timedelta(seconds=LEASE_S), timedelta(seconds=WAIT_MAX_S))
    opened = await closing.open_by_time(db, clock.now())
    return opened + await closing.close_by_fact(db, clock.now()) > 0


async def _keep_partitions(database: Database) -> None:
    """Months come; their partitions are made ahead of them."""
    pause = PARTITIONS_EVERY_S
    while True:
        await asyncio.sleep(pause)
        try:
            db = await database.connect(application="evenstock partitions")
            try:
                await ledger.prepare_storage(db, "", clock.now())
            finally:
                await db.close()
        except faults.ANY as error:
            log.warning("partitions.failed", error=repr(error)[:300])
            pause = PARTITIONS_AGAIN_S
        else:
            pause = PARTITIONS_EVERY_S


async def serve(database: Database, settings: Settings, listener: socket.socket, say: Say) -> None:
    """Serve until told to stop; then finish what was accepted, and leave."""
    await prepare(database)
    _calm_garbage_collector()
    async with hub(
        database,
        vault=vault(settings),
        data=settings.data,
        outbound_allow=settings.outbound_allow,
        folders_allow=settings.folders_allow,
    ) as running:
        server = Server(build(running), say, _end_streams(running))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.handle_exit, number, None)
        reviver = asyncio.create_task(_keep_embedded(database, settings, say))
        try:
            await server.serve([listener])
        except OSError as error:
            raise taken(settings.host, settings.port, error) from error
        finally:
            reviver.cancel()


def _end_streams(running: Hub) -> Callable[[], None]:
    """Streams never end by themselves, and a server that leaves waits for its answers to end."""

    def end() -> None:
        running.stock_feed.close()
        running.exposure_feed.close()

    return end


async def _keep_embedded(database: Database, settings: Settings, say: Say) -> None:
    """An embedded database that dies while we serve is started again; the writer and the pool find it by themselves."""
    if settings.database_url is not None:
        return
    while True:
        try:
            await _until_gone(database)
            log.warning("database.gone")
            await asyncio.to_thread(_revive, settings, say)
        except (*faults.ANY, DatabaseUnfit) as error:
            log.warning("database.not_revived", error=str(error)[:1000])
            await asyncio.sleep(REVIVE_AGAIN_S)


async def _until_gone(database: Database) -> None:
    """Return when a session that does nothing ends, or none can be had."""
    try:
        db = await database.connect(application="evenstock watch")
    except faults.CONNECTION_LOST:
        return
    gone = asyncio.Event()
    db.add_termination_listener(lambda _: gone.set())
    try:
        if not db.is_closed():
            await gone.wait()
    finally:
        db.terminate()


def _revive(settings: Settings, say: Say) -> None:
    """Whoever joins finds it dead and starts it; our own use of it, which began before, keeps it running."""
    with joined(settings.data, say, settings.pg_bin):
        pass


def _calm_garbage_collector() -> None:
    """Batches make many short-lived records, hardly ever in cycles: look for those less often. Halves our processor time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


class Server(uvicorn.Server):
    """The API of a hub on a socket. It says where it listens once it does, and leaves signals to its owner."""

    def __init__(self, app: Api, say: Say, leaving: Callable[[], None] | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=STOP_WITHIN_S,
                timeout_keep_alive=IDLE_S,
                backlog=CONNECTIONS_WAITING_MAX,
                server_header=False,
                proxy_headers=False,
                loop="none",
                http=WholeAnswers,
                ws="none",
            )
        )
        self._say = say
        self._leaving = leaving
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Uvicorn would end the process by the signal once it has served: before what was accepted is finished."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._leaving is not None:
            self._leaving()
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            self._say(f"listening on {url_of(listener)}")
        self.listening.set()
