"""Items and locations: upserts that release what waited, in the order in which it happened."""

from typing import Any

from doors.door import Door, event, line, receipt, sale


async def test_the_examples_of_the_design_are_taken(door: Door) -> None:
    item = {
        "sku": "TSH-BLK-M", "base_uom": "EA", "scale": 0, "gtins": ["8712345678906"], "uoms": {"CASE": "12"}
    }  # fmt: skip
    place = {"id": "0107", "type": "store", "timezone": "Europe/Amsterdam", "region": "nl-mid"}
    items = await door.post("/v1/items:batch", {"items": [item]})
    places = await door.post("/v1/locations:batch", {"locations": [place]})
    assert (items.body, places.body) == ({"upserted": 1, "released": 0},) * 2
    barcode = event(
        "1", "SaleRecorded",
        {"location": "0107", "lines": [{"line": "1", "item": {"gtin": "8712345678906"}, "quantity": 1, "uom": "CASE"}]},
    )  # fmt: skip
    assert (await door.report(barcode)).outcomes == ["applied"]
    assert (await door.stock("TSH-BLK-M"))["on_hand"] == -12


async def test_an_upsert_again_changes_and_does_not_repeat(door: Door) -> None:
    await door.know("A")
    await door.know("A")
    await door.report(receipt("1", "A", 3))
    assert [place["id"] for place in (await door.stock("A"))["locations"]] == ["0107"]


async def test_what_waits_for_an_item_is_booked_when_the_item_comes(door: Door) -> None:
    await door.know()
    held = await door.report(
        sale("2", "A", time="2026-01-02T10:00:00Z"), sale("1", "A", time="2026-01-01T10:00:00Z")
    )
    assert held.outcomes == ["held", "held"]
    (cause,) = (await door.get("/v1/exceptions")).body["data"]
    assert (cause["code"], cause["lines"], cause["status"]) == ("stock.unknown_item", 2, "open")
    assert cause["id"] == held.results[0]["exception_id"] == held.results[1]["exception_id"]
    added = await door.post("/v1/items:batch", {"items": [{"sku": "A"}]})
    assert added.body == {"upserted": 1, "released": 2}
    newest_first = (await door.get("/v1/movements", sku="A")).body["data"]
    assert [row["key"] for row in newest_first] == ["2", "1"]  # booked in the order in which they happened
    await door.report(receipt("3", "A", 2))
    assert (await door.get("/v1/exceptions")).body["data"] == []
    (closed,) = (await door.get("/v1/exceptions", status="all", code="stock.unknown_item")).body["data"]
    assert (closed["status"], closed["lines"]) == ("resolved", 0)


async def test_what_waits_for_a_location_is_booked_when_the_location_comes(door: Door) -> None:
    await door.know("A")
    assert (await door.report(sale("1", "A", location="0042"))).outcomes == ["held"]
    added = await door.post("/v1/locations:batch", {"locations": [{"id": "0042"}]})
    assert added.body == {"upserted": 1, "released": 1}


async def test_a_line_that_misses_both_waits_for_both(door: Door) -> None:
    await door.report(sale("1", "A"))
    places = await door.post("/v1/locations:batch", {"locations": [{"id": "0107"}]})
    items = await door.post("/v1/items:batch", {"items": [{"sku": "A"}]})
    assert (places.body["released"], items.body["released"]) == (0, 1)
    assert (await door.stock("A"))["on_hand"] == -1
    await door.report(receipt("2", "A"))
    assert (await door.get("/v1/exceptions")).body["data"] == []


async def test_a_connections_own_code_and_a_barcode_release_too(door: Door) -> None:
    await door.know()
    by_code = event("1", "SaleRecorded", {"location": "0107", "lines": [line("") | {"item": {"id": "4711"}}]})
    by_gtin = event(
        "2", "SaleRecorded", {"location": "0107", "lines": [line("") | {"item": {"gtin": "87123456"}}]}
    )
    assert (await door.report(by_code, by_gtin)).outcomes == ["held", "held"]
    item = {"sku": "A", "gtins": ["00000087123456"], "codes": {"pos-nl": "4711"}}
    assert (await door.post("/v1/items:batch", {"items": [item]})).body["released"] == 2


async def test_an_empty_batch_is_nothing(door: Door) -> None:
    assert (await door.post("/v1/items:batch", {"items": []})).body == {"upserted": 0, "released": 0}


