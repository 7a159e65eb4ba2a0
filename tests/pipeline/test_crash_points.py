"""Whoever works may die after any statement: done again, it ends as if nothing had happened (fault F1)."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from books import TAG, accountant
from channel import teller
from crashing import Crashing, CrashingPool, Life, swept
from evenstock.connectors.erp_rest import connector as erp
from evenstock.core.mapping import Full
from evenstock.core.reading import Received, read_event
from evenstock.core.replaying import Wanted
from evenstock.pipeline import absent, replay
from evenstock.pipeline.absent import Absent, Source
from evenstock.pipeline.apply import Incoming, Memory, Result, apply
from evenstock.pipeline.census import Census
from evenstock.pipeline.dispatch import Dispatcher
from evenstock.pipeline.expose import expose
from evenstock.pipeline.postings import post
from evenstock.pipeline.release import release
from evenstock.pipeline.replay import Replayer
from evenstock.pipeline.vault import Vault
from evenstock.pipeline.worlds import Worlds
from evenstock.postgres import masters
from evenstock.postgres.database import Database
from hub import Hub, event, hub, line

FEW = 5  # places to die at, below which a sweep has swept nothing


def ticket(number: int, shop: Hub) -> list[dict[str, Any]]:
    """Of an item of its own: a count of 9, then 2 sold, a sale that was a mistake, and a line that waits."""
    sku, at = f"SKU-{number}", shop.now - timedelta(hours=1)
    sheet = {"location": "A", "lines": [line(sku, 9, bucket="sellable")]}
    goods = {"location": "A", "lines": [line(sku, 2), line(f"NEW-{number}", 1, "2")]}
    wrong = {"location": "A", "lines": [line(sku, 5)]}
    void = {"target": f"wrong-{number}", "goods": "never_left"}
    return [
        event("count", f"count-{number}", at - timedelta(minutes=9), sheet),
        event("sale", f"sale-{number}", at, goods),
        event("sale", f"wrong-{number}", at, wrong),
        event("void", f"void-{number}", at, void),
    ]


async def test_a_batch_that_dies_anywhere_is_booked_once_when_it_comes_again(database: Database) -> None:
    async with hub(database, "pos") as shop:
        await shop.locations("A")

        async def prepare(number: int) -> None:
            await shop.items(f"SKU-{number}")

        async def dying(life: Life, number: int) -> None:
            ids = await masters.connections(shop.db)
            entries = [read_event(each) for each in ticket(number, shop)]
            batch = [
                Incoming(each.event, each.body, ids["pos"], shop.now)
                for each in entries
                if isinstance(each, Received)
            ]
            assert len(batch) == 4
            await apply(Crashing(shop.db, life), Memory(), batch, shop.now)  # type: ignore[arg-type]  # it answers the same

        async def after(number: int) -> None:
            answers = await shop.answers(*ticket(number, shop))
            assert answers in (["applied", "stock.unknown_item", "applied", "applied"], ["duplicate"] * 4)
            assert await shop.units(f"SKU-{number}", "A") == (7, 0, 0, 0)

        assert await swept(prepare, dying, after) > FEW


async def test_a_release_that_dies_anywhere_books_the_line_once(database: Database) -> None:
    async with hub(database, "pos") as shop:
        await shop.locations("A")
        subjects: list[str] = []

        async def prepare(number: int) -> None:
            goods = {"location": "A", "lines": [line(f"SKU-{number}", 2)]}
            await shop.apply(event("sale", f"sale-{number}", shop.now, goods))
            subjects[:] = await shop.items(f"SKU-{number}")

        async def dying(life: Life, number: int) -> None:  # noqa: ARG001
            await release(Crashing(shop.db, life), Memory(), subjects, shop.now)  # type: ignore[arg-type]  # it answers the same

        async def after(number: int) -> None:
            await shop.release(subjects)
            assert await shop.units(f"SKU-{number}", "A") == (-2, 0, 0, 0)
            assert await shop.open_exceptions("stock.unknown_item") == []

        assert await swept(prepare, dying, after) > FEW


async def test_a_full_file_that_dies_anywhere_counts_what_it_lacks_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(absent, "AT_ONCE", 1)  # so that it dies between two batches, too
    async with hub(database, "wms") as shop, database.pool() as pool:
        ids = await masters.connections(shop.db)
        source = Source(ids["wms"], "wms", "full.csv")
        skus = ("NAMED", "GONE-1", "GONE-2")
        await shop.items(*skus)

        def census(number: int) -> Census:
            at = shop.now - timedelta(days=1)
            return Census(Full(absent="zero", absent_max=70), {(f"L-{number}", "on_hand"): at}, 0)

        files: dict[int, Census] = {}

        async def prepare(number: int) -> None:
            place = f"L-{number}"
            await shop.locations(place)
            files[number] = census(number)
            ((_, at),) = files[number].stated.items()
            for sku in skus:
                goods = {"location": place, "lines": [line(sku, 5)]}
                await shop.apply(
                    event("receipt", f"{place}-{sku}", at - timedelta(days=1), goods, source="wms")
                )
            sheet = {"location": place, "lines": [line("NAMED", 4, bucket="on_hand")]}
            assert await shop.answers(event("count", place, at, sheet, source="wms")) == ["applied"]

        async def settle(pool: Any, db: Any, number: int) -> Absent:
            async def submit(events: Sequence[Received]) -> Sequence[Result]:
                batch = [Incoming(each.event, each.body, ids["wms"], shop.now) for each in events]
                return (await apply(db, Memory(), batch, shop.now)).results

            return await absent.settle(pool, source, files[number], submit, lambda: shop.now)

        async def dying(life: Life, number: int) -> None:
            await settle(CrashingPool(pool, life), Crashing(shop.db, life), number)

        async def after(number: int) -> None:
            await settle(pool, shop.db, number)
            assert [(await shop.units(sku, f"L-{number}"))[0] for sku in skus] == [4, 0, 0]
            counts = "select count(*) from counts join locations using (location_id) where id = $1"
            assert await shop.db.fetchval(counts, f"L-{number}") == 3, "each once"
            assert await shop.open_exceptions("file.absent_kept") == []

        assert await swept(prepare, dying, after) > FEW


async def test_a_number_that_dies_anywhere_on_its_way_is_told_under_one_key(
    database: Database, tmp_path: Path
) -> None:
    async with hub(database, "pos") as shop, teller(database, tmp_path) as tells:
        tells.now = shop.now
        await shop.locations("A")
        await tells.connection()
        await tells.channel("web", "A")

        async def prepare(number: int) -> None:
            await shop.items(f"SKU-{number}")
            goods = {"location": "A", "lines": [line(f"SKU-{number}", 9)]}
            await shop.apply(event("receipt", f"r-{number}", shop.now, goods))
            tells.now = max(tells.now, shop.now)

        async def dying(life: Life, number: int) -> None:
            await expose(Crashing(tells.db, life), tells.names, lambda: tells.now)  # type: ignore[arg-type]  # it answers the same
            worlds = Worlds(tells.pool, Vault(None, {}), tmp_path, lambda: tells.now)
            pool: Any = CrashingPool(tells.pool, life)
            sender = Dispatcher(
                pool, {"system": tells.system.connector}, worlds, "tag", lambda: tells.now, lambda: 1.0
            )
            for connection_id in await sender.due():
                await sender.tell(connection_id)
            assert number >= 0

        async def after(number: int) -> None:
            for _ in range(3):
                tells.later()  # the lease of who died runs out
                await tells.say()
            assert tells.system.shows["web", f"SKU-{number}"] == 9
            assert (await tells.exposure(f"SKU-{number}"))["acked"] == 9
            keys = {
                key
                for key, (sku, _, _) in zip(tells.system.keys, tells.system.heard, strict=True)
                if sku == f"SKU-{number}"
            }
            assert len(keys) == 1, "however often it was tried"

        assert await swept(prepare, dying, after) > FEW


async def test_a_posting_that_dies_anywhere_on_its_way_has_one_document(
    database: Database, tmp_path: Path
) -> None:
    async with accountant(database, tmp_path) as books:
        made = 0

        async def prepare(number: int) -> None:
            nonlocal made
            made = number + 1
            await books.does("receipt", f"r-{number}", ("TEE", 1))

        async def dying(life: Life, number: int) -> None:
            await post(Crashing(books.shop.db, life), TAG, lambda: books.now)  # type: ignore[arg-type]  # it answers the same
            pool: Any = CrashingPool(books.pool, life)
            sender = Dispatcher(pool, {"erp_rest": erp}, books.worlds, TAG, lambda: books.now, lambda: 1.0)
            for connection_id in await sender.due():
                await sender.tell(connection_id)
            assert number >= 0

        async def after(number: int) -> None:
            books.later()
            await books.until_quiet()
            assert books.erp.sandbox.state.posted == number + 1
            assert books.erp.sandbox.state.stock["A"]["TEE"] == made

        assert await swept(prepare, dying, after) > FEW


async def test_a_replay_that_dies_anywhere_goes_on_and_tells_each_number_once_more(
    database: Database, tmp_path: Path
) -> None:
    async with hub(database, "pos") as shop, teller(database, tmp_path) as tells:
        await shop.locations("A")
        await shop.items("TEE")
        await tells.connection()
        await tells.channel("web", "A")
        await shop.apply(event("receipt", "r", shop.now, {"location": "A", "lines": [line("TEE", 9)]}))
        tells.now = shop.now
        await tells.say()
        whole = Replayer(None, lambda: None, "tag", lambda: tells.now)  # type: ignore[arg-type]  # no held lines here
        ids: list[int] = []

        async def prepare(number: int) -> None:  # noqa: ARG001
            plan = await replay.plan(tells.db, Wanted(step="dispatch", verb="all"), "me", tells.now)
            ids.append(int(plan.id.removeprefix("rpl_")))
            await replay.command(tells.db, ids[-1], "run", tells.now)

        async def dying(life: Life, number: int) -> None:  # noqa: ARG001
            await whole.round(Crashing(tells.db, life))  # type: ignore[arg-type]  # it answers the same

        async def after(number: int) -> None:
            for _ in range(2):
                tells.later()
                await whole.round(tells.db)  # type: ignore[arg-type]  # a session like any
                await tells.tell()
            await whole.round(tells.db)  # type: ignore[arg-type]  # a session like any
            found = await replay.show(tells.db, ids[-1])
            assert (found.status, found.done) == ("done", 1)
            assert len(tells.system.heard) == len(set(tells.system.keys)) == number + 2

        assert await swept(prepare, dying, after) > FEW
