"""Whatever is done to reservations and stock, in any order and in parallel, claims end equal to rows.

Two sellers and two tills, each over its own connection, do random things to the same few items. Nobody knows in which
order they come to be; at the end the counters are the open claims, no grant was above what it saw, every reservation has
the end that its history allows, and stock is what was received less what left, or what was last counted.
"""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evenstock.core.reservations import Answer, Expire, Release
from evenstock.pipeline.promise import Wanted
from evenstock.postgres.database import Database
from hub import NOW, Hub, event, hub, line
from seller import Seller, allocate, confirm, number, seller, some_of, wish

SKUS = ("TEE", "CAP")
PLACES = ("A", "B")
UNITS = 12  # received of each item at each place
ORDERS = 14
EXAMPLES = 8
EXAMPLES_DEEP = 120
STEPS = 25  # of each actor

Spot = tuple[str, str]  # sku, location


class Chance:
    """What an actor does next."""

    def __init__(self, seed: int, mark: str, ids: list[int]) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - the same every time
        self._mark = mark
        self._ids = ids
        self._keys = 0

    def wanted(self) -> list[Wanted]:
        return [self._one() for _ in range(self._dice.randint(1, 5))]

    def _one(self) -> Wanted:
        dice = self._dice
        known = self._ids[:]
        if not known or dice.random() < 0.4:
            lines = tuple((sku, dice.randint(1, 4)) for sku in dice.sample(SKUS, dice.randint(1, 2)))
            order = f"O-{dice.randrange(ORDERS)}"
            if dice.random() < 0.5:
                return wish(
                    order,
                    *lines,
                    channel="web",
                    partial=dice.random() < 0.3,
                    seconds=dice.choice((1, 3, 900)),
                )
            return wish(order, *lines, at=dice.choice(PLACES), seconds=dice.choice((1, 3, 900)))
        id_ = dice.choice(known)
        self._keys += 1
        return dice.choice((
            confirm(id_), confirm(id_, paid=False), allocate(id_), allocate(id_, dice.choice(PLACES)), Release(id_),
            some_of(id_, ("1", dice.randint(1, 5)), key=f"{self._mark}{self._keys}"), Expire(id_),
        ))  # fmt: skip

    def event(self, day: datetime) -> dict[str, Any]:
        """Something physical: counts come after everything else, each at an instant of its own."""
        dice = self._dice
        self._keys += 1
        kind = dice.choice(("sale", "receipt", "count", "ship_order", "ship_order", "ship_order"))
        units = dice.randint(0, UNITS) if kind == "count" else dice.randint(1, 3)
        one = line(dice.choice(SKUS), units, **({"bucket": "sellable"} if kind == "count" else {}))
        data: dict[str, Any] = {"location": dice.choice(PLACES), "lines": [one]}
        if kind == "ship_order":
            data["order_ref"] = f"O-{dice.randrange(ORDERS)}"
        at = day - timedelta(hours=1)
        if kind == "count":
            at += timedelta(seconds=self._keys, microseconds=sum(self._mark.encode()))
        return event(kind, f"{self._mark}{self._keys}", at, data)

    def never_was(self) -> bool:
        return self._dice.random() < 0.2


class Shelves:
    """What is sellable by spot: what came less what left, or the last count, whatever was before it."""

    def __init__(self) -> None:
        self.units: dict[Spot, int] = dict.fromkeys(((sku, place) for sku in SKUS for place in PLACES), 0)
        self._counted: dict[Spot, datetime] = {}

    def follow(self, told: dict[str, Any], sign: int = 1) -> None:
        (one,) = told["data"]["lines"]
        spot = (one["item"]["sku"], told["data"]["location"])
        if told["type"] == "StockCounted.v1":
            at = datetime.fromisoformat(told["time"])
            if at > self._counted.get(spot, datetime.min.replace(tzinfo=UTC)):
                self._counted[spot] = at
                self.units[spot] = one["quantity"]
        elif spot not in self._counted:
            came = 1 if told["type"] == "GoodsReceived.v1" else -1
            self.units[spot] += sign * came * one["quantity"]


async def sells(one: Seller, chance: Chance, ids: list[int]) -> None:
    for _ in range(STEPS):
        answers = await one.do(*chance.wanted())
        ids += [number(answer) for answer in answers if isinstance(answer, Answer) and answer.is_new]
        one.now += timedelta(seconds=1)
        if one.now.second % 5 == 0:
            await one.sweep()


