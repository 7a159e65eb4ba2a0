"""Numbers: a till's own are kept, the agent's are never given twice, and what forgot its past begins a new epoch."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenstock.core.ordering import gaps
from evenstock.edge.numbering import LIFE_GAP_MAX, OUT_OF_ORDER_MAX, Life, Told, after, why_new_epoch

NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
EPOCH = "20261120-abcd"


@pytest.mark.parametrize(
    ("inode", "since", "why"),
    [
        (7, timedelta(0), None),
        (7, LIFE_GAP_MAX, None),
        (7, LIFE_GAP_MAX + timedelta(microseconds=1), "the store was not in use for more than 24 hours"),
        (7, -timedelta(microseconds=1), "the clock went back"),
        (8, timedelta(0), "the store's file is a copy"),
    ],
)
def test_a_new_epoch_begins_where_the_past_may_be_forgotten(
    inode: int, since: timedelta, why: str | None
) -> None:
    assert why_new_epoch(Life(EPOCH, 7, NOW), inode, NOW + since) == why


def told(*numbers: int) -> Told:
    found = Told()
    for number in numbers:
        found = after(found, number, EPOCH)
    return found


def test_a_till_that_begins_again_gets_an_epoch_from_then_on() -> None:
    assert told(1, 2, 3) == Told("", [1, 3])
    assert told(1, 2, 3, 1) == Told(f"{EPOCH}-1", [1, 1], 1)
    assert told(1, 2, 3, 1, 2, 3, 4, 5) == Told(f"{EPOCH}-1", [1, 5], 1)
    assert told(1, 2, 1, 2, 1) == Told(f"{EPOCH}-2", [1, 1], 2)


def test_a_till_that_was_set_back_to_an_old_image_gets_an_epoch_too() -> None:
    far = range(4000, 4000 + OUT_OF_ORDER_MAX + 3)
    assert told(*far, 4001) == Told(f"{EPOCH}-1", [4001, 4001], 1)
    assert told(*far, 1) == Told(f"{EPOCH}-1", [1, 1], 1)


def test_two_facts_of_one_ticket_and_late_ones_are_no_new_beginning() -> None:
    assert told(5, 6, 6, 7) == Told("", [5, 7])
    assert told(5, 6, 9, 7, 8) == Told("", [5, 9])
    assert told(5, 6, 7, 6) == Told("", [5, 7])
    assert told(60, 2) == Told("", [2, 2, 60, 60])


@given(st.lists(st.integers(1, 300), min_size=1, unique=True).map(sorted), st.randoms(use_true_random=False))
def test_numbers_that_come_once_each_and_nearly_in_order_never_begin_again(
    numbers: list[int], chance: random.Random
) -> None:
    late = sorted(numbers, key=lambda number: number + chance.random() * OUT_OF_ORDER_MAX)
    found = told(*late)
    assert found.epoch == ""
    assert sum(last - first + 1 for first, last in gaps(found.seen)) == numbers[-1] - numbers[0] + 1 - len(
        numbers
    )
