"""What whoever works at a location is commanded: done once each, in order, whatever becomes of calls, workers and orders meanwhile."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from books import TAG
from crashing import Crashing, CrashingPool, Life, swept
from evenstock.connectors.http_json import connector
from evenstock.core.errors import Refusal
from evenstock.core.reservations import Release
from evenstock.pipeline.apply import Memory
from evenstock.pipeline.dispatch import LEASE_S, Dispatcher
from evenstock.pipeline.promise import Promising, promise
from evenstock.pipeline.trace import Wanted, anything, trace
from evenstock.postgres import channels
from evenstock.postgres.commands import CommandFilter, commands
from evenstock.postgres.database import Database
from evenstock.postgres.stock import LocationNames
from floor import Floor, floor
from hub import event
from pipeline.test_replayed_out import Again
from seller import allocate, confirm, some_of

FEW = 8  # places to die at, below which a sweep has swept nothing


async def allocated(at: Floor, order: str, quantity: int = 2, *, sku: str = "TEE", place: str = "A") -> int:
    """An order whose work has begun at a location."""
    number = await at.sells.hold(order, sku, quantity, at=place)
    await at.sells.do(confirm(number), allocate(number))
    return number


# In order, once ------------------------------------------------------------------------------------------------------


async def test_what_is_allocated_is_picked_there_and_what_is_given_back_is_cancelled(
    database: Database, tmp_path: Path
) -> None:
    async with floor(database, tmp_path) as at:
        number = await at.sells.hold("O-1", "TEE", 3)
        assert await at.owed() == [], "a cart is nobody's work"
        await at.sells.do(confirm(number), allocate(number))
        await at.sells.do(allocate(number), allocate(number))
        assert await at.owed() == ["1 pick A owed"], "once, however often it is asked for"
        assert await at.send() == 1
        await at.sells.do(some_of(number, ("1", 1)))
        await at.sells.do(Release(number))
        assert await at.send() == 2
        assert at.done() == ["pick O-1 TEE×3 at A", "cancel O-1 TEE×1 at A", "cancel O-1 TEE×2 at A"]
        (last, *_) = await commands(at.shop.db, CommandFilter(order_ref="O-1"), 10, 10)
        assert (last.status, last.document, last.number) == ("done", "W-3", 3)


async def test_a_cancel_does_not_take_the_place_of_a_pick_that_was_not_sent(
    database: Database, tmp_path: Path
) -> None:
    async with floor(database, tmp_path) as at:
        number = await at.sells.hold("O-1", "TEE", 3)
        await at.sells.do(confirm(number), allocate(number), some_of(number, ("1", 1)), Release(number))
        assert await at.send() == 3
        assert at.done() == ["pick O-1 TEE×3 at A", "cancel O-1 TEE×1 at A", "cancel O-1 TEE×2 at A"]


async def test_what_moves_is_cancelled_here_and_picked_there_by_whoever_works_there(
    database: Database, tmp_path: Path
) -> None:
    async with floor(database, tmp_path) as at:
        await at.works("B", id_="app")
        number = await allocated(at, "O-1")
        await at.sells.do(allocate(number, "B"))
        await at.until_quiet()
        assert sorted(at.done()) == ["cancel O-1 TEE×2 at A", "pick O-1 TEE×2 at A", "pick O-1 TEE×2 at B"]
        found = await commands(at.shop.db, CommandFilter(connection="app"), 10, 10)
        assert [(each.kind, each.location, each.number) for each in found] == [("pick", "B", 3)]


async def test_what_was_picked_is_not_cancelled_and_what_left_from_elsewhere_is(
    database: Database, tmp_path: Path
) -> None:
    async with floor(database, tmp_path) as at:
        await allocated(at, "O-1")
        await at.ships("O-1", ("TEE", 2))
        await allocated(at, "O-2")
        await at.ships("O-2", ("TEE", 2), at="B")
        await at.until_quiet()
        assert at.done() == ["pick O-1 TEE×2 at A", "pick O-2 TEE×2 at A", "cancel O-2 TEE×2 at A"]
        void = {"target": {"source": "pos", "id": "ship-O-2"}, "goods": "never_left"}
        await at.shop.apply(event("void", "V-1", at.shop.now, void))
        await at.until_quiet()
        assert at.done()[3:] == ["pick O-2 TEE×2 at A"], (
            "it never left from there, and is to be picked after all"
        )


async def test_a_time_that_runs_out_ends_holds_and_no_work(database: Database, tmp_path: Path) -> None:
    async with floor(database, tmp_path) as at:
        await allocated(at, "O-1")
        await at.sells.hold("O-2", "TEE", 2, seconds=60)
        at.later(3600)
        assert await at.sells.sweep() == 1
        assert await at.owed() == ["1 pick A owed"]


# Whose work --------------------------------------------------------------------------------------------------------------


async def test_other_workers_are_told_of_later_commands_only(database: Database, tmp_path: Path) -> None:
    async with floor(database, tmp_path) as at:
        number = await allocated(at, "O-1", 3)
        await at.works()
        assert await at.sells.said(some_of(number, ("1", 1))) == ["allocated"]
        before = await allocated(at, "O-2")
        await at.works("A", id_="app")
        await at.sells.do(Release(number), Release(before))
        await allocated(at, "O-3")
        found = await commands(at.shop.db, CommandFilter(), 10, 10)
        assert [(each.connection, each.kind, each.order_ref) for each in reversed(found)] == [
            ("wms", "pick", "O-1"),
            ("wms", "cancel", "O-1"),
            ("wms", "cancel", "O-1"),
            ("app", "pick", "O-3"),
        ]


async def test_a_location_is_worked_by_one_system_and_goes_over_in_one_call(
    database: Database, tmp_path: Path
) -> None:
    async with floor(database, tmp_path) as at:
        before = await at.sells.ledger()

        async def refused(*works: str, id_: str = "app") -> str:
            with pytest.raises(Refusal) as caught:
                await at.works(*works, id_=id_)
            return f"{caught.value.problem.code} {caught.value.problem.pointer}"

        assert await refused("B", "A") == "connection.works /connections/0/works/1"
        assert await refused("B", "C") == "stock.unknown_location /connections/0/works/1"
        assert await at.sells.ledger() == before
        assert await at.shop.db.fetchval("select count(*) from workers_now") == 1
        rows = [
            {"id": "wms", "connector": "recorder", "settings": {}, "works": ["B"]},
            {"id": "app", "connector": "recorder", "settings": {}, "works": ["A"]},
        ]
        await channels.upsert_connections(at.shop.db, rows, at.shop.now, [])
        found = await at.shop.db.fetch(
            "select l.id, k.id from workers_now join locations l using (location_id) join connections k using (connection_id) order by 1"
        )
        assert [tuple(row.values()) for row in found] == [("A", "app"), ("B", "wms")]
        both = [row | {"works": ["A"]} for row in rows]
        with pytest.raises(Refusal, match="one system"):
            await channels.upsert_connections(at.shop.db, both, at.shop.now, [])


async def test_a_flow_that_is_not_live_sends_nothing_and_loses_nothing(
    database: Database, tmp_path: Path
) -> None:
    async with floor(database, tmp_path) as at:
        await at.works("A", flow="off")
        await allocated(at, "O-1")
        await at.works("A", flow="shadow")
        number = await allocated(at, "O-2")
        assert await at.send() == 0
        await at.works("A")
        await at.sells.do(Release(number))
        await at.until_quiet()
        assert at.done() == ["pick O-1 TEE×2 at A"]
        assert await at.owed() == ["1 pick A done", "1 pick A shadow", "2 cancel A shadow"]


async def test_a_connection_that_drains_is_sent_what_it_was_owed_by_then(
    database: Database, tmp_path: Path
) -> None:
    async with floor(database, tmp_path) as at:
        number = await allocated(at, "O-1")
        at.later(1)
        await channels.handle(at.shop.db, "wms", "draining", at.shop.now, None)
        at.later(1)
        await at.sells.do(Release(number))
        await at.send()
        assert at.done() == ["pick O-1 TEE×2 at A"]
        await channels.handle(at.shop.db, "wms", "running", at.shop.now, None)
        await at.send()
        assert at.done()[1:] == ["cancel O-1 TEE×2 at A"]


# Under faults ------------------------------------------------------------------------------------------------------------

FAULTS = ("429", "429-bare", "503", "maintenance", "500", "500-after", "html-after", "cut", "cut-after")


async def test_whatever_becomes_of_calls_each_command_is_done_once_and_in_order(
    database: Database, tmp_path: Path
) -> None:
    async with floor(database, tmp_path) as at:
        for fault in FAULTS:
            number = await allocated(at, f"O-{fault}", 1)
            await at.sells.do(Release(number))
            await at.store.faults(fault, retry_after_s=1)
            await at.until_quiet()
            assert await at.store.waiting() == [], "it struck"
        done = at.done()
        assert sorted(done) == sorted(
            f"{kind} O-{fault} TEE×1 at A" for fault in FAULTS for kind in ("pick", "cancel")
        )
        for fault in FAULTS:
            assert done.index(f"pick O-{fault} TEE×1 at A") < done.index(f"cancel O-{fault} TEE×1 at A")


async def test_whoever_decides_or_sends_may_die_at_any_statement_and_each_command_is_done_once(
    database: Database, tmp_path: Path
) -> None:
    async with floor(database, tmp_path, *(f"SKU-{number}" for number in range(60))) as at:
        orders: list[int] = []

        async def prepare(number: int) -> None:
            orders.append(await at.sells.hold(f"O-{number}", f"SKU-{number}", 1))

        async def dying(life: Life, number: int) -> None:
            lane = Promising(Memory(), LocationNames())
            await promise(Crashing(at.sells.db, life), lane, [allocate(orders[number])], lambda: at.shop.now)  # type: ignore[arg-type]  # it answers the same
            pool: Any = CrashingPool(at.pool, life)
            sender = Dispatcher(
                pool, {"http_json": connector}, at.worlds, TAG, lambda: at.shop.now, lambda: 1.0
            )
            for connection_id in await sender.due():
                await sender.tell(connection_id)

        async def after(number: int) -> None:
            at.later()
            await at.sells.do(allocate(orders[number]))
            await at.sells.do(Release(orders[number]))
            await at.until_quiet()
            sku = f"SKU-{number}"
            assert at.done()[2 * number :] == [
                f"{kind} O-{number} {sku}×1 at A" for kind in ("pick", "cancel")
            ]

        assert await swept(prepare, dying, after) > FEW


async def test_who_lost_its_connection_is_not_believed(database: Database, tmp_path: Path) -> None:
    async with floor(database, tmp_path) as at:
        await allocated(at, "O-1")
        await at.store.faults("slow", slow_s=1)
        assert (
            await at.sender("slow", call_within_s=0.2).tell(
                await at.shop.db.fetchval("select connection_id from connections where id = 'wms'")
            )
            == 1
        )
        assert await at.owed() == ["1 pick A unknown"]
        at.later(LEASE_S + 61)
        await at.send("two")
        assert await at.owed() == ["1 pick A done"]
        assert at.done() == ["pick O-1 TEE×2 at A"]


# What needs a person -------------------------------------------------------------------------------------------------------


async def test_what_is_refused_is_shown_holds_up_its_own_order_and_nobody_elses(
    database: Database, tmp_path: Path
) -> None:
    async with floor(database, tmp_path) as at:
        number = await allocated(at, "O-1")
        await at.store.faults("no")
        await at.send()
        await at.sells.do(Release(number))
        await allocated(at, "O-2", 1)
        await at.send()
        assert at.done() == ["pick O-2 TEE×1 at A"]
        assert await at.owed() == ["1 pick A rejected", "2 cancel A owed", "1 pick A done"]
        assert await at.open() == ["command.rejected"]
        (first, *_) = await commands(at.shop.db, CommandFilter(status="open"), 10, 10)
        assert first.waits_for == "cmd_0000000001"
        assert await at.again() == 1
        await at.until_quiet()
        assert at.done()[1:] == ["pick O-1 TEE×2 at A", "cancel O-1 TEE×2 at A"]
        assert await at.open() == []


async def test_a_command_that_nobody_confirms_for_long_is_shown_until_it_is_done(
    database: Database, tmp_path: Path
) -> None:
    async with floor(database, tmp_path) as at:
        await allocated(at, "O-1")
        await at.store.faults(*["503"] * 20, retry_after_s=1)
        for _ in range(6):
            await at.send()
            at.later(300)
        assert "command.delayed" in await at.open()
        await at.store.faults()
        at.later(3600)
        await at.until_quiet()
        assert await at.open() == []


async def test_a_replay_has_refused_commands_done_once_and_ends(database: Database, tmp_path: Path) -> None:
    async with floor(database, tmp_path) as at:
        number = await allocated(at, "O-1")
        await at.store.faults("no", "no")
        await at.send()
        await at.sells.do(Release(number))
        again = Again(at.shop.db, lambda: at.shop.now)
        plan = await again.planned("command", "all")
        assert [(each.target, each.items) for each in plan.effects] == [("wms", 2)]
        assert await at.send() == 0, "a plan does nothing"
        running = await again.run(plan)
        at.later(1)
        await again.look(running)
        await at.send()
        told = await again.look(running)
        assert (told.status, told.done, told.failed) == ("done", 0, 2), (
            "refused again, and what waits behind it waits"
        )
        assert [failure.item for failure in told.failures] == ["cmd_0000000001", "cmd_0000000002"]

        running = await again.run(await again.planned("command", "failed"))
        at.later(1)
        await again.look(running)
        await at.until_quiet()
        told = await again.look(running)
        assert (told.status, told.done, told.failed) == ("done", 1, 0)
        assert at.done() == ["pick O-1 TEE×2 at A", "cancel O-1 TEE×2 at A"]
        assert (await again.planned("command", "all")).items == 0, "what is done is never sent again"


# Beside everything else ------------------------------------------------------------------------------------------------------


async def test_promises_in_parallel_owe_each_command_once(database: Database, tmp_path: Path) -> None:
    """Two lanes of promises and a sender at once; the invariants know the end."""
    async with floor(database, tmp_path) as at:
        numbers = [await at.sells.hold(f"O-{number}", "TEE", 1) for number in range(8)]
        other = await database.connect(application="tests")
        memory = Promising(Memory(), LocationNames())
        try:
            await asyncio.gather(
                at.sells.do(*(allocate(number) for number in numbers)),
                promise(other, memory, [allocate(number) for number in numbers], lambda: at.shop.now),
                at.send(),
            )
            await asyncio.gather(
                at.sells.do(*(Release(number) for number in numbers[:4])),
                promise(other, memory, [Release(number) for number in numbers[2:6]], lambda: at.shop.now),
                at.send("two"),
            )
        finally:
            await other.close()
        at.later()
        await at.until_quiet()
        assert sorted(at.done()) == sorted(
            [f"pick O-{number} TEE×1 at A" for number in range(8)]
            + [f"cancel O-{number} TEE×1 at A" for number in range(6)]
        )


async def test_an_order_is_followed_to_whoever_picks_it_and_back(database: Database, tmp_path: Path) -> None:
    async with floor(database, tmp_path) as at:
        number = await allocated(at, "O-1")
        await at.sells.do(Release(number))
        waits = await trace(at.shop.db, Wanted(order="O-1"), TAG, at.shop.now)
        assert [each.system for each in waits.missing] == ["wms", "wms"]
        assert f"it waits for EV-{TAG}-C1" in waits.missing[1].words
        await at.until_quiet()
        found = await trace(at.shop.db, Wanted(order="O-1"), TAG, at.shop.now)
        assert (found.status, found.missing) == ("done", [])
        said = [step.words for step in found.steps if step.step == "acknowledged"]
        assert said == [
            f"wms acknowledged EV-{TAG}-C1 as W-1: pick 2 × TEE at A.",
            f"wms acknowledged EV-{TAG}-C2 as W-2: cancel 2 × TEE at A.",
        ]
        for known in ("cmd_0000000001", f"EV-{TAG}-C2", "W-2"):
            assert (await anything(at.shop.db, known, TAG, at.shop.now)).steps == found.steps, known
        with pytest.raises(Refusal, match="Nothing here goes by"):
            await anything(at.shop.db, "cmd_0000000099", TAG, at.shop.now)
