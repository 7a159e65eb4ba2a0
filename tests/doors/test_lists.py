"""GET /v1/movements and /v1/exceptions: pages to the end, without gaps or repeats, while writes go on."""

import asyncio
from typing import Any

from doors.door import Door, event, line, receipt, sale


async def every(door: Door, path: str, **query: object) -> list[dict[str, Any]]:
    """All pages."""
    rows: list[dict[str, Any]] = []
    while True:
        answer = await door.get(path, **query)
        assert answer.status == 200, answer.raw
        rows += answer.body["data"]
        if answer.body["next_cursor"] is None:
            return rows
        query["cursor"] = answer.body["next_cursor"]


async def test_a_movement_says_what_where_why_and_when(door: Door) -> None:
    await door.know("A")
    await door.report(sale("T-1", "A", 2))
    (row,) = (await door.get("/v1/movements")).body["data"]
    assert {name: row[name] for name in ("sku", "location", "from", "to", "quantity", "why", "line")} == {
        "sku": "A", "location": "0107", "from": "sellable", "to": "customer", "quantity": 2, "why": "sale", "line": "1",
    }  # fmt: skip
    assert (row["source"], row["key"], row["type"]) == ("pos-nl", "T-1", "SaleRecorded.v1")
    assert row["occurred_at"] == "2026-01-20T13:08:12Z"
    assert row["recorded_at"] > row["occurred_at"]


async def test_pages_have_no_gaps_and_no_repeats_while_writes_go_on(door: Door) -> None:
    await door.know("A")
    for batch in range(5):
        await door.report(*(sale(f"{batch}-{number}", "A") for number in range(20)))
    before = [f"{batch}-{number}" for batch in range(5) for number in range(20)]

    async def write() -> None:
        for number in range(30):
            await door.report(sale(f"later {number}", "A"))

    for query in ({}, {"sku": "A"}):
        writing = asyncio.create_task(write())
        rows = await every(door, "/v1/movements", limit=7, **query)
        await writing
        keys = [row["key"] for row in rows]
        assert len(keys) == len(set(keys))
        assert sorted(key for key in keys if not key.startswith("later")) == sorted(before)
        seqs = [row["ledger_seq"] for row in rows]
        assert seqs == sorted(seqs, reverse=True)


async def test_movements_are_filtered(door: Door) -> None:
    await door.know("A", "B", locations=("0107", "0042"))
    await door.report(
        receipt("1", "A", time="2026-01-01T00:00:00Z"), sale("2", "A", time="2026-01-02T00:00:00Z"),
        sale("3", "B", time="2026-01-03T00:00:00Z"), sale("4", "A", location="0042", time="2026-01-04T00:00:00Z"),
    )  # fmt: skip
    await door.report(sale("5", "A", time="2026-01-05T00:00:00Z"))
    for query, keys in (
        ({"sku": "A"}, "1245"), ({"sku": "A", "location": "0107"}, "125"), ({"location": "0042"}, "4"),
        ({"why": "receipt"}, "1"), ({"sku": "A", "why": "sale"}, "245"), ({"known_at": 1}, "1234"),
        ({"sku": "A", "known_at": 1}, "124"), ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-04T00:00:00Z"}, "23"),
        ({"sku": "A", "since": "2026-01-02T00:00:00Z", "until": "2026-01-04T00:00:00Z"}, "2"),
        ({"sku": "NOBODY"}, ""), ({"location": "NOWHERE"}, ""),
    ):  # fmt: skip
        found = await every(door, "/v1/movements", **query)
        assert sorted(row["key"] for row in found) == list(keys), query


async def test_held_lines_are_grouped_by_cause_and_paged(door: Door) -> None:
    await door.know("A")
    await door.report(*(sale(f"{sku} {number}", f"NEW-{sku}") for sku in range(12) for number in range(2)))
    rows = await every(door, "/v1/exceptions", limit=5)
    assert sorted(row["sku"] or row["subject"] for row in rows) == sorted(
        f"sku:NEW-{sku}" for sku in range(12)
    )
    assert {row["lines"] for row in rows} == {2}
    assert {row["facts"] for row in rows} == {2}
    assert all(row["title"] and row["detail"] and row["action"] for row in rows)
    assert await every(door, "/v1/exceptions", code="stock.unknown_location") == []
    assert len(await every(door, "/v1/exceptions", code="stock.unknown_item")) == 12


async def test_negative_stock_is_an_exception_that_closes_by_itself(door: Door) -> None:
    await door.know("A")
    await door.report(sale("1", "A"))
    (row,) = await every(door, "/v1/exceptions", code="stock.negative")
    assert (row["sku"], row["location"]) == ("A", "0107")
    await door.report(receipt("2", "A", 1))
    assert await every(door, "/v1/exceptions") == []


async def test_a_page_has_at_most_500_rows(door: Door) -> None:
    await door.know("A")
    lines = [line("A", 1, str(number)) for number in range(600)]
    await door.report(event("1", "SaleRecorded", {"location": "0107", "lines": lines}))
    full = await door.get("/v1/movements", limit=500)
    assert len(full.body["data"]) == 500
    assert len(await every(door, "/v1/movements", limit=500)) == 600
    assert len((await door.get("/v1/movements")).body["data"]) == 100
    assert (await door.get("/v1/movements", limit=501)).problem[:2] == (422, "limit.page")
    assert (await door.get("/v1/exceptions", limit=501)).problem[:2] == (422, "limit.page")


async def test_a_question_that_makes_no_sense_is_refused(door: Door) -> None:
    for path, query in (
        ("movements", "limit=0"), ("movements", "limit=-1"), ("movements", "limit=x"), ("movements", "limit=%D9%A1"),
        ("movements", "cursor=x"), ("movements", "cursor=NS45OTk5OTk5OTk5OTk5"), ("movements", "cursor=MQ"),
        ("movements", "cursor="), ("movements", "known_at=x"), ("movements", "known_at=-1"), ("movements", "colour=red"),
        ("movements", "since=yesterday"), ("movements", "sku=a%00"), ("movements", "sku=A&sku=B"),
        ("exceptions", "status=closed"), ("exceptions", "code=nobody.knows"), ("exceptions", "cursor=MS4y"),
        ("exceptions", "sku=A"),
    ):  # fmt: skip
        answer = await door.call("GET", f"/v1/{path}?{query}")
        assert answer.problem == (422, "request.malformed", ""), query
