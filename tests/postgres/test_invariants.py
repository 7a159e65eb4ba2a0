"""Every invariant finds the breach it is about: one is planted for each in a day of a shop where all is well."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from channel import teller
from conftest import owner
from evenstock.postgres.database import Database, quoted
from evenstock.postgres.migrate import known
from evenstock.postgres.queries import load
from hub import NOW, Hub, event, hub, line
from postgres.commanded import PLANTED_COMMANDED, PLANTED_COMMANDED_TOO, command_some
from postgres.posted import PLANTED_POSTED, PLANTED_POSTED_TOO, post_some
from postgres.promised import PLANTED_PROMISES, PLANTED_PROMISES_TOO, promise_some
from postgres.received import PLANTED_MESSAGES, PLANTED_MESSAGES_TOO, receive_some
from postgres.told import PLANTED_TOLD, PLANTED_TOLD_TOO, tell_some, wait_some
from seller import seller

VIEWS = sorted(
    name
    for migration in known()
    for name in re.findall(r"^create view (v_\w+)", migration.script, re.MULTILINE)
)
TEN = datetime.fromisoformat("2026-03-02T10:00:00+00:00")
HOUR = timedelta(hours=1)

FENCED = "insert into fences (epoch, raised_at, why, ledger_seq, recorded_at, table_oid, settled_at) select 1, 'epoch', 'said', 0, 'epoch', 0, {}"

# What is planted, as the owner who may do anything; rolled back afterwards.
PLANTED = {
    # the ledger
    "v_position_is_fold": "update positions set damaged = damaged + 1 where item_id = 1 and location_id = 1",
    "v_position_is_of_something": "delete from locations where id = 'store-b'",
    "v_movement_has_fact": "delete from facts where key = 's-1'",
    "v_movement_has_batch": "update batches set recorded_at = recorded_at + interval '1 ms' where ledger_seq = 1",
    "v_movements_are_complete": "delete from movements where ledger_seq = 1 and ordinal = 0",
    "v_fact_has_batch": "update facts set batch_id = 0 where key = 's-1'",
    "v_fact_has_connection": "delete from connections where id = 'wms'",
    "v_batches_have_no_gaps": "delete from batches where ledger_seq = 2",
    "v_head_is_last_batch": "delete from batches where ledger_seq = (select ledger_seq from ledger_head)",
    "v_knowing_goes_forward": "update batches set recorded_at = recorded_at - interval '1 hour' where ledger_seq = 2",
    "v_ledger_is_append_only": "grant update (quantity) on movements to evenstock_app",
    # facts and their effects
    "v_applied_fact_has_effect": "update facts set status = 'applied' where key = 'held'",
    "v_waiting_fact_has_no_effect": "update facts set status = 'ignored' where key = 's-1'",
    "v_held_fact_has_held_line": "delete from held_lines where settled_at is null",
    "v_settled_line_has_batch": "update held_lines set settled_seq = 0 where settled_at is not null",
    "v_own_movement_is_in_its_batch":
        "update movements set ledger_seq = 3, ordinal = 99 where why = 'sale' and fact_id = (select fact_id from facts where key = 's-1')",
    "v_time_is_plausible": "update facts set occurred_at = received_at + interval '6 minutes' where key = 's-1'",
    "v_known_after_it_happened": "update movements set occurred_at = recorded_at + interval '11 minutes' where ledger_seq = 1",
    "v_quantity_is_sane": "update counts set quantity = 1000000000001",
    # voids
    "v_void_fits_target": "update voids set goods = 'came_back' where goods = 'count'",
    "v_void_takes_one_fact":
        "insert into voids select f.fact_id, v.void_fact_id, v.goods from facts f, voids v where f.key = 's-1' and v.goods = 'never_left'",
    "v_void_takes_back_exactly": "update movements set occurred_at = occurred_at + interval '1 ms' where reverses is not null",
    "v_reversal_is_by_void": "delete from voids where goods = 'never_left'",
    "v_void_brings_back_exactly":
        "update movements set quantity = quantity + 1 where fact_id = (select void_fact_id from voids where goods = 'came_back')",
    "v_voided_fact_waits_no_more":
        "insert into voids select h.fact_id, v.fact_id, 'never_left' from facts h, facts v where h.key = 'held' and v.key = 's-1'",
    "v_voided_count_does_not_stand": "delete from voids where goods = 'count'",
    # counts
    "v_count_is_its_facts": "update counts set key = 'another' where key = 'c-1'",
    "v_count_adjusted_is_sum": "update counts set adjusted = adjusted - 1 where key = 'c-1'",
    "v_count_is_in_normal_form": "update counts set opening = not opening",
    "v_voided_count_adjusts_nothing": "update counts set adjusted = 1 where not standing",
    "v_count_movement_fits_count": "update movements set occurred_at = occurred_at + interval '1 hour' where count_id is not null",
    "v_count_holds": "update movements set occurred_at = occurred_at + interval '9 hours' where why = 'sale'",
    "v_last_count_is_marked": "update positions set last_counted_at = last_counted_at - interval '9 hours'",
    "v_count_conflict_is_shown": "delete from exceptions where code = 'count.conflict'",
    # transfers
    "v_transfer_is_sum": "update transfers set received = received + 1, shipped = shipped + 1",
    "v_in_transit_is_owed": "update transfers set received = received + 1",
    "v_short_transfer_is_shown": "update transfers set received = shipped",
    # what waits, and what needs a person
    "v_negative_balance_is_shown": "update exceptions set closed_at = opened_at where code = 'stock.negative'",
    "v_held_line_is_shown": "update exceptions set closed_at = opened_at where code = 'stock.unknown_item'",
    "v_hold_is_of_lines": "update held_lines set settled_at = occurred_at, settled_seq = 1 where settled_at is null",
    "v_waiting_is_counted": "update ledger_head set waiting = waiting + 1",
    "v_parked_fact_waits": "delete from awaiting where kind = 'void'",
    "v_awaited_fact_is_not_there": "update awaiting set key = 's-1' where kind = 'void'",
    "v_waiting_return_is_shown": "update exceptions set closed_at = opened_at where code = 'return.without_sale'",
    "v_stream_is_in_order": "update streams set seen = '{1,3,4,4}'",
    "v_gap_is_shown": "update streams set seen = '{1,9}'",
    "v_key_conflict_is_shown": "update key_conflicts set exception_id = 0",
    "v_rejected_event_is_shown":
        "insert into rejected_events (key_id, code, detail, body, exception_id, received_at) values ('k', 'c', 'd', '', 0, '2026-03-02')",
    "v_exception_notes_are_kept": "grant update (words) on exception_notes to evenstock_app",
    "v_exception_is_about_its_past": "update exceptions set regressed_from = exception_id where code = 'stock.negative'",
    # replays
    "v_replay_has_its_items":
        "insert into replays (step, verb, rules, reason, rate_per_s, items, effects, made_by, made_at) values ('apply', 'all', 'current', '', 1, 1, '[]', 'x', '2026-03-02')",
    "v_ended_replay_leaves_nothing": """
        with r as (insert into replays (step, verb, rules, reason, rate_per_s, items, effects, made_by, made_at, status)
            values ('apply', 'all', 'current', '', 1, 1, '[]', 'x', '2026-03-02', 'done') returning replay_id)
        insert into replay_items (replay_id, ordinal, subject) select replay_id, 0, 's' from r
    """,
    "v_replaced_message_is_there": "update messages set replaced_by = 0 where message_id = (select min(message_id) from messages)",
    "v_settings_history_is_whole": "update connections set settings = '{\"planted\": true}'",
    # who is right about what
    "v_withheld_is_shown": "update channels set withheld = 'ownership.other'",
    "v_owner_is_there": "insert into owners values ('item_master', 'everywhere', 0, '2026-03-02')",
    "v_sale_is_of_its_owner": "update held_lines set code = 'ownership.other' where settled_at is null",
    # the fence
    "v_number_is_above_the_fence": FENCED.format("'epoch'"),
    "v_fence_is_shown": FENCED.format("null"),
    # promises
    **PLANTED_PROMISES,
    # the inbox
    **PLANTED_MESSAGES,
    # what channels are told
    **PLANTED_TOLD,
    # what the books are told
    **PLANTED_POSTED,
    **PLANTED_COMMANDED,
}  # fmt: skip

# More ways to break what one of them says.
PLANTED_TOO = (
    ("v_position_is_fold", "delete from positions where item_id = 1 and location_id = 1"),
    ("v_position_is_fold", "delete from movements where why = 'return'"),
    ("v_position_is_of_something", "delete from items where sku = 'TEE-M'"),
    ("v_head_is_last_batch", "update ledger_head set ledger_seq = ledger_seq + 1"),
    ("v_ledger_is_append_only", "grant delete on movements_default to evenstock_app"),
    ("v_ledger_is_append_only", "grant truncate on voids to evenstock_app"),
    ("v_waiting_fact_has_no_effect", "update facts set status = 'parked' where key = 'c-1'"),
    ("v_held_fact_has_held_line", "update facts set status = 'ignored' where key = 'held'"),
    ("v_void_takes_back_exactly", "delete from movements where reverses is not null"),
    ("v_void_brings_back_exactly", "delete from movements where fact_id = (select void_fact_id from voids where goods = 'came_back')"),
    ("v_voided_count_does_not_stand", "update counts set standing = true"),
    ("v_count_adjusted_is_sum", "delete from counts where key = 'c-1'"),
    ("v_count_is_in_normal_form", """
        insert into movements select m.ledger_seq, 90 + n, m.item_id, m.location_id,
            case n when 1 then 'sellable' else 'found' end::place, case n when 1 then 'shrink' else 'sellable' end::place,
            1, m.why, m.fact_id, m.line, m.count_id, null, m.occurred_at, m.recorded_at
        from (select m.* from movements m join counts using (count_id) where key = 'c-1' limit 1) m, generate_series(1, 2) as n
    """),
    ("v_last_count_is_marked", "update positions set last_counted_at = null"),
    ("v_count_conflict_is_shown", "update counts set standing = false where scope = 'damaged'"),
    ("v_transfer_is_sum", "delete from transfers"),
    ("v_negative_balance_is_shown", "update positions set sellable = 1 where sellable < 0"),
    ("v_negative_balance_is_shown", "update positions set in_transit = -1 where in_transit = 0"),
    ("v_parked_fact_waits", "update facts set status = 'applied' where status = 'parked'"),
    ("v_stream_is_in_order", "update streams set seen = '{1,2,3}'"),
    ("v_stream_is_in_order", "update streams set seen = '{5,2}'"),
    ("v_gap_is_shown", "delete from exceptions where code = 'source.sequence_gap'"),
    ("v_withheld_is_shown", "update books set withheld = 'ownership.disputed'"),
    ("v_withheld_is_shown", "update exceptions set code = 'ownership.other', subject = 'owner:availability:web' where code = 'stock.negative'"),
    ("v_hold_is_of_lines", "update exceptions set code = 'ownership.other', subject = 'owner:store_sales:a:b' where code = 'stock.negative'"),
    ("v_fence_is_shown", "update exceptions set code = 'hub.fence_raised' where code = 'stock.negative'"),
    *PLANTED_PROMISES_TOO,
    *PLANTED_MESSAGES_TOO,
    *PLANTED_TOLD_TOO,
    *PLANTED_POSTED_TOO,
    *PLANTED_COMMANDED_TOO,
)  # fmt: skip


async def a_day(shop: Hub) -> None:
    """Something of everything that the invariants speak of, and all is well."""

    def sheet(id_: str, quantity: int, at: datetime, bucket: str = "sellable") -> dict[str, Any]:
        return event(
            "count", id_, at, {"location": "store-a", "lines": [line("TEE-M", quantity, bucket=bucket)]}
        )

    def sale(id_: str, at: datetime = TEN, sku: str = "TEE-M", **more: Any) -> dict[str, Any]:
        return event("sale", id_, at, {"location": "store-a", "lines": [line(sku, 2)]}, **more)

    def transfer(kind: str, id_: str, quantity: int) -> dict[str, Any]:
        data = {"transfer": "t", "from": "store-a", "to": "store-b", "lines": [line("TEE-M", quantity)]}
        return event(kind, id_, TEN - HOUR, data)

    def void(id_: str, target: str, goods: str) -> dict[str, Any]:
        return event("void", id_, TEN + 5 * HOUR, {"target": target, "goods": goods})

    await shop.locations("store-a", "store-b")
    await shop.items("TEE-M")
    opening = {"location": "store-a", "opening": True, "lines": [line("TEE-M", 20, bucket="sellable")]}
    await shop.apply(event("count", "o-1", TEN - 2 * HOUR, opening), transfer("ship", "t-1", 4))
    await shop.apply(sale("s-1"), sale("s-2"), sheet("c-1", 9, TEN + HOUR), sheet("c-2", 3, TEN + 2 * HOUR))
    await shop.apply(sale("s-3", TEN + 3 * HOUR), sale("s-4"), transfer("receive", "t-2", 3))
    await shop.apply(sheet("c-3", 1, TEN, "damaged"), sheet("c-4", 2, TEN, "damaged"))
    count_void = event("void_count", "v-1", TEN, {"target": "c-2"})
    await shop.apply(void("v-2", "s-2", "never_left"), void("v-3", "s-3", "came_back"), count_void)
    await shop.apply(
        sale("held", sku="CAP"), sale("released", sku="HAT"), void("parked", "never", "never_left")
    )
    await shop.release(await shop.items("HAT"))
    back = {"location": "store-a", "lines": [line("TEE-M", 1)], "original": "never seen"}
    await shop.apply(event("return", "r-1", TEN, back), sale("s-1", TEN + HOUR), sale("w-1", source="wms"))
    await shop.apply(sale("q-1", sequence=1), sale("q-3", sequence=3))


@pytest.fixture(scope="module")
def day(shared_database: Database) -> Database:

    async def live() -> None:
        async with (
            hub(shared_database, "pos", "wms") as shop,
            seller(shared_database) as sells,
            teller(shared_database, Path("/nonexistent")) as tells,
        ):
            await a_day(shop)
            await promise_some(shop, sells)
            await receive_some(shop)
            await tell_some(shop, tells)
            await post_some(shop, tells.pool)
            await wait_some(tells)
            await command_some(shop, sells, tells.pool)
            assert await shop.broken() == []

    asyncio.run(live())
    return shared_database


@asynccontextmanager
async def planted(database: Database, breach: str) -> AsyncIterator[Any]:
    """A connection that sees a breach nobody else ever will."""
    async with owner(database) as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            assert not (await connection.execute(breach)).endswith(" 0")
            yield connection
        finally:
            await transaction.rollback()


def shortly(breach: str) -> str:
    return " ".join(breach.split())[:60]


@pytest.mark.parametrize("view", VIEWS)
async def test_an_invariant_finds_its_breach(view: str, day: Database) -> None:
    assert view in PLANTED, f"nothing shows that {view} can find anything: plant a breach of it"
    async with planted(day, PLANTED[view]) as connection:
        assert await connection.fetchval(f"select count(*) from {quoted(view)}") > 0  # noqa: S608


@pytest.mark.parametrize(("view", "breach"), PLANTED_TOO, ids=shortly)
async def test_an_invariant_finds_other_breaches_too(view: str, breach: str, day: Database) -> None:
    async with planted(day, breach) as connection:
        assert await connection.fetchval(f"select count(*) from {quoted(view)}") > 0  # noqa: S608


async def test_every_invariant_is_known_here_and_says_what_to_do(database: Database) -> None:
    async with owner(database) as connection:
        comments = {row["name"]: row["comment"] for row in await connection.fetch(load("invariants").all)}
    assert sorted(comments) == VIEWS == sorted(PLANTED)
    for name, comment in comments.items():
        assert re.fullmatch(r"[A-Z].+[.] .+[.]", comment), (
            f"{name} says not what is wrong and what to do: {comment}"
        )
    assert len(set(comments.values())) == len(comments)


async def test_no_invariant_looks_up_rows_one_by_one(day: Database) -> None:
    """A subquery run for each movement would take hours over millions of them: plans join or sort whole tables."""
    async with owner(day) as connection:
        await connection.execute("set enable_nestloop = off")
        for view in VIEWS:
            rows = await connection.fetch(f"explain select * from {quoted(view)}")  # noqa: S608
            plan = "\n".join(row[0] for row in rows)
            assert not re.search(
                r"SubPlan .*\n.*(?:Seq|Index|Bitmap).* on (?:movements|facts|batches|counts)", plan
            ), plan


async def test_the_day_reaches_what_the_invariants_are_about(day: Database) -> None:
    async with owner(day) as connection:
        for table in ("voids", "transfers", "awaiting", "held_lines", "key_conflicts", "streams", "counts"):
            assert await connection.fetchval(f"select count(*) from {table}") > 0, table  # noqa: S608
        assert await connection.fetchval("select recorded_at from ledger_head") > NOW
