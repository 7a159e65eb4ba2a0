"""Ownership, enforced: a sale, a number or a posting that is not its author's to write waits under an exception, and changes nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from books import Accountant, accountant
from channel import Teller, teller
from evenstock.postgres import masters, owners
from evenstock.postgres.database import Database
from hub import Hub, event, hub, line

Claim = tuple[str, str, str | None]  # domain, scope, who; nobody takes the claim away


async def claim(shop: Hub, *claims: Claim) -> int:
    """Say who is right, and book what waited for it; how many lines that were."""
    known = await masters.connections(shop.db)
    rows = [(domain, scope, known.get(who or ""), who is not None) for domain, scope, who in claims]
    await owners.claim(shop.db, rows, shop.now)
    return await shop.release(await owners.held_for(shop.db, ["store_sales"]))


async def sells(shop: Hub, id_: str, source: str, at: str = "A") -> str:
    what = {"location": at, "lines": [line("TEE", 1)]}
    (answer,) = await shop.answers(event("sale", id_, shop.now - timedelta(hours=1), what, source=source))
    return answer


async def left(shop: Hub, at: str = "A") -> int:
    return (await shop.units("TEE", at))[0]


@asynccontextmanager
async def two_tills(database: Database) -> AsyncIterator[Hub]:
    """Two programs that report the sales of a store, where ten are."""
    async with hub(database, "pos-nl", "pos-old") as shop:
        await shop.locations("A", "B")
        await shop.items("TEE")
        for at in ("A", "B"):
            stock = {"location": at, "lines": [line("TEE", 10)]}
            before = shop.now - timedelta(hours=2)
            assert await shop.answers(event("receipt", at, before, stock, source="pos-nl")) == ["applied"]
        yield shop


# Facts ---------------------------------------------------------------------------------------------------------------


async def test_a_sale_of_another_than_the_owner_waits_and_moves_nothing(database: Database) -> None:
    async with two_tills(database) as shop:
        await claim(shop, ("store_sales", "default", "pos-nl"))
        assert await sells(shop, "S-1", "pos-nl") == "applied"
        assert await sells(shop, "S-2", "pos-old") == "ownership.other"
        assert await left(shop) == 9
        assert await shop.open_exceptions() == [("ownership.other", "owner:store_sales:A:pos-old")]
        detail = await shop.db.fetchval("select detail from exceptions")
        assert detail == "pos-old may not write sales at A: pos-nl is right about that."


async def test_what_waited_is_booked_once_the_owner_is_another(database: Database) -> None:
    async with two_tills(database) as shop:
        await claim(shop, ("store_sales", "default", "pos-nl"))
        assert await sells(shop, "S-1", "pos-old") == "ownership.other"
        assert await sells(shop, "S-2", "pos-old", "B") == "ownership.other"
        assert await claim(shop, ("store_sales", "B", "pos-old")) == 1
        assert (await left(shop), await left(shop, "B")) == (10, 9)
        assert await shop.open_exceptions() == [("ownership.other", "owner:store_sales:A:pos-old")]
        assert await sells(shop, "S-3", "pos-nl", "B") == "ownership.other"
        assert await claim(shop, ("store_sales", "default", None), ("store_sales", "B", None)) == 2
        assert (await left(shop), await left(shop, "B")) == (9, 8)
        assert await shop.open_exceptions() == []


async def test_of_two_claimants_neither_is_believed(database: Database) -> None:
    async with two_tills(database) as shop:
        await claim(shop, ("store_sales", "everywhere", "pos-nl"), ("store_sales", "A", "pos-old"))
        assert await sells(shop, "S-1", "pos-nl") == "ownership.disputed"
        assert await sells(shop, "S-2", "pos-old") == "ownership.disputed"
        assert await sells(shop, "S-3", "pos-nl", "B") == "applied"
        assert await left(shop) == 10
        assert await shop.open_exceptions() == [("ownership.disputed", "owner:store_sales:A")]
        assert await claim(shop, ("store_sales", "everywhere", None)) == 1
        assert await left(shop) == 9, "the one whose claim is left"
        assert await shop.open_exceptions() == [("ownership.other", "owner:store_sales:A:pos-nl")]


async def test_a_copy_of_a_sale_is_voided_and_its_exception_closes(database: Database) -> None:
    async with two_tills(database) as shop:
        await claim(shop, ("store_sales", "default", "pos-nl"))
        assert await sells(shop, "S-1", "pos-old") == "ownership.other"
        void = {"target": "S-1", "goods": "never_left"}
        assert await shop.answers(event("void", "V-1", shop.now, void, source="pos-old")) == ["applied"]
        assert (await left(shop), await shop.open_exceptions()) == (10, [])


async def voids(shop: Hub, id_: str, source: str, of: str, goods: str = "never_left") -> str:
    """Take back what pos-nl sold."""
    void = {"target": {"source": "pos-nl", "id": of}, "goods": goods}
    (answer,) = await shop.answers(event("void", id_, shop.now - timedelta(minutes=30), void, source=source))
    return answer


async def test_a_void_of_the_owners_sale_by_another_waits_and_moves_nothing(database: Database) -> None:
    async with two_tills(database) as shop:
        await claim(shop, ("store_sales", "default", "pos-nl"))
        assert await sells(shop, "S-1", "pos-nl") == "applied"
        assert await voids(shop, "V-1", "pos-old", "S-1") == "ownership.other"
        assert await left(shop) == 9
        assert await shop.open_exceptions() == [("ownership.other", "owner:store_sales:A:pos-old")]


@pytest.mark.parametrize(("goods", "sellable"), [("never_left", 10), ("came_back", 9)])
async def test_a_void_that_waited_takes_effect_once_its_source_is_right(
    database: Database, goods: str, sellable: int
) -> None:
    async with two_tills(database) as shop:
        await claim(shop, ("store_sales", "default", "pos-nl"))
        assert await sells(shop, "S-1", "pos-nl") == "applied"
        assert await sells(shop, "S-2", "pos-old") == "ownership.other"
        assert await voids(shop, "V-1", "pos-old", "S-1", goods) == "ownership.other"
        assert await claim(shop, ("store_sales", "default", None)) == 2
        assert await left(shop) == sellable - 1, "less the copy that waited, too"
        assert await shop.open_exceptions() == []


async def test_a_void_that_waited_is_late_when_the_owner_takes_the_sale_back(database: Database) -> None:
    async with two_tills(database) as shop:
        await claim(shop, ("store_sales", "default", "pos-nl"))
        assert await sells(shop, "S-1", "pos-nl") == "applied"
        assert await voids(shop, "V-1", "pos-old", "S-1") == "ownership.other"
        assert await voids(shop, "V-2", "pos-nl", "S-1") == "applied"
        assert (await left(shop), await shop.open_exceptions()) == (10, [])
        assert await claim(shop, ("store_sales", "default", None)) == 0
        assert await left(shop) == 10


async def test_a_void_that_came_before_the_owners_sale_waits_when_it_comes(database: Database) -> None:
    async with two_tills(database) as shop:
        await claim(shop, ("store_sales", "default", "pos-nl"))
        assert await voids(shop, "V-1", "pos-old", "S-1") == "parked"
        assert await sells(shop, "S-1", "pos-nl") == "applied"
        assert await left(shop) == 9
        assert await shop.open_exceptions() == [("ownership.other", "owner:store_sales:A:pos-old")]


async def test_of_two_voids_that_waited_the_first_takes_effect_once(database: Database) -> None:
    async with two_tills(database) as shop:
        await shop.connections("pos-third")
        await claim(shop, ("store_sales", "default", "pos-nl"))
        assert await sells(shop, "S-1", "pos-nl") == "applied"
        assert await voids(shop, "V-1", "pos-old", "S-1") == "ownership.other"
        assert await voids(shop, "V-2", "pos-third", "S-1") == "ownership.other"
        await claim(shop, ("store_sales", "default", None))
        assert (await left(shop), await shop.open_exceptions()) == (10, [])


async def test_what_is_no_sale_or_at_no_store_waits_for_nobody(database: Database) -> None:
    async with two_tills(database) as shop:
        await shop.db.execute("update locations set type = 'warehouse' where id = 'B'")
        await claim(shop, ("store_sales", "default", "pos-nl"))
        at = shop.now - timedelta(hours=1)
        back = {"location": "A", "lines": [line("TEE", 1)]}
        assert await shop.answers(event("return", "R", at, back, source="pos-old")) == ["applied"]
        assert await sells(shop, "S-1", "pos-old", "B") == "applied"
        await claim(shop, ("store_sales", "B", "pos-nl"))
        assert await sells(shop, "S-2", "pos-old", "B") == "ownership.other"


# Dispatches ----------------------------------------------------------------------------------------------------------


async def test_a_channel_that_knows_its_own_numbers_is_told_none_until_they_are_ours(
    database: Database, tmp_path: Path
) -> None:
    async with hub(database, "pos") as shop, teller(database, tmp_path) as tells:
        await _sold_in(shop, tells)
        await claim(shop, ("availability", "web", "shop"))
        assert await tells.say() == {("app", "TEE"): 10}
        assert (await tells.exposure("TEE"))["intended"] == 10, "it is computed, kept, and not sent"
        assert await tells.outcomes("TEE") == [(1, 1, "done")]
        assert await shop.open_exceptions() == [("ownership.other", "owner:availability:web")]
        detail = await shop.db.fetchval("select detail from exceptions")
        assert detail == "the hub may not write the numbers of web: shop is right about that."
        await claim(shop, ("availability", "web", None))
        assert await tells.say() == {("app", "TEE"): 10, ("web", "TEE"): 10}
        assert await shop.open_exceptions() == []


async def test_nothing_is_sent_about_a_channel_that_two_claim(database: Database, tmp_path: Path) -> None:
    async with hub(database, "pos") as shop, teller(database, tmp_path) as tells:
        await _sold_in(shop, tells)
        await claim(shop, ("availability", "everywhere", "evenstock"), ("availability", "web", "shop"))
        assert await tells.say() == {("app", "TEE"): 10}
        assert await shop.open_exceptions() == [("ownership.disputed", "owner:availability:web")]
        await tells.channel("late", "A")
        await claim(shop, ("availability", "late", "shop"))
        assert await shop.open_exceptions() == [
            ("ownership.disputed", "owner:availability:late"),
            ("ownership.disputed", "owner:availability:web"),
        ]
        await claim(shop, ("availability", "everywhere", None))
        assert [code for code, _ in await shop.open_exceptions()] == ["ownership.other"] * 2
        assert await tells.tell() == 0
        await claim(shop, ("availability", "late", "evenstock"), ("availability", "web", None))
        assert len(await tells.say()) == 3
        assert await shop.open_exceptions() == []


async def _sold_in(shop: Hub, tells: Teller) -> None:
    """Ten tees, which two channels of one shop sell."""
    tells.now = shop.now
    await shop.locations("A")
    await shop.items("TEE")
    await tells.connection()
    await tells.channel("web", "A")
    await tells.channel("app", "A")
    stock = {"location": "A", "lines": [line("TEE", 10)]}
    await shop.apply(event("receipt", "R", shop.now - timedelta(hours=1), stock))


async def test_books_that_another_system_owns_are_sent_no_posting_and_lose_none(
    database: Database, tmp_path: Path
) -> None:
    async with accountant(database, tmp_path) as books:
        await books.shop.connections("new-erp")
        await claim(books.shop, ("financial_stock", "everywhere", "new-erp"))
        await books.does("receipt", "R-1", ("TEE", 10))
        assert (await books.post())["TEE"] == 0
        assert (await books.statuses(), await _tries(books)) == ([("receipts", "owed")], 0)
        assert await books.shop.open_exceptions() == [("ownership.other", "owner:financial_stock:erp")]

        await claim(books.shop, ("financial_stock", "default", "erp"))
        assert await books.shop.open_exceptions() == [("ownership.disputed", "owner:financial_stock:erp")]
        assert (await books.post())["TEE"] == 0

        await claim(books.shop, ("financial_stock", "everywhere", None))
        assert (await books.post())["TEE"] == 10
        assert (await books.statuses(), await _tries(books)) == ([("receipts", "done")], 1)
        assert await books.shop.open_exceptions() == []


async def _tries(books: Accountant) -> int:
    return int(await books.shop.db.fetchval("select count(*) from posting_attempts"))
