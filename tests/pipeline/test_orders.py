"""Orders that channels tell us of: promised whatever there is, once, in their order; a cancellation that comes first waits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from crashing import Crashing, Life, swept
from evenstock.pipeline.apply import Memory
from evenstock.pipeline.orders import AGAIN_AFTER, ORDER_WITHIN, Orders
from evenstock.pipeline.promise import Promising
from evenstock.postgres.database import Database
from evenstock.postgres.stock import LocationNames
from hub import Hub, event, hub, line
from seller import Seller, seller

FEW = 5  # places to die at, below which a sweep has swept nothing


class Shop(Hub):
    """A hub with a web shop that sells from A and then B, and what turns its orders into promises."""

    seller: Seller

    def taker(self) -> Orders:
        return Orders(Promising(Memory(), LocationNames()), lambda: self.now)

    async def take(self) -> None:
        """Look until there is nothing to do."""
        taker = self.taker()
        while await taker.round(self.db):
            pass

    async def orders(self, id_: str, ref: str, *lines: tuple[str, int], **more: Any) -> None:
        what = {
            "channel": "web",
            "order_ref": ref,
            "lines": [line(s, q, str(n)) for n, (s, q) in enumerate(lines, 1)],
        }
        assert await self.answers(event("order", id_, self.now, what | more, source="shop")) == ["applied"]
        await self.take()

    async def cancels(self, id_: str, ref: str) -> None:
        what = {"channel": "web", "order_ref": ref, "reason": "changed their mind"}
        assert await self.answers(event("cancel", id_, self.now, what, source="shop")) == ["applied"]
        await self.take()

    async def statuses(self) -> list[str]:
        """Of all reservations, oldest first."""
        rows = await self.db.fetch("select status from reservations order by reservation_id")
        return [row["status"] for row in rows]

    async def claimed(self, at: str, sku: str = "TEE") -> int:
        return (await self.seller.claimed(sku, at))[0]


@asynccontextmanager
async def shop(database: Database, units: int = 5) -> AsyncIterator[Shop]:
    async with hub(database, "pos", "shop") as books, seller(database) as sells:
        one = Shop(books.db, books.now)
        one.seller = sells
        await one.locations("A", "B")
        await one.items("TEE", "CAP")
        await sells.channel("web", "A", "B")
        if units:
            goods = {"location": "A", "lines": [line("TEE", units)]}
            await one.apply(event("receipt", "r", one.now - timedelta(hours=1), goods))
        yield one


async def test_an_order_is_promised_and_confirmed_and_its_cancellation_gives_it_back(
    database: Database,
) -> None:
    async with shop(database) as one:
        await one.orders("o-1", "ORD-1", ("TEE", 2))
        assert (await one.statuses(), await one.claimed("A")) == (["confirmed"], 2)
        await one.cancels("c-1", "ORD-1")
        assert (await one.statuses(), await one.claimed("A")) == (["released"], 0)
        await one.cancels("c-2", "ORD-1")
        assert await one.statuses() == ["released"]
        assert await one.open_exceptions() == []


async def test_the_same_order_again_is_promised_once(database: Database) -> None:
    async with shop(database) as one:
        await one.orders("o-1", "ORD-1", ("TEE", 2))
        what = {"channel": "web", "order_ref": "ORD-1", "lines": [line("TEE", 2)]}
        again = event("order", "o-2", one.now, what, source="shop")
        assert await one.answers(again, again) == ["applied", "duplicate"]
        await one.take()
        assert (await one.statuses(), await one.claimed("A")) == (["confirmed"], 2)


async def test_an_order_that_a_cart_was_held_for_is_the_same_reservation(database: Database) -> None:
    async with shop(database) as one:
        await one.seller.hold("ORD-1", "TEE", 2, channel="web")
        await one.orders("o-1", "ORD-1", ("TEE", 2))
        assert await one.statuses() == ["confirmed"]


async def test_what_a_customer_was_promised_is_promised_beyond_what_there_is_and_a_person_is_told(
    database: Database,
) -> None:
    async with shop(database, units=3) as one:
        await one.orders("o-1", "ORD-1", ("TEE", 5), ("CAP", 1))
        assert (await one.claimed("A"), await one.claimed("A", "CAP"), await one.claimed("B")) == (5, 1, 0)
        assert {code for code, _ in await one.open_exceptions()} == {"stock.overcommitted"}
        assert await one.seller.offer() == 0
        (told,) = [each for each in await one.seller.open_details("stock.overcommitted") if "TEE" in each]
        assert told == "A has 2 fewer of TEE than are promised. Promised to: ORD-1 (5)."
        goods = {"location": "A", "lines": [line("TEE", 2), line("CAP", 1, "2")]}
        await one.apply(event("receipt", "r-2", one.now, goods))
        assert await one.open_exceptions() == []


async def test_it_is_handed_over_where_it_was_said_to_be(database: Database) -> None:
    async with shop(database) as one:
        await one.orders("o-1", "ORD-1", lines=[line("TEE", 1, pickup_at="B")])
        assert (await one.claimed("A"), await one.claimed("B")) == (0, 1)


async def test_lines_that_are_off_are_given_back_once_and_the_rest_stays(database: Database) -> None:
    async with shop(database, units=9) as one:
        await one.orders("o-1", "ORD-1", ("TEE", 3), ("CAP", 1))
        off = {"channel": "web", "order_ref": "ORD-1", "lines": [{"line": "1", "quantity": 2}, {"line": "2"}]}
        told = event("cancel", "c-1", one.now, off, source="shop")
        assert await one.answers(told, told) == ["applied", "duplicate"]
        await one.take()
        assert (await one.statuses(), await one.claimed("A"), await one.claimed("A", "CAP")) == (
            ["confirmed"],
            1,
            0,
        )


async def test_lines_that_are_off_before_their_order_came_are_given_back_when_it_comes(
    database: Database,
) -> None:
    async with shop(database) as one:
        off = {"channel": "web", "order_ref": "ORD-1", "lines": [{"line": "1", "quantity": 1}]}
        await one.answers(event("cancel", "c-1", one.now, off, source="shop"))
        await one.take()
        await one.orders("o-1", "ORD-1", ("TEE", 3))
        assert (await one.statuses(), await one.claimed("A")) == (["confirmed"], 2)


async def test_a_line_that_is_off_and_was_never_there_changes_nothing(database: Database) -> None:
    async with shop(database) as one:
        await one.orders("o-1", "ORD-1", ("TEE", 3))
        off = {"channel": "web", "order_ref": "ORD-1", "lines": [{"line": "7"}]}
        assert await one.answers(event("cancel", "c-1", one.now, off, source="shop")) == ["applied"]
        await one.take()
        assert (await one.statuses(), await one.claimed("A")) == (["confirmed"], 3)


async def test_an_unpaid_order_expires(database: Database) -> None:
    async with shop(database) as one:
        await one.orders("o-1", "ORD-1", ("TEE", 1), paid=False)
        await one.orders("o-2", "ORD-2", ("TEE", 1))
        one.seller.now = one.now + timedelta(days=2)
        await one.seller.sweep()
        assert await one.statuses() == ["expired", "confirmed"]


# What comes too early -----------------------------------------------------------------------------------------------------


async def test_a_cancellation_that_comes_first_waits_and_then_nothing_is_promised(database: Database) -> None:
    async with shop(database) as one:
        await one.cancels("c-1", "ORD-1")
        assert (await one.statuses(), await one.open_exceptions()) == ([], [])
        await one.orders("o-1", "ORD-1", ("TEE", 2))
        assert (await one.statuses(), await one.claimed("A")) == (["released"], 0)
        assert await one.open_exceptions() == []


async def test_a_cancellation_whose_order_does_not_come_is_shown_after_its_time_until_it_comes(
    database: Database,
) -> None:
    async with shop(database) as one:
        came = one.now
        await one.cancels("c-1", "ORD-1")
        one.now = came + ORDER_WITHIN - timedelta(seconds=1)
        await one.take()
        assert await one.open_exceptions() == []
        one.now = came + ORDER_WITHIN
        await one.take()
        assert await one.open_exceptions() == [("order.cancel_waits", "order:web:ORD-1")]
        await one.take()
        assert await one.db.fetchval("select sum(hits) from exceptions") == 1, "it is looked at no more"
        await one.orders("o-1", "ORD-1", ("TEE", 2))
        assert (await one.statuses(), await one.open_exceptions()) == (["released"], [])


async def test_an_order_of_an_unknown_item_waits_and_is_promised_once_that_is_known(
    database: Database,
) -> None:
    async with shop(database) as one:
        await one.orders("o-1", "ORD-1", ("TEE", 1), ("NEW", 1))
        assert (await one.statuses(), await one.claimed("A")) == ([], 0), "all of it or nothing"
        assert await one.open_exceptions() == [("order.waits", "order:web:ORD-1")]
        detail = await one.db.fetchval("select detail from exceptions")
        assert detail == (
            "shop sent the order ORD-1 of web, which cannot be promised yet. There is no item `NEW`."
        )
        await one.items("NEW")
        one.now += AGAIN_AFTER
        await one.take()
        assert (await one.statuses(), await one.open_exceptions("order.waits")) == (["confirmed"], [])


async def test_an_order_that_waits_and_is_cancelled_is_not_promised_later(database: Database) -> None:
    async with shop(database) as one:
        await one.orders("o-1", "ORD-1", ("NEW", 1))
        await one.cancels("c-1", "ORD-1")
        assert await one.open_exceptions() == []
        await one.items("NEW")
        one.now += AGAIN_AFTER
        await one.take()
        assert await one.statuses() == []


async def test_an_order_of_a_channel_that_sells_nowhere_waits(database: Database) -> None:
    async with shop(database) as one:
        what = {"channel": "nobody", "order_ref": "ORD-1", "lines": [line("TEE", 1)]}
        assert await one.answers(event("order", "o-1", one.now, what, source="shop")) == ["applied"]
        await one.take()
        assert await one.open_exceptions() == [("order.waits", "order:nobody:ORD-1")]
        await one.seller.channel("nobody", "A")
        one.now += AGAIN_AFTER
        await one.take()
        assert (await one.statuses(), await one.open_exceptions()) == (["confirmed"], [])


async def test_what_has_left_is_not_given_back_by_a_late_cancellation(database: Database) -> None:
    async with shop(database) as one:
        await one.orders("o-1", "ORD-1", ("TEE", 2))
        gone = {"location": "A", "order_ref": "ORD-1", "lines": [line("TEE", 2)]}
        assert await one.answers(event("ship_order", "s-1", one.now, gone)) == ["applied"]
        await one.cancels("c-1", "ORD-1")
        assert (await one.statuses(), (await one.units("TEE", "A"))[0]) == (["fulfilled"], 3)


async def test_an_order_is_cancelled_and_not_voided(database: Database) -> None:
    async with shop(database) as one:
        await one.orders("o-1", "ORD-1", ("TEE", 2))
        void = {"target": "o-1", "goods": "never_left"}
        assert await one.answers(event("void", "v-1", one.now, void, source="shop")) == ["void.target_kind"]
        assert await one.claimed("A") == 2


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([line("TEE", 0)], "quantity.not_positive"),
        ([line("TEE", 1), line("CAP", 1)], "event.repeated_line"),
        ([{"line": "1", "item": {}, "quantity": 1}], "event.malformed"),
    ],
)
async def test_an_order_that_says_nothing_usable_is_rejected_and_promises_nothing(
    database: Database, lines: list[dict[str, Any]], code: str
) -> None:
    async with shop(database) as one:
        what = {"channel": "web", "order_ref": "ORD-1", "lines": lines}
        assert await one.answers(event("order", "o-1", one.now, what, source="shop")) == [code]
        await one.take()
        assert (await one.statuses(), await one.db.fetchval("select count(*) from order_events")) == ([], 0)


# Faults -------------------------------------------------------------------------------------------------------------------


async def test_whoever_takes_orders_may_die_anywhere_and_each_is_promised_and_given_back_once(
    database: Database,
) -> None:
    async with shop(database, units=0) as one:
        batch: dict[int, list[dict[str, Any]]] = {}

        async def prepare(number: int) -> None:
            await one.items(f"S-{number}")
            keep, gone = (
                {"channel": "web", "order_ref": f"{what}-{number}", "lines": [line(f"S-{number}", 1)]}
                for what in ("keep", "gone")
            )
            off = {"channel": "web", "order_ref": f"gone-{number}"}
            batch[number] = [
                event("order", f"k-{number}", one.now, keep, source="shop"),
                event("order", f"g-{number}", one.now, gone, source="shop"),
                event("cancel", f"c-{number}", one.now, off, source="shop"),
            ]
            assert await one.answers(*batch[number]) == ["applied"] * 3

        async def dying(life: Life, number: int) -> None:
            taker = one.taker()
            db: Any = Crashing(one.db, life)
            while await taker.round(db):
                assert number >= 0

        async def after(number: int) -> None:
            await one.db.execute("select pg_advisory_unlock_all()")  # with the session of who died
            await one.take()
            rows = await one.db.fetch(
                "select order_ref, status from reservations where order_ref like '%-' || $1::text",
                str(number),
            )
            assert {row["order_ref"]: row["status"] for row in rows} == {
                f"keep-{number}": "confirmed", f"gone-{number}": "released",
            }  # fmt: skip
            assert len(rows) == 2
            assert await one.claimed("A", f"S-{number}") == 1

        assert await swept(prepare, dying, after) > FEW


async def test_only_one_process_at_a_time_turns_orders_into_promises(database: Database) -> None:
    async with shop(database) as one:
        other = await database.connect(application="tests")
        try:
            what = {"channel": "web", "order_ref": "ORD-1", "lines": [line("TEE", 1)]}
            await one.answers(event("order", "o-1", one.now, what, source="shop"))
            assert await other.fetchval(
                "select pg_try_advisory_lock(hashtextextended('evenstock/ordering/' || current_schema(), 0))"
            )
            assert await one.taker().round(one.db) is False
            assert await one.statuses() == []
        finally:
            await other.close()
        await one.take()
        assert await one.statuses() == ["confirmed"]
