"""Two sellers, or a seller and a till, at the same orders: what the second looked at before it waited is stale by then."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from evenstock.core.reservations import Expire, Release
from evenstock.postgres.database import Database
from hub import NOW, Hub, event, hub, line
from overtaking import overtaken
from seller import Seller, allocate, confirm, number, only, seller, wish, word

A_MINUTE = timedelta(minutes=1)


@asynccontextmanager
async def shops(database: Database, **stock: int) -> AsyncIterator[tuple[Hub, Seller, Seller]]:
    """A till and two sellers who know their masters; the first's clock is two minutes ahead."""
    async with hub(database, "pos") as till, seller(database) as ahead, seller(database) as behind:
        await till.locations(*stock)
        await till.items("TEE")
        await ahead.channel("web", *stock)
        for place, units in stock.items():
            await till.apply(event("receipt", place, NOW, {"location": place, "lines": [line("TEE", units)]}))
        for one in (ahead, behind):
            await one.do(Release(await one.hold("warm-up", at="A")))
        ahead.now += 2 * A_MINUTE
        yield till, ahead, behind


def shipment(id_: str, units: int, order_ref: str) -> dict[str, object]:
    return event(
        "ship_order", id_, NOW, {"location": "A", "lines": [line("TEE", units)], "order_ref": order_ref}
    )


async def test_what_expires_while_it_is_confirmed_is_placed_where_there_is_still_something(
    database: Database,
) -> None:
    """The position at B was not known before the locks: once it was taken for an empty one."""
    async with shops(database, A=1, B=1) as (_, ahead, behind):
        held = number(only(await behind.do(wish("O-1", ("TEE", 1), channel="web", seconds=60))))
        answers = await overtaken(
            database, ahead, ahead.do(Expire(held), wish("O-2", ("TEE", 1))), behind, behind.do(confirm(held))
        )
        assert [word(answer) for answer in answers] == ["confirmed"]
        assert [place.id for place in only(answers).reservation.lines[0].locations] == ["B"]


async def test_an_order_reserved_anew_while_its_old_reservation_is_confirmed_has_one(
    database: Database,
) -> None:
    """Nobody had asked for the order's reservation: once both stood open, and met in the unique index."""
    async with shops(database, A=3) as (_, ahead, behind):
        held = await behind.hold("O-1", seconds=60)
        said = await overtaken(
            database,
            ahead,
            ahead.do(Expire(held), wish("O-1", ("TEE", 2))),
            behind,
            behind.said(confirm(held)),
        )
        assert said == ["reservation.expired"]
        assert await behind.claimed() == (2, 0)


async def test_an_order_reserved_while_its_expired_reservation_is_revived_is_seen_before_the_commit(
    database: Database,
) -> None:
    """The new one stands elsewhere, so nothing makes the second wait before it writes."""
    async with shops(database, A=1, B=1) as (_, ahead, behind):
        held = await behind.hold("O-1", at="A", seconds=60)
        ahead.now += A_MINUTE
        assert await ahead.sweep() == 1
        said = await overtaken(
            database, ahead, ahead.do(wish("O-1", ("TEE", 1), at="B")), behind, behind.said(confirm(held))
        )
        assert said == ["reservation.expired"]
        assert (await behind.claimed(location="A"), await behind.claimed(location="B")) == ((0, 0), (1, 0))


async def test_the_same_request_is_granted_once_though_it_is_asked_of_two(database: Database) -> None:
    async with shops(database, A=3) as (_, ahead, behind):
        answers = await overtaken(
            database,
            ahead,
            ahead.do(wish(None, ("TEE", 1), key="k")),
            behind,
            behind.do(wish(None, ("TEE", 1), key="k")),
        )
        assert (word(only(answers)), only(answers).is_new) == ("held", False)
        assert await behind.claimed() == (1, 0)


async def test_a_claim_that_moves_while_it_is_released_is_released_where_it_is(database: Database) -> None:
    async with shops(database, A=2, B=2) as (_, ahead, behind):
        held = await behind.hold("O-1", quantity=2)
        said = await overtaken(
            database, ahead, ahead.do(allocate(held, "B")), behind, behind.said(Release(held))
        )
        assert said == ["released"]
        assert (await behind.claimed(location="A"), await behind.claimed(location="B")) == ((0, 0), (0, 0))


async def test_a_shipment_meets_the_order_that_is_reserved_just_before_it(database: Database) -> None:
    async with shops(database, A=3) as (till, ahead, _):
        answers = await overtaken(
            database, ahead, ahead.do(wish("O-1", ("TEE", 2))), till, till.answers(shipment("s-1", 2, "O-1"))
        )
        assert answers == ["applied"]
        assert await ahead.said(wish("O-1", ("TEE", 1))) == ["held"]
        assert await ahead.open_details("stock.shipped_without_claim") == []


async def test_an_order_meets_the_shipment_that_is_booked_just_before_it(database: Database) -> None:
    async with shops(database, A=3) as (till, _, behind):
        said = await overtaken(
            database,
            till,
            till.apply(shipment("s-1", 2, "O-1")),
            behind,
            behind.said(wish("O-1", ("TEE", 2))),
        )
        assert said == ["fulfilled"]
        assert await behind.claimed() == (0, 0)
