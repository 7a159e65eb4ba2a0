"""Channels at the door: told by a running hub, asked about, explained, and followed."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from doors.door import DEADLINE_S, Door, Process, knocking, make_key, opened, until
from evenstock import clock, wiring
from evenstock.api.availability import SKUS_MAX
from evenstock.pipeline import feed
from evenstock.postgres import keys
from evenstock.postgres.database import Database
from evenstock.postgres.told import PROMISES_MAX

SHOP = (
    ("/v1/items:batch", {"items": [{"sku": "TEE"}, {"sku": "MUG"}, {"sku": "a/b ü"}]}),
    ("/v1/locations:batch", {"locations": [{"id": "A"}, {"id": "B"}]}),
    ("/v1/connections:batch", {"connections": [{"id": "rec", "connector": "recorder", "settings": {"path": "web.jsonl"}}]}),
    ("/v1/channels:batch", {"channels": [{"id": "web", "locations": ["A"], "safety_stock": 1, "connection": "rec"}]}),
)  # fmt: skip
LOOKED_OVER = """
    select x.ledger_seq >= (select max(ledger_seq) from channel_terms) and not exists (select from exposure_refreshes) from exposing x
"""
numbers = iter(range(1, 1_000_000))


def fact(kind: str, sku: str, units: int, at: str = "A") -> dict[str, Any]:
    data = {"location": at, "lines": [{"line": "1", "item": {"sku": sku}, "quantity": units}]}
    return {"specversion": "1.0", "id": f"f-{next(numbers)}", "source": "all", "type": kind, "data": data}


def received(sku: str, units: int, at: str = "A") -> dict[str, Any]:
    return fact("GoodsReceived.v1", sku, units, at)


def sold(sku: str, units: int, at: str = "A") -> dict[str, Any]:
    return fact("SaleRecorded.v1", sku, units, at)


@asynccontextmanager
async def shop(database: Database, data: Path) -> AsyncIterator[Door]:
    """A hub that tells, with a web channel that a recorder stands behind."""
    async with opened(database, data=data) as door:
        await set_up(door)
        await _looked_over(database)
        yield door


async def _looked_over(database: Database) -> None:
    """Wait until the new channel's numbers were computed once: from then on it is told only what changes."""
    async with wiring.session(database, "tests") as db:

        async def is_done() -> bool:
            return bool(await db.fetchval(LOOKED_OVER))

        await until(is_done)


async def set_up(door: Door) -> None:
    for path, body in SHOP:
        assert (await door.post(path, body)).status == 200


