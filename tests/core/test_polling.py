"""How far a stream was read: whatever a system shows, and wherever it is cut off, nothing that changed is passed by."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from evenstock.core.polling import PAGES_MAX, Place, begun, given_up, is_long, moved, trouble

EPOCH = datetime(2026, 11, 20, tzinfo=UTC)
OVERLAP = timedelta(minutes=10)
LATEST = EPOCH + timedelta(days=1)


def at(second: int) -> datetime:
    return EPOCH + timedelta(seconds=second)


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 4_000), st.integers(0, int(OVERLAP.total_seconds()) - 1)), max_size=30
    ),
    looks=st.lists(st.integers(0, 6_000), max_size=20),
    page=st.integers(1, 3),
    crashes=st.sets(st.integers(0, 60)),
)
def test_what_changes_is_brought_however_late_it_is_shown_within_the_overlap(
    rows: list[tuple[int, int]], looks: list[int], page: int, crashes: set[int]
) -> None:
    """A row is dated when it changed, and shown up to an overlap later; crashes repeat a page or begin a pass anew."""
    place, brought, questions = Place(mark=EPOCH), set(), 0
    for now in [*sorted(looks), 10_000]:
        shown = sorted(row for row in rows if sum(row) <= now)
        while True:
            place = begun(place, OVERLAP)
            assert place.since is not None
            wanted = [row for row in shown if at(row[0]) >= place.since]
            start = int(place.after or 0)
            found = wanted[start : start + page]
            questions += 1
            if questions in crashes:
                place = given_up(place)
                crashes = crashes - {questions}
                continue
            brought.update(found)
            end = start + page
            mark = at(found[-1][0]) if found else None
            place = moved(place, mark, str(end) if end < len(wanted) else None, LATEST)
            if place.since is None:
                break
    assert brought == set(rows)


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
def test_a_mark_goes_neither_back_nor_past_now(was: int, said: int) -> None:
    place = moved(Place(mark=at(was)), at(said), None, at(500_000))
    assert place.mark == max(at(was), min(at(said), at(500_000)))


def test_pages_that_come_again_and_pages_that_lead_nowhere_are_told_apart_from_long_answers() -> None:
    place = moved(begun(Place(mark=EPOCH), OVERLAP), None, "2", LATEST)
    assert (trouble(place, OVERLAP, set()), trouble(place, OVERLAP, {"2"})) == ("", "repeats")
    longest = Place(mark=EPOCH, since=EPOCH - OVERLAP, after="x", pages=PAGES_MAX)
    almost = Place(mark=EPOCH, since=EPOCH - OVERLAP, after="x", pages=PAGES_MAX - 1)
    further = Place(mark=at(1), since=EPOCH - OVERLAP, after="x", pages=PAGES_MAX)
    assert [(trouble(each, OVERLAP, set()), is_long(each)) for each in (almost, longest, further)] == [
        ("", False),
        ("endless", True),
        ("", True),
    ]
    over = moved(longest, None, None, LATEST)
    assert (trouble(over, OVERLAP, {"x"}), over.since, over.pages) == ("", None, 0)
