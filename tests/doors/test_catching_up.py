"""A store that was away for days and has everything come at once: tills elsewhere go on as before (reliability F26)."""

import asyncio
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from doors.door import Answer, Door, make_key, opened, sale, until
from doors.test_serve import ledger_held, waiting
from edge.road import road
from edge.shop import plan, shop
from evenstock import clock
from evenstock.pipeline.writer import BULK_EVENTS_MIN, BULK_PART, LANES
from evenstock.postgres.database import Database

AWAY = timedelta(hours=72)
AT_ONCE = 500
WAITS_MAX_S = 1.0  # of a till, 95 of 100 times
AGO = timedelta(hours=36)


async def known(door: Door) -> None:
    await door.know("A", locations=("0107", "0042"))


def days(number: int, ends: datetime) -> list[dict[str, Any]]:
    """What a store sold while it was away, spread evenly."""
    first = ends - AWAY
    return [
        sale(f"away-{nth}", "A", time=(first + nth * AWAY / number).isoformat(), source="tills")
        for nth in range(number)
    ]


def sequence(answer: Answer) -> int:
    assert answer.status == 200, answer.raw
    assert set(answer.outcomes) == {"applied"}
    return int(answer.body["ledger_seq"])


async def test_a_till_goes_before_what_another_store_has_to_catch_up_with(database: Database) -> None:
    most = 8_000
    events = days(int(most * BULK_PART), clock.now())
    async with opened(database, events_waiting_max=most) as door:
        await known(door)
        async with ledger_held(database):
            requests = [events[start : start + AT_ONCE] for start in range(0, len(events), AT_ONCE)]
            bulk = [asyncio.create_task(door.report(*part)) for part in requests]

            async def is_full() -> bool:
                return await waiting(door) == len(events)

            await until(is_full)
            more = await door.report(*(sale(f"more-{nth}", "A") for nth in range(BULK_EVENTS_MIN)))
            assert more.problem == (503, "hub.overloaded", "")
            till = asyncio.create_task(door.report(sale("live", "A", location="0042")))

            async def is_in() -> bool:
                return await waiting(door) == len(events) + 1

            await until(is_in)
        live, caught_up = sequence(await till), sorted([sequence(await each) for each in bulk])
        assert live <= caught_up[0] + LANES < caught_up[-1]
        assert (await door.stock("A"))["on_hand"] == -len(events) - 1


async def test_what_is_large_has_its_turn_however_many_tills_there_are(database: Database) -> None:
    async with opened(database) as door:
        await known(door)
        async with ledger_held(database):
            small = [
                asyncio.create_task(
                    door.report(*(sale(f"{till}-{nth}", "A") for nth in range(BULK_EVENTS_MIN - 1)))
                )
                for till in range(10 * (LANES + 2))
            ]

            async def are_in() -> bool:
                return await waiting(door) == len(small) * (BULK_EVENTS_MIN - 1)

            await until(are_in)
            large = asyncio.create_task(door.report(*days(AT_ONCE, clock.now())))

            async def is_in() -> bool:
                return await waiting(door) == len(small) * (BULK_EVENTS_MIN - 1) + AT_ONCE

            await until(is_in)
        at, others = sequence(await large), {sequence(await each) for each in small}
        assert at < max(others)


@pytest.mark.parametrize("number", [3_000, pytest.param(20_000, marks=pytest.mark.deep)])
async def test_three_days_of_a_store_come_at_once_each_at_its_own_time_and_a_till_elsewhere_waits_for_none_of_it(
    door: Door, database: Database, tmp_path: Path, number: int
) -> None:
    await known(door)
    key = await make_key(database, "tills", "events:write", device=True)
    now = clock.now()
    events = days(number, now)
    async with road(None) as way, shop(plan(tmp_path / "agent", way.url, key)) as away:
        for start in range(0, number, AT_ONCE):
            await away.door.report(*events[start : start + AT_ONCE])
        waits: list[float] = []
        seen = [sequence(await door.report(sale("before", "A", location="0042")))]
        way.lead(door.url)
        loop = asyncio.get_running_loop()
        while (await away.stands())["waiting"]:
            began = loop.time()
            answer = await door.report(sale(f"live-{len(waits)}", "A", location="0042"))
            waits.append(loop.time() - began)
            seen.append(sequence(answer))
        assert (await away.stands())["forwarded"] == {"applied": number}
    assert len(waits) > number / AT_ONCE
    assert max(after - before for before, after in pairwise(seen)) <= LANES + 1
    assert sorted(waits)[int(len(waits) * 0.95)] < WAITS_MAX_S
    assert (await door.stock("A"))["on_hand"] == -number - len(seen)
    there = await door.stock("A", location="0107", as_of=(now - AGO).isoformat())
    assert there["on_hand"] == -sum(datetime.fromisoformat(each["time"]) <= now - AGO for each in events)
