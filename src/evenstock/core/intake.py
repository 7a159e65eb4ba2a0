"""An event with its items, locations and units resolved: a fact that the ledger can take.

Everything is normalised here, once, from configuration only (C3): a fact must not depend on what else happens to
arrive. Lines whose master is missing are held by the line (D5); what is malformed is refused as a whole.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeGuard

import msgspec

from evenstock.core.errors import Refusal
from evenstock.core.events import (
    AdjustmentLine,
    CancelledLine,
    ConditionLine,
    CountLine,
    CountVoided,
    DispositionDecided,
    DispositionLine,
    Event,
    FactRef,
    FactVoided,
    ItemRef,
    Line,
    OrderCancelled,
    OrderPlaced,
    ReturnReceived,
    SaleRecorded,
    ShipmentConfirmed,
    StockCounted,
    TransferReceived,
    TransferShipped,
    type_of,
)
from evenstock.core.ledger import KnownLine, Move, Scope, moves_for
from evenstock.core.masters import Item, Location, Masters
from evenstock.core.names import internal_id
from evenstock.core.owning import Withheld, withheld
from evenstock.core.quantity import Factor, Quantity, units
from evenstock.core.tracing.ids import trace_id_of

CLOCK_TOLERANCE = timedelta(minutes=5)  # ahead of ours, before we speak of skew (D5)

TimeBasis = Literal["source", "received", "skewed"]
LINES_ALL = None
STORES = frozenset({"store", "dark_store", "van"})  # types of location whose sales are store sales

_TRANSFERS = frozenset({TransferShipped, TransferReceived})
_VOIDS = frozenset({FactVoided, CountVoided})
_ORDERS = frozenset({OrderPlaced, OrderCancelled})

AnyLine = Line | ConditionLine | AdjustmentLine | CountLine | DispositionLine


class HeldLine(msgspec.Struct, frozen=True):
    """A line that waits: for what (`subject`, the same for all that wait for the same), and why, in words."""

    index: int
    code: str
    subject: str
    detail: str
    pointer: str


class Counted(msgspec.Struct, frozen=True):
    """A count line, ready for the ledger (C4, C7)."""

    index: int
    line: str
    item_id: int
    location_id: int
    scope: Scope
    started_at: datetime
    counted_at: datetime
    quantity: int
    opening: bool


class TransferLeg(msgspec.Struct, frozen=True):
    """What one line adds to a transfer's sum of units shipped or received."""

    transfer: str
    item_id: int
    from_location_id: int
    to_location_id: int
    shipped: int = 0
    received: int = 0


class Order(msgspec.Struct, frozen=True):
    """Whose claims a shipment fulfils."""

    order_ref: str | None
    reservation_id: int | None


class Ordered(msgspec.Struct, frozen=True):
    """What an event says of an order: a promise, which is made or given back once the fact is in the ledger."""

    kind: Literal["placed", "cancelled"]
    channel: str
    order_ref: str


class Fact(msgspec.Struct, kw_only=True):
    """An accepted fact. `fact_id` is given when its key is claimed."""

    connection_id: int
    source: str
    key: str
    type: str
    occurred_at: datetime
    time_basis: TimeBasis
    received_at: datetime
    trace_id: str | None
    ticket: str | None = None  # the number on the customer's receipt
    body: bytes
    moves: list[Move] = []
    counts: list[Counted] = []
    legs: list[TransferLeg] = []
    held: list[HeldLine] = []
    quantities: dict[int, str] = {}  # of held lines, as they were sent
    target: FactRef | None = None  # of a void
    goods: Literal["never_left", "came_back", "count"] | None = None
    original: FactRef | None = None  # the sale of a return
    order: Order | None = None  # of a shipment
    ordered: Ordered | None = None  # of an order
    stream: str | None = None
    epoch: str = ""
    sequence: int | None = None
    fact_id: int = 0


