"""The desk, in memory: what is placed where, and that shipping, releasing and closing commute (K3)."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from evenstock.core import exposure
from evenstock.core.availability import PositionRow
from evenstock.core.booking import Position, PositionKey
from evenstock.core.channels import Terms
from evenstock.core.quantity import Quantity
from evenstock.core.reservations import (
    Answer,
    Asked,
    ClaimBook,
    Command,
    Confirm,
    Desk,
    Dock,
    Locked,
    Refused,
    Release,
    Reserve,
    Shipped,
    place,
)

NOW = datetime(2026, 3, 4, 9, tzinfo=UTC)
ITEMS = (1, 2)
PLACES = (1, 2, 3)

stock = st.dictionaries(st.tuples(st.sampled_from(ITEMS), st.sampled_from(PLACES)), st.integers(-2, 6))
lines = st.lists(
    st.tuples(st.sampled_from(ITEMS), st.integers(1, 5), st.sampled_from((None, *PLACES))),
    min_size=1,
    max_size=4,
)


def asked(*wanted: tuple[int, int, int | None]) -> tuple[Asked, ...]:
    return tuple(
        Asked(str(index), item, f"sku-{item}", 0, units, pickup)
        for index, (item, units, pickup) in enumerate(wanted, 1)
    )


def desk(units: dict[PositionKey, int]) -> Desk:
    positions = {key: Position((sellable, 0, 0, 0)) for key, sellable in units.items()}
    spots = {(item, place) for item in ITEMS for place in PLACES}
    orders = {(1, f"O-{number}") for number in range(9)}
    return Desk(ClaimBook(NOW, Locked(positions, spots, (), orders)))


def reserve(number: int, wanted: tuple[Asked, ...], *, all_or_nothing: bool = True) -> Reserve:
    return Reserve(
        reservation_id=number,
        channel_id=1,
        channel="web",
        order_ref=f"O-{number}",
        asked=wanted,
        terms=Terms(PLACES, safety_stock=1),
        all_or_nothing=all_or_nothing,
    )


@given(stock, lines)
def test_nothing_is_placed_beyond_what_is_offered_and_nothing_is_left_out_that_fits(
    units: dict[PositionKey, int], wanted: list[tuple[int, int, int | None]]
) -> None:
    def offer(line: Asked, location: int) -> int:
        return max(0, units.get((line.item_id, location), 0))

    placed, short = place(asked(*wanted), PLACES, offer)
    taken: dict[PositionKey, int] = {}
    for each in placed:
        key = (each.asked.item_id, each.location_id)
        taken[key] = taken.get(key, 0) + each.units
        assert each.asked.pickup in {None, each.location_id}
    assert all(number <= max(0, units.get(key, 0)) for key, number in taken.items())
    for lacking in short:
        where = PLACES if lacking.asked.pickup is None else (lacking.asked.pickup,)
        assert all(
            units.get((lacking.asked.item_id, location), 0) <= taken.get((lacking.asked.item_id, location), 0)
            for location in where
        )


SHELF = st.tuples(
    st.integers(-5, 30), st.integers(0, 20), st.integers(0, 20)
)  # sellable, reserved, allocated


@given(
    st.dictionaries(st.sampled_from(PLACES), SHELF),
    st.lists(st.sampled_from(PLACES), unique=True),
    st.integers(0, 6),
)
def test_a_channel_can_promise_what_it_is_told_to_the_unit_and_not_one_more(
    shelves: dict[int, tuple[int, int, int]], sells_from: list[int], safety_stock: int
) -> None:
    rows = [
        PositionRow(str(place), (sellable, 9, 9, 9), reserved, allocated)
        for place, (sellable, reserved, allocated) in shelves.items()
    ]
    told = exposure.number(exposure.Terms(frozenset(map(str, sells_from)), safety_stock), 0, rows)
    terms = Terms(tuple(sells_from), safety_stock=safety_stock)
    positions = {
        (1, place): Position((sellable, 9, 9, 9), reserved, allocated)
        for place, (sellable, reserved, allocated) in shelves.items()
    }
    spots = {(1, place) for place in PLACES}

    def ask(units: int) -> Answer | Refused:
        book = ClaimBook(NOW, Locked(positions, spots, (), {(1, "O-1")}))
        return Desk(book).do(replace(reserve(1, asked((1, units, None))), terms=terms))

    assert isinstance(ask(told + 1), Refused)
    if told:
        answer = ask(told)
        assert isinstance(answer, Answer)
        assert sum(int(bytes(line.reserved)) for line in answer.reservation.lines) == told


@given(stock, st.lists(st.tuples(lines, st.booleans()), max_size=6))
def test_the_counters_are_the_open_claims_and_never_beyond_the_offer(
    units: dict[PositionKey, int], orders: list[tuple[list[tuple[int, int, int | None]], bool]]
) -> None:
    one = desk(units)
    for number, (wanted, whole) in enumerate(orders, 1):
        before = len(one.book.entries)
        answer = one.do(reserve(number, asked(*wanted), all_or_nothing=whole))
        if isinstance(answer, Refused):
            assert len(one.book.entries) == before
    claimed: dict[PositionKey, int] = {}
    for found in one.book.touched.values():
        for claim in found.claims:
            claimed[claim.spot] = claimed.get(claim.spot, 0) + claim.open
    assert {key: reserved for key, (reserved, _) in one.book.changes().items()} == claimed
    assert all(number <= max(0, units.get(key, 0) - 1) for key, number in claimed.items())


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("ship"), st.integers(1, 3)),
        st.tuples(st.just("release"), st.integers(1, 3)),
        st.tuples(st.just("confirm"), st.just(0)),
    ),
    max_size=4,
)


@given(EVENTS, st.randoms(use_true_random=False))
def test_shipping_releasing_and_confirming_commute_while_the_reservation_lives(
    events: list[tuple[str, int]], dice: object
) -> None:
    """Together at most what was granted: in any order the same is open, shipped and released."""
    total = sum(units for _, units in events)
    shuffled = list(enumerate(events))
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    ends = []
    for order in (list(enumerate(events)), shuffled):
        one = desk({(1, 1): 20})
        assert isinstance(one.do(reserve(1, asked((1, total + 1, 1)))), Answer)
        for index, (kind, units) in order:
            if kind == "ship":
                Dock(one.book).ship(Shipped(index, "O-1", 1, 1, units), "O-1", None)
            else:
                one.do(command(index, kind, units))
        (claim,) = one.book.reservations[1].claims
        ends.append((claim.open, claim.shipped, claim.released, one.book.changes()))
    assert ends[0] == ends[1]


def test_units_that_were_given_back_are_not_promised_again_when_their_shipment_is_voided() -> None:
    """One of two had left before the order came; both were given back; then the one had never left (example 35)."""
    one = desk({(1, 1): 20})
    left = Shipped(7, "O-1", 1, 1, 1)
    book = one.book
    at_the_desk = Desk(book, unclaimed=[left])
    assert isinstance(at_the_desk.do(reserve(1, asked((1, 2, 1)))), Answer)
    found = book.reservations[1]
    assert [(claim.granted, claim.shipped) for claim in found.claims] == [(1, 0), (1, 1)]
    answer = at_the_desk.do(command(1, "release", 2))
    assert isinstance(answer, Answer)
    assert [(bytes(row.released), bytes(row.excess)) for row in answer.reservation.released] == [(b"1", b"1")]
    Dock(book).unship(replace(left, reservation_id=1, claim_no=2))
    assert (found.open, found.status) == (0, "released")


def command(index: int, kind: str, units: int) -> Command:
    if kind == "confirm":
        return Confirm(1)
    return Release(1, f"key-{index}", b"", None, (("1", Quantity(units)),))
