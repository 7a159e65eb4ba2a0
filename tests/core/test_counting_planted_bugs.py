"""The claims are worth what they find: each bug planted here must be found, or the claim it should break is empty (§7).

A bug is one seam replaced by a plausible mistake. The same properties then run on a fixed sequence of cases until one
fails. One mistake of the list is none (the last test): it stays here so that nobody looks for it again.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from model import Fact, Line, ModelLedger
from test_counting_properties import (
    INSTANTS,
    ITEM,
    arrival_strategy,
    check_counts_hold,
    check_every_batch,
    check_two_orders,
    two_arrivals_strategy,
)

from evenstock.core import counting
from evenstock.core.counting import Correction, Loaded, Rebased
from evenstock.core.ledger import BUCKETS, Count, Place, Scope, Vector, bucket_of

CASES_MAX = 600
BUDGET = settings(
    max_examples=CASES_MAX,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)

Plant = Callable[[pytest.MonkeyPatch], None]
rebase, outflow = counting.rebase, counting.outflow
just_before = counting._just_before
load, standing_from = ModelLedger._load, ModelLedger._standing_from


def fast_on_equal_instant(patch: pytest.MonkeyPatch) -> None:
    """A sale at the very instant of a count takes the fast path and survives it (C5)."""
    patch.setattr(counting, "is_late", lambda at, mark: mark is not None and at < mark)


def no_rebase(patch: pytest.MonkeyPatch) -> None:
    """Late facts move the stock of today, as everywhere else."""
    patch.setattr(counting, "is_late", lambda _at, _mark: False)


def residual_never_consumed(patch: pytest.MonkeyPatch) -> None:
    """Each later count absorbs the late fact again (C6)."""
    patch.setattr(counting, "_taken", lambda change, _count, _difference: change)


def late_count_blind_to_later_ones(patch: pytest.MonkeyPatch) -> None:
    """A count that arrives late does not ask for the counts after it (example 6)."""

    def blind(
        self: ModelLedger, position: tuple[str, str], lowest: datetime, new: Sequence[Count]
    ) -> list[Count]:
        return [] if new else standing_from(self, position, lowest, new)

    patch.setattr(ModelLedger, "_standing_from", blind)


def void_classed_by_its_own_direction(patch: pytest.MonkeyPatch) -> None:
    """The void of a sale inside an interval is taken for a receipt, as it comes in with the batch (C7)."""
    patch.setattr(counting, "_left_inside", _left_inside_by_own_direction)


def kept_void_classed_by_its_own_direction(patch: pytest.MonkeyPatch) -> None:
    """The same in what was loaded: the void was there before the count (C7)."""

    def load_by_own_direction(self: ModelLedger, position: tuple[str, str], count: Count) -> Loaded:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(counting, "outflow", _outflow_by_own_direction)
            return load(self, position, count)

    patch.setattr(ModelLedger, "_load", load_by_own_direction)


def ties_ignored(patch: pytest.MonkeyPatch) -> None:
    """A new count takes the counts of its instant with a greater key for earlier ones (C5)."""
    patch.setattr(counting, "_just_before", lambda _count, balance, _old: balance)


def ties_ignored_of_voided_counts(patch: pytest.MonkeyPatch) -> None:
    """The same, only where the other count of the instant is voided by this batch."""

    def without_voided(**given_: Any) -> Rebased:
        gone = {void.count.count_id for void in given_["voided"]}
        patch.setattr(
            counting,
            "_just_before",
            lambda count, balance, old: just_before(
                count, balance, [o for o in old if o.count_id not in gone]
            ),
        )
        return rebase(**given_)

    patch.setattr(counting, "rebase", without_voided)


def counts_of_an_instant_by_arrival(patch: pytest.MonkeyPatch) -> None:
    """The last to arrive stands, instead of the last by key (C5)."""

    def by_arrival(event: counting.Event) -> tuple[datetime, bool, int]:
        if isinstance(event, counting.Delta):
            return (event.at, False, event.fact_id)
        count = event if isinstance(event, Count) else event.count
        return (count.counted_at, True, count.count_id)

    patch.setattr(counting, "_order", by_arrival)


def counts_before_deltas_of_an_instant(patch: pytest.MonkeyPatch) -> None:
    """A sale at the instant of a count is taken to come after it (C5)."""
    order = counting._order
    patch.setattr(counting, "_order", lambda event: (order(event)[0], not order(event)[1], *order(event)[2:]))


def voided_count_left_in(patch: pytest.MonkeyPatch) -> None:
    """A voided count goes on absorbing what comes late (C9)."""

    def all_counts(
        self: ModelLedger, position: tuple[str, str], lowest: datetime, new: Sequence[Count]
    ) -> list[Count]:
        gone = [
            row.count
            for row in self.counts.values()
            if row.position == position and not row.standing and row.count.counted_at >= lowest
        ]
        return standing_from(self, position, lowest, new) + gone

    patch.setattr(ModelLedger, "_standing_from", all_counts)


def shrink_and_found_not_netted(patch: pytest.MonkeyPatch) -> None:
    """What a late fact gives back becomes found, beside a shrink that stays (C12)."""

    def split(count: Count, difference: int, cause: int) -> list[Correction]:
        bucket: Place = bucket_of(count.scope)
        up: Place = "opening" if count.opening else "found"
        down: Place = "opening" if count.opening else "shrink"
        ends = (up, bucket) if difference > 0 else (bucket, down)
        return [Correction(count.count_id, cause, count.counted_at, *ends, abs(difference))]

    patch.setattr(counting, "_corrections", split)


def void_at_its_own_time(patch: pytest.MonkeyPatch) -> None:
    """A void takes effect when it was decided, not where its target lies (C9)."""
    patch.setattr(ModelLedger, "_instant_of", lambda _self, void, _target: void.at)


def parked_void_lost(patch: pytest.MonkeyPatch) -> None:
    """A void that came before its target is never looked at again (C9)."""
    patch.setattr(ModelLedger, "_unpark", lambda _self, _key: [])


def stale_mark(patch: pytest.MonkeyPatch) -> None:
    """`last_counted_at` is the count that arrived last, not the latest instant: the fast path overtakes a count."""
    patch.setattr(
        ModelLedger,
        "_mark",
        lambda _self, mark, new: max((count.counted_at for count in new), default=mark),
    )


def movements_of_counts_kept(patch: pytest.MonkeyPatch) -> None:
    """What another count adjusted inside the interval is taken for units that left (§3, load)."""

    def load_all(self: ModelLedger, position: tuple[str, str], count: Count) -> Loaded:
        movements = self.movements
        self.movements = [msgspec.structs.replace(movement, count_id=None) for movement in movements]
        try:
            return load(self, position, count)
        finally:
            self.movements = movements

    patch.setattr(ModelLedger, "_load", load_all)


def interval_includes_its_start(patch: pytest.MonkeyPatch) -> None:
    """What left at the very start is taken to have left inside: (S, E] read as [S, E]."""

    def closed(count: Count, deltas: Sequence[counting.Delta]) -> int:
        inside = [delta for delta in deltas if count.started_at <= delta.at <= count.counted_at]
        if count.started_at == count.counted_at:
            return 0
        return sum(
            outflow(d.from_place, d.to_place, d.quantity, count.scope, reversal=d.reversal) for d in inside
        )

    patch.setattr(counting, "_left_inside", closed)


def interval_excludes_its_end(patch: pytest.MonkeyPatch) -> None:
    """A sale at the very end of an interval is absorbed: (S, E] read as (S, E)."""
    left_inside = counting._left_inside
    patch.setattr(
        counting,
        "_left_inside",
        lambda count, deltas: left_inside(count, [d for d in deltas if d.at < count.counted_at]),
    )


def on_hand_sees_sellable_only(patch: pytest.MonkeyPatch) -> None:
    """A count of on_hand is compared with the bucket that it corrects (example 14)."""
    patch.setattr(counting, "in_scope", lambda vector, scope: vector[BUCKETS.index(bucket_of(scope))])


def opening_booked_as_shrink(patch: pytest.MonkeyPatch) -> None:
    """What a shop starts with appears as found in its books (C8)."""
    corrections = counting._corrections
    patch.setattr(
        counting,
        "_corrections",
        lambda count, difference, cause: corrections(
            msgspec.structs.replace(count, opening=False), difference, cause
        ),
    )


BUGS: tuple[Plant, ...] = (
    fast_on_equal_instant,
    no_rebase,
    residual_never_consumed,
    late_count_blind_to_later_ones,
    void_classed_by_its_own_direction,
    kept_void_classed_by_its_own_direction,
    ties_ignored,
    counts_of_an_instant_by_arrival,
    counts_before_deltas_of_an_instant,
    voided_count_left_in,
    shrink_and_found_not_netted,
    void_at_its_own_time,
    parked_void_lost,
    stale_mark,
    movements_of_counts_kept,
    interval_includes_its_start,
    interval_excludes_its_end,
    on_hand_sees_sellable_only,
    opening_booked_as_shrink,
)


@pytest.mark.parametrize("plant", BUGS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        BUDGET(given(arrival_strategy())(check_every_batch))()


def test_a_voided_count_of_the_same_instant_forgotten_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too rare for chance: c-2 is voided in the batch that brings c-1, of the same instant."""
    c1, c2 = (
        Fact(
            kind="count",
            id=key,
            at=INSTANTS[3],
            location="store-a",
            lines=(Line(item=ITEM, quantity=units),),
        )
        for key, units in (("c-1", 9), ("c-2", 8))
    )
    void = Fact(kind="void_count", id="v-1", at=INSTANTS[4], target=c2.key)
    check_every_batch([[c2], [void, c1]])
    ties_ignored_of_voided_counts(monkeypatch)
    with pytest.raises(AssertionError):
        check_every_batch([[c2], [void, c1]])


