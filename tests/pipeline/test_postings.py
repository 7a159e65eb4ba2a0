"""The ledger in the ERP's books: every movement that is due in exactly one posting, every posting there exactly once."""

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from books import PER_TICKET, Accountant, accountant
from evenstock.pipeline import postings as making
from evenstock.pipeline.dispatch import LEASE_S
from evenstock.postgres import attention, postings
from evenstock.postgres.attention import Filter
from evenstock.postgres.database import Database
from evenstock.postgres.postings import PostingFilter
from hub import event, line

DAY_S = 86_400


async def documents(books: Accountant) -> int:
    return int(books.erp.sandbox.state.posted)


# What is posted ------------------------------------------------------------------------------------------------------


async def test_a_sale_and_its_receipt_are_in_the_books_with_their_documents(
    database: Database, tmp_path: Path
) -> None:
    async with accountant(database, tmp_path) as books:
        await books.does("receipt", "R-1", ("TEE", 10), ("CUP", 4))
        await books.does("sale", "S-1", ("TEE", 3))
        assert await books.post() == {"TEE": Decimal(7), "CUP": Decimal(4), "JAR": Decimal(0)}
        assert await books.statuses() == [("receipts", "done"), ("sales", "done")]
        assert await books.make() == 0
        assert await books.send() == 0


async def test_what_was_there_before_the_books_is_not_posted(database: Database, tmp_path: Path) -> None:
    async with accountant(database, tmp_path) as books:
        await books.keeps(None)
        await books.shop.db.execute("select 1")
        await books.does("receipt", "R-1", ("TEE", 10))
        assert await books.make() == 0
        await books.keeps()
        assert (await books.post())["TEE"] == 10, "books that rest lose nothing"


async def test_goods_on_their_way_are_posted_when_they_leave_and_when_they_arrive(
    database: Database, tmp_path: Path
) -> None:
    async with accountant(database, tmp_path) as books:
        await books.does("receipt", "R-1", ("TEE", 10))
        at = books.now - timedelta(minutes=30)
        told = {"transfer": "T-1", "from": "A", "to": "B", "lines": [line("TEE", 4)]}
        await books.shop.apply(event("ship", "T-1-out", at, told))
        assert (await books.post())["TEE"] == 6
        assert "B" not in books.erp.sandbox.state.stock
        await books.shop.apply(event("receive", "T-1-in", at + timedelta(minutes=5), told))
        await books.post()
        assert books.erp.sandbox.state.stock["B"] == {"TEE": Decimal(4)}


async def test_a_count_and_a_void_are_posted_where_they_belong(database: Database, tmp_path: Path) -> None:
    async with accountant(database, tmp_path) as books:
        await books.does("receipt", "R-1", ("TEE", 10))
        await books.does("sale", "S-1", ("TEE", 3))
        at = books.now
        sheet = [{"line": "1", "item": {"sku": "TEE"}, "quantity": 5, "bucket": "sellable"}]
        await books.shop.apply(event("count", "C-1", at, {"location": "A", "counted_at": at, "lines": sheet}))
        void = {"target": {"source": "pos", "id": "S-1"}, "goods": "never_left"}
        (answer,) = await books.shop.answers(event("void", "V-1", at, void))
        assert answer == "applied"
        assert (await books.post())["TEE"] == 5, "the count holds, whatever was voided before it"
        kinds = [kind for kind, _ in await books.statuses()]
        assert kinds[:3] == ["receipts", "sales", "adjustments"]
        assert "sales" in kinds[3:], "what was a sale is undone as a sale"


async def test_per_store_and_period_is_one_posting_for_a_kind_and_a_day(
    database: Database, tmp_path: Path
) -> None:
    async with accountant(database, tmp_path) as books:
        await books.keeps({"per": "store", "every_s": 3600})
        books.shop.now = books.now.replace(hour=9, minute=1)
        for number in range(5):
            await books.does("sale", f"A-{number}", ("TEE", 2), ("CUP", 1))
            await books.does("sale", f"B-{number}", ("TEE", 1), at="B")
        assert await books.make() == 0, "the period is not over"
        books.shop.now = books.now.replace(hour=10, minute=0, second=1)
        assert await books.make() == 2
        await books.send()
        stock = books.erp.sandbox.state.stock
        assert (stock["A"]["TEE"], stock["A"]["CUP"], stock["B"]["TEE"]) == (-10, -5, -5)
        assert await documents(books) == 2


