"""Any order, repetition, batching and number of writers leaves the same truth on the real ledger: that of the oracle.

Histories share a schema; each has items and sources of its own.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from model import Fact, Kind, Line, ModelLedger, at_position, in_buckets, replay
from test_counting_properties import (
    ASKED,
    CONDITIONS,
    INSTANTS,
    KINDS,
    SCOPES,
    START,
    Arrivals,
    arrival_strategy,
)

from evenstock.core.ledger import Vector
from evenstock.postgres.database import Database
from hub import Hub, apart, hub, told

LOCATIONS = ("store-a", "store-b")
CASES, CASES_DEEP = 60, 1_500
CROWDS, CROWDS_DEEP = 6, 80
WRITERS = 4
CROWD_FACTS = 90
NOTHING: tuple[Vector, bool] = ((0, 0, 0, 0), False)

histories = count(1)


async def begin(one: Hub, *sources: str) -> str:
    """Masters for one more history; returns its mark."""
    mark = f"-{next(histories)}"
    await one.connections(*(source + mark for source in sources))
    await one.locations(*LOCATIONS)
    await one.items("TEE-M" + mark)
    return mark


async def check_truth(one: Hub, facts: Iterable[Fact]) -> None:
    """The ledger says of these facts what their replay says: now, as of every instant asked, and of every count."""
    facts = list(facts)
    truth = replay(facts, ASKED)
    skus = sorted({line.item for fact in facts for line in fact.lines})
    places = await one.places(skus)
    assert places == truth.as_of[ASKED[-1]]
    assert await one.adjusted({fact.source for fact in facts}) == truth.adjusted
    for sku in skus:
        for instant in ASKED:
            answer = await one.then(sku, as_of=instant)
            for location in LOCATIONS:
                expected = at_position(truth.as_of[instant], (sku, location))
                assert answer.get(location, NOTHING)[0] == expected, (sku, location, instant)
        for location in LOCATIONS:
            now = at_position(in_buckets(places), (sku, location))
            assert await one.units(sku, location) == now


# One writer ---------------------------------------------------------------------------------------------------------


async def check_history(database: Database, arrivals: Arrivals) -> None:
    """After every batch the answers are those of the model, and at the end what was known then still is."""
    async with hub(database) as one:
        mark = await begin(one, "pos")
        sku = "TEE-M" + mark
        model = ModelLedger()
        known: dict[int, dict[str, tuple[Vector, bool]]] = {}
        for batch in arrivals:
            facts = apart(batch, mark)
            expected = model.apply(facts)
            answers = await one.answers(*map(told, facts))
            assert sorted(answers) == sorted(expected)
            known[one.seq] = await one.then(sku, known_at=one.seq)
            now = at_position(model.buckets(), (sku, "store-a"))
            assert await one.units(sku, "store-a") == now
        await check_truth(one, model.known())
        for instant in ASKED:
            answer = await one.then(sku, as_of=instant)
            for location in LOCATIONS:
                observed = answer.get(location, NOTHING)[1]
                assert observed == model.is_observed((sku, location), instant)
        for seq, answer in known.items():
            assert await one.then(sku, known_at=seq) == answer


@pytest.fixture
def budget(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """How many cases: the first number, or the second when there is time."""
    deep = bool(request.config.getoption("--deep"))
    return lambda normal, long: long if deep else normal


def test_the_ledger_is_the_replay_of_what_is_known_in_any_order_and_batches(
    shared_database: Database, budget: Callable[[int, int], int]
) -> None:
    limits = settings(
        max_examples=budget(CASES, CASES_DEEP), deadline=None, suppress_health_check=list(HealthCheck)
    )
    limits(
        given(arrival_strategy())(lambda arrivals: asyncio.run(check_history(shared_database, arrivals)))
    )()


# Four writers -------------------------------------------------------------------------------------------------------


def a_fact(dice: random.Random, number: int, items: Sequence[str]) -> Fact:
    kind = dice.choice(KINDS)
    at = dice.choice(INSTANTS)
    here = dice.choice(LOCATIONS)
    there = LOCATIONS[1 - LOCATIONS.index(here)] if kind in {"ship", "receive"} else ""
    lines = tuple(a_line(dice, kind, str(index), item, at) for index, item in enumerate(items))
    return Fact(
        kind=kind,
        id=f"f{number:03}",
        source=dice.choice(("pos", "wms")),
        at=at,
        location=here,
        to_location=there,
        lines=lines,
        opening=kind == "count" and dice.random() < 0.2,
    )


def a_line(dice: random.Random, kind: Kind, number: str, item: str, at: datetime) -> Line:
    if kind == "count":
        hours = dice.choice((0, 0, 1, 3))
        scope = dice.choice(SCOPES)
        return Line(
            line=number, item=item, quantity=dice.randint(0, 9), place=scope, counted_at=at,
            started_at=at - timedelta(hours=hours),
        )  # fmt: skip
    sign = dice.choice((1, -1)) if kind == "adjust" else 1
    place = dice.choice(("sellable", "damaged", "disposed") if kind == "dispose" else CONDITIONS)
    return Line(line=number, item=item, quantity=sign * dice.randint(1, 5), place=place)


def a_void(dice: random.Random, number: int, facts: Sequence[Fact]) -> Fact:
    """Of any fact, of one that never comes, and now and then of the wrong kind."""
    target = dice.choice(facts)
    fits = dice.random() < 0.9
    kind: Kind = "void_count" if (target.kind == "count") == fits else "void"
    key = target.key if dice.random() < 0.95 else (target.source, "never")
    return Fact(kind=kind, id=f"v{number:03}", at=START, target=key)


def a_crowded_day(dice: random.Random) -> list[Fact]:
    """Facts about an item that is known, and one that will be, and voids of a third of them."""
    choices = (("TEE-M",), ("TEE-M",), ("CAP",), ("TEE-M", "CAP"))
    facts = [a_fact(dice, number, dice.choice(choices)) for number in range(CROWD_FACTS)]
    return facts + [a_void(dice, number, facts) for number in range(CROWD_FACTS // 3)]


def with_original(fact: Fact, facts: Sequence[Fact]) -> dict[str, object]:
    """Its event; a return names a sale that may come later, or never."""
    event = told(fact)
    if fact.kind == "return" and int(fact.id[1:]) % 2:  # the same every time it is sent
        sale = facts[(int(fact.id[1:]) * 7) % CROWD_FACTS]
        event["data"]["original"] = {"source": sale.source, "id": sale.id}
    return event


async def write(
    writer: Hub, events: Sequence[dict[str, object]], dice: random.Random, failures: list[str]
) -> None:
    """One of the writers: its events in its own order and batches."""
    mine = list(events)
    dice.shuffle(mine)
    while mine:
        size = dice.randint(1, 12)
        batch, mine = mine[:size], mine[size:]
        answers = await writer.answers(*batch)
        failures += [answer for answer in answers if answer in {"rejected", "hub.bug", "event.key_reused"}]


async def make_known(writer: Hub, sku: str, delay: float) -> None:
    await asyncio.sleep(delay)
    await writer.release(await writer.items(sku))


async def ask(
    reader: Hub, skus: Sequence[str], dice: random.Random, done: asyncio.Event
) -> dict[tuple[str, datetime | None, int], object]:
    """Answers by number of the ledger, asked while others write."""
    answers: dict[tuple[str, datetime | None, int], object] = {}
    while not done.is_set():
        seq = await reader.db.fetchval("select ledger_seq from ledger_head")
        question = (dice.choice(skus), dice.choice([None, *ASKED]), dice.randint(max(0, seq - 3), seq))
        answer = await reader.then(question[0], as_of=question[1], known_at=question[2])
        assert answers.setdefault(question, answer) == answer
        await asyncio.sleep(0.002)
    return answers


async def check_crowd(database: Database, dice: random.Random) -> int:
    """Four writers, a fifth who makes an item known, and a reader; returns how often somebody asked."""
    async with (
        hub(database) as keeper, hub(database) as reader,
        hub(database) as w1, hub(database) as w2, hub(database) as w3, hub(database) as w4,
    ):  # fmt: skip
        mark = await begin(keeper, "pos", "wms")
        facts = apart(a_crowded_day(dice), mark)
        events = [with_original(fact, facts) for fact in facts]
        shares: list[list[dict[str, object]]] = [[] for _ in range(WRITERS)]
        for event in events:
            for share in dice.sample(shares, dice.choice((1, 1, 2, 3))):
                share.append(event)
        failures: list[str] = []
        done = asyncio.Event()
        asking = asyncio.create_task(ask(reader, ["TEE-M" + mark], dice, done))
        try:
            await asyncio.gather(
                make_known(keeper, "CAP" + mark, dice.random() / 5),
                *(
                    write(writer, share, random.Random(dice.random()), failures)  # noqa: S311
                    for writer, share in zip((w1, w2, w3, w4), shares, strict=True)
                ),
            )
        finally:
            done.set()
        answers = await asking
        assert failures == []
        assert [writer.retries for writer in (w1, w2, w3, w4, keeper)] == [0] * 5  # nobody deadlocks
        assert await keeper.open_exceptions("stock.unknown_item") == []
        await check_truth(keeper, facts)
        assert await keeper.broken() == []
        for (sku, instant, seq), answer in answers.items():
            assert await reader.then(sku, as_of=instant, known_at=seq) == answer, (sku, instant, seq)
        return len(answers)


def test_four_writers_at_once_leave_the_same_truth_and_what_was_known_stays(
    shared_database: Database, budget: Callable[[int, int], int]
) -> None:
    asked = 0
    for seed in range(budget(CROWDS, CROWDS_DEEP)):
        asked += asyncio.run(check_crowd(shared_database, random.Random(seed)))  # noqa: S311 - told apart by their seeds
    assert asked > 0
