"""Who was heard when: noted as facts are booked, written a moment later, and looked at for sources that fell silent."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import structlog

from evenstock.pipeline.apply import Incoming
from evenstock.postgres import faults, freshness
from evenstock.postgres.database import Pool

WRITTEN_EVERY_S: Final = 1.0
LOOKS_EVERY: Final = 5  # times that we write, for each look for silence

log = structlog.get_logger()


class Pulse:
    """Hears every fact of a process, whatever becomes of it."""

    def __init__(self, pool: Pool, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._now = now
        self._heard: dict[int, tuple[datetime, datetime | None]] = {}
        self._task: asyncio.Task[None] | None = None

    def hear(self, incoming: Sequence[Incoming]) -> None:
        """Events came, and what became of them is durable."""
        for entry in incoming:
            at, happened = entry.received_at, entry.event.time
            before = self._heard.get(entry.connection_id)
            known = None if happened is None else min(happened, at)
            if before is not None:
                at = max(at, before[0])
                known = before[1] if known is None else max(known, before[1] or known)
            self._heard[entry.connection_id] = at, known

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="pulse")

    async def stop(self) -> None:
        """Write what was heard last, and leave."""
        assert self._task is not None  # noqa: S101 - it was started
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._beat(looks=False)

    async def _run(self) -> None:
        rounds = 0
        while True:
            await self._beat(looks=rounds % LOOKS_EVERY == 0)
            rounds += 1
            await asyncio.sleep(WRITTEN_EVERY_S)

    async def _beat(self, *, looks: bool) -> None:
        heard, self._heard = self._heard, {}
        try:
            async with self._pool.acquire() as db:
                if heard:
                    await freshness.hear(db, heard)
                if looks:
                    async with db.transaction():
                        await freshness.show_silent(db, self._now())
        except faults.ANY as error:  # what was heard is written the next time, with what comes then
            log.warning("pulse.waits", error=repr(error)[:300])
            self._heard = heard | self._heard
        except Exception:  # logged whole; the next beat tries again
            log.exception("pulse.failed")
