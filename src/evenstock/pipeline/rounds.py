"""Work that comes round again: over a session of its own, at once while there is some, else after a pause or when woken."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from evenstock.core.errors import Refusal
from evenstock.pipeline.link import Link
from evenstock.postgres import faults
from evenstock.postgres.database import Database, Session

PAUSE_S: Final = 1.0  # after a failure

log = structlog.get_logger()


class Rounds:
    """Does rounds until told to stop. A round says whether it did something; one that fails is done again."""

    def __init__(
        self,
        database: Database,
        name: str,
        work: Callable[[Session], Awaitable[bool]],
        every_s: float,
        *,
        prepare: Callable[[Session], Awaitable[None]] | None = None,
    ) -> None:
        self._link = Link(database, f"evenstock {name}", prepare)
        self._name = name
        self._work = work
        self._every_s = every_s
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Finish the round that is under way, and leave."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        await self._link.close()

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                worked = await self._work(await self._link.db())
            except (Refusal, *faults.CONNECTION_LOST, *faults.TRANSIENT) as error:
                self._link.abandon()
                log.warning("rounds.wait", work=self._name, error=repr(error)[:300])
                await self._pause(PAUSE_S)
            except Exception:  # logged whole; the next round begins with a session of its own
                self._link.abandon()
                log.exception("rounds.failed", work=self._name)
                await self._pause(PAUSE_S)
            else:
                if not worked:
                    await self._pause(self._every_s)

    async def _pause(self, seconds: float) -> None:
        if self._stopping:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
