"""What happens, in the words of a shop."""

from typing import Any, Final

from evenstock.estate.actors import WEB
from evenstock.estate.cast import WAREHOUSE
from evenstock.estate.facts import Fact
from evenstock.estate.links import Delivery

NAMED: Final = 2  # lines of a fact; the others are counted


def in_words(fact: Fact) -> str:  # noqa: C901, PLR0911 - one return for each kind of fact
    """`0107 sold 1 × TSH-BLK-M`."""
    data, where = fact.data, fact.data.get("location", "")
    match fact.type.partition(".")[0]:
        case "SaleRecorded" if fact.source == WEB:
            return f"web shop sold {_goods(data)} from {where}, order {fact.id}"
        case "SaleRecorded":
            return f"{where} sold {_goods(data)}"
        case "ReturnReceived":
            return f"{where} took back {_goods(data)} of {data['original']['id']}, to quarantine"
        case "DispositionDecided":
            return f"{where} looked at {data['return']}: {_goods(data)} is {data['to']}"
        case "GoodsReceived":
            return f"{where} received {_goods(data)} from a supplier"
        case "TransferShipped":
            return f"{data['from']} shipped {_goods(data)} to {data['to']}"
        case "TransferReceived":
            return f"{data['to']} unpacked {_goods(data)} from {data['from']}"
        case "ShipmentConfirmed":
            verb = "sent" if where == WAREHOUSE else "handed over"
            return f"{where} {verb} {_goods(data)} for {data['order_ref']}"
        case "StockCounted":
            return f"{where} counted {_counted(data)}"
        case "FactVoided":
            return f"{fact.location} voided {data['target']}: {data['reason']}"
        case other:
            return f"{where} reported {other}"


def delivered_in_words(delivery: Delivery, outcome: str) -> str:
    """What arrived, and what is odd about it."""
    words = in_words(delivery.fact)
    if outcome == "duplicate":
        return f"{words} — again: ignored, known already"
    if outcome == "held":
        return f"{words} — held: the item is not known yet"
    if outcome == "parked":
        return f"{words} — waits for the fact it names"
    return words


def item_name(line: dict[str, Any]) -> str:
    """The sku of a line's item, or the code that its till has for it."""
    return str(line["item"].get("sku") or line["item"]["id"])


def _goods(data: dict[str, Any]) -> str:
    lines = data["lines"]
    named = ", ".join(f"{line['quantity']} × {item_name(line)}" for line in lines[:NAMED])
    return named if len(lines) <= NAMED else f"{named} and {len(lines) - NAMED} more"


def _counted(data: dict[str, Any]) -> str:
    lines = data["lines"]
    found = ", ".join(f"{item_name(line)}: {line['quantity']}" for line in lines[:2])
    rest = len(lines) - 2
    return f"{found} and {rest} more" if rest > 0 else found
