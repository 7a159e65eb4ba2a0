"""When a number leaves: at once, whether the ERP is up or not, or when the ERP's books have acknowledged what is behind it (D7)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from books import PER_TICKET, Accountant, accountant
from channel import Teller, teller
from evenstock.core.errors import Refusal
from evenstock.core.names import posting_id
from evenstock.pipeline.confirm import confirm
from evenstock.pipeline.explain import explain
from evenstock.pipeline.trace import anything
from evenstock.postgres import configured, confirmations, told
from evenstock.postgres.database import Database
from seller import seller

TAG = "0123456789abcdef"
BY_THE_HOUR = {"per": "store", "every_s": 3600}


class Shop:
    """Two stores, an ERP that keeps books, and a web channel that sells from the first and waits for them."""

    def __init__(self, books: Accountant, tells: Teller) -> None:
        self.books = books
        self.tells = tells
        self.does = books.does

    async def says(self) -> int | None:
        """Look, make postings and send none; release and tell. What the web shop shows then of the item."""
        self.tells.now = self.books.now
        await self.tells.expose()
        await self.books.make()
        await confirm(self.tells.db, lambda: self.books.now)
        await self.tells.tell()
        return self.tells.system.shows.get(("web", "TEE"))

    async def posts(self) -> int | None:
        """The same, with the ERP there."""
        await self.says()
        await self.books.until_quiet()
        return await self.says()

    async def waits(self, **more: Any) -> None:
        await self.tells.channel("web", "A", publish_on="erp_confirm", **more)

    async def sentence(self) -> str:
        found = await explain(self.tells.db, self.tells.names, "TEE", "web", now=self.books.now)
        assert found is not None
        return found.sentence

    async def numbers(self) -> int:
        return int(await self.tells.db.fetchval("select count(*) from waiting_numbers"))


@asynccontextmanager
async def shop(database: Database, data: Path) -> AsyncIterator[Shop]:
    async with accountant(database, data) as books, teller(database, data) as tells:
        tells.now = books.now
        await tells.connection()
        found = Shop(books, tells)
        await found.waits()
        yield found


# Both policies -------------------------------------------------------------------------------------------------------


async def test_by_the_hubs_commit_the_number_follows_while_the_erp_is_down(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as it:
        await it.tells.channel("web", "A")
        await it.books.erp.control("maintenance", {"for_s": 3600})
        await it.does("receipt", "R-1", ("TEE", 10))
        assert await it.says() == 10
        await it.does("sale", "S-1", ("TEE", 3))
        assert await it.says() == 7
        assert await it.books.send() == 1
        assert it.books.erp.sandbox.state.stock["A"]["TEE"] == 0


async def test_by_the_erps_confirmation_a_number_waits_up_and_down_and_follows(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as it:
        await it.does("receipt", "R-1", ("TEE", 10))
        assert await it.says() is None
        assert await it.posts() == 10
        await it.does("sale", "S-1", ("TEE", 3))
        await it.books.erp.control("maintenance", {"for_s": 3600})
        assert await it.says() == 10
        await it.books.send()
        assert await it.says() == 10, "a lower number waits too"
        await it.books.erp.control("maintenance", {"for_s": 0})
        assert await it.posts() == 7
        assert [number for _, number, _ in it.tells.system.heard] == [10, 7]
        assert await it.numbers() == 0


async def test_why_and_trace_name_the_posting_that_is_waited_for(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as it:
        await it.does("receipt", "R-1", ("TEE", 10))
        await it.tells.expose()
        assert "It waits for erp's confirmation of what is in no posting yet, since " in await it.sentence()
        await it.says()
        posting = posting_id(await it.tells.db.fetchval("select posting_id from postings"))
        waits_since = await it.tells.db.fetchval("select since from exposure_waits")
        since = f"{waits_since:%H:%M:%S}"
        words = f"waits for erp's confirmation of posting {posting}, since"
        assert words in await it.sentence()
        missing, books = (await anything(it.tells.db, "R-1", TAG, it.books.now)).missing
        assert (books.system, books.state) == ("erp", "waiting"), "and the books lack the posting"
        assert missing.words == f"web is not yet told 10 of TEE: it {words} {since}."
        assert (missing.state, missing.overdue) == ("waiting", False)
        says = (await told.exposures_of(it.tells.db, "web", ["TEE"]))["TEE"].exposure
        assert (says.status, says.intended, says.sent) == ("withheld", 10, None)
        assert says.waits_for is not None
        assert says.waits_for.posting == posting
        await it.posts()
        assert "waits for" not in await it.sentence()
        assert (await anything(it.tells.db, "R-1", TAG, it.books.now)).missing == []


# What is waited for --------------------------------------------------------------------------------------------------


async def test_a_busy_item_is_told_as_far_as_the_books_have_come(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as it:
        await it.books.keeps(BY_THE_HOUR)
        it.books.shop.now = it.books.now.replace(hour=9, minute=1)
        await it.does("receipt", "R-1", ("TEE", 10))
        await it.does("sale", "S-1", ("TEE", 1))
        await it.says()
        it.books.shop.now = it.books.now.replace(hour=10, minute=1)
        await it.does("sale", "S-2", ("TEE", 1))
        await it.says()
        await it.books.send()
        assert await it.says() == 9, "the sale after the hour is in no posting yet"
        it.books.shop.now = it.books.now.replace(hour=11, minute=1)
        await it.does("sale", "S-3", ("TEE", 1))
        assert await it.posts() == 8


async def test_numbers_are_released_in_the_ledgers_order_however_the_books_answer(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as it:
        await it.does("receipt", "R-1", ("TEE", 10))
        await it.posts()
        await it.books.erp.faults("failing")
        for number in range(3):
            await it.does("sale", f"S-{number}", ("TEE", 1))
            await it.says()
        await it.books.until_quiet()
        assert sorted(await it.books.statuses())[1:] == [("sales", "done")] * 2 + [("sales", "rejected")]
        assert await it.says() == 10, "the first of them is refused"
        assert "erp refused it: " in await it.sentence()
        await it.books.again("period_closed")
        assert await it.posts() == 7


async def test_a_refused_line_is_waited_for_until_it_is_brought_again(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as it:
        await it.books.shop.items("NEW")
        await it.does("receipt", "R-1", ("TEE", 3), ("NEW", 5))
        assert await it.posts() == 3, "its own line is in the books"
        assert ("web", "NEW") not in it.tells.system.shows
        await it.books.erp.control("stock", [{"item": "NEW", "location": "A", "quantity": 0}])
        await it.books.again()
        await it.posts()
        assert it.tells.system.shows["web", "NEW"] == 5


async def test_what_happens_where_the_channel_does_not_sell_is_not_waited_for(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as it:
        await it.does("receipt", "R-1", ("TEE", 10))
        await it.posts()
        await it.does("receipt", "R-2", ("TEE", 10), at="B")
        await it.says()
        await it.waits(safety_stock=1)
        assert await it.says() == 9, "a posting of the other store is open"
        await it.books.until_quiet()
        await it.books.keeps(BY_THE_HOUR)
        await it.does("receipt", "R-3", ("TEE", 10), at="B")
        await it.waits(safety_stock=2)
        assert await it.says() == 8, "and here none is made yet"


async def test_a_promise_waits_for_nothing_but_the_movements_before_it(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as it, seller(database) as sells:
        await it.does("receipt", "R-1", ("TEE", 10))
        await it.posts()
        await sells.hold("O-1", "TEE", 2, channel="web", at=None)
        assert await it.says() == 8, "promises are in nobody's books"
        await it.does("sale", "S-1", ("TEE", 1))
        await it.says()
        await sells.hold("O-2", "TEE", 2, channel="web", at=None)
        assert await it.says() == 8
        assert await it.posts() == 5


async def test_zero_comes_first_among_what_is_released(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as it:
        await it.does("receipt", "R-1", ("TEE", 50), ("CUP", 4))
        await it.posts()
        it.tells.system.heard.clear()
        await it.does("sale", "S-1", ("TEE", 1))
        await it.does("sale", "S-2", ("CUP", 4))
        await it.says()
        await it.books.until_quiet()
        await it.says()
        assert [(sku, number) for sku, number, _ in it.tells.system.heard] == [("CUP", 0), ("TEE", 49)]


async def test_of_very_many_numbers_the_newest_is_kept_and_the_oldest(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmations, "WAITING_MAX", 3)
    async with shop(database, tmp_path) as it:
        await it.does("receipt", "R-1", ("TEE", 10))
        for number in range(5):
            await it.says()
            assert await it.numbers() == min(number + 1, 3)
            await it.does("sale", f"S-{number}", ("TEE", 1))
        assert await it.posts() == 5
        assert await it.numbers() == 0


# Changing one's mind -------------------------------------------------------------------------------------------------


async def test_what_waits_is_told_at_once_when_it_need_not_wait(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as it:
        await it.does("receipt", "R-1", ("TEE", 10))
        assert await it.says() is None
        await it.tells.channel("web", "A")
        assert await it.says() == 10


async def test_what_is_not_told_yet_waits_when_it_has_to(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as it:
        await it.tells.channel("web", "A", publish_on="never")
        await it.does("receipt", "R-1", ("TEE", 10))
        assert await it.says() is None
        await it.waits()
        assert await it.says() is None
        assert await it.numbers() == 1
        assert await it.posts() == 10


async def test_other_terms_take_the_place_of_what_waits(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as it:
        await it.does("receipt", "R-1", ("TEE", 10))
        await it.says()
        await it.waits(safety_stock=2)
        await it.books.until_quiet()
        assert await confirm(it.tells.db, lambda: it.books.now) == 0, "it was computed by terms that are over"
        await it.tells.expose()
        assert await it.numbers() == 1
        assert await it.says() == 8


# What is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("books", "flow", "named", "pointer"),
    [
        (None, "live", None, "/channels/0/publish_on"),
        (None, "live", "erp", "/channels/0/confirmed_by"),
        (PER_TICKET, "live", "shop", "/channels/0/confirmed_by"),
        (PER_TICKET, "shadow", "erp", "/channels/0/confirmed_by"),
    ],
)
async def test_a_channel_waits_for_no_books_that_are_not_kept(
    database: Database, tmp_path: Path, books: Any, flow: str, named: str | None, pointer: str
) -> None:
    async with shop(database, tmp_path) as it:
        await it.tells.channel("web", "A")
        await it.books.keeps(books, flow=flow)
        before = await it.tells.db.fetch("select * from channels")
        with pytest.raises(Refusal) as refused:
            await it.waits(confirmed_by=named)
        assert (refused.value.problem.code, refused.value.problem.pointer) == ("channel.no_books", pointer)
        assert await it.tells.db.fetch("select * from channels") == before


async def test_of_several_books_a_channel_names_those_that_it_waits_for(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as it:
        await it.books.keeps(id="ledger two")
        with pytest.raises(Refusal, match="there are several books: erp, ledger two"):
            await it.waits()
        await it.waits(confirmed_by="ledger two")
        (web,) = await configured.sales_channels(it.tells.db)
        assert (web["publish_on"], web["confirmed_by"]) == ("erp_confirm", "ledger two")


async def test_the_only_books_need_no_name(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as it:
        (web,) = await configured.sales_channels(it.tells.db)
        assert (web["publish_on"], web["confirmed_by"]) == ("erp_confirm", None)
        await it.books.keeps(id="ledger two")
        await it.does("receipt", "R-1", ("TEE", 10))
        await it.says()
        assert (await it.sentence()).count("waits for erp's confirmation") == 1


@pytest.mark.parametrize(
    ("books", "flow", "pointer"),
    [(None, "live", "/connections/0/books"), (PER_TICKET, "shadow", "/connections/0/flow")],
)
async def test_books_that_a_channel_waits_for_are_not_taken_away(
    database: Database, tmp_path: Path, books: Any, flow: str, pointer: str
) -> None:
    async with shop(database, tmp_path) as it:
        with pytest.raises(Refusal) as refused:
            await it.books.keeps(books, flow=flow)
        assert (refused.value.problem.code, refused.value.problem.pointer) == ("channel.no_books", pointer)
        assert await it.tells.db.fetchval("select is_kept from books")
        await it.tells.channel("web", "A")
        await it.books.keeps(books, flow=flow)
