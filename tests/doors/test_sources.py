"""A source that falls silent is told of, by every door, and no longer once it is heard."""

import json
from typing import Any

from conftest import owner
from doors.door import Door, evenstock, sale, until
from evenstock.postgres.database import Database


async def sources(door: Door) -> dict[str, dict[str, Any]]:
    found = (await door.get("/v1/sources")).body["data"]
    return {source["connection"]: source for source in found}


async def connect(door: Door, id_: str, **more: Any) -> None:
    one = {"id": id_, "connector": "api"} | more
    assert (await door.post("/v1/connections:batch", {"connections": [one]})).status == 200


async def test_a_source_that_falls_silent_is_an_exception_until_it_is_heard_again(
    door: Door, database: Database
) -> None:
    await door.know("A")
    await connect(door, "pos-nl", expect_within_s=3600)
    await connect(door, "wms")
    assert (await sources(door))["pos-nl"]["state"] == "waiting"
    assert (await door.post("/v1/events", sale("T-1", "A"))).status == 200

    async def fresh() -> bool:
        return bool((await sources(door))["pos-nl"]["state"] == "fresh")

    await until(fresh)
    told = await sources(door)
    assert told["pos-nl"]["watermark"] == "2026-01-20T13:08:12Z", "when it happened, not when it came"
    assert (told["wms"]["state"], told["wms"]["heard_at"]) == ("unwatched", None)
    async with owner(database) as db:
        await db.execute("update heard set heard_at = heard_at - interval '2 hours'")
        await db.execute("update connections set expected_since = expected_since - interval '1 day'")

    async def shown() -> list[str]:
        found = (await door.get("/v1/exceptions", code="source.silent")).body["data"]
        return [each["detail"] for each in found if each.get("closed_at") is None]

    async def silent() -> bool:
        return bool(await shown())

    await until(silent)
    [words] = await shown()
    assert words.startswith("pos-nl was last heard ")
    assert words.endswith("something is expected every 1 h.")
    code, out, _ = await evenstock("status", "--database-url", database.url, "--schema", database.schema)
    assert (code, "silent     pos-nl: last heard 2 h" in out) == (0, True), out
    assert (await door.post("/v1/events", sale("T-1", "A"))).outcomes == ["duplicate"]

    async def over() -> bool:
        return not await shown()

    await until(over)
    code, out, _ = await evenstock(
        "status", "--json", "--database-url", database.url, "--schema", database.schema
    )
    assert {each["connection"]: each["state"] for each in json.loads(out)["sources"]}["pos-nl"] == "fresh"


async def test_an_expectation_that_is_not_changed_goes_on_and_one_that_is_begins_anew(
    door: Door, database: Database
) -> None:
    await connect(door, "pos-nl", expect_within_s=60)
    async with owner(database) as db:
        await db.execute("update connections set expected_since = expected_since - interval '1 day'")
    await connect(door, "pos-nl", expect_within_s=60)
    assert (await sources(door))["pos-nl"]["state"] == "silent"
    await connect(door, "pos-nl", expect_within_s=61)
    assert (await sources(door))["pos-nl"]["state"] == "waiting"
    await connect(door, "pos-nl")
    assert (await sources(door))["pos-nl"]["state"] == "unwatched"
    one = {"id": "pos-nl", "connector": "api", "expect_within_s": 0}
    assert (await door.post("/v1/connections:batch", {"connections": [one]})).status == 422
