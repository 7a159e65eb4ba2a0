"""When a system is closed, by the clock of its place; and how fast it is asked."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenstock.core.pacing import FREE_PER_S, SLOWEST_PER_S, START_PER_S, gap_s, paced
from evenstock.core.windows import AHEAD_MAX, Closed, opens_at

NIGHT = Closed(begin="22:00", end="02:00", timezone="Europe/Amsterdam")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-20T20:59:59+00:00", None),
        ("2026-11-20T21:00:00+00:00", "2026-11-21T01:00:00+00:00"),
        ("2026-11-21T00:30:00+00:00", "2026-11-21T01:00:00+00:00"),
        ("2026-11-21T01:00:00+00:00", None),
        ("2026-07-01T20:00:00+00:00", "2026-07-02T00:00:00+00:00"),
    ],
)
def test_a_night_of_maintenance_ends_by_the_clock_of_its_place(now: str, opens: str | None) -> None:
    assert opens_at([NIGHT], at(now)) == at(opens or now)


def test_the_night_on_which_the_clocks_change_is_as_long_as_it_is() -> None:
    night = Closed(begin="01:00", end="04:00", timezone="Europe/Amsterdam")
    assert opens_at([night], at("2026-10-24T23:00:00+00:00")) == at("2026-10-25T03:00:00+00:00")


def test_windows_that_follow_each_other_are_one() -> None:
    windows = [NIGHT, Closed(begin="02:00", end="03:00", timezone="Europe/Amsterdam")]
    assert opens_at(windows, at("2026-11-20T23:00:00+00:00")) == at("2026-11-21T02:00:00+00:00")


def test_a_window_of_some_days_begins_on_them_only() -> None:
    friday = Closed(begin="22:00", end="02:00", days=("fri",))
    assert opens_at([friday], at("2026-11-21T01:00:00+00:00")) == at("2026-11-21T02:00:00+00:00")
    assert opens_at([friday], at("2026-11-22T01:00:00+00:00")) == at("2026-11-22T01:00:00+00:00")


def test_a_system_that_is_never_open_is_looked_at_again_one_day() -> None:
    always = [Closed(begin="00:00", end="12:00"), Closed(begin="12:00", end="00:00")]
    now = at("2026-11-21T01:00:00+00:00")
    assert opens_at(always, now) - now >= AHEAD_MAX


@pytest.mark.parametrize(
    "wrong",
    [{"end": "22:00"}, {"timezone": "Nowhere"}, {"timezone": "0Êã="}, {"timezone": ""}, {"begin": "24:00"}],
)
def test_a_window_that_cannot_be_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"begin": "22:00", "end": "02:00"} | wrong, Closed)


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(2026, 1, 1), max_value=datetime(2027, 1, 1)))  # noqa: DTZ001 - hypothesis wants them so
def test_when_it_opens_it_is_open(now: datetime) -> None:
    opens = opens_at([NIGHT], now)
    assert opens >= now
    assert NIGHT.ends(opens) is None


def test_a_complaint_halves_the_pace_and_answers_raise_it_until_it_is_free() -> None:
    assert paced(None, None, complained=False) is None
    pace = paced(None, None, complained=True)
    assert pace == START_PER_S / 2
    assert paced(pace, None, complained=True) == START_PER_S / 4
    answers = 0
    while pace is not None:
        pace = paced(pace, None, complained=False)
        answers += 1
    assert 30 < answers < 100
    assert gap_s(None, None) == 0


def test_a_pace_never_passes_the_operators_limit_and_never_ends() -> None:
    assert gap_s(None, 4.0) == 0.25
    assert gap_s(2.0, 4.0) == 0.5
    assert paced(None, 4.0, complained=True) == 2.0
    pace: float | None = 1.0
    for _ in range(100):
        pace = paced(pace, None, complained=True)
    assert pace == SLOWEST_PER_S
    assert paced(FREE_PER_S, None, complained=False) is None
