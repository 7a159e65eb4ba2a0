"""A peak against a real hub: the load rises step by step until a promise is broken; then what broke first, and what held."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from evenstock import clock, wiring
from evenstock.bench.peak.offer import IN_TIME_S, Answered, Offer, Taken, location, sku
from evenstock.bench.peak.profile import Profile
from evenstock.bench.peak.steps import FIRST, Tried, broke, knee, next_load
from evenstock.core.levels import PUBLISH_LAG, TO_ZERO_LAG, Spread, Target
from evenstock.estate.hub import Hub
from evenstock.estate.stack.house import FRONT, SHOP, House, opened
from evenstock.postgres.database import Database
from evenstock.postgres.levels import publish_lag
from evenstock.postgres.verify import violations

WEB: Final = "web"
MARKET: Final = "market"
SHOWS: Final = "Market"
MASTERS_AT_ONCE: Final = 1_000
STOCKED: Final = 100_000  # units of each item at each store
HOT_PART: Final = 0.6  # of those who want the hot item, there is enough for so many
STEP_S: Final = (2.0, 10.0)  # that a step lasts, at least and at most
WARM_UP_S: Final = 2.0  # before the first, at the first load
STEPS: Final = 12  # for which the time is divided
TOLD_WITHIN_S: Final = 120.0  # of the last step
LOOK_EVERY_S: Final = 0.25
IN_TIME: Final = 0.99  # of what is offered is answered within IN_TIME_S
REFUSED_MAX: Final = 0.001  # of the requests
OTHERS: Final = 0.2  # of a processor, that other programs may use
BUSY: Final = 0.85  # of a processor: more cannot be had from one process

# reliability §6: 2 and 7, p99 in ms
WITHIN_MS: Final = {"sales": 250.0, "orders": 300.0, "questions": 250.0}
WORDS: Final = {
    "sales": "answers to stores",
    "orders": "answers to orders",
    "questions": "answers to questions",
}


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A promise, and what was found of it in a step."""

    name: str
    found: float
    bound: float
    unit: str
    at_least: bool = False  # the bound is a floor

    @property
    def strain(self) -> float:
        """How far it is used; above 1 it is broken."""
        if self.at_least:
            return self.bound / self.found if self.found else float("inf")
        return self.found / self.bound if self.bound else (2.0 if self.found else 0.0)

    @property
    def words(self) -> str:
        side = "at least" if self.at_least else "at most"
        return f"{self.name}: {_of(self.found, self.unit)}, {side} {_of(self.bound, self.unit)} is promised"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One load, and what came of it."""

    offered_per_s: float
    in_time_per_s: float
    seconds: float
    kinds: dict[str, Answered]
    statuses: dict[str, int]
    granted: int  # of the hot item
    hot_stock: int
    limits: list[Limit]
    hub_processors: float  # used by the hub's process, on average
    database_processors: float
    load_processors: float
    machine_processors: float  # used by everything that runs on this machine
    first_failure: str = ""

    @property
    def broken(self) -> list[Limit]:
        """Promises that did not hold, the worst first."""
        return sorted((each for each in self.limits if each.strain > 1), key=lambda each: -each.strain)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub bears on this machine."""

    profile: str
    ok: bool
    knee_per_s: float
    at_least_per_s: float
    is_certain: bool  # whether a load was found that breaks something
    breaks_first: list[str]
    bottleneck: str
    drained_s: float | None  # until channels had every number, after the last step
    overgranted: int
    violations: list[str]
    steps: list[Step]


def _of(found: float, unit: str) -> str:
    return f"{found:.1%}" if unit == "%" else f"{found:,.0f} {unit}"


