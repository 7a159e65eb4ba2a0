"""A picking floor in the hands of a test: claims become commands and go to a store's sandbox over real HTTP, step by step."""

import re
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from connectors.sandboxed import Peer, served
from evenstock import clock
from evenstock.api.channels import ConnectionInput
from evenstock.connectors.http_json import connector
from evenstock.connectors.http_json.sandbox import JsonSandbox
from evenstock.pipeline.dispatch import LEASE_S, Dispatcher
from evenstock.pipeline.vault import Vault
from evenstock.pipeline.worlds import Worlds
from evenstock.postgres import channels, commands, ledger, troubles
from evenstock.postgres.database import Database, Pool
from hub import Hub, event, hub, line
from seller import Seller

TAG = "0123456789abcdef"
README = Path(__file__).parents[1] / "src/evenstock/connectors/http_json/README.md"
SECRETS = {"STORE_AUTHORIZATION": "Bearer sandbox"}


def of_the_readme(url: str) -> dict[str, Any]:
    """The command that the connector's page shows, to a sandbox."""
    shown = re.findall(r"```toml\n(.+?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = (block for block in shown if "[connection.command]" in block)
    command: dict[str, Any] = tomllib.loads(found)["connection"]["command"]
    assert command["url"] == "https://store.example/tasks/{location}"
    return command | {"url": command["url"].replace("https://store.example", url)}


class Floor:
    """Sells, allocates and sends; its clock stands until it is moved."""

    def __init__(self, shop: Hub, sells: Seller, pool: Pool, store: Peer, data: Path) -> None:
        self.shop = shop
        self.sells = sells
        self.pool = pool
        self.store = store
        self.worlds = Worlds(
            pool, Vault(None, SECRETS), data, lambda: shop.now, [store.url.removeprefix("http://")]
        )
        self._senders: dict[str, Dispatcher] = {}

    async def works(self, *locations: str, id_: str = "wms", **more: Any) -> None:
        """The store's system works at these locations."""
        row = ConnectionInput(
            id=id_, connector="http_json", settings={"command": of_the_readme(self.store.url)}, works=list(locations), **more
        )  # fmt: skip
        await channels.upsert_connections(self.shop.db, [msgspec.structs.asdict(row)], self.shop.now, [])

    def sender(self, name: str = "one", **limits: float) -> Dispatcher:
        if name not in self._senders or limits:
            self._senders[name] = Dispatcher(
                self.pool, {"http_json": connector}, self.worlds, TAG, lambda: self.shop.now, lambda: 1.0, **limits
            )  # fmt: skip
        return self._senders[name]

    async def send(self, name: str = "one") -> int:
        """Send all that is due now; how many tries that were."""
        sender = self.sender(name)
        sent = 0
        for connection_id in await sender.due():
            while await sender.tell(connection_id):
                sent += 1
        return sent

    async def until_quiet(self) -> None:
        """Go on, with the clock, until nothing is owed."""
        for _ in range(100):
            await self.send()
            if not await self.shop.db.fetchval("select count(*) from commands where due_at is not null"):
                return
            self.later()
        raise AssertionError("commands are owed for ever")

    async def again(self) -> int:
        """A person has the refused ones sent again."""
        found = await commands.send_again(self.shop.db, "wms", None, self.shop.now)
        number = await self.shop.db.fetchval("select connection_id from connections where id = 'wms'")
        await troubles.show(self.shop.db, number, "wms", self.shop.now)
        return len(found)

    def done(self) -> list[str]:
        """What the store did, in its order: `pick O-1 TEE×2 at A`."""
        return [
            f"{work.do} {work.order} {' '.join(f'{item}×{units:g}' for item, units in work.lines.items())} at {work.store}"
            for work in self.store.sandbox.state.work
        ]

    async def owed(self) -> list[str]:
        """Every command and how it stands: `1 pick A done`."""
        rows = await self.shop.db.fetch(
            "select number || ' ' || kind || ' ' || l.id || ' ' || status from commands join locations l using (location_id) order by command_id"
        )
        return [row[0] for row in rows]

    async def open(self) -> list[str]:
        """Codes of what is shown about commands and connections."""
        rows = await self.shop.db.fetch(
            "select code from exceptions where closed_at is null and (code like 'command.%' or code like 'connection.%') order by 1"
        )
        return [row[0] for row in rows]

    def later(self, seconds: float = LEASE_S + 61) -> None:
        self.shop.now += timedelta(seconds=seconds)
        self.sells.now = self.shop.now

    async def ships(self, order_ref: str, *units: tuple[str, int], at: str = "A", id_: str = "") -> None:
        lines = [line(sku, number, str(index)) for index, (sku, number) in enumerate(units, 1)]
        data = {"location": at, "order_ref": order_ref, "lines": lines}
        when = self.shop.now - timedelta(hours=1)
        (answer,) = await self.shop.answers(event("ship_order", id_ or f"ship-{order_ref}", when, data))
        assert answer == "applied", answer
        self.sells.now = self.shop.now


@asynccontextmanager
async def floor(database: Database, data: Path, *skus: str) -> AsyncIterator[Floor]:
    """Two stores with twenty of each item, a system that works at store A, and somebody who sells."""
    async with (
        hub(database, "pos") as shop,
        database.pool() as pool,
        served(JsonSandbox(clock.now), {f"env:{name}": text for name, text in SECRETS.items()}) as store,
    ):
        db = await database.connect(application="tests")
        await ledger.prepare_storage(db, TAG, shop.now)
        await shop.locations("A", "B")
        skus = skus or ("TEE", "CUP")
        await shop.items(*skus)
        lines = [line(sku, 20, str(index)) for index, sku in enumerate(skus, 1)]
        for at in "AB":
            when = shop.now - timedelta(hours=2)
            await shop.apply(event("receipt", f"R-{at}", when, {"location": at, "lines": lines}))
            await store.control("items", [{"store": at, "code": sku} for sku in skus])
        found = Floor(shop, Seller(db, shop.now), pool, store, data)
        await found.works("A")
        try:
            yield found
        finally:
            await found.worlds.close()
            await db.close()