async def test_a_person_pauses_and_resumes_a_connection_and_is_told_what_becomes_of_its_data(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as door:
        paused = await door.post("/v1/connections/rec:pause", {"reason": "moving the shelf"})
        assert (paused.body["handling"], "is kept" in paused.body["words"]) == ("paused", True)
        await door.report(received("TEE", 5))

        async def owed() -> bool:
            (_, rec) = sorted((await door.get("/v1/connections")).body["data"], key=lambda each: each["id"])
            return bool(rec["numbers_owed"] == 1 and rec["reason"] == "moving the shelf")

        await until(owed)
        assert recorded(tmp_path) == []
        drained = await door.post("/v1/connections/rec:drain", {})
        assert drained.body["handling"] == "draining"

        async def told() -> bool:
            return [each["quantity"] for each in recorded(tmp_path)] == [4]

        await until(told)
        assert (await door.post("/v1/connections/rec:resume", {})).body["handling"] == "running"
        nobody = await door.post("/v1/connections/nobody:pause", {})
        assert (nobody.status, nobody.body["code"]) == (404, "connection.not_found")


def recorded(data: Path) -> list[dict[str, Any]]:
    path = data / "connections" / "rec" / "web.jsonl"
    return (
        [json.loads(line, parse_float=Decimal) for line in path.read_bytes().splitlines()]
        if path.exists()
        else []
    )


async def shows(data: Path, sku: str, units: int) -> None:
    """Wait until the last that was recorded of an item is this."""

    async def is_so() -> bool:
        await asyncio.sleep(0.01)
        return [line["quantity"] for line in recorded(data) if line["sku"] == sku][-1:] == [units]

    await until(is_so)


async def exposure(door: Door, sku: str, units: int, status: str = "told") -> dict[str, Any]:
    """Wait until an exposure is this."""
    found: dict[str, Any] = {}

    async def is_so() -> bool:
        found.update((await door.get(f"/v1/availability/{sku}", channel="web")).body.get("exposure") or {})
        return (found.get("intended"), found.get("status")) == (units, status)

    await until(is_so)
    return found


# Told ----------------------------------------------------------------------------------------------------------------


async def test_a_channel_follows_what_a_store_sells_and_the_web_reserves(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as door:
        assert (await door.report(received("TEE", 10))).outcomes == ["applied"]
        await shows(tmp_path, "TEE", 9)
        await door.report(sold("TEE", 2))
        await shows(tmp_path, "TEE", 7)
        lines = [{"line": "1", "item": {"sku": "TEE"}, "quantity": 3}]
        held = await door.post("/v1/reservations", {"channel": "web", "order_ref": "O", "lines": lines})
        assert held.status == 201
        await shows(tmp_path, "TEE", 4)
        told = recorded(tmp_path)
        assert [line["quantity"] for line in told][-3:] == [
            9,
            7,
            4,
        ]  # before them a 0, if somebody looked so early
        assert [line["version"] for line in told] == list(range(1, len(told) + 1))
        assert len({line["key"] for line in told}) == len(told)
        answer = (await door.get("/v1/exposures", channel="web")).body["data"]
        assert [row["sku"] for row in answer] == ["TEE"]


async def test_a_trace_leads_from_the_ticket_to_the_number(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as door:
        answer = await door.report(received("TEE", 10))
        await shows(tmp_path, "TEE", 9)
        assert recorded(tmp_path)[0]["trace_id"] == answer.results[0]["trace_id"]


async def test_what_was_told_outlives_a_hub_that_is_killed_and_nothing_is_told_twice(
    database: Database, tmp_path: Path
) -> None:
    key = await make_key(database, "all", "*")
    at = ("--database-url", database.url, "--schema", database.schema, "--data", str(tmp_path), "--port", "0")
    for round_ in range(2):
        process = await Process.start(*at)
        async with knocking(process.url, key) as door:
            if round_ == 0:
                await set_up(door)
                await door.report(received("TEE", 1_000))
            for _ in range(20):
                await door.report(sold("TEE", 1))
        await process.end(signal.SIGKILL)
    async with wiring.session(
        database, "tests"
    ) as db:  # its lease would end by itself; a test does not wait for it
        await db.execute("update lanes set leased_until = '2020-01-01'")
    process = await Process.start(*at)
    await shows(tmp_path, "TEE", 959)
    assert await process.end() == 0
    told = recorded(tmp_path)
    assert len({line["key"] for line in told}) == len(told)
    assert [line["version"] for line in told] == sorted(line["version"] for line in told)


# Asked -----------------------------------------------------------------------------------------------------------------


async def test_availability_for_a_channel_is_from_its_locations_less_what_it_keeps_back(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as door:
        before = (await door.report(received("TEE", 10), received("TEE", 5, "B"))).body["ledger_seq"]
        told = await exposure(door, "TEE", 9)
        found = (await door.get("/v1/availability/TEE", channel="web")).body
        assert (found["available_to_sell"], found["safety_stock"], found["on_hand"]) == (9, 1, 10)
        assert [place["id"] for place in found["locations"]] == ["A"]
        assert told["sent"] == told["acked"] == 9
        await door.post(
            "/v1/channels:batch", {"channels": [{"id": "web", "locations": ["B"], "connection": "rec"}]}
        )
        now = (await door.get("/v1/availability/TEE", channel="web")).body
        then = (await door.get("/v1/availability/TEE", channel="web", known_at=before)).body
        assert (now["available_to_sell"], then["available_to_sell"]) == (5, 9)
        for path in ("/v1/availability/TEE", "/v1/availability/TEE/explain"):
            assert (await door.get(path, channel="wob")).problem == (422, "channel.unknown", "")
            assert (await door.get(path.replace("TEE", "NO"), channel="web")).problem[1] == "item.not_found"
        assert (await door.get("/v1/availability/TEE", channel="web", location="A")).status == 422


async def test_many_items_are_answered_in_order_and_unknown_ones_by_themselves(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as door:
        await door.report(received("TEE", 10), received("MUG", 4, "B"))
        wanted = ["MUG", "nobody's", "TEE", "MUG", "a\0", "a/b ü"]
        answer = (await door.post("/v1/availability:query", {"skus": wanted})).body
        assert [item["sku"] for item in answer["data"]] == ["MUG", "TEE", "MUG", "a/b ü"]
        assert answer["unknown"] == ["nobody's", "a\0"]
        one = (await door.get("/v1/availability/MUG")).body
        assert {**answer["data"][0], "as_of": 0} == {**one, "as_of": 0}
        there = (await door.post("/v1/availability:query", {"skus": ["MUG"], "location": "A"})).body
        assert there["data"][0]["on_hand"] == 0
        web = (await door.post("/v1/availability:query", {"skus": ["TEE", "MUG"], "channel": "web"})).body
        assert [item["available_to_sell"] for item in web["data"]] == [9, 0]
        assert len({item["ledger_seq"] for item in web["data"]}) == 1
        assert (await door.post("/v1/availability:query", {"skus": []})).body == {"data": [], "unknown": []}


async def test_a_query_names_at_most_a_thousand_items(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as door:
        most = await door.post("/v1/availability:query", {"skus": ["TEE"] * SKUS_MAX})
        assert len(most.body["data"]) == SKUS_MAX
        more = await door.post("/v1/availability:query", {"skus": ["TEE"] * (SKUS_MAX + 1)})
        assert more.problem == (413, "limit.batch", "")
        both = await door.post("/v1/availability:query", {"skus": [], "channel": "web", "location": "A"})
        assert both.problem == (422, "request.malformed", "/location")


async def test_an_explanation_adds_up_now_and_then_and_says_what_was_told(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as door:
        await door.report(received("TEE", 10), received("TEE", 5, "B"))
        await exposure(door, "TEE", 9)
        lines = [{"line": "1", "item": {"sku": "TEE"}, "quantity": 3}]
        held = await door.post("/v1/reservations", {"channel": "web", "order_ref": "O-7", "lines": lines})
        told = await exposure(door, "TEE", 6)
        now = (await door.get("/v1/availability/TEE/explain", channel="web")).body
        assert now["intended"] == 6 == sum(term["quantity"] for term in now["terms"])
        terms = {term["label"]: term for term in now["terms"]}
        assert {label: term["quantity"] for label, term in terms.items()} == {
            "on_hand": 15, "elsewhere": -5, "reserved": -3, "safety_stock": -1,
        }  # fmt: skip
        assert terms["reserved"]["promises"] == [
            {
                "reservation": held.body["id"],
                "order_ref": "O-7",
                "channel": "web",
                "location": "A",
                "quantity": 3,
            }
        ]
        assert now["sentence"].startswith(
            "6 is what web should see: 15 on hand, less 5 where it does not sell from, less 3 reserved, less 1 safety stock. "
            "It was told so at "
        )
        assert (await door.get(terms["on_hand"]["link"])).body["data"]
        (newest, first) = (await door.get("/v1/exposures/log", channel="web", sku="TEE")).body["data"]
        assert (newest["quantity"], first["quantity"]) == (6, 9)
        then = (
            await door.get("/v1/availability/TEE/explain", channel="web", known_at=first["ledger_seq"])
        ).body
        assert then["intended"] == 9 == sum(term["quantity"] for term in then["terms"])
        assert told["sent_version"] == newest["version"] == 2
        everywhere = (await door.get("/v1/availability/TEE/explain")).body
        assert everywhere["intended"] == 12


async def test_the_orders_behind_a_term_are_those_that_it_is_made_of(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as door:
        await door.report(received("TEE", 10), received("TEE", 50, "B"))
        elsewhere = {"order_ref": "O-0", "lines": [_line("TEE", 1, "B")]}
        for number in range(PROMISES_MAX):
            more = {**elsewhere, "order_ref": f"O-{number}"}
            assert (await door.post("/v1/reservations", more)).status == 201
        both = {"order_ref": "O-both", "lines": [_line("TEE", 2, "A", "1"), _line("TEE", 3, "B", "2")]}
        assert (await door.post("/v1/reservations", both)).status == 201
        now = (await door.get("/v1/availability/TEE/explain", channel="web")).body
        (reserved,) = [term for term in now["terms"] if term["label"] == "reserved"]
        assert reserved["quantity"] == -2
        assert [(each["order_ref"], each["location"], each["quantity"]) for each in reserved["promises"]] == [
            ("O-both", "A", 2)
        ]
        everywhere = (await door.get("/v1/availability/TEE/explain")).body
        (reserved,) = [term for term in everywhere["terms"] if term["label"] == "reserved"]
        assert (reserved["quantity"], len(reserved["promises"])) == (-25, PROMISES_MAX)


def _line(sku: str, units: int, at: str, line: str = "1") -> dict[str, Any]:
    return {"line": line, "item": {"sku": sku}, "quantity": units, "fulfil": {"pickup_at": at}}


async def test_what_a_channel_had_been_told_at_a_time_can_be_asked_for_ever(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as door:
        await door.report(received("TEE", 10))
        first = await exposure(door, "TEE", 9)
        await door.report(sold("TEE", 4))
        second = await exposure(door, "TEE", 5)
        page = (await door.get("/v1/exposures/log", channel="web", until=second["sent_at"], limit=1)).body
        assert [(row["quantity"], row["outcome"]) for row in page["data"]] == [(9, "done")]
        whole = (await door.get("/v1/exposures/log", channel="web", limit=1)).body
        rest = (await door.get("/v1/exposures/log", channel="web", limit=1, cursor=whole["next_cursor"])).body
        assert [row["quantity"] for row in whole["data"] + rest["data"]] == [5, 9]
        as_of = (await door.get("/v1/availability/TEE/explain", channel="web", as_of=first["acked_at"])).body
        assert (as_of["intended"], as_of["exposure"]["sent"]) == (9, 9)
        assert (await door.get("/v1/exposures/log")).problem[1] == "request.malformed"
        assert (await door.get("/v1/exposures/log", channel="wob")).problem[1] == "channel.unknown"
        for cursor in ("x", "OTk5OTk5OTk5OTk5OTk5OTk5OS4xLjE"):
            assert (await door.get("/v1/exposures/log", channel="web", cursor=cursor)).status == 422
            assert (await door.get("/v1/exposures", cursor=cursor)).status == 422


async def test_connections_with_settings_that_do_not_fit_are_refused_whole(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as door:
        good = {"id": "new", "connector": "recorder"}
        for wrong, pointer in (
            ({"connector": "recordr"}, "/connections/1/connector"),
            ({"connector": "recorder", "settings": {"pth": "x"}}, "/connections/1/settings/pth"),
            ({"connector": "recorder", "settings": {"path": "../x"}}, "/connections/1/settings/path"),
        ):
            answer = await door.post("/v1/connections:batch", {"connections": [good, {"id": "odd", **wrong}]})
            assert (answer.status, answer.problem[2]) == (422, pointer)
        async with wiring.session(database, "tests") as db:
            assert await db.fetchval("select count(*) from connections where id in ('new', 'odd')") == 0


# Followed ----------------------------------------------------------------------------------------------------------------


class Stream:
    """A stream as a client reads it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_id = ""

    async def next(self) -> tuple[str, dict[str, Any]]:
        """The next event: its name and what it says."""
        name, text = "", ""
        async with asyncio.timeout(DEADLINE_S):
            async for raw in self.response.content:
                field, _, value = raw.decode().rstrip("\n").partition(": ")
                if field == "id":
                    self.last_id = value
                elif field == "event":
                    name = value
                elif field == "data":
                    text += value
                elif not field and text:
                    return name, json.loads(text)
        return "end", {}

    async def ready(self) -> None:
        """Read the place from which on it follows."""
        async with asyncio.timeout(DEADLINE_S):
            while not self.last_id:
                line = (await self.response.content.readline()).decode()
                if line.startswith("id: "):
                    self.last_id = line.removeprefix("id: ").strip()


@asynccontextmanager
async def following(door: Door, query: str = "", last: str | None = None) -> AsyncIterator[Stream]:
    headers = {"Authorization": f"Bearer {door.key}"} | ({"Last-Event-ID": last} if last else {})
    async with door.session.get(f"{door.url}/v1/streams/availability{query}", headers=headers) as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        stream = Stream(response)
        await stream.ready()
        yield stream


async def test_a_stream_tells_what_a_channel_should_see_as_it_changes(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as door, following(door, "?channel=web") as stream:
        answer = await door.report(received("TEE", 10))
        name, said = await stream.next()
        assert (name, said["sku"], said["intended"], said["was"]) == ("availability.changed", "TEE", 9, None)
        assert said["trace_id"] == answer.results[0]["trace_id"]
        await door.report(sold("TEE", 9))
        _, said = await stream.next()
        assert (said["intended"], said["was"], said["because"]) == (0, 9, "sale")


async def test_a_stream_without_a_channel_tells_how_items_stand(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as door, following(door, "?sku=MUG") as stream:
        await door.report(received("TEE", 10), received("MUG", 4, "B"))
        _, said = await stream.next()
        assert (said["sku"], said["available_to_sell"]) == ("MUG", 4)
        lines = [{"line": "1", "item": {"sku": "MUG"}, "quantity": 1, "fulfil": {"pickup_at": "B"}}]
        await door.post("/v1/reservations", {"order_ref": "O", "lines": lines})
        _, said = await stream.next()
        assert (said["reserved"], said["available_to_sell"]) == (1, 3)


@pytest.mark.parametrize("query", ["", "?channel=web"])
async def test_who_comes_back_is_told_what_changed_meanwhile_once(
    query: str, database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as door:
        async with following(door, query) as stream:
            await door.report(received("TEE", 10))
            await stream.next()
        for _ in range(3):
            await door.report(sold("TEE", 1))
        await door.report(received("MUG", 2))
        await exposure(door, "TEE", 6)
        await exposure(door, "MUG", 1)
        async with following(door, query, stream.last_id) as again:
            seen = [(await again.next())[1]["sku"] for _ in range(2)]
            assert sorted(seen) == ["MUG", "TEE"]
            await door.report(sold("TEE", 1))
            assert (await again.next())[1]["sku"] == "TEE"


@pytest.mark.parametrize("last", ["nonsense", "é", "eC4xLjE", "eC45OTk5OTk5LjEuMQ", "cy45OTk5OTk5LjEuMA"])
async def test_a_place_that_is_not_ours_is_answered_with_a_reset(
    last: str, database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as door:
        headers = {"Authorization": f"Bearer {door.key}", "Last-Event-ID": last}
        async with door.session.get(f"{door.url}/v1/streams/availability", headers=headers) as response:
            assert await response.content.readline() == b"event: reset\n"


async def test_a_stream_of_a_channel_that_is_not_there_is_refused(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as door:
        assert (await door.get("/v1/streams/availability", channel="wob")).problem[1] == "channel.unknown"
        assert (await door.get("/v1/streams/availability", chanel="web")).problem[1] == "request.malformed"
        long = {"Last-Event-ID": "x" * 201}
        assert (await door.call("GET", "/v1/streams/availability", headers=long)).problem[
            1
        ] == "request.malformed"


async def test_who_reads_too_slowly_is_cut_and_misses_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "WAITING_MAX", 2)
    async with opened(database, data=tmp_path) as door:
        await set_up(door)
        async with following(door) as stream:
            await door.report(received("TEE", 1), received("MUG", 1), received("a/b ü", 1))
            name, said = await stream.next()
            assert (name, said["code"]) == ("cut", "limit.slow_reader")
            assert (await stream.next())[0] == "end"
        monkeypatch.setattr(feed, "WAITING_MAX", 100)
        async with following(door, "", stream.last_id) as again:
            assert {(await again.next())[1]["sku"] for _ in range(3)} == {"TEE", "MUG", "a/b ü"}


async def test_more_streams_than_a_process_keeps_are_refused(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "FOLLOWERS_MAX", 1)
    async with shop(database, tmp_path) as door:
        async with following(door):
            assert (await door.get("/v1/streams/availability")).problem[:2] == (503, "limit.streams")

        async def is_free() -> bool:
            headers = {"Authorization": f"Bearer {door.key}"}
            async with door.session.get(f"{door.url}/v1/streams/availability", headers=headers) as response:
                return response.status == 200

        await until(is_free)


async def test_nothing_new_is_said_too_and_a_revoked_key_ends_the_stream(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evenstock.api.streams.HEARTBEAT_S", 0.05)
    async with shop(database, tmp_path) as door:
        key = await make_key(database, "reader", "availability:read")
        async with following(door.with_key(key)) as stream:
            assert await stream.next() == ("heartbeat", {})
            async with wiring.session(database, "tests") as db:
                assert await keys.revoke(db, key.split("_")[1], clock.now())
            while (event := await stream.next())[0] != "end":
                assert event[0] == "heartbeat"


async def test_a_hub_that_stops_ends_its_streams_and_does_not_wait_for_them(
    database: Database, tmp_path: Path
) -> None:
    key = await make_key(database, "all", "*")
    at = ("--database-url", database.url, "--schema", database.schema, "--data", str(tmp_path), "--port", "0")
    process = await Process.start(*at)
    async with knocking(process.url, key) as door, following(door) as stream:
        async with asyncio.timeout(10):
            assert await process.end() == 0
        assert (await stream.next())[0] == "end"
