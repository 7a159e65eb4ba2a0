"""The clock of a hub's host steps two hours ahead, or an hour back (fault F20): nothing is told twice, nothing waits for the time to come."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from channel import Teller, teller
from evenstock.connectors.contract import RetryLater
from evenstock.pipeline.dispatch import LEASE_S
from evenstock.pipeline.pace import WAIT_MAX_S
from evenstock.postgres import channels, lanes
from evenstock.postgres.database import Database
from hub import Hub, event, hub, line
from seller import confirm, seller

LEASE = timedelta(seconds=LEASE_S)
TURN = timedelta(seconds=WAIT_MAX_S)
AHEAD, BACK = timedelta(hours=2), timedelta(hours=-1)


async def set_up(books: Hub, tells: Teller, *skus: str) -> None:
    await books.locations("A")
    await books.items(*skus)
    await tells.connection()
    await tells.channel("web", "A")
    await tells.expose()


async def arrives(books: Hub, id_: str, sku: str, units: int) -> None:
    data = {"location": "A", "lines": [line(sku, units)]}
    assert await books.answers(event("receipt", id_, books.now, data)) == ["applied"]


@pytest.mark.parametrize("step", [AHEAD, BACK])
async def test_numbers_are_told_once_and_at_once_whichever_way_the_clock_steps(
    database: Database, tmp_path: Path, step: timedelta
) -> None:
    async with hub(database, "pos") as books, teller(database, tmp_path) as tells:
        await set_up(books, tells, "TEE", "CUP", "JAR")
        await arrives(books, "R-1", "TEE", 5)
        assert await tells.say() == {("web", "TEE"): 5}
        await arrives(books, "R-2", "CUP", 6)
        await tells.expose()  # computed, and not told yet
        await arrives(books, "R-3", "JAR", 7)
        await tells.expose()
        tells.now += step
        await lanes.clock_went_back(tells.db, tells.now, LEASE, TURN)
        await tells.tell("another process, whose clock is right")
        await tells.tell()
        assert tells.system.shows == {("web", "TEE"): 5, ("web", "CUP"): 6, ("web", "JAR"): 7}
        assert [(sku, number) for sku, number, _ in tells.system.heard] == [
            ("TEE", 5),
            ("CUP", 6),
            ("JAR", 7),
        ]


async def test_a_system_that_asked_for_a_pause_is_not_asked_an_hour_later_for_a_clock_that_went_back(
    database: Database, tmp_path: Path
) -> None:
    async with hub(database, "pos") as books, teller(database, tmp_path) as tells:
        await set_up(books, tells, "TEE")
        await arrives(books, "R-1", "TEE", 5)
        tells.system.next = [RetryLater("busy", 30.0)]
        tells.system.deaf = True
        await tells.say()
        assert tells.system.shows == {}
        await lanes.clock_went_back(tells.db, tells.now, LEASE, TURN)
        assert await tells.tell() == 0, "a pause that was asked for is kept"
        tells.now += BACK
        await lanes.clock_went_back(tells.db, tells.now, LEASE, TURN)
        assert await tells.tell() == 1
        assert tells.system.shows == {("web", "TEE"): 5}


async def test_a_turn_of_the_operators_limit_is_not_an_hour_away_for_a_clock_that_went_back(
    database: Database, tmp_path: Path
) -> None:
    async with hub(database, "pos") as books, teller(database, tmp_path) as tells:
        row = {"id": "shop", "connector": "system", "settings": {}, "calls_per_s": 0.1}
        await channels.upsert_connections(books.db, [row], tells.now, tells.bases)

        async def turn() -> timedelta:
            return (await lanes.take_turn(books.db, "shop", tells.now, tells.now + TURN)).at - tells.now

        assert [await turn() for _ in range(3)] == [timedelta(seconds=seconds) for seconds in (0, 10, 20)]
        await lanes.clock_went_back(tells.db, tells.now, LEASE, TURN)
        assert await turn() == timedelta(seconds=30), "turns that wait are kept"
        tells.now += BACK
        await lanes.clock_went_back(tells.db, tells.now, LEASE, TURN)
        assert await turn() == timedelta(0)


async def test_a_step_ahead_ends_the_carts_that_were_due_by_then_and_no_paid_order(
    database: Database,
) -> None:
    async with hub(database, "pos") as books, seller(database) as sells:
        await books.locations("A")
        await books.items("TEE")
        await arrives(books, "R-1", "TEE", 9)
        paid = await sells.hold("PAID", quantity=2)
        await sells.do(confirm(paid))
        await sells.hold("CART", quantity=3, seconds=900)
        await sells.hold("LONG", quantity=1, seconds=4 * 3600)
        sells.now += AHEAD
        assert await sells.sweep() == 1
        assert await sells.claimed() == (3, 0), "paid, and the one that is not due"
        sells.now += BACK - timedelta(hours=1)
        assert await sells.sweep() == 0, "what has ended has ended"
        assert await sells.said(confirm(paid)) == ["confirmed"]
        await sells.hold("CART", quantity=3)
        assert await sells.claimed() == (6, 0)
        sells.now += AHEAD + AHEAD  # the clock has caught up
        assert await sells.sweep() == 2


@pytest.mark.parametrize(
    "claimed", ["1970-01-01T00:00:07+00:00", "2038-01-19T03:14:08+00:00", "2026-02-27T10:00:00+00:00"]
)
async def test_a_till_whose_clock_is_wrong_loses_no_unit(database: Database, claimed: str) -> None:
    """Fault F21: 1970, 2038, or days behind. What lies ahead is booked at the time of receipt; what lies behind, when it says."""
    at = datetime.fromisoformat(claimed)
    async with hub(database, "pos") as books:
        await books.locations("A")
        await books.items("TEE")
        opening = {"location": "A", "opening": True, "lines": [line("TEE", 20, bucket="sellable")]}
        assert await books.answers(event("count", "O-1", books.now - timedelta(days=1), opening)) == [
            "applied"
        ]
        sale = event("sale", "S-1", at, {"location": "A", "lines": [line("TEE", 3)]})
        assert await books.answers(sale) == ["applied"]
        assert await books.answers(sale) == ["duplicate"]
        is_ahead = at > books.now
        row = await books.db.fetchrow(
            "select time_basis, body::json ->> 'time' as claimed from facts where key = 'S-1'"
        )
        assert row is not None
        assert row["time_basis"] == ("skewed" if is_ahead else "source")
        assert datetime.fromisoformat(row["claimed"]) == at, "what it claimed is kept"
        assert await books.open_exceptions("source.clock_skew") == (
            [("source.clock_skew", "source:pos")] if is_ahead else []
        )
        assert await books.db.fetchval("select sum(quantity)::integer from movements where why = 'sale'") == 3
        # Behind the count it was counted without: the count holds, and what was thought shrink is corrected.
        assert (await books.units("TEE", "A"))[0] == (17 if is_ahead else 20)
