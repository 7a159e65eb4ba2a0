"""A deploy that goes wrong (fault F16): two versions over one database, a version that is rolled back, events of a version to come."""

from pathlib import Path
from typing import Any

from conftest import owner
from doors.door import Door, evenstock, make_key, opened, receipt, sale, until
from doors.hooked import ENVIRON, MAPPING, SETTINGS, Till, connect, settled, sold, ticket
from evenstock.pipeline.vault import Vault
from evenstock.postgres.database import Database

# What a next version would add: it takes nothing away, and what it adds has a value without being named.
NEXT = """
alter table facts add column register text;
alter table positions add column reviewed_at timestamptz;
alter table exposures add column shown boolean not null default false;
create table next_things (thing_id bigint generated always as identity primary key);
insert into migrations (name, sha256, applied_at) values ('9999_next', repeat('0', 64), now());
"""


async def migrated_further(database: Database) -> None:
    async with owner(database) as db:
        await db.execute(NEXT)


async def test_a_running_hub_goes_on_while_a_newer_version_has_added_to_the_database(
    database: Database, tmp_path: Path
) -> None:
    async with opened(database, data=tmp_path) as older, opened(database, data=tmp_path) as newer:
        await older.know("TEE")
        for path, body in (
            (
                "connections",
                {"connections": [{"id": "web", "connector": "recorder", "settings": {"path": "web.jsonl"}}]},
            ),
            ("channels", {"channels": [{"id": "web", "locations": ["0107"], "connection": "web"}]}),
        ):
            assert (await older.post(f"/v1/{path}:batch", body)).status == 200
        assert (await older.report(receipt("R-1", "TEE", 9))).outcomes == ["applied"]
        await until(lambda: shown(older, 9))
        await migrated_further(database)
        order = {
            "order_ref": "O-1",
            "lines": [{"line": "1", "item": {"sku": "TEE"}, "quantity": 2, "fulfil": {"pickup_at": "0107"}}],
        }
        for number in range(4):
            door = (older, newer)[number % 2]
            assert (await door.report(sale(f"S-{number}", "TEE", 1))).outcomes == ["applied"]
        assert (await newer.report(sale("S-0", "TEE", 1))).outcomes == ["duplicate"]
        assert (await older.post("/v1/reservations", order)).status == 201
        assert (await newer.post("/v1/reservations", order)).status in {200, 201}
        found = await older.stock("TEE")
        assert (found["on_hand"], found["available_to_sell"]) == (5, 3)
        await until(lambda: shown(newer, 3))


async def shown(door: Door, number: int) -> bool:
    """Whether the channel has confirmed this number."""
    rows = (await door.get("/v1/exposures")).body["data"]
    return [row["acked"] for row in rows] == [number]


async def test_a_version_that_was_rolled_back_does_not_start_and_says_what_to_do(database: Database) -> None:
    await migrated_further(database)
    at = ("--database-url", database.url, "--schema", database.schema)
    for command in (("serve", "--port", "0"), ("migrate",), ("verify",)):
        code, out, said = await evenstock(*command, *at)
        assert (code, out) == (7, ""), said
        assert "has the migration 9999_next, which this program does not know" in said
        assert "run that version, or a newer one" in said
        assert "Traceback" not in said


async def test_an_event_of_a_version_to_come_is_refused_to_its_sender_and_kept_of_a_device(
    database: Database, door: Door
) -> None:
    await door.know("TEE")
    later = sale("S-1", "TEE", 1) | {"type": "SaleRecorded.v9"}
    thing = sale("S-2", "TEE", 1) | {"type": "NewThing.v1"}
    answer = await door.report(later, thing, sale("S-3", "TEE", 1))
    assert answer.outcomes == ["rejected", "rejected", "applied"]
    assert [result.get("code") for result in answer.results[:2]] == ["event.unknown_type"] * 2
    assert "SaleRecorded.v9" in answer.results[0]["detail"]
    device = door.with_key(await make_key(database, "till", "events:write", device=True))
    assert (await device.report(later | {"source": "till"})).outcomes == ["rejected"]
    async with owner(database) as db:
        (kept,) = await db.fetch("select body, code, exception_id from rejected_events")
        assert b"SaleRecorded.v9" in kept["body"]
    (row,) = (await door.get("/v1/exceptions", code="event.malformed")).body["data"]
    assert int(row["id"].removeprefix("exc_")) == kept["exception_id"]
    assert (await door.report(sale("S-1", "TEE", 1))).outcomes == ["applied"], (
        "its key is free for a version that is known"
    )


async def test_a_message_of_a_kind_that_a_connector_does_not_know_yet_is_kept_and_booked_after_the_upgrade(
    database: Database,
) -> None:
    async with opened(database, vault=Vault(None, ENVIRON)) as door:
        await door.know("A")
        knows: list[dict[str, Any]] = [
            {"name": "sold", "when": [{"column": "line.kind", "equals": "sale"}], "event": "SaleRecorded.v1"}
        ]
        assert (await connect(door, **(SETTINGS | {"mapping": MAPPING | {"rule": knows}}))).status == 200
        till = Till(door)
        await till.post(ticket("T-1", sold("A", kind="gift")))
        await settled(door)
        assert (await door.stock("A"))["on_hand"] == 0
        (row,) = (await door.get("/v1/exceptions", code="message.untranslatable")).body["data"]
        assert row["messages"] == 1
        (message,) = (await door.get("/v1/messages")).body["data"]
        assert (message["status"], message["code"]) == ("dead", "mapping.no_rule")
        knows.append(
            {
                "name": "given",
                "when": [{"column": "line.kind", "equals": "gift"}],
                "event": "SaleRecorded.v1",
                "key": {"parts": ["ticket", {"constant": "gift"}]},
            }
        )
        assert (await connect(door, **(SETTINGS | {"mapping": MAPPING | {"rule": knows}}))).status == 200
        assert (await door.post("/v1/messages:translate", {"connection": "till"})).status == 200

        async def settled_too() -> bool:
            return not (await door.get("/v1/exceptions", code="message.untranslatable")).body["data"]

        await until(settled_too)
        assert (await door.stock("A"))["on_hand"] == -1
