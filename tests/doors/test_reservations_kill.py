"""kill -9 of the server and of the database while 64 customers want the last 1,000 units: none is lost, none is granted twice."""

import asyncio
import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

from doors.door import Door, Process, evenstock, knocking
from doors.killing import AWAY, free_port, kill_database, ready
from doors.test_reservations import ATTEMPTS, CLIENTS, UNITS, order
from evenstock.postgres.database import Database
from evenstock.postgres.embedded import joined

KILLS_AT = (250, 600)  # grants that were answered: then the database, then the server


class Witness:
    """What customers were told."""

    def __init__(self) -> None:
        self.granted: dict[int, str] = {}  # reservation by order
        self.refused: set[int] = set()
        self.again = 0  # asked again, for nobody knew what had become of it
        self._more = asyncio.Condition()

    async def told(self, number: int, status: int, body: Any) -> None:
        if status == 409:
            assert body["code"] == "reservation.insufficient"
            self.refused.add(number)
            return
        assert status in {200, 201}, body
        self.granted[number] = body["id"]
        async with self._more:
            self._more.notify_all()

    async def grants(self, enough: int) -> None:
        async with asyncio.timeout(60), self._more:
            await self._more.wait_for(lambda: len(self.granted) >= enough)


async def customer(door: Door, waiting: list[int], witness: Witness) -> None:
    """Wants one unit after the other, each until it is told yes or no."""
    while waiting:
        number = waiting.pop()
        while True:
            try:
                answer = await door.post("/v1/reservations", order(number))
            except AWAY:
                witness.again += 1
                await asyncio.sleep(0)
                continue
            if answer.status != 503:
                await witness.told(number, answer.status, answer.body)
                break
            witness.again += 1


async def test_the_last_thousand_units_survive_kill_9_of_server_and_database_each_granted_once(
    data: Path,
) -> None:
    serve = ("--data", str(data), "--port", str(free_port()), "--log-level", "error")
    process = await Process.start(*serve)
    _, made, _ = await evenstock(
        "keys", "create", "--name", "wms", "--scope", "*", "--json", "--data", str(data)
    )
    witness, waiting = Witness(), list(range(ATTEMPTS))
    async with knocking(process.url, json.loads(made)["key"]) as door:
        await door.know("TEE", locations=["0107"])
        line = {"line": "1", "item": {"sku": "TEE"}, "quantity": UNITS}
        goods = {"location": "0107", "lines": [line]}
        event = {
            "specversion": "1.0",
            "id": "g-1",
            "source": "wms",
            "type": "GoodsReceived.v1",
            "data": goods,
        }
        assert (await door.report(event)).outcomes == ["applied"]
        customers = [asyncio.create_task(customer(door, waiting, witness)) for _ in range(CLIENTS)]
        for kill, enough in enumerate(KILLS_AT):
            await witness.grants(enough)
            if kill % 2:
                assert await process.end(signal.SIGKILL) == -signal.SIGKILL
                process = await Process.start(*serve)
            else:
                kill_database(data)  # serve starts it again by itself
            await ready(door)
        await asyncio.gather(*customers)
        for number in sorted(witness.granted)[::50]:
            again = await door.post("/v1/reservations", order(number))
            assert (again.status, again.body["id"]) == (200, witness.granted[number])
    assert witness.again > 0
    assert len(witness.granted) == UNITS
    assert witness.granted.keys().isdisjoint(witness.refused)
    assert len(witness.granted) + len(witness.refused) == ATTEMPTS
    await _claims_are_what_was_told(data, witness)
    assert await process.end() == 0
    code, out, _ = await evenstock("verify", "--json", "--data", str(data))
    assert (code, json.loads(out)["ok"]) == (0, True)


async def _claims_are_what_was_told(data: Path, witness: Witness) -> None:
    """The counter, the rows, the log of claims and the answers of customers are one."""
    with joined(data, print) as url:
        db = await Database(url).connect()
        counter = await db.fetchval("select sum(reserved + allocated)::bigint from positions")
        rows = await db.fetch("select order_ref from reservations where not ended")
        logged = await db.fetchval("select sum(reserved + allocated)::bigint from claim_entries")
        await db.close()
    assert (counter, logged) == (UNITS, UNITS)
    assert Counter(row["order_ref"] for row in rows) == Counter(f"ORD-{number}" for number in witness.granted)