def prepare(
    event: Event,
    body: bytes,
    *,
    connection_id: int,
    received_at: datetime,
    masters: Masters,
    only: Collection[int] | None = LINES_ALL,
) -> Fact:
    """The fact that an event is, as far as the masters go; `only` some line indexes when held lines come back.

    Raises Refusal when the event as a whole cannot be used; its pointer is relative to the event.
    """
    occurred_at, time_basis = _instant(event.time, received_at)
    fact = Fact(
        connection_id=connection_id,
        source=event.source,
        key=event.id,
        type=type_of(event),
        occurred_at=occurred_at,
        time_basis=time_basis,
        received_at=received_at,
        trace_id=trace_id_of(event.traceparent),
        ticket=getattr(event.data, "ticket", None),
        body=body,
    )
    if event.sequence is not None:
        fact.sequence = int(event.sequence)
        fact.epoch = "" if event.epoch is None else str(event.epoch)
        fact.stream = stream_of(event)
    if is_void(event):
        fact.target = reference(event.data.target, event.source)
        fact.goods = event.data.goods if isinstance(event, FactVoided) else "count"
        return fact
    if is_order(event):
        fact.ordered = _ordered(event)
        return fact
    if type(event) is ReturnReceived and event.data.original is not None:
        fact.original = reference(event.data.original, event.source)
    if type(event) is ShipmentConfirmed:
        fact.order = _order(event)
    _resolve(fact, event, masters, only)
    for line in fact.held:
        fact.quantities[line.index] = str(_quantity_of(event, line.index))
    return fact


def is_transfer(event: Event) -> TypeGuard[TransferShipped | TransferReceived]:
    """By the type itself, for an instance check of such a record costs ten times as much."""
    return type(event) in _TRANSFERS


def is_void(event: Event) -> TypeGuard[FactVoided | CountVoided]:
    """Whether a fact speaks of another fact's mistake."""
    return type(event) in _VOIDS


def is_order(event: Event) -> TypeGuard[OrderPlaced | OrderCancelled]:
    """Whether a fact speaks of what a customer was promised: it moves no stock."""
    return type(event) in _ORDERS


def _ordered(event: OrderPlaced | OrderCancelled) -> Ordered:
    data = event.data
    if isinstance(event, OrderCancelled):
        _check_cancelled(event.data.only or ())
        return Ordered("cancelled", data.channel, data.order_ref)
    _check_lines(event, event.data.lines)
    for index, line in enumerate(event.data.lines):
        if line.quantity.digits <= 0:
            detail = f"{line.quantity} is not a quantity that this event can carry."
            raise Refusal("quantity.not_positive", detail, f"/data/lines/{index}/quantity")
    return Ordered("placed", data.channel, data.order_ref)


def _check_cancelled(lines: Sequence[CancelledLine]) -> None:
    seen: set[str] = set()
    for index, line in enumerate(lines):
        if line.line in seen:
            detail = f"The line id `{line.line}` stands twice."
            raise Refusal("event.repeated_line", detail, f"/data/lines/{index}/line")
        seen.add(line.line)
        if line.quantity is not None and line.quantity.digits <= 0:
            detail = f"{line.quantity} is not a quantity that this event can carry."
            raise Refusal("quantity.not_positive", detail, f"/data/lines/{index}/quantity")


def _instant(time: datetime | None, received_at: datetime) -> tuple[datetime, TimeBasis]:
    if time is None:
        return received_at, "received"
    time = time.astimezone(UTC)
    if time > received_at + CLOCK_TOLERANCE:
        return received_at, "skewed"
    return time, "source"


def reference(target: str | FactRef, source: str) -> FactRef:
    """What a void or a return names: a fact of its own source, or of the one it says."""
    return target if isinstance(target, FactRef) else FactRef(source, target)


def _order(event: ShipmentConfirmed) -> Order:
    data = event.data
    if data.reservation is None and data.order_ref is None:
        detail = "A shipment names its order: order_ref, or the id of its reservation."
        raise Refusal("event.malformed", detail, "/data/order_ref")
    reservation_id = None if data.reservation is None else internal_id(data.reservation)
    if data.reservation is not None and reservation_id is None:
        raise Refusal("event.malformed", "This is no id of a reservation.", "/data/reservation")
    return Order(data.order_ref, reservation_id)


