"""One id from the ticket to the channel's acknowledgement: by whatever it is asked for, in time order, with what is missing."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from channel import System, teller
from conftest import owner
from doors.door import Answer, Door, evenstock, event, line, opened, receipt, sale, until
from doors.hooked import ENVIRON, Till, connect, settled, ticket
from doors.hooked import sold as sold_line
from doors.test_channels import received, recorded, shop, shows
from evenstock.connectors.calling import call
from evenstock.connectors.contract import Outcome, Reply, RetryLater, Unauthorized, World
from evenstock.pipeline.trace import Wanted, anything, trace
from evenstock.pipeline.vault import Vault
from evenstock.postgres import masters, owners
from evenstock.postgres import traces as stored
from evenstock.postgres.database import Database
from hub import event as fact
from hub import hub
from hub import line as fact_line
from seller import seller

GIVEN = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = {"traceparent": f"00-{GIVEN}-00f067aa0ba902b7-01"}
OTHER = "0af7651916cd43dd8448eb211c80319c"


async def sent(door: Door, path: str, value: Any, **headers: str) -> Answer:
    return await door.call("POST", path, json.dumps(value).encode(), headers)


async def traced(door: Door, **query: str) -> dict[str, Any]:
    answer = await door.get("/v1/traces", **query)
    assert answer.status == 200, answer.raw
    found: dict[str, Any] = answer.body
    times = [step["at"] for step in found["steps"]]
    assert times == sorted(times), "steps are told in time order"
    return found


async def ended(door: Door, **query: str) -> dict[str, Any]:
    """The trace, once nothing of it is under way."""

    async def is_so() -> bool:
        return bool((await traced(door, **query))["status"] != "waiting")

    await until(is_so)
    return await traced(door, **query)


def words(found: dict[str, Any]) -> list[str]:
    return [step["words"] for step in found["steps"]]


def names(found: dict[str, Any]) -> list[str]:
    return [step["step"] for step in found["steps"]]


# From the ticket to the acknowledgement ----------------------------------------------------------------------------------


async def test_a_ticket_is_followed_to_the_channels_acknowledgement_by_whatever_it_is_known(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as door:
        await door.report(received("TEE", 10))
        await shows(tmp_path, "TEE", 9)
        sold = event(
            "T-1",
            "SaleRecorded",
            {"location": "A", "ticket": "88213", "lines": [line("TEE", 2)]},
            source="all",
        )
        answer = await sent(door, "/v1/events", sold, **PARENT)
        assert answer.results[0]["trace_id"] == GIVEN, "what comes in under a trace is kept with the fact"
        assert answer.headers["traceparent"].split("-")[1] == GIVEN, "and answered"
        await shows(tmp_path, "TEE", 7)
        assert recorded(tmp_path)[-1]["trace_id"] == GIVEN, "and goes out with the number"

        found = await ended(door, event="T-1", source="all")
        assert found["trace_id"] == GIVEN
        assert (found["status"], found["missing"], found["waiting_for"]) == ("done", [], [])
        assert names(found) == ["happened", "received", "booked", "computed", "told", "acknowledged"]
        booked, computed = found["steps"][2], found["steps"][3]
        assert booked["words"] == "TEE at A: sold 2."
        assert computed["words"] == "web should see 7 of TEE; it was told 9 before."
        assert found["steps"][-1]["words"] == "web confirmed 7 of TEE."
        assert {step["trace_id"] for step in found["steps"]} == {GIVEN}

        movement = booked["movement"]
        dispatch = found["steps"][-1]["dispatch"]
        assert dispatch == recorded(tmp_path)[-1]["key"]
        for query in (
            {"trace_id": GIVEN}, {"event": "T-1"}, {"ticket": "88213"}, {"movement": movement}, {"dispatch": dispatch},
            {"id": GIVEN}, {"id": "T-1"}, {"id": "88213"}, {"id": movement}, {"id": dispatch},
        ):  # fmt: skip
            assert await traced(door, **query) == found, query


async def test_an_event_names_its_own_trace_and_one_without_gets_ours(door: Door) -> None:
    await door.know("A")
    own = f"00-{OTHER}-00f067aa0ba902b7-01"
    answer = await sent(door, "/v1/events", [sale("1", "A", traceparent=own), sale("2", "A")], **PARENT)
    assert [result["trace_id"] for result in answer.results] == [OTHER, GIVEN]
    plain = await door.report(sale("3", "A"))
    assert (await traced(door, trace_id=plain.results[0]["trace_id"]))["steps"][0]["event"] == "3"
    assert "traceparent" not in plain.headers
    bad = await sent(door, "/v1/events", sale("4", "A"), traceparent="00-zz-1-01")
    assert bad.outcomes == ["applied"], "a malformed one is as good as none"
    assert "traceparent" not in bad.headers


async def test_an_order_is_followed_from_its_hold_to_what_left_for_it(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as door:
        await door.report(received("TEE", 10))
        await shows(tmp_path, "TEE", 9)
        wanted = {
            "channel": "web",
            "order_ref": "ORD-1",
            "lines": [{"line": "1", "item": {"sku": "TEE"}, "quantity": 3}],
        }
        held = await sent(door, "/v1/reservations", wanted, **PARENT)
        assert (held.status, held.body["trace_id"]) == (201, GIVEN)
        assert held.headers["traceparent"].split("-")[1] == GIVEN
        await shows(tmp_path, "TEE", 6)
        assert recorded(tmp_path)[-1]["trace_id"] == GIVEN, "a number that a hold changed is of its trace"
        assert (await door.get(f"/v1/reservations/{held.body['id']}")).body["trace_id"] == GIVEN
        left = event(
            "S-1",
            "ShipmentConfirmed",
            {"location": "A", "order_ref": "ORD-1", "lines": [line("TEE", 3)]},
            source="all",
        )
        assert (await door.report(left)).outcomes == ["applied"]
        found = await ended(door, order="ORD-1")
        assert found["trace_ids"] == [(await traced(door, event="S-1"))["trace_ids"][0], GIVEN]
        assert "3 of TEE at A promised to ORD-1." in words(found)
        assert "3 of TEE left A for ORD-1." in words(found)
        assert any(said.startswith("TEE at A: shipped 3 to a customer") for said in words(found))
        assert [said for said in words(found) if "confirmed" in said] == ["web confirmed 6 of TEE."]
        assert found["status"] == "done", "what left was promised, so the number stays"
        assert (await traced(door, reservation=held.body["id"]))["steps"] == found["steps"]
        assert (await traced(door, trace_id=GIVEN))["steps"] == found["steps"]


async def test_a_hold_without_a_traceparent_has_a_trace_of_ours(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as door:
        await door.report(received("TEE", 10))
        await shows(tmp_path, "TEE", 9)
        wanted = {
            "channel": "web",
            "order_ref": "ORD-1",
            "lines": [{"line": "1", "item": {"sku": "TEE"}, "quantity": 3}],
        }
        held = (await door.post("/v1/reservations", wanted)).body
        await shows(tmp_path, "TEE", 6)
        assert recorded(tmp_path)[-1]["trace_id"] == held["trace_id"]
        found = await ended(door, trace_id=held["trace_id"])
        assert names(found) == ["promised", "computed", "told", "acknowledged"]
        released = await door.post(f"/v1/reservations/{held['id']}:release", {})
        assert released.body["trace_id"] == held["trace_id"]
        assert "3 of TEE at A given back by ORD-1." in words(await traced(door, id=held["id"]))


async def test_a_vendors_message_and_all_that_comes_of_it_are_one_trace(database: Database) -> None:
    async with opened(database, vault=Vault(None, ENVIRON)) as door:
        await door.know("A")
        assert (await connect(door)).status == 200
        till = Till(door)
        body = json.dumps(ticket("T-1", sold_line("A", 3), sold_line("A", -1))).encode()
        taken = await till.send(body, **till.headers(body), **PARENT)
        assert (taken.status, taken.body["trace_id"]) == (202, GIVEN)
        await settled(door)
        found = await traced(door, message=taken.body["id"])
        assert names(found)[:1] == ["happened"]
        assert sum(step["step"] == "booked" for step in found["steps"]) == 2
        made = (await door.get("/v1/messages")).body["data"][-1]["events"]
        assert len(made) == 2
        assert f"{taken.body['id']} says: {', '.join(made)}." in words(found)
        assert found["trace_ids"] == [GIVEN]
        assert (await traced(door, ticket="T-1"))["steps"] == found["steps"]

        ours = await till.post(ticket("T-2", sold_line("A", 1)))
        await settled(door)
        by_id = await traced(door, trace_id=ours.body["trace_id"])
        assert [step["message"] for step in by_id["steps"] if step["step"] == "translated"] == [
            ours.body["id"]
        ]
        assert (await traced(door, event="T-2", source="till"))["steps"] == by_id["steps"]

        again = await till.send(
            body, **till.headers(body, "another id"), traceparent=f"00-{OTHER}-00f067aa0ba902b7-01"
        )
        assert again.body["trace_id"] == OTHER
        dead = await till.post({"nothing": "of use"})
        await settled(door)
        lost = await traced(door, message=dead.body["id"])
        assert (lost["status"], lost["waiting_for"]) == ("failed", ["evenstock"])
        assert lost["missing"][0]["exception_id"] == lost["steps"][-1]["exception_id"]


# What is missing -----------------------------------------------------------------------------------------------------------


async def test_what_waits_says_for_what_and_since_when(door: Door) -> None:
    await door.know("A")
    await door.report(
        event("H", "SaleRecorded", {"location": "0107", "lines": [line("A"), line("NEW", name="2")]})
    )
    held = await traced(door, event="H")
    assert (held["status"], len(held["missing"])) == ("failed", 1)
    assert re.fullmatch(
        r"Line 2 of H is not booked, since \d\d:\d\d:\d\d: stock\.unknown_item\.", held["missing"][0]["words"]
    )
    assert held["missing"][0]["since"] == next(step["at"] for step in held["steps"] if step["step"] == "held")
    await door.know("NEW")
    mended = await traced(door, event="H")
    assert (mended["status"], mended["missing"]) == ("done", [])
    assert [step["step"] for step in mended["steps"]].count("booked") == 2

    await door.report(event("V", "FactVoided", {"target": "S", "goods": "never_left"}))
    waiting = await traced(door, event="V")
    assert (waiting["status"], waiting["waiting_for"]) == ("waiting", ["pos-nl"])
    assert "has not sent S, for which V waits" in waiting["missing"][0]["words"]
    await door.report(sale("S", "A"))
    both = await traced(door, event="S")
    assert both["steps"] == (await traced(door, event="V"))["steps"], "a void and its fact are one story"
    assert both["status"] == "done"

    await door.report(sale("S", "A", 5))
    assert "S came again with other content; the first stands." in words(await traced(door, event="S"))


async def test_an_order_that_a_shop_has_sold_is_followed_from_its_event_to_its_promise(door: Door) -> None:
    await door.know("TSH")
    made = await door.post("/v1/channels:batch", {"channels": [{"id": "market", "locations": ["0107"]}]})
    assert made.status == 200, made.raw
    await door.report(receipt("r", "TSH", 3))

    def order(kind: str, id_: str, ref: str, *lines: dict[str, Any]) -> dict[str, Any]:
        data = {"channel": "market", "order_ref": ref}
        return event(id_, kind, data | ({"lines": list(lines)} if lines else {}))

    await door.report(order("OrderPlaced", "o-1", "1001", line("TSH", 5)))

    async def is_promised() -> bool:
        return names(await traced(door, event="o-1")).count("promised") == 2

    await until(is_promised)
    found = await traced(door, event="o-1")
    assert [step["words"] for step in found["steps"] if step["step"] == "promised"] == [
        "3 of TSH at 0107 promised to 1001.",
        "2 of TSH at 0107 taken over for 1001: more than there was, and promised elsewhere.",
    ]
    assert words(await traced(door, order="1001")) == words(found)

    await door.report(
        order("OrderPlaced", "o-2", "1002", line("NEW", 1)), order("OrderCancelled", "c-3", "1003")
    )

    async def is_told() -> bool:
        waits = (await traced(door, event="o-2"))["status"] == "failed"
        return waits and "parked" in names(await traced(door, event="c-3"))

    await until(is_told)
    (lacks,) = (await traced(door, order="1002"))["missing"]
    assert lacks["words"].startswith("The order 1002 is not promised")
    assert lacks["exception_id"].startswith("exc_")
    assert "The order 1002 of market cannot be promised yet: stock.unknown_item." in words(
        await traced(door, event="o-2")
    )
    (lacks,) = (await traced(door, event="c-3"))["missing"]
    assert lacks["words"].startswith("pos-nl has not sent the order 1003, for which c-3 waits")


async def test_a_void_that_waits_for_who_is_right_says_so(database: Database) -> None:
    async with hub(database, "pos-nl", "pos-old") as shop_:
        await shop_.locations("A")
        await shop_.items("TEE")
        ids = await masters.connections(shop_.db)
        await owners.claim(shop_.db, [("store_sales", "default", ids["pos-nl"], True)], shop_.now)
        goods = {"location": "A", "lines": [fact_line("TEE", 1)]}
        await shop_.apply(fact("sale", "S-1", shop_.now, goods, source="pos-nl"))
        void = {"target": {"source": "pos-nl", "id": "S-1"}, "goods": "never_left"}
        assert await shop_.answers(fact("void", "V-1", shop_.now, void, source="pos-old")) == [
            "ownership.other"
        ]
        found = await trace(shop_.db, Wanted(event="V-1"), "tag", shop_.now)
        assert "V-1 was held: ownership.other." in [step.words for step in found.steps]
        (lacks,) = found.missing
        assert lacks.words.startswith("V-1 is not booked")


async def test_what_is_not_there_is_told_so_and_what_is_twofold_asks_which(door: Door) -> None:
    await door.know("A")
    for query in (
        {"event": "x"}, {"ticket": "x"}, {"order": "x"}, {"id": "x"}, {"trace_id": OTHER}, {"trace_id": "0" * 32},
        {"reservation": "rsv_1"}, {"reservation": "x"}, {"movement": "mov_1_99999999999"}, {"movement": "mov_1"}, {"message": "msg_7"},
        {"message": "msg_" + "9" * 40}, {"dispatch": "x-1-1-1"}, {"id": "mov_" + "9" * 18 + "_1"}, {"id": "ü"},
    ):  # fmt: skip
        assert (await door.get("/v1/traces", **query)).problem[:2] == (404, "trace.not_found"), query
    for query in ({}, {"event": "x", "order": "y"}, {"order": "x", "source": "y"}, {"colour": "red"}):
        assert (await door.get("/v1/traces", **query)).problem[:2] == (422, "request.malformed"), query
    await door.report(sale("T", "A"))
    await door.report(sale("T", "A", source="pos-be"))
    both = await door.get("/v1/traces", event="T")
    assert both.problem[:2] == (409, "trace.ambiguous")
    assert "pos-nl, pos-be" in both.body["detail"]
    assert (await traced(door, event="T", source="pos-be"))["steps"][0]["system"] == "pos-be"


async def test_a_channel_that_does_not_acknowledge_is_named_with_since_when(
    database: Database, tmp_path: Path
) -> None:
    system = System()
    async with hub(database, "pos") as till, teller(database, tmp_path, system) as tells:
        await till.locations("A")
        await till.items("TEE")
        await tells.connection()
        await tells.channel("web", "A")
        await till.apply(fact("receipt", "r", tells.now, {"location": "A", "lines": [fact_line("TEE", 5)]}))
        tells.now = till.now

        async def now() -> Any:
            return await trace(tells.db, Wanted(event="r"), "tag", tells.now)

        found = await now()
        assert found.waiting_for == ["web"]
        assert "not computed yet" in found.missing[0].words
        await tells.expose()
        assert "is not yet told 5 of TEE" in (await now()).missing[0].words
        system.next = [RetryLater("Busy.")]
        await tells.tell()
        found = await now()
        assert [(step.step, step.state) for step in found.steps][-2:] == [
            ("told", "done"),
            ("refused", "failed"),
        ]
        assert found.steps[-1].words == "web did not take it and is asked again: Busy."
        assert (
            found.missing[0].words
            == f"TEE is not yet acknowledged by web, since {found.steps[-2].at:%H:%M:%S}."
        )
        assert (found.status, found.missing[0].overdue) == ("waiting", False)
        tells.later(31)
        assert (await now()).missing[0].overdue, "the service level is 30 seconds"
        system.next = [Unauthorized("The token is old.")]
        await tells.tell()
        found = await now()
        assert (found.status, found.missing[0].state) == ("failed", "failed")
        assert found.missing[0].words.endswith(": The token is old.")
        await tells.connection(token="new")
        await tells.tell()
        found = await now()
        assert (found.status, found.missing) == ("done", [])
        assert found.steps[-1].words == "web confirmed 5 of TEE."
        assert [step.words for step in found.steps if step.step == "told"][1:] == [
            "web was told 5 of TEE, try 2.", "web was told 5 of TEE, try 3.",
        ]  # fmt: skip


async def test_a_call_goes_out_under_the_trace_of_what_it_tells(database: Database, tmp_path: Path) -> None:
    system = System()
    asked: list[str] = []

    class Http:
        async def request(self, method: str, url: str, **more: Any) -> Reply:  # noqa: ARG002
            asked.append(more["headers"]["traceparent"])
            return Reply(200, {}, b"")

    async def by_http(settings: Any, world: World, exposures: Any) -> list[Outcome]:
        await call(msgspec.structs.replace(world, http=Http()), "POST", "https://shop.example", changes=True)
        return await system.publish(settings, world, exposures)

    system.answering = by_http
    async with hub(database, "pos") as till, teller(database, tmp_path, system) as tells:
        await till.locations("A")
        await till.items("TEE")
        await tells.connection()
        await tells.channel("web", "A")
        receipt = fact("receipt", "r", tells.now, {"location": "A", "lines": [fact_line("TEE", 5)]})
        await till.apply(receipt | {"traceparent": PARENT["traceparent"]})
        tells.now = till.now
        await tells.say()
    assert [re.fullmatch(rf"00-{GIVEN}-[0-9a-f]{{16}}-01", each) is not None for each in asked] == [True]


async def test_a_number_that_another_trace_took_further_counts_this_one_in(
    database: Database, tmp_path: Path
) -> None:
    async with hub(database, "pos") as till, teller(database, tmp_path) as tells:
        await till.locations("A", "B")
        await till.items("TEE")
        await tells.connection()
        await tells.channel("web", "A")

        async def book(kind: str, key: str, units: int, at: str = "A") -> None:
            await till.apply(fact(kind, key, tells.now, {"location": at, "lines": [fact_line("TEE", units)]}))
            tells.now = till.now

        await book("receipt", "r", 5)
        await tells.say()
        for number in range(3):
            await book("sale", f"s-{number}", 1)
        await tells.say()
        for number in range(3):
            found = await trace(tells.db, Wanted(event=f"s-{number}"), "tag", tells.now)
            assert found.steps[-1].words == "web confirmed 2 of TEE.", "three sales, one number"
            assert found.status == "done"
        await book("receipt", "elsewhere", 7, "B")
        found = await trace(tells.db, Wanted(event="elsewhere"), "tag", tells.now)
        assert [step.step for step in found.steps] == ["happened", "received", "booked"], (
            "web does not sell from B"
        )
        assert found.status == "done"


# At any size ---------------------------------------------------------------------------------------------------------------

LARGE = (
    "facts",
    "movements",
    "claim_entries",
    "shipments",
    "exposure_log",
    "attempts",
    "messages",
    "reservations",
    "batches",
    "postings",
    "posting_lines",
    "posting_entries",
    "posting_attempts",
    "commands",
    "command_lines",
    "command_attempts",
)
GIVEN_TO: dict[str, tuple[Any, ...]] = {
    "facts_of_trace": (GIVEN, 9), "facts_of_key": ("k", None, 9), "facts_of_ticket": ("t", 9), "facts_of_movement": (1, 0),
    "facts_of_message": ([1], 9), "facts_shipped": ([1], "o", 9), "facts_related": ([1], ["pos"], ["k"], 9), "facts": ([1],),
    "held": ([1],), "reused": ([1],), "movements": ([1], [1], 9), "reservations_of_trace": (GIVEN, 9), "reservations_of_order": ("o", 9),
    "reservations_shipped": ([1], 9), "reservations": ([1],), "claims": ([1], 9), "messages_of_trace": (GIVEN, 9), "messages": ([1],),
    "exposure": (1, 1, 1), "numbers": ([1], [1], [1], 9), "tries": ([1], [1], [1], 9),
    "facts_of_posting": (1, "4901", 9), "postings": ([1], [1], 9), "posting_tries": ([1], 9), "books_behind": ([1], [1]),
    "reservations_of_command": (1, "W-1", 9), "commands": ([1], 9), "command_lines": ([1],), "command_tries": ([1], 9),
}  # fmt: skip


def literal(value: Any) -> str:
    if isinstance(value, list):
        return "array[" + ", ".join(map(literal, value)) + "]"
    return "null" if value is None else f"'{value}'" if isinstance(value, str) else str(value)


async def test_a_trace_reads_nothing_large_but_by_an_index(database: Database) -> None:
    assert set(GIVEN_TO) == set(stored.SQL), "every query is tried"
    async with owner(database) as db:
        await db.execute("set enable_seqscan = off")
        for name, given in GIVEN_TO.items():
            text = stored.SQL[name]
            for number in range(len(given), 0, -1):
                text = text.replace(f"${number}", literal(given[number - 1]))
            plan = "\n".join(row[0] for row in await db.fetch(f"explain {text}"))
            read_whole = [table for table in LARGE if re.search(rf"Seq Scan on {table}\b", plan)]
            assert read_whole == [], f"{name}\n{plan}"


# The command ---------------------------------------------------------------------------------------------------------------


async def test_the_command_tells_the_story_and_its_code_says_whether_it_has_ended(
    door: Door, database: Database
) -> None:
    at = ("--database-url", database.url, "--schema", database.schema)
    await door.know("A")
    await door.report(sale("T-1", "A"))
    code, out, _ = await evenstock("trace", "T-1", *at)
    assert code == 0
    first, *steps, last = out.splitlines()
    assert re.fullmatch(r"trace [0-9a-f]{32}", first)
    assert [re.match(r"✓ \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  \S", step) is not None for step in steps] == [
        True
    ] * 3
    assert last == "→ Nothing is missing."
    code, out, _ = await evenstock("trace", "T-1", "--source", "pos-nl", "--json", *at)
    assert (code, json.loads(out)["steps"][0]["event"]) == (0, "T-1")

    await door.report(sale("T-2", "NEW"))
    code, out, _ = await evenstock("trace", "T-2", *at)
    assert code == 3
    assert "… " in out
    assert out.splitlines()[-1].endswith("stock.unknown_item. That is longer than it should take.")

    await door.report(sale("T-1", "A", source="pos-be"))
    code, out, said = await evenstock("trace", "T-1", *at)
    assert (code, out) == (2, "")
    assert "--source" in said
    code, out, said = await evenstock("trace", "T-9", *at)
    assert (code, out) == (4, "")
    assert "Nothing here goes by `T-9`" in said


async def test_anything_finds_what_every_way_finds(database: Database) -> None:
    """The one search box: it tries ids of ours last, for an order may be named like one."""
    async with hub(database, "pos") as till, seller(database) as sells:
        await till.locations("A")
        await till.items("TEE")
        await till.apply(fact("receipt", "r", till.now, {"location": "A", "lines": [fact_line("TEE", 5)]}))
        sells.now = till.now
        number = await sells.hold("rsv_1", "TEE", 1, at="A")
        found = await anything(till.db, "rsv_1", "tag", till.now)
        assert found.steps[0].words == "1 of TEE at A promised to rsv_1."
        assert found.steps[0].reservation == f"rsv_{number:010d}"
