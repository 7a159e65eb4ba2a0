"""Nothing is lost between systems: three stores, a shop and an ERP, all over HTTP, through every fault at once.

Tills report through store agents, one of them offline for a while; customers of a shop race them for the last units; the ERP has a
maintenance. Then duplicates, cut replies, 429, 5xx, kill -9 of the hub, kill -9 of the database. After healing all are equal.
"""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectors.sandboxed import Peer, served
from doors.door import Door, Process, evenstock, knocking, line, sale, until
from doors.killing import AWAY, free_port, kill_database, ready, stop_database
from edge.road import Road, road
from edge.shop import Shop, plan, shop
from evenstock import clock
from evenstock.connectors.erp_rest.sandbox import ErpSandbox
from evenstock.connectors.sandbox import LOG_MAX
from evenstock.connectors.shopify.sandbox import ShopifySandbox

STORES = ("0107", "0042", "0117")  # the shop sells from the first
SKUS = tuple(f"TSH-{number}" for number in range(4))
STOCK = 60
ROUNDS, ROUNDS_DEEP = 1, 10
RESTARTS, RESTARTS_DEEP = 3, 40
TICKETS = 8  # of each store, between two kills
SURELY = ("cut-after", "429-bare", "500-after")  # whatever chance says
FAULTS = dict.fromkeys(("429-bare", "500", "500-after", "cut", "cut-after", "html-after", "503"), 0.03)
EXPLAINED = {
    "stock.negative",
    "stock.overcommitted",
    "connection.silent",
    "exposure.delayed",
    "posting.delayed",
}


class World:
    """All systems of the estate, and what was promised and sold in it."""

    def __init__(self, data: Path, web: Peer, erp: Peer) -> None:
        self.web = web
        self.erp = erp
        self.options = ["--data", str(data), "--port", str(free_port())]
        for peer in (web, erp):
            self.options += ["--outbound-allow", peer.url.removeprefix("http://")]
        self.hub: Process
        self.door: Door
        self.reported: dict[str, dict[str, Any]] = {}
        self.shipped: Counter[str] = Counter()
        self.orders = 0
        self.chance = random.Random(7)  # noqa: S311 - the same every time

    async def stands(self) -> None:
        """The hub is set up, and has stock."""
        shopify = {
            "address": self.web.url, "secret": "env:SHOP_SECRET", "token": "env:SHOP_TOKEN",
            "locations": {"1": STORES[0]}, "shows": {"web": "1"},
        }  # fmt: skip
        books = {"per": "store", "every_s": 1}
        for path, body in (
            ("items", {"items": [{"sku": sku} for sku in SKUS]}),
            ("locations", {"locations": [{"id": store} for store in STORES]}),
            ("connections", {"connections": [
                {"id": "web-shop", "connector": "shopify", "settings": shopify},
                {"id": "erp", "connector": "erp_rest", "settings": {"url": self.erp.url, "token": "env:ERP_TOKEN"}, "books": books},
            ]}),
            ("channels", {"channels": [{"id": "web", "locations": [STORES[0]], "connection": "web-shop"}]}),
        ):  # fmt: skip
            answer = await self.door.post(f"/v1/{path}:batch", body)
            assert answer.status == 200, answer.raw
        for store in STORES:
            lines = [line(sku, STOCK, str(number)) for number, sku in enumerate(SKUS)]
            event = sale(f"stock-{store}", SKUS[0], location=store) | {
                "type": "GoodsReceived.v1",
                "source": "stock",
            }
            event["data"] = {"location": store, "lines": lines}
            assert (await self.door.report(event)).outcomes == ["applied"]
        await self.web.control("hub", {"url": f"{self.hub.url}/v1/hooks/web-shop", "secret": "hush"})

    async def leaves(self) -> None:
        """The hub that runs now ends."""
        await self.hub.end()

    async def trade(self, stores: list[Shop], round_: int) -> None:
        """Tills and customers at once."""
        await asyncio.gather(
            *(self._till(each, at, round_) for at, each in enumerate(stores)), self._customers()
        )

    async def _till(self, store: Shop, at: int, round_: int) -> None:
        for number in range(TICKETS):
            sku, units = self.chance.choice(SKUS), self.chance.randint(1, 3)
            event = sale(f"{STORES[at]}-{round_}-{number}", sku, units, location=STORES[at]) | {
                "source": "tills"
            }
            event["data"]["register"] = "1"
            again = 2 if self.chance.random() < 0.2 else 1  # a till that did not hear the answer
            for _ in range(again):
                answer = await store.door.report(event)
                assert answer.status == 200, answer.raw
            self.reported[event["id"]] = event

    async def _customers(self) -> None:
        """Orders while there is something to sell; what is paid leaves the store."""
        for _ in range(TICKETS):
            sku, units = self.chance.choice(SKUS), self.chance.randint(1, 2)
            wanted = {"location": "Amsterdam", "lines": [{"sku": sku, "quantity": units}]}
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{self.web.url}/sandbox/orders", json=wanted) as answer,
            ):
                if answer.status == 422:
                    continue  # sold out
                order = (await answer.json())["order"]
            await self.web.control("fulfilments", {"order": order})
            self.shipped[sku] += units
            self.orders += 1

    def due(self) -> dict[str, dict[str, int]]:
        """What must be on hand, by store and item, if everything is counted once."""
        left = {store: dict.fromkeys(SKUS, STOCK) for store in STORES}
        for event in self.reported.values():
            for each in event["data"]["lines"]:
                left[event["data"]["location"]][each["item"]["sku"]] -= each["quantity"]
        for sku, units in self.shipped.items():
            left[STORES[0]][sku] -= units
        return left


