"""What was kept reaches a real hub: in order, once, whatever the line does, and what the hub will not have is shown."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from conftest import owner
from doors.door import Door, make_key, receipt, sale, until
from edge.road import road
from edge.shop import plan, shop
from evenstock import clock
from evenstock.address import bound, url_of
from evenstock.connectors.contract import Reply
from evenstock.edge import verdict as verdicts
from evenstock.edge.line import Line
from evenstock.edge.store import Limits
from evenstock.postgres.database import Database

REGISTERS = "12"


@pytest.fixture(autouse=True)
def _a_person_mends_things_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "BLOCKED_AGAIN_S", 0.1)


def ticket(number: int, register: str = "1", **members: Any) -> dict[str, Any]:
    found = sale(f"{register}-{number}", "A", **members)
    found["data"]["register"] = register
    return found


async def agents_key(database: Database, name: str = "pos-nl") -> str:
    return await make_key(database, name, "events:write", device=True)


async def in_order(database: Database) -> list[str]:
    """The keys of the ledger's facts in the order of their batches, and within one in the order of their numbers."""
    async with owner(database) as db:
        rows = await db.fetch(
            "select f.key, m.ledger_seq from facts f join movements m using (fact_id) group by 1, 2"
        )
    return [
        row["key"] for row in sorted(rows, key=lambda row: (row["ledger_seq"], int(row["key"].split("-")[1])))
    ]


async def streams(database: Database) -> dict[tuple[str, str], list[int]]:
    async with owner(database) as db:
        rows = await db.fetch("select stream, epoch, seen from streams")
    return {(row["stream"], row["epoch"]): row["seen"] for row in rows}


async def troubles(door: Door) -> list[str]:
    return [row["code"] for row in (await door.get("/v1/exceptions")).body["data"]]


async def test_a_shop_that_was_offline_reports_all_in_order_once_the_line_is_back(
    door: Door, database: Database, tmp_path: Path
) -> None:
    await door.know("A")
    key = await agents_key(database)
    async with road(None) as way, shop(plan(tmp_path / "a", way.url, key)) as found:
        for number in range(1, 601):
            await found.door.report(*(ticket(number, register) for register in REGISTERS))
        stands = await found.until(lambda stands: stands["trouble"] is not None)
        assert (stands["waiting"], stands["blocked"], stands["contact_at"]) == (1_200, False, None)
        way.lead(door.url)
        stands = await found.forwarded()
        assert stands["forwarded"] == {"applied": 1_200}
        stands = await found.until(lambda stands: stands["trouble"] is None)
        assert stands["contact_at"] is not None
    keys = await in_order(database)
    for register in REGISTERS:
        own = [key for key in keys if key.startswith(register)]
        assert own == [f"{register}-{number}" for number in range(1, 601)]
    assert (await door.stock("A"))["on_hand"] == -1_200
    assert set(map(tuple, (await streams(database)).values())) == {(1, 600)}
    assert await troubles(door) == ["stock.negative"]


async def test_what_was_on_its_way_when_the_answer_was_lost_is_sent_again_and_booked_once(
    door: Door, database: Database, tmp_path: Path
) -> None:
    await door.know("A")
    key = await agents_key(database)
    async with road(door.url) as way, shop(plan(tmp_path / "a", way.url, key)) as found:
        way.lose_answers = 3
        for number in range(1, 41):
            await found.door.report(ticket(number))
        stands = await found.forwarded()
        assert way.lost == 3
        assert sum(stands["forwarded"].values()) == 40
        assert stands["forwarded"]["duplicate"] >= 1
    assert await in_order(database) == [f"1-{number}" for number in range(1, 41)]
    assert (await door.stock("A"))["on_hand"] == -40


