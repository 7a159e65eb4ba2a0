"""Whether we live, whether we can work, how much we do, and what we say of ourselves."""

from doors.door import Door, sale
from evenstock.api.app import OPERATIONS


async def test_health_and_readiness_need_no_key(door: Door) -> None:
    stranger = door.with_key(None)
    assert (await stranger.get("/healthz")).body == {"status": "ok"}
    assert (await stranger.get("/readyz")).body == {
        "status": "ready",
        "database": True,
        "writer": True,
        "ledger_seq": 0,
    }


async def test_metrics_count_what_was_answered(door: Door) -> None:
    await door.know("A")

    async def applied() -> float:
        lines = (await door.get("/metrics")).raw.decode().splitlines()
        return sum(
            float(line.split()[1])
            for line in lines
            if line.startswith('evenstock_events_total{outcome="applied"}')
        )

    before = await applied()
    await door.report(sale("1", "A"), sale("2", "A"))
    assert await applied() - before == 2


async def test_the_document_describes_every_call_with_its_scope_and_refusals(door: Door) -> None:
    document = (await door.get("/openapi.json")).body
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, calls in document["paths"].items() for method in calls}
    assert described == {(operation.method, operation.path) for operation in OPERATIONS}
    posts = document["paths"]["/v1/events"]["post"]
    assert posts["x-scope"] == "events:write"
    assert {"200", "400", "401", "403", "408", "413", "415", "422", "503"} <= set(posts["responses"])
