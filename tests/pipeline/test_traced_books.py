"""From a ticket to the books' document and back, and to what a shop shows when somebody looks."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from books import TAG, Accountant, accountant
from channel import teller
from connectors.sandboxed import Peer
from evenstock.connectors.contract import Connector, Observed
from evenstock.core.errors import Refusal
from evenstock.core.tracing.story import Trace
from evenstock.pipeline.observe import Observer
from evenstock.pipeline.trace import Wanted, anything, trace
from evenstock.pipeline.vault import Vault
from evenstock.pipeline.worlds import Worlds
from evenstock.postgres.database import Database
from hub import event, hub, line


async def traced(books: Accountant, **wanted: str) -> Trace:
    return await trace(books.shop.db, Wanted(**wanted), TAG, books.now)


def of_the_books(found: Trace) -> list[str]:
    return [step.words for step in found.steps if step.posting is not None]


async def test_a_ticket_is_followed_into_the_books_and_a_document_back_to_its_tickets(
    database: Database, tmp_path: Path
) -> None:
    async with accountant(database, tmp_path) as books:
        await books.does("sale", "S-1", ("TEE", 3), ("CUP", 1), ticket="88213")
        waits = await traced(books, ticket="88213")
        (missing,) = waits.missing
        assert (missing.system, missing.overdue) == ("erp", False)
        assert missing.words.startswith("What is owed to the books of erp is not added up yet, since ")
        books.later(120)
        assert (await traced(books, ticket="88213")).missing[0].overdue, "books per ticket are made at once"

        await books.post()
        found = await traced(books, ticket="88213")
        assert (found.status, found.missing) == ("done", [])
        document = next(step.document for step in found.steps if step.step == "acknowledged")
        assert of_the_books(found)[-1] == f"erp has EV-{TAG}-1 as document {document}."
        posting = next(step.posting for step in found.steps if step.posting)
        assert document is not None
        assert posting is not None
        for wanted in ({"document": document}, {"posting": posting}, {"posting": f"EV-{TAG}-1"}):
            assert (await traced(books, **wanted)).steps == found.steps, wanted
        assert (await anything(books.shop.db, document, TAG, books.now)).steps == found.steps
        assert (await anything(books.shop.db, posting, TAG, books.now)).steps == found.steps
        for nothing in ({"document": "0"}, {"posting": "pst_0000000099"}, {"posting": "EV-x-1"}):
            with pytest.raises(Refusal, match="Nothing here goes by"):
                await traced(books, **nothing)


async def test_a_document_of_a_period_leads_to_all_tickets_in_it(database: Database, tmp_path: Path) -> None:
    async with accountant(database, tmp_path) as books:
        await books.keeps({"per": "store", "every_s": 600})
        await books.does("sale", "S-1", ("TEE", 3))
        await books.does("sale", "S-2", ("TEE", 1))
        await books.does("sale", "S-3", ("TEE", 1), at="B")
        books.later(601)
        await books.post()
        document = await books.shop.db.fetchval(
            "select min(document) from postings p join locations l using (location_id) where l.id = 'A'"
        )
        found = await traced(books, document=document)
        assert {step.event for step in found.steps if step.event} == {"S-1", "S-2"}


async def test_lines_that_the_books_refuse_are_missing_until_another_posting_brings_them(
    database: Database, tmp_path: Path
) -> None:
    async with accountant(database, tmp_path) as books:
        await books.shop.items("NEW")
        await books.does("receipt", "R-1", ("TEE", 3), ("NEW", 1))
        await books.does("receipt", "R-2", ("TEE", 1))
        await books.post()
        found = await traced(books, event="R-1")
        (missing,) = found.missing
        assert (missing.system, missing.state, found.status) == ("erp", "failed", "failed")
        assert "NEW" in missing.words
        assert (missing.exception_id or "").startswith("exc_")
        assert (await traced(books, event="R-2")).missing == [], "what is not its own is no business of it"

        await books.erp.control("stock", [{"item": "NEW", "location": "A", "quantity": 0}])
        assert await books.again() == (0, 1)
        await books.send()
        found = await traced(books, event="R-1")
        assert (found.status, found.missing) == ("done", [])
        (carrying,) = [step for step in found.steps if "lines that it refused in" in step.words]
        assert carrying.posting is not None
        brought = await traced(books, posting=carrying.posting)
        assert {step.event for step in brought.steps if step.event} == {"R-1"}


async def test_a_posting_that_does_not_arrive_is_missing_past_its_service_level(
    database: Database, tmp_path: Path
) -> None:
    async with accountant(database, tmp_path) as books:
        await books.does("sale", "S-1", ("TEE", 3))
        await _down(books.erp)
        await books.post()
        found = await traced(books, event="S-1")
        assert [(each.system, each.overdue) for each in found.missing] == [("erp", False)]
        assert any(step.step == "refused" for step in found.steps)
        books.later(901)
        assert [(each.system, each.overdue) for each in (await traced(books, event="S-1")).missing] == [
            ("erp", True)
        ]


async def _down(erp: Peer) -> None:
    await erp.faults(rates={"503": 1.0}, retry_after_s=1)


async def test_a_trace_says_what_the_shop_shows_when_it_is_looked_at(
    database: Database, tmp_path: Path
) -> None:
    async with hub(database, "pos") as shop, teller(database, tmp_path) as tells:
        tells.now = shop.now
        await shop.locations("A")
        await shop.items("TEE")
        await tells.connection()
        await tells.channel("web", "A")
        stock = {"location": "A", "lines": [line("TEE", 9)]}
        await shop.apply(event("receipt", "R", shop.now - timedelta(hours=1), stock))
        assert await tells.say() == {("web", "TEE"): 9}

        async def shows(settings: Any, world: Any, targets: Any) -> list[Observed]:  # noqa: ARG001
            return [Observed(tells.system.shows[each.channel, each.sku]) for each in targets]

        looking: Connector[Any] = msgspec.structs.replace(tells.system.connector, observe=shows)
        worlds = Worlds(tells.pool, Vault(None, {}), tmp_path, lambda: tells.now)
        observer = Observer(tells.pool, {"system": looking}, worlds, lambda: tells.now)

        async def looked() -> Trace:
            tells.later(61)
            assert await observer.look() == 1
            return await trace(tells.db, Wanted(event="R"), TAG, tells.now)

        found = await looked()
        assert (found.steps[-1].step, found.steps[-1].words, found.missing) == (
            "observed",
            "web shows 9 of TEE.",
            [],
        )
        tells.system.shows["web", "TEE"] = 5
        found = await looked()
        assert (found.steps[-1].state, found.steps[-1].words) == (
            "failed",
            "web shows 5 of TEE, and had confirmed 9.",
        )
        (missing,) = found.missing
        assert (missing.system, missing.state, missing.words.partition(",")[0]) == (
            "web",
            "waiting",
            "web shows 5 of TEE",
        )
