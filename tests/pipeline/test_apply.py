"""What the ledger answers, and what it does, fact by fact."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from conftest import owner
from evenstock.pipeline.apply import Result
from evenstock.postgres.database import Database
from hub import Hub, event, hub, line

TEN = datetime(2026, 3, 2, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
TEE = "TEE-M"
STORE, OTHER = "store-a", "store-b"


@asynccontextmanager
async def shop(database: Database) -> AsyncIterator[Hub]:
    """Two stores, one item, two sources."""
    async with hub(database, "pos", "wms") as one:
        await one.locations(STORE, OTHER)
        await one.items(TEE)
        yield one


def sale(id_: str, quantity: object = 1, at: datetime | None = TEN, **more: Any) -> dict[str, Any]:
    return sales(id_, [line(TEE, quantity)], at, **more)


def sales(
    id_: str, lines: Sequence[dict[str, Any]], at: datetime | None = TEN, location: str = STORE, **more: Any
) -> dict[str, Any]:
    return event("sale", id_, at, {"location": location, "lines": list(lines)}, **more)


def receipt(id_: str, quantity: int, at: datetime = TEN) -> dict[str, Any]:
    return event("receipt", id_, at, {"location": STORE, "lines": [line(TEE, quantity)]})


def counted(id_: str, quantity: int, at: datetime = TEN, **more: Any) -> dict[str, Any]:
    data = {"location": STORE, "lines": [line(TEE, quantity, bucket="sellable")]}
    return event("count", id_, at, data, **more)


def returned(id_: str, original: object, at: datetime = TEN + HOUR) -> dict[str, Any]:
    return event("return", id_, at, {"location": STORE, "lines": [line(TEE, 1)], "original": original})


def transfer(kind: str, id_: str, quantity: int, at: datetime = TEN) -> dict[str, Any]:
    data = {"transfer": "t-1", "from": STORE, "to": OTHER, "lines": [line(TEE, quantity)]}
    return event(kind, id_, at, data)


def void(id_: str, target: object, goods: str = "never_left", **more: Any) -> dict[str, Any]:
    return event("void", id_, TEN + 5 * HOUR, {"target": target, "goods": goods}, **more)


def void_count(id_: str, target: object) -> dict[str, Any]:
    return event("void_count", id_, TEN + 5 * HOUR, {"target": target})


async def one(hub_: Hub, told: dict[str, Any], received_at: datetime | None = None) -> Result:
    (result,) = await hub_.apply(told, received_at=received_at)
    return result


async def everything(hub_: Hub) -> dict[str, list[str]]:
    """All rows of what a fact can change."""
    tables = (
        "facts", "movements", "positions", "counts", "voids", "transfers", "awaiting", "exceptions", "held_lines",
        "key_conflicts", "streams", "batches", "ledger_head",
    )  # fmt: skip
    return {
        table: [row[0] for row in await hub_.db.fetch(f"select t::text from {table} t order by 1")]  # noqa: S608
        for table in tables
    }


async def status(hub_: Hub, key: str) -> tuple[str, str | None]:
    row = await hub_.db.fetchrow("select status, reason from facts where key = $1", key)
    assert row is not None
    return row["status"], row["reason"]


async def transferred(hub_: Hub) -> list[tuple[int, int]]:
    """Units shipped and received, by transfer."""
    rows = await hub_.db.fetch("select shipped, received from transfers")
    return [(row["shipped"], row["received"]) for row in rows]


# Identity -----------------------------------------------------------------------------------------------------------


async def test_line_breaks_within_texts_are_kept_and_no_body_takes_anothers_place(database: Database) -> None:
    async with shop(database) as hub_:
        breaks = "two\nlines\r\n\x0b\x85\u2028\\n"
        told = [sale("s-1", note=breaks), sale("s-2", note="plain"), sale("s-3", note="\n")]
        assert await hub_.answers(*told) == ["applied"] * 3
        rows = await hub_.db.fetch("select key, body::json->>'note' as note from facts order by key")
        assert [(row["key"], row["note"]) for row in rows] == [(one["id"], one["note"]) for one in told]


async def test_the_same_event_again_is_a_duplicate_with_the_trace_of_the_first(database: Database) -> None:
    async with shop(database) as hub_:
        first = await one(hub_, sale("s-1"))
        again, twice = await hub_.apply(sale("s-1"), sale("s-1"))
        assert (again.outcome, twice.outcome) == ("duplicate", "duplicate")
        assert {first.trace_id, again.trace_id, twice.trace_id} == {first.trace_id}
        assert await hub_.units(TEE, STORE) == (-1, 0, 0, 0)


async def test_one_event_twice_in_a_batch_is_booked_once(database: Database) -> None:
    async with shop(database) as hub_:
        assert await hub_.answers(sale("s-1"), sale("s-1")) == ["applied", "duplicate"]
        assert await hub_.units(TEE, STORE) == (-1, 0, 0, 0)


async def test_what_is_no_content_does_not_make_another_content(database: Database) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with shop(database) as hub_:
        assert await hub_.answers(sale("s-1", 1)) == ["applied"]
        same = sales("s-1", [line(TEE, "1.0")], traceparent=trace, sequence=7)
        assert await hub_.answers(same) == ["duplicate"]


async def test_the_same_id_of_another_source_is_another_fact(database: Database) -> None:
    async with shop(database) as hub_:
        assert await hub_.answers(sale("s-1"), sale("s-1", source="wms")) == ["applied", "applied"]
        assert await hub_.units(TEE, STORE) == (-2, 0, 0, 0)


@pytest.mark.parametrize("together", [True, False])
async def test_other_content_under_a_used_key_is_kept_and_not_booked(
    database: Database, *, together: bool
) -> None:
    async with shop(database) as hub_:
        if together:
            _, answer = await hub_.apply(sale("s-1", 1), sale("s-1", 2))
        else:
            await hub_.apply(sale("s-1", 1))
            answer = await one(hub_, sale("s-1", 2))
        assert (answer.outcome, answer.code, answer.pointer) == ("held", "event.key_reused", "/id")
        assert answer.exception_id is not None
        again = await one(hub_, sale("s-1", 2))
        assert again.exception_id == answer.exception_id
        assert await hub_.units(TEE, STORE) == (-1, 0, 0, 0)
        assert await hub_.open_exceptions("event.key_reused") == [("event.key_reused", "key:pos:s-1")]
        assert await hub_.db.fetchval("select count(*) from key_conflicts") == 1


async def test_a_refused_event_changes_nothing(database: Database) -> None:
    async with shop(database) as hub_:
        await hub_.apply(receipt("g-1", 5))
        before = await everything(hub_)
        refused = [
            sales("s-1", [line(TEE, 1), line(TEE, 1)]),
            sales("s-2", [line(TEE, 0)]),
            sales("s-3", [line(TEE, "0.5")]),
            sales("s-4", [line(TEE, 10**13)]),
            event("ship", "t-1", TEN, {"transfer": "t", "from": STORE, "to": STORE, "lines": [line(TEE, 1)]}),
            event("dispose", "d-1", TEN, {"location": STORE, "lines": [line(TEE, 1)]}),
        ]
        results = await hub_.apply(*refused)
        assert {result.outcome for result in results} == {"rejected"}
        assert [result.code for result in results] == [
            "event.repeated_line", "quantity.not_positive", "stock.too_precise", "quantity.too_large",
            "event.malformed", "event.malformed",
        ]  # fmt: skip
        assert await everything(hub_) == before
        assert await hub_.answers(sale("s-1")) == ["applied"]  # its key was not taken


async def test_a_refused_event_does_not_spoil_its_batch(database: Database) -> None:
    async with shop(database) as hub_:
        assert await hub_.answers(sale("s-1"), sale("s-2", 0), sale("s-3")) == [
            "applied", "quantity.not_positive", "applied",
        ]  # fmt: skip
        assert await hub_.units(TEE, STORE) == (-2, 0, 0, 0)


REFUSES_THE_LAST = """
create function refuse() returns trigger language plpgsql as $$ begin raise 'the disk is tired'; end $$;
create trigger refuses before insert on movements for each row when (new.ordinal = 999) execute function refuse();
"""


async def test_a_batch_that_fails_leaves_nothing(database: Database) -> None:
    async with shop(database) as hub_, owner(database) as db:
        await hub_.apply(receipt("g-1", 5))
        before = await everything(hub_)
        await db.execute(REFUSES_THE_LAST)
        lines = [line(TEE, 1, str(number)) for number in range(500)]
        with pytest.raises(asyncpg.RaiseError):
            await hub_.apply(sales("s-1", lines), sales("s-2", lines))
        await db.execute("drop trigger refuses on movements; drop function refuse")
        assert await everything(hub_) == before


# Held by the line ---------------------------------------------------------------------------------------------------


async def test_an_unknown_item_holds_its_line_and_the_rest_of_the_ticket_is_booked(
    database: Database,
) -> None:
    async with shop(database) as hub_:
        answer = await one(hub_, sales("s-1", [line(TEE, 1, "1"), line("CAP", 2, "2")]))
        assert (answer.outcome, answer.code) == ("applied", "stock.unknown_item")
        (held,) = answer.held_lines
        assert (held.line, held.pointer, held.exception_id) == (
            "2",
            "/data/lines/1/item",
            answer.exception_id,
        )
        assert await hub_.units(TEE, STORE) == (-1, 0, 0, 0)
        assert await hub_.release(await hub_.items("CAP")) == 1
        assert await hub_.units("CAP", STORE) == (-2, 0, 0, 0)
        assert await hub_.open_exceptions() == [("stock.negative", f"position:{n}@1") for n in (1, 2)]


@pytest.mark.parametrize(
    ("told", "code", "subject"),
    [
        (sales("s-1", [line("CAP", 1)]), "stock.unknown_item", "sku:CAP"),
        (sale("s-1", location="store-z"), "stock.unknown_location", "location:store-z"),
        (sales("s-1", [line(TEE, 1, uom="CASE")]), "stock.unknown_uom", f"uom:{TEE}:CASE"),
    ],
)
async def test_what_is_unknown_holds_the_fact_until_it_is_known(
    database: Database, told: dict[str, Any], code: str, subject: str
) -> None:
    async with shop(database) as hub_:
        answer = await one(hub_, told)
        assert (answer.outcome, answer.code) == ("held", code)
        assert await status(hub_, "s-1") == ("held", None)
        assert await hub_.open_exceptions() == [(code, subject)]
        assert await hub_.answers(told) == ["duplicate"]
        subjects = [
            *await hub_.items("CAP"),
            *await hub_.items(TEE, CASE=12),
            *await hub_.locations("store-z"),
        ]
        assert await hub_.release(subjects) == 1
        assert await status(hub_, "s-1") == ("applied", None)
        assert await hub_.open_exceptions(code) == []
        moved = await hub_.db.fetchval("select sum(quantity) from movements")
        assert moved == (12 if code == "stock.unknown_uom" else 1)
        assert await hub_.release(subjects) == 0


async def test_a_fact_is_applied_as_soon_as_one_of_its_lines_is(database: Database) -> None:
    async with shop(database) as hub_:
        await hub_.apply(sales("s-1", [line("CAP", 1, "1"), line("HAT", 1, "2")]))
        await hub_.release(await hub_.items("CAP"))
        assert await status(hub_, "s-1") == ("applied", None)
        assert await hub_.open_exceptions("stock.unknown_item") == [("stock.unknown_item", "sku:HAT")]


async def test_lines_are_released_in_the_order_in_which_they_happened(database: Database) -> None:
    async with shop(database) as hub_:
        for number in (3, 1, 2):
            await hub_.apply(sales(f"s-{number}", [line("CAP", number)], TEN + number * HOUR))
        assert await hub_.release(await hub_.items("CAP")) == 3
        rows = await hub_.db.fetch("select quantity from movements order by ledger_seq, ordinal")
        assert [row["quantity"] for row in rows] == [1, 2, 3]


async def test_a_count_of_an_unknown_item_holds_and_adjusts_when_it_is_released(database: Database) -> None:
    async with shop(database) as hub_:
        data = {"location": STORE, "lines": [line("CAP", 7, bucket="sellable")]}
        assert await hub_.answers(event("count", "c-1", TEN, data)) == ["stock.unknown_item"]
        await hub_.release(await hub_.items("CAP"))
        await hub_.apply(sales("s-1", [line("CAP", 1)], TEN - HOUR))
        assert await hub_.units("CAP", STORE) == (7, 0, 0, 0)


async def test_a_line_too_precise_for_its_item_stays_held_under_that_cause(database: Database) -> None:
    async with shop(database) as hub_:
        await hub_.apply(sales("s-1", [line("ROPE", "1.25")]))
        assert await hub_.release(await hub_.items("ROPE")) == 0
        assert await status(hub_, "s-1") == ("held", None)
        assert await hub_.open_exceptions() == [("stock.too_precise", "sku:ROPE")]
        assert await hub_.release(await hub_.items("ROPE", scale=2)) == 1
        assert await hub_.units("ROPE", STORE) == (-125, 0, 0, 0)
        assert await hub_.open_exceptions("stock.too_precise") == []


# Clocks -------------------------------------------------------------------------------------------------------------


async def test_a_fact_from_the_future_is_booked_at_receipt_and_its_source_is_flagged_once(
    database: Database,
) -> None:
    async with shop(database) as hub_:
        early = hub_.now + 2 * HOUR
        received_at = hub_.now
        assert await hub_.answers(sale("s-1", at=early), sale("s-2", at=early)) == ["applied", "applied"]
        assert await hub_.answers(sale("s-3", at=early)) == ["applied"]
        rows = await hub_.db.fetch(
            "select time_basis, occurred_at, body::json ->> 'time' as time from facts order by key"
        )
        assert [row["time_basis"] for row in rows] == ["skewed"] * 3
        assert rows[0]["occurred_at"] == received_at
        assert datetime.fromisoformat(rows[0]["time"]) == early
        assert await hub_.open_exceptions("source.clock_skew") == [("source.clock_skew", "source:pos")]


async def test_a_fact_within_the_tolerance_keeps_its_time_and_one_without_time_has_that_of_receipt(
    database: Database,
) -> None:
    async with shop(database) as hub_:
        received_at = hub_.now
        near = received_at + timedelta(minutes=5)
        await hub_.apply(sale("s-1", at=near), sale("s-2", at=None), received_at=received_at)
        rows = await hub_.db.fetch("select time_basis, occurred_at from facts order by key")
        assert [tuple(row.values()) for row in rows] == [("source", near), ("received", received_at)]
        assert await hub_.open_exceptions("source.clock_skew") == []


async def test_a_count_from_the_future_is_held_and_its_void_drops_it(database: Database) -> None:
    async with shop(database) as hub_:
        early = hub_.now + 2 * HOUR
        answer = await one(hub_, counted("c-1", 5, early))
        assert (answer.outcome, answer.code) == ("held", "count.from_the_future")
        assert await hub_.answers(void_count("v-1", "c-1")) == ["applied"]
        assert await status(hub_, "c-1") == ("ignored", "voided")
        assert await hub_.open_exceptions("count.from_the_future") == []
        assert await hub_.db.fetchval("select count(*) from counts") == 0
        assert await hub_.units(TEE, STORE) == (0, 0, 0, 0)


# Transfers ----------------------------------------------------------------------------------------------------------


async def test_a_transfer_received_before_it_was_shipped_is_shown_until_the_shipment_comes(
    database: Database,
) -> None:
    async with shop(database) as hub_:
        await hub_.apply(receipt("g-1", 9))
        await hub_.apply(transfer("receive", "r-1", 4))
        assert await hub_.units(TEE, OTHER) == (4, 0, 0, -4)
        assert await hub_.open_exceptions() == [("stock.in_transit_negative", "position:1@2")]
        await hub_.apply(transfer("ship", "t-1", 4, TEN - HOUR))
        assert await hub_.units(TEE, OTHER) == (4, 0, 0, 0)
        assert await hub_.open_exceptions() == []


async def test_a_transfer_that_arrives_in_part_is_short_until_the_rest_comes(database: Database) -> None:
    async with shop(database) as hub_:
        await hub_.apply(receipt("g-1", 9))
        await hub_.apply(transfer("ship", "t-1", 4))
        assert await hub_.open_exceptions() == []
        await hub_.apply(transfer("receive", "r-1", 3))
        assert await hub_.open_exceptions() == [("transfer.short", "transfer:t-1:1:1:2")]
        await hub_.apply(transfer("receive", "r-2", 1))
        assert await hub_.open_exceptions() == []


async def test_the_void_of_a_transfer_takes_it_out_of_its_sums_whoever_booked_it(database: Database) -> None:
    async with shop(database) as hub_:
        await hub_.apply(receipt("g-1", 9), transfer("ship", "t-1", 4), transfer("receive", "r-1", 3))
        async with hub(database) as other:  # has never heard of the item or its stores
            assert await other.answers(void("v-1", "r-1")) == ["applied"]
        assert await transferred(hub_) == [(4, 0)]
        assert await hub_.open_exceptions() == []


async def test_the_void_of_a_transfer_takes_back_no_line_that_was_never_booked(database: Database) -> None:
    async with shop(database) as hub_:
        told = transfer("ship", "t-1", 4)
        told["data"]["lines"].append(line("CAP", 5, "2"))
        await hub_.apply(receipt("g-1", 9), told)
        await hub_.items("CAP")  # known now, and not yet released
        await hub_.apply(void("v-1", "t-1"))
        assert await transferred(hub_) == [(0, 0)]
        assert await hub_.release(["sku:CAP"]) == 0


# Returns ------------------------------------------------------------------------------------------------------------


async def test_a_return_without_its_sale_is_booked_and_shown_until_the_sale_comes(database: Database) -> None:
    async with shop(database) as hub_:
        assert await hub_.answers(returned("r-1", "s-1")) == ["applied"]
        assert await hub_.units(TEE, STORE) == (0, 1, 0, 0)
        assert [code for code, _ in await hub_.open_exceptions()] == ["return.without_sale"]
        await hub_.apply(receipt("g-1", 1), sale("s-1"))
        assert await hub_.units(TEE, STORE) == (0, 1, 0, 0)
        assert await hub_.open_exceptions() == []


async def test_a_return_in_the_batch_of_its_sale_is_not_shown(database: Database) -> None:
    async with shop(database) as hub_:
        await hub_.apply(receipt("g-1", 1), returned("r-1", {"source": "pos", "id": "s-1"}), sale("s-1"))
        assert await hub_.db.fetchval("select count(*) from exceptions") == 0


@pytest.mark.parametrize("together", [True, False])
async def test_a_return_that_was_voided_looks_for_its_sale_no_more(
    database: Database, *, together: bool
) -> None:
    async with shop(database) as hub_:
        if together:
            await hub_.apply(returned("r-1", "s-1"), void("v-1", "r-1"))
        else:
            await hub_.apply(returned("r-1", "s-1"))
            await hub_.apply(void("v-1", "r-1"))
        assert await hub_.open_exceptions() == []
        assert await hub_.db.fetchval("select count(*) from awaiting") == 0
        await hub_.apply(receipt("g-1", 1), sale("s-1"))


# Voids --------------------------------------------------------------------------------------------------------------


async def test_a_sale_whose_goods_never_left_is_as_if_it_had_never_been(database: Database) -> None:
    async with shop(database) as hub_:
        await hub_.apply(receipt("g-1", 5, TEN - HOUR), sale("s-1", 2))
        assert await hub_.answers(void("v-1", "s-1")) == ["applied"]
        assert await hub_.units(TEE, STORE) == (5, 0, 0, 0)
        assert (await hub_.then(TEE, as_of=TEN))[STORE][0] == (5, 0, 0, 0)


async def test_a_sale_whose_goods_came_back_is_a_return_when_the_void_says(database: Database) -> None:
    async with shop(database) as hub_:
        await hub_.apply(receipt("g-1", 5, TEN - HOUR), sale("s-1", 2))
        assert await hub_.answers(void("v-1", "s-1", "came_back")) == ["applied"]
        assert await hub_.units(TEE, STORE) == (3, 2, 0, 0)
        assert (await hub_.then(TEE, as_of=TEN + HOUR))[STORE][0] == (3, 0, 0, 0)


async def test_goods_of_a_held_line_come_back_when_the_line_is_released(database: Database) -> None:
    async with shop(database) as hub_:
        await hub_.apply(sales("s-1", [line("CAP", 2)]))
        assert await hub_.answers(void("v-1", "s-1", "came_back")) == ["applied"]
        assert await hub_.release(await hub_.items("CAP")) == 1
        assert await hub_.units("CAP", STORE) == (-2, 2, 0, 0)


async def test_a_void_waits_for_its_target(database: Database) -> None:
    async with shop(database) as hub_:
        assert await hub_.answers(void("v-1", "s-1")) == ["parked"]
        assert await hub_.answers(void("v-1", "s-1")) == ["duplicate"]
        assert await status(hub_, "v-1") == ("parked", None)
        assert await hub_.answers(sale("s-1")) == ["applied"]
        assert await status(hub_, "v-1") == ("applied", None)
        assert await hub_.units(TEE, STORE) == (0, 0, 0, 0)
        assert await hub_.db.fetchval("select count(*) from movements") == 2


async def test_of_two_voids_that_wait_one_takes_effect(database: Database) -> None:
    async with shop(database) as hub_:
        assert await hub_.answers(void("v-1", "s-1"), void("v-2", "s-1")) == ["parked", "parked"]
        await hub_.apply(sale("s-1"))
        assert await hub_.units(TEE, STORE) == (0, 0, 0, 0)
        assert await status(hub_, "v-2") == ("ignored", "void.repeated")


@pytest.mark.parametrize(
    ("told", "outcome", "code"),
    [
        (void("v-2", "v-1"), "rejected", "void.of_void"),
        (void("v-2", "c-1"), "rejected", "void.target_kind"),
        (void_count("v-2", "s-2"), "rejected", "void.target_kind"),
        (void("v-2", "g-1", "came_back"), "rejected", "void.target_kind"),
        (void("v-2", "s-1"), "duplicate", "void.repeated"),
        (void("v-2", "s-1", "came_back"), "duplicate", "void.repeated"),
    ],
)
async def test_a_void_that_does_not_fit_is_answered_with_why_and_changes_no_stock(
    database: Database, told: dict[str, Any], outcome: str, code: str
) -> None:
    async with shop(database) as hub_:
        await hub_.apply(receipt("g-1", 9, TEN - HOUR), sale("s-1"), sale("s-2"), counted("c-1", 8, TEN))
        await hub_.apply(void("v-1", "s-1"))
        before = await everything(hub_)
        answer = await one(hub_, told)
        assert (answer.outcome, answer.code) == (outcome, code)
        after = await everything(hub_)
        assert {table for table in after if after[table] != before[table]} == {
            "facts",
            "batches",
            "ledger_head",
        }
        assert await status(hub_, "v-2") == ("ignored", code)


async def test_the_void_of_a_held_fact_drops_its_lines(database: Database) -> None:
    async with shop(database) as hub_:
        await hub_.apply(sales("s-1", [line("CAP", 2)]), sales("s-2", [line(TEE, 1), line("CAP", 1, "2")]))
        assert await hub_.answers(void("v-1", "s-1"), void("v-2", "s-2")) == ["applied", "applied"]
        assert await status(hub_, "s-1") == ("ignored", "voided")
        assert await status(hub_, "s-2") == ("applied", None)
        assert await hub_.open_exceptions() == []
        assert await hub_.release(await hub_.items("CAP")) == 0
        assert await hub_.units(TEE, STORE) == (0, 0, 0, 0)


async def test_a_held_fact_and_its_void_in_one_batch_leave_nothing_that_waits(database: Database) -> None:
    async with shop(database) as hub_:
        assert await hub_.answers(sales("s-1", [line("CAP", 2)]), void("v-1", "s-1")) == [
            "applied",
            "applied",
        ]
        assert await status(hub_, "s-1") == ("ignored", "voided")
        assert await hub_.open_exceptions() == []
        assert await hub_.db.fetchval("select count(*) from held_lines") == 0


async def test_the_void_of_a_fact_takes_back_lines_that_were_released_later_too(database: Database) -> None:
    async with shop(database) as hub_:
        await hub_.apply(sales("s-1", [line(TEE, 1), line("CAP", 2, "2")]))
        await hub_.release(await hub_.items("CAP"))
        await hub_.apply(void("v-1", "s-1"))
        assert await hub_.units(TEE, STORE) == await hub_.units("CAP", STORE) == (0, 0, 0, 0)


async def test_a_sale_voided_across_a_count_is_shown_for_the_two_readings_differ(database: Database) -> None:
    async with shop(database) as hub_:
        await hub_.apply(receipt("g-1", 9, TEN - HOUR), sale("s-1"), counted("c-1", 8, TEN + HOUR))
        await hub_.apply(void("v-1", "s-1"))
        assert [code for code, _ in await hub_.open_exceptions()] == ["void.before_count"]


# Sequences, balances, counts ----------------------------------------------------------------------------------------


async def test_missing_numbers_are_shown_by_stream_and_epoch_until_they_come(database: Database) -> None:
    async with shop(database) as hub_:

        def ticket(number: int, epoch: object = 1, register: str = "7") -> dict[str, Any]:
            data = {"location": STORE, "register": register, "lines": [line(TEE, 1)]}
            return event("sale", f"{register}/{epoch}/{number}", TEN, data, sequence=number, epoch=epoch)

        await hub_.apply(receipt("g-1", 99))
        await hub_.apply(ticket(1), ticket(2), ticket(1, "b"), ticket(9, register="8"))
        assert await hub_.open_exceptions() == []
        assert await hub_.answers(ticket(5), ticket(3, "b")) == ["applied", "applied"]
        gap = "source.sequence_gap"
        assert await hub_.open_exceptions() == [(gap, f"stream:1:{STORE}/7:{epoch}") for epoch in ("1", "b")]
        detail = await hub_.db.fetchval("select detail from exceptions where subject like '%:1'")
        assert detail == f"pos, register 7 of store {STORE}: 3 to 4 did not arrive."
        await hub_.apply(ticket(4), ticket(2, "b"))
        assert await hub_.open_exceptions() == [(gap, f"stream:1:{STORE}/7:1")]
        await hub_.apply(ticket(3), ticket(3))
        assert await hub_.open_exceptions() == []
        assert (await hub_.units(TEE, STORE))[0] == 99 - 9


async def test_a_number_that_comes_with_a_fact_known_before_is_not_missing(database: Database) -> None:
    async with shop(database) as hub_:

        def ticket(key: str, number: int, epoch: str) -> dict[str, Any]:
            data = {"location": STORE, "register": "7", "lines": [line(TEE, 1)]}
            return event("sale", key, TEN, data, sequence=number, epoch=epoch)

        await hub_.apply(receipt("g-1", 99), ticket("a", 1, "old disk"), ticket("b", 2, "old disk"))
        assert await hub_.answers(ticket("c", 1, "new disk")) == ["applied"]
        assert await hub_.answers(ticket("a", 2, "new disk")) == ["duplicate"]
        assert await hub_.answers(ticket("d", 4, "new disk"), ticket("b", 3, "new disk")) == [
            "applied",
            "duplicate",
        ]
        assert await hub_.open_exceptions() == []
        before = await hub_.db.fetchval("select ledger_seq from ledger_head")
        assert await hub_.answers(ticket("a", 2, "new disk"), ticket("b", 2, "old disk")) == ["duplicate"] * 2
        assert await hub_.db.fetchval("select ledger_seq from ledger_head") == before
        assert (await hub_.units(TEE, STORE))[0] == 99 - 4


async def test_a_balance_below_zero_is_booked_and_shown_until_a_fact_mends_it(database: Database) -> None:
    async with shop(database) as hub_:
        assert await hub_.answers(sale("s-1", 3)) == ["applied"]
        assert await hub_.open_exceptions() == [("stock.negative", "position:1@1")]
        await hub_.apply(receipt("g-1", 2))
        assert await hub_.open_exceptions() == [("stock.negative", "position:1@1")]
        await hub_.apply(receipt("g-2", 1, TEN - HOUR))
        assert await hub_.open_exceptions() == []
        await hub_.apply(sale("s-2"))
        assert await hub_.db.fetchval("select count(*) from exceptions where code = 'stock.negative'") == 2


async def test_a_balance_below_zero_within_a_batch_alone_is_not_shown(database: Database) -> None:
    async with shop(database) as hub_:
        await hub_.apply(sale("s-1", 3), receipt("g-1", 3, TEN + HOUR))
        assert await hub_.db.fetchval("select count(*) from exceptions") == 0


@pytest.mark.parametrize("together", [True, False])
async def test_counts_of_one_instant_that_disagree_are_shown_until_one_is_voided(
    database: Database, *, together: bool
) -> None:
    async with shop(database) as hub_:
        told = [counted("c-1", 5), counted("c-2", 6), counted("c-3", 6)]
        for batch in [told] if together else [[each] for each in told]:
            await hub_.apply(*batch)
        assert await hub_.units(TEE, STORE) == (6, 0, 0, 0)
        assert await hub_.open_exceptions() == [("count.conflict", f"count:1@1:sellable:{TEN.isoformat()}")]
        await hub_.apply(void_count("v-3", "c-3"))
        assert len(await hub_.open_exceptions("count.conflict")) == 1
        await hub_.apply(void_count("v-2", "c-2"))
        assert await hub_.open_exceptions() == []
        assert await hub_.units(TEE, STORE) == (5, 0, 0, 0)


@pytest.mark.parametrize(
    ("policy", "after_sale", "after_receipt"), [("low", 8, 9), ("start", 8, 14), ("end", 9, 9)]
)
async def test_what_moves_while_a_store_counts_is_read_by_the_stores_policy(
    database: Database, policy: str, after_sale: int, after_receipt: int
) -> None:
    """Whether it was counted cannot be known; what is true only of the middle of an interval is a choice."""
    async with shop(database) as hub_:
        await hub_.locations("sales", "receipts", count_policy=policy)
        for location in ("sales", "receipts"):
            data = {
                "location": location,
                "lines": [line(TEE, 9, bucket="sellable")],
                "started_at": TEN.isoformat(),
            }
            await hub_.apply(event("count", f"c-{location}", TEN + HOUR, data))
        delivery = {"location": "receipts", "lines": [line(TEE, 5)]}
        await hub_.apply(
            sales("s-1", [line(TEE, 1)], TEN + HOUR / 2, "sales"),
            event("receipt", "g-1", TEN + HOUR / 2, delivery),
        )
        assert (await hub_.units(TEE, "sales"))[0] == after_sale
        assert (await hub_.units(TEE, "receipts"))[0] == after_receipt


async def test_a_position_counts_as_observed_from_its_first_count_or_receipt_that_stands(
    database: Database,
) -> None:
    async with shop(database) as hub_:
        await hub_.apply(receipt("g-1", 5), counted("c-1", 5, TEN + HOUR))

        async def observed(at: datetime) -> bool:
            return (await hub_.then(TEE, as_of=at))[STORE][1]

        assert [await observed(TEN + hours * HOUR) for hours in (-1, 0, 1)] == [False, True, True]
        await hub_.apply(void("v-1", "g-1"))
        assert [await observed(TEN + hours * HOUR) for hours in (-1, 0, 1)] == [False, False, True]


async def test_an_empty_batch_writes_nothing(database: Database) -> None:
    async with shop(database) as hub_:
        before = await everything(hub_)
        assert await hub_.apply() == []
        assert await everything(hub_) == before
