"""What a shop shows is looked at: a foreign writer is found, told off once, and then shown to a person; nobody fights."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from channel import teller
from connectors.sandboxed import Peer, served
from evenstock import clock
from evenstock.connectors.shopify import connector
from evenstock.connectors.shopify.sandbox import ShopifySandbox
from evenstock.pipeline.bases import bases_of
from evenstock.pipeline.dispatch import Dispatcher
from evenstock.pipeline.observe import PASS_EVERY, SAMPLE_EVERY, Observer
from evenstock.pipeline.vault import Vault
from evenstock.pipeline.worlds import Worlds
from evenstock.postgres import channels
from evenstock.postgres.database import Connection, Database
from hub import Hub, event, hub, line

SKUS = ("TEE", "CUP", "JAR")
SECRETS = {"TOKEN": "sandbox", "SECRET": "hush"}


class Watch:
    """A hub that tells a shop and looks at it, step by step."""

    def __init__(self, db: Connection, books: Hub, tells: Any, web: Peer, worlds: Worlds) -> None:
        self.db, self.books, self.tells, self.web = db, books, tells, web
        self.observer = Observer(tells.pool, {"shopify": connector}, worlds, lambda: tells.now)
        self.dispatcher = Dispatcher(
            tells.pool, {"shopify": connector}, worlds, "tag", lambda: tells.now, lambda: 1.0
        )

    async def tell(self) -> None:
        await self.tells.expose()
        for connection_id in await self.dispatcher.due():
            while await self.dispatcher.tell(connection_id):
                pass

    async def look(self, after: float = SAMPLE_EVERY.total_seconds()) -> int:
        self.tells.later(after)
        return await self.observer.look()

    async def edits(self, sku: str, available: int) -> None:
        """A person in the shop types another number."""
        await self.web.control("stock", [{"sku": sku, "location": "Main", "available": available}])

    def shows(self, sku: str) -> int:
        state = self.web.sandbox.state
        item = next(id_ for id_, known in state.items.items() if known == sku)
        return int(state.levels["gid://shopify/Location/1"][item].available)

    async def open(self) -> list[str]:
        rows = await self.db.fetch(
            "select code from exceptions where closed_at is null and code like 'exposure.%'"
        )
        return [row[0] for row in rows]


@asynccontextmanager
async def watch(database: Database, data: Path) -> AsyncIterator[Watch]:
    async with (
        hub(database, "pos") as books,
        teller(database, data) as tells,
        served(ShopifySandbox(clock.now)) as web,
    ):
        worlds = Worlds(tells.pool, Vault(None, SECRETS), data, clock.now, [web.url.removeprefix("http://")])
        settings = {"address": web.url, "secret": "env:SECRET", "token": "env:TOKEN", "shows": {"web": "1"}}
        bases = bases_of({"shopify": connector})
        await books.locations("A")
        await books.items(*SKUS)
        row = {"id": "shop", "connector": "shopify", "settings": settings}
        await channels.upsert_connections(tells.db, [row], tells.now, bases)
        tells.bases = bases
        await tells.channel("web", "A")
        found = Watch(tells.db, books, tells, web, worlds)
        for sku in SKUS:
            await found.edits(sku, 0)
        lines = [line(sku, 9, str(number)) for number, sku in enumerate(SKUS)]
        await books.apply(event("receipt", "r", books.now, {"location": "A", "lines": lines}))
        await found.tell()
        try:
            yield found
        finally:
            await worlds.close()


async def test_what_a_shop_shows_is_the_fourth_number(database: Database, tmp_path: Path) -> None:
    async with watch(database, tmp_path) as seen:
        await seen.look(PASS_EVERY.total_seconds())
        rows = await seen.db.fetch("select quantity, strays from observed")
        assert [tuple(row.values()) for row in rows] == [(9, 0)] * 3
        assert await seen.observer.look() == 0, "it is nobody's turn"
        assert await seen.look() == 3


async def test_a_foreign_number_is_given_time_put_right_once_and_then_a_persons(
    database: Database, tmp_path: Path
) -> None:
    async with watch(database, tmp_path) as seen:
        await seen.look(PASS_EVERY.total_seconds())
        await seen.edits("TEE", 50)
        await seen.look()
        await seen.tell()
        assert seen.shows("TEE") == 50, "it may be a sale on its way to us"
        await seen.look()
        await seen.tell()
        assert seen.shows("TEE") == 9, "put right"
        assert await seen.open() == []
        await seen.edits("TEE", 50)
        await seen.look()
        await seen.tell()
        assert await seen.open() == ["exposure.overwritten"]
        for _ in range(3):
            await seen.look()
            await seen.tell()
        assert seen.shows("TEE") == 50, "we do not fight"
        await seen.books.apply(
            event("sale", "s", seen.books.now, {"location": "A", "lines": [line("TEE", 1)]})
        )
        await seen.tell()
        assert seen.shows("TEE") == 8, "the next number is told"
        await seen.look()
        assert await seen.open() == []


async def test_what_was_put_right_and_stays_is_forgotten(database: Database, tmp_path: Path) -> None:
    async with watch(database, tmp_path) as seen:
        await seen.edits("CUP", 0)
        for _ in range(4):
            await seen.look()
            await seen.tell()
        assert seen.shows("CUP") == 9
        assert await seen.db.fetchval("select sum(strays) from observed") == 0
        assert await seen.open() == []


async def test_an_open_order_of_the_shop_is_no_foreign_number(database: Database, tmp_path: Path) -> None:
    async with watch(database, tmp_path) as seen:
        await seen.web.control("orders", {"location": "Main", "lines": [{"sku": "TEE", "quantity": 2}]})
        for _ in range(3):
            await seen.look()
        assert await seen.db.fetchval("select sum(strays) from observed") == 0


@pytest.mark.parametrize("fault", ["429-bare", "500", "cut", "html", "maintenance"])
async def test_a_look_that_fails_says_nothing_and_is_made_again(
    database: Database, tmp_path: Path, fault: str
) -> None:
    async with watch(database, tmp_path) as seen:
        await seen.edits("TEE", 50)
        await seen.web.faults(*[fault] * 9)
        assert await seen.look(PASS_EVERY.total_seconds()) == 0
        assert await seen.db.fetchval("select count(*) from observed") == 0
        await seen.web.faults()
        assert await seen.look() == 3


async def test_a_number_that_changes_under_a_look_is_not_judged_by_it(
    database: Database, tmp_path: Path
) -> None:
    async with watch(database, tmp_path) as seen:
        await seen.books.apply(
            event("sale", "s", seen.books.now, {"location": "A", "lines": [line("TEE", 1)]})
        )
        await seen.tells.expose()
        assert await seen.look(PASS_EVERY.total_seconds()) == 4, "two by both looks, the owed one by none"
        assert await seen.db.fetchval("select count(*) from observed") == 2
