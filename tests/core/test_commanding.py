"""What systems that work at locations are commanded, in memory: stories of one order, and that batching changes nothing."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from test_desk import NOW

from evenstock.core.booking import Position
from evenstock.core.channels import Terms
from evenstock.core.commanding import Change, Draft, Worker, changes, commands
from evenstock.core.quantity import Quantity
from evenstock.core.reservations import (
    Allocate,
    Asked,
    ClaimBook,
    Command,
    Confirm,
    Desk,
    Dock,
    Locked,
    Release,
    Reserve,
    Shipped,
)

DC, STORE = 1, 2
WMS, APP = Worker(71), Worker(72)
ITEM, OTHER = 1, 2
SPOTS = {(item, place) for item in (ITEM, OTHER) for place in (DC, STORE)}


class Floor:
    """One order of two lines that are picked up at DC1, and what the systems of DC1 and of the store are told."""

    def __init__(self, workers: dict[int, Worker] | None = None) -> None:
        self.workers = {DC: WMS, STORE: APP} if workers is None else workers
        self.told: dict[tuple[int, str, int], list[tuple[Worker, int]]] = {}
        positions = {spot: Position((100, 0, 0, 0)) for spot in SPOTS}
        self.book = ClaimBook(NOW, Locked(positions, SPOTS, (), {(None, "O-1")}))
        self.desk = Desk(self.book)
        asked = (Asked("1", ITEM, "TEE", 0, 3, DC), Asked("2", OTHER, "CUP", 0, 1, DC))
        self.do(
            Reserve(
                reservation_id=1, channel_id=None, channel=None, order_ref="O-1", asked=asked, terms=Terms()
            )
        )

    def do(self, *wanted: Command | Shipped | tuple[Shipped, str]) -> list[str]:
        """A batch; what was commanded because of it."""
        self.book.entries, self.book.matters = [], []
        dock = Dock(self.book)
        for each in wanted:
            match each:
                case Shipped():
                    self.book.begin()
                    dock.ship(each, "O-1", None)
                case (Shipped() as shipped, _):
                    self.book.begin()
                    dock.unship(shipped)
                case _:
                    self.desk.do(each)
        drafts = commands(changes(self.book), self.workers, self.told)
        for draft in drafts:
            sign = 1 if draft.kind == "pick" else -1
            for line in draft.lines:
                key = (draft.reservation_id, line.line, draft.location_id)
                shares = dict(self.told.get(key, []))
                shares[draft.worker] = shares.get(draft.worker, 0) + sign * line.units
                self.told[key] = [(worker, units) for worker, units in shares.items() if units]
        return said(drafts)


def said(drafts: Iterable[Draft]) -> list[str]:
    """`wms pick 1×3 2×1 at dc`."""
    names = {71: "wms", 72: "app", 73: "other"}
    places = {DC: "dc", STORE: "store"}
    return [
        f"{names[each.worker.connection_id]} {each.kind} "
        + " ".join(f"{line.line}×{line.units}" for line in each.lines)
        + f" at {places[each.location_id]}"
        + ("" if each.worker.is_told else ", unsent")
        for each in drafts
    ]


def left(units: int, item: int = ITEM, place: int = DC, fact: int = 1) -> Shipped:
    return Shipped(fact, "O-1", item, place, units)


def some(*lines: tuple[str, int], key: str = "k") -> Release:
    return Release(1, key, lines=tuple((line, Quantity(units)) for line, units in lines))


ALLOCATE = Allocate(1)


def test_a_cart_owes_nobody_anything_and_an_allocated_order_is_to_be_picked_once() -> None:
    floor = Floor()
    assert floor.do(Confirm(1)) == []
    assert floor.do(ALLOCATE) == ["wms pick 1×3 2×1 at dc"]
    assert floor.do(ALLOCATE, ALLOCATE) == []


def test_what_is_given_back_is_cancelled_line_by_line() -> None:
    floor = Floor()
    floor.do(ALLOCATE)
    assert floor.do(some(("1", 2))) == ["wms cancel 1×2 at dc"]
    assert floor.do(some(("1", 2))) == [], "the same release again"
    assert floor.do(Release(1)) == ["wms cancel 1×1 2×1 at dc"]
    assert floor.do(Release(1)) == []


def test_in_one_batch_a_cancel_does_not_take_the_place_of_its_pick() -> None:
    assert Floor().do(ALLOCATE, some(("1", 1), key="a"), some(("1", 1), key="b"), Release(1)) == [
        "wms pick 1×3 2×1 at dc",
        "wms cancel 1×1 at dc",
        "wms cancel 1×1 at dc",
        "wms cancel 1×1 2×1 at dc",
    ]


def test_an_order_that_moves_is_cancelled_here_and_picked_there() -> None:
    floor = Floor()
    floor.do(ALLOCATE)
    assert floor.do(Allocate(1, STORE)) == ["wms cancel 1×3 2×1 at dc", "app pick 1×3 2×1 at store"]
    assert floor.do(Allocate(1, STORE)) == []
    assert floor.do(Allocate(1, DC)) == ["app cancel 1×3 2×1 at store", "wms pick 1×3 2×1 at dc"]


def test_what_left_from_its_location_was_picked_and_is_not_cancelled() -> None:
    floor = Floor()
    floor.do(ALLOCATE)
    assert floor.do(left(2)) == []
    assert floor.do(Release(1)) == ["wms cancel 1×1 2×1 at dc"]


def test_what_left_from_elsewhere_is_not_to_be_picked_any_more() -> None:
    floor = Floor()
    floor.do(ALLOCATE)
    assert floor.do(left(2, place=STORE)) == ["wms cancel 1×2 at dc"]
    assert floor.do((Shipped(1, "O-1", ITEM, STORE, 2, 1, 1), "void")) == ["wms pick 1×2 at dc"]


def test_a_shipment_that_never_was_leaves_its_pick_as_it_was() -> None:
    floor = Floor()
    floor.do(ALLOCATE)
    floor.do(left(3))
    assert floor.do((Shipped(1, "O-1", ITEM, DC, 3, 1, 1), "void")) == []
    assert floor.do(Release(1)) == ["wms cancel 1×3 2×1 at dc"]


def test_where_nobody_works_nobody_is_told_and_what_nobody_was_told_is_not_cancelled() -> None:
    floor = Floor({})
    assert floor.do(ALLOCATE) == []
    floor.workers = {DC: WMS}
    assert floor.do(some(("1", 1))) == []
    assert floor.do(Allocate(1, STORE), Allocate(1, DC)) == ["wms pick 1×2 2×1 at dc"]


def test_whoever_was_told_to_pick_is_told_to_cancel_whoever_works_there_by_now() -> None:
    floor = Floor()
    floor.do(ALLOCATE)
    floor.workers = {DC: Worker(73)}
    assert floor.do(some(("1", 1))) == ["wms cancel 1×1 at dc"]
    assert floor.do(Allocate(1, STORE), ALLOCATE, Allocate(1, DC)) == [
        "wms cancel 1×2 2×1 at dc",
        "other pick 1×2 2×1 at dc",
    ]


def test_what_was_only_written_down_is_cancelled_in_writing_only() -> None:
    floor = Floor({DC: Worker(71, is_told=False)})
    assert floor.do(ALLOCATE) == ["wms pick 1×3 2×1 at dc, unsent"]
    floor.workers = {DC: WMS}
    assert floor.do(Release(1)) == ["wms cancel 1×3 2×1 at dc, unsent"]


works = st.builds(
    lambda matter, line, place, units: (matter, line, place, units),
    st.booleans(), st.sampled_from("12"), st.sampled_from((DC, STORE)), st.sampled_from((-3, -1, 1, 2)),
)  # fmt: skip


@given(st.lists(works, max_size=30), st.integers(0, 30))
def test_any_batching_of_the_same_matters_makes_the_same_commands(
    steps: list[tuple[bool, str, int, int]], cut: int
) -> None:
    """Changes come in matters (a new one where a step says so); they are decided at once, or in two batches between two matters."""
    matter, changed = 0, []
    for begins, line, place, units in steps:
        matter += begins
        changed.append(Change(matter, 1, line, int(line), place, units))
    cut = next((index for index in range(cut, len(changed)) if steps[index][0]), len(changed))
    workers = {DC: WMS, STORE: APP}
    told: dict[tuple[int, str, int], list[tuple[Worker, int]]] = {}
    whole = commands(changed, workers, {})
    first = commands(changed[:cut], workers, {})
    for draft in first:
        for line_ in draft.lines:
            key = (1, line_.line, draft.location_id)
            before = told[key][0][1] if key in told else 0
            told[key] = [(draft.worker, before + (line_.units if draft.kind == "pick" else -line_.units))]
    assert [*first, *commands(changed[cut:], workers, told)] == whole
    for draft in whole:
        assert len({line_.line for line_ in draft.lines}) == len(draft.lines)