async def test_a_batch_is_one_posting_over_all_stores(database: Database, tmp_path: Path) -> None:
    async with accountant(database, tmp_path) as books:
        await books.keeps({"per": "batch", "every_s": 60})
        await books.does("sale", "A-1", ("TEE", 2))
        await books.does("sale", "B-1", ("TEE", 1), at="B")
        books.later(61)
        assert await books.make() == 1
        await books.send()
        assert await documents(books) == 1
        assert books.erp.sandbox.state.stock["B"]["TEE"] == -1


async def test_what_cancels_out_is_not_sent_and_not_lost(database: Database, tmp_path: Path) -> None:
    async with accountant(database, tmp_path) as books:
        await books.keeps({"per": "batch", "every_s": 60})
        at = books.now - timedelta(hours=1)
        for id_, delta in (("X-1", 2), ("X-2", -2)):
            entry = {"line": "1", "item": {"sku": "TEE"}, "delta": delta, "bucket": "sellable"}
            await books.shop.apply(event("adjust", id_, at, {"location": "A", "lines": [entry]}))
        books.later(61)
        assert await books.make() == 1
        assert await books.send() == 0
        assert await books.statuses() == [("adjustments", "nothing")]


async def test_a_fact_of_a_closed_day_is_posted_on_the_day_we_learned_of_it(
    database: Database, tmp_path: Path
) -> None:
    async with accountant(database, tmp_path) as books:
        await books.keeps(PER_TICKET | {"late_days": 2})
        for id_, days in (("S-1", 2), ("S-2", 3)):
            data = {"location": "A", "lines": [line("TEE", 1)]}
            await books.shop.apply(event("sale", id_, books.now - timedelta(days=days), data))
        await books.make()
        rows = await books.shop.db.fetch("select posted_on from postings order by posting_id")
        today = books.now.date()
        assert [row[0] for row in rows] == [today - timedelta(days=2), today]


async def test_kinds_are_sent_in_the_order_of_the_books(database: Database, tmp_path: Path) -> None:
    async with accountant(database, tmp_path) as books:
        await books.keeps(PER_TICKET | {"first": ["sales"]})
        await books.does("receipt", "R-1", ("TEE", 10))
        await books.does("sale", "S-1", ("TEE", 3))
        await books.post()
        types = [entry["body"].partition('"type":"')[2][:5] for entry in await books.erp.log()]
        assert types == ["sales", "recei"]


async def test_many_movements_are_made_in_turns_and_none_twice(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "MOVEMENTS_MAX", 3)
    async with accountant(database, tmp_path) as books:
        for number in range(7):
            await books.does("sale", f"S-{number}", ("TEE", 1), ("CUP", 1))
        turns = []
        while made := await books.make():
            turns.append(made)
        assert sum(turns) == 7
        assert len(turns) > 2
        await books.send()
        assert books.erp.sandbox.state.stock["A"]["TEE"] == -7


# Once, whatever happens ----------------------------------------------------------------------------------------------

CUT = ("cut-after", "500-after", "html-after")
NOT_DONE = ("cut", "500", "html", "429", "429-bare", "503", "maintenance")


@pytest.mark.parametrize("fault", [*CUT, *NOT_DONE, "later"])
async def test_whatever_becomes_of_a_try_it_is_in_the_books_once(
    database: Database, tmp_path: Path, fault: str
) -> None:
    async with accountant(database, tmp_path) as books:
        await books.does("sale", "S-1", ("TEE", 3))
        await books.does("sale", "S-2", ("TEE", 2))
        await books.erp.faults(fault, fault)
        await books.until_quiet()
        assert books.erp.sandbox.state.stock["A"]["TEE"] == -5
        assert await documents(books) == 2
        assert await books.open() == []


async def test_in_a_maintenance_everything_is_kept_and_goes_out_after_it(
    database: Database, tmp_path: Path
) -> None:
    async with accountant(database, tmp_path) as books:
        await books.erp.control("maintenance", {"for_s": 4 * 3600})
        for number in range(3):
            await books.does("sale", f"S-{number}", ("TEE", 1))
        await books.post()
        assert await documents(books) == 0
        tries = len(await books.erp.log())
        assert tries == 1, "one answer tells of all"
        books.later(3 * 3600)
        await books.post()
        assert await documents(books) == 0
        await books.erp.control("maintenance", {"for_s": 0})
        await books.until_quiet()
        assert books.erp.sandbox.state.stock["A"]["TEE"] == -3


