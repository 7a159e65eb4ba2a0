"""Who is right about what, said at the door: claims, disputes, masters that only their owner writes."""

from doors.door import Door, make_key, sale
from evenstock.postgres.database import Database


async def claim(
    door: Door, domain: str, owner: str | None, scope: str = "everywhere"
) -> tuple[int, str, str]:
    answer = await door.post(
        "/v1/owners:batch", {"owners": [{"domain": domain, "scope": scope, "owner": owner}]}
    )
    return (200, "", "") if answer.status == 200 else answer.problem


async def test_claims_are_said_read_and_taken_away(door: Door, database: Database) -> None:
    await make_key(database, "pos-nl", "events:write")
    await make_key(database, "pos-old", "events:write")
    await door.know("A")
    assert await claim(door, "store_sales", "pos-nl", "default") == (200, "", "")
    assert await claim(door, "stock_ledger", "evenstock") == (200, "", "")
    listed = (await door.get("/v1/owners")).body
    assert [(each["domain"], each["scope"], each["owner"]) for each in listed["data"]] == [
        ("stock_ledger", "everywhere", "evenstock"),
        ("store_sales", "default", "pos-nl"),
    ]
    (result,) = (await door.report(sale("1", "A", source="pos-old"))).results
    assert (result["outcome"], result["code"], result["pointer"]) == ("held", "ownership.other", "/source")
    batch = {"owners": [{"domain": "store_sales", "scope": "everywhere", "owner": "pos-old"}]}
    dispute = {"domain": "store_sales", "scope": "default", "claimants": ["pos-nl", "pos-old"]}
    assert (await door.post("/v1/owners:batch", batch)).body["disputed"] == [dispute]
    assert (await door.get("/v1/owners")).body["disputed"] == [dispute]
    gone = {"owners": [{"domain": "store_sales", "scope": "default", "owner": None}]}
    assert (await door.post("/v1/owners:batch", gone)).body == {"upserted": 1, "released": 1, "disputed": []}
    assert (await door.stock("A"))["on_hand"] == -1


async def test_a_claim_that_cannot_be_changes_nothing(door: Door, database: Database) -> None:
    await make_key(database, "erp", "items:write")
    for domain, owner, scope, problem in (
        ("stock_ledger", "erp", "everywhere", (422, "ownership.ours", "/owners/0/owner")),
        ("availability", "erp", "default", (422, "ownership.ours", "/owners/0/owner")),
        ("item_master", "nobody", "everywhere", (422, "connection.unknown", "/owners/0/owner")),
        ("item_master", "erp", "0107", (422, "request.malformed", "/owners/0/scope")),
        ("weather", "erp", "everywhere", (422, "request.malformed", "/owners/0/domain")),
    ):
        assert await claim(door, domain, owner, scope) == problem
    twice = {"owners": [{"domain": "item_master", "owner": "erp"}, {"domain": "item_master", "owner": None}]}
    assert (await door.post("/v1/owners:batch", twice)).problem == (
        422,
        "request.malformed",
        "/owners/1/scope",
    )
    assert (await door.get("/v1/owners")).body == {"data": [], "disputed": []}


async def test_masters_are_written_by_their_owner_and_a_person_is_told_of_others(
    door: Door, database: Database
) -> None:
    erp = door.with_key(await make_key(database, "erp", "items:write", "locations:write"))
    till = door.with_key(await make_key(database, "pos-nl", "items:write", "locations:write"))
    await door.know("A")
    assert await claim(door, "item_master", "erp") == (200, "", "")
    item = {"items": [{"sku": "A", "name": "by the till"}, {"sku": "B"}]}
    refused = await till.post("/v1/items:batch", item)
    assert refused.problem == (403, "ownership.other", "")
    assert refused.body["detail"] == "pos-nl may not write items: erp is right about that."
    assert (await door.get("/v1/availability/B")).status == 404, "nothing of it was written"
    (open_,) = (await door.get("/v1/exceptions")).body["data"]
    assert (open_["code"], open_["source"]) == ("ownership.other", "pos-nl")
    assert (await erp.post("/v1/items:batch", item)).status == 200
    assert (await door.post("/v1/items:batch", item)).status == 200, (
        "a key that may do everything is a person's"
    )
    place = {"locations": [{"id": "0107"}]}
    assert (await till.post("/v1/locations:batch", place)).status == 200
    assert await claim(door, "location_master", "evenstock") == (200, "", "")
    assert (await till.post("/v1/locations:batch", place)).problem[:2] == (403, "ownership.other")
    assert await claim(door, "location_master", None) == (200, "", "")
    assert await claim(door, "item_master", "pos-nl") == (200, "", "")
    assert (await door.get("/v1/exceptions")).body["data"] == []
    assert (await till.post("/v1/items:batch", item)).status == 200
