"""A channel's system in the hands of a test: answers as it is scripted, remembers all that it was told, and when."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from evenstock.connectors.contract import Basis, Connector, Done, Exposure, Outcome, World
from evenstock.pipeline.bases import bases_of
from evenstock.pipeline.dispatch import LEASE_S, Dispatcher
from evenstock.pipeline.expose import expose
from evenstock.pipeline.vault import Vault
from evenstock.pipeline.worlds import Worlds
from evenstock.postgres import channels
from evenstock.postgres.database import Connection, Database, Pool
from evenstock.postgres.stock import LocationNames
from hub import NOW

Cell = tuple[str, str]  # channel, sku


class Settings(msgspec.Struct, frozen=True):
    token: str = ""


class System:
    """The system behind a connection. It takes what it is told, unless it is told to answer otherwise next."""

    def __init__(self, basis: Basis | None = None, at_once: int = 100) -> None:
        self.shows: dict[Cell, int] = {}
        self.heard: list[tuple[str, int, int]] = []  # sku, number, version, as they arrived
        self.keys: list[str] = []
        self.next: list[
            Outcome | BaseException
        ] = []  # answers to the next numbers; an exception ends the call
        self.answering: Callable[..., Awaitable[list[Outcome]]] = self.publish
        self.deaf = False  # what it answers otherwise, it did not take either
        self.connector: Connector[Settings] = Connector(
            name="system",
            summary="A test's own.",
            settings=Settings,
            publish=self._called,
            basis=basis or Basis(decimals=6),
            exposures_max=at_once,
        )

    async def _called(self, settings: Settings, world: World, exposures: Sequence[Exposure]) -> list[Outcome]:
        return await self.answering(settings, world, exposures)

    async def publish(self, settings: Settings, world: World, exposures: Sequence[Exposure]) -> list[Outcome]:  # noqa: ARG002
        answers: list[Outcome] = []
        for exposure in exposures:
            answer = self.next.pop(0) if self.next else Done(exposure.key)
            if isinstance(answer, Done) or not self.deaf:
                self.heard.append((exposure.sku, int(exposure.quantity), exposure.version))
                self.keys.append(exposure.key)
                self.shows[exposure.channel, exposure.sku] = int(exposure.quantity)
            if isinstance(answer, BaseException):
                raise answer
            answers.append(answer)
        return answers


class Teller:
    """Computes what channels should see and tells their systems, step by step; its clock stands until it is moved."""

    def __init__(self, db: Connection, pool: Pool, system: System, data: Path, now: datetime = NOW) -> None:
        self.db = db
        self.pool = pool
        self.system = system
        self.data = data
        self.now = now
        self.names = LocationNames()
        self._dispatchers: dict[str, Dispatcher] = {}
        self.bases = bases_of({"system": system.connector})

    def dispatcher(self, holder: str = "one", **limits: float) -> Dispatcher:
        """A holder of lanes; the same one under the same name."""
        if holder not in self._dispatchers or limits:
            self._dispatchers[holder] = Dispatcher(
                self.pool,
                {"system": self.system.connector},
                Worlds(self.pool, Vault(None, {}), self.data, lambda: self.now),
                "tag",
                lambda: self.now,
                lambda: 1.0,
                **limits,
            )
        return self._dispatchers[holder]

    async def connection(self, id_: str = "shop", connector: str = "system", **settings: str) -> int:
        """Make or change a connection; its number."""
        row = {"id": id_, "connector": connector, "settings": settings}
        await channels.upsert_connections(self.db, [row], self.now, self.bases)
        return int(await self.db.fetchval("select connection_id from connections where id = $1", id_))

    async def channel(self, id_: str, *locations: str, **more: Any) -> None:
        row = {
            "id": id_, "name": None, "locations": list(locations), "safety_stock": 0, "connection": "shop", "hold_s": 900,
            "unpaid_s": 86_400, "publish_on": "hub_commit",
        }  # fmt: skip
        await channels.upsert_channels(self.db, [row | more], self.now, self.bases)

    async def expose(self) -> int:
        """Look until nothing is left to look at; how many numbers changed."""
        changed = 0
        while await self.db.fetchval(BEHIND):
            changed += await expose(self.db, self.names, lambda: self.now)
        return changed

    async def tell(self, holder: str = "one", **limits: float) -> int:
        """Tell every connection what it is owed now; how many numbers were sent."""
        dispatcher = self.dispatcher(holder, **limits)
        told = 0
        for connection_id in await dispatcher.due():
            while number := await dispatcher.tell(connection_id):
                told += number
        return told

    async def say(self) -> dict[Cell, int]:
        """Look and tell; what the system shows then."""
        await self.expose()
        await self.tell()
        return self.system.shows

    async def exposure(self, sku: str, channel: str = "web") -> dict[str, Any]:
        row = await self.db.fetchrow(
            "select e.* from exposures e join items using (item_id) join channels c using (channel_id) where sku = $1 and c.id = $2",
            sku,
            channel,
        )
        assert row is not None
        return dict(row.items())

    async def outcomes(self, sku: str) -> list[tuple[int, int, str]]:
        """Every try for an item: version, try, what became of it."""
        rows = await self.db.fetch(
            "select version, try, outcome from attempts join items using (item_id) where sku = $1 order by 1, 2",
            sku,
        )
        return [tuple(row.values()) for row in rows]

    def later(self, seconds: float = LEASE_S + 1) -> None:
        self.now += timedelta(seconds=seconds)


BEHIND = """
select exists (select from channel_terms) and (h.ledger_seq > x.ledger_seq or exists (select from exposure_refreshes))
from exposing x, ledger_head h
"""


@asynccontextmanager
async def teller(database: Database, data: Path, system: System | None = None) -> AsyncIterator[Teller]:
    db = await database.connect(application="tests")
    try:
        async with database.pool() as pool:
            yield Teller(db, pool, system or System(), data)
    finally:
        await db.close()
