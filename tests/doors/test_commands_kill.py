"""kill -9 of the hub while orders are allocated, moved and given back: the floor does every command once, each cancel after its pick."""

import asyncio
import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from connectors.sandboxed import served
from doors.door import Door, Process, evenstock, knocking, receipt, until
from doors.killing import AWAY, free_port
from evenstock import clock
from evenstock.connectors.http_json.sandbox import JsonSandbox
from floor import SECRETS, of_the_readme

ORDERS = 24
KILLED_AT = (8, 40)  # commands that the floor had done
FAULTS = ("cut-after", "429-bare", "500-after", "cut")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


async def an_order(door: Door, number: int) -> None:
    """Two units, allocated, one given back, moved to the other store, and every third one released; each call until it is answered."""

    async def call(path: str, body: dict[str, Any], key: str = "") -> Any:
        while True:
            try:
                answer = await door.call(
                    "POST", path, json.dumps(body).encode(), {"Idempotency-Key": key} if key else None
                )
                if answer.status < 500:
                    assert answer.status in {200, 201}, answer.raw
                    return answer.body
            except AWAY:
                await asyncio.to_thread(os.sched_yield)

    line = {"line": "1", "item": {"sku": "A"}, "quantity": 2, "fulfil": {"pickup_at": "0107"}}
    made = await call("/v1/reservations", {"order_ref": f"O-{number}", "lines": [line]})
    verb = f"/v1/reservations/{made['id']}"
    await call(f"{verb}:allocate", {})
    await call(f"{verb}:release", {"lines": [{"line": "1", "quantity": 1}]}, f"give-{number}")
    await call(f"{verb}:allocate", {"location": "0042"})
    if number % 3 == 0:
        await call(f"{verb}:release", {})


@pytest.mark.deep
@pytest.mark.usefixtures("environment")
async def test_a_hub_that_is_killed_has_every_command_done_once_and_in_order(data: Path) -> None:
    async with served(JsonSandbox(clock.now)) as store:
        serve = (
            "--data", str(data), "--port", str(free_port()), "--log-level", "error",
            "--outbound-allow", store.url.removeprefix("http://"),
        )  # fmt: skip
        process = await Process.start(*serve)
        _, made, _ = await evenstock("keys", "create", "--name", "all", "--scope", "*", "--data", str(data))
        async with knocking(process.url, made.strip()) as door:
            await door.know("A", locations=("0107", "0042"))
            await door.report(receipt("R-1", "A", 500))
            await door.report(receipt("R-2", "A", 500, location="0042"))
            await store.control("items", [{"store": each, "code": "A"} for each in ("0107", "0042")])
            floor = {
                "id": "floor", "connector": "http_json", "settings": {"command": of_the_readme(store.url)}, "works": ["0107", "0042"],
            }  # fmt: skip
            assert (await door.post("/v1/connections:batch", {"connections": [floor]})).status == 200
            await store.faults(*FAULTS, retry_after_s=0)
            orders = asyncio.gather(*(an_order(door, number) for number in range(ORDERS)))
            for number in KILLED_AT:

                async def far_enough(number: int = number) -> bool:
                    return len(store.sandbox.state.work) >= number

                await until(far_enough)
                assert await process.end(signal.SIGKILL) == -signal.SIGKILL
                process = await Process.start(*serve)
            await orders

            async def quiet() -> bool:
                return bool((await door.get("/v1/commands?status=open")).body["data"] == [])

            await until(quiet)
        work = store.sandbox.state.work
        wanted = Counter(
            {("pick", "0107", 2): ORDERS, ("cancel", "0107", 1): 2 * ORDERS, ("pick", "0042", 1): ORDERS}
        )
        wanted["cancel", "0042", 1] = len(range(0, ORDERS, 3))
        assert Counter((each.do, each.store, each.lines["A"]) for each in work) == wanted, (
            "and none before its pick: the store would refuse"
        )
        assert len({each.key for each in work}) == len(work)
        assert await process.end() == 0
        code, out, _ = await evenstock("verify", "--json", "--data", str(data))
        assert (code, json.loads(out)["ok"]) == (0, True)
