"""The canonical facts of a retailer, in the past tense, and how they are read (CloudEvents 1.0).

Quantities are positive and the type says the direction; only InventoryAdjusted carries a signed `delta`. What is not
named here is kept with the event as it was sent, and has no effect on stock.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from evenstock.core.quantity import Quantity, read

LINES_MAX = 1_000  # of one event
IDENTIFIER_MAX = 128  # characters

Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=IDENTIFIER_MAX)]
Text = Annotated[str, msgspec.Meta(max_length=2_000)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Condition = Literal["sellable", "quarantine", "damaged"]
CountScope = Literal["sellable", "quarantine", "damaged", "on_hand"]


class ItemRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which item: exactly one of our sku, a barcode, or the connection's own code."""

    sku: Identifier | None = None
    gtin: Identifier | None = None
    id: Identifier | None = None


class FactRef(msgspec.Struct, frozen=True):
    """Another fact, by its identity."""

    source: Identifier
    id: Identifier


class Line(msgspec.Struct, frozen=True, kw_only=True):
    line: Identifier
    item: ItemRef
    quantity: Quantity
    uom: Identifier | None = None


class ConditionLine(Line, frozen=True, kw_only=True):
    condition: Condition | None = None
    reason: Text | None = None


class AdjustmentLine(msgspec.Struct, frozen=True, kw_only=True):
    line: Identifier
    item: ItemRef
    delta: Quantity
    bucket: Condition = "sellable"
    uom: Identifier | None = None
    reason: Text | None = None


