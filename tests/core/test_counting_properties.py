"""Any order, repetition and batching of the same facts gives the same truth: the ledger against its definition.

Each case is up to twelve facts at two locations and thirteen instants, so that ties are frequent: all kinds of facts and
scopes, several lines, intervals, openings, transfers, and voids of whatever there is, or is not.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model import Fact, Key, Kind, Line, ModelLedger, in_buckets, in_scope_at, replay

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
INSTANTS = [START + timedelta(hours=hour) for hour in range(13)]
ASKED = [START - timedelta(hours=1), *INSTANTS, START + timedelta(days=1)]
ITEM = "TEE-M"
KINDS: tuple[Kind, ...] = (
    "count", "count", "count", "count", "sale", "sale", "return", "receipt", "ship", "receive", "adjust", "dispose",
)  # fmt: skip
SCOPES = ("sellable", "sellable", "on_hand", "quarantine", "damaged")
CONDITIONS = ("sellable", "quarantine", "damaged")
CASES, CASES_DEEP = 600, 10_000

Arrivals = list[list[Fact]]


@st.composite
def facts_strategy(draw: st.DrawFn, facts_max: int = 12) -> list[Fact]:
    """The facts of a day, each under a key of its own."""
    size = draw(st.integers(2, facts_max))
    void_count = draw(st.integers(0, size // 2))
    facts = [_fact(draw, f"f{index:02}") for index in range(size - void_count)]
    for index in range(len(facts), size):
        facts.append(_void(draw, f"f{index:02}", facts))
    return facts


def _void(draw: st.DrawFn, name: str, facts: Sequence[Fact]) -> Fact:
    """Of any fact, a void included, or of a key that never comes; now and then of the wrong kind."""
    target = draw(st.integers(0, len(facts)))
    is_count = target < len(facts) and facts[target].kind == "count"
    fits = draw(st.sampled_from((True,) * 7 + (False,)))
    kind: Kind = "void_count" if is_count == fits else "void"
    return Fact(kind=kind, id=name, at=draw(st.sampled_from(INSTANTS)), target=("pos", f"f{target:02}"))


def _fact(draw: st.DrawFn, name: str) -> Fact:
    kind = draw(st.sampled_from(KINDS))
    at = draw(st.sampled_from(INSTANTS))
    here = draw(st.sampled_from(("store-a", "store-b")))
    lines = tuple(_line(draw, kind, str(number), at) for number in range(draw(st.sampled_from((1, 1, 2)))))
    there = "store-b" if here == "store-a" else "store-a"
    return Fact(
        kind=kind,
        id=name,
        at=at,
        location=here,
        to_location=there if kind in {"ship", "receive"} else "",
        lines=lines,
        opening=kind == "count" and draw(st.sampled_from((False, False, True))),
    )


def _line(draw: st.DrawFn, kind: Kind, number: str, at: datetime) -> Line:
    if kind == "count":
        counted_at = draw(st.sampled_from((at, at, *INSTANTS)))
        earlier = draw(st.sampled_from((0, 0, 1, 3)))
        return Line(
            line=number,
            item=ITEM,
            quantity=draw(st.integers(0, 9)),
            place=draw(st.sampled_from(SCOPES)),
            counted_at=counted_at,
            started_at=counted_at - timedelta(hours=earlier),
        )
    quantity = draw(st.integers(1, 5))
    if kind == "adjust":
        quantity *= draw(st.sampled_from((1, -1)))
    places = ("sellable", "damaged", "disposed") if kind == "dispose" else CONDITIONS
    return Line(line=number, item=ITEM, quantity=quantity, place=draw(st.sampled_from(places)))


@st.composite
def arrivals_strategy(draw: st.DrawFn, facts: Sequence[Fact]) -> Arrivals:
    """One way the facts may come in: shuffled, some of them again, cut into batches anywhere."""
    again = draw(st.lists(st.sampled_from(list(facts)), max_size=4))
    order = draw(st.permutations([*facts, *again]))
    cuts = draw(st.lists(st.booleans(), min_size=len(order), max_size=len(order)))
    batches: Arrivals = [[]]
    for fact, cut in zip(order, cuts, strict=True):
        if cut and batches[-1]:
            batches.append([])
        batches[-1].append(fact)
    return batches


def check_every_batch(arrivals: Arrivals) -> None:
    """After every batch the ledger says what the facts known so far mean, and never says otherwise of then."""
    ledger = ModelLedger()
    answers: list[dict[datetime, object]] = []
    for batch in arrivals:
        ledger.apply(batch)
        truth = replay(ledger.known(), ASKED)
        as_of = {instant: ledger.places(instant) for instant in ASKED}
        assert {instant: places for instant, places in truth.as_of.items() if instant in as_of} == as_of
        assert ledger.buckets() == in_buckets(ledger.places()) == in_buckets(as_of[ASKED[-1]])
        assert ledger.adjusted() == truth.adjusted
        answers.append({**as_of})
    for index, answer in enumerate(answers):
        assert answer == {instant: ledger.places(instant, index + 1) for instant in ASKED}


def check_counts_hold(arrivals: Arrivals) -> None:
    """A standing instant count that nobody follows at its instant is the balance at its instant (§2)."""
    ledger = ModelLedger()
    for batch in arrivals:
        ledger.apply(batch)
        standing = [row for row in ledger.counts.values() if row.standing]
        for row in standing:
            count = row.count
            is_last = not any(
                other.position == row.position
                and other.count.counted_at == count.counted_at
                and other.count.key > count.key
                for other in standing
            )
            if is_last and count.started_at == count.counted_at:
                assert in_scope_at(ledger.places(count.counted_at), row) == count.quantity


def check_two_orders(one: Arrivals, other: Arrivals) -> None:
    """Two ways of arrival leave the same net for every fact and count, line, place and instant."""
    ends = []
    for arrivals in (one, other):
        ledger = ModelLedger()
        for batch in arrivals:
            ledger.apply(batch)
        ends.append((ledger.net(), ledger.buckets(), ledger.adjusted(), ledger.conflicts()))
    assert ends[0] == ends[1]


@st.composite
def arrival_strategy(draw: st.DrawFn) -> Arrivals:
    return draw(arrivals_strategy(draw(facts_strategy())))


@st.composite
def two_arrivals_strategy(draw: st.DrawFn) -> tuple[Arrivals, Arrivals]:
    facts = draw(facts_strategy())
    return draw(arrivals_strategy(facts)), draw(arrivals_strategy(facts))


@pytest.fixture
def budget(request: pytest.FixtureRequest) -> settings:
    deep = request.config.getoption("--deep", default=False)
    return settings(
        max_examples=CASES_DEEP if deep else CASES,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


def held_by(strategy: st.SearchStrategy[Any], check: Callable[[Any], None], budget: settings) -> None:
    """Tries a claim on as many cases as the budget allows."""
    budget(given(strategy)(check))()


def test_after_every_batch_the_ledger_is_the_replay_of_what_is_known(budget: settings) -> None:
    held_by(arrival_strategy(), check_every_batch, budget)


def test_a_count_holds_at_its_instant(budget: settings) -> None:
    held_by(arrival_strategy(), check_counts_hold, budget)


def test_two_orders_of_arrival_leave_the_same_net(budget: settings) -> None:
    held_by(two_arrivals_strategy(), lambda both: check_two_orders(*both), budget)


def test_histories_reach_what_the_claims_are_about(budget: settings) -> None:
    """A generator that never makes late facts proves nothing: re-bases, voids, parked voids and conflicts all occur."""
    seen: set[str] = set()

    def look(arrivals: Arrivals) -> None:
        ledger = ModelLedger()
        waiting: set[Key] = set()
        for batch in arrivals:
            before = set(ledger.voided)
            seen.update(ledger.apply(batch))
            seen.update("void parked before" for key in set(ledger.voided) - before if key in waiting)
            waiting = set(ledger.parked)
        first = {row.count.count_id: row.fact_id for row in ledger.counts.values()}
        for movement in ledger.movements:
            if movement.count_id is not None and movement.fact_id != first[movement.count_id]:
                seen.add("re-base")
        if ledger.conflicts():
            seen.add("conflict")

    held_by(arrival_strategy(), look, settings(budget, derandomize=True))
    assert seen == {
        "applied", "duplicate", "parked", "void.repeated", "void.of_void", "void.target_kind",
        "re-base", "conflict", "void parked before",
    }  # fmt: skip
