"""A peak that rises until something breaks: which load comes next, what is offered, and what the verdict says."""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from evenstock import wiring
from evenstock.bench.peak.offer import Answered, Offer, Taken, dues
from evenstock.bench.peak.profile import PROFILES, Profile
from evenstock.bench.peak.run import WITHIN_MS, Limit, Peak, Step, Verdict, bottleneck, judged, limits
from evenstock.bench.peak.steps import CLOSE, Tried, knee, next_load
from evenstock.cli.app import app
from evenstock.cli.loadtest import verdict_in_words
from evenstock.core.levels import Spread
from evenstock.estate.stack.house import HUB
from evenstock.settings import settings

TINY = msgspec.structs.replace(PROFILES["black-friday"], stores=3, items=20)


# Which load comes next


@given(st.floats(2.0, 50_000.0))
def test_the_knee_is_found_wherever_it_is(limit: float) -> None:
    tried: list[Tried] = []
    while (load := next_load(tried)) is not None:
        tried.append(Tried(load, load <= limit))
        assert len(tried) < 40
    assert knee(tried) <= limit < knee(tried) * CLOSE * 1.001


def test_a_load_that_failed_once_and_held_then_has_held() -> None:
    tried = [Tried(100, held=True), Tried(200, held=False)]
    assert next_load(tried) == 200
    assert next_load([*tried, Tried(200, held=True)]) == 400
    assert knee([*tried, Tried(200, held=False)]) == 100


def test_where_nothing_holds_less_is_offered_until_there_is_nothing_left_to_offer() -> None:
    tried: list[Tried] = []
    while (load := next_load(tried)) is not None:
        tried.append(Tried(load, held=False))
        assert len(tried) < 40
    assert knee(tried) == 0.0


# What is offered


def offer(profile: Profile, per_s: float = 400.0) -> Offer:
    return Offer(profile=profile, port=1, key="k", run="07", hot="HOT", per_s=per_s, seconds=5.0)


def test_a_peak_has_a_flash_sale_silent_stores_repeats_and_broken_lines_and_is_the_same_again() -> None:
    peak = PROFILES["black-friday"]
    made = dues(offer(peak))
    assert made == dues(offer(peak)) == sorted(made)
    assert sum(due.events for due in made) == pytest.approx(2_000, rel=0.2)
    orders = [due for due in made if due.kind == "orders"]
    assert 0.3 < sum(due.is_hot for due in orders) / len(orders) < 0.7
    sales = [due for due in made if due.kind == "sales"]
    assert any(due.is_cut for due in sales)
    assert any(due.events == 0 for due in sales)  # said twice: no new event
    assert max(due.events for due in sales) > 10 * min(
        due.events for due in sales if due.events
    )  # after a silence


def test_on_an_ordinary_day_nothing_is_wrong() -> None:
    made = dues(offer(PROFILES["saturday"]))
    assert not any(due.is_hot or due.is_cut or not due.events for due in made)


# What is made of it


def taken(**more: object) -> Taken:
    good = {kind: Answered(100, 100, 0, 5.0, within) for kind, within in WITHIN_MS.items()}
    whole = Taken(
        kinds=good, offered=300, in_time=300, granted=5, turned_away=5, statuses={}, unanswered=0, processor_s=0.1,
        first_failure="",
    )  # fmt: skip
    return msgspec.structs.replace(whole, **more)


def step(load: float, found: Taken, **more: float) -> Step:
    return Step(
        offered_per_s=load, in_time_per_s=load, seconds=5.0, kinds=found.kinds, statuses={}, granted=found.granted, hot_stock=5,
        limits=limits(found, (Spread(9, 0.1, 4.9, 29.0), Spread(9, 0.1, 1.0, 4.9))), first_failure="",
        **({"hub_processors": 0.1, "database_processors": 0.1, "load_processors": 0.1, "machine_processors": 0.3} | more),
    )  # fmt: skip


def test_what_is_just_within_every_promise_holds_and_past_one_breaks() -> None:
    assert step(100, taken()).broken == []
    late = {"sales": Answered(100, 100, 0, 5.0, WITHIN_MS["sales"] + 1)}
    for broken in (taken(kinds=late), taken(in_time=290), taken(unanswered=2)):
        assert len(step(100, broken).broken) == 1
    slow = limits(taken(), (Spread(9, 0.1, 5.1, 29.0), Spread(9, 0.1, 1.0, 5.1)))
    assert [limit.name for limit in slow if limit.strain > 1] == [
        "number to the web shop, p95",
        "zero to the web shop, p99",
    ]


def steps_up_to(load: float, granted: int = 5) -> list[Step]:
    bad = taken(in_time=100)
    good = taken(granted=granted)
    return [step(load, good), step(2 * load, bad), step(2 * load, bad)]


def test_a_verdict_says_what_holds_and_what_breaks_first() -> None:
    found = judged("black-friday", steps_up_to(500), 500, 0.5, [])
    assert (found.ok, found.knee_per_s, found.is_certain) == (True, 500, True)
    words = verdict_in_words(found)
    assert "every promise is kept up to 500 events a second" in words
    assert "then breaks answered within 1 s: 33.3%, at least 99.0% is promised" in words
    assert "✓ of 15 hot units 15 were promised, 0 too many" in words


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (judged("p", steps_up_to(499), 500, 0.5, []), "less than the 500 a second"),
        (
            judged("p", steps_up_to(500, granted=6), 500, 0.5, []),
            "✕ of 15 hot units 16 were promised, 1 too many",
        ),
        (judged("p", steps_up_to(500), 500, None, []), "✕ the web shop had every number not in time"),
        (judged("p", steps_up_to(500), 500, 0.5, ["a sum is wrong"]), "✕ a sum is wrong"),
    ],
)
def test_a_hub_that_bears_too_little_promises_too_much_or_does_not_recover_fails(
    found: Verdict, says: str
) -> None:
    assert not found.ok
    assert says in verdict_in_words(found)


def test_what_had_no_more_to_give_is_named() -> None:
    assert "the load itself" in bottleneck(step(1, taken(), load_processors=0.9))
    assert "this machine's" in bottleneck(step(1, taken(), hub_processors=60.0, machine_processors=70.0))
    assert "other programs used" in bottleneck(step(1, taken(), machine_processors=200.0))
    assert "another server" in bottleneck(step(1, taken(), hub_processors=0.9, machine_processors=1.1))
    assert "no processor" in bottleneck(step(1, taken()))


def test_a_promise_of_none_is_broken_by_one() -> None:
    assert Limit(name="x", found=1, bound=0, unit="ms").strain > 1
    assert Limit(name="x", found=0, bound=0, unit="ms").strain == 0


# Against a real hub


def test_a_tiny_peak_is_borne_and_its_flash_sale_promises_no_unit_twice(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("EVENSTOCK_")}
    with wiring.database(settings({"data": tmp_path / HUB}, environ), lambda _: None) as database:
        found = asyncio.run(Peak(TINY, tmp_path, environ, database, lambda _: None).measure(4.0, 1.0))
    assert found.violations == []
    assert found.overgranted == 0
    assert found.drained_s is not None
    assert sum(each.granted for each in found.steps) > 0
    assert {kind for each in found.steps for kind in each.kinds} == {"sales", "orders", "questions"}
    assert all(set(each.statuses) <= {"200", "201", "409"} for each in found.steps), [
        each.first_failure for each in found.steps
    ]


def test_a_profile_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    done = CliRunner().invoke(app, ["loadtest", "--profile", "black-fryday"])
    assert done.exit_code == 2
    assert "black-friday" in done.stderr