class Peak:
    """A measurement."""

    def __init__(
        self,
        profile: Profile,
        folder: Path,
        environ: Mapping[str, str],
        db: Database,
        say: Callable[[str], None],
    ) -> None:
        self._profile = profile
        self._folder = folder
        self._environ = environ
        self._database = db
        self._say = say
        self._steps: list[Step] = []
        self._number = 0

    async def measure(self, seconds: float, at_least: float) -> Verdict:
        """Offer loads for so many seconds in all, and judge. Raises NotStarted."""
        self._say("starting a database, a hub, and a marketplace")
        async with opened(self._folder, self._environ, 0, None, servers=1) as house:
            async with Hub.at(house.lines[FRONT].url, house.key) as hub:
                await self._prepare(house, hub)
                await self._rise(house, hub, seconds)
                drained = await self._drain(hub)
            return judged(self._profile.name, self._steps, at_least, drained, await self._broken())

    # Before

    async def _prepare(self, house: House, hub: Hub) -> None:
        profile = self._profile
        self._say(f"{profile.items:,} items in {profile.stores:,} stores, each shelf filled")
        places = [location(number) for number in range(profile.stores)]
        skus = [sku(number) for number in range(profile.items)]
        await hub.add_locations([{"id": place, "timezone": "Europe/Amsterdam"} for place in places])
        for start in range(0, len(skus), MASTERS_AT_ONCE):
            await hub.add_items([{"sku": each} for each in skus[start : start + MASTERS_AT_ONCE]])
        for place in places:
            for start in range(0, len(skus), MASTERS_AT_ONCE):
                await self._receive(hub, place, skus[start : start + MASTERS_AT_ONCE], STOCKED)
        connections = [
            {"id": "web-system", "connector": "recorder", "settings": {"path": "told.jsonl"}},
            {"id": SHOP, "connector": "shopify", "settings": await self._market(house, skus)},
        ]
        channels = [
            {"id": WEB, "locations": places, "connection": "web-system"},
            {"id": MARKET, "locations": places, "connection": SHOP},
        ]
        await hub.add_channels(connections, channels)
        await self._told(hub, [WEB])

    async def _market(self, house: House, skus: list[str]) -> dict[str, Any]:
        """A marketplace that knows the items, and allows and refuses what the profile says."""
        rows = [{"sku": each, "location": SHOWS, "available": 0} for each in skus]
        stocked = await house.control(SHOP, "stock", rows)
        per_s = self._profile.market_points_per_s
        await house.control(
            SHOP, "points", {"available": 10 * per_s, "maximum": max(1_000.0, 10 * per_s), "per_s": per_s}
        )
        refuses = self._profile.market_refuses
        await house.control(SHOP, "faults", {"rates": {"429": refuses} if refuses else {}}, "PUT")
        return {
            "address": house.lines[SHOP].url,
            "secret": "env:SHOP_SECRET",
            "token": "env:SHOP_TOKEN",
            "shows": {MARKET: next(iter(stocked["locations"])).rpartition("/")[2]},
        }

    async def _receive(self, hub: Hub, place: str, skus: list[str], units: int) -> None:
        lines = [
            {"line": str(number), "item": {"sku": each}, "quantity": units}
            for number, each in enumerate(skus, 1)
        ]
        event = {
            "specversion": "1.0", "id": f"G-{place}-{skus[0]}", "source": "wms", "type": "GoodsReceived.v1",
            "time": (clock.now() - timedelta(hours=1)).isoformat(), "data": {"location": place, "lines": lines},
        }  # fmt: skip
        await hub.report([event])

    # Steps

    async def _rise(self, house: House, hub: Hub, seconds: float) -> None:
        least, most = STEP_S
        step_s = max(least, min(most, seconds / STEPS))
        tried: list[Tried] = []
        spent = 0.0
        await self._step(house, hub, FIRST, WARM_UP_S)
        while spent + step_s <= seconds + 1e-6 and (load := next_load(tried)) is not None:
            step = await self._step(house, hub, load, step_s)
            spent += step_s
            self._steps.append(step)
            tried.append(Tried(load, not step.broken))
            if step.broken:
                await self._told(hub, [WEB])  # what is left of it is not the next one's
            broken = f"✕ {step.broken[0].words}" if step.broken else "✓"
            self._say(f"  {load:8,.0f}/s offered, {step.in_time_per_s:8,.0f}/s answered in time  {broken}")

    async def _step(self, house: House, hub: Hub, load: float, step_s: float) -> Step:
        profile, self._number = self._profile, self._number + 1
        hot, stock = f"HOT-{self._number:02d}", 0
        await hub.add_items([{"sku": hot}])
        if profile.hot:
            stock = max(1, int(load * step_s * profile.reserve * profile.hot * HOT_PART))
            await self._receive(hub, location(0), [hot], stock)
        offer = Offer(
            profile=profile, port=int(house.addresses[house.servers[0].name].rpartition(":")[2]), key=house.key,
            run=f"{self._number:02d}", hot=hot, per_s=load, seconds=step_s,
        )  # fmt: skip
        since, began = clock.now(), time.monotonic()
        before = _processor_s([house.servers[0].pid]), _processor_s(house.database()), _machine_s()
        taken = await _offered(offer, self._environ)
        took = time.monotonic() - began
        after = _processor_s([house.servers[0].pid]), _processor_s(house.database()), _machine_s()
        lags = await self._lags(since)
        return Step(
            offered_per_s=load,
            in_time_per_s=taken.in_time / step_s,
            seconds=step_s,
            kinds=taken.kinds,
            statuses=taken.statuses,
            granted=taken.granted,
            hot_stock=stock,
            limits=limits(taken, lags),
            hub_processors=(after[0] - before[0]) / took,
            database_processors=max(0.0, after[1] - before[1]) / took,
            load_processors=taken.processor_s / took,
            machine_processors=(after[2] - before[2]) / took,
            first_failure=taken.first_failure,
        )

    async def _lags(self, since: Any) -> tuple[Spread, Spread]:
        """How late the web shop, which takes whatever it is told, was told: of any number, and of zeros."""
        async with wiring.session(self._database, "loadtest") as db:
            until = clock.now()
            return (
                await publish_lag(db, since, until, channel=WEB),
                await publish_lag(db, since, until, channel=WEB, up_to=0),
            )

    # After

    async def _told(self, hub: Hub, channels: list[str]) -> bool:
        """Wait until channels have every number; whether they had it in time."""
        give_up = time.monotonic() + TOLD_WITHIN_S
        while time.monotonic() < give_up:
            if not any([await hub.untold(channel) for channel in channels]):
                return True
            await asyncio.sleep(LOOK_EVERY_S)
        return False

    async def _drain(self, hub: Hub) -> float | None:
        self._say("waiting until the web shop has every number")
        began = time.monotonic()
        return time.monotonic() - began if await self._told(hub, [WEB]) else None

    async def _broken(self) -> list[str]:
        """Invariants that do not hold, in words."""
        self._say("checking every invariant of the ledger")
        async with wiring.session(self._database, "loadtest") as db:
            return [str(each) for each in await violations(db)]


