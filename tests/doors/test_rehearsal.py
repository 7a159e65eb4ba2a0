"""The page about rehearsing, as it stands: hub and shop agree, also on a bad day."""

import json
import re
from pathlib import Path
from typing import Any

from connectors.sandboxed import Peer, served
from doors.door import Door, opened, until
from evenstock import clock
from evenstock.connectors.shopify.sandbox import ShopifySandbox
from evenstock.pipeline.vault import Vault
from evenstock.postgres.database import Database

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "rehearse-against-a-sandbox.md"
CALL = re.compile(
    r"^\$ (?:hub localhost:8080|curl (?:-X PUT )?localhost:4010)(?P<path>/\S+)(?:\s+-d '(?P<body>[^']*)')?$",
    re.MULTILINE,
)
ENVIRON = {"SHOPIFY_TOKEN": "sandbox", "SHOPIFY_SECRET": "hush"}


class Rehearsal:
    """A hub and a shop; calls of the page go to the one or the other, with their real addresses."""

    def __init__(self, door: Door, shop: Peer) -> None:
        self.door = door
        self.shop = shop
        text = PAGE.read_text(encoding="utf-8")
        self.bodies: dict[str, Any] = {}
        self.order: list[str] = []
        for call in CALL.finditer(text):
            words = (
                (call["body"] or "")
                .replace("http://127.0.0.1:4010", shop.url)
                .replace("http://localhost:8080", door.url)
            )
            self.bodies.setdefault(call["path"], json.loads(words) if words else None)
            self.order.append(call["path"])

    async def call(self, path: str) -> Any:
        body = self.bodies[path]
        if path.startswith("/sandbox/"):
            return await self.shop.control(path.removeprefix("/sandbox/"), body)
        method = "GET" if body is None else "POST"
        answer = await self.door.call(method, path, None if body is None else json.dumps(body).encode())
        assert answer.status == 200, answer.raw
        return answer.body

    async def shows(self, number: int) -> None:
        async def shown() -> bool:
            state = self.shop.sandbox.state
            return bool(
                state.levels["gid://shopify/Location/1"]["gid://shopify/InventoryItem/1001"].available
                == number
            )

        await until(shown)


async def rehearse(play: Rehearsal) -> None:
    """The page from its first call to its last, with what it says between them."""
    for path in play.order[:7]:
        await play.call(path)
    await play.shows(10)
    ordered = await play.call("/sandbox/orders")
    assert ordered["order"] == 5001
    left = await play.call("/sandbox/fulfilments")
    assert [each["topic"] for each in left["webhooks"]] == ["fulfillments/create"]

    async def booked() -> bool:
        return bool((await play.call("/v1/availability/TSH-BLK-M"))["available_to_sell"] == 8)

    await until(booked)
    await play.shows(8)


async def test_the_page_does_what_it_says(database: Database, tmp_path: Path) -> None:
    async with served(ShopifySandbox(clock.now)) as shop:
        allowed = [shop.url.removeprefix("http://")]
        async with opened(
            database, data=tmp_path, vault=Vault(None, ENVIRON), outbound_allow=allowed
        ) as door:
            play = Rehearsal(door, shop)
            assert len(play.order) == 13
            await rehearse(play)
            await shop.faults(**play.bodies["/sandbox/faults"])


async def test_on_a_bad_day_too(database: Database, tmp_path: Path) -> None:
    rates = dict.fromkeys(("429-bare", "500", "500-after", "cut", "cut-after", "html", "edited"), 0.02)
    async with served(ShopifySandbox(clock.now), seed=7) as shop:
        allowed = [shop.url.removeprefix("http://")]
        async with opened(
            database, data=tmp_path, vault=Vault(None, ENVIRON), outbound_allow=allowed
        ) as door:
            await shop.faults("429", "cut-after", "html-after", rates=rates, retry_after_s=0)
            await rehearse(Rehearsal(door, shop))
            assert {entry["fault"] for entry in await shop.log()} >= {"429", "cut-after", "html-after"}


async def test_without_the_operators_word_nothing_leaves(database: Database, tmp_path: Path) -> None:
    async with (
        served(ShopifySandbox(clock.now)) as shop,
        opened(database, data=tmp_path, vault=Vault(None, ENVIRON)) as door,
    ):
        play = Rehearsal(door, shop)
        for path in play.order[:7]:
            await play.call(path)

        async def said() -> bool:
            found = (await door.call("GET", "/v1/exceptions")).body["data"]
            return any(
                each["code"] == "connection.paused" and "--outbound-allow" in each["detail"] for each in found
            )

        await until(said)
        assert await shop.did() == []
