"""One run: a house is opened, a day is lived in it while things go wrong, all is healed, and the end is judged."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from evenstock.estate.box.referee import Finding
from evenstock.estate.hub import Hub
from evenstock.estate.recorded import Recorded
from evenstock.estate.stack.day import Day
from evenstock.estate.stack.disk import SmallDisk
from evenstock.estate.stack.end import Judge
from evenstock.estate.stack.faults import Faults, Kind, Trouble, drawn
from evenstock.estate.stack.house import AGENTS_MAX, BOOKS, FRONT, SERVERS, SHOP, House, opened, together
from evenstock.estate.stack.script import Script
from evenstock.estate.stack.told import Timeline

SHOWS: Final = "Web"  # the shop's own name of the place where it shows a channel's numbers
RECORDER: Final = "marketplace"
RECORDER_FILE: Final = "told.jsonl"
BOOKS_EVERY_S: Final = 1
FAULTS_UNTIL: Final = 0.9  # of the day


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a day is to be lived."""

    speed: float
    rounds: int
    kinds: tuple[Kind, ...]
    servers: int = SERVERS
    agents: int = AGENTS_MAX


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run."""

    seed: int
    seconds: float
    facts: int
    answers: dict[str, int]
    orders: dict[str, int]
    faults: dict[str, int]
    answers_lost: int
    checked: dict[str, int]
    findings: list[Finding]
    story: list[str]  # what led to the first finding, line by line


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run takes place, and who listens. `recorded` says where, below a hub's data, the marketplace's own file is."""

    folder: Path
    environ: Mapping[str, str]
    recorded: Callable[[Path], Path]
    now: Callable[[], datetime]
    say: Callable[[str], None]
    timeline: Timeline
    disk: SmallDisk | None = None
    database_url: str | None = None  # of the hub's database, which then runs already


async def ran(script: Script, plan: Plan, where: Where) -> Ran:
    """Live a day. Raises NotStarted."""
    where.say("starting a database, servers of the hub, store agents, a shop and an ERP")
    agents = min(plan.agents, len(script.places))
    async with AsyncExitStack() as stack:
        house = await stack.enter_async_context(
            opened(
                where.folder,
                where.environ,
                agents,
                where.disk,
                servers=plan.servers,
                database_url=where.database_url,
            )
        )
        hub = await stack.enter_async_context(Hub.at(house.lines[FRONT].url, house.key))
        doors = {
            place: await stack.enter_async_context(Hub.at(house.lines[f"tills-{nth}"].url, house.key))
            for nth, place in enumerate(script.places[-agents:] if agents else (), 1)
        }
        return await _Run(script, plan, where, house, hub, doors).live()