async def test_a_job_that_never_ends_holds_up_no_other_and_is_shown(
    database: Database, tmp_path: Path
) -> None:
    async with accountant(database, tmp_path) as books:
        await books.does("sale", "S-1", ("TEE", 3))
        await books.does("sale", "S-2", ("TEE", 2))
        await books.erp.faults("never")
        await books.post()
        books.later()
        await books.post()
        assert sorted(await books.statuses()) == [("sales", "done"), ("sales", "unknown")]
        books.later(16 * 60)
        await books.post()
        assert await books.open() == ["posting.delayed"]
        await books.erp.control("finish")
        await books.until_quiet()
        assert books.erp.sandbox.state.stock["A"]["TEE"] == -5
        assert await documents(books) == 2
        assert await books.open() == []


async def test_a_line_that_the_books_refuse_is_brought_again_alone(
    database: Database, tmp_path: Path
) -> None:
    async with accountant(database, tmp_path) as books:
        await books.shop.items("NEW")
        await books.does("receipt", "R-1", ("TEE", 3), ("NEW", 5))
        assert (await books.post())["TEE"] == 3
        assert await books.statuses() == [("receipts", "partly")]
        assert await books.open() == ["posting.line_refused"]
        await books.erp.control("stock", [{"item": "NEW", "location": "A", "quantity": 0}])
        assert await books.again() == (0, 1)
        assert await books.open() == ["posting.line_refused"], "until it is there"
        await books.until_quiet()
        assert books.erp.sandbox.state.stock["A"] == {"TEE": 3, "CUP": 0, "JAR": 0, "NEW": 5}
        assert await books.open() == []
        assert await books.again() == (0, 0)


async def test_a_posting_that_the_books_refuse_waits_for_a_person_and_holds_up_no_other(
    database: Database, tmp_path: Path
) -> None:
    async with accountant(database, tmp_path) as books:
        await books.shop.items("NEW")
        await books.does("receipt", "R-1", ("NEW", 5))
        await books.does("receipt", "R-2", ("TEE", 5))
        await books.post()
        assert await books.statuses() == [("receipts", "rejected"), ("receipts", "done")]
        assert await books.open() == ["posting.rejected"]
        books.later()
        assert await books.send() == 0, "nobody asks again unasked"
        await books.erp.control("stock", [{"item": "NEW", "location": "A", "quantity": 0}])
        assert await books.again("no_valid_line") == (1, 0)
        await books.until_quiet()
        assert books.erp.sandbox.state.stock["A"]["NEW"] == 5
        assert await books.open() == []


async def test_a_job_that_failed_is_refused_and_can_be_sent_again(database: Database, tmp_path: Path) -> None:
    async with accountant(database, tmp_path) as books:
        await books.does("sale", "S-1", ("TEE", 3))
        await books.erp.faults("failing")
        await books.post()
        assert await books.statuses() == [("sales", "rejected")]
        await books.again("period_closed")
        await books.until_quiet()
        assert books.erp.sandbox.state.stock["A"]["TEE"] == -3
        assert await documents(books) == 1


