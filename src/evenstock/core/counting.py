"""What a count, a late fact or a void changes at one position: the slow path of a batch, in relative numbers only.

Before the batch the ledger says what a replay of all earlier facts would say (C4). `rebase` walks through what is new and
the counts that already stand, in the order of the replay, and carries one vector: *new balance minus old balance at this
instant*. A delta adds to it. A count that stands had the last word before and has it again, so in its scope the vector
becomes zero and its adjustment takes what was there (C6). Past the last event the vector is the change of the position.
Nothing is ever written absolutely (C10), and where a fact stands in the order of arrival appears nowhere (C4).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, assert_never

import msgspec

from evenstock.core.ledger import (
    INDEX,
    ON_HAND,
    ZERO,
    Boundary,
    Count,
    Place,
    Scope,
    Vector,
    bucket_of,
    effect,
    in_scope,
)


class Delta(msgspec.Struct, frozen=True, gc=False):
    """A move at its instant, as counts see it."""

    at: datetime  # UTC
    fact_id: int  # the fact that brings it into the ledger; for a reversal the void
    from_place: Place
    to_place: Place
    quantity: int
    reversal: bool = False  # of an earlier fact: places reversed, classed in its original's direction (C7)


class Loaded(msgspec.Struct, frozen=True):
    """What the ledger knew before the batch about one new count."""

    balance: Vector  # of the position as of counted_at, everything at that instant included: position - after
    kept: int = 0  # interval counts: Σ `outflow` of what lies in (S, E], movements of counts excluded; never above zero


class NewCount(msgspec.Struct, frozen=True):
    """A count that this batch brings."""

    count: Count
    fact_id: int
    loaded: Loaded


class Voided(msgspec.Struct, frozen=True):
    """A count of an earlier batch that this batch voids."""

    count: Count
    fact_id: int  # the void


class Correction(msgspec.Struct, frozen=True, gc=False):
    """One movement that a count makes, at the count's instant (C12)."""

    count_id: int
    fact_id: int  # the fact that made it necessary: the count, the late fact, or the void
    at: datetime
    from_place: Place
    to_place: Place
    quantity: int


class Rebased(msgspec.Struct, frozen=True):
    """What a batch does to one position besides its deltas."""

    change: Vector  # of the position, deltas and corrections together
    adjusted: dict[int, int]  # count_id -> change of its `adjusted`; only what changed, new counts and old
    corrections: list[Correction]


Event = Delta | NewCount | Voided | Count

_INDICES: Final[dict[Scope, tuple[int, ...]]] = {
    "sellable": (INDEX["sellable"],),
    "quarantine": (INDEX["quarantine"],),
    "damaged": (INDEX["damaged"],),
    "on_hand": tuple(INDEX[bucket] for bucket in ON_HAND),
}


def is_late(at: datetime, last_counted_at: datetime | None) -> bool:
    """Whether a count may already stand at or after this instant, so that counts have to be asked (§3, split).

    An equal instant is late: it lies before the count (C5). A mark that is too high costs a look, never a wrong number.
    """
    return last_counted_at is not None and at <= last_counted_at


def outflow(
    from_place: Place, to_place: Place, quantity: int, scope: Scope, *, reversal: bool = False
) -> int:
    """What a movement inside an interval count adds to the counted value: its units out of the scope, below zero (C7).

    What came in is taken to have been counted and adds nothing. A reversal is classed as its original was: that of
    something that left takes the outflow back, that of something that came adds nothing.
    """
    change = in_scope(effect(from_place, to_place, quantity), scope)
    return max(0, change) if reversal else min(0, change)


