"""Whatever a system answers, whoever dies in between: no older number lands after a newer one, and in the end it shows the truth."""

import random
from pathlib import Path

import pytest

from channel import Teller, teller
from evenstock.connectors.contract import Done, Outcome, Rejected, RetryLater, Unauthorized, Unknown
from evenstock.core.reservations import Answer, Release
from evenstock.pipeline.dispatch import LEASE_S
from evenstock.postgres.database import Database
from evenstock.postgres.stock import positions_of
from hub import Hub, event, hub, line
from seller import Seller, seller, wish
from seller import number as named

SKUS = ("A-1", "A-2", "A-3", "A-4")
STEPS = 60


class Killed(BaseException):
    """As `kill -9`: what was sent may have arrived, and nothing is written down after it."""


async def a_step(
    chance: random.Random, books: Hub, sells: Seller, tells: Teller, held: list[int], number: int
) -> None:
    """Something happens in the shop, or somebody looks, or somebody tells, and much goes wrong."""
    sku = chance.choice(SKUS)
    match chance.choice(["sell", "receive", "hold", "release", "look", "tell", "tell", "terms"]):
        case "sell" | "receive" as kind:
            name = "sale" if kind == "sell" else "receipt"
            told = {"location": chance.choice("AB"), "lines": [line(sku, chance.randint(1, 6))]}
            await books.answers(event(name, f"{kind}-{number}", books.now, told))
        case "hold":
            wanted = wish(f"O-{number}", (sku, chance.randint(1, 3)), partial=True)
            held += [named(answer) for answer in await sells.do(wanted) if isinstance(answer, Answer)]
        case "release" if held:
            await sells.do(Release(held.pop()))
        case "terms":
            await tells.channel("web", *chance.choice(["A", "AB", "B"]), safety_stock=chance.randint(0, 2))
        case "look":
            await tells.expose()
        case _:
            await tell(chance, tells)


async def tell(chance: random.Random, tells: Teller) -> None:
    """One of two senders tells what is owed, and is answered oddly, or killed."""
    answers: list[Outcome | BaseException] = [
        Done(), Done(), RetryLater("busy"), Rejected("no"), Unknown("cut off"), Unauthorized("no"), ValueError("fault"), Killed(),
    ]  # fmt: skip
    tells.system.next = [chance.choice(answers) for _ in range(chance.randint(0, 4))]
    tells.system.deaf = chance.random() < 0.5
    tells.later(chance.choice([0, 1, LEASE_S + 1, 61]))
    try:
        await tells.tell(chance.choice(["one", "two"]))
    except Killed:
        tells.later(chance.choice([0, LEASE_S + 1]))
    if chance.random() < 0.3:
        await tells.connection(token=str(chance.random()))


async def is_refused(tells: Teller, sku: str) -> bool:
    """Whether the system does not take the number, and a person is told so."""
    return bool(
        await tells.db.fetchval(
            "select exists (select from exceptions join items using (item_id) where sku = $1 and code = 'exposure.rejected' "
            "and closed_at is null)",
            sku,
        )
    )


@pytest.mark.parametrize("seed", range(8))
async def test_a_channel_ends_with_the_truth_and_never_goes_back(
    seed: int, database: Database, tmp_path: Path
) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same world again
    async with hub(database, "pos") as books, seller(database) as sells, teller(database, tmp_path) as tells:
        await books.locations("A", "B")
        await books.items(*SKUS)
        await tells.connection()
        await tells.channel("web", "A", "B")
        held: list[int] = []
        for number in range(STEPS):
            await a_step(chance, books, sells, tells, held, number)
            if number % 20 == 19:
                assert await books.broken() == [], (seed, number)
        await tells.channel("web", "A", "B", safety_stock=1)
        tells.system.next = []
        await tells.connection(token="healed")
        for _ in range(10):
            await tells.expose()
            tells.later(61)
            await tells.tell()
        stands = await positions_of(tells.db, SKUS, tells.names, books.now)
        truth = {
            ("web", sku): sum(max(0, int(place.available_to_sell) - 1) for place in stand.locations)
            for sku, stand in stands.items()
            if stand.locations
        }
        refused = {("web", sku) for sku in SKUS if await is_refused(tells, sku)}
        assert {cell: units for cell, units in tells.system.shows.items() if cell not in refused} == {
            cell: units for cell, units in truth.items() if cell not in refused
        }
        for sku in SKUS:
            versions = [version for heard, _, version in tells.system.heard if heard == sku]
            assert versions == sorted(versions), "an older number landed after a newer one"
        numbers = {(sku, version): units for sku, units, version in tells.system.heard}
        assert all(numbers[sku, version] == units for sku, units, version in tells.system.heard)
