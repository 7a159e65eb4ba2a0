"""What a void may speak of, and what it does to the moves of the fact that it takes back (C9)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from evenstock.core.booking import Entry
from evenstock.core.events import (
    CountVoided,
    FactVoided,
    OrderCancelled,
    OrderPlaced,
    SaleRecorded,
    StockCounted,
    TransferReceived,
    TransferShipped,
)
from evenstock.core.intake import TransferLeg
from evenstock.core.ledger import Move

Goods = Literal["never_left", "came_back", "count"]
RefusalCode = Literal["void.of_void", "void.target_kind", "void.repeated"]


def _tag(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)


VOID_TYPES: Final = frozenset({_tag(FactVoided), _tag(CountVoided)})
ORDER_TYPES: Final = frozenset({_tag(OrderPlaced), _tag(OrderCancelled)})  # an order is cancelled, not voided
TRANSFER_TYPES: Final = frozenset({_tag(TransferShipped), _tag(TransferReceived)})
COUNT_TYPE: Final = _tag(StockCounted)
SALE_TYPE: Final = _tag(SaleRecorded)


def refusal(goods: Goods | None, target_type: str, *, is_voided: bool) -> RefusalCode | None:
    """Why a void has no effect on a fact of that type; None when it has."""
    if target_type in VOID_TYPES:
        return "void.of_void"
    if target_type in ORDER_TYPES or (target_type == COUNT_TYPE) != (goods == "count"):
        return "void.target_kind"
    if goods == "came_back" and target_type != SALE_TYPE:
        return "void.target_kind"
    return "void.repeated" if is_voided else None


def reverse(move: Move) -> Move:
    """The move that undoes a move."""
    return Move(
        move.item_id, move.location_id, move.to_place, move.from_place, move.quantity, "void", move.line
    )


def came_back(void_fact_id: int, at: datetime, moves: Sequence[Move]) -> list[Entry]:
    """Goods of a voided sale that really returned: a return with the void's own instant (C9)."""
    return [
        Entry(
            void_fact_id,
            Move(
                move.item_id, move.location_id, "customer", "quarantine", move.quantity, "return", move.line
            ),
            at,
        )
        for move in moves
        if (move.from_place, move.to_place) == ("sellable", "customer")
    ]


def negative(leg: TransferLeg) -> TransferLeg:
    """What a voided leg takes off its transfer's sums."""
    return TransferLeg(
        leg.transfer,
        leg.item_id,
        leg.from_location_id,
        leg.to_location_id,
        shipped=-leg.shipped,
        received=-leg.received,
    )
