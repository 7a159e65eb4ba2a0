"""Reservations on real PostgreSQL: what is promised, to whom, for how long, and that nothing is promised twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from evenstock.core.reservations import Release
from evenstock.pipeline.promise import No
from evenstock.postgres.database import Database
from hub import NOW, Hub, event, hub, line
from seller import Seller, allocate, confirm, number, only, seller, some_of, wish, word

AN_HOUR_AGO = NOW - timedelta(hours=1)


@asynccontextmanager
async def shop(database: Database, **stock: int) -> AsyncIterator[tuple[Hub, Seller]]:
    """Locations A, B and C, the items TEE and CAP, and TEE in stock at these locations."""
    async with hub(database, "pos") as books, seller(database) as sells:
        await books.locations("A", "B", "C")
        await books.items("TEE", "CAP")
        for location, units in stock.items():
            await books.apply(receipt(f"g-{location}", units, location))
        yield books, sells


def receipt(id_: str, units: int, location: str = "A", sku: str = "TEE") -> dict[str, Any]:
    return event("receipt", id_, AN_HOUR_AGO, {"location": location, "lines": [line(sku, units)]})


def sale(id_: str, units: int, location: str = "A") -> dict[str, Any]:
    return event("sale", id_, AN_HOUR_AGO, {"location": location, "lines": [line("TEE", units)]})


def shipment(id_: str, units: int, order_ref: str | None, location: str = "A", **more: Any) -> dict[str, Any]:
    named = {} if order_ref is None else {"order_ref": order_ref}
    return event(
        "ship_order", id_, AN_HOUR_AGO, {"location": location, "lines": [line("TEE", units)], **named, **more}
    )


# Granting ------------------------------------------------------------------------------------------------------------


async def test_what_is_held_is_not_offered_to_others(database_each: Database) -> None:
    async with shop(database_each, A=3) as (_, sells):
        assert await sells.said(wish("O-1", ("TEE", 2)), wish("O-2", ("TEE", 2)), wish("O-3", ("TEE", 1))) == [
            "held", "reservation.insufficient", "held",
        ]  # fmt: skip
        assert await sells.claimed() == (3, 0)
        assert await sells.offer() == 0


async def test_a_refusal_changes_nothing_and_names_where_more_is(database: Database) -> None:
    async with shop(database, A=1, B=7) as (_, sells):
        before = await sells.ledger()
        (answer,) = await sells.do(wish("O-1", ("TEE", 2), key="k-1"))
        assert isinstance(answer, No)
        assert answer.problem.code == "reservation.insufficient"
        assert "1 of 2 TEE" in answer.problem.detail
        assert [(other.location, other.available) for other in answer.alternatives] == [("B", 7), ("A", 1)]
        assert await sells.ledger() == before


async def test_lines_are_granted_all_or_none(database: Database) -> None:
    async with shop(database, A=5) as (_, sells):
        assert await sells.said(wish("O-1", ("TEE", 2), ("CAP", 1))) == ["reservation.insufficient"]
        assert await sells.claimed() == (0, 0)


async def test_lines_of_one_item_are_added_up_before_they_are_checked(database: Database) -> None:
    async with shop(database, A=3) as (_, sells):
        assert await sells.said(wish("O-1", ("TEE", 2), ("TEE", 2))) == ["reservation.insufficient"]
        assert await sells.said(wish("O-1", ("TEE", 2), ("TEE", 1))) == ["held"]


async def test_a_partial_reservation_takes_what_there_is(database: Database) -> None:
    async with shop(database, A=3) as (_, sells):
        told = only(await sells.do(wish("O-1", ("TEE", 5), partial=True))).reservation
        assert [(bytes(each.requested), bytes(each.quantity)) for each in told.lines] == [(b"5", b"3")]
        assert await sells.said(wish("O-2", ("TEE", 1), partial=True)) == ["reservation.insufficient"]


async def test_safety_stock_is_kept_back_from_a_channel(database: Database) -> None:
    async with shop(database, A=3) as (_, sells):
        await sells.channel("web", "A", safety_stock=2)
        assert await sells.said(wish("O-1", ("TEE", 2), channel="web"), wish("O-1", ("TEE", 1), channel="web")) == [
            "reservation.insufficient", "held",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "placed"),
    [
        (2, {"A": 2}),
        (4, {"B": 4}),
        (6, {"A": 3, "B": 3}),
    ],
)
async def test_one_location_that_fills_all_lines_comes_first_then_they_are_filled_in_order(
    database: Database, wanted: int, placed: dict[str, int]
) -> None:
    async with shop(database, A=3, B=5) as (_, sells):
        await sells.channel("web", "A", "B", "C")
        told = only(await sells.do(wish("O-1", ("TEE", wanted), channel="web"))).reservation
        assert {each.id: int(bytes(each.quantity)) for each in told.lines[0].locations} == placed


async def test_a_reservation_without_channel_and_pickup_has_no_place(database: Database) -> None:
    async with shop(database, A=3) as (_, sells):
        assert await sells.said(wish("O-1", ("TEE", 1), at=None)) == ["reservation.no_place"]


# Identity ------------------------------------------------------------------------------------------------------------


async def test_the_same_order_again_is_the_same_reservation(database: Database) -> None:
    async with shop(database, A=3) as (_, sells):
        first = await sells.hold("O-1", quantity=2)
        again, beside = await sells.do(wish("O-1", ("TEE", 2)), wish("O-1", ("TEE", 2)))
        assert [word(again), word(beside)] == ["held", "held"]
        assert await sells.claimed() == (2, 0)
        assert number(only([again])) == first


async def test_an_order_with_other_lines_is_refused_and_changes_nothing(database: Database) -> None:
    async with shop(database, A=9) as (_, sells):
        await sells.hold("O-1", quantity=2)
        before = await sells.ledger()
        assert await sells.said(wish("O-1", ("TEE", 3))) == ["reservation.changed"]
        assert await sells.ledger() == before


async def test_two_orders_of_one_name_in_one_batch_get_the_answer_of_the_first(database: Database) -> None:
    async with shop(database, A=9) as (_, sells):
        assert await sells.said(wish("O-1", ("TEE", 2)), wish("O-1", ("TEE", 2)), wish("O-1", ("TEE", 1))) == [
            "held", "held", "reservation.changed",
        ]  # fmt: skip
        assert await sells.claimed() == (2, 0)


async def test_without_an_order_the_request_is_known_by_its_key(database: Database) -> None:
    async with shop(database, A=9) as (_, sells):
        first = await sells.hold(None, key="k-1")
        assert await sells.hold(None, key="k-1") == first
        assert await sells.said(wish(None, ("TEE", 5), key="k-1")) == ["idempotency.key_reused"]
        assert await sells.claimed() == (1, 0)


async def test_after_its_end_an_order_is_reserved_anew(database: Database) -> None:
    async with shop(database, A=2) as (_, sells):
        first = await sells.hold("O-1", quantity=2)
        assert await sells.said(Release(first)) == ["released"]
        assert await sells.hold("O-1", quantity=1) != first


async def test_an_order_is_reserved_anew_in_the_batch_that_ends_its_old_reservation(
    database_each: Database,
) -> None:
    async with shop(database_each, A=3) as (_, sells):
        first = await sells.hold("O-1", quantity=2)
        assert await sells.said(Release(first), wish("O-1", ("TEE", 3))) == ["released", "held"]
        assert await sells.claimed() == (3, 0)


async def test_an_order_whose_time_is_over_is_reserved_anew_though_nobody_swept(database: Database) -> None:
    async with shop(database, A=3) as (_, sells):
        first = await sells.hold("O-1", quantity=2, seconds=10)
        sells.now += timedelta(seconds=10)
        assert await sells.hold("O-1", quantity=3) != first
        assert await sells.claimed() == (3, 0)


async def test_the_same_names_in_two_channels_are_two_orders(database: Database) -> None:
    async with shop(database, A=2) as (_, sells):
        await sells.channel("web", "A")
        assert await sells.hold("O-1", channel="web") != await sells.hold("O-1")


# Ends ----------------------------------------------------------------------------------------------------------------


async def test_a_hold_is_over_to_the_second_though_nobody_sweeps(database: Database) -> None:
    async with shop(database, A=1) as (_, sells):
        held = await sells.hold("O-1", seconds=10)
        sells.now += timedelta(seconds=9)
        assert await sells.said(wish("O-2", ("TEE", 1))) == ["reservation.insufficient"]
        assert await sells.offer() == 0
        sells.now += timedelta(seconds=1)
        assert await sells.offer() == 1
        assert await sells.said(wish("O-2", ("TEE", 1))) == ["held"]
        assert await sells.said(confirm(held)) == ["reservation.expired"]


async def test_the_sweeper_ends_what_is_over_its_time_and_nothing_else(database: Database) -> None:
    async with shop(database, A=9) as (_, sells):
        await sells.hold("O-1", seconds=10)
        later, paid = await sells.hold("O-2", seconds=11), await sells.hold("O-3", seconds=5)
        assert await sells.said(confirm(paid)) == ["confirmed"]
        sells.now += timedelta(seconds=10)
        assert await sells.sweep() == 1
        assert await sells.claimed() == (2, 0)
        assert await sells.said(confirm(later)) == ["confirmed"]
        sells.now += timedelta(days=1000)
        assert await sells.sweep() == 0


async def test_an_order_that_is_not_paid_is_over_later(database: Database) -> None:
    async with shop(database, A=9) as (_, sells):
        held = await sells.hold("O-1")
        assert await sells.said(confirm(held, paid=False)) == ["confirmed"]
        sells.now += timedelta(hours=23)
        assert await sells.sweep() == 0
        sells.now += timedelta(hours=1)
        assert await sells.sweep() == 1
        assert await sells.claimed() == (0, 0)


async def test_what_expired_is_granted_again_when_it_is_confirmed_and_still_there(database: Database) -> None:
    async with shop(database, A=1) as (_, sells):
        held = await sells.hold("O-1", seconds=10)
        sells.now += timedelta(seconds=11)
        assert await sells.said(confirm(held)) == ["confirmed"]
        assert await sells.claimed() == (1, 0)


async def test_over_release_releases_what_there_is_and_tells_the_excess(database: Database) -> None:
    async with shop(database, A=10) as (_, sells):
        held = await sells.hold("O-1", quantity=10)
        answer = only(await sells.do(some_of(held, ("1", 12))))
        assert [(bytes(each.released), bytes(each.excess)) for each in answer.reservation.released] == [
            (b"10", b"2")
        ]
        assert answer.reservation.status == "released"
        assert await sells.offer() == 10


async def test_a_release_of_some_units_is_done_once_under_its_key(database: Database) -> None:
    async with shop(database, A=10) as (_, sells):
        held = await sells.hold("O-1", quantity=10)
        first = only(await sells.do(some_of(held, ("1", 3))))
        assert only(await sells.do(some_of(held, ("1", 3)))) == first
        assert await sells.claimed() == (7, 0)
        assert await sells.said(some_of(held, ("1", 4))) == ["idempotency.key_reused"]
        assert await sells.said(some_of(held, ("1", 4), key="other")) == ["held"]
        assert await sells.claimed() == (3, 0)


async def test_each_reservation_ends_once(database: Database) -> None:
    async with shop(database, A=5) as (books, sells):
        gone, shipped = await sells.hold("O-1"), await sells.hold("O-2")
        assert await sells.said(Release(gone), Release(gone)) == ["released", "released"]
        assert await sells.said(confirm(gone), allocate(gone)) == ["reservation.ended", "reservation.ended"]
        await books.apply(shipment("s-1", 1, "O-2"))
        assert await sells.said(Release(shipped), confirm(shipped)) == ["reservation.ended", "fulfilled"]
        assert await sells.claimed() == (0, 0)


# Allocating ----------------------------------------------------------------------------------------------------------


async def test_allocating_moves_the_claim_if_the_new_location_can_promise_it(database: Database) -> None:
    async with shop(database, A=2, B=1) as (_, sells):
        one, two = await sells.hold("O-1"), await sells.hold("O-2")
        assert await sells.said(confirm(one), allocate(one, "B"), allocate(two, "B")) == [
            "confirmed", "allocated", "reservation.insufficient",
        ]  # fmt: skip
        assert await sells.claimed(location="A") == (1, 0)
        assert await sells.claimed(location="B") == (0, 1)
        assert await sells.said(allocate(one, "B"), allocate(one)) == ["allocated", "allocated"]


async def test_an_expired_order_is_allocated_elsewhere_and_confirmed_whatever_else_is_in_the_batch(
    database: Database,
) -> None:
    """None of the positions where these are granted again was known before the locks."""
    async with shop(database, A=3, B=3, C=3) as (_, sells):
        await sells.channel("web", "A", "B", "C")
        held = [await sells.hold(f"O-{each}", quantity=2, channel="web", seconds=1) for each in range(3)]
        sells.now += timedelta(seconds=2)
        assert await sells.said(confirm(held[0]), allocate(held[1], "C"), wish("O-2", ("TEE", 1), channel="web")) == [
            "confirmed", "allocated", "held",
        ]  # fmt: skip
        assert await sells.claimed(location="C") == (0, 2)


async def test_a_clock_behind_anothers_revives_what_the_other_has_ended(database: Database) -> None:
    async with shop(database, A=1) as (_, sells), seller(database) as behind:
        held = await sells.hold("O-1", seconds=60)
        sells.now += timedelta(seconds=61)
        assert await sells.sweep() == 1
        assert await behind.said(confirm(held)) == ["confirmed"]
        assert await sells.claimed() == (1, 0)


async def test_an_own_hold_is_no_competition(database: Database) -> None:
    async with shop(database, A=2) as (_, sells):
        held = await sells.hold("O-1", quantity=2)
        assert await sells.said(confirm(held), allocate(held, "A")) == ["confirmed", "allocated"]
        assert await sells.claimed() == (0, 2)


# Examples 32 to 38 of the counting rules -------------------------------------------------------------------------------


async def test_example_32_a_count_below_the_claims_is_shown_with_the_orders(database: Database) -> None:
    async with shop(database, A=10) as (books, sells):
        await sells.hold("O-1", quantity=3)
        await sells.hold("O-2", quantity=1)
        counted = {"location": "A", "lines": [line("TEE", 3, bucket="sellable")]}
        await books.apply(event("count", "c-1", AN_HOUR_AGO, counted))
        assert await books.units("TEE", "A") == (3, 0, 0, 0)
        assert await sells.claimed() == (4, 0)
        assert await sells.offer() == 0
        (detail,) = await sells.open_details("stock.overcommitted")
        assert "O-1 (3), O-2 (1)" in detail
        await books.apply(receipt("g-2", 1))
        await books.apply(
            event("count", "c-2", NOW, {"location": "A", "lines": [line("TEE", 4, bucket="sellable")]})
        )
        assert await sells.open_details("stock.overcommitted") == []


async def test_an_overcommitted_position_is_well_when_an_order_is_released(database: Database) -> None:
    async with shop(database, A=4) as (books, sells):
        held = await sells.hold("O-1", quantity=4)
        await books.apply(sale("s-1", 1))
        assert len(await sells.open_details("stock.overcommitted")) == 1
        await sells.do(some_of(held, ("1", 1)))
        assert await sells.open_details("stock.overcommitted") == []


async def test_example_33_a_count_that_saw_the_shelf_before_the_shipment_came(database: Database) -> None:
    async with shop(database, A=10) as (books, sells):
        held = await sells.hold("O-1", quantity=2)
        await sells.do(confirm(held), allocate(held))
        counted = {"location": "A", "lines": [line("TEE", 8, bucket="sellable")]}
        await books.apply(event("count", "c-1", AN_HOUR_AGO + timedelta(minutes=30), counted))
        assert await sells.offer() == 6
        await books.apply(shipment("s-1", 2, "O-1"))
        assert await books.units("TEE", "A") == (8, 0, 0, 0)
        assert await sells.claimed() == (0, 0)
        assert await sells.offer() == 8


async def test_example_34_picked_units_are_part_of_the_count_or_the_hub_believes_they_are_gone(
    database: Database,
) -> None:
    """The hub never guesses: the device asks, and sends the ten; a count of eight would have been two lost and two claimed."""
    async with shop(database, A=10) as (books, sells):
        held = await sells.hold("O-1", quantity=2)
        await sells.do(confirm(held), allocate(held))
        shelf = event(
            "count", "c-1", AN_HOUR_AGO, {"location": "A", "lines": [line("TEE", 8, bucket="sellable")]}
        )
        await books.apply(shelf)
        assert (await books.units("TEE", "A"), await sells.claimed(), await sells.offer()) == (
            (8, 0, 0, 0),
            (0, 2),
            6,
        )
        whole = event(
            "count", "c-2", AN_HOUR_AGO + timedelta(minutes=1), {"location": "A", "lines": [line("TEE", 10, bucket="sellable")]},
        )  # fmt: skip
        await books.apply(whole)
        assert (await books.units("TEE", "A"), await sells.claimed(), await sells.offer()) == (
            (10, 0, 0, 0),
            (0, 2),
            8,
        )
        await books.apply(
            event("ship_order", "s-1", NOW, {"location": "A", "lines": [line("TEE", 2)], "order_ref": "O-1"})
        )
        assert (await books.units("TEE", "A"), await sells.claimed(), await sells.offer()) == (
            (8, 0, 0, 0),
            (0, 0),
            8,
        )


@pytest.mark.parametrize("ships_first", [True, False])
async def test_example_35_shipping_and_releasing_commute(database: Database, ships_first: bool) -> None:
    async with shop(database, A=10) as (books, sells):
        held = await sells.hold("O-1", quantity=3)
        if ships_first:
            await books.apply(shipment("s-1", 2, "O-1"))
            answer = only(await sells.do(some_of(held, ("1", 2))))
            (released,) = answer.reservation.released
            assert (bytes(released.released), bytes(released.excess)) == (b"1", b"1")
        else:
            await sells.do(some_of(held, ("1", 2)))
            await books.apply(shipment("s-1", 2, "O-1"))
        assert await sells.claimed() == (0, 0)
        assert await books.units("TEE", "A") == (8, 0, 0, 0)
        assert await sells.said(confirm(held)) == ["fulfilled"]


async def test_example_36_a_shipment_after_the_release_is_booked_and_shown(database: Database) -> None:
    async with shop(database, A=10) as (books, sells):
        held = await sells.hold("O-1", quantity=2)
        await sells.do(Release(held))
        assert await books.answers(shipment("s-1", 2, "O-1")) == ["applied"]
        assert await books.units("TEE", "A") == (8, 0, 0, 0)
        assert await sells.claimed() == (0, 0)
        assert len(await sells.open_details("stock.shipped_without_claim")) == 1


async def test_example_37_an_order_that_was_shipped_before_it_was_known_claims_nothing_more(
    database: Database,
) -> None:
    async with shop(database, A=10) as (books, sells):
        await books.apply(shipment("s-1", 2, "O-1"))
        assert len(await sells.open_details("stock.shipped_without_claim")) == 1
        assert await sells.said(wish("O-1", ("TEE", 2))) == ["fulfilled"]
        assert await sells.claimed() == (0, 0)
        assert await sells.open_details("stock.shipped_without_claim") == []


async def test_example_38_a_refusal_leaves_no_key_behind(database: Database) -> None:
    async with shop(database, A=1) as (_, sells):
        first, second = await sells.do(wish("O-1", ("TEE", 1), key="k-1"), wish("O-2", ("TEE", 1), key="k-2"))
        assert [word(first), word(second)] == ["held", "reservation.insufficient"]
        await sells.do(Release(number(only([first]))))
        assert await sells.said(wish("O-2", ("TEE", 1), key="k-2")) == ["held"]


# Shipments -----------------------------------------------------------------------------------------------------------


async def test_a_shipment_by_the_reservations_id_fulfils_it(database: Database) -> None:
    async with shop(database, A=5) as (books, sells):
        held = await sells.hold("O-1", quantity=2)
        await books.apply(shipment("s-1", 1, None, reservation=f"rsv_{held:010d}"))
        assert await sells.claimed() == (1, 0)
        await books.apply(shipment("s-2", 1, None, reservation=f"rsv_{held:010d}"))
        assert await sells.said(confirm(held)) == ["fulfilled"]


async def test_a_shipment_from_elsewhere_frees_the_claim_where_it_stands(database: Database) -> None:
    async with shop(database, A=1, B=1) as (books, sells):
        await sells.hold("O-1")
        await books.apply(shipment("s-1", 1, "O-1", "B"))
        assert await sells.claimed() == (0, 0)
        assert await books.units("TEE", "B") == (0, 0, 0, 0)


async def test_a_voided_shipment_is_claimed_again(database: Database) -> None:
    async with shop(database, A=2) as (books, sells):
        held = await sells.hold("O-1", quantity=2)
        await books.apply(shipment("s-1", 2, "O-1"))
        void = event("void", "v-1", NOW, {"target": "s-1", "goods": "never_left"})
        assert await books.answers(void) == ["applied"]
        assert await books.units("TEE", "A") == (2, 0, 0, 0)
        assert await sells.claimed() == (2, 0)
        assert await sells.said(confirm(held)) == ["confirmed"]


async def test_a_shipment_and_its_void_in_one_batch_change_nothing(database: Database) -> None:
    async with shop(database, A=2) as (books, sells):
        await sells.hold("O-1", quantity=2)
        void = event("void", "v-1", NOW, {"target": "s-1", "goods": "never_left"})
        assert await books.answers(shipment("s-1", 2, "O-1"), void) == ["applied", "applied"]
        assert await sells.claimed() == (2, 0)


async def test_a_voided_shipment_named_by_its_reservation_sees_the_orders_new_one(database: Database) -> None:
    async with shop(database, A=5) as (books, sells):
        held = await sells.hold("O-1")
        await books.apply(shipment("s-1", 1, None, reservation=f"rsv_{held:010d}"))
        await sells.hold("O-1")
        void = event("void", "v-1", NOW, {"target": "s-1", "goods": "never_left"})
        assert await books.answers(void) == ["applied"]
        assert await sells.claimed() == (1, 0)
        assert await sells.said(confirm(held)) == ["reservation.ended"]


async def test_what_comes_back_to_an_allocated_order_is_allocated(database: Database) -> None:
    async with shop(database, A=5) as (books, sells):
        held = number(only(await sells.do(wish("O-1", ("TEE", 1), ("TEE", 2)))))
        await books.apply(shipment("s-1", 1, "O-1"))
        await sells.do(allocate(held))
        await books.apply(event("void", "v-1", NOW, {"target": "s-1", "goods": "never_left"}))
        assert await sells.claimed() == (0, 3)


async def test_units_that_never_left_are_claimed_where_they_are_though_the_rest_was_moved(
    database: Database,
) -> None:
    async with shop(database, A=3, B=3) as (books, sells):
        held = await sells.hold("O-1", quantity=3)
        await books.apply(shipment("s-1", 1, "O-1"))
        assert await sells.said(allocate(held, "B")) == ["allocated"]
        await books.apply(event("void", "v-1", NOW, {"target": "s-1", "goods": "never_left"}))
        assert await sells.claimed(location="A") == (0, 1)
        assert await sells.claimed(location="B") == (0, 2)


async def test_what_is_left_of_an_order_is_released_again_and_again(database: Database) -> None:
    async with shop(database, A=3) as (books, sells):
        held = await sells.hold("O-1", quantity=3)
        await books.apply(shipment("s-1", 1, "O-1"))
        assert await sells.said(Release(held), Release(held)) == ["fulfilled", "fulfilled"]
        assert await sells.claimed() == (0, 0)


async def test_units_that_left_without_a_claim_and_never_did_are_shown_no_more(database: Database) -> None:
    async with shop(database, A=2) as (books, sells):
        await books.apply(shipment("s-1", 2, "O-1"))
        await books.apply(event("void", "v-1", NOW, {"target": "s-1", "goods": "never_left"}))
        assert await sells.open_details("stock.shipped_without_claim") == []
        assert await sells.said(wish("O-1", ("TEE", 2))) == ["held"]


# Then ----------------------------------------------------------------------------------------------------------------


async def test_what_was_claimed_has_an_answer_as_of_any_time(database: Database) -> None:
    async with shop(database, A=5) as (books, sells):
        sells.now = books.now
        held = await sells.hold("O-1", quantity=2)
        seq = await sells.db.fetchval("select ledger_seq from ledger_head")
        sells.now += timedelta(minutes=1)
        await sells.do(confirm(held), allocate(held))
        answers = []
        for known_at in (seq - 1, seq, None):
            found = await then(sells, known_at)
            answers.append((int(found.reserved), int(found.allocated), int(found.available_to_sell)))
        assert answers == [(0, 0, 5), (2, 0, 3), (0, 2, 3)]


async def then(sells: Seller, known_at: int | None) -> Any:
    from evenstock.postgres.stock import position_then  # noqa: PLC0415

    as_of = None if known_at is not None else sells.now
    return await position_then(
        sells.db, "TEE", sells.memory.names, as_of=as_of, known_at=known_at, now=sells.now
    )
