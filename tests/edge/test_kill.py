"""kill -9 of the agent while tills report and while it forwards, the hub away in between: what was acknowledged is booked, once."""

import asyncio
import json
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conftest import owner
from doors.door import Door, Process, evenstock, knocking, line, make_key, sale, until
from doors.killing import AWAY, free_port
from doors.served import served
from edge.road import Road, road
from evenstock.postgres.database import Database

TILLS = 6
ROUNDS, ROUNDS_DEEP = 5, 25
ACKNOWLEDGED_A_ROUND = 60  # requests, before the next kill


class Witness:
    """What tills were promised, and what they only tried."""

    def __init__(self) -> None:
        self.tried: dict[str, dict[str, Any]] = {}
        self.acknowledged: set[str] = set()
        self.requests = 0
        self.stop = False
        self.up = asyncio.Event()  # the agent, as far as is known
        self._more = asyncio.Condition()

    async def acknowledge(self, keys: list[str]) -> None:
        self.acknowledged.update(keys)
        self.requests += 1
        async with self._more:
            self._more.notify_all()

    async def more(self, number: int) -> None:
        """Until so many more requests are acknowledged."""
        enough = self.requests + number
        async with asyncio.timeout(60), self._more:
            await self._more.wait_for(lambda: self.requests >= enough)


async def till(register: int, door: Door, witness: Witness) -> None:
    """Reports tickets in order, one or some at a time, each again until it is acknowledged."""
    chance = random.Random(register)  # noqa: S311 - the same every time
    number = 0
    while not witness.stop:
        events = []
        for _ in range(chance.choice((1, 1, 1, 7))):
            number += 1
            event = sale(f"{register}-{number}", "A", chance.randint(1, 9))
            event["data"]["register"] = str(register)
            event["data"]["lines"].append(line("B", 1, "2"))
            witness.tried[event["id"]] = event
            events.append(event)
        while True:  # a ticket that was begun is told, so that the last ones are known
            await witness.up.wait()
            try:
                answer = await door.report(*events)
            except AWAY:
                continue
            assert set(answer.outcomes) <= {"kept", "duplicate"}
            await witness.acknowledge([event["id"] for event in events])
            break


async def test_what_was_acknowledged_in_a_shop_is_booked_once_and_in_order_through_kills_of_everything(
    database: Database, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    rounds = ROUNDS_DEEP if pytestconfig.getoption("--deep") else ROUNDS
    key_file = tmp_path / "key"
    key_file.write_text(await make_key(database, "pos-nl", "events:write", device=True))
    admin = await make_key(database, "admin", "*")
    port = free_port()
    witness = Witness()
    async with road(None) as way, knocking(f"http://127.0.0.1:{port}", None) as door:
        options = (
            "--data",
            str(tmp_path / "agent"),
            "--hub",
            way.url,
            "--key-file",
            str(key_file),
            "--port",
            str(port),
        )
        start = {"command": ("edge", "run", "--log-level", "error")}
        agent = await Process.start(*options, **start)
        witness.up.set()
        with served(database) as (hub,):
            async with knocking(hub.url, admin) as there:
                await there.know("A", "B")
            tills = [asyncio.create_task(till(number, door, witness)) for number in range(1, TILLS + 1)]
            for kill in range(rounds):
                way.lead(hub.url if kill % 2 else None)
                way.lose_answers = kill % 3
                await witness.more(ACKNOWLEDGED_A_ROUND)
                witness.up.clear()
                assert await agent.end(signal.SIGKILL) == -signal.SIGKILL
                agent = await Process.start(*options, **start)
                witness.up.set()
            way.lead(hub.url)
            await forwarding(way, door)
            hub.kill()
        await witness.more(ACKNOWLEDGED_A_ROUND)
        with served(database) as (hub,):
            way.lead(hub.url)
            witness.stop = True
            await asyncio.gather(*tills)
            await drained(door)
        assert await agent.end(signal.SIGTERM) == 0
    code, out, _ = await evenstock("edge", "status", "--data", str(tmp_path / "agent"), "--json")
    stands = json.loads(out)
    assert (code, stands["waiting"], stands["rejected"]) == (0, 0, [])
    assert sum(stands["forwarded"].values()) == len(witness.tried)
    await agree(witness, database)


async def forwarding(way: Road, door: Door) -> None:
    """Until the agent has told the hub something."""

    async def so() -> bool:
        assert way.hub is not None
        stands: dict[str, Any] = (await door.get("/v1/agent")).body
        return int(sum(stands["forwarded"].values())) > 0

    await until(so)


async def drained(door: Door) -> None:
    async def so() -> bool:
        stands: dict[str, Any] = (await door.get("/v1/agent")).body
        return int(stands["waiting"]) == 0

    await until(so)


async def agree(witness: Witness, database: Database) -> None:
    """The ledger has each event once, all its lines, in the order of each register; no number is missing."""
    assert witness.acknowledged == witness.tried.keys()
    async with owner(database) as db:
        rows = await db.fetch(
            "select f.key, m.line, m.quantity, m.ledger_seq from facts f join movements m using (fact_id)"
        )
        gaps = await db.fetch("select from exceptions where code <> 'stock.negative'")
        seen = [row["seen"] for row in await db.fetch("select seen from streams")]
    expected = {
        (key, entry["line"], entry["quantity"])
        for key, event in witness.tried.items()
        for entry in event["data"]["lines"]
    }
    booked = Counter((row["key"], row["line"], row["quantity"]) for row in rows)
    assert set(booked) == expected
    assert set(booked.values()) == {1}
    assert gaps == []
    assert all(len(ranges) == 2 and ranges[0] == 1 for ranges in seen)
    batches = {row["key"]: row["ledger_seq"] for row in rows}
    for register in range(1, TILLS + 1):
        own = [
            batches[f"{register}-{number}"]
            for number in range(1, sum(key.startswith(f"{register}-") for key in batches) + 1)
        ]
        assert own == sorted(own)
