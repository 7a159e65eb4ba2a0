"""The web shop's customers against a real hub: each order ends as it can, and nothing stays promised."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from doors.door import Door, opened, until
from evenstock.estate.cast import COLLECT
from evenstock.estate.hub import Hub
from evenstock.estate.orders import End, Order
from evenstock.estate.pace import Pace
from evenstock.estate.shoppers import Shoppers
from evenstock.postgres.database import Database

SPEED = 600  # holds last a second
UNITS = 3
LONG = 10**9  # until the shop closes


class Shelf:
    """Where the goods are, or are not."""

    def __init__(self, *, there: bool = True) -> None:
        self.there = there
        self.handed_over: list[str] = []

    def hand_over(self, order: Order, reservation: str) -> bool:
        assert order.basket == [("TEE", UNITS)]
        if self.there:
            self.handed_over.append(reservation)
        return self.there


@asynccontextmanager
async def shop(database: Database, data: Path) -> AsyncIterator[tuple[Door, Hub]]:
    """A hub with three units on a shelf that the web shop sells from."""
    async with opened(database, data=data) as door:
        await door.know("TEE", locations=["0107"])
        assert (
            await door.post("/v1/channels:batch", {"channels": [{"id": COLLECT, "locations": ["0107"]}]})
        ).status == 200
        goods = {"location": "0107", "lines": [{"line": "1", "item": {"sku": "TEE"}, "quantity": UNITS}]}
        event = {
            "specversion": "1.0",
            "id": "g-1",
            "source": "all",
            "type": "GoodsReceived.v1",
            "data": goods,
        }
        assert (await door.report(event)).outcomes == ["applied"]
        assert door.key is not None
        async with Hub.at(door.url, door.key) as hub:
            yield door, hub


def order(ref: str, end: End = "handed_over", units: int = UNITS, *, pays_at: int = 0) -> Order:
    return Order(
        at=0, channel=COLLECT, ref=ref, location="0107", basket=[("TEE", units)], end=end,
        pays_at=pays_at, aside_at=pays_at, ends_at=pays_at,
    )  # fmt: skip


def shoppers(hub: Hub, shelf: Shelf, told: list[str]) -> Shoppers:
    """Customers who wait as many seconds as their order says."""
    return Shoppers(hub, shelf, Pace(SPEED), float, lambda _, words: told.append(words))


async def so(condition: Callable[[], bool]) -> None:
    async def is_so() -> bool:
        return condition()

    await until(is_so)


async def stands(door: Door) -> dict[str, Any]:
    (place,) = (await door.stock("TEE"))["locations"]
    return {name: place[name] for name in ("sellable", "reserved", "allocated")}


FREE = {"sellable": UNITS, "reserved": 0, "allocated": 0}


async def test_who_waits_hurries_when_the_show_does(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as (_, hub):
        shelf, pace, hour = Shelf(), Pace(1), 3_600
        one = Shoppers(hub, shelf, pace, lambda at: at / pace.speed, lambda *_: None)
        one.enter(order("WEB-1", pays_at=hour))
        await so(lambda: one.open == 1)
        pace.change(1_000 * hour)
        await so(lambda: one.counts == Counter(handed_over=1))


async def test_who_pays_has_it_put_aside_and_handed_over(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as (door, hub):
        shelf, told = Shelf(), list[str]()
        one = shoppers(hub, shelf, told)
        one.enter(order("WEB-1"))
        await one.close()
        assert one.counts == Counter(handed_over=1)
        assert len(shelf.handed_over) == 1
        assert await stands(door) == FREE | {"allocated": UNITS}  # until the house reports that it left
        assert told == [
            "web customer reserved 3 × TEE at 0107, WEB-1",
            "WEB-1 is paid: 0107 is to put 3 × TEE aside",
        ]


@pytest.mark.parametrize(("end", "became"), [("cancelled", "cancelled"), ("left", "cleared")])
async def test_who_thinks_better_of_it_or_stands_there_at_closing_gives_it_back(
    database: Database, tmp_path: Path, end: End, became: str
) -> None:
    async with shop(database, tmp_path) as (door, hub):
        one = shoppers(hub, Shelf(), [])
        one.enter(order("WEB-1", end))
        await one.close()
        assert one.counts == Counter([became])
        assert await stands(door) == FREE


async def test_what_is_not_on_the_shelf_is_released(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as (door, hub):
        one = shoppers(hub, Shelf(there=False), [])
        one.enter(order("WEB-1"))
        await one.close()
        assert one.counts == Counter(not_there=1)
        assert await stands(door) == FREE


async def test_who_comes_when_all_is_promised_is_turned_away(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as (_, hub):
        told: list[str] = []
        one = shoppers(hub, Shelf(), told)
        one.enter(order("WEB-1", pays_at=LONG))
        await so(lambda: bool(told))
        one.enter(order("WEB-2", units=1))
        await so(lambda: one.open == 1)
        assert one.counts == Counter(turned_away=1)
        await one.close()
        assert one.counts == Counter(turned_away=1, handed_over=1)


async def test_who_pays_after_the_hold_ran_out_may_be_too_late(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as (_, hub):
        told: list[str] = []
        one = shoppers(hub, Shelf(), told)
        one.enter(order("WEB-1", pays_at=LONG))
        while one.counts != Counter(handed_over=1):
            if not one.open - 1:
                one.enter(order("WEB-2"))  # again and again, until the first one's time is over
            await asyncio.sleep(0)
            one.counts.pop("turned_away", None)
        await one.close()
        assert one.counts == Counter(handed_over=1, too_late=1)


async def test_a_fault_of_one_customer_is_everybodys(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as (_, hub):
        one = shoppers(hub, Shelf(), [])
        one.enter(order("WEB-1", units=0))
        with pytest.raises(Exception, match=r"quantity\.not_positive"):
            await one.close()