async def test_a_thousand_are_one_batch_and_one_more_is_refused_whole(door: Door) -> None:
    skus = [{"sku": str(number)} for number in range(1001)]
    assert (await door.post("/v1/items:batch", {"items": skus})).problem[:2] == (413, "limit.batch")
    assert (await door.get("/v1/availability/0")).status == 404
    assert (await door.post("/v1/items:batch", {"items": skus[:1000]})).body["upserted"] == 1000
    ids = [{"id": str(number)} for number in range(1001)]
    assert (await door.post("/v1/locations:batch", {"locations": ids})).problem[:2] == (413, "limit.batch")


async def test_what_is_wrong_is_named_by_its_pointer_and_nothing_is_stored(door: Door) -> None:
    async def refused(path: str, *entries: dict[str, Any]) -> tuple[int, str, str]:
        name = "items" if "items" in path else "locations"
        first = {"sku": "FIRST"} if name == "items" else {"id": "FIRST"}
        return (await door.post(path, {name: [first, *entries]})).problem

    items, places = "/v1/items:batch", "/v1/locations:batch"
    cases: list[tuple[str, dict[str, Any], tuple[int, str, str]]] = [
        (items, {}, (422, "request.malformed", "/items/1")),
        (items, {"sku": ""}, (422, "request.malformed", "/items/1/sku")),
        (items, {"sku": "x" * 129}, (422, "request.malformed", "/items/1/sku")),
        (items, {"sku": "a\x00b"}, (422, "identifier.characters", "/items/1/sku")),
        (items, {"sku": "e\u0301"}, (422, "identifier.characters", "/items/1/sku")),
        (items, {"sku": "FIRST"}, (422, "request.malformed", "/items/1/sku")),
        (items, {"sku": "A", "scale": 7}, (422, "request.malformed", "/items/1/scale")),
        (items, {"sku": "A", "scale": -1}, (422, "request.malformed", "/items/1/scale")),
        (items, {"sku": "A", "base_uom": "E\x00A"}, (422, "identifier.characters", "/items/1")),
        (items, {"sku": "A", "name": "a\x00"}, (422, "identifier.characters", "/items/1/name")),
        (items, {"sku": "A", "uoms": {"CASE": "0"}}, (422, "request.malformed", "/items/1/uoms/CASE")),
        (items, {"sku": "A", "uoms": {"CASE": -2}}, (422, "request.malformed", "/items/1/uoms/CASE")),
        (items, {"sku": "A", "uoms": {"CASE": "1/0"}}, (422, "request.malformed", "/items/1/uoms/CASE")),
        (items, {"sku": "A", "uoms": {"A/B": "1e3"}}, (422, "request.malformed", "/items/1/uoms/A~1B")),
        (items, {"sku": "A", "uoms": {"CASE": "999999999999999/0.000001"}}, (422, "request.malformed", "/items/1/uoms/CASE")),
        (items, {"sku": "A", "codes": {"nobody": "1"}}, (422, "request.malformed", "/items/1/codes/nobody")),
        (places, {}, (422, "request.malformed", "/locations/1")),
        (places, {"id": "a\u202eb"}, (422, "identifier.characters", "/locations/1/id")),
        (places, {"id": "A", "name": "a\x00"}, (422, "identifier.characters", "/locations/1/name")),
        (places, {"id": "A", "type": "castle"}, (422, "request.malformed", "/locations/1/type")),
        (places, {"id": "A", "timezone": "Mars/Olympus"}, (422, "request.malformed", "/locations/1/timezone")),
        (places, {"id": "A", "timezone": "../etc/passwd"}, (422, "request.malformed", "/locations/1/timezone")),
        (places, {"id": "A", "region": "a\x00"}, (422, "identifier.characters", "/locations/1/region")),
    ]  # fmt: skip
    for path, entry, problem in cases:
        assert await refused(path, entry) == problem, entry
    assert (await door.get("/v1/availability/FIRST")).status == 404
    assert (await door.report(sale("1", "A", location="FIRST"))).results[0][
        "code"
    ] == "stock.unknown_location"


async def test_the_scale_of_an_item_with_stock_stays(door: Door) -> None:
    await door.know("A")
    await door.report(receipt("1", "A"))
    answer = await door.post("/v1/items:batch", {"items": [{"sku": "B"}, {"sku": "A", "scale": 3}]})
    assert answer.problem == (409, "item.scale_changed", "/items/1")
    assert (await door.get("/v1/availability/B")).status == 404


async def test_a_barcode_belongs_to_one_item(door: Door) -> None:
    await door.post("/v1/items:batch", {"items": [{"sku": "A", "gtins": ["87123456"]}]})
    answer = await door.post("/v1/items:batch", {"items": [{"sku": "B", "gtins": ["00087123456"]}]})
    assert answer.problem == (409, "item.code_taken", "/items/0")
