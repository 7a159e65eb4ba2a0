"""What a channel is told: the rule, and that its explanation adds up to it, always."""

from hypothesis import given
from hypothesis import strategies as st

from evenstock.core.availability import PositionRow
from evenstock.core.exposure import LOW, Terms, explained, number, rank
from evenstock.core.ledger import BUCKETS, Vector

PLACES = ("A", "B", "C", "D")
UNITS = st.integers(-20, 60)


@st.composite
def rows(draw: st.DrawFn) -> list[PositionRow]:
    """Positions of an item, odd ones too: below zero, promised beyond what there is."""
    found = []
    for location in draw(st.lists(st.sampled_from(PLACES), unique=True)):
        reserved, allocated = draw(st.integers(0, 30)), draw(st.integers(0, 30))
        vector: Vector = (draw(UNITS), draw(UNITS), draw(UNITS), draw(UNITS))
        found.append(
            PositionRow(location, vector, reserved, allocated, own=draw(st.integers(0, reserved + allocated)))
        )
    return found


TERMS = st.builds(
    Terms,
    locations=st.frozensets(st.sampled_from(PLACES)),
    safety_stock=st.integers(0, 12),
    buckets=st.sampled_from(
        [("sellable",), ("sellable", "quarantine", "damaged"), ("sellable", "in_transit"), BUCKETS]
    ),
    own_orders_back=st.booleans(),
    decimals=st.integers(0, 3),
)


def in_other_words(terms: Terms, scale: int, positions: list[PositionRow]) -> int:
    """DESIGN §5, said once more, without steps."""
    total = 0
    for row in positions:
        if row.location in terms.locations:
            units = sum(row.buckets[BUCKETS.index(bucket)] for bucket in terms.buckets)
            claimed = row.reserved + row.allocated - (row.own if terms.own_orders_back else 0)
            total += max(0, max(0, units - claimed) - terms.safety_stock * int(10**scale))
    step = int(10 ** max(0, scale - terms.decimals))
    return total // step * step


@given(TERMS, st.integers(0, 3), rows())
def test_the_explanation_adds_up_to_the_number_always(
    terms: Terms, scale: int, positions: list[PositionRow]
) -> None:
    found = explained(terms, scale, positions)
    assert sum(term.units for term in found) == number(terms, scale, positions)
    for term in found:
        assert term.label == "rounding" or sum(units for _, units in term.parts) == term.units


@given(TERMS, st.integers(0, 3), rows())
def test_the_number_is_the_formula(terms: Terms, scale: int, positions: list[PositionRow]) -> None:
    assert number(terms, scale, positions) == in_other_words(terms, scale, positions)


@given(TERMS, st.integers(0, 3), rows())
def test_a_number_is_never_negative_and_never_above_what_there_is(
    terms: Terms, scale: int, positions: list[PositionRow]
) -> None:
    there = sum(
        max(0, sum(row.buckets[BUCKETS.index(bucket)] for bucket in terms.buckets)) for row in positions
    )
    units = number(terms, scale, positions)
    assert 0 <= units <= there


def test_each_location_keeps_its_own_safety_stock_and_never_lends_to_another() -> None:
    terms = Terms(frozenset({"A", "B"}), safety_stock=3)
    positions = [PositionRow("A", (2, 0, 0, 0)), PositionRow("B", (10, 1, 2, 5), reserved=4)]
    assert number(terms, 0, positions) == 3
    assert [(term.label, term.units, term.parts) for term in explained(terms, 0, positions)] == [
        ("on_hand", 15, (("A", 2), ("B", 13))),
        ("quarantine", -1, (("B", -1),)),
        ("damaged", -2, (("B", -2),)),
        ("reserved", -4, (("B", -4),)),
        ("safety_stock", -5, (("A", -2), ("B", -3))),
    ]


def test_a_location_that_is_overcommitted_takes_nothing_from_another() -> None:
    terms = Terms(frozenset({"A", "B"}))
    positions = [PositionRow("A", (1, 0, 0, 0), reserved=4), PositionRow("B", (5, 0, 0, 0))]
    assert number(terms, 0, positions) == 5
    assert ("overcommitted", 3) in [(term.label, term.units) for term in explained(terms, 0, positions)]


def test_what_lies_elsewhere_is_shown_and_not_counted() -> None:
    terms = Terms(frozenset({"A"}))
    positions = [PositionRow("A", (1, 0, 0, 0)), PositionRow("C", (7, 0, 0, 0))]
    assert number(terms, 0, positions) == 1
    assert explained(terms, 0, positions)[1].parts == (("C", -7),)


def test_a_system_that_takes_off_its_own_orders_is_told_the_number_before_them() -> None:
    positions = [PositionRow("A", (10, 0, 0, 0), reserved=5, own=2)]
    net, gross = Terms(frozenset({"A"})), Terms(frozenset({"A"}), own_orders_back=True)
    assert (number(net, 0, positions), number(gross, 0, positions)) == (5, 7)


def test_decimals_that_a_system_does_not_take_are_cut_off() -> None:
    terms = Terms(frozenset({"A"}), decimals=0)
    assert number(terms, 3, [PositionRow("A", (2_750, 0, 0, 0))]) == 2_000
    assert number(Terms(frozenset({"A"}), decimals=2), 3, [PositionRow("A", (2_755, 0, 0, 0))]) == 2_750


def test_zero_comes_first_and_low_before_the_rest() -> None:
    ranks = [rank(units, 0) for units in (0, 1, LOW, LOW + 1, 500)]
    assert ranks == sorted(ranks)
    assert ranks[0] < ranks[1] == ranks[2] < ranks[3] == ranks[4]
    assert rank(LOW * 1000, 3) == ranks[2] < rank(LOW * 1000 + 1, 3)
