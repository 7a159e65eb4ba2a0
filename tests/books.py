"""An ERP's books in the hands of a test: the ledger becomes postings and goes to the ERP's sandbox over real HTTP, step by step."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from connectors.sandboxed import Peer, served
from evenstock.connectors.erp_rest import connector
from evenstock.connectors.erp_rest.sandbox import ErpSandbox
from evenstock.core.postings import Books
from evenstock.pipeline.dispatch import LEASE_S, Dispatcher
from evenstock.pipeline.postings import post, prefix
from evenstock.pipeline.vault import Vault
from evenstock.pipeline.worlds import Worlds
from evenstock.postgres import channels, postings, troubles
from evenstock.postgres.database import Database, Pool
from hub import Hub, event, hub, line

TAG = "0123456789abcdef"
PER_TICKET: dict[str, Any] = {"per": "ticket"}


class Accountant:
    """Makes postings and sends them; its clock stands until it is moved."""

    def __init__(self, shop: Hub, pool: Pool, erp: Peer, data: Path) -> None:
        self.shop = shop
        self.pool = pool
        self.erp = erp
        self.worlds = Worlds(
            pool, Vault(None, {"ERP": "sandbox"}), data, lambda: shop.now, [erp.url.removeprefix("http://")]
        )
        self._senders: dict[str, Dispatcher] = {}

    @property
    def now(self) -> datetime:
        return self.shop.now

    async def keeps(self, books: dict[str, Any] | None = PER_TICKET, **more: Any) -> None:
        """The ERP keeps books like this."""
        settings = {"url": self.erp.url, "token": "env:ERP"}
        row = {"id": "erp", "connector": "erp_rest", "settings": settings, "books": _books(books)}
        await channels.upsert_connections(self.shop.db, [row | more], self.now, [])

    def sender(self, name: str = "one", **limits: float) -> Dispatcher:
        if name not in self._senders or limits:
            self._senders[name] = Dispatcher(
                self.pool, {"erp_rest": connector}, self.worlds, TAG, lambda: self.now, lambda: 1.0, **limits
            )
        return self._senders[name]

    async def make(self) -> int:
        return await post(self.shop.db, TAG, lambda: self.now)

    async def send(self, name: str = "one") -> int:
        """Send all that is due now; how many tries that were."""
        sender = self.sender(name)
        sent = 0
        for connection_id in await sender.due():
            while await sender.tell(connection_id):
                sent += 1
        return sent

    async def post(self) -> dict[str, Decimal]:
        """Make and send; what the ERP then has at its location A."""
        await self.make()
        await self.send()
        return dict(self.erp.sandbox.state.stock.get("A", {}))

    async def until_quiet(self) -> None:
        """Go on, with the clock, until nothing is owed."""
        for _ in range(200):
            await self.make()
            await self.send()
            if not await self.shop.db.fetchval("select count(*) from postings where due_at is not null"):
                return
            self.later()
        raise AssertionError("postings are owed for ever")

    async def again(self, code: str | None = None) -> tuple[int, int]:
        """A person has the refused ones sent again."""
        found = await postings.send_again(self.shop.db, "erp", code, prefix(TAG), self.now)
        number = await self.shop.db.fetchval("select connection_id from connections where id = 'erp'")
        await troubles.show(self.shop.db, number, "erp", self.now)
        return len(found.postings), found.lines

    async def statuses(self) -> list[tuple[str, str]]:
        """Kind and status of every posting, in their order."""
        rows = await self.shop.db.fetch("select kind, status from postings order by posting_id")
        return [tuple(row.values()) for row in rows]

    async def open(self) -> list[str]:
        """Codes of what is shown about postings and connections."""
        rows = await self.shop.db.fetch(
            "select code from exceptions where closed_at is null and (code like 'posting.%' or code like 'connection.%') order by 1"
        )
        return [row[0] for row in rows]

    def later(self, seconds: float = LEASE_S + 61) -> None:
        self.shop.now += timedelta(seconds=seconds)

    async def does(self, kind: str, id_: str, *units: tuple[str, int], at: str = "A", **more: Any) -> None:
        """A fact, with these lines, an hour ago."""
        lines = [line(sku, number, str(index)) for index, (sku, number) in enumerate(units, 1)]
        data = {"location": at, "lines": lines} | more
        (answer,) = await self.shop.answers(event(kind, id_, self.now - timedelta(hours=1), data))
        assert answer in {"applied", "return.without_sale"}, answer


def _books(given: dict[str, Any] | None) -> Any:
    return None if given is None else msgspec.convert(given, Books)


@asynccontextmanager
async def accountant(database: Database, data: Path, *skus: str) -> AsyncIterator[Accountant]:
    """Two stores, three items that the ERP knows (or these), its sandbox, and a hub that keeps books per ticket."""
    async with (
        hub(database, "pos") as shop,
        database.pool() as pool,
        served(ErpSandbox(lambda: shop.now), {"env:ERP": "sandbox"}) as erp,
    ):
        await shop.locations("A", "B")
        await shop.items(*(skus or ("TEE", "CUP", "JAR")))
        rows = [{"item": sku, "location": "A", "quantity": 0} for sku in skus or ("TEE", "CUP", "JAR")]
        await erp.control("stock", rows)
        found = Accountant(shop, pool, erp, data)
        await found.keeps()
        try:
            yield found
        finally:
            await found.worlds.close()