def stream_of(event: Event) -> str:
    """The stream within its source that an event's number belongs to: the one it names, else `<location>/<register>`."""
    data = event.data
    if event.stream is not None:
        return event.stream
    if is_void(event):
        return "voids"
    if is_order(event):
        return "orders"
    if type(event) is TransferShipped:
        return f"{event.data.from_}/"
    if type(event) is TransferReceived:
        return f"{event.data.to}/"
    return f"{getattr(data, 'location', '')}/{getattr(data, 'register', None) or ''}"


def _resolve(fact: Fact, event: Event, masters: Masters, only: Collection[int] | None) -> None:
    lines = event.data.lines  # type: ignore[union-attr]  # voids have returned before
    _check_lines(event, lines)
    wanted = range(len(lines)) if only is None else sorted(only)
    here, there = _locations(fact, event, masters, wanted)
    if here is None or there is None:
        return
    if type(event) is SaleRecorded and masters.claims and _is_not_its_to_say(fact, masters, here, wanted):
        return
    known: list[KnownLine] = []
    for index in wanted:
        line = lines[index]
        item = masters.item(line.item, fact.connection_id)
        factor = item.factor(line.uom) if item is not None else None
        if item is None:
            fact.held.append(_unknown_item(index, line.item, fact.source))
        elif factor is None:
            fact.held.append(_unknown_uom(index, line.uom, item))
        else:
            known.append(KnownLine(index, line, item.item_id, _units(line, index, item, factor)))
    if type(event) is StockCounted:
        _count(fact, event, known, here)
        return
    fact.moves = moves_for(event, known, here.location_id, there.location_id)
    if is_transfer(event):
        fact.legs = [_leg(event, line, here, there) for line in known]


def _check_lines(event: Event, lines: Sequence[AnyLine]) -> None:
    """What a line must have whatever the masters say: an id of its own, and one name for its item."""
    seen: set[str] = set()
    for index, line in enumerate(lines):
        name, ref = line.line, line.item
        if name in seen:
            raise Refusal(
                "event.repeated_line", f"The line id `{name}` stands twice.", f"/data/lines/{index}/line"
            )
        seen.add(name)
        if (ref.sku is None) + (ref.gtin is None) + (ref.id is None) != 2:
            detail = "An item is named by exactly one of sku, gtin and id."
            raise Refusal("event.malformed", detail, f"/data/lines/{index}/item")
    if type(event) is DispositionDecided:
        for index, disposed in enumerate(event.data.lines):
            if disposed.to is None and event.data.to is None:
                raise Refusal(
                    "event.malformed", "A disposition says where the units go (`to`).", f"/data/lines/{index}"
                )


def _locations(
    fact: Fact, event: Event, masters: Masters, wanted: Collection[int]
) -> tuple[Location | None, Location | None]:
    """Where a fact took place, and for a transfer where it went; None when a location is not known: then all lines wait."""
    if is_transfer(event):
        if event.data.from_ == event.data.to:
            raise Refusal("event.malformed", "A transfer goes from one location to another.", "/data/to")
        here = _location(fact, masters, event.data.from_, "from", wanted)
        there = _location(fact, masters, event.data.to, "to", wanted) if here is not None else None
        return here, there
    here = _location(fact, masters, event.data.location, "location", wanted)  # type: ignore[union-attr]  # no void comes here
    return here, here


def _location(
    fact: Fact, masters: Masters, name: str, field: str, wanted: Collection[int]
) -> Location | None:
    found = masters.locations.get(name)
    if found is None:
        detail = f"{fact.source} sent the location {name}, which is not in the location master."
        fact.held += [
            HeldLine(index, "stock.unknown_location", f"location:{name}", detail, f"/data/{field}")
            for index in wanted
        ]
    return found


def _is_not_its_to_say(fact: Fact, masters: Masters, here: Location, wanted: Collection[int]) -> bool:
    """Whether a sale waits because another system is right about sales there; warehouses sell only where one says so."""
    why = sale_withheld(masters, here, fact.source)
    if why is None:
        return False
    fact.held += [HeldLine(index, why.code, why.subject, why.detail, "/source") for index in wanted]
    return True


