"""The hub as a process: an answer means durable, nothing is half done, and it stops and recovers cleanly."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from conftest import owner
from doors.door import Door, Process, evenstock, knocking, make_key, opened, receipt, sale, until
from doors.proxy import wired
from evenstock.postgres.database import Database

CLIENTS = 8


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name leaves room for a socket's."""
    with tempfile.TemporaryDirectory(prefix="evenstock-", dir="/tmp") as folder:
        yield Path(folder)


def at(database: Database) -> tuple[str, ...]:
    return "--database-url", database.url, "--schema", database.schema


@asynccontextmanager
async def ledger_held(database: Database) -> AsyncIterator[None]:
    """Nobody commits meanwhile."""
    async with owner(database) as db, db.transaction():
        await db.execute("SELECT FROM ledger_head FOR UPDATE")
        yield


async def waiting(door: Door) -> int:
    """How many events wait, by the hub's own word."""
    lines = (await door.get("/metrics")).raw.decode().splitlines()
    return int(float(next(line.split()[1] for line in lines if line.startswith("evenstock_events_waiting "))))


async def test_told_to_stop_it_finishes_what_it_accepted(database: Database) -> None:
    key = await make_key(database, "all", "*")
    process = await Process.start("--port", "0", *at(database))
    async with knocking(process.url, key) as door:
        await door.know("A")
        async with ledger_held(database):
            posts = [asyncio.create_task(door.report(sale(str(number), "A"))) for number in range(CLIENTS)]

            async def accepted() -> bool:
                return await waiting(door) == CLIENTS

            await until(accepted)
            ending = asyncio.create_task(process.end(signal.SIGTERM))
            await until(lambda: closed(process.url))
            assert not any(post.done() for post in posts)
        answers = await asyncio.gather(*posts)
        assert await ending == 0
    assert [answer.outcomes for answer in answers] == [["applied"]] * CLIENTS
    async with owner(database) as db:
        assert await db.fetchval("SELECT count(*) FROM movements") == CLIENTS


async def closed(url: str) -> bool:
    """Whether nobody listens there."""
    host, port = url.removeprefix("http://").split(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except ConnectionError:
        return True
    writer.close()
    return False


async def test_interrupted_by_the_keyboard_it_stops_cleanly_too(database: Database) -> None:
    process = await Process.start("--port", "0", *at(database))
    assert await process.end(signal.SIGINT) == 0
    assert "Traceback" not in process.said


async def test_a_port_in_use_is_told_in_a_sentence(database: Database) -> None:
    process = await Process.start("--port", "0", *at(database))
    port = process.url.rpartition(":")[2]
    code, out, said = await evenstock("serve", "--port", port, *at(database))
    assert (code, out) == (5, "")
    assert f"We cannot listen on 127.0.0.1:{port}: address already in use." in said
    assert "--port" in said.split("in use.")[1]
    assert "Traceback" not in said
    assert await process.end() == 0


async def test_two_processes_on_one_database_book_each_event_once(database: Database) -> None:
    key = await make_key(database, "all", "*")
    first, second = await asyncio.gather(*(Process.start("--port", "0", *at(database)) for _ in range(2)))
    async with knocking(first.url, key) as one, knocking(second.url, key) as other:
        await one.know("A", "B")
        events = [sale(str(number), "AB"[number % 2]) for number in range(400)]

        async def post(door: Door, part: int) -> list[str]:
            turn = events[part * 50 :] + events[: part * 50]
            found: list[str] = []
            for start in range(0, len(turn), 40):
                found += (await door.report(*turn[start : start + 40])).outcomes
            return found

        outcomes = await asyncio.gather(*(post(door, part) for part in range(4) for door in (one, other)))
        every = [outcome for found in outcomes for outcome in found]
        assert (every.count("applied"), every.count("duplicate")) == (400, 7 * 400)
        for door in (one, other):
            assert {sku: (await door.stock(sku))["on_hand"] for sku in "AB"} == {"A": -200, "B": -200}
        held = await one.report(sale("new", "NEW"))
        added = await other.post("/v1/items:batch", {"items": [{"sku": "NEW"}]})
        assert (held.outcomes, added.body["released"]) == (["held"], 1)
        assert (await one.report(sale("newer", "NEW"))).outcomes == ["applied"]
    for process in (first, second):
        assert await process.end() == 0


async def test_a_full_queue_sends_callers_away_and_nothing_is_half_done(database: Database) -> None:
    async with opened(database, events_waiting_max=10) as door:
        await door.know("A")
        too_many = await door.report(*(sale(f"many {number}", "A") for number in range(11)))
        assert too_many.problem == (503, "hub.overloaded", "")
        async with ledger_held(database):
            full = asyncio.create_task(door.report(*(sale(str(number), "A") for number in range(10))))

            async def is_full() -> bool:
                return await waiting(door) == 10

            await until(is_full)
            refused = await door.report(sale("one more", "A"))
            assert refused.problem == (503, "hub.overloaded", "")
            assert int(refused.headers["Retry-After"]) >= 1
            assert refused.body["retryable"] is True
        assert (await full).outcomes == ["applied"] * 10
        assert (await door.stock("A"))["on_hand"] == -10
        assert (await door.report(sale("one more", "A"))).outcomes == ["applied"]


async def test_while_the_database_is_away_callers_are_told_and_it_recovers_by_itself(
    database: Database, short: Path
) -> None:
    async with wired(database, short) as (far, wire), opened(far, give_up_s=0.5) as door:
        await door.know("A")
        await door.report(receipt("1", "A", 5))
        wire.cut()
        for answer in (await door.get("/v1/availability/A"), await door.report(sale("2", "A"))):
            assert answer.problem == (503, "hub.memory_away", "")
            assert answer.headers["Retry-After"]
        ready = await door.get("/readyz")
        assert (ready.status, ready.body["database"]) == (503, False)
        assert (await door.get("/healthz")).status == 200
        await wire.connect()
        assert (await door.report(sale("2", "A"))).outcomes == ["applied"]
        assert (await door.stock("A"))["on_hand"] == 4
        assert (await door.get("/readyz")).status == 200


async def test_a_short_absence_of_the_database_is_not_noticed_by_who_posts(
    database: Database, short: Path
) -> None:
    async with wired(database, short) as (far, wire), opened(far) as door:
        await door.know("A")
        wire.cut()
        post = asyncio.create_task(door.report(sale("1", "A")))
        assert (await door.get("/readyz")).status == 503
        await wire.connect()
        assert (await post).outcomes == ["applied"]


async def test_a_full_disk_is_told_and_nothing_is_promised_until_there_is_room(
    door: Door, database: Database
) -> None:
    await door.know("A")
    async with owner(database) as db:
        await db.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$;"
            "CREATE TRIGGER full_disk BEFORE INSERT ON facts EXECUTE FUNCTION full_disk()"
        )
        answer = await door.report(*(sale(str(number), "A") for number in range(20)))
        assert answer.problem == (503, "hub.memory_away", "")
        await db.execute("DROP TRIGGER full_disk ON facts")
    assert (await door.report(*(sale(str(number), "A") for number in range(20)))).outcomes == ["applied"] * 20