async def test_each_event_has_its_outcome_and_a_rejected_one_stops_nothing_and_is_shown(
    door: Door, database: Database, tmp_path: Path
) -> None:
    await door.know("A")
    key = await agents_key(database)
    too_many = ticket(2)
    too_many["data"]["lines"][0]["quantity"] = 10**13
    unknown = ticket(3)
    unknown["data"]["lines"][0]["item"] = {"sku": "NEW"}
    void = sale("v", "A") | {"type": "FactVoided.v1", "data": {"target": "later", "goods": "never_left"}}
    async with road(None) as way, shop(plan(tmp_path / "a", way.url, key)) as found:
        await found.door.report(
            ticket(1), too_many, unknown, void, ticket(1, time="2026-01-20T00:00:00Z"), ticket(4)
        )
        way.lead(door.url)
        stands = await found.forwarded()
        assert stands["forwarded"] == {"applied": 2, "rejected": 1, "held": 2, "parked": 1}
        (rejected,) = stands["rejected"]
        assert (rejected["id"], rejected["code"]) == ("1-2", "quantity.too_large")
        assert rejected["pointer"] == "/data/lines/0/quantity"
    assert (await door.stock("A"))["on_hand"] == -2


async def test_a_request_that_is_refused_as_a_whole_is_taken_apart(
    door: Door, database: Database, tmp_path: Path
) -> None:
    """All of it is what the hub calls hostile, so it answers 422; each is set aside alone, and the next ones go."""
    await door.know("A")
    key = await agents_key(database)
    async with road(None) as way, shop(plan(tmp_path / "a", way.url, key)) as found:
        bad = [ticket(number) for number in range(5)]
        for event in bad:
            event["data"]["lines"][0]["quantity"] = 10**13
        await found.door.report(*bad)
        way.lead(door.url)
        assert (await found.forwarded())["forwarded"] == {"rejected": 5}
        await found.door.report(ticket(9))
        assert (await found.forwarded())["forwarded"] == {"rejected": 5, "applied": 1}


def saying(words: str) -> Callable[[dict[str, Any]], bool]:
    """Whether an agent's trouble is told in these words."""
    return lambda stands: words in (stands["trouble"] or "")


async def test_a_wrong_key_stops_with_words_and_a_right_one_goes_on_without_a_restart(
    door: Door, database: Database, tmp_path: Path
) -> None:
    await door.know("A")
    file = tmp_path / "key"
    for wrong, words in (
        ("evk_wrong", "not known, or was revoked"),
        ("two words", "does not hold one key"),
        (None, "cannot be read"),
    ):
        if wrong is None:
            file.unlink()
        else:
            file.write_text(wrong)
        async with shop(plan(tmp_path / "a", door.url, file)) as found:
            await found.door.report(ticket(1))
            stands = await found.until(saying(words))
            assert (stands["blocked"], stands["waiting"]) == (True, 1)
            if wrong is None:
                file.write_text(await agents_key(database) + "\n")
                stands = await found.forwarded()
                assert stands["forwarded"] == {"applied": 1}
                await found.until(lambda stands: not stands["blocked"])


async def test_a_source_that_the_key_may_not_speak_for_waits_and_the_others_go(
    door: Door, database: Database, tmp_path: Path
) -> None:
    await door.know("A")
    await make_key(database, "pos-be", "events:write")
    key = await agents_key(database)
    async with shop(plan(tmp_path / "a", door.url, key)) as found:
        await found.door.report(ticket(1), ticket(1, "2", source="pos-be"), ticket(2))
        stands = await found.until(lambda stands: stands["waiting"] == 1 and stands["blocked"])
        assert "pos-be" in stands["trouble"]
        await found.door.report(ticket(3))
        stands = await found.until(lambda stands: stands["forwarded"] == {"applied": 3})
        assert stands["waiting"] == 1
        async with owner(database) as db:
            await db.execute(
                "update api_keys set connection_ids = (select array_agg(connection_id) from connections)"
            )
        assert (await found.forwarded())["forwarded"] == {"applied": 4}