def sale_withheld(masters: Masters, here: Location, author: str) -> Withheld | None:
    """Why a sale there is not this source's to report, nor another's sale its to take back (D8); None when it is."""
    if here.type not in STORES and ("store_sales", here.id) not in masters.claims:
        return None
    return withheld(masters.claims, "store_sales", here.id, author)


def _unknown_item(index: int, ref: ItemRef, source: str) -> HeldLine:
    if ref.sku is not None:
        subject, words = f"sku:{ref.sku}", f"sku {ref.sku}"
    elif ref.gtin is not None:
        subject, words = f"gtin:{ref.gtin}", f"barcode {ref.gtin}"
    else:
        subject, words = f"code:{source}:{ref.id}", f"{source}'s own code {ref.id}"
    return HeldLine(
        index, "stock.unknown_item", subject, f"No item with {words}.", f"/data/lines/{index}/item"
    )


def _unknown_uom(index: int, uom: str | None, item: Item) -> HeldLine:
    detail = f"{item.sku} is kept in {item.base_uom}; how many of them one {uom} holds is not known."
    return HeldLine(index, "stock.unknown_uom", f"uom:{item.sku}:{uom}", detail, f"/data/lines/{index}/uom")


def _quantity_of(event: Event, index: int) -> Quantity:
    line = event.data.lines[index]  # type: ignore[union-attr]  # only lines are held
    return line.delta if isinstance(line, AdjustmentLine) else line.quantity


def _units(line: AnyLine, index: int, item: Item, factor: Factor) -> int:
    """Units of a line, its sign checked: adjustments may have either, counts may be zero, all others are positive."""
    if isinstance(line, AdjustmentLine):
        quantity, field = line.delta, "delta"
    else:
        quantity, field = line.quantity, "quantity"
    try:
        number = units(quantity, item.scale, factor)
    except Refusal as refusal:
        raise Refusal(refusal.problem.code, refusal.problem.detail, f"/data/lines/{index}/{field}") from None
    if number > 0 or (number == 0 and type(line) is CountLine) or (number < 0 and field == "delta"):
        return number
    detail = f"{quantity} is not a quantity that this event can carry."
    raise Refusal("quantity.not_positive", detail, f"/data/lines/{index}/{field}")


def _leg(
    event: TransferShipped | TransferReceived, line: KnownLine, here: Location, there: Location
) -> TransferLeg:
    shipped = isinstance(event, TransferShipped)
    return TransferLeg(
        event.data.transfer,
        line.item_id,
        here.location_id,
        there.location_id,
        shipped=line.units if shipped else 0,
        received=0 if shipped else line.units,
    )


def _count(fact: Fact, event: StockCounted, known: list[KnownLine], here: Location) -> None:
    """Counts by the line, with the best instant there is; the location's policy for intervals is applied here (C7)."""
    for line in known:
        counted: CountLine = line.line
        claimed = counted.counted_at or event.data.counted_at or event.time or fact.received_at
        at = claimed.astimezone(UTC)
        started = (counted.started_at or event.data.started_at or at).astimezone(UTC)
        pointer = f"/data/lines/{line.index}"
        if started > at:
            raise Refusal("event.time", "The count ended before it started.", f"{pointer}/started_at")
        if at > fact.received_at + CLOCK_TOLERANCE:
            detail = f"Counted at {at:%Y-%m-%d %H:%M:%S} UTC, which had not come yet at {fact.received_at:%Y-%m-%d %H:%M:%S}."
            fact.held.append(
                HeldLine(
                    line.index,
                    "count.from_the_future",
                    f"future:{fact.source}:{fact.key}",
                    detail,
                    f"{pointer}/counted_at",
                )
            )
            continue
        if here.count_policy == "start":
            at = started
        elif here.count_policy == "end":
            started = at
        fact.counts.append(
            Counted(
                line.index,
                counted.line,
                line.item_id,
                here.location_id,
                counted.bucket,
                started,
                at,
                line.units,
                event.data.opening,
            )
        )
