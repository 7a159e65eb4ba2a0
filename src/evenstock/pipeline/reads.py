"""Reads of availability, grouped as writes are: whatever waits is one query, while the previous one is under way."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from evenstock.core.availability import Availability
from evenstock.postgres import faults
from evenstock.postgres.database import Pool
from evenstock.postgres.stock import LocationNames, positions_of

SKUS_MAX: Final = 200  # of one query
QUERIES_MAX: Final = 1  # under way at once


class _Wanted(msgspec.Struct, eq=False):
    sku: str
    answer: asyncio.Future[Availability | None]


class Reader:
    """Answers how an item stands now."""

    def __init__(self, pool: Pool, names: LocationNames, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._names = names
        self._now = now
        self._wanted: list[_Wanted] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def availability(self, sku: str) -> Availability | None:
        """The item as it is at some moment after the question was asked; None when it is not known."""
        wanted = _Wanted(sku, asyncio.get_running_loop().create_future())
        self._wanted.append(wanted)
        self._ask()
        return await wanted.answer

    def _ask(self) -> None:
        if self._wanted and len(self._under_way) < QUERIES_MAX:
            taken, self._wanted = self._wanted[:SKUS_MAX], self._wanted[SKUS_MAX:]
            task = asyncio.create_task(self._query(taken))
            self._under_way.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._ask()

    async def _query(self, taken: list[_Wanted]) -> None:
        try:
            async with self._pool.acquire() as db:
                found = await positions_of(
                    db, list({wanted.sku for wanted in taken}), self._names, self._now()
                )
        except faults.ANY as error:
            for wanted in taken:
                if not wanted.answer.done():
                    wanted.answer.set_exception(error)
            return
        for wanted in taken:
            if not wanted.answer.done():
                wanted.answer.set_result(found.get(wanted.sku))
