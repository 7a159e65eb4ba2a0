"""Every movement takes units from one place and puts them in another, so the sum over all places is always zero.

A place is a bucket of a location, or a boundary at that location through which units enter and leave. Here stands what
each kind of fact does to stock, once (`moves_for`), closed by exhaustiveness checking.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal, assert_never

import msgspec

from evenstock.core.events import (
    CountVoided,
    DispositionDecided,
    Event,
    FactVoided,
    GoodsReceived,
    InventoryAdjusted,
    OrderCancelled,
    OrderPlaced,
    ReturnReceived,
    SaleRecorded,
    ShipmentConfirmed,
    StockCounted,
    TransferReceived,
    TransferShipped,
)

Bucket = Literal["sellable", "quarantine", "damaged", "in_transit"]
Boundary = Literal["supplier", "customer", "transit", "shrink", "found", "opening", "disposed"]
Place = Literal[
    "sellable", "quarantine", "damaged", "in_transit",
    "supplier", "customer", "transit", "shrink", "found", "opening", "disposed",
]  # fmt: skip
Scope = Literal["sellable", "quarantine", "damaged", "on_hand"]
Why = Literal[
    "sale", "return", "receipt", "transfer_out", "transfer_in", "transfer_arrival", "adjustment", "count", "disposition", "void",
    "shipment",
]  # fmt: skip

BUCKETS: Final[tuple[Bucket, ...]] = ("sellable", "quarantine", "damaged", "in_transit")
INDEX: Final[dict[str, int]] = {bucket: index for index, bucket in enumerate(BUCKETS)}
ON_HAND: Final[tuple[Bucket, ...]] = ("sellable", "quarantine", "damaged")

Vector = tuple[int, int, int, int]  # units by bucket, in the order of BUCKETS
ZERO: Final[Vector] = (0, 0, 0, 0)


class Move(msgspec.Struct, frozen=True, gc=False):
    """Units of one item that a fact moves at one location; a movement before it has its place in the ledger."""

    item_id: int
    location_id: int
    from_place: Place
    to_place: Place
    quantity: int  # units, above zero
    why: Why
    line: str


def effect(from_place: Place, to_place: Place, quantity: int) -> Vector:
    """What a movement does to the buckets of its position."""
    change = [0, 0, 0, 0]
    add_effect(change, from_place, to_place, quantity)
    return (change[0], change[1], change[2], change[3])


def add_effect(total: list[int], from_place: Place, to_place: Place, quantity: int) -> None:
    """Add what a movement does to the buckets of its position to a running total."""
    if from_place in INDEX:
        total[INDEX[from_place]] -= quantity
    if to_place in INDEX:
        total[INDEX[to_place]] += quantity


def in_scope(vector: Vector, scope: Scope) -> int:
    """The units of a vector that a count of this scope sees; on_hand is the three physical buckets."""
    if scope == "on_hand":
        return vector[0] + vector[1] + vector[2]
    return vector[INDEX[scope]]


def bucket_of(scope: Scope) -> Bucket:
    """The bucket that a count of this scope corrects: an on_hand count corrects sellable (C4)."""
    return "sellable" if scope == "on_hand" else scope


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """An observation: `scope` of one item at one location held `quantity` units at `counted_at` (C4, C5, C7)."""

    count_id: int
    key: tuple[str, str, str]  # (source, id, line): the order among counts of one instant, never arrival
    scope: Scope
    started_at: datetime  # equals counted_at for an instant count
    counted_at: datetime
    quantity: int
    opening: bool = False
    adjusted: int = 0  # running total of its own movements, signed, in its bucket


class KnownLine(msgspec.Struct, frozen=True, gc=False):
    """A line of an event whose item and unit are known: `units` of the item's smallest unit, signed as it was sent."""

    index: int
    line: Any  # the event's own line: Line, ConditionLine, AdjustmentLine, CountLine or DispositionLine
    item_id: int
    units: int


def moves_for(  # noqa: PLR0911 - one return for each kind of fact
    event: Event, lines: Sequence[KnownLine], here: int, there: int
) -> list[Move]:
    """What a fact does to stock: its own moves, line by line.

    `here` is the fact's location; for a transfer it is where the goods left and `there` where they go. Counts and voids
    move nothing by themselves: what they change depends on the ledger (C4, C9); orders promise.
    """
    match event:
        case SaleRecorded():
            return [
                Move(k.item_id, here, "sellable", "customer", k.units, "sale", k.line.line) for k in lines
            ]
        case ShipmentConfirmed():
            return [
                Move(k.item_id, here, "sellable", "customer", k.units, "shipment", k.line.line) for k in lines
            ]
        case ReturnReceived():
            return [
                Move(k.item_id, here, "customer", "quarantine", k.units, "return", k.line.line) for k in lines
            ]
        case GoodsReceived():
            return [
                Move(
                    k.item_id,
                    here,
                    "supplier",
                    k.line.condition or "sellable",
                    k.units,
                    "receipt",
                    k.line.line,
                )
                for k in lines
            ]
        case TransferShipped():
            return [move for k in lines for move in _shipped(k, here, there)]
        case TransferReceived():
            return [
                Move(
                    k.item_id,
                    there,
                    "in_transit",
                    k.line.condition or "sellable",
                    k.units,
                    "transfer_arrival",
                    k.line.line,
                )
                for k in lines
            ]
        case InventoryAdjusted():
            return [_adjusted(k, here) for k in lines]
        case DispositionDecided():
            return [
                Move(
                    k.item_id,
                    here,
                    "quarantine",
                    _destination(k, event),
                    k.units,
                    "disposition",
                    k.line.line,
                )
                for k in lines
            ]
        case StockCounted() | OrderPlaced() | OrderCancelled() | FactVoided() | CountVoided():
            return []
        case _:
            assert_never(event)


def _destination(known: KnownLine, event: DispositionDecided) -> Place:
    """Where disposed units go; that the line or its event says so was checked at intake."""
    to: Place | None = known.line.to or event.data.to
    assert to is not None  # noqa: S101 - checked at intake
    return to


def _shipped(known: KnownLine, here: int, there: int) -> tuple[Move, Move]:
    """Two movements over the boundary `transit`, so that every movement has one location (C11)."""
    line = known.line.line
    return (
        Move(known.item_id, here, "sellable", "transit", known.units, "transfer_out", line),
        Move(known.item_id, there, "transit", "in_transit", known.units, "transfer_in", line),
    )


def _adjusted(known: KnownLine, here: int) -> Move:
    bucket = known.line.bucket
    if known.units > 0:
        return Move(known.item_id, here, "found", bucket, known.units, "adjustment", known.line.line)
    return Move(known.item_id, here, bucket, "shrink", -known.units, "adjustment", known.line.line)
