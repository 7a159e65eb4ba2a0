"""Reservations over HTTP: never one too many, with one server and with three, and when one is killed in the middle."""

import asyncio
from collections import Counter
from typing import Any

import aiohttp
import pytest

from conftest import owner
from doors.served import Client, Served, client, served
from evenstock.postgres.database import Database

CLIENTS = 64
ATTEMPTS = 2_000
UNITS = 1_000


async def stocked(shop: Client, units: int) -> None:
    await shop.post("/v1/locations:batch", {"locations": [{"id": "0107"}, {"id": "0108"}]})
    await shop.post("/v1/items:batch", {"items": [{"sku": "TEE"}]})
    event = {
        "specversion": "1.0", "id": "g-1", "source": "wms", "type": "GoodsReceived.v1",
        "data": {"location": "0107", "lines": [{"line": "1", "item": {"sku": "TEE"}, "quantity": units}]},
    }  # fmt: skip
    assert (await shop.post("/v1/events", event))[0] == 200


def order(number: int, quantity: int = 1) -> dict[str, Any]:
    one = {"line": "1", "item": {"sku": "TEE"}, "quantity": quantity, "fulfil": {"pickup_at": "0107"}}
    return {"order_ref": f"ORD-{number}", "lines": [one]}


async def rush(shop: Client, servers: list[Served], orders: list[int]) -> dict[int, list[tuple[int, Any]]]:
    """Many clients at once, each taking the next order; every order's answers. A server that dies is left for the next."""
    waiting = list(reversed(orders))
    answers: dict[int, list[tuple[int, Any]]] = {}

    async def buyer(number: int) -> None:
        at = number
        while waiting:
            wanted = waiting.pop()
            try:
                answer = await shop.post(
                    "/v1/reservations", order(wanted), url=servers[at % len(servers)].url
                )
            except (aiohttp.ClientError, ConnectionError):
                waiting.append(wanted)  # not known what became of it: the same again, elsewhere
                at += 1
                await asyncio.sleep(0)
                continue
            answers.setdefault(wanted, []).append(answer)

    await asyncio.gather(*(buyer(number) for number in range(CLIENTS)))
    return answers


async def held_units(database: Database) -> tuple[int, int]:
    """Units held as the position counts them, and as reservations say."""
    async with owner(database) as db:
        counter = await db.fetchval("select sum(reserved + allocated)::bigint from positions")
        rows = await db.fetchval("select count(*) from reservations where not ended")
    return counter, rows


@pytest.mark.parametrize("processes", [1, 3])
async def test_of_the_last_thousand_units_exactly_a_thousand_are_granted(
    database: Database, processes: int
) -> None:
    with served(database, processes) as servers:
        async with client(database, servers[0].url) as shop:
            await stocked(shop, UNITS)
            answers = await rush(shop, servers, list(range(ATTEMPTS)))
            outcomes = Counter(status for found in answers.values() for status, _ in found)
            assert outcomes == {201: UNITS, 409: ATTEMPTS - UNITS}
            ids = {body["id"] for found in answers.values() for status, body in found if status == 201}
            assert len(ids) == UNITS
    assert await held_units(database) == (UNITS, UNITS)


async def test_no_unit_is_lost_or_granted_twice_when_one_of_three_servers_is_killed_in_the_middle(
    database: Database,
) -> None:
    with served(database, 3) as servers:
        async with client(database, servers[0].url) as shop:
            await stocked(shop, UNITS)

            async def power_failure() -> None:
                async with owner(database) as db:
                    while await db.fetchval("select count(*) from reservations") < UNITS // 4:  # noqa: ASYNC110 - the server has no event for it
                        await asyncio.sleep(0.01)
                servers[1].kill()

            answers, _ = await asyncio.gather(rush(shop, servers, list(range(ATTEMPTS))), power_failure())
            granted = {
                number
                for number, found in answers.items()
                if any(status in {200, 201} for status, _ in found)
            }
            assert len(granted) == UNITS
            again = {
                number: await shop.post("/v1/reservations", order(number)) for number in sorted(granted)[:50]
            }
            assert {status for status, _ in again.values()} == {200}
    assert await held_units(database) == (UNITS, UNITS)


