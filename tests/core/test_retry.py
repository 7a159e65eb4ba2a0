"""When to try again: ever later, never too late, and never all at once."""

from hypothesis import given
from hypothesis import strategies as st

from evenstock.core.retry import (
    ASKED_MAX_S,
    FIRST_S,
    LONGEST_S,
    SAVED_MAX,
    SHARE,
    earned,
    wait_s,
)

CHANCE = st.floats(0, 1)


@given(st.integers(1, 10_000), CHANCE)
def test_a_wait_is_never_longer_than_the_longest(failures: int, chance: float) -> None:
    assert 0 <= wait_s(failures, chance) <= LONGEST_S


def test_the_longest_wait_doubles_until_it_is_long_enough() -> None:
    assert [wait_s(failures, 1.0) for failures in (1, 2, 3, 4)] == [
        FIRST_S,
        FIRST_S * 2,
        FIRST_S * 4,
        FIRST_S * 8,
    ]
    assert wait_s(100, 1.0) == LONGEST_S


@given(st.integers(1, 100), CHANCE, st.floats(0, ASKED_MAX_S))
def test_whoever_names_a_time_is_not_asked_before_it(failures: int, chance: float, asked: float) -> None:
    assert asked <= wait_s(failures, chance, asked) <= asked + LONGEST_S


def test_a_time_beyond_belief_is_not_waited_for() -> None:
    assert wait_s(1, 0.0, 1e9) == ASKED_MAX_S


def test_those_who_failed_together_do_not_come_back_together() -> None:
    assert len({wait_s(3, step / 10) for step in range(11)}) == 11


CALLS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=200)


@given(CALLS)
def test_retries_in_place_of_something_new_are_a_tenth_of_what_is_new(calls: list[tuple[int, int]]) -> None:
    budget, first, again = 0.0, 0, 0
    for fresh, wanted in calls:
        retried = min(wanted, int(budget))
        first, again = first + fresh, again + retried
        budget = earned(budget, first=fresh, again=retried)
        assert again <= SHARE * first + 1e-6
        assert 0 <= budget <= SAVED_MAX


def test_what_is_saved_has_an_end_and_nothing_is_owed() -> None:
    assert earned(SAVED_MAX, first=10_000, again=0) == SAVED_MAX
    assert earned(1.0, first=0, again=500) == 0.0