class _Run:
    """A day in a house."""

    def __init__(
        self, script: Script, plan: Plan, where: Where, house: House, hub: Hub, doors: dict[str, Hub]
    ) -> None:
        self._script = script
        self._plan = plan
        self._where = where
        self._house = house
        self._hub = hub
        self._recorded = Recorded(where.recorded(house.data))
        self._day = Day(script, hub, doors, where.timeline, speed=plan.speed, now=where.now)
        self._faults = Faults(house, where.timeline)
        self._judge = Judge(house, hub, self._day, where.timeline)

    async def live(self) -> Ran:
        """Tell the masters, let the day begin, let things go wrong, heal, settle, judge."""
        script, day, where = self._script, self._day, self._where
        channels = await self._tell_masters()
        troubles = drawn(script.seed, day.seconds * FAULTS_UNTIL, self._plan.rounds, self._plan.kinds)
        where.say(
            f"{script.facts:,} facts in {day.seconds:.0f} s, and {len(troubles)} things go wrong meanwhile"
        )
        await together(day.live(), *(self._meet(trouble) for trouble in troubles))
        where.say("all is healed; waiting until it comes to rest")
        await self._settle()
        where.say("asking whether everything agrees")
        await self._judge.judge(self._shown, channels)
        return Ran(
            seed=script.seed,
            seconds=where.timeline.now_s(),
            facts=script.facts,
            answers=dict(day.answers),
            orders=dict(day.orders),
            faults=dict(Counter(trouble.kind for trouble in troubles)),
            answers_lost=sum(line.lost for line in self._house.lines.values()),
            checked=dict(self._judge.checked),
            findings=self._judge.findings,
            story=where.timeline.story(*self._judge.first_about) if self._judge.findings else [],
        )

    async def _meet(self, trouble: Trouble) -> None:
        await asyncio.sleep(trouble.begins_s)
        await self._faults.go_wrong(trouble)

    # Before

    async def _tell_masters(self) -> list[dict[str, Any]]:
        """Who there is, and what each system is to be told; the channels, as they were told."""
        script, hub = self._script, self._hub
        zone = script.scenario.zone
        await hub.add_locations([{"id": place, "name": place, "timezone": zone} for place in script.places])
        await hub.add_items([{"sku": sku} for sku in script.skus if sku not in script.late_skus])
        channels = [
            {
                "id": channel.id,
                "name": channel.id,
                "locations": script.places,
                "connection": RECORDER if number else SHOP,
            }
            for number, channel in enumerate(script.channels)
        ]
        await hub.add_channels(await self._connections(channels), channels)
        return channels

    async def _connections(self, channels: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The shop shows the first channel, a file the others, and the ERP keeps books; one item is unknown to it at first."""
        house, skus = self._house, self._script.skus
        stocked = await house.control(
            SHOP, "stock", [{"sku": sku, "location": SHOWS, "available": 0} for sku in skus]
        )
        place = next(iter(stocked["locations"])).rpartition("/")[2]
        known = [sku for sku in skus if sku != self._unknown_there]
        await self._stock_books(known)
        shop = {
            "address": house.lines[SHOP].url,
            "secret": "env:SHOP_SECRET",
            "token": "env:SHOP_TOKEN",
            "shows": {channels[0]["id"]: place} if channels else {},
        }
        return [
            {"id": SHOP, "connector": "shopify", "settings": shop},
            {"id": RECORDER, "connector": "recorder", "settings": {"path": RECORDER_FILE}},
            {
                "id": BOOKS,
                "connector": "erp_rest",
                "settings": {"url": house.lines[BOOKS].url, "token": "env:ERP_TOKEN"},
                "books": {"per": "store", "every_s": BOOKS_EVERY_S},
            },
        ]

    @property
    def _unknown_there(self) -> str:
        """An item that the ERP does not know before somebody adds it."""
        return self._script.skus[-1]

    async def _stock_books(self, skus: list[str]) -> None:
        place = self._script.places[0]
        rows = [{"item": sku, "location": place, "quantity": 0} for sku in skus]
        await self._house.control(BOOKS, "stock", rows)

    # After

    async def _settle(self) -> None:
        """Everybody is at home, and what waits arrives."""
        judge, hub = self._judge, self._hub
        await judge.comes_to_rest("tickets wait in store agents", self._in_agents)
        await self._day.release()
        await judge.comes_to_rest("postings wait for the ERP", self._owed)
        await self._stock_books([self._unknown_there])
        await hub.retry_postings(BOOKS)
        await judge.comes_to_rest("postings wait for the ERP", self._owed)

    async def _in_agents(self) -> int:
        waiting = 0
        for agent in self._house.agents:
            async with aiohttp.request("GET", f"{self._house.addresses[agent.name]}/v1/agent") as answer:
                waiting += (await answer.json())["waiting"]
        return waiting

    async def _owed(self) -> int:
        return len(await self._hub.postings("open"))

    async def _shown(self) -> dict[tuple[str, str], int]:
        """What customers see at each channel."""
        found = await self._recorded.shown()
        state = await self._house.control(SHOP, "state", None, "GET")
        for channel in self._script.channels[:1]:
            for levels in state["levels"].values():
                found |= {
                    (channel.id, state["items"][item]): level["available"] for item, level in levels.items()
                }
        return found