async def test_a_sender_that_dies_between_is_taken_over_and_nothing_is_posted_twice(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with accountant(database, tmp_path) as books:
        await books.does("sale", "S-1", ("TEE", 3))
        await books.make()
        dying = books.sender("dying", call_within_s=0.2)
        await books.erp.faults("slow", slow_s=0.4)
        (connection_id,) = await dying.due()

        def dies(*_: object) -> None:
            raise RuntimeError("killed")

        monkeypatch.setattr(dying, "_told", dies)  # after the call, before it says what became of it
        with pytest.raises(RuntimeError):
            await dying.tell(connection_id)
        assert await books.send("other") == 0, "its lease runs"
        books.later(LEASE_S + 1)
        await books.send("other")
        await books.until_quiet()
        assert books.erp.sandbox.state.stock["A"]["TEE"] == -3
        assert await documents(books) == 1
        outcomes = await books.shop.db.fetch("select outcome from posting_attempts order by try")
        assert [row[0] for row in outcomes] == ["unknown", "done"]


# Traceable both ways -------------------------------------------------------------------------------------------------


async def test_from_a_movement_to_its_document_and_back(database: Database, tmp_path: Path) -> None:
    async with accountant(database, tmp_path) as books:
        await books.keeps({"per": "store", "every_s": 60})
        await books.does("sale", "S-1", ("TEE", 3))
        await books.does("sale", "S-2", ("TEE", 2), ("CUP", 1))
        books.later(61)
        await books.post()
        rows = await books.shop.db.fetch("select ledger_seq, ordinal from movements order by 1, 2")
        first = (rows[0][0], rows[0][1])
        (found,) = await postings.postings(books.shop.db, PostingFilter(movement=first), 2**62, 10)
        (back,) = await postings.postings(books.shop.db, PostingFilter(document=found.document), 2**62, 10)
        assert back == found
        lines, tries = await postings.inside(books.shop.db, int(found.id.removeprefix("pst_")))
        assert [(each.sku, each.quantity, len(each.movements)) for each in lines] == [
            ("TEE", -5, 2),
            ("CUP", -1, 1),
        ]
        assert f"mov_{first[0]}_{first[1]}" in lines[0].movements
        assert [each.document for each in tries] == [found.document]


async def test_a_posting_that_failed_does_not_keep_a_new_one_waiting(
    database: Database, tmp_path: Path
) -> None:
    async with accountant(database, tmp_path) as books:
        await books.does("sale", "S-1", ("TEE", 1))
        await books.erp.faults("503", retry_after_s=0)
        await books.post()
        books.later()
        await books.does("sale", "S-2", ("TEE", 1))
        await books.post()
        assert await books.statuses() == [("sales", "done"), ("sales", "done")]
        first, second = [
            row[0] for row in await books.shop.db.fetch("select document from postings order by posting_id")
        ]
        assert int(second) < int(first), "what is new goes first"


async def test_an_exception_says_how_many_units_the_books_lack(database: Database, tmp_path: Path) -> None:
    async with accountant(database, tmp_path, "TEE") as books:
        await books.shop.items("NEW", "ODD")
        await books.does("receipt", "R-1", ("TEE", 9), ("NEW", 2))
        await books.does("receipt", "R-2", ("ODD", 4))
        await books.does("sale", "S-1", ("ODD", 1))
        out = {"transfer": "T:1", "from": "A", "to": "B"}
        at = books.now - timedelta(minutes=9)
        await books.shop.apply(event("ship", "T-out", at, out | {"lines": [line("TEE", 6)]}))
        await books.shop.apply(event("receive", "T-in", at, out | {"lines": [line("TEE", 2)]}))
        await books.post()
        rows = await attention.exceptions(books.shop.db, Filter(), None, 9, books.now)
        assert {row.code: row.units for row in rows} == {
            "posting.line_refused": 2,
            "posting.rejected": 5,
            "transfer.short": 4,
        }


async def test_a_sale_is_of_the_day_that_its_store_has_also_when_the_clocks_change(
    database: Database, tmp_path: Path
) -> None:
    """The day of 25 hours in October and the day of 23 in March, in Amsterdam."""
    async with accountant(database, tmp_path) as books:
        await books.shop.db.execute("update locations set timezone = 'Europe/Amsterdam' where id = 'A'")
        days = {
            "2026-03-28T22:59:59Z": "2026-03-28", "2026-03-28T23:00:00Z": "2026-03-29", "2026-03-29T21:59:59Z": "2026-03-29",
            "2026-03-29T22:00:00Z": "2026-03-30", "2026-10-24T21:59:59Z": "2026-10-24", "2026-10-24T22:00:00Z": "2026-10-25",
            "2026-10-25T00:30:00Z": "2026-10-25", "2026-10-25T01:30:00Z": "2026-10-25", "2026-10-25T22:59:59Z": "2026-10-25",
            "2026-10-25T23:00:00Z": "2026-10-26",
        }  # fmt: skip
        for at in days:
            books.shop.now = datetime.fromisoformat(at) + timedelta(minutes=1)
            sold = {"location": "A", "lines": [line("TEE", 1)]}
            assert await books.shop.answers(event("sale", at, datetime.fromisoformat(at), sold)) == [
                "applied"
            ]
        await books.make()
        rows = await books.shop.db.fetch(
            "select f.key, p.posted_on::text from postings p join facts f using (fact_id)"
        )
        assert {row["key"]: row["posted_on"] for row in rows} == days
