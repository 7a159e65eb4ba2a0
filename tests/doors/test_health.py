"""Whether we live, whether we can work, how much we do, and what we say of ourselves."""

from doors.door import Door, sale


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
    assert set(document["paths"]) == {
        "/v1/events", "/v1/items:batch", "/v1/locations:batch", "/v1/availability/{sku}", "/v1/movements",
        "/v1/exceptions", "/healthz", "/readyz", "/metrics", "/v1/connections:batch", "/v1/channels:batch",
        "/v1/files", "/v1/hooks/{connection}", "/v1/messages", "/v1/messages:translate",
        "/v1/reservations", "/v1/reservations/{id}", "/v1/reservations/{id}:confirm",
        "/v1/reservations/{id}:allocate", "/v1/reservations/{id}:release",
    }  # fmt: skip
    posts = document["paths"]["/v1/events"]["post"]
    assert posts["x-scope"] == "events:write"
    assert {"200", "400", "401", "403", "408", "413", "415", "422", "503"} <= set(posts["responses"])