@asynccontextmanager
async def world(data: Path, faults: dict[str, float]) -> AsyncIterator[tuple[World, list[Shop], Road]]:
    async with AsyncExitStack() as stack:
        web = await stack.enter_async_context(served(ShopifySandbox(clock.now), seed=1))
        erp = await stack.enter_async_context(served(ErpSandbox(clock.now), seed=2))
        await web.control("stock", [{"sku": sku, "location": "Amsterdam", "available": 0} for sku in SKUS])
        await erp.control(
            "stock", [{"item": sku, "location": store, "quantity": 0} for sku in SKUS for store in STORES]
        )
        found = World(data, web, erp)
        found.hub = await Process.start(*found.options)
        stack.push_async_callback(found.leaves)
        _, keys, _ = await evenstock("keys", "create", "--name", "tills", "--scope", "*", "--data", str(data))
        key = keys.strip()
        found.door = await stack.enter_async_context(knocking(found.hub.url, key))
        await found.stands()
        way = await stack.enter_async_context(road(found.hub.url))
        stores = [
            await stack.enter_async_context(
                shop(plan(data / f"agent-{store}", way.url if store == STORES[2] else found.hub.url, key))
            )
            for store in STORES
        ]
        await web.faults(*SURELY, rates=faults | {"edited": 0.01}, retry_after_s=0)
        await erp.faults(*SURELY, rates=faults | {"later": 0.03}, retry_after_s=0)
        yield found, stores, way


async def play(found: World, stores: list[Shop], way: Road, data: Path, rounds: int) -> None:
    """Trade, and break something while it goes on."""
    for round_ in range(rounds):
        way.lead(None)
        await found.erp.control("maintenance", {"for_s": 2})
        was = await found.web.log()
        trading = asyncio.create_task(found.trade(stores, round_))
        await until(partial(asked, found.web, len(was)))
        await found.hub.end(signal.SIGKILL)
        await trading
        found.hub = await Process.start(*found.options)
        way.lead(found.hub.url)
        trading = asyncio.create_task(found.trade(stores, 1000 + round_))
        kill_database(data)
        await trading
        await ready(found.door)
    await until(lambda: struck(found))


async def asked(peer: Peer, times: int) -> bool:
    """Whether it was asked more often than that: the hub is at it."""
    found = await peer.log()
    return len(found) > times or len(found) >= LOG_MAX


async def struck(found: World) -> bool:
    """Whether the day was bad: what strikes for sure has struck both."""
    return not await found.web.waiting() and not await found.erp.waiting()


async def heal(found: World, stores: list[Shop]) -> None:
    """No fault any more; what was kept anywhere goes where it belongs."""
    await found.web.faults()
    await found.erp.faults()
    await found.erp.control("maintenance", {"for_s": 0})
    await found.erp.control("finish")
    for connection in ("web-shop", "erp"):  # whoever mended it need not wait
        assert (await found.door.post(f"/v1/connections/{connection}:resume", {})).status == 200
    for each in stores:
        await each.forwarded()

    async def delivered() -> bool:
        return bool((await found.web.control("redeliver"))["undelivered"] == 0)

    await until(delivered)


