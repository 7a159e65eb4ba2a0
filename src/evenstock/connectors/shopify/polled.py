"""What a Shopify store answers when it is asked about goods that moved, read as its webhooks would have said it."""

from typing import Any, Final

from evenstock.connectors.contract import Untranslatable
from evenstock.connectors.reading import typed
from evenstock.connectors.shopify.documents import FulfilmentAsked, Legacy, OrderedItem, RefundAsked
from evenstock.connectors.shopify.shapes import Fulfillment, LineItem, Refund, RefundLine

FULFILMENT: Final = "fulfillments/asked"  # kinds of messages that we fetched; no topics of the vendor
REFUND: Final = "refunds/asked"
UNLISTED: Final = "orders/unlisted"


def fulfilment_of(value: Any) -> Fulfillment:
    """Goods that left. Raises Untranslatable."""
    asked = typed(value, FulfilmentAsked)
    lines = [
        _item(line.line_item, line.quantity or 0, f"/fulfillmentLineItems/nodes/{index}")
        for index, line in enumerate(asked.fulfillment_line_items.nodes)
    ]
    return Fulfillment(
        id=int(asked.legacy_resource_id),
        order_id=int(asked.order.legacy_resource_id),
        status=asked.status.lower(),
        created_at=asked.created_at,
        updated_at=asked.updated_at,
        line_items=lines,
        location_id=_number(asked.location),
    )


def refund_of(value: Any) -> Refund:
    """Goods that came back, or money alone. Raises Untranslatable."""
    asked = typed(value, RefundAsked)
    if asked.created_at is None:
        raise Untranslatable("message.shape", "It does not say when it was made.", "/createdAt")
    lines = []
    for index, line in enumerate(asked.refund_line_items.nodes):
        where = f"/refundLineItems/nodes/{index}"
        id_ = _tail(line.id or "", f"{where}/id")
        item = _item(line.line_item, line.quantity, where)
        lines.append(RefundLine(id_, line.quantity, line.restock_type.lower(), item, _number(line.location)))
    return Refund(int(asked.legacy_resource_id), asked.created_at, lines, int(asked.order.legacy_resource_id))


def _item(item: OrderedItem, quantity: int, where: str) -> LineItem:
    id_ = _tail(item.id, f"{where}/lineItem/id")
    return LineItem(id_, quantity, item.sku, _number(item.variant), item.is_gift_card)


def _number(named: Legacy | None) -> int | None:
    return None if named is None else int(named.legacy_resource_id)


def _tail(gid: str, where: str) -> int:
    """The number at the end of a gid, by which webhooks call the same thing."""
    number = gid.rpartition("/")[2].partition("?")[0]
    if not (number.isascii() and number.isdigit() and len(number) <= 20):
        raise Untranslatable("message.shape", f"{gid[:100]!r} does not end in a number.", where)
    return int(number)
