"""Keeps systems told: looks at what changed, many times a second, and lets each connection be told at its own pace."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from random import SystemRandom
from typing import Final

import structlog
from prometheus_client import Counter

from evenstock.connectors.found import found
from evenstock.core.errors import Refusal
from evenstock.pipeline.confirm import confirm
from evenstock.pipeline.dispatch import Dispatcher
from evenstock.pipeline.expose import expose
from evenstock.pipeline.link import Link
from evenstock.pipeline.observe import Observer
from evenstock.pipeline.postings import post
from evenstock.pipeline.worlds import Worlds
from evenstock.postgres import faults
from evenstock.postgres.database import Database
from evenstock.postgres.promises import only_by_key
from evenstock.postgres.stock import LocationNames

LOOK_EVERY_S: Final = 0.05  # and numbers that change in between are one
SHARE: Final = (
    1  # a look is followed by a pause of at least so many times what it took, so that facts come first
)
PAUSE_MAX_S: Final = 1.0
AGAIN_S: Final = 1.0  # after a fault
TURNS_EVERY_S: Final = 2.0  # whose turn it is to be looked at
CALLS_MAX: Final = (
    4  # sessions of the database for all lanes together; while a call is under way a lane has none
)

COMPUTED = Counter("evenstock_exposures_computed", "Numbers that changed for a channel and an item.")
RELEASED = Counter("evenstock_exposures_released", "Numbers that the books' acknowledgement released.")
POSTED = Counter("evenstock_postings_made", "Postings made for the books.")

log = structlog.get_logger()


class Publisher:
    """Computes what channels should see, and tells their connections; any number of these run side by side."""

    def __init__(
        self,
        database: Database,
        names: LocationNames,
        now: Callable[[], datetime],
        worlds: Worlds,
        tag: str,
        *,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._link = Link(database, "evenstock exposures", only_by_key)
        self._pool = database.pool(application="evenstock dispatch", size_max=CALLS_MAX)
        self._names = names
        self._tag = tag
        self._now = now
        self._look_every_s = look_every_s
        self._dispatcher = Dispatcher(self._pool, found(), worlds, tag, now, SystemRandom().random)
        self._observer = Observer(self._pool, found(), worlds, now)
        self._lanes: dict[int, asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._pool
        self._task = asyncio.create_task(self._run(), name="publisher")
        self._looking = asyncio.create_task(self._look(), name="observer")

    async def stop(self) -> None:
        """Let calls under way end, and let go of their connections."""
        assert self._task is not None  # noqa: S101 - it was started
        assert self._looking is not None  # noqa: S101 - it was started
        self._task.cancel()
        self._looking.cancel()
        await asyncio.gather(self._task, self._looking, return_exceptions=True)
        await asyncio.gather(*self._lanes.values(), return_exceptions=True)
        try:
            await self._dispatcher.leave()
        except faults.ANY as error:  # its leases end by themselves
            log.warning("lanes.kept", error=repr(error)[:300])
        await self._pool.close()
        await self._link.close()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                changed = await self._link.through(lambda db: expose(db, self._names, self._now))
                COMPUTED.inc(changed)
                POSTED.inc(await self._link.through(lambda db: post(db, self._tag, self._now)))
                RELEASED.inc(await self._link.through(lambda db: confirm(db, self._now)))
                for connection_id in await self._dispatcher.due():
                    if connection_id not in self._lanes:
                        self._lanes[connection_id] = asyncio.create_task(self._tell(connection_id))
            except (*faults.ANY, Refusal) as error:
                log.warning("exposures.failed", error=repr(error)[:300])
                await asyncio.sleep(AGAIN_S)
            except Exception:  # logged whole; channels must not stay untold for one fault
                log.exception("exposures.failed")
                self._link.abandon()
                await asyncio.sleep(AGAIN_S)
            took = loop.time() - began
            await asyncio.sleep(min(max(self._look_every_s, SHARE * took), PAUSE_MAX_S))

    async def _look(self) -> None:
        """Look at what systems show, whenever it is the turn of one."""
        while True:
            try:
                await self._observer.look()
            except faults.ANY as error:
                log.warning("looks.failed", error=repr(error)[:300])
            except Exception:  # logged whole; the next look is another
                log.exception("looks.failed")
            await asyncio.sleep(TURNS_EVERY_S)

    async def _tell(self, connection_id: int) -> None:
        """One lane: tell a connection until it is owed nothing more that may be told now."""
        try:
            while await self._dispatcher.tell(connection_id):
                pass
        except faults.ANY as error:
            log.warning("lane.failed", connection_id=connection_id, error=repr(error)[:300])
            await asyncio.sleep(AGAIN_S)
        except Exception:  # logged whole; the next look begins the lane again
            log.exception("lane.failed", connection_id=connection_id)
            await asyncio.sleep(AGAIN_S)
        finally:
            del self._lanes[connection_id]