async def equal(found: World) -> bool:
    """Whether ledger, shop and ERP say what the witness says."""
    due = found.due()
    try:
        ledger = await _ledger(found.door)
    except AWAY:
        return False
    levels = found.web.sandbox.state.levels["gid://shopify/Location/1"]
    shows = {found.web.sandbox.state.items[item]: level.available for item, level in levels.items()}
    books = {
        store: {sku: int(there.get(sku, 0)) for sku in SKUS}
        for store, there in found.erp.sandbox.state.stock.items()
    }
    return ledger == due and shows == {sku: max(0, n) for sku, n in due[STORES[0]].items()} and books == due


async def confirmed(found: World) -> bool:
    """Whether the hub knows that the shop and the books have everything, a moment after they have it."""
    acked = {each["sku"]: each["acked"] for each in (await found.door.get("/v1/exposures")).body["data"]}
    open_ = (await found.door.get("/v1/postings?status=open")).body["data"]
    return not open_ and acked == {sku: max(0, n) for sku, n in found.due()[STORES[0]].items()}


async def _ledger(door: Door) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {store: {} for store in STORES}
    for sku in SKUS:
        answer = await door.get(f"/v1/availability/{sku}")
        for each in answer.body["locations"]:
            found[each["id"]][sku] = each["on_hand"]
    return found


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, secret in (("SHOP_TOKEN", "sandbox"), ("SHOP_SECRET", "hush"), ("ERP_TOKEN", "sandbox")):
        monkeypatch.setenv(name, secret)


@pytest.mark.usefixtures("tokens")
@pytest.mark.parametrize("rounds", [ROUNDS, pytest.param(ROUNDS_DEEP, marks=pytest.mark.deep)])
async def test_after_every_fault_ledger_shop_and_books_are_exactly_equal(tmp_path: Path, rounds: int) -> None:
    async with world(tmp_path, FAULTS) as (found, stores, way):
        await play(found, stores, way, tmp_path, rounds)
        await heal(found, stores)
        await are_equal_in_the_end(found, tmp_path)


@pytest.mark.usefixtures("tokens")
@pytest.mark.parametrize("restarts", [RESTARTS, pytest.param(RESTARTS_DEEP, marks=pytest.mark.deep)])
async def test_a_database_that_is_restarted_every_few_seconds_loses_nothing_and_doubles_nothing(
    tmp_path: Path, restarts: int
) -> None:
    async with world(tmp_path, {}) as (found, stores, _):
        for restart in range(restarts):
            trading = asyncio.create_task(found.trade(stores, restart))
            stop_database(tmp_path)
            await trading
            await ready(found.door)
        await heal(found, stores)
        await are_equal_in_the_end(found, tmp_path)


async def are_equal_in_the_end(found: World, data: Path) -> None:
    """Ledger, shop and books say what the witness says; each sale, shipment and document is there once; all invariants hold."""
    try:
        await until(lambda: equal(found))
    except TimeoutError:
        pytest.fail(
            f"due {found.due()}, ledger {await _ledger(found.door)}, books {found.erp.sandbox.state.stock}"
        )
    await until(lambda: confirmed(found))
    keys = [
        movement["key"]
        for sku in SKUS
        for movement in (await found.door.get(f"/v1/movements?sku={sku}&limit=500")).body["data"]
        if movement["why"] in {"sale", "shipment"}
    ]
    booked = Counter(keys)
    assert set(booked.values()) == {1}, "each once"
    shipped = {key for key in booked if key.startswith("fulfillment/")}
    assert booked.keys() - shipped == found.reported.keys()
    assert len(shipped) == found.orders
    done = [
        posting["document"]
        for sku in SKUS
        for posting in (await found.door.get(f"/v1/postings?sku={sku}&limit=500")).body["data"]
    ]
    assert found.erp.sandbox.state.posted == len(set(done) - {None})
    exceptions = (await found.door.get("/v1/exceptions")).body["data"]
    assert {each["code"] for each in exceptions} <= EXPLAINED
    assert all(each["detail"] for each in exceptions if each["code"] != "stock.negative")
    code, out, err = await evenstock("verify", "--data", str(data))
    assert code == 0, out + err
