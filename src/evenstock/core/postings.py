"""How movements of the ledger are added up for an ERP's books: which of them go into one document, and in which order.

The books see stock on hand: what a movement takes from, or adds to, `sellable`, `quarantine` and `damaged` together. A movement
between those, or of goods on their way, changes nothing there.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Annotated, Final, Literal

import msgspec

Kind = Literal["sales", "returns", "receipts", "transfers", "adjustments"]
KINDS: Final[tuple[Kind, ...]] = ("receipts", "transfers", "returns", "sales", "adjustments")
LINES_MAX: Final = 500  # of one posting; what is more goes into another
EVERY_MAX_S: Final = 86_400
LATE_DAYS: Final = 7

_KIND_OF_WHY: Final[dict[str, Kind]] = {
    "sale": "sales", "shipment": "sales", "return": "returns", "receipt": "receipts", "transfer_out": "transfers",
    "transfer_in": "transfers", "transfer_arrival": "transfers", "adjustment": "adjustments", "count": "adjustments",
    "disposition": "adjustments",
}  # fmt: skip
_KIND_OF_TYPE: Final[dict[str, Kind]] = {
    "SaleRecorded.v1": "sales", "ShipmentConfirmed.v1": "sales", "ReturnReceived.v1": "returns", "GoodsReceived.v1": "receipts",
    "TransferShipped.v1": "transfers", "TransferReceived.v1": "transfers",
}  # fmt: skip


class Books(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a system's books are kept.

    `per` ticket: a posting for each fact, at once. `store`: for each location and kind, every `every_s` seconds. `batch`: for each
    kind over all locations, every `every_s` seconds. Each is of one business day. `first`: kinds in the order in which they are
    sent, the others after them. A fact that we learned of more than `late_days` after its day is posted on the day we learned of it.
    """

    per: Literal["ticket", "store", "batch"] = "ticket"
    every_s: Annotated[int, msgspec.Meta(ge=0, le=EVERY_MAX_S)] = 0
    first: Annotated[tuple[Kind, ...], msgspec.Meta(max_length=len(KINDS))] = ()
    late_days: Annotated[int, msgspec.Meta(ge=0, le=366)] = LATE_DAYS

    def __post_init__(self) -> None:
        if len(set(self.first)) < len(self.first):
            raise ValueError("first: a kind stands twice")
        if (self.per == "ticket") != (self.every_s == 0):
            raise ValueError(
                "every_s: books per ticket are posted at once (0); per store or batch, say how often"
            )

    def rank(self, kind: Kind) -> int:
        """What is sent first; lower is earlier."""
        order = (*self.first, *(known for known in KINDS if known not in self.first))
        return order.index(kind)


class Due(msgspec.Struct, frozen=True, gc=False):
    """A movement that the books must see."""

    ledger_seq: int
    ordinal: int
    item_id: int
    location_id: int
    units: int  # that it adds to the stock on hand; below zero it takes away
    why: str
    undone: str | None  # the type of the fact that it undoes, if it does
    fact_id: int
    trace_id: str | None
    happened_on: date  # by the location's clock
    known_on: date  # the same, of when we learned of it


class Line(msgspec.Struct):
    """What a posting adds to the stock on hand of an item at a location."""

    item_id: int
    location_id: int
    units: int


class Draft(msgspec.Struct):
    """A posting as it is made."""

    kind: Kind
    posted_on: date
    location_id: int | None
    fact_id: int | None
    trace_id: str | None
    ledger_from: int
    ledger_to: int
    rank: int
    lines: list[Line]
    entries: list[tuple[int, int, int]]  # ledger_seq, ordinal, index of the line


def kind_of(due: Due) -> Kind:
    """Which postings a movement belongs to: what is undone belongs where it stood."""
    if due.undone is not None:
        return _KIND_OF_TYPE.get(due.undone, "adjustments")
    return _KIND_OF_WHY.get(due.why, "adjustments")


def day_of(due: Due, late_days: int) -> date:
    """The business day on which a movement is posted."""
    is_late = due.known_on - due.happened_on > timedelta(days=late_days)
    return due.known_on if is_late else due.happened_on


def drafts(books: Books, movements: Iterable[Due]) -> list[Draft]:
    """Postings for movements, which come in the ledger's order; each movement is in exactly one line of one of them."""
    made: list[Draft] = []
    open_: dict[tuple[object, ...], tuple[Draft, dict[tuple[int, int], int]]] = {}
    for due in movements:
        kind, day = kind_of(due), day_of(due, books.late_days)
        fact_id = due.fact_id if books.per == "ticket" else None
        location_id = due.location_id if books.per == "store" else None
        key = (kind, day, fact_id, location_id)
        draft, places = open_.get(key) or (None, {})
        place = places.get((due.item_id, due.location_id))
        if draft is None or (place is None and len(draft.lines) >= LINES_MAX):
            trace_id = due.trace_id if fact_id is not None else None
            draft = Draft(kind, day, location_id, fact_id, trace_id, due.ledger_seq, due.ledger_seq, books.rank(kind), [], [])  # fmt: skip
            places, place = {}, None
            open_[key] = draft, places
            made.append(draft)
        if place is None:
            place = places[due.item_id, due.location_id] = len(draft.lines)
            draft.lines.append(Line(due.item_id, due.location_id, 0))
        draft.lines[place].units += due.units
        draft.ledger_to = due.ledger_seq
        draft.entries.append((due.ledger_seq, due.ordinal, place))
    return made


def is_nothing(lines: Sequence[Line]) -> bool:
    """Whether lines cancel out, so that there is nothing to tell the books."""
    return all(line.units == 0 for line in lines)
