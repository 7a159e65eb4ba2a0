"""How a connection is spoken to: not while it is closed or paused, no faster than it bears, and never at another's expense."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from channel import System, Teller, teller
from evenstock import patience
from evenstock.connectors.contract import Done, NotSent, Outcome, RetryLater, Unknown
from evenstock.core.pacing import START_PER_S
from evenstock.core.windows import Closed
from evenstock.outbound import Outbound
from evenstock.pipeline.dispatch import BREAK_AFTER, LEASE_S
from evenstock.pipeline.files import Folder
from evenstock.postgres import channels
from evenstock.postgres.database import Database
from hub import Hub, event, hub, line


async def stocked(books: Hub, tells: Teller, *skus: str) -> None:
    await books.locations("A")
    await books.items(*skus)
    await tells.connection()
    await tells.channel("web", "A")
    lines = [line(sku, 9, str(number)) for number, sku in enumerate(skus)]
    await books.apply(event("receipt", "r", books.now, {"location": "A", "lines": lines}))
    await tells.expose()


async def configure(tells: Teller, **more: Any) -> None:
    row = {"id": "shop", "connector": "system", "settings": {}} | more
    await channels.upsert_connections(tells.db, [row], tells.now, tells.bases)


async def lane(tells: Teller) -> dict[str, Any]:
    row = await tells.db.fetchrow("select * from lanes")
    assert row is not None
    return dict(row.items())


async def test_while_a_system_is_closed_nothing_is_sent_and_nothing_counts_as_failure(
    database: Database, tmp_path: Path
) -> None:
    async with hub(database, "pos") as books, teller(database, tmp_path) as tells:
        await stocked(books, tells, "TEE")
        hour = tells.now.hour
        await configure(tells, closed=[Closed(begin=f"{hour:02}:00", end=f"{hour + 1:02}:00")])
        assert await tells.tell() == 0
        assert (await lane(tells))["failures"] == 0
        tells.now = tells.now.replace(minute=59, second=59)
        assert await tells.tell() == 0
        tells.later(1)
        assert await tells.tell("another") == 1, "and whoever comes first has it"
        assert tells.system.shows == {("web", "TEE"): 9}


@pytest.mark.parametrize("flow", ["off", "observe", "shadow"])
async def test_what_is_not_live_is_computed_and_kept_and_not_sent(
    database: Database, tmp_path: Path, flow: str
) -> None:
    async with hub(database, "pos") as books, teller(database, tmp_path) as tells:
        await stocked(books, tells, "TEE")
        await configure(tells, flow=flow)
        assert await tells.tell() == 0
        assert (await tells.exposure("TEE"))["intended"] == 9
        await configure(tells, flow="live")
        assert await tells.tell() == 1


async def test_a_paused_connection_keeps_everything_and_a_resumed_one_has_the_newest(
    database: Database, tmp_path: Path
) -> None:
    async with hub(database, "pos") as books, teller(database, tmp_path) as tells:
        await stocked(books, tells, "TEE")
        assert await channels.handle(tells.db, "shop", "paused", tells.now, "stock-taking")
        assert await tells.tell() == 0
        data = {"location": "A", "lines": [line("TEE", 2)]}
        await books.apply(event("sale", "s", books.now, data))
        await tells.expose()
        assert await tells.tell() == 0
        (stands,) = (each for each in await channels.standing(tells.db) if each.id == "shop")
        assert (stands.handling, stands.reason, stands.numbers_owed) == ("paused", "stock-taking", 1)
        await channels.handle(tells.db, "shop", "running", tells.now, None)
        assert await tells.tell() == 1
        assert tells.system.heard == [("TEE", 7, 2)]


async def test_a_connection_that_drains_is_told_what_it_was_owed_and_no_more(
    database: Database, tmp_path: Path
) -> None:
    async with hub(database, "pos") as books, teller(database, tmp_path) as tells:
        await stocked(books, tells, "TEE", "CUP")
        await channels.handle(tells.db, "shop", "draining", tells.now, None)
        tells.later(1)
        await books.apply(event("sale", "s", books.now, {"location": "A", "lines": [line("TEE", 2)]}))
        await tells.expose()
        assert await tells.tell() == 1
        assert [sku for sku, _, _ in tells.system.heard] == ["CUP"], "the other has changed since"
        await channels.handle(tells.db, "shop", "running", tells.now, None)
        assert await tells.tell() == 1
        assert tells.system.shows[("web", "TEE")] == 7


async def test_a_system_that_complains_is_asked_more_slowly_and_faster_again_as_it_bears_it(
    database: Database, tmp_path: Path
) -> None:
    async with (
        hub(database, "pos") as books,
        teller(database, tmp_path, System(at_once=1)) as tells,
    ):
        await stocked(books, tells, *(f"I-{number:03}" for number in range(100)))
        tells.system.deaf = True
        tells.system.next = [RetryLater("Too many", 0.0, "rate")]
        await tells.tell()
        assert (await lane(tells))["per_s"] == START_PER_S / 2
        tells.later(2)
        assert await tells.tell() == 1, "one, and then a pause"
        slow = (await lane(tells))["not_before"] - tells.now
        assert slow >= timedelta(seconds=0.2)
        for _ in range(99):
            tells.later(1)
            await tells.tell()
        assert (await lane(tells))["per_s"] is None
        assert len(tells.system.shows) == 100


async def test_the_operators_limit_is_kept(database: Database, tmp_path: Path) -> None:
    async with (
        hub(database, "pos") as books,
        teller(database, tmp_path, System(at_once=1)) as tells,
    ):
        await stocked(books, tells, "TEE", "CUP")
        await configure(tells, calls_per_s=2.0)
        assert await tells.tell() == 1
        tells.later(0.4)
        assert await tells.tell() == 0
        tells.later(0.1)
        assert await tells.tell() == 1


async def test_after_failures_in_a_row_one_thing_is_tried_and_then_all_again(
    database: Database, tmp_path: Path
) -> None:
    async with hub(database, "pos") as books, teller(database, tmp_path) as tells:
        await stocked(books, tells, *(f"I-{number}" for number in range(20)))
        tells.system.deaf = True
        tells.system.next = [RetryLater("Nobody there")] * (20 * BREAK_AFTER)
        for _ in range(BREAK_AFTER):
            assert await tells.tell() == 20
            tells.later(61)
        dispatcher = tells.dispatcher()
        (connection_id,) = await dispatcher.due()
        assert await dispatcher.tell(connection_id) == 1, "half open"
        assert await dispatcher.tell(connection_id) == 19, "closed again"


@pytest.mark.parametrize("at_once", [1, 5])
async def test_what_fails_again_and_again_takes_a_tenth_of_what_is_new(
    database: Database, tmp_path: Path, at_once: int
) -> None:
    async with hub(database, "pos") as books, teller(database, tmp_path, System(at_once=at_once)) as tells:
        broken, sound = [f"A-{n:02}" for n in range(20)], [f"B-{n:02}" for n in range(40)]
        await stocked(books, tells, *broken, *sound)

        async def answers(settings: Any, world: Any, exposures: Any) -> list[Outcome]:  # noqa: ARG001
            return [
                RetryLater("It is broken.", None, "busy") if each.sku[0] == "A" else Done()
                for each in exposures
            ]

        tells.system.answering = answers
        assert await tells.tell() == 60
        lines = [line(sku, 1, sku) for sku in sound]
        await books.apply(event("sale", "s", books.now, {"location": "A", "lines": lines}))
        await tells.expose()
        tells.later(61)
        await tells.db.execute("update lanes set retries = 0")
        await tells.db.execute(
            "update exposures set rank = 0 where item_id in (select item_id from items where sku like 'A%')"
        )
        dispatcher = tells.dispatcher()
        (connection_id,) = await dispatcher.due()
        calls = [await dispatcher.tell(connection_id) for _ in range(40 // at_once)]
        assert sum(calls) == 40
        rows = await tells.db.fetch(
            "select sku, count(*) from attempts join items using (item_id) where try > 1 group by 1"
        )
        assert sum(number for _, number in rows) <= 4, "though the broken ones stand first"
        while await dispatcher.tell(connection_id):
            pass
        assert {(await tells.exposure(sku))["acked"] for sku in sound} == {8}
        tried = await tells.db.fetchval(
            "select min(tries) from exposures join items using (item_id) where sku like 'A%'"
        )
        assert tried == 2, "and they had their turn when nothing new was left"


async def test_a_system_that_is_merely_busy_is_not_cut_off(database: Database, tmp_path: Path) -> None:
    async with hub(database, "pos") as books, teller(database, tmp_path) as tells:
        await stocked(books, tells, "TEE")
        tells.system.deaf = True
        for _ in range(BREAK_AFTER + 3):
            tells.system.next = [RetryLater("At it", None, "busy")]
            await tells.tell()
            tells.later(61)
        assert (await lane(tells))["failures"] == 0
        tells.system.next = [Unknown("At it", "busy"), Done()]
        await tells.tell()
        tells.later(61)
        assert await tells.tell() == 1


async def test_one_slow_system_delays_no_other(database: Database, tmp_path: Path) -> None:
    async with hub(database, "pos") as books, teller(database, tmp_path) as tells:
        await stocked(books, tells, "TEE")
        await tells.connection("quick")
        await tells.channel("app", "A", connection="quick")
        await tells.expose()
        heard = asyncio.Event()
        released = asyncio.Event()

        async def answering(_: object, __: object, exposures: Any) -> list[Outcome]:
            if exposures[0].channel == "web":
                await released.wait()
            else:
                heard.set()
            return [Done()] * len(exposures)

        tells.system.answering = answering
        dispatcher = tells.dispatcher()
        calls = [asyncio.create_task(dispatcher.tell(number)) for number in await dispatcher.due()]
        async with asyncio.timeout(LEASE_S):
            await heard.wait()
        assert len(calls) == 2
        released.set()
        assert await asyncio.gather(*calls) == [1, 1]


async def test_a_worker_that_wakes_up_late_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    http, folder = Outbound(["127.0.0.1:9"]), Folder(tmp_path, "shop")
    with patience.until(10):
        await folder.append("a.jsonl", [b"in time"])
        awake = time.monotonic() + 10
        monkeypatch.setattr(time, "monotonic", lambda: awake)
        with pytest.raises(NotSent, match="too late"):
            await folder.append("a.jsonl", [b"late"])
        with pytest.raises(NotSent, match="too late"):
            await http.request("POST", "http://127.0.0.1:9/")
    await http.close()
    assert await folder.holds("a.jsonl", [b"in time", b"late"]) == {b"in time"}
