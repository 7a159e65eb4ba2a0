"""The stories, told as they were heard and in other orders: the end is the same (D4)."""

import random
from collections import defaultdict

import msgspec
import pytest
from model import Fact, ModelLedger, in_buckets
from stories import SOURCES_OF_UNITS, Booked, State, Step, Story, load

STORIES = load()
ORDERS, ORDERS_DEEP = 60, 200
EXAMPLES = range(1, 32)


def by_title(story: Story) -> str:
    return f"{story.number} {story.title}"


def units_in(ledger: ModelLedger, state: State, seq: int | None = None) -> dict[str, int]:
    """What the ledger holds where a state looks, in the state's words."""
    places = ledger.places(state.at, seq)
    here = (state.item, state.location)
    return {
        place: (-1 if place in SOURCES_OF_UNITS else 1) * places.get((here, place), 0)
        for place in state.units
    }


def check_end(story: Story, ledger: ModelLedger) -> None:
    for state in story.expect:
        assert units_in(ledger, state) == state.units
        if state.at is not None:
            assert ledger.is_observed((state.item, state.location), state.at) == state.observed
    adjusted = {key[1]: units for key, units in ledger.adjusted().items()}
    assert {key: adjusted.get(key) for key in story.adjusted} == story.adjusted
    conflicts = {(location, item, scope, at) for (item, location), scope, at in ledger.conflicts()}
    assert conflicts == story.conflicts
    assert ledger.buckets() == in_buckets(ledger.places())


def check_batch(ledger: ModelLedger, steps: list[Step]) -> None:
    """Tells one batch, and holds what the story says of this moment."""
    assert ledger.apply([step.fact for step in steps]) == [step.answers for step in steps]
    keys = {fact_id: fact.id for fact_id, fact in ledger.facts.values()}
    brought = [
        Booked(
            row.at, row.position[1], row.position[0], row.quantity, row.from_place, row.to_place, keys[row.fact_id]
        )
        for row in ledger.movements
        if row.seq == ledger.seq
    ]  # fmt: skip
    told = [booked for step in steps for booked in step.booked or []]
    if any(step.booked is not None for step in steps):
        assert sorted(map(without_cause, told)) == sorted(map(without_cause, brought))
    assert {booked for booked in told if booked.cause} <= set(brought)
    for state in (state for step in steps for state in step.now):
        assert units_in(ledger, state) == state.units


def without_cause(booked: Booked) -> Booked:
    return msgspec.structs.replace(booked, cause="")


@pytest.mark.parametrize("story", STORIES, ids=by_title)
def test_a_story_as_it_was_told(story: Story) -> None:
    ledger = ModelLedger()
    batches: defaultdict[int, list[Step]] = defaultdict(list)
    for step in story.steps:
        batches[step.batch].append(step)
    for steps in batches.values():
        check_batch(ledger, steps)
    check_end(story, ledger)
    for batch, steps in batches.items():  # what was known then is known to have been known then
        for state in (state for step in steps for state in step.now):
            assert units_in(ledger, state, batch) == state.units


@pytest.mark.parametrize("story", [story for story in STORIES if story.any_order], ids=by_title)
def test_a_story_in_any_order_and_batches(story: Story, request: pytest.FixtureRequest) -> None:
    deep = request.config.getoption("--deep", default=False)
    dice = random.Random(story.number)  # noqa: S311 - the same orders every time
    for _ in range(ORDERS_DEEP if deep else ORDERS):
        facts = [step.fact for step in story.steps]
        dice.shuffle(facts)
        ledger = ModelLedger()
        for batch in cut(facts, dice):
            ledger.apply(batch)
        check_end(story, ledger)


def cut(facts: list[Fact], dice: random.Random) -> list[list[Fact]]:
    """Facts in batches of one to all of them."""
    batches: list[list[Fact]] = []
    while facts:
        size = dice.randint(1, len(facts))
        batches.append(facts[:size])
        facts = facts[size:]
    return batches


def test_every_example_is_told_once() -> None:
    numbers = [story.number for story in STORIES]
    assert len(numbers) == len(set(numbers))
    assert set(EXAMPLES) <= set(numbers)