async def test_a_full_disk_promises_nothing_until_there_is_room(door: Door, database: Database) -> None:
    await door.know("A")
    await door.report(receipt("r", "A", 5))
    wish = {
        "order_ref": "W-1",
        "lines": [{"line": "1", "item": {"sku": "A"}, "quantity": 2, "fulfil": {"pickup_at": "0107"}}],
    }
    async with owner(database) as db:
        await db.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$;"
            "CREATE TRIGGER full_disk BEFORE INSERT ON reservations EXECUTE FUNCTION full_disk()"
        )
        answer = await door.post("/v1/reservations", wish)
        assert answer.problem == (503, "hub.memory_away", "")
        assert answer.headers["Retry-After"]
        assert (await door.stock("A"))["reserved"] == 0
        await db.execute("DROP TRIGGER full_disk ON reservations")
    assert (await door.post("/v1/reservations", wish)).status == 201
    assert (await door.stock("A"))["reserved"] == 2


async def test_a_lost_reply_to_commit_books_once(database: Database, short: Path) -> None:
    async with wired(database, short) as (far, wire), opened(far) as door:
        await door.know("A")
        await door.report(sale("first", "A"))
        for number in range(5):
            wire.lose_next_reply_to_commit = True
            answer = await door.report(sale(str(number), "A"))
            assert answer.outcomes[0] in {"applied", "duplicate"}
        assert wire.replies_lost == 5
        assert (await door.stock("A"))["on_hand"] == -6


async def test_a_caller_that_hangs_up_changes_nothing_for_the_others(database: Database) -> None:
    async with opened(database) as door:
        await door.know("A")
        async with ledger_held(database):
            gone = asyncio.create_task(door.report(sale("gone", "A")))
            stays = asyncio.create_task(door.report(sale("stays", "A")))

            async def both() -> bool:
                return await waiting(door) == 2

            await until(both)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
        assert (await stays).outcomes == ["applied"]
        assert (await door.report(sale("gone", "A"))).outcomes[0] in {"applied", "duplicate"}
        assert (await door.stock("A"))["on_hand"] == -2


async def test_it_says_where_it_listens_and_answers_there(database: Database) -> None:
    process = await Process.start("--port", "0", *at(database))
    async with aiohttp.ClientSession() as session, session.get(process.url + "/healthz") as response:
        assert response.status == 200
    assert await process.end() == 0
