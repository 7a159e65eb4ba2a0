"""kill -9 in the middle of replays: they go on where they were, and nothing is read, told or posted twice."""

import asyncio
import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from connectors.sandboxed import Peer, served
from doors.door import Door, Process, evenstock, knocking, receipt, until
from doors.hooked import ENVIRON, MAPPING, SETTINGS, Till, connect, settled, sold, ticket
from doors.killing import free_port
from evenstock import clock
from evenstock.connectors.erp_rest.sandbox import ErpSandbox

SKUS = tuple(f"TSH-{number}" for number in range(20))
STOCK = 10
RATE = 12  # items a second: three replays of twenty last long enough to be killed
KILLED_AT = (12,)  # items that have come to an end, of all replays together; more for a longer day


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (ENVIRON | {"ERP": "sandbox"}).items():
        monkeypatch.setenv(name, value)


async def stands(door: Door, erp: Peer) -> None:
    """Everything has failed: no ticket could be read, the books refuse all, and a shop was told before they were sold."""
    await door.know(*SKUS)
    books = {
        "id": "erp",
        "connector": "erp_rest",
        "settings": {"url": erp.url, "token": "env:ERP"},
        "books": {"per": "ticket"},
    }
    for path, body in (
        (
            "connections",
            {
                "connections": [
                    books,
                    {"id": "shop", "connector": "recorder", "settings": {"path": "web.jsonl"}},
                ]
            },
        ),
        ("channels", {"channels": [{"id": "web", "locations": ["0107"], "connection": "shop"}]}),
    ):
        assert (await door.post(f"/v1/{path}:batch", body)).status == 200
    assert (
        await connect(door, **SETTINGS | {"mapping": MAPPING | {"time": {"column": "when"}}})
    ).status == 200
    answer = await door.report(*(receipt(f"R-{sku}", sku, STOCK) for sku in SKUS))
    assert set(answer.outcomes) == {"applied"}
    till = Till(door)
    for sku in SKUS:
        assert (await till.post(ticket(f"T-{sku}", sold(sku)))).status == 202
    assert {row["status"] for row in await settled(door)} == {"dead"}

    async def refused() -> bool:
        rows = (await door.get("/v1/postings?status=refused&limit=500")).body["data"]
        shown = (await door.get("/v1/exposures?limit=500")).body["data"]
        return bool(len(rows) == len(SKUS) == sum(row["acked"] == STOCK for row in shown))

    await until(refused)
    assert (await connect(door)).status == 200
    await erp.control("stock", [{"item": sku, "location": "0107", "quantity": 0} for sku in SKUS])


async def runs(door: Door) -> list[str]:
    """All that failed is done again, at once."""
    ids = []
    for step, verb in (("translate", "failed"), ("post", "failed"), ("dispatch", "all")):
        plan = await door.post("/v1/replays", {"step": step, "verb": verb, "rate_per_s": RATE})
        assert (plan.status, plan.body["items"]) == (201, len(SKUS))
        ids.append(plan.body["id"])
    for id_ in ids:
        assert (await door.post(f"/v1/replays/{id_}:run", {})).status == 200
    return ids


async def ended(door: Door, ids: list[str]) -> int:
    found = [(await door.get(f"/v1/replays/{id_}")).body for id_ in ids]
    return sum(each["done"] + each["failed"] + each["skipped"] for each in found)


@pytest.mark.usefixtures("environment")
async def test_a_replay_that_is_killed_goes_on_and_does_nothing_twice(data: Path) -> None:
    async with served(ErpSandbox(clock.now), {"env:ERP": "sandbox"}) as erp:
        serve = (
            "--data", str(data), "--port", str(free_port()), "--log-level", "error",
            "--outbound-allow", erp.url.removeprefix("http://"),
        )  # fmt: skip
        process = await Process.start(*serve)
        _, made, _ = await evenstock("keys", "create", "--name", "all", "--scope", "*", "--data", str(data))
        async with knocking(process.url, made.strip()) as door:
            await stands(door, erp)
            ids = await runs(door)
            for number in KILLED_AT:

                async def far_enough(number: int = number) -> bool:
                    return await ended(door, ids) >= number

                await until(far_enough)
                assert await ended(door, ids) < 3 * len(SKUS), "it was killed in the middle"
                assert await process.end(signal.SIGKILL) == -signal.SIGKILL
                process = await Process.start(*serve)

            async def done() -> bool:
                found = [(await door.get(f"/v1/replays/{id_}")).body for id_ in ids]
                return all(each["status"] == "done" for each in found)

            await until(done)
            for id_ in ids:
                found = (await door.get(f"/v1/replays/{id_}")).body
                assert (found["done"], found["failures"]) == (len(SKUS), []), found["step"]

            async def told() -> bool:
                shown = (await door.get("/v1/exposures?limit=500")).body["data"]
                open_ = (await door.get("/v1/postings?status=open")).body["data"]
                return not open_ and all(row["acked"] == STOCK - 1 for row in shown)

            await until(told)
            left = await asyncio.gather(*(door.stock(sku) for sku in SKUS))
            assert {stock["sellable"] for stock in left} == {STOCK - 1}, "each ticket is booked once"
        _is_told_once(data)
        assert erp.sandbox.state.posted == 2 * len(SKUS), "a document for each receipt and each sale"
        assert {erp.sandbox.state.stock["0107"][sku] for sku in SKUS} == {STOCK - 1}
        assert await process.end() == 0
        code, out, _ = await evenstock("verify", "--json", "--data", str(data))
        assert (code, json.loads(out)["ok"]) == (0, True)


def _is_told_once(data: Path) -> None:
    lines: list[dict[str, Any]] = [
        json.loads(each) for each in (data / "connections/shop/web.jsonl").read_bytes().splitlines()
    ]
    assert set(Counter(each["key"] for each in lines).values()) == {1}, "each number once"
    for sku in SKUS:
        versions = [each["version"] for each in lines if each["sku"] == sku]
        assert versions == sorted(set(versions)), "an older number never follows a newer one"