async def test_the_life_of_a_reservation(database: Database) -> None:
    with served(database) as (server,):
        async with client(database, server.url) as shop:
            await stocked(shop, 5)
            status, made = await shop.post("/v1/reservations", order(1, 2))
            assert (status, made["status"]) == (201, "held")
            assert made["lines"][0]["locations"] == [
                {"id": "0107", "quantity": 2, "reserved": 2, "allocated": 0}
            ]
            path = f"/v1/reservations/{made['id']}"
            assert await shop.get(path) == (200, made)
            for command, body, expected in (
                ("confirm", {}, "confirmed"),
                ("allocate", {"location": "0107"}, "allocated"),
                ("release", {"reason": "cancelled"}, "released"),
                ("release", {"reason": "cancelled"}, "released"),
            ):
                status, told = await shop.post(f"{path}:{command}", body)
                assert (status, told["status"]) == (200, expected)
            status, availability = await shop.get("/v1/availability/TEE")
            assert (availability["reserved"], availability["available_to_sell"]) == (0, 5)


async def test_too_little_answers_409_with_alternatives(database: Database) -> None:
    with served(database) as (server,):
        async with client(database, server.url) as shop:
            await stocked(shop, 5)
            status, problem = await shop.post("/v1/reservations", order(1, 6))
            assert (status, problem["code"]) == (409, "reservation.insufficient")
            assert problem["alternatives"] == [
                {"line": "1", "sku": "TEE", "location": "0107", "available": 5}
            ]


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"order_ref": "O", "lines": []}, "request.malformed", "/lines"),
        ({"order_ref": "O", "lines": [{"line": "1", "item": {"sku": "NO"}, "quantity": 1}]}, "stock.unknown_item", "/lines/0/item"),
        ({"order_ref": "O", "lines": [{"line": "1", "item": {"sku": "TEE"}, "quantity": 1}]}, "reservation.no_place", "/lines/0/fulfil"),
        ({"order_ref": "O", "lines": [{"line": "1", "item": {"sku": "TEE"}, "quantity": 0}]}, "quantity.not_positive", "/lines/0/quantity"),
        ({"order_ref": "O", "lines": [{"line": "1", "item": {}, "quantity": 1}]}, "request.malformed", "/lines/0/item"),
        ({"lines": [{"line": "1", "item": {"sku": "TEE"}, "quantity": 1}]}, "idempotency.required", "/order_ref"),
        ({"order_ref": "O", "channel": "no", "lines": [{"line": "1", "item": {"sku": "TEE"}, "quantity": 1}]}, "channel.unknown", "/channel"),
    ],
)  # fmt: skip
async def test_what_cannot_be_read_is_refused_where_it_hurts(
    body: dict[str, Any], code: str, pointer: str, shop: tuple[str, Database]
) -> None:
    url, database = shop
    async with client(database, url) as asks:
        before = await held_units(database)
        status, problem = await asks.post("/v1/reservations", body)
        assert (status, problem["code"], problem["pointer"]) == (422, code, pointer)
        assert await held_units(database) == before


async def test_a_key_needs_the_scope_and_the_path_an_id(shop: tuple[str, Database]) -> None:
    url, database = shop
    async with client(database, url, "reservations:read") as reads:
        assert (await reads.post("/v1/reservations", order(1)))[1]["code"] == "auth.scope"
        for path in ("/v1/reservations/rsv_1", "/v1/reservations/nonsense"):
            assert (await reads.get(path))[0] == 404


@pytest.fixture(scope="module")
def shop(shared_database: Database) -> Any:
    with served(shared_database) as (server,):

        async def fill() -> None:
            async with client(shared_database, server.url) as owner_of_it:
                await stocked(owner_of_it, 5)

        asyncio.run(fill())
        yield server.url, shared_database
