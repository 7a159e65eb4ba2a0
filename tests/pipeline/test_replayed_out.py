"""What goes out, done again: postings that the books lack, and looks at what channels show; never a posting twice."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from books import TAG, Accountant, accountant
from channel import Teller, teller
from evenstock.connectors.contract import Connector, Observed
from evenstock.core.errors import Refusal
from evenstock.core.replaying import SEEN_WITHIN, Wanted
from evenstock.pipeline import replay
from evenstock.pipeline.observe import Observer
from evenstock.pipeline.replay import Replayer
from evenstock.pipeline.vault import Vault
from evenstock.pipeline.worlds import Worlds
from evenstock.postgres.database import Database
from evenstock.postgres.replays import Replay
from hub import event, hub, line


class Again:
    """Plans a replay, runs it, and lets whoever does the work do it."""

    def __init__(self, db: Any, now: Any) -> None:
        self.db = db
        self.now = now
        self.replayer = Replayer(None, lambda: None, TAG, now)  # type: ignore[arg-type]  # no held lines here

    async def planned(self, step: str, verb: str, **more: Any) -> Replay:
        return await replay.plan(self.db, Wanted(step=step, verb=verb, **more), "me", self.now(), ["system"])  # type: ignore[arg-type]  # one of them

    async def run(self, plan: Replay) -> int:
        number = int(plan.id.removeprefix("rpl_"))
        await replay.command(self.db, number, "run", self.now())
        return number

    async def look(self, number: int) -> Replay:
        await self.replayer.round(self.db)
        return await replay.show(self.db, number)


async def sold(books: Accountant, *ids: str) -> None:
    for id_ in ids:
        await books.does("sale", id_, ("TEE", 1))


# Postings ------------------------------------------------------------------------------------------------------------


async def test_refused_postings_and_lines_are_brought_to_the_books_once(
    database: Database, tmp_path: Path
) -> None:
    async with accountant(database, tmp_path, "TEE") as books:
        await books.shop.items("NEW", "ODD")
        await sold(books, "S-1")
        await books.does("receipt", "R-1", ("TEE", 9), ("NEW", 2))
        await books.does("receipt", "R-2", ("ODD", 1))
        await books.post()
        assert sorted(await books.statuses()) == [
            ("receipts", "partly"),
            ("receipts", "rejected"),
            ("sales", "done"),
        ]
        again = Again(books.shop.db, lambda: books.now)
        plan = await again.planned("post", "failed")
        assert [(each.target, each.items) for each in plan.effects] == [("erp", 2)]
        assert await books.send() == 0, "a plan does nothing"

        number = await again.run(plan)
        books.later(1)
        await again.look(number)
        await books.send()
        told = await again.look(number)
        assert (told.status, told.done, told.failed) == ("done", 0, 2), "the ERP knows them no better"
        assert {failure.item for failure in told.failures} == {"pst_0000000002", "pst_0000000003"}

        await books.erp.control(
            "stock", [{"item": sku, "location": "A", "quantity": 0} for sku in ("NEW", "ODD")]
        )
        # the lines that were brought in vain are lines of the posting that brought them
        plan = await again.planned("post", "all", connection="erp")
        assert plan.items == 2
        number = await again.run(plan)
        books.later(1)
        await again.look(number)
        await books.send()
        told = await again.look(number)
        assert (told.status, told.done) == ("done", 2)
        assert books.erp.sandbox.state.stock["A"] == {"TEE": Decimal(8), "NEW": Decimal(2), "ODD": Decimal(1)}
        assert await books.open() == []
        for verb in ("failed", "missing", "all"):
            assert (await again.planned("post", verb)).items == 0, "what is in the books is never sent again"


async def test_postings_that_wait_are_sent_as_soon_as_the_books_answer(
    database: Database, tmp_path: Path
) -> None:
    async with accountant(database, tmp_path) as books:
        await sold(books, "S-1")
        await books.erp.faults(rates={"503": 1.0}, retry_after_s=0)
        await books.post()
        await books.erp.faults(rates={})
        again = Again(books.shop.db, lambda: books.now)
        number = await again.run(await again.planned("post", "missing"))
        books.later(1)
        assert (await again.look(number)).asked == 1
        await books.until_quiet()
        told = await again.look(number)
        assert (told.status, told.done) == ("done", 1)
        assert await books.statuses() == [("sales", "done")]


async def test_what_is_in_the_books_when_its_turn_comes_is_left_alone(
    database: Database, tmp_path: Path
) -> None:
    async with accountant(database, tmp_path) as books:
        await sold(books, "S-1")
        await books.make()
        again = Again(books.shop.db, lambda: books.now)
        plan = await again.planned("post", "missing")
        await books.send()
        number = await again.run(plan)
        told = await again.look(number)
        assert (told.status, told.skipped) == ("done", 1)
        assert books.erp.sandbox.state.posted == 1
        with pytest.raises(Refusal, match="Channels are replayed"):
            await again.planned("post", "all", channel="web")


# Looks ---------------------------------------------------------------------------------------------------------------


async def test_channels_are_looked_at_again_before_their_turn(database: Database, tmp_path: Path) -> None:
    async with hub(database, "pos") as shop, teller(database, tmp_path) as tells:
        observer, again = await _looking(shop, tells)
        assert (await again.planned("observe", "failed")).items == 0
        assert (await again.planned("observe", "missing", channel="web")).items == 2
        tells.later(61)
        assert await observer.look() == 2
        assert (await again.planned("observe", "missing")).items == 0

        tells.system.shows["web", "TEE"] = 4
        tells.later(3)
        assert await observer.look() == 0, "it is not their turn"
        number = await again.run(await again.planned("observe", "all"))
        tells.later(3)
        assert (await again.look(number)).asked == 2
        assert await observer.look() == 2
        told = await again.look(number)
        assert (told.status, told.done, told.failed) == ("done", 1, 1)
        assert (told.failures[0].item, told.failures[0].outcome) == (
            "web, TEE",
            "shows 4, and had confirmed 9",
        )
        assert (await again.planned("observe", "failed")).items == 1
        assert len(tells.system.heard) == 2, "looking tells nobody anything"


async def test_a_look_that_nobody_answers_comes_to_nothing_in_time(
    database: Database, tmp_path: Path
) -> None:
    async with hub(database, "pos") as shop, teller(database, tmp_path) as tells:
        _, again = await _looking(shop, tells)
        number = await again.run(await again.planned("observe", "all"))
        tells.later(1)
        await again.look(number)
        tells.later(SEEN_WITHIN.total_seconds())
        assert (await again.look(number)).asked == 2
        tells.later(1)
        told = await again.look(number)
        assert (told.status, told.failed, told.failures[0].outcome) == ("done", 2, "It was not seen in time.")


async def _looking(shop: Any, tells: Teller) -> tuple[Observer, Again]:
    """Two items that a shop confirmed nine of, and somebody who looks at it."""
    await shop.locations("A")
    await shop.items("TEE", "MUG")
    await tells.connection()
    await tells.channel("web", "A")
    for sku in ("TEE", "MUG"):
        await shop.apply(event("receipt", sku, shop.now, {"location": "A", "lines": [line(sku, 9)]}))
    tells.now = shop.now
    await tells.say()

    async def shows(settings: Any, world: Any, targets: Any) -> list[Observed]:  # noqa: ARG001
        return [Observed(tells.system.shows[each.channel, each.sku]) for each in targets]

    connector: Connector[Any] = msgspec.structs.replace(tells.system.connector, observe=shows)
    worlds = Worlds(tells.pool, Vault(None, {}), tells.data, lambda: tells.now)
    return Observer(tells.pool, {"system": connector}, worlds, lambda: tells.now), Again(
        tells.db, lambda: tells.now
    )
