"""kill -9 of the server and of the database while 32 clients post: what was acknowledged is there, once."""

import asyncio
import json
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from doors.door import Door, Process, evenstock, knocking, line, sale
from doors.killing import AWAY, free_port, kill_database, ready
from evenstock.postgres.database import Database
from evenstock.postgres.embedded import joined

CLIENTS = 32
ROUNDS, ROUNDS_DEEP = 5, 20
ACKNOWLEDGED_A_ROUND = 400  # events, before the next kill
SKUS = [f"SKU-{number}" for number in range(20)]
LOCATIONS = ["0107", "0042", "0117"]


class Witness:
    """What the clients were promised, and what they only tried."""

    def __init__(self) -> None:
        self.tried: dict[str, dict[str, Any]] = {}
        self.acknowledged: set[str] = set()
        self.repeated = 0
        self.up = asyncio.Event()
        self.stop = False
        self._more = asyncio.Condition()

    async def acknowledge(self, keys: list[str]) -> None:
        self.acknowledged.update(keys)
        async with self._more:
            self._more.notify_all()

    async def more(self, number: int) -> None:
        """Until so many more are acknowledged."""
        enough = len(self.acknowledged) + number
        async with asyncio.timeout(60), self._more:
            await self._more.wait_for(lambda: len(self.acknowledged) >= enough)


async def client(number: int, door: Door, witness: Witness) -> None:
    """Posts tickets, one or some at a time, again until they are acknowledged; gives some up, repeats some."""
    chance = random.Random(number)  # noqa: S311 - the same every time
    ticket = 0
    while not witness.stop:
        events = []
        for _ in range(chance.choice((1, 1, 1, 5, 20))):
            ticket += 1
            key = f"{number}-{ticket}"
            lines = [
                line(sku, chance.randint(1, 9), str(at)) for at, sku in enumerate(chance.sample(SKUS, 2))
            ]
            event = sale(key, "", location=chance.choice(LOCATIONS))
            event["data"]["lines"] = lines
            witness.tried[key] = event
            events.append(event)
        gives_up = chance.random() < 0.2
        while not witness.stop:
            await witness.up.wait()
            outcomes = await attempt(door, events)
            if outcomes is not None:
                assert set(outcomes) <= {"applied", "duplicate"}
                await witness.acknowledge([event["id"] for event in events])
                break
            if gives_up:
                break
        if outcomes is not None and chance.random() < 0.1:
            again = await attempt(door, events)
            assert again in (None, ["duplicate"] * len(events))
            witness.repeated += again is not None


async def attempt(door: Door, events: list[dict[str, Any]]) -> list[str] | None:
    """The outcomes; None when it is not known what became of them."""
    try:
        answer = await door.report(*events)
    except AWAY:
        return None
    if answer.status == 503:
        return None
    return answer.outcomes


async def test_what_was_acknowledged_survives_kill_9_of_server_and_database_once(
    data: Path, pytestconfig: pytest.Config
) -> None:
    rounds = ROUNDS_DEEP if pytestconfig.getoption("--deep") else ROUNDS
    serve = ("--data", str(data), "--port", str(free_port()), "--log-level", "error")
    process = await Process.start(*serve)
    _, made, _ = await evenstock(
        "keys", "create", "--name", "till", "--scope", "*", "--json", "--data", str(data)
    )
    witness = Witness()
    async with knocking(process.url, json.loads(made)["key"]) as door:
        await door.know(*SKUS, locations=LOCATIONS)
        witness.up.set()
        clients = [asyncio.create_task(client(number, door, witness)) for number in range(CLIENTS)]
        for kill in range(rounds):
            await witness.more(ACKNOWLEDGED_A_ROUND)
            if kill % 2:
                kill_database(data)  # serve starts it again by itself
            else:
                witness.up.clear()
                assert await process.end(signal.SIGKILL) == -signal.SIGKILL
                process = await Process.start(*serve)
                await ready(door)
                witness.up.set()
        await witness.more(ACKNOWLEDGED_A_ROUND)
        witness.stop = True
        await asyncio.gather(*clients)
        await agree(witness, data, door)
    assert await process.end() == 0
    code, out, _ = await evenstock("verify", "--json", "--data", str(data))
    assert (code, json.loads(out)["ok"]) == (0, True)


async def agree(witness: Witness, data: Path, door: Door) -> None:
    """The ledger has each acknowledged event once, each other at most once, and the positions are their sum."""
    with joined(data, print) as url:
        db = await Database(url).connect()
        facts = Counter(row["key"] for row in await db.fetch("SELECT key FROM facts"))
        lines = await db.fetch(
            "SELECT f.key, m.line, m.quantity FROM movements m JOIN facts f USING (fact_id) WHERE m.why = 'sale'"
        )
        await db.close()
    assert witness.acknowledged <= facts.keys() <= witness.tried.keys()
    assert set(facts.values()) == {1}
    expected = {
        (key, entry["line"], entry["quantity"])
        for key in facts
        for entry in witness.tried[key]["data"]["lines"]
    }
    booked = [(row["key"], row["line"], row["quantity"]) for row in lines]
    assert len(booked) == len(set(booked))
    assert set(booked) == expected
    sums: Counter[tuple[str, str]] = Counter()
    for key in facts:
        data_of = witness.tried[key]["data"]
        for entry in data_of["lines"]:
            sums[entry["item"]["sku"], data_of["location"]] -= entry["quantity"]
    for sku in SKUS:
        found = {place["id"]: place["sellable"] for place in (await door.stock(sku))["locations"]}
        assert found == {location: sums[sku, location] for location in LOCATIONS if (sku, location) in sums}
    assert witness.repeated > 0
