"""Movements in plain words, for whoever asks why a number is what it is."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

LATE_AFTER = timedelta(minutes=15)  # between what happened and when we knew, before it is worth a word


class Told(Protocol):
    """What a movement must tell to be put into words."""

    @property
    def from_place(self) -> str: ...
    @property
    def to_place(self) -> str: ...
    @property
    def quantity(self) -> int | Decimal: ...
    @property
    def why(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def occurred_at(self) -> datetime: ...
    @property
    def recorded_at(self) -> datetime: ...


_SENTENCES = {
    "sale": "sold {quantity}",
    "return": "{quantity} came back from a customer, to quarantine",
    "receipt": "received {quantity} from a supplier",
    "transfer_out": "shipped {quantity} to another location",
    "transfer_in": "{quantity} on the way here",
    "transfer_arrival": "{quantity} arrived from another location",
    "shipment": "shipped {quantity} to a customer",
    "disposition": "{quantity} moved from quarantine to {to_place}",
}


def movement_in_words(movement: Told) -> str:
    """`-2 sold 2 (pos-nl T-0107-88213)`: the change of what is on hand, what happened, and whose fact it was."""
    sentence = movement_sentence(movement)
    late = movement.recorded_at - movement.occurred_at
    if late > LATE_AFTER:
        sentence += f", known {duration(late)} later"
    return f"{_change(movement):>6}  {sentence}  ({movement.source} {movement.key})"


def movement_sentence(movement: Told) -> str:
    """What happened, without whose fact it was: `sold 2`."""
    if movement.why in _SENTENCES:
        return _SENTENCES[movement.why].format(quantity=movement.quantity, to_place=movement.to_place)
    if movement.why == "adjustment":
        found = movement.from_place == "found"
        return f"{movement.quantity} {'found' if found else 'written off'} in {movement.to_place if found else movement.from_place}"
    if movement.why == "void":
        return f"{movement.quantity} taken back from {movement.from_place} to {movement.to_place}: reported by mistake"
    return _count(movement)


def _count(movement: Told) -> str:
    own = movement.type.startswith("StockCounted")
    if "opening" in {movement.from_place, movement.to_place}:
        return (
            f"opening stock, {movement.quantity}"
            if own
            else f"opening stock corrected by {movement.quantity}: a fact came late"
        )
    bucket = movement.to_place if movement.from_place in {"found", "shrink"} else movement.from_place
    more = "more" if movement.to_place == bucket else "less"
    if own:
        return f"a count found {movement.quantity} {more} than the books said ({bucket})"
    return f"a count explained by {movement.quantity}: a fact from before it came late ({bucket})"


def _change(movement: Told) -> str:
    physical = {"sellable", "quarantine", "damaged"}
    into, out_of = movement.to_place in physical, movement.from_place in physical
    if into == out_of:
        return "±0"
    return f"+{movement.quantity}" if into else f"-{movement.quantity}"


def duration(span: timedelta) -> str:
    """`20 min`, `3 h`, `2 days`."""
    minutes = int(span.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} days"