class CountLine(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted: one bucket, or everything on hand. The best instant is that of the line's own scan."""

    line: Identifier
    item: ItemRef
    bucket: CountScope
    quantity: Quantity
    uom: Identifier | None = None
    counted_at: Instant | None = None
    started_at: Instant | None = None


class DispositionLine(Line, frozen=True, kw_only=True):
    to: Literal["sellable", "damaged", "disposed"] | None = None


Lines = Annotated[list[Line], msgspec.Meta(min_length=1, max_length=LINES_MAX)]
ConditionLines = Annotated[list[ConditionLine], msgspec.Meta(min_length=1, max_length=LINES_MAX)]


class _AtLocation(msgspec.Struct, frozen=True, kw_only=True):
    location: Identifier
    register: Identifier | None = None
    ticket: Identifier | None = None


class Sale(_AtLocation, frozen=True, kw_only=True):
    lines: Lines


class Return(_AtLocation, frozen=True, kw_only=True):
    lines: ConditionLines
    reason: Text | None = None
    condition: Text | None = None
    original: Identifier | FactRef | None = None


class Receipt(_AtLocation, frozen=True, kw_only=True):
    lines: ConditionLines
    document: Identifier | None = None


class Transfer(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    transfer: Identifier
    from_: Identifier
    to: Identifier
    lines: ConditionLines


class Adjustment(_AtLocation, frozen=True, kw_only=True):
    lines: Annotated[list[AdjustmentLine], msgspec.Meta(min_length=1, max_length=LINES_MAX)]
    reason: Text | None = None


class CountSheet(_AtLocation, frozen=True, kw_only=True):
    lines: Annotated[list[CountLine], msgspec.Meta(min_length=1, max_length=LINES_MAX)]
    counted_at: Instant | None = None
    started_at: Instant | None = None
    opening: bool = False


class Disposition(_AtLocation, frozen=True, kw_only=True, rename={"return_": "return"}):
    lines: Annotated[list[DispositionLine], msgspec.Meta(min_length=1, max_length=LINES_MAX)]
    return_: Identifier | FactRef | None = None
    to: Literal["sellable", "damaged", "disposed"] | None = None


class Shipment(_AtLocation, frozen=True, kw_only=True):
    """What left for an order, known by its order_ref or by the id of its reservation."""

    lines: Lines
    order_ref: Identifier | None = None
    reservation: Identifier | None = None
    document: Identifier | None = None


class OrderLine(Line, frozen=True, kw_only=True):
    """What a customer was promised; `pickup_at` where it is handed over, else where the channel's locations have it."""

    pickup_at: Identifier | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order that a channel has taken: its customer was promised it, whatever we have. An unpaid one expires."""

    channel: Identifier
    order_ref: Identifier
    lines: Annotated[list[OrderLine], msgspec.Meta(min_length=1, max_length=LINES_MAX)]
    paid: bool = True


class CancelledLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an order that is off; so many units of it, or all."""

    line: Identifier
    quantity: Quantity | None = None


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    """The whole order, or some lines of it."""

    channel: Identifier
    order_ref: Identifier
    only: Annotated[list[CancelledLine], msgspec.Meta(min_length=1, max_length=LINES_MAX)] | None = (
        msgspec.field(default=None, name="lines")
    )
    reason: Text | None = None


class FactVoid(msgspec.Struct, frozen=True, kw_only=True):
    """A mistake. `never_left`: as if it had never been reported; `came_back`: the goods returned when the void says."""

    target: Identifier | FactRef
    goods: Literal["never_left", "came_back"]
    reason: Text | None = None


class CountVoid(msgspec.Struct, frozen=True, kw_only=True):
    target: Identifier | FactRef
    reason: Text | None = None


class Envelope(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What CloudEvents asks of every event. `id` is the source's own identity of the fact, unique for ever."""

    id: Identifier
    source: Identifier
    time: Instant | None = None
    specversion: Literal["1.0"] = "1.0"
    sequence: (
        Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,18}$")]
        | Annotated[int, msgspec.Meta(ge=0, lt=10**18)]
        | None
    ) = None
    stream: Identifier | None = None
    epoch: Identifier | int | None = None
    traceparent: Annotated[str, msgspec.Meta(max_length=128)] | None = None


class SaleRecorded(Envelope, frozen=True, kw_only=True, tag="SaleRecorded.v1"):
    """Goods went to a customer: sellable → customer."""

    data: Sale


class ReturnReceived(Envelope, frozen=True, kw_only=True, tag="ReturnReceived.v1"):
    """Goods came back from a customer: customer → quarantine, until a disposition."""

    data: Return


class GoodsReceived(Envelope, frozen=True, kw_only=True, tag="GoodsReceived.v1"):
    """Goods came from a supplier: supplier → sellable, or what the line's condition says."""

    data: Receipt


class TransferShipped(Envelope, frozen=True, kw_only=True, tag="TransferShipped.v1"):
    """Goods left for another location."""

    data: Transfer


class TransferReceived(Envelope, frozen=True, kw_only=True, tag="TransferReceived.v1"):
    """Goods arrived from another location, in the line's condition."""

    data: Transfer


class InventoryAdjusted(Envelope, frozen=True, kw_only=True, tag="InventoryAdjusted.v1"):
    """A signed difference somebody found in one bucket: from `found`, or to `shrink`."""

    data: Adjustment


class StockCounted(Envelope, frozen=True, kw_only=True, tag="StockCounted.v1"):
    """An absolute observation of a bucket, or of on_hand, at an instant (D4)."""

    data: CountSheet


class DispositionDecided(Envelope, frozen=True, kw_only=True, tag="DispositionDecided.v1"):
    """Where units in quarantine go: sellable, damaged, or disposed."""

    data: Disposition


class ShipmentConfirmed(Envelope, frozen=True, kw_only=True, tag="ShipmentConfirmed.v1"):
    """Goods left for an order: sellable → customer, and its claims are fulfilled."""

    data: Shipment


class OrderPlaced(Envelope, frozen=True, kw_only=True, tag="OrderPlaced.v1"):
    """A channel has sold: its units are promised here as a reservation, if need be beyond what there is."""

    data: Order


class OrderCancelled(Envelope, frozen=True, kw_only=True, tag="OrderCancelled.v1"):
    """An order is off: what is promised to it and did not leave is given back. It waits for its order."""

    data: Cancellation


class FactVoided(Envelope, frozen=True, kw_only=True, tag="FactVoided.v1"):
    """A fact other than a count was a mistake."""

    data: FactVoid


class CountVoided(Envelope, frozen=True, kw_only=True, tag="CountVoided.v1"):
    """A count was a mistake."""

    data: CountVoid


Event = (
    SaleRecorded
    | ReturnReceived
    | GoodsReceived
    | TransferShipped
    | TransferReceived
    | InventoryAdjusted
    | StockCounted
    | DispositionDecided
    | ShipmentConfirmed
    | OrderPlaced
    | OrderCancelled
    | FactVoided
    | CountVoided
)

EVENT_TYPES: tuple[type[Envelope], ...] = Event.__args__


def type_of(event: Envelope) -> str:
    """`SaleRecorded.v1`."""
    return str(type(event).__struct_config__.tag)


def same_fact(one: Event, other: Event) -> bool:
    """Whether two events under one key say the same: type, time and data as decoded (D15)."""
    return type(one) is type(other) and one.time == other.time and one.data == other.data


def read_custom(kind: type, value: object) -> Any:
    """The hook by which msgspec reads our own value types."""
    if kind is Quantity:
        return read(value)
    raise NotImplementedError(f"no reader for {kind.__name__}")