async def moves(till: Hub, chance: Chance, day: datetime, shelves: Shelves) -> None:
    for _ in range(STEPS):
        told = chance.event(day)
        await till.apply(told)
        shelves.follow(told)
        if told["type"] != "StockCounted.v1" and chance.never_was():
            void = {"target": told["id"], "goods": "never_left"}
            await till.apply(event("void", f"v-{told['id']}", day, void))
            shelves.follow(told, -1)


runs = count(1)


async def story(database: Database, seed: int) -> None:
    run = next(runs)
    day = NOW + timedelta(days=run)  # after everything that was counted in runs before
    async with (
        hub(database, "pos") as till,
        hub(database) as other,
        seller(database, day) as one,
        seller(database, day) as two,
    ):
        till.now = other.now = day
        ids: list[int] = []
        await till.locations(*PLACES)
        await till.items(*SKUS)
        await one.channel("web", *PLACES, safety_stock=1)
        shelves = Shelves()
        for sku, place in shelves.units:
            shelves.units[sku, place] = (await till.units(sku, place))[0]
            data = {"location": place, "lines": [line(sku, UNITS)]}
            received = event("receipt", f"g-{run}-{sku}-{place}", day - timedelta(hours=2), data)
            await till.apply(received)
            shelves.follow(received)
        await asyncio.gather(
            sells(one, Chance(seed, f"{run}one", ids), ids),
            sells(two, Chance(seed + 1, f"{run}two", ids), ids),
            moves(till, Chance(seed + 2, f"{run}till", ids), day, shelves),
            moves(other, Chance(seed + 3, f"{run}other", ids), day, shelves),
        )
        one.now = max(one.now, two.now) + timedelta(hours=1)
        while await one.sweep():
            pass
        assert {spot: (await till.units(*spot))[0] for spot in shelves.units} == shelves.units
        assert await till.broken() == []
        assert await ended_as_they_may(one) == []
        for id_ in ids:
            await one.do(Release(id_))
        assert {await one.claimed(*spot) for spot in shelves.units} == {(0, 0)}


async def ended_as_they_may(one: Seller) -> list[int]:
    """Reservations with two ends: entries after everything was given back, but for what a void or a new grant allows."""
    rows = await one.db.fetch(
        "select reservation_id from claim_entries group by reservation_id having sum(reserved + allocated) < 0"
    )
    return [row["reservation_id"] for row in rows]


def test_claims_end_equal_to_rows_whatever_is_done_in_parallel(
    shared_database: Database, request: pytest.FixtureRequest
) -> None:
    examples = EXAMPLES_DEEP if request.config.getoption("--deep") else EXAMPLES

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True,
              suppress_health_check=[HealthCheck.too_slow])  # fmt: skip
    @given(st.integers(0, 10**9))
    def holds(seed: int) -> None:
        asyncio.run(story(shared_database, seed))

    holds()


async def test_two_sellers_of_one_unit_grant_it_once(database: Database) -> None:
    async with hub(database, "pos") as till, seller(database) as one, seller(database) as two:
        await till.locations("A")
        await till.items("TEE")
        await till.apply(
            event("receipt", "g", NOW - timedelta(hours=1), {"location": "A", "lines": [line("TEE", 1)]})
        )
        for attempt in range(20):
            words = await asyncio.gather(
                one.said(wish(f"a{attempt}", ("TEE", 1))), two.said(wish(f"b{attempt}", ("TEE", 1)))
            )
            assert sorted(words) == [["held"], ["reservation.insufficient"]]
            for row in await one.db.fetch("select reservation_id from reservations where not ended"):
                await one.do(Release(row["reservation_id"]))


async def test_two_servers_asked_for_one_order_make_one_reservation(database: Database) -> None:
    async with hub(database, "pos") as till, seller(database) as one, seller(database) as two:
        await till.locations("A", "B")
        await till.items("TEE")
        for place in ("A", "B"):
            await till.apply(
                event(
                    "receipt",
                    place,
                    NOW - timedelta(hours=1),
                    {"location": place, "lines": [line("TEE", 99)]},
                )
            )
        for attempt in range(20):
            first, second = await asyncio.gather(
                one.said(wish(f"O-{attempt}", ("TEE", 1), at="A")),
                two.said(wish(f"O-{attempt}", ("TEE", 1), at="B")),
            )
            assert sorted([*first, *second]) == ["held", "reservation.changed"]