def judged(
    profile: str, steps: Sequence[Step], at_least: float, drained: float | None, wrong: list[str]
) -> Verdict:
    """What follows from the steps, from what came after them, and from the invariants that do not hold."""
    tried = [Tried(step.offered_per_s, not step.broken) for step in steps]
    ceiling, found = broke(tried), knee(tried)
    first = next((step for step in reversed(steps) if step.offered_per_s == ceiling), None)
    overgranted = sum(max(0, step.granted - step.hot_stock) for step in steps)
    return Verdict(
        profile=profile,
        ok=found >= at_least and not overgranted and not wrong and drained is not None,
        knee_per_s=found,
        at_least_per_s=at_least,
        is_certain=first is not None,
        breaks_first=[] if first is None else [limit.words for limit in first.broken],
        bottleneck=bottleneck(first or steps[-1]),
        drained_s=drained,
        overgranted=overgranted,
        violations=wrong,
        steps=list(steps),
    )


def limits(taken: Taken, lags: tuple[Spread, Spread]) -> list[Limit]:
    """Everything that is promised, beside what was found."""
    requests = sum(each.requests for each in taken.kinds.values()) + taken.unanswered
    refused = sum(each.refused for each in taken.kinds.values()) + taken.unanswered
    limits = [
        Limit(name=f"{WORDS[kind]}, p99", found=each.p99_ms, bound=WITHIN_MS[kind], unit="ms")
        for kind, each in taken.kinds.items()
    ]
    limits.append(
        Limit(
            name=f"answered within {IN_TIME_S:g} s",
            found=taken.in_time / max(1, taken.offered),
            bound=IN_TIME,
            unit="%",
            at_least=True,
        )
    )
    limits.append(
        Limit(name="refused or unanswered", found=refused / max(1, requests), bound=REFUSED_MAX, unit="%")
    )
    for name, found, targets in (
        ("number to the web shop", lags[0], PUBLISH_LAG),
        ("zero to the web shop", lags[1], TO_ZERO_LAG),
    ):
        limits += [_lag(name, found, target) for target in targets if found.number]
    return limits


def _lag(name: str, found: Spread, target: Target) -> Limit:
    seconds = found.p95 if target.figure == "p95" else found.p99
    return Limit(
        name=f"{name}, {target.figure}", found=(seconds or 0.0) * 1000, bound=target.bound * 1000, unit="ms"
    )


def bottleneck(step: Step) -> str:
    """Who had no more to give, in words."""
    processors = len(os.sched_getaffinity(0))
    used = step.hub_processors + step.database_processors + step.load_processors
    if step.load_processors > BUSY:
        return "the load itself: its process was busy, so the hub may bear more"
    if used > BUSY * processors:
        return (
            f"this machine's {processors} processors: hub {step.hub_processors:.2f}, database {step.database_processors:.2f}, "
            f"load {step.load_processors:.2f} of one each"
        )
    others = step.machine_processors - used
    if step.machine_processors > BUSY * processors and others > OTHERS:
        return f"this machine, of which other programs used {others:.2f} of {processors} processors: measure again when it is quiet"
    if step.hub_processors > BUSY:
        return "the hub's process, which uses one processor: start another server on the same database"
    return "no processor: locks, the disk, or another program"


async def _offered(offer: Offer, environ: Mapping[str, str]) -> Taken:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "evenstock.bench.peak.offer",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=dict(environ),
    )  # fmt: skip
    told, _ = await process.communicate(msgspec.json.encode(offer))
    if process.returncode:
        raise RuntimeError(f"the process that offers the load ended with {process.returncode}")
    return msgspec.json.decode(told, type=Taken)


def _processor_s(pids: list[int]) -> float:
    """What processes, and those of theirs that have ended, have used of the processor."""
    ticks = 0
    for pid in pids:
        try:
            fields = (
                Path(f"/proc/{pid}/stat")
                .read_text(encoding="utf-8", errors="replace")
                .rsplit(")", 1)[1]
                .split()
            )
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _machine_s() -> float:
    """What everything on this machine has used of its processors."""
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, softirq = map(int, fields[:7])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
