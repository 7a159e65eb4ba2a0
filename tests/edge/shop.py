"""A shop with a store agent, run by the test's own loop on a real port, and what is asked of it."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from doors.door import Door, knocking, until
from evenstock import clock
from evenstock.address import bound, url_of
from evenstock.edge.agent import Plan, World, claimed, running
from evenstock.edge.keeper import Keeper
from evenstock.edge.store import Limits

NOWHERE = "http://127.0.0.1:1"


class Shop:
    """An agent and a till that speaks to it."""

    def __init__(self, door: Door, keeper: Keeper, plan: Plan) -> None:
        self.door = door
        self.keeper = keeper
        self.plan = plan

    async def stands(self) -> dict[str, Any]:
        """How the agent stands, by its own word."""
        found: dict[str, Any] = (await self.door.get("/v1/agent")).body
        return found

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """How it stands, once it stands so."""
        found: dict[str, Any] = {}

        async def so() -> bool:
            nonlocal found
            found = await self.stands()
            return condition(found)

        await until(so)
        return found

    async def forwarded(self) -> dict[str, Any]:
        """How it stands once nothing waits."""
        return await self.until(lambda found: found["waiting"] == 0)


def plan(data: Path, hub: str = NOWHERE, key: str | Path = "evk_none", **more: Any) -> Plan:
    made = Plan(
        data=data, hub=hub, key=key, name="back office", local_key=None, folder=None,
        limits=Limits(2**30, disk_free_bytes=0), keep=timedelta(days=30),
    )  # fmt: skip
    return msgspec.structs.replace(made, **more)


@asynccontextmanager
async def shop(planned: Plan, now: Callable[[], datetime] = clock.now) -> AsyncIterator[Shop]:
    """The agent at work; it hardly waits before it tries again."""
    with bound("127.0.0.1", 0) as listener, claimed(planned.data):
        world = World(now, lambda: 0.0, lambda: f"{random.getrandbits(32):08x}")
        async with (
            running(planned, world, listener) as keeper,
            knocking(url_of(listener), planned.local_key) as door,
        ):
            yield Shop(door, keeper, planned)
