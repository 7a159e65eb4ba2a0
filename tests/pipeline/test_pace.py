"""The operator's limit of calls: whatever they are for, from whatever process, they take turns."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from evenstock import clock
from evenstock.connectors.calling import call
from evenstock.connectors.contract import Failed, NotYet, RetryLater, World
from evenstock.patience import until
from evenstock.pipeline.vault import Vault
from evenstock.pipeline.worlds import Worlds
from evenstock.postgres import channels
from evenstock.postgres.database import Database


class Shop:
    """A system that notes when it was called."""

    def __init__(self) -> None:
        self.heard: list[float] = []
        self.url = ""

    async def answer(self, _request: web.Request) -> web.Response:
        self.heard.append(asyncio.get_running_loop().time())
        return web.Response(text="{}")


Process = Callable[[], Awaitable[World]]


@asynccontextmanager
async def processes(
    database: Database, folder: Path, calls_per_s: float | None
) -> AsyncIterator[tuple[Shop, Process]]:
    """A shop with a limit of calls, and what makes a process that may call it."""
    shop = Shop()
    app = web.Application()
    app.router.add_get("/", shop.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    shop.url = f"http://{host}:{port}/"
    row: dict[str, Any] = {"id": "shop", "connector": "http_json", "settings": {}, "calls_per_s": calls_per_s}
    async with database.pool() as pool, AsyncExitStack() as stack:

        async def process() -> World:
            worlds = Worlds(pool, Vault(None, {}), folder, clock.now, [f"{host}:{port}"])
            stack.push_async_callback(worlds.close)
            return await worlds.of("shop", {})

        stack.push_async_callback(runner.cleanup)
        async with pool.acquire() as db:
            await channels.upsert_connections(db, [row], clock.now(), [])
        yield shop, process


async def ask(world: World, shop: Shop) -> None:
    await call(world, "GET", shop.url, changes=False)


async def test_calls_of_two_processes_together_keep_the_operators_limit(database: Database, tmp_path: Path) -> None:  # fmt: skip
    async with processes(database, tmp_path, 20) as (shop, process):
        tells, asks = await process(), await process()
        await asyncio.gather(*(ask(world, shop) for world in (tells, asks) for _ in range(4)))
        first, last = min(shop.heard), max(shop.heard)
        assert len(shop.heard) == 8
        assert last - first >= 6 / 20, "seven gaps, less what the first call took to leave"


async def test_without_a_limit_nobody_waits_for_a_turn(database: Database, tmp_path: Path) -> None:
    async with processes(database, tmp_path, None) as (shop, process):
        world = await process()
        with until(0.5):
            await asyncio.gather(*(ask(world, shop) for _ in range(8)))
        assert len(shop.heard) == 8


async def test_a_turn_that_comes_too_late_is_left_to_others_and_nothing_leaves(
    database: Database, tmp_path: Path
) -> None:
    async with processes(database, tmp_path, 0.1) as (shop, process):
        world = await process()
        assert world.http is not None
        await ask(world, shop)
        with until(5), pytest.raises(NotYet) as late:
            await world.http.request("GET", shop.url)
        assert 5 < late.value.after_s <= 10
        with until(5), pytest.raises(Failed) as failed:
            await ask(world, shop)
        match failed.value.outcome:
            case RetryLater(after_s=float(after_s), cause="busy"):
                assert after_s <= 10, "the turn that was too late for one is still there for the next"
            case outcome:
                raise AssertionError(outcome)
        assert len(shop.heard) == 1
