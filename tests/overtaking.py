"""One who works until it must wait, while another does its part and commits just before it."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Protocol, TypeVar

from conftest import owner
from evenstock.postgres.database import Connection, Database

WAITS = "select count(*) from pg_stat_activity where pid = $1 and wait_event_type = 'Lock'"
PATIENCE_S = 5.0

T = TypeVar("T")


class Worker(Protocol):
    """Whoever has a connection of its own."""

    db: Connection


async def overtaken(
    database: Database, first: Worker, doing: Awaitable[Any], second: Worker, then: Awaitable[T]
) -> T:
    """What the second gets when the first commits just before it."""
    pid = await second.db.fetchval("select pg_backend_pid()")
    async with owner(database) as watch, asyncio.timeout(PATIENCE_S):
        async with first.db.transaction():
            await doing
            task = asyncio.ensure_future(then)
            while not task.done() and not await watch.fetchval(WAITS, pid):  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.01)
            assert not task.done(), "the second did not have to wait for the first"
        return await task
