"""The stories again, told as canonical events to the real ledger: the same words, the same numbers (D4).

They share one schema; each telling has items and sources of its own.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
from model import Fact
from stories import SOURCES_OF_UNITS, Booked, State, Step, Story, load

from evenstock.core.ledger import BUCKETS
from evenstock.postgres.database import Database
from hub import Hub, apart, hub, told

STORIES = load()
ORDERS, ORDERS_DEEP = 10, 100
LOCATIONS = ("store-a", "store-b", "store-c")

tellings = count(1)


def by_title(story: Story) -> str:
    return f"{story.number} {story.title}"


async def begin(teller: Hub, story: Story) -> str:
    """Masters for one more telling; returns its mark."""
    mark = f"-{next(tellings)}"
    await teller.locations(*LOCATIONS)
    await teller.connections(*sorted({step.fact.source + mark for step in story.steps}))
    await teller.items(*sorted({line.item + mark for step in story.steps for line in step.fact.lines}))
    return mark


async def units_in(teller: Hub, state: State, mark: str, seq: int | None = None) -> dict[str, int]:
    """What the ledger answers where a state looks, in the state's words."""
    sku = state.item + mark
    if state.units.keys() <= set(BUCKETS):
        if state.at is None and seq is None:
            found = await teller.units(sku, state.location)
        else:
            answer = await teller.then(sku, as_of=state.at, known_at=seq)
            found = answer.get(state.location, ((0, 0, 0, 0), False))[0]
        return dict(zip(BUCKETS, found, strict=True))
    places = await teller.places([sku])
    return {
        place: (-1 if place in SOURCES_OF_UNITS else 1) * places.get(((sku, state.location), place), 0)
        for place in state.units
    }


async def check_end(story: Story, teller: Hub, mark: str) -> None:
    for state in story.expect:
        assert await units_in(teller, state, mark) == state.units, state
        if state.at is not None:
            answer = await teller.then(state.item + mark, as_of=state.at)
            assert answer[state.location][1] == state.observed, state
    adjusted = {
        key[1]: units
        for key, units in (await teller.adjusted({step.fact.source + mark for step in story.steps})).items()
    }
    assert {key: adjusted.get(key) for key in story.adjusted} == story.adjusted
    assert await conflicts(teller, mark) == story.conflicts


async def conflicts(teller: Hub, mark: str) -> set[tuple[str, str, str, Any]]:
    """What open exceptions say of counts that disagree."""
    rows = await teller.db.fetch(
        """
        select l.id, i.sku, s[1], s[2]::timestamptz
        from exceptions join items i using (item_id) join locations l using (location_id)
        cross join regexp_match(subject, ':([a-z_]+):(.+)$') as s
        where code = 'count.conflict' and closed_at is null and i.sku like '%' || $1
        """,
        mark,
    )
    return {
        (location, sku.removesuffix(mark), scope, at)
        for location, sku, scope, at in rows
        if sku.endswith(mark)
    }


async def brought(teller: Hub, mark: str, before: int) -> list[Booked]:
    """The movements booked after a number of the ledger."""
    rows = await teller.db.fetch(
        """
        select m.occurred_at, l.id, i.sku, m.quantity, m.from_place::text, m.to_place::text, f.key
        from movements m join items i using (item_id) join locations l using (location_id) join facts f using (fact_id)
        where m.ledger_seq > $1
        """,
        before,
    )
    return [
        Booked(at, location, sku.removesuffix(mark), quantity, from_place, to_place, key)
        for at, location, sku, quantity, from_place, to_place, key in rows
    ]


async def check_batch(teller: Hub, steps: Sequence[Step], mark: str) -> None:
    """Tells one batch, and holds what the story says of this moment."""
    before = teller.seq
    answers = await teller.answers(*(told(fact) for fact in apart((step.fact for step in steps), mark)))
    assert answers == [step.answers for step in steps]
    booked = await brought(teller, mark, before)
    tales = [tale for step in steps for tale in step.booked or []]
    if any(step.booked is not None for step in steps):
        assert sorted(map(without_cause, tales)) == sorted(map(without_cause, booked))
    assert {tale for tale in tales if tale.cause} <= set(booked)
    for state in (state for step in steps for state in step.now):
        assert await units_in(teller, state, mark) == state.units, state


def without_cause(booked: Booked) -> tuple[Any, ...]:
    return (
        booked.at, booked.location, booked.item, booked.quantity, booked.from_place, booked.to_place,
    )  # fmt: skip


@pytest.mark.parametrize("story", STORIES, ids=by_title)
async def test_a_story_as_it_was_told(story: Story, shared_database: Database) -> None:
    async with hub(shared_database) as teller:
        mark = await begin(teller, story)
        teller.seq = await teller.db.fetchval("select ledger_seq from ledger_head")
        batches: defaultdict[int, list[Step]] = defaultdict(list)
        for step in story.steps:
            batches[step.batch].append(step)
        seqs: dict[int, int] = {}
        for batch, steps in batches.items():
            await check_batch(teller, steps, mark)
            seqs[batch] = teller.seq
        await check_end(story, teller, mark)
        for batch, steps in batches.items():  # what was known then is known to have been known then
            for state in (state for step in steps for state in step.now):
                assert await units_in(teller, state, mark, seqs[batch]) == state.units, state


@pytest.mark.parametrize("story", [story for story in STORIES if story.any_order], ids=by_title)
async def test_a_story_in_any_order_and_batches(
    story: Story, shared_database: Database, request: pytest.FixtureRequest
) -> None:
    dice = random.Random(story.number)  # noqa: S311 - the same orders every time
    async with hub(shared_database) as teller:
        for _ in range(ORDERS_DEEP if request.config.getoption("--deep") else ORDERS):
            mark = await begin(teller, story)
            facts = apart((step.fact for step in story.steps), mark)
            dice.shuffle(facts)
            for batch in cut(facts, dice):
                await teller.apply(*map(told, batch))
            await check_end(story, teller, mark)


def cut(facts: list[Fact], dice: random.Random) -> list[list[Fact]]:
    """Facts in batches of one to all of them."""
    batches: list[list[Fact]] = []
    while facts:
        size = dice.randint(1, len(facts))
        batches.append(facts[:size])
        facts = facts[size:]
    return batches
