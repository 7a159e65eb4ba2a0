"""What every sandbox does: faults that can be foreseen, a control that says what is wrong, webhooks that a hub believes."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from typer.testing import CliRunner

from connectors.sandboxed import Peer, served
from evenstock import clock
from evenstock.cli.app import app
from evenstock.connectors.faults import KINDS, Faults, Striker, UnknownFault
from evenstock.connectors.found import found, sandboxes
from evenstock.connectors.shopify import HOOK
from evenstock.connectors.shopify.sandbox import ShopifySandbox
from evenstock.connectors.signing import verify
from evenstock.core.errors import Refusal

COMMAND = [sys.executable, "-c", "from evenstock.cli import main; main()", "sandbox"]
OF_NO_VENDOR = {
    "recorder",
    "nats",
    "mqtt",
    "rabbitmq",
    "kafka",
}  # a file, and brokers, whose servers are free to run
ENVIRON = {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}


def struck(seed: int, number: int = 200) -> list[str | None]:
    striker = Striker(seed, KINDS)
    striker.set(Faults(rates={"429": 0.2, "cut": 0.1}))
    return [striker.strikes("x") for _ in range(number)]


def test_the_same_seed_gives_the_same_faults() -> None:
    assert struck(1) == struck(1) != struck(2)
    assert 25 <= struck(1).count("429") <= 55
    assert 8 <= struck(1).count("cut") <= 35


def test_faults_that_are_next_come_first_and_only_where_they_belong() -> None:
    striker = Striker(0, KINDS)
    striker.set(Faults(next=["cut", "hook-lost", "503"], on="orders"))
    assert striker.strikes("stock") is None
    assert striker.strikes("orders") == "cut"
    assert striker.strikes("orders") is None, "a webhook is next"
    assert striker.strikes("orders", hook=True) == "hook-lost"
    assert striker.strikes("orders") == "503"
    assert striker.strikes("orders") is None


@pytest.mark.parametrize(
    "faults", [Faults(next=["418"]), Faults(rates={"418": 0.1}), Faults(rates={"429": 0.6, "cut": 0.5})]
)
def test_faults_that_cannot_be_are_refused(faults: Faults) -> None:
    with pytest.raises(UnknownFault):
        Striker(0, KINDS).set(faults)


async def test_faults_are_changed_while_it_runs() -> None:
    async with served(ShopifySandbox(clock.now)) as peer:
        assert (await peer.faults("cut", rates={"429": 0.5}))["next"] == ["cut"]
        for wrong in ({"rates": {"429": 2}}, {"rates": {"nix": 0.1}}, {"wrong": 1}):
            assert "detail" in await peer.faults(status=422, **wrong)
        assert "stock, orders" in (await peer.control("nix", status=404))["detail"]
        assert "Sold out" in (await _order(peer, 11, status=422))["detail"]


async def _order(peer: Peer, quantity: int, status: int = 200) -> Any:
    await peer.control("stock", [{"sku": "TSH", "location": "Amsterdam", "available": 10}])
    lines = [{"sku": "TSH", "quantity": quantity}]
    return await peer.control("orders", {"location": "Amsterdam", "lines": lines}, status=status)


@asynccontextmanager
async def hub() -> AsyncIterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """Somebody who takes webhooks, and keeps them as they came."""
    heard: list[tuple[dict[str, str], bytes]] = []

    async def take(request: web.Request) -> web.Response:
        heard.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return web.Response(status=202)

    taking = web.Application()
    taking.router.add_post("/hook", take)
    runner = web.AppRunner(taking)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", heard
    finally:
        await runner.cleanup()


async def test_an_order_is_told_by_a_webhook_that_is_signed_as_the_vendor_signs() -> None:
    async with served(ShopifySandbox(clock.now)) as peer, hub() as (url, heard):
        await peer.control("hub", {"url": url, "secret": "hush"})
        order = await _order(peer, 2)
        assert order["webhooks"] == [{"topic": "orders/create", "status": 202}]
        headers, body = heard[0]
        assert headers["x-shopify-topic"] == "orders/create"
        verify(HOOK, ["hush"], headers, body, clock.now())
        with pytest.raises(Refusal):
            verify(HOOK, ["other"], headers, body, clock.now())
        await peer.faults("hook-lost", "hook-twice")
        await peer.control("fulfilments", {"order": order["order"]})
        await _order(peer, 1)
        topics = [headers["x-shopify-topic"] for headers, _ in heard]
        assert topics == ["orders/create", "orders/create", "orders/create"], "one was lost, one came twice"
        assert heard[1] == heard[2]


async def test_a_hub_that_is_not_there_does_not_stop_the_store() -> None:
    async with served(ShopifySandbox(clock.now)) as peer:
        await peer.control("hub", {"url": "http://127.0.0.1:9/", "secret": "hush"})
        assert "error" in str((await _order(peer, 2))["webhooks"])


def test_every_vendors_system_that_is_told_something_has_a_sandbox() -> None:
    told = {name for name, one in found().items() if one.publish or one.post}
    assert told - OF_NO_VENDOR == sandboxes().keys()


async def test_the_command_serves_remembers_and_has_the_faults_it_is_told(tmp_path: Path) -> None:
    keep = tmp_path / "store.json"
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "shopify", "--fault", "429=1", "--state", str(keep), stderr=asyncio.subprocess.PIPE, env=ENVIRON
    )  # fmt: skip
    assert process.stderr is not None
    url = (await process.stderr.readline()).decode().partition("listening on ")[2].strip()
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/admin/api/2026-10/graphql.json") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        stock = [{"sku": "TSH", "location": "Amsterdam", "available": 10}]
        async with session.post(f"{url}/sandbox/stock", json=stock) as answer:
            assert answer.status == 200
    process.terminate()
    await asyncio.wait_for(process.wait(), 30)
    assert b'"available":10' in keep.read_bytes()


@pytest.mark.parametrize(
    ("options", "words", "code"),
    [
        (["nix"], "There are: erp_rest, http_json, shopify", 4),
        (["shopify", "--fault", "429=x"], "write KIND=CHANCE", 2),
        (["shopify", "--fault", "418=0.1"], "There is no fault '418'", 2),
        (["shopify", "--state", "/nowhere/at/all.json"], "There is no folder", 2),
    ],
)
def test_the_command_says_what_is_wrong(options: list[str], words: str, code: int) -> None:
    done = CliRunner().invoke(app, ["sandbox", *options])
    assert words in " ".join(done.stderr.split())
    assert done.exit_code == code


async def test_a_webhook_that_nobody_took_is_sent_again_when_asked() -> None:
    async with served(ShopifySandbox(clock.now)) as peer, served(ShopifySandbox(clock.now)) as hub:
        await peer.control("stock", [{"sku": "TEE", "location": "A", "available": 5}])
        await peer.control("hub", {"url": f"{hub.url}/nobody-here", "secret": "s"})
        lost = await peer.control("orders", {"location": "A", "lines": [{"sku": "TEE", "quantity": 1}]})
        assert lost["webhooks"][0]["status"] == 404
        again = await peer.control("redeliver")
        assert (again["undelivered"], again["webhooks"][0]["status"]) == (1, 404)
        bodies = [entry["body"] for entry in await hub.log()]
        assert len(bodies) == 2
        assert bodies[0] == bodies[1], "as it was"
