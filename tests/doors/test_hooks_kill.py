"""kill -9 of the server and of the database while vendors post: no message that got its 2xx is lost, no ticket is booked twice."""

import asyncio
import json
import signal
from collections import Counter
from pathlib import Path

import pytest

from doors.door import Process, evenstock, knocking, until
from doors.hooked import ENVIRON, SETTINGS, Till, connect, settled, sold, ticket
from doors.killing import AWAY, free_port, kill_database, ready
from evenstock.postgres.database import Database
from evenstock.postgres.embedded import joined

VENDORS = 8
ROUNDS = 3
TAKEN_A_ROUND = 100  # messages, before the next kill


class Witness:
    """Which tickets were answered, by the id of their message, and which were only tried."""

    def __init__(self) -> None:
        self.tried: dict[str, int] = {}
        self.taken: dict[str, str] = {}
        self.stop = False

    async def more(self, number: int) -> None:
        enough = len(self.taken) + number

        async def there() -> bool:
            await asyncio.sleep(0)
            return len(self.taken) >= enough

        await until(there)


async def vendor(name: int, till: Till, witness: Witness) -> None:
    """Posts tickets, each until it is taken, as vendors do: the same message again, signed anew."""
    number = 0
    while not witness.stop:
        number += 1
        key, units = f"{name}-{number}", number % 5 + 1
        witness.tried[key] = units
        while not witness.stop:
            try:
                answer = await till.post(ticket(key, sold("A", units)), f"msg-{key}")
            except AWAY:
                continue
            if answer.status == 202:
                assert witness.taken.setdefault(key, answer.body["id"]) == answer.body["id"]
                break
            assert answer.status == 503, answer.raw


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("environment")
async def test_what_vendors_got_a_2xx_for_survives_kill_9_and_is_booked_once(data: Path) -> None:
    serve = ("--data", str(data), "--port", str(free_port()), "--log-level", "error")
    process = await Process.start(*serve)
    _, made, _ = await evenstock(
        "keys", "create", "--name", "all", "--scope", "*", "--json", "--data", str(data)
    )
    witness = Witness()
    async with knocking(process.url, json.loads(made)["key"]) as door:
        await door.know("A")
        assert (await connect(door, **SETTINGS)).status == 200
        vendors = [asyncio.create_task(vendor(name, Till(door), witness)) for name in range(VENDORS)]
        for kill in range(ROUNDS):
            await witness.more(TAKEN_A_ROUND)
            if kill % 2:
                kill_database(data)
            else:
                assert await process.end(signal.SIGKILL) == -signal.SIGKILL
                process = await Process.start(*serve)
            await ready(door)
        await witness.more(TAKEN_A_ROUND)
        witness.stop = True
        await asyncio.gather(*vendors)
        await settled(door)
        booked = -(await door.stock("A"))["sellable"]
    with joined(data, print) as url:
        db = await Database(url).connect()
        messages = await db.fetch("select vendor_id, status, keys from messages")
        facts = Counter(row["key"] for row in await db.fetch("select key from facts"))
        await db.close()
    assert {row["status"] for row in messages} == {"translated"}
    kept = {row["vendor_id"].removeprefix("msg-"): row["keys"] for row in messages}
    assert witness.taken.keys() <= kept.keys() <= witness.tried.keys()
    assert all(keys == [key] for key, keys in kept.items())
    assert facts == Counter(kept.keys())
    assert booked == sum(witness.tried[key] for key in kept)
    assert await process.end() == 0
    code, out, _ = await evenstock("verify", "--json", "--data", str(data))
    assert (code, json.loads(out)["ok"]) == (0, True)