def rebase(
    *,
    deltas: Sequence[Delta],
    new: Sequence[NewCount],
    voided: Sequence[Voided],
    standing: Sequence[Count],
) -> Rebased:
    """What the new facts of a batch change at one position, and which counts take it.

    `standing` are the counts that stand, neither new nor voided now, from the earliest instant touched onwards. A count
    that is voided in the batch that brings it appears nowhere: it never adjusted anything.
    """
    change = ZERO
    latest = [(-1, 0)] * len(ZERO)  # by bucket: the turn that changed it last, and whose fact it was
    adjusted: dict[int, int] = {}
    corrections: list[Correction] = []
    old = [*standing, *(void.count for void in voided)]
    events: list[Event] = [*deltas, *new, *voided, *standing]
    for turn, event in enumerate(sorted(events, key=_order)):
        if isinstance(event, Delta):
            moved = effect(event.from_place, event.to_place, event.quantity)
            latest = [
                (turn, event.fact_id) if units else was for units, was in zip(moved, latest, strict=True)
            ]
            change = _plus(change, moved)
            continue
        count = event if isinstance(event, Count) else event.count
        difference = _difference(event, change, deltas, old)
        if difference == 0:
            continue
        if isinstance(event, Count):
            cause = max(latest[index] for index in _INDICES[count.scope])[1]
        else:
            cause = event.fact_id
        change = _taken(change, count, difference)
        latest[INDEX[bucket_of(count.scope)]] = (turn, cause)
        adjusted[count.count_id] = difference
        corrections += _corrections(count, difference, cause)
    return Rebased(change, adjusted, corrections)


def _order(event: Event) -> tuple[datetime, bool, tuple[str, str, str], int]:
    """The order of the replay: by instant, deltas before counts, counts by their key (C4, C5)."""
    if isinstance(event, Delta):
        return (event.at, False, ("", "", ""), event.fact_id)
    count = event if isinstance(event, Count) else event.count
    return (count.counted_at, True, count.key, count.count_id)


def _difference(
    event: NewCount | Voided | Count, change: Vector, deltas: Sequence[Delta], old: Sequence[Count]
) -> int:
    """By how much a count's adjustment changes, given what has changed up to it."""
    match event:
        case NewCount(count=count, loaded=loaded):
            value = count.quantity + loaded.kept + _left_inside(count, deltas)
            return value - in_scope(_plus(_just_before(count, loaded.balance, old), change), count.scope)
        case Voided(count=count):
            return -count.adjusted
        case Count():
            return _left_inside(event, deltas) - in_scope(change, event.scope)
        case _:
            assert_never(event)


def _left_inside(count: Count, deltas: Sequence[Delta]) -> int:
    """The outflows of a count's scope that the batch brings into its interval (S, E] (C7)."""
    if count.started_at == count.counted_at:
        return 0
    return sum(
        outflow(delta.from_place, delta.to_place, delta.quantity, count.scope, reversal=delta.reversal)
        for delta in deltas
        if count.started_at < delta.at <= count.counted_at
    )


def _just_before(count: Count, balance: Vector, old: Sequence[Count]) -> Vector:
    """The old balance just before a new count: without the counts of the same instant that come after it (C5)."""
    for other in old:
        if other.counted_at == count.counted_at and other.key > count.key:
            balance = _plus(balance, _in_bucket(other, -other.adjusted))
    return balance


def _corrections(count: Count, difference: int, cause: int) -> list[Correction]:
    """The movements that change a count's adjustment and keep its normal form, at most two (C12).

    shrink = max(0, -adjusted) and found = max(0, adjusted), so that a late sale lowers shrink and never invents found
    beside it. An opening count books both directions against `opening` (C8).
    """
    before, after = count.adjusted, count.adjusted + difference
    into_bucket: dict[Boundary, int] = (
        {"opening": difference}
        if count.opening
        else {"shrink": min(0, after) - min(0, before), "found": max(0, after) - max(0, before)}
    )
    bucket: Place = bucket_of(count.scope)
    return [
        Correction(
            count_id=count.count_id,
            fact_id=cause,
            at=count.counted_at,
            from_place=boundary if units > 0 else bucket,
            to_place=bucket if units > 0 else boundary,
            quantity=abs(units),
        )
        for boundary, units in into_bucket.items()
        if units
    ]


def _taken(change: Vector, count: Count, difference: int) -> Vector:
    """What is left of a change after a count took its part, so that no later count takes it again (C6)."""
    return _plus(change, _in_bucket(count, difference))


def _in_bucket(count: Count, units: int) -> Vector:
    """Units in the bucket that a count corrects."""
    return effect("found", bucket_of(count.scope), units)


def _plus(one: Vector, other: Vector) -> Vector:
    return (one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3])