@asynccontextmanager
async def somebody(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    """Somebody at an address who is no hub of ours; yields the URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    with bound("127.0.0.1", 0) as listener:
        await web.SockSite(runner, listener).start()
        yield url_of(listener)
        await runner.cleanup()


async def test_a_login_page_at_the_hubs_address_loses_nothing(
    door: Door, database: Database, tmp_path: Path
) -> None:
    await door.know("A")
    key = await agents_key(database)

    async def login(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text="<html>Welcome, guest</html>", content_type="text/html")

    async with (
        somebody(login) as stranger,
        road(stranger) as way,
        shop(plan(tmp_path / "a", way.url, key)) as found,
    ):
        await found.door.report(ticket(1), ticket(2))
        stands = await found.until(lambda stands: stands["blocked"])
        assert "login page" in stands["trouble"]
        assert stands["contact_at"] is None
        way.lead(door.url)
        assert (await found.forwarded())["forwarded"] == {"applied": 2}


async def test_a_hub_in_trouble_is_left_alone_for_as_long_as_it_asks(tmp_path: Path) -> None:
    asked: list[tuple[float, list[str]]] = []

    async def busy(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response({"status": "ok"})
        ids = [event["id"] for event in await request.json()]
        asked.append((asyncio.get_running_loop().time(), ids))
        if len(asked) == 1:
            problem = {"code": "hub.overloaded", "detail": "20,000 events wait."}
            return web.json_response(problem, status=503, headers={"Retry-After": "1"})
        return web.json_response(
            {"ledger_seq": 1, "results": [{"id": id_, "outcome": "applied"} for id_ in ids]}
        )

    async with somebody(busy) as hub, shop(plan(tmp_path / "a", hub)) as found:
        await found.door.report(ticket(1), ticket(2))
        stands = await found.until(lambda stands: stands["trouble"] == "20,000 events wait.")
        assert (stands["waiting"], stands["blocked"]) == (2, False)
        await found.forwarded()
    (first, ids), (second, again) = asked
    assert ids == again == ["1-1", "1-2"]
    assert second - first >= 1


async def test_an_event_over_which_the_hub_fails_again_and_again_is_set_aside_and_the_others_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "FAULTS_OF_ONE_MAX", 3)

    async def fragile(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response({"status": "ok"})
        ids = [event["id"] for event in await request.json()]
        if "1-3" in ids:
            problem = {"code": "hub.bug", "detail": "Something of ours went wrong."}
            return web.json_response(problem, status=500)
        return web.json_response(
            {"ledger_seq": 1, "results": [{"id": id_, "outcome": "applied"} for id_ in ids]}
        )

    async with somebody(fragile) as hub, shop(plan(tmp_path / "a", hub)) as found:
        await found.door.report(*map(ticket, range(6)))
        stands = await found.forwarded()
        assert stands["forwarded"] == {"applied": 5, "rejected": 1}
        assert [(event["id"], event["code"]) for event in stands["rejected"]] == [("1-3", "hub.bug")]


async def test_a_store_that_was_full_takes_tickets_again_once_the_line_is_back(
    door: Door, database: Database, tmp_path: Path
) -> None:
    await door.know("A")
    key = await agents_key(database)
    limits = Limits(2**30, events_waiting=3, disk_free_bytes=0)
    async with road(None) as way, shop(plan(tmp_path / "a", way.url, key, limits=limits)) as found:
        assert (await found.door.report(*map(ticket, range(3)))).outcomes == ["kept"] * 3
        assert (await found.door.report(ticket(3))).status == 507
        way.lead(door.url)
        await found.forwarded()
        assert (await found.door.report(ticket(3))).outcomes == ["kept"]
        await found.forwarded()
    assert await in_order(database) == [f"1-{number}" for number in range(4)]


async def test_an_agent_that_lost_its_disk_begins_a_new_epoch_and_nothing_is_booked_twice_or_seems_missing(
    door: Door, database: Database, tmp_path: Path
) -> None:
    await door.know("A")
    key = await agents_key(database)
    async with shop(plan(tmp_path / "a", door.url, key)) as found:
        await found.door.report(*map(ticket, range(1, 6)))
        await found.forwarded()
    shutil.rmtree(tmp_path / "a")
    async with shop(plan(tmp_path / "a", door.url, key)) as found:
        await found.door.report(ticket(6))
        await found.door.report(*map(ticket, range(1, 6)))  # the till sends its day again
        await found.door.report(ticket(7))
        assert (await found.forwarded())["forwarded"] == {"applied": 2, "duplicate": 5}
    assert await in_order(database) == [f"1-{number}" for number in range(1, 8)]
    assert sorted((await streams(database)).values()) == [[1, 5], [1, 7]]
    assert await troubles(door) == ["stock.negative"]


async def test_a_lost_ticket_of_a_till_that_counts_itself_is_seen_by_the_hub(
    door: Door, database: Database, tmp_path: Path
) -> None:
    """The disk was lost with ticket 3 on it; the till's own numbers go on, so the hub sees that it is missing."""
    await door.know("A")
    key = await agents_key(database)
    async with shop(plan(tmp_path / "a", door.url, key)) as found:
        await found.door.report(*(ticket(number, sequence=number) for number in (1, 2)))
        await found.forwarded()
    async with shop(plan(tmp_path / "b", door.url, key)) as found:
        await found.door.report(ticket(4, sequence=4))
        await found.forwarded()
    assert await streams(database) == {("0107/1", ""): [1, 2, 4, 4]}
    assert sorted(await troubles(door)) == ["source.sequence_gap", "stock.negative"]


async def test_a_clock_that_is_off_is_measured_told_and_corrected_only_where_the_agent_says_the_time(
    door: Door, database: Database, tmp_path: Path
) -> None:
    await door.know("A")
    key = await agents_key(database)
    ahead = timedelta(hours=2)

    def skewed() -> datetime:
        return clock.now() + ahead

    timeless = {name: value for name, value in ticket(1).items() if name != "time"}
    own = ticket(2, time="2026-01-20T14:00:00Z")
    async with shop(plan(tmp_path / "a", door.url, key), skewed) as found:
        stands = await found.until(lambda stands: stands["clock_offset_s"] is not None)
        assert abs(float(stands["clock_offset_s"]) - ahead.total_seconds()) <= stands["clock_offset_within_s"]
        before = clock.now()
        await found.door.report(timeless, own)
        await found.forwarded()
        async with owner(database) as db:
            times = {
                row["key"]: row["occurred_at"] for row in await db.fetch("select key, occurred_at from facts")
            }
        assert abs(times["1-1"] - before) < timedelta(seconds=10)
        assert times["1-2"].isoformat() == "2026-01-20T14:00:00+00:00"
        assert sorted(await troubles(door)) == ["source.clock_off", "stock.negative"]
        ahead = timedelta(0)
        await found.door.report(ticket(3))
        await found.forwarded()  # learns with this answer that its clock was set

        async def said() -> bool:
            await found.door.report(ticket(4))
            return await troubles(door) == ["stock.negative"]

        await until(said)


async def test_days_offline_end_with_facts_at_the_times_they_happened(
    door: Door, database: Database, tmp_path: Path
) -> None:
    """A count was made at the web of it; tickets from before it come three days late and change no stock after it."""
    await door.know("A")
    key = await agents_key(database)
    await door.report(receipt("g", "A", 10, time="2026-01-17T08:00:00Z"))
    counted = sale("c", "A") | {
        "type": "StockCounted.v1", "time": "2026-01-18T08:00:00Z",
        "data": {"location": "0107", "lines": [{"line": "1", "item": {"sku": "A"}, "bucket": "on_hand", "quantity": 7}]},
    }  # fmt: skip
    await door.report(counted)
    async with road(None) as way, shop(plan(tmp_path / "a", way.url, key)) as found:
        await found.door.report(
            *(ticket(number, time=f"2026-01-17T1{number}:00:00Z") for number in (1, 2, 3))
        )
        await found.door.report(ticket(4, time="2026-01-19T10:00:00Z"))
        way.lead(door.url)
        await found.forwarded()
    assert (await door.stock("A"))["on_hand"] == 6
    assert (await door.stock("A", as_of="2026-01-17T20:00:00Z"))["on_hand"] == 7


async def test_a_fault_of_ours_is_shown_and_ends_nothing(
    door: Door, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await door.know("A")
    key = await agents_key(database)

    async def broken(*_: object) -> Reply:
        raise RuntimeError("planted")

    monkeypatch.setattr(Line, "report", broken)
    async with shop(plan(tmp_path / "a", door.url, key)) as found:
        await found.door.report(ticket(1))
        stands = await found.until(lambda stands: "planted" in (stands["trouble"] or ""))
        assert stands["waiting"] == 1
        assert (await found.door.report(ticket(2))).outcomes == ["kept"]
        monkeypatch.undo()
        assert (await found.forwarded())["forwarded"] == {"applied": 2}


async def test_told_to_stop_an_agent_leaves_its_store_whole(tmp_path: Path) -> None:
    planned = plan(tmp_path / "a")
    async with shop(planned) as found:
        await found.door.report(*map(ticket, range(100)))
    async with shop(planned) as again:
        assert (await again.stands())["waiting"] == 100
        assert (await again.door.report(ticket(7))).outcomes == ["duplicate"]
