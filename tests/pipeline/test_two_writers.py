"""Two writers at the same facts: whoever comes second sees what the first did, and nothing deadlocks.

The first does its part and keeps its transaction open; the second works until it must wait; then the first commits.
What the second looked at before it waited is stale by then.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from evenstock.postgres.database import Database
from hub import Hub, event, hub, line
from overtaking import overtaken

TEN = datetime(2026, 3, 2, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


def sale(id_: str, *items: str, at: datetime = TEN) -> dict[str, Any]:
    lines = [line(item, 2, str(number)) for number, item in enumerate(items or ("TEE-M",))]
    return event("sale", id_, at, {"location": "store-a", "lines": lines})


def counted(id_: str, quantity: int, at: datetime = TEN) -> dict[str, Any]:
    return event(
        "count", id_, at, {"location": "store-a", "lines": [line("TEE-M", quantity, bucket="sellable")]}
    )


def void(id_: str, target: str, goods: str = "never_left") -> dict[str, Any]:
    return event("void", id_, TEN + HOUR, {"target": target, "goods": goods})


async def ready(one: Hub, two: Hub) -> None:
    """Masters, and both writers remember them."""
    await one.locations("store-a")
    await one.items("TEE-M")
    for writer in (one, two):
        await writer.answers(event("receipt", f"g-{id(writer)}", TEN - 9 * HOUR, {
            "location": "store-a", "lines": [line("TEE-M", 10)],
        }))  # fmt: skip


async def test_two_voids_of_one_sale_take_it_back_once(database: Database) -> None:
    async with hub(database, "pos") as one, hub(database) as two:
        await ready(one, two)
        await one.apply(sale("s-1"))
        answers = await overtaken(
            database, one, one.apply(void("v-1", "s-1")), two, two.answers(void("v-2", "s-1"))
        )
        assert answers == ["void.repeated"]
        assert await one.units("TEE-M", "store-a") == (20, 0, 0, 0)


async def test_a_voided_count_takes_back_what_it_adjusts_by_then(database: Database) -> None:
    async with hub(database, "pos") as one, hub(database) as two:
        await ready(one, two)
        await one.apply(counted("c-1", 15))
        late = one.apply(sale("s-1", at=TEN - HOUR))
        gone = event("void_count", "v-1", TEN, {"target": "c-1"})
        assert await overtaken(database, one, late, two, two.answers(gone)) == ["applied"]
        assert await one.units("TEE-M", "store-a") == (18, 0, 0, 0)


@pytest.mark.parametrize(("goods", "end"), [("never_left", (0, 0, 0, 0)), ("came_back", (-2, 2, 0, 0))])
async def test_a_void_takes_back_the_line_that_was_released_just_before(
    database: Database, goods: str, end: tuple[int, ...]
) -> None:
    async with hub(database, "pos") as one, hub(database) as two:
        await ready(one, two)
        await one.apply(sale("s-1", "TEE-M", "CAP"))
        subjects = await one.items("CAP")
        release = one.release(subjects)
        answers = await overtaken(database, one, release, two, two.answers(void("v-1", "s-1", goods)))
        assert answers == ["applied"]
        assert await one.units("CAP", "store-a") == end


@pytest.mark.parametrize(("goods", "end"), [("never_left", (0, 0, 0, 0)), ("came_back", (-2, 2, 0, 0))])
async def test_a_line_is_not_released_as_it_was_before_its_fact_was_voided(
    database: Database, goods: str, end: tuple[int, ...]
) -> None:
    async with hub(database, "pos") as one, hub(database) as two:
        await ready(one, two)
        await one.apply(sale("s-1", "CAP"))
        subjects = await one.items("CAP")
        await overtaken(database, one, one.apply(void("v-1", "s-1", goods)), two, two.release(subjects))
        assert await one.units("CAP", "store-a") == end


async def test_a_line_is_released_once_though_two_release_it(database: Database) -> None:
    async with hub(database, "pos") as one, hub(database) as two:
        await ready(one, two)
        await one.apply(sale("s-1", "CAP"), sale("s-2", "CAP"))
        subjects = await one.items("CAP")
        assert await overtaken(database, one, one.release(subjects), two, two.release(subjects)) == 0
        assert await one.units("CAP", "store-a") == (-4, 0, 0, 0)


async def test_a_void_that_is_about_to_wait_finds_the_sale_that_came_meanwhile(database: Database) -> None:
    async with hub(database, "pos") as one, hub(database) as two:
        await ready(one, two)
        answers = await overtaken(database, one, one.apply(sale("s-1")), two, two.answers(void("v-1", "s-1")))
        assert answers == ["applied"]
        assert await one.units("TEE-M", "store-a") == (20, 0, 0, 0)


async def test_a_sale_finds_the_void_that_began_to_wait_meanwhile(database: Database) -> None:
    async with hub(database, "pos") as one, hub(database) as two:
        await ready(one, two)
        await overtaken(database, one, one.apply(void("v-1", "s-1")), two, two.apply(sale("s-1")))
        assert await one.units("TEE-M", "store-a") == (20, 0, 0, 0)


async def test_a_return_is_voided_while_its_sale_comes(database: Database) -> None:
    async with hub(database, "pos") as one, hub(database) as two:
        await ready(one, two)
        data = {"location": "store-a", "lines": [line("TEE-M", 1)], "original": "s-1"}
        await one.apply(event("return", "r-1", TEN, data))
        answers = await overtaken(database, one, one.apply(sale("s-1")), two, two.answers(void("v-1", "r-1")))
        assert answers == ["applied"]
        assert await one.open_exceptions() == []


async def test_one_key_is_booked_once_though_two_send_it(database: Database) -> None:
    async with hub(database, "pos") as one, hub(database) as two:
        await ready(one, two)
        first = one.apply(sale("s-1"), sale("s-2"))
        again = two.answers(sale("s-2"), sale("s-3"), sale("s-1", at=TEN + HOUR))
        assert await overtaken(database, one, first, two, again) == [
            "duplicate",
            "applied",
            "event.key_reused",
        ]
        assert await one.units("TEE-M", "store-a") == (14, 0, 0, 0)


async def test_a_late_sale_finds_the_count_that_came_meanwhile(database: Database) -> None:
    async with hub(database, "pos") as one, hub(database) as two:
        await ready(one, two)
        late = two.answers(sale("s-1", at=TEN - HOUR))
        assert await overtaken(database, one, one.apply(counted("c-1", 5)), two, late) == ["applied"]
        assert await one.units("TEE-M", "store-a") == (5, 0, 0, 0)


async def test_a_line_is_not_held_for_an_item_that_was_made_meanwhile(database: Database) -> None:
    """Masters are made in a transaction of their own: a batch that would hold a line waits for it, and looks again."""
    async with hub(database, "pos") as one, hub(database) as two:
        await ready(one, two)
        answers = await overtaken(database, one, one.items("CAP"), two, two.answers(sale("s-1", "CAP")))
        assert answers == ["applied"]
        assert await one.units("CAP", "store-a") == (-2, 0, 0, 0)


async def test_an_item_keeps_its_scale_though_its_first_sale_is_on_its_way(database: Database) -> None:
    """The scale of an item without stock may change; a batch that read the old one must not book by it."""
    async with hub(database, "pos") as one, hub(database) as two:
        await ready(one, two)
        await one.items("ROPE")
        answers = await overtaken(
            database, one, one.items("ROPE", scale=2), two, two.answers(sale("s-1", "ROPE"))
        )
        assert answers == ["applied"]
        assert await one.units("ROPE", "store-a") == (-200, 0, 0, 0)
