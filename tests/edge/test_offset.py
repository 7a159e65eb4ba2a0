"""The clock: what answers say of it is never wrong, and gets better with each."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from evenstock.core.intake import CLOCK_TOLERANCE
from evenstock.edge.offset import Offset, Offsets

START = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
SHORT = st.floats(0, 5).map(lambda seconds: timedelta(seconds=seconds))
ANSWERS = st.lists(st.tuples(st.floats(0, 100), SHORT, SHORT, st.floats(0, 1.4)), min_size=1, max_size=60)


def heard(
    offsets: Offsets, ahead: timedelta, answers: list[tuple[float, timedelta, timedelta, float]]
) -> None:
    """Questions to a hub whose date is cut to the second and up to 1.4 s old."""
    at = START
    for pause, there, back, age in answers:
        at += timedelta(seconds=pause)
        date = (at + there - timedelta(seconds=age)).replace(microsecond=0)
        offsets.hear(at + ahead, date, at + there + back + ahead)
        at += there + back


@given(st.floats(-1e7, 1e7), ANSWERS)
def test_the_true_offset_is_always_within_what_is_said(
    ahead_s: float, answers: list[tuple[float, timedelta, timedelta, float]]
) -> None:
    offsets = Offsets()
    heard(offsets, timedelta(seconds=ahead_s), answers)
    found = offsets.now
    assert found is not None
    assert abs(found.seconds - ahead_s) <= found.within + 0.002


def test_nothing_is_said_before_an_answer() -> None:
    assert Offsets().now is None


def test_a_clock_that_is_set_is_known_with_the_next_answer() -> None:
    offsets = Offsets()
    quick = [(1.0, timedelta(0), timedelta(0), 0.0)] * 40
    heard(offsets, timedelta(hours=2), quick)
    assert offsets.now is not None
    assert offsets.now.is_far
    heard(offsets, timedelta(0), quick[:1])
    assert offsets.now is not None
    assert abs(offsets.now.seconds) <= offsets.now.within


def test_a_clock_set_back_between_question_and_answer_says_nothing() -> None:
    offsets = Offsets()
    offsets.hear(START, START, START - timedelta(hours=1))
    assert offsets.now is None


def test_far_is_what_the_hub_calls_skew() -> None:
    limit = CLOCK_TOLERANCE.total_seconds()
    assert [Offset(s, 1).is_far for s in (limit, limit + 0.001, -limit, -limit - 0.001)] == [
        False, True, False, True,
    ]  # fmt: skip