def test_a_position_that_forgets_is_found_by_two_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second property sees for itself: without re-base two orders differ."""
    no_rebase(monkeypatch)
    with pytest.raises(AssertionError):
        BUDGET(given(two_arrivals_strategy())(lambda both: check_two_orders(*both)))()


def test_a_count_that_does_not_hold_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """So does the third: without re-base a count is no longer the balance at its instant."""
    no_rebase(monkeypatch)
    with pytest.raises(AssertionError):
        BUDGET(given(arrival_strategy())(check_counts_hold))()


def test_reading_the_already_changed_adjustment_of_a_later_count_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counts of one instant come in the order of their keys, so a greater one has not changed yet when it is read."""

    def changed_first(count: Count, balance: Vector, old: Sequence[Count]) -> Vector:
        assert all(
            other.count_id not in done
            for other in old
            if other.counted_at == count.counted_at and other.key > count.key
        )
        return just_before(count, balance, old)

    def watched(**given_: Any) -> Rebased:
        done.clear()
        return rebase(**given_)

    def corrected(count: Count, difference: int, cause: int) -> list[Correction]:
        done.add(count.count_id)
        return corrections(count, difference, cause)

    done: set[int] = set()
    corrections = counting._corrections
    monkeypatch.setattr(counting, "_just_before", changed_first)
    monkeypatch.setattr(counting, "_corrections", corrected)
    monkeypatch.setattr(counting, "rebase", watched)
    settings(BUDGET, max_examples=200)(given(arrival_strategy())(check_every_batch))()


def _outflow_by_own_direction(
    from_place: Place, to_place: Place, quantity: int, scope: Scope, *, reversal: bool = False
) -> int:
    del reversal
    return outflow(from_place, to_place, quantity, scope)


def _left_inside_by_own_direction(count: Count, deltas: Sequence[counting.Delta]) -> int:
    return sum(
        outflow(delta.from_place, delta.to_place, delta.quantity, count.scope)
        for delta in deltas
        if count.started_at < delta.at <= count.counted_at
    )
