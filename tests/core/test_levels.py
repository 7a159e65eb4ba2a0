"""A service level is kept up to its bound and missed beyond it."""

import pytest

from evenstock.core.levels import Share, Spread, Target, level


@pytest.mark.parametrize(
    ("found", "target", "verdict"),
    [
        (Spread(9, 0.1, 1.0, 5.0), Target("p95", 1.0), "kept"),
        (Spread(9, 0.1, 1.001, 5.0), Target("p95", 1.0), "missed"),
        (Spread(9, 0.1, 1.0, 5.001), Target("p99", 5.0), "missed"),
        (Spread(0), Target("p99", 5.0), "nothing to judge"),
        (Share(99, 100), Target("rate", 0.99), "kept"),
        (Share(989, 1000), Target("rate", 0.99), "missed"),
        (Share(0, 0), Target("rate", 0.99), "nothing to judge"),
        (0, Target("count", 0), "kept"),
        (1, Target("count", 0), "missed"),
    ],
)
def test_a_level_is_kept_at_its_bound_and_missed_past_it(
    found: Spread | Share | int, target: Target, verdict: str
) -> None:
    assert level("one", "", found, [target]).verdict == verdict


def test_one_bound_that_is_missed_misses_the_level() -> None:
    both = (Target("p95", 1.0), Target("p99", 5.0))
    assert level("one", "", Spread(9, 0.1, 0.5, 6.0), both).verdict == "missed"
    assert level("one", "", Spread(9, 0.1, 0.5, 5.0), both).verdict == "kept"


def test_a_bound_of_another_kind_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="no figure of a Share"):
        level("one", "", Share(1, 1), [Target("p95", 1.0)])
