"""What channels see: computed from what changed, told in order, once, and never an older number after a newer one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from channel import System, Teller, teller
from evenstock.connectors.contract import Basis, Done, Rejected, RetryLater, Unauthorized, Unknown
from evenstock.core.reservations import Release
from evenstock.pipeline.dispatch import CALL_WITHIN_S, LEASE_S, SILENT_AFTER
from evenstock.pipeline.expose import expose
from evenstock.pipeline.numbers import DELAYED_AFTER
from evenstock.postgres.database import Database
from hub import Hub, event, hub, line
from seller import seller


@asynccontextmanager
async def shop(
    database: Database, data: Path, *skus: str, system: System | None = None, scale: int = 0
) -> AsyncIterator[tuple[Hub, Teller]]:
    """Two stores, a web channel that sells from the first, and its system."""
    async with hub(database, "pos") as books, teller(database, data, system) as tells:
        await books.locations("A", "B")
        await books.items(*(skus or ("TEE",)), scale=scale)
        await tells.connection()
        await tells.channel("web", "A")
        yield books, tells


async def receive(books: Hub, id_: str, *lines: tuple[str, int], at: str = "A") -> None:
    told = [line(sku, units, str(number)) for number, (sku, units) in enumerate(lines, 1)]
    (answer,) = await books.answers(event("receipt", id_, books.now, {"location": at, "lines": told}))
    assert answer == "applied"


async def sell(books: Hub, id_: str, sku: str, units: int, at: str = "A", **more: Any) -> None:
    (answer,) = await books.answers(
        event("sale", id_, books.now, {"location": at, "lines": [line(sku, units)]}, **more)
    )
    assert answer == "applied"


# What it should see --------------------------------------------------------------------------------------------------


async def test_a_channel_follows_sales_promises_and_returns_to_them(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as (books, tells), seller(database) as sells:
        await receive(books, "r", ("TEE", 10))
        assert await tells.say() == {("web", "TEE"): 10}
        await sell(books, "s", "TEE", 3)
        assert await tells.say() == {("web", "TEE"): 7}
        held = await sells.hold("O-1", "TEE", 2, channel="web", at=None)
        assert await tells.say() == {("web", "TEE"): 5}
        await sells.do(Release(held))
        assert await tells.say() == {("web", "TEE"): 7}
        assert [number for _, number, _ in tells.system.heard] == [10, 7, 5, 7]


async def test_what_came_in_between_is_one_number(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as (books, tells):
        await receive(books, "r", ("TEE", 20))
        for number in range(10):
            await sell(books, f"s-{number}", "TEE", 1)
        assert await tells.expose() == 1
        await tells.tell()
        assert tells.system.heard == [("TEE", 10, 1)]


async def test_a_number_that_did_not_change_is_not_told_again(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as (books, tells):
        await receive(books, "r", ("TEE", 5))
        await tells.say()
        await sell(books, "s", "TEE", 1)
        await receive(books, "r2", ("TEE", 1))
        assert (await tells.expose(), await tells.tell()) == (0, 0)
        await receive(books, "elsewhere", ("TEE", 9), at="B")
        assert (await tells.expose(), await tells.tell()) == (0, 0)


async def test_a_number_that_went_back_before_it_was_told_is_not_told(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as (books, tells):
        await receive(books, "r", ("TEE", 5))
        await tells.say()
        await sell(books, "s", "TEE", 1)
        await tells.expose()
        await receive(books, "r2", ("TEE", 1))
        assert (await tells.expose(), await tells.tell()) == (1, 0)
        assert [number for _, number, _ in tells.system.heard] == [5]


async def test_an_item_that_a_channel_never_heard_of_is_told_even_at_zero(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as (books, tells):
        await sell(books, "s", "TEE", 1)
        assert await tells.say() == {("web", "TEE"): 0}


async def test_zero_comes_first_then_low(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path, "MANY", "LOW", "NONE") as (books, tells):
        await receive(books, "r", ("MANY", 50), ("LOW", 2), ("NONE", 4))
        await sell(books, "s", "NONE", 4)
        await tells.say()
        assert [sku for sku, _, _ in tells.system.heard] == ["NONE", "LOW", "MANY"]


async def test_zero_overtakes_what_waited_longer(database: Database, tmp_path: Path) -> None:
    system = System(at_once=1)
    async with shop(database, tmp_path, "TEE", "MUG", system=system) as (books, tells):
        await receive(books, "r", ("TEE", 50), ("MUG", 50))
        await tells.expose()
        (connection_id,) = await tells.dispatcher().due()
        tells.later(1)
        await sell(books, "s", "MUG", 50)
        await tells.expose()
        await tells.dispatcher().tell(connection_id)
        assert system.heard == [("MUG", 0, 2)]


async def test_other_terms_are_computed_anew_for_every_item(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path, "TEE", "MUG") as (books, tells):
        await receive(books, "r", ("TEE", 5), ("MUG", 1))
        await receive(books, "b", ("TEE", 4), at="B")
        assert await tells.say() == {("web", "TEE"): 5, ("web", "MUG"): 1}
        await tells.channel("web", "A", safety_stock=2)
        assert await tells.say() == {("web", "TEE"): 3, ("web", "MUG"): 0}
        await tells.channel("web", "A", "B", safety_stock=2)
        assert await tells.say() == {("web", "TEE"): 5, ("web", "MUG"): 0}
        await tells.channel("web", "B")
        assert await tells.say() == {("web", "TEE"): 4, ("web", "MUG"): 0}


async def test_terms_that_are_sent_again_change_nothing(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as (books, tells):
        await receive(books, "r", ("TEE", 5))
        await tells.say()
        before = await tells.db.fetch("select * from channel_terms")
        await tells.channel("web", "A")
        await tells.connection()
        assert await tells.db.fetch("select * from channel_terms") == before
        assert await tells.expose() == 0


async def test_a_channel_that_comes_late_is_told_all_there_is(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path, "TEE", "MUG") as (books, tells):
        await receive(books, "r", ("TEE", 5), ("MUG", 7))
        await tells.say()
        await tells.channel("app", "A", safety_stock=1)
        assert (await tells.say()).items() >= {("app", "TEE"): 4, ("app", "MUG"): 6}.items()


async def test_another_connection_is_told_everything(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as (books, tells):
        await receive(books, "r", ("TEE", 5))
        await tells.say()
        await tells.connection("new shop")
        await tells.channel("web", "A", connection="new shop")
        await tells.say()
        assert tells.system.heard == [("TEE", 5, 1), ("TEE", 5, 2)]


async def test_a_channel_that_is_never_published_is_computed_and_not_told(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as (books, tells):
        await tells.channel("web", "A", publish_on="never")
        await receive(books, "r", ("TEE", 5))
        assert await tells.say() == {}
        assert (await tells.exposure("TEE"))["intended"] == 5
        await tells.channel("web", "A")
        assert await tells.say() == {("web", "TEE"): 5}


async def test_a_system_that_takes_off_its_own_orders_is_not_made_to_do_it_twice(
    database: Database, tmp_path: Path
) -> None:
    system = System(Basis(subtracts_own_orders=True, decimals=6))
    async with shop(database, tmp_path, system=system) as (books, tells), seller(database) as sells:
        await receive(books, "r", ("TEE", 10))
        await sells.channel("store", "A")
        await sells.hold("web-1", "TEE", 2, channel="web", at=None)
        await sells.hold("store-1", "TEE", 3, channel="store", at=None)
        assert await tells.say() == {("web", "TEE"): 7}


async def test_decimals_are_cut_off_and_told_in_the_base_unit(database: Database, tmp_path: Path) -> None:
    system = System(Basis(decimals=0))
    async with shop(database, tmp_path, "ROPE", system=system, scale=2) as (books, tells):
        await tells.channel("web", "A", safety_stock=1)
        said = {"location": "A", "lines": [line("ROPE", "4.75")]}
        assert await books.answers(event("receipt", "r", books.now, said)) == ["applied"]
        assert await tells.say() == {("web", "ROPE"): 3}


async def test_without_a_channel_nothing_is_written(database: Database) -> None:
    async with hub(database, "pos") as books, teller(database, Path()) as tells:
        await books.locations("A")
        await books.items("TEE")
        await receive(books, "r", ("TEE", 5))
        before = await tells.db.fetchrow("select xmin::text from exposing")
        assert await tells.expose() == 0
        assert await tells.db.fetchrow("select xmin::text from exposing") == before


async def test_a_number_names_the_fact_behind_it(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as (books, tells):
        await receive(books, "r", ("TEE", 5))
        trace = "0af7651916cd43dd8448eb211c80319c"
        await sell(books, "s", "TEE", 1, traceparent=f"00-{trace}-b7ad6b7169203331-01")
        await tells.say()
        (logged,) = await tells.db.fetch("select because, trace_id, ledger_seq from exposure_log")
        assert tuple(logged.values()) == ("sale", trace, books.seq)


async def test_more_items_than_one_look_takes_are_all_computed(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evenstock.pipeline.expose.REFRESHED_MAX", 3)
    skus = [f"SKU-{number}" for number in range(8)]
    async with shop(database, tmp_path, *skus) as (books, tells):
        await receive(books, "r", *((sku, 5) for sku in skus))
        await tells.say()
        await tells.channel("web", "A", safety_stock=1)
        assert set((await tells.say()).values()) == {4}
        assert len(tells.system.shows) == len(skus)


# Telling it --------------------------------------------------------------------------------------------------------------


async def test_a_try_that_was_not_done_is_overtaken_by_a_newer_number(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as (books, tells):
        tells.system.deaf = True
        tells.system.next = [RetryLater("busy")]
        await receive(books, "r", ("TEE", 5))
        await tells.say()
        await sell(books, "s", "TEE", 1)
        await tells.expose()
        assert await tells.tell() == 0  # the connection rests
        tells.later()
        await tells.tell()
        assert tells.system.heard == [("TEE", 4, 2)]
        assert await tells.outcomes("TEE") == [(1, 1, "retry"), (2, 1, "done")]


async def test_what_may_have_arrived_is_sent_again_before_anything_newer(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as (books, tells):
        tells.system.next = [Unknown("cut off")]
        await receive(books, "r", ("TEE", 5))
        await tells.say()
        await sell(books, "s", "TEE", 5)
        await tells.expose()
        assert (await tells.exposure("TEE"))["unsettled"]
        tells.later()
        await tells.tell()
        assert tells.system.heard == [("TEE", 5, 1), ("TEE", 5, 1), ("TEE", 0, 2)]
        assert tells.system.keys[0] == tells.system.keys[1] != tells.system.keys[2]
        assert await tells.outcomes("TEE") == [(1, 1, "unknown"), (1, 2, "done"), (2, 1, "done")]


async def test_a_sender_that_died_is_followed_by_another_with_the_same_key(
    database: Database, tmp_path: Path
) -> None:
    class Died(BaseException):
        """As a kill: nothing is written down after it."""

    async with shop(database, tmp_path) as (books, tells):
        await receive(books, "r", ("TEE", 5))
        await tells.expose()
        tells.system.next = [Died()]
        with pytest.raises(Died):
            await tells.tell("one")
        assert await tells.tell("two") == 0, "the lease of the one that died still runs"
        tells.later(LEASE_S + 1)
        await tells.tell("two")
        assert tells.system.heard == [("TEE", 5, 1), ("TEE", 5, 1)]
        assert tells.system.keys[0] == tells.system.keys[1]
        assert await tells.outcomes("TEE") == [(1, 1, "unknown"), (1, 2, "done")]


async def test_what_an_old_holder_brings_late_is_not_believed(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as (books, tells):
        await receive(books, "r", ("TEE", 5))
        await tells.expose()
        slow, quick = tells.dispatcher("slow"), tells.dispatcher("quick")
        (connection_id,) = await slow.due()
        publish = tells.system.publish

        async def late(*sent: Any) -> Any:
            """While this call hangs, its lease ends and another tells the number and a newer one."""
            answers = await publish(*sent)
            tells.later()
            tells.system.answering = publish
            await quick.tell(connection_id)
            await sell(books, "s", "TEE", 1)
            await tells.expose()
            await quick.tell(connection_id)
            return answers

        tells.system.answering = late
        await slow.tell(connection_id)
        assert (await tells.exposure("TEE"))["acked"] == 4
        assert await tells.outcomes("TEE") == [(1, 1, "unknown"), (1, 2, "done"), (2, 1, "done")]
        assert await tells.db.fetchval("select fence from lanes") == 2


async def test_a_refused_number_is_shown_until_one_is_taken(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as (books, tells):
        tells.system.deaf = True
        tells.system.next = [Rejected("no such product", "404")]
        await receive(books, "r", ("TEE", 5))
        await tells.say()
        assert [code for code, _ in await books.open_exceptions()] == ["exposure.rejected"]
        tells.later(3600)
        assert await tells.tell() == 0, "nobody asks again unasked"
        await sell(books, "s", "TEE", 1)
        await tells.say()
        assert tells.system.heard == [("TEE", 4, 2)]
        assert await books.open_exceptions() == []


async def test_bad_credentials_pause_a_connection_until_its_settings_change(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path, "TEE", "MUG") as (books, tells):
        tells.system.deaf = True
        tells.system.next = [Unauthorized("the token has expired")] * 2
        await receive(books, "r", ("TEE", 5), ("MUG", 5))
        await tells.say()
        assert [code for code, _ in await books.open_exceptions()] == ["connection.paused"]
        tells.later(3600)
        assert await tells.tell() == 0
        await tells.connection(token="new")
        await tells.tell()
        assert sorted(tells.system.shows.values()) == [5, 5]
        assert await books.open_exceptions() == []


async def test_settings_that_are_not_understood_any_more_pause_too(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as (books, tells):
        await tells.connection(tokn="x")
        await receive(books, "r", ("TEE", 5))
        assert await tells.say() == {}
        ((code, _),) = await books.open_exceptions()
        assert code == "connection.paused"
        await tells.connection(token="x")
        assert await tells.say() == {("web", "TEE"): 5}


async def test_a_silent_connection_is_asked_ever_more_rarely_and_shown(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as (books, tells):
        tells.system.deaf = True
        await receive(books, "r", ("TEE", 5))
        await tells.expose()
        rests = []
        for _ in range(SILENT_AFTER):
            tells.system.next = [RetryLater("connection refused")]
            assert await tells.tell() == 1
            until = await tells.db.fetchval("select not_before from lanes")
            rests.append((until - tells.now).total_seconds())
            assert await tells.tell() == 0
            tells.now = until
        assert rests == sorted(rests)
        assert rests[-1] > rests[0]
        assert [code for code, _ in await books.open_exceptions()] == ["connection.silent"]
        assert await tells.tell() == 1
        assert await books.open_exceptions() == []


async def test_a_number_that_is_never_taken_is_shown_and_rests_by_itself(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path, "TEE", "MUG") as (books, tells):
        tells.system.deaf = True
        await receive(books, "r", ("TEE", 5), ("MUG", 100))
        await tells.expose()
        tells.system.next = [Done(), RetryLater("locked")]
        await tells.tell()
        for number in range(DELAYED_AFTER):
            await sell(books, f"s-{number}", "TEE" if tells.system.heard[0][0] == "TEE" else "MUG", 1)
            await tells.expose()
            tells.later(61)
            tells.system.next = [Done(), RetryLater("locked")]
            await tells.tell()
        assert [code for code, _ in await books.open_exceptions()] == ["exposure.delayed"]
        tells.later(61)
        await tells.tell()
        assert await books.open_exceptions() == []


async def test_who_is_asked_to_wait_waits(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as (books, tells):
        tells.system.next = [RetryLater("too many calls", after_s=120, cause="rate")]
        await receive(books, "r", ("TEE", 5))
        await tells.say()
        tells.later(119)
        assert await tells.tell() == 0
        tells.later(2)
        assert await tells.tell() == 1


async def test_a_connector_that_fails_or_hangs_or_miscounts_has_done_nobody_knows_what(
    database: Database, tmp_path: Path
) -> None:
    async with shop(database, tmp_path) as (books, tells):
        await receive(books, "r", ("TEE", 5))
        await tells.expose()
        tells.system.next = [ValueError("a fault of the connector")]
        await tells.tell()
        publish = tells.system.publish

        async def hangs(*_: Any) -> Any:
            await Never()

        async def miscounts(*_: Any) -> Any:
            return []

        for odd in (hangs, miscounts):
            tells.system.answering = odd
            tells.later(61)
            await tells.tell(call_within_s=0.01)
        tells.system.answering = publish
        tells.later(61)
        await tells.tell()
        assert [outcome for _, _, outcome in await tells.outcomes("TEE")] == ["unknown"] * 3 + ["done"]
        assert len(set(tells.system.keys)) == 1


class Never:
    """What never comes."""

    def __await__(self) -> Any:
        while True:
            yield


async def test_one_connection_that_is_paused_holds_up_no_other(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as (books, tells):
        await tells.connection("other")
        await tells.channel("app", "A", connection="other")
        await receive(books, "r", ("TEE", 5))
        await tells.expose()
        tells.system.next = [Unauthorized("no")]
        tells.system.deaf = True
        await tells.tell()
        assert len(tells.system.shows) == 1


async def test_two_that_look_at_once_do_it_once(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as (books, tells), teller(database, tmp_path) as other:
        await receive(books, "r", ("TEE", 5))
        async with tells.db.transaction():
            await tells.db.fetchrow("select from exposing for update")
            assert await other.db.fetchval("select ledger_seq from ledger_head") == books.seq
            assert await expose_once(other) == 0
        assert await expose_once(other) == 1
        assert await expose_once(tells) == 0


async def expose_once(tells: Teller) -> int:
    return await expose(tells.db, tells.names, lambda: tells.now)


async def test_a_look_that_is_cut_off_is_done_again(database: Database, tmp_path: Path) -> None:
    async with shop(database, tmp_path) as (books, tells):
        await receive(books, "r", ("TEE", 5))
        transaction = tells.db.transaction()
        await transaction.start()
        assert await expose_once(tells) == 1
        await transaction.rollback()
        assert await tells.say() == {("web", "TEE"): 5}


def test_a_lease_outlasts_a_call() -> None:
    assert LEASE_S > CALL_WITHIN_S
