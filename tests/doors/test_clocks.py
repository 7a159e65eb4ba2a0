"""What store agents say of their clocks: shown while it is far off, and believed by nobody else."""

import json
from typing import Any

from doors.door import Door, make_key, sale
from evenstock.postgres.database import Database


async def say(door: Door, offset: str, agent: str = "shop 0107", id_: str = "1") -> str:
    headers = {"Evenstock-Agent": agent, "Evenstock-Clock-Offset": offset}
    answer = await door.call("POST", "/v1/events", json.dumps(sale(id_, "A")).encode(), headers)
    (outcome,) = answer.outcomes
    return outcome


async def shown(door: Door) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await door.get("/v1/exceptions", code="source.clock_off")).body["data"]
    return rows


async def test_a_clock_that_is_far_off_is_shown_until_it_is_right(door: Door) -> None:
    await door.know("A")
    assert await say(door, "7200.5") == "applied"
    assert await say(door, "7201.5") == "duplicate"
    (row,) = await shown(door)
    assert row["detail"] == (
        "The store agent shop 0107 (key all) finds its clock 2:00:00 ahead of ours; what it reports is booked at the times it claims."
    )
    await say(door, "-300.000", "shop 0042")
    assert len(await shown(door)) == 1
    await say(door, "-300.001", "shop 0042")
    assert "0:05:00 behind ours" in (await shown(door))[0]["detail"]
    await say(door, "0.2")
    (row,) = await shown(door)
    assert "shop 0042" in row["detail"]


async def test_what_one_key_says_of_a_clock_is_not_another_keys_word(door: Door, database: Database) -> None:
    await door.know("A")
    other = door.with_key(await make_key(database, "pos-nl", "events:write"))
    await say(door, "7200")
    await say(other, "0", id_="2")
    assert len(await shown(door)) == 1


async def test_an_offset_that_is_no_number_says_nothing(door: Door) -> None:
    await door.know("A")
    for number, offset in enumerate(
        ("", "x", "1e9", "+7200", "NaN", "inf", "9" * 40, "7200 ", "7200;x", "--1")
    ):
        assert await say(door, offset, id_=str(number)) == "applied"
    assert await shown(door) == []
