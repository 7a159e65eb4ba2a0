"""A shop is asked which goods moved: what its webhooks lost is booked, what they told is booked once, and kill -9 changes neither."""

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.sandboxed import Peer, served
from doors.door import Door, Process, evenstock, knocking, opened, until
from doors.hooked import connect, settled
from doors.killing import free_port, ready
from evenstock import clock
from evenstock.connectors.shopify.sandbox import ShopifySandbox
from evenstock.pipeline.vault import Vault
from evenstock.postgres.database import Database
from evenstock.postgres.embedded import joined

ENVIRON = {"SHOPIFY_TOKEN": "sandbox", "SHOPIFY_SECRET": "hush"}
ORDERS = 60
KILLS = 2
STOCK = 10_000


def configured(shop: Peer, **others: Any) -> dict[str, Any]:
    return {
        "address": shop.url,
        "secret": "env:SHOPIFY_SECRET",
        "token": "env:SHOPIFY_TOKEN",
        "locations": {"1": "0107"},
        "inspect": False,
        "poll_every_s": 1,
        "poll_from": "2026-01-01T00:00:00Z",
    } | others


@asynccontextmanager
async def stocked() -> AsyncIterator[Peer]:
    async with served(ShopifySandbox(clock.now)) as shop:
        await shop.control("stock", [{"sku": "TSH", "location": "Amsterdam", "available": STOCK}])
        await shop.control("points", {"available": 10**9, "maximum": 10**9, "per_s": 10**9})
        yield shop


@asynccontextmanager
async def estate(database: Database, tmp_path: Path, **others: Any) -> AsyncIterator[tuple[Door, Peer]]:
    """A hub and a shop whose webhooks go to it."""
    async with stocked() as shop:
        allowed = [shop.url.removeprefix("http://")]
        async with opened(
            database, data=tmp_path, vault=Vault(None, ENVIRON), outbound_allow=allowed
        ) as door:
            await door.know("TSH")
            await shop.control("hub", {"url": f"{door.url}/v1/hooks/shop", "secret": "hush"})
            assert (await connect(door, "shop", "shopify", **configured(shop, **others))).status == 200
            yield door, shop


async def sold(shop: Peer, quantity: int = 2) -> tuple[int, list[dict[str, Any]]]:
    """An order, shipped; its number, and what became of the webhook about its goods."""
    lines = [{"sku": "TSH", "quantity": quantity}]
    number = (await shop.control("orders", {"location": "Amsterdam", "lines": lines}))["order"]
    return number, (await shop.control("fulfilments", {"order": number}))["webhooks"]


async def sellable(door: Door, wanted: int) -> None:
    async def so() -> bool:
        return bool((await door.stock("TSH"))["sellable"] == wanted)

    await until(so)


async def passes(shop: Peer, more: int = 1) -> None:
    """The shop is asked for so many further passes, each from its beginning."""
    before = (await shop.did()).count("ChangedOrders")

    async def asked() -> bool:
        return (await shop.did()).count("ChangedOrders") >= before + more + 1

    await until(asked)


async def facts(door: Door) -> list[str]:
    """The ids of the events of all messages."""
    return sorted(event for message in await settled(door) for event in message["events"])


async def test_goods_whose_webhook_was_lost_are_booked_once_and_so_when_it_comes_after_all(
    database: Database, tmp_path: Path
) -> None:
    async with estate(database, tmp_path) as (door, shop):
        await shop.faults(rates={"hook-lost": 1.0})
        number, told = await sold(shop)
        assert told == []
        await sellable(door, -2)
        await shop.control("refunds", {"order": number})
        await sellable(door, 0)
        assert await facts(door) == [
            f"fulfillment/{number}0",
            "refund/7001/1",
            "refund/7001/1/restocked",
        ]
        await shop.faults()
        again = await shop.control("redeliver")
        assert [each["topic"] for each in again["webhooks"]] == [
            "orders/create",
            "fulfillments/create",
            "refunds/create",
        ]
        assert {each["status"] for each in again["webhooks"]} == {202}
        await passes(shop, 2)
        found = await settled(door)
        assert {message["status"] for message in found} == {"translated"}
        assert len([message for message in found if message["events"]]) == 4, "two told, two asked"
        assert (await door.stock("TSH"))["sellable"] == 0
        open_ones = (await door.get("/v1/exceptions")).body["data"]
        assert {each["code"] for each in open_ones} <= {"stock.negative"}, "nothing is in conflict"


async def test_how_far_a_shop_was_asked_is_shown(database: Database, tmp_path: Path) -> None:
    async with estate(database, tmp_path) as (door, shop):
        await sold(shop)
        await sellable(door, -2)

        async def source() -> dict[str, Any]:
            found = (await door.get("/v1/sources")).body["data"]
            return next(each for each in found if each["connection"] == "shop")

        async def read() -> bool:
            return any(
                stream["name"] == "orders" and stream["read_until"] > "2026-11" and stream["passed_at"]
                for stream in (await source())["streams"]
            )

        await until(read)
        assert (await source())["failures"] == 0
        code, out, _ = await evenstock("status", "--database-url", database.url, "--schema", database.schema)
        assert code == 0
        assert "polled     shop orders: read until 2026-" in out


async def test_kill_9_between_pages_loses_nothing_and_books_nothing_twice(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    async with stocked() as shop:
        units = 0
        for number in range(ORDERS):
            await sold(shop, number % 3 + 1)
            units += number % 3 + 1
        serve = (
            "--data", str(data), "--port", str(free_port()), "--log-level", "error", "--outbound-allow",
            shop.url.removeprefix("http://"),
        )  # fmt: skip
        process = await Process.start(*serve)
        _, made, _ = await evenstock(
            "keys", "create", "--name", "all", "--scope", "*", "--json", "--data", str(data)
        )
        async with knocking(process.url, json.loads(made)["key"]) as door:
            await door.know("TSH")
            assert (
                await connect(door, "shop", "shopify", **configured(shop, poll_overlap_s=60))
            ).status == 200
            for kill in range(KILLS):
                asked = len(await shop.log())
                enough = asked + 3 + 4 * kill

                async def goes_on(enough: int = enough) -> bool:
                    return len(await shop.log()) >= enough

                await until(goes_on)
                await process.end(signal.SIGKILL)
                process = await Process.start(*serve)
                await ready(door)
            await sellable(door, -units)
            await passes(shop)
            found = await settled(door)
            assert (await door.stock("TSH"))["sellable"] == -units
            assert {message["status"] for message in found} == {"translated"}
        assert await process.end() == 0
        with joined(data, print) as url:
            db = await Database(url).connect()
            messages = await db.fetchval("select count(*) from messages")
            facts = await db.fetchval("select count(*) from facts")
            await db.close()
        assert (messages, facts) == (ORDERS, ORDERS)
    code, said, _ = await evenstock("verify", "--data", str(data))
    assert code == 0, said
