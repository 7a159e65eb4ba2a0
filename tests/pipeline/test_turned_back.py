"""A database that went back in time (fault F17): nothing is told under a number that was given before (V-P1)."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from books import TAG, Accountant, accountant
from channel import System, Teller, teller
from evenstock.pipeline.feed import Feed
from evenstock.postgres import fences
from evenstock.postgres.database import Database
from evenstock.postgres.feeds import Stock
from evenstock.postgres.stock import LocationNames
from hub import Hub, event, hub, line
from seller import seller
from turned_back import dumped, put_back


async def set_up(books: Hub, tells: Teller, *skus: str) -> None:
    await books.locations("A")
    await books.items(*skus)
    await tells.connection()
    await tells.channel("web", "A")


async def arrives(books: Hub, id_: str, sku: str, units: int) -> str:
    (answer,) = await books.answers(
        event("receipt", id_, books.now, {"location": "A", "lines": [line(sku, units)]})
    )
    return answer


@asynccontextmanager
async def running(database: Database, data: Path, system: System) -> AsyncIterator[tuple[Hub, Teller]]:
    async with hub(database) as books, teller(database, data, system) as tells:
        tells.now = books.now
        yield books, tells


async def test_versions_go_on_rising_and_channels_end_with_the_number_that_is_right(
    database: Database, tmp_path: Path
) -> None:
    system = System()
    async with running(database, tmp_path, system) as (books, tells):
        await books.connections("pos")
        await set_up(books, tells, "TEE", "CUP", "JAR")
        for number, sku in enumerate(("TEE", "CUP", "JAR")):
            await arrives(books, f"R-{number}", sku, 5)
        await tells.say()
        kept = books.seq
        backup = dumped(database, tmp_path / "backup.sql")
        for number in range(4):
            await arrives(books, f"L-{number}", "TEE", 1)
            await tells.say()
        await arrives(books, "L-cup", "CUP", 1)
        await tells.say()
        assert system.shows == {("web", "TEE"): 9, ("web", "CUP"): 6, ("web", "JAR"): 5}
    await put_back(database, backup)
    async with running(database, tmp_path, system) as (books, tells):
        tells.later(3600)
        await tells.say()
        assert system.shows == {("web", "TEE"): 5, ("web", "CUP"): 5, ("web", "JAR"): 5}
        fence = await fences.newest(books.db)
        assert (fence.why, fence.ledger_seq) == ("moved", kept)
        ((code, _),) = await books.open_exceptions()
        assert code == "hub.fence_raised"
        # The sources send again what they had sent, and more than that.
        assert await arrives(books, "R-0", "TEE", 5) == "duplicate"
        for number in range(4):
            assert await arrives(books, f"L-{number}", "TEE", 1) == "applied"
        assert await arrives(books, "L-cup", "CUP", 1) == "applied"
        await tells.say()
        assert system.shows == {("web", "TEE"): 9, ("web", "CUP"): 6, ("web", "JAR"): 5}
        assert await fences.settle(books.db, books.now)
        assert not await fences.settle(books.db, books.now)
        assert await books.open_exceptions() == []
    for sku in ("TEE", "CUP", "JAR"):
        versions = [version for each, _, version in system.heard if each == sku]
        assert all(older < newer for older, newer in pairwise(versions)), versions
    assert len(set(system.keys)) == len(system.keys), "no key for two numbers"


async def test_an_item_that_was_first_told_of_after_the_backup_is_told_above_what_it_was(
    database: Database, tmp_path: Path
) -> None:
    system = System()
    async with running(database, tmp_path, system) as (books, tells):
        await books.connections("pos")
        await set_up(books, tells, "TEE")
        backup = dumped(database, tmp_path / "backup.sql")
        await arrives(books, "R-1", "TEE", 5)
        await tells.say()
    await put_back(database, backup)
    async with running(database, tmp_path, system) as (books, tells):
        tells.later(3600)
        await arrives(books, "R-1", "TEE", 5)
        await tells.say()
        (before, after) = (version for _, _, version in system.heard)
        assert after > (await fences.newest(books.db)).epoch << 20 > before


async def test_the_books_get_no_reference_twice_and_a_person_is_told_which_documents_to_cancel(
    database: Database, tmp_path: Path
) -> None:
    async with accountant(database, tmp_path, "TEE") as books:
        await books.shop.db.execute("update ledger_head set tag = $1", TAG)
        await books.does("receipt", "R-1", ("TEE", 10))
        await books.post()
        backup = dumped(database, tmp_path / "backup.sql")
        await books.does("sale", "S-1", ("TEE", 1))
        await books.does("sale", "S-2", ("TEE", 2))
        await books.post()
        lost = sorted(books.erp.sandbox.state.kept)[1:]
        assert len(lost) == 2
        erp = books.erp.sandbox.state
    await put_back(database, backup)
    async with hub(database) as shop, database.pool() as pool:
        again = Accountant(shop, pool, books.erp, tmp_path)
        await again.does("sale", "S-3", ("TEE", 4))  # other content, where S-1 had been
        assert await again.make() == 1
        references = [
            row[0] for row in await shop.db.fetch("select reference from postings order by posting_id")
        ]
        assert len(references) == 2
        assert references[0] in erp.kept
        assert references[1] not in erp.kept, "the ERP would take it for what it has"
        detail = await shop.db.fetchval("select detail from exceptions where code = 'hub.fence_raised'")
        found = re.search(r"from (EV-\w+-)(\d+) on, and below EV-\w+-(\d+)", detail)
        assert found
        unknown = [
            name
            for name in sorted(erp.kept)
            if int(found[2]) <= int(name.removeprefix(found[1])) < int(found[3])
        ]
        assert unknown == lost, "exactly those that are not known here"
        assert not int(found[2]) <= int(references[1].removeprefix(found[1])) < int(found[3])


async def test_a_reservation_of_before_is_nobody_elses(database: Database, tmp_path: Path) -> None:
    async with hub(database, "pos") as books, seller(database) as sells:
        await books.locations("A")
        await books.items("TEE")
        await arrives(books, "R-1", "TEE", 9)
        backup = dumped(database, tmp_path / "backup.sql")
        lost = await sells.hold("ORDER-1")
    await put_back(database, backup)
    async with hub(database), seller(database) as sells:
        assert await sells.hold("ORDER-2") > lost


async def test_a_sender_whose_call_was_under_way_is_not_believed_afterwards(
    database: Database, tmp_path: Path
) -> None:
    system = System()
    async with running(database, tmp_path, system) as (books, tells):
        await books.connections("pos")
        await set_up(books, tells, "TEE")
        await arrives(books, "R-1", "TEE", 5)
        await tells.expose()
        backup = dumped(database, tmp_path / "backup.sql")
        (connection_id,) = await tells.dispatcher().due()

        async def turned_back(*call: Any) -> Any:
            answers = await system.publish(*call)
            await tells.pool.expire_connections()
            await tells.db.close()
            await books.db.close()
            await put_back(database, backup)
            return answers

        system.answering = turned_back
        await tells.dispatcher().tell(connection_id)
    async with running(database, tmp_path, system) as (books, tells):
        assert (await tells.exposure("TEE"))["acked"] is None, (
            "that answer was to a number of another history"
        )
        system.answering = system.publish
        tells.later(3600)
        await tells.tell()
        assert (await tells.exposure("TEE"))["acked"] == 5


async def test_one_fence_is_raised_whoever_finds_it_first(database: Database, tmp_path: Path) -> None:
    await put_back(database, dumped(database, tmp_path / "backup.sql"))
    sessions = await asyncio.gather(*(database.connect(application="tests") for _ in range(6)))
    assert await sessions[0].fetchval("select count(*) from fences") == 2
    await asyncio.gather(*(session.close() for session in sessions))


async def test_a_fence_is_above_the_last_one_also_when_the_clock_went_back(database: Database) -> None:
    async with hub(database) as books:
        first = await fences.raise_fence(books.db, "said", books.now)
        second = await fences.raise_fence(books.db, "said", books.now.replace(year=2020))
        assert first is not None
        assert second is not None
        assert second.epoch == first.epoch + 1
        assert second.epoch << 20 < 2**53, "JSON readers keep it exactly"


async def test_who_follows_the_stock_is_told_that_it_went_back(database: Database, tmp_path: Path) -> None:
    async with hub(database, "pos") as books:
        await books.locations("A")
        await books.items("TEE")
        await arrives(books, "R-1", "TEE", 5)
        backup = dumped(database, tmp_path / "backup.sql")
        await arrives(books, "R-2", "TEE", 1)
        async with database.pool() as pool:
            last = re.search(
                rb"id: (\S+)", await anext(await Feed(pool, Stock(LocationNames())).follow(None, None, None))
            )
    assert last
    await put_back(database, backup)
    async with hub(database) as books:
        await arrives(books, "R-3", "TEE", 2)
        await arrives(books, "R-4", "TEE", 2)  # as far as it had been, and further
        async with database.pool() as pool:
            said = await anext(await Feed(pool, Stock(LocationNames())).follow(None, None, last[1].decode()))
    assert said.startswith(b"event: reset")


async def test_what_is_remembered_of_masters_is_of_before(database: Database, tmp_path: Path) -> None:
    async with hub(database, "pos") as books:
        await books.locations("A")
        backup = dumped(database, tmp_path / "backup.sql")
        await books.items("LOST")
        await arrives(books, "R-1", "LOST", 5)
        memory = books.memory
    await put_back(database, backup)
    async with hub(database) as books:
        books.memory = memory
        await books.items("OTHER")
        assert await arrives(books, "R-2", "LOST", 1) == "stock.unknown_item", "it has to come again"
        assert await arrives(books, "R-3", "OTHER", 7) == "applied"
        assert await books.units("OTHER", "A") == (7, 0, 0, 0)
