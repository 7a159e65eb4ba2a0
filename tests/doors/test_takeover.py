"""A sender stops with a number on its way and a lease in its hand; another takes over; the older number never lands last (S42)."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from connectors.sandboxed import Peer, served
from doors.door import Door, Process, knocking, make_key, receipt, sale, until
from doors.proxy import copy
from evenstock import clock, wiring
from evenstock.connectors.shopify.sandbox import ShopifySandbox
from evenstock.postgres.database import Database

HERE = "gid://shopify/Location/1"
SETS = b"inventorySetQuantities"


class Gate:
    """Carries what hubs say to a shop; the next number can be kept back on its way, for as long as one likes."""

    def __init__(self, shop: str) -> None:
        self._shop = urlsplit(shop)
        self._keeps_next = False
        self._opened = asyncio.Event()
        self.kept = asyncio.Event()
        self.landed = asyncio.Event()  # what was kept has its answer
        self.url = ""

    def keep_next(self) -> None:
        self._keeps_next = True

    def open(self) -> None:
        self._opened.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self._shop.hostname, self._shop.port)
        back = asyncio.create_task(copy(there_reader, writer))
        try:
            while data := await reader.read(65536):
                if self._keeps_next and SETS in data:
                    self._keeps_next = False
                    await self._keep(data)
                    break
                there_writer.write(data)
        except ConnectionError:
            pass
        finally:
            there_writer.close()
            await asyncio.wait({back})
            writer.transport.abort()

    async def _keep(self, data: bytes) -> None:
        """Its sender may have given it up long before it lands."""
        self.kept.set()
        await self._opened.wait()
        reader, writer = await asyncio.open_connection(self._shop.hostname, self._shop.port)
        writer.write(data)
        assert b" 200 " in await reader.readline()
        writer.close()
        self.landed.set()


@asynccontextmanager
async def gate(shop: str) -> AsyncIterator[Gate]:
    found = Gate(shop)
    server = await asyncio.start_server(found.carry, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
        found.open()


def shows(web: Peer) -> int:
    item = next(id_ for id_, sku in web.sandbox.state.items.items() if sku == "TSH")
    return int(web.sandbox.state.levels[HERE][item].available)


async def stands(door: Door, address: str) -> None:
    """A shop that sells ten shirts of a store."""
    await door.know("TSH")
    settings = {
        "address": address, "secret": "env:SHOP_SECRET", "token": "env:SHOP_TOKEN", "locations": {"1": "0107"}, "shows": {"web": "1"},
    }  # fmt: skip
    for path, body in (
        ("connections", {"connections": [{"id": "shop", "connector": "shopify", "settings": settings}]}),
        ("channels", {"channels": [{"id": "web", "locations": ["0107"], "connection": "shop"}]}),
    ):
        assert (await door.post(f"/v1/{path}:batch", body)).status == 200
    assert (await door.report(receipt("R-1", "TSH", 10))).outcomes == ["applied"]


async def fence(database: Database) -> int:
    async with wiring.session(database, "tests") as db:
        return int(await db.fetchval("select fence from lanes"))


async def test_a_stopped_senders_number_does_not_land_after_a_newer_one(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "sandbox")
    monkeypatch.setenv("SHOP_SECRET", "hush")
    key = await make_key(database, "all", "*")
    async with served(ShopifySandbox(clock.now)) as web, gate(web.url) as way:
        await web.control("stock", [{"sku": "TSH", "location": "Amsterdam", "available": 0}])
        serve = (
            "--database-url", database.url, "--schema", database.schema, "--port", "0", "--log-level", "error",
            "--outbound-allow", way.url.removeprefix("http://"),
        )  # fmt: skip
        first = await Process.start(*serve, "--data", str(tmp_path / "first"))
        async with knocking(first.url, key) as door:
            await stands(door, way.url)

            async def shown(number: int) -> bool:
                await asyncio.sleep(0.02)  # a lease runs out meanwhile: leave the processor to the hubs
                return shows(web) == number

            await until(lambda: shown(10))
            way.keep_next()
            assert (await door.report(sale("S-1", "TSH", 1))).outcomes == ["applied"]
            async with asyncio.timeout(10):
                await way.kept.wait()
            os.kill(first.pid, signal.SIGSTOP)
            before = await fence(database)

            second = await Process.start(*serve, "--data", str(tmp_path / "second"))
            async with knocking(second.url, key) as other:
                assert (await other.report(sale("S-2", "TSH", 2))).outcomes == ["applied"]
                await until(lambda: shown(7))
                assert await fence(database) > before, "the lane has another holder"
                way.open()
                async with asyncio.timeout(10):
                    await way.landed.wait()
                assert shows(web) == 7, "the older number came last, and was not believed"

                os.kill(first.pid, signal.SIGCONT)
                assert (await door.get("/readyz")).status == 200
                assert (await door.report(sale("S-3", "TSH", 1))).outcomes == ["applied"]
                await until(lambda: shown(6))

                async def confirmed() -> bool:
                    (row,) = (await other.get("/v1/exposures")).body["data"]
                    return bool((row["intended"], row["acked"]) == (6, 6))

                await until(confirmed)
            assert await second.end() == 0
        assert await first.end() == 0
        assert shows(web) == 6
        async with wiring.session(database, "tests") as db:
            tries = await db.fetch("select version, try, outcome, fence from attempts order by version, try")
        found = [(row["version"], row["try"], row["outcome"]) for row in tries]
        assert found == [(1, 1, "done"), (2, 1, "unknown"), (2, 2, "done"), (3, 1, "done"), (4, 1, "done")]
        fences = [row["fence"] for row in tries]
        assert fences == sorted(fences)
