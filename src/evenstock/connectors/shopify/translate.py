"""What Shopify says about goods, by webhook or when asked: orders promise them, fulfilments leave, refunds with a restock come back.

Both ways become the same events under the same ids, so whatever comes second books nothing.
"""

from collections.abc import Callable
from typing import Any, Final

from evenstock.connectors.contract import JsonObject, Message, Untranslatable
from evenstock.connectors.reading import json_of, typed
from evenstock.connectors.shopify.polled import FULFILMENT, REFUND, UNLISTED, fulfilment_of, refund_of
from evenstock.connectors.shopify.settings import Settings
from evenstock.connectors.shopify.shapes import Fulfillment, LineItem, Ordered, Refund

GID: Final = "gid://shopify/Location/"
DOMAIN: Final = "x-shopify-shop-domain"

# Taken and kept, without effect on stock: no goods move by them.
SILENT: Final = frozenset(
    {
        "orders/updated", "orders/edited", "orders/paid", "orders/fulfilled", "orders/partially_fulfilled", "inventory_levels/update", "inventory_levels/connect", "inventory_levels/disconnect",
    }
)  # fmt: skip
RENEWED: Final = "webhooks/renewed"  # what we did ourselves, kept for whoever asks why webhooks were missing
SHIPPED: Final = "success"
NOT_SHIPPED: Final = frozenset({"pending", "open", "error", "failure"})
CANCELLED: Final = "cancelled"
CAME_BACK: Final = "return"
CANCEL: Final = "cancel"
STAYED: Final = frozenset({CANCEL, "no_restock"})


def translate(settings: Settings, message: Message) -> list[JsonObject]:
    """The events of one message, by its topic."""
    shop = message.headers.get(DOMAIN)
    if settings.shop is not None and shop is not None and shop != settings.shop:
        raise Untranslatable(
            "message.unsupported", f"It is of the shop {shop[:100]}, not of {settings.shop}."
        )
    value = json_of(message)
    if message.name in SILENT or message.name == RENEWED:
        return []
    reader = READERS.get(message.name) or ASKED.get(message.name)
    if reader is None:
        raise Untranslatable("message.unsupported", f"The topic {message.name[:100]!r} is not read.")
    return reader(settings, value)


def _unlisted(settings: Settings, value: Any) -> list[JsonObject]:
    del settings, value
    raise Untranslatable(
        "limit.batch", "The order has more fulfilments or refunds than the store lists: compare it by hand."
    )


def _fulfillment(settings: Settings, told: Fulfillment) -> list[JsonObject]:
    """Goods that left; one that was cancelled never did."""
    key = f"fulfillment/{told.id}"
    if told.status in NOT_SHIPPED:
        return []
    if told.status == CANCELLED:
        voided = {"target": key, "goods": "never_left", "reason": "Shopify: the fulfillment was cancelled"}
        return [{"id": f"{key}/cancelled", "type": "FactVoided.v1", "time": told.updated_at, "data": voided}]
    if told.status != SHIPPED:
        raise Untranslatable(
            "message.shape", f"There is no status {str(told.status)[:40]!r} that we know.", "/status"
        )
    lines = [_line(item, item.quantity) for item in told.line_items if _is_stock(item) and item.quantity > 0]
    if not lines:
        return []
    data: JsonObject = {"location": _location(settings, told.location_id, "/location_id"), "lines": lines}
    if settings.is_promised:
        data["order_ref"] = str(told.order_id)
    else:
        data["ticket"] = str(told.order_id)
    kind = "ShipmentConfirmed.v1" if settings.is_promised else "SaleRecorded.v1"
    return [{"id": key, "type": kind, "time": told.created_at, "data": data}]


def _ordered(settings: Settings, told: Ordered) -> list[JsonObject]:
    """An order that the shop has taken, where its orders are promised here."""
    lines = [_line(item, item.quantity) for item in told.line_items if _is_stock(item) and item.quantity > 0]
    if settings.sells is None or not lines:
        return []
    data = {"channel": settings.sells, "order_ref": str(told.id), "lines": lines}
    return [{"id": f"order/{told.id}", "type": "OrderPlaced.v1", "time": told.created_at, "data": data}]


def _order_off(settings: Settings, told: Ordered) -> list[JsonObject]:
    """An order that was cancelled as a whole."""
    if settings.sells is None or not any(map(_is_stock, told.line_items)):
        return []
    data = {
        "channel": settings.sells,
        "order_ref": str(told.id),
        "reason": f"Shopify: {told.cancel_reason or 'cancelled'}",
    }
    time = told.cancelled_at or told.updated_at or told.created_at
    return [{"id": f"order/{told.id}/cancelled", "type": "OrderCancelled.v1", "time": time, "data": data}]


def _lines_off(settings: Settings, told: Refund) -> list[JsonObject]:
    """Lines that were paid back before they were shipped: their units are promised no more."""
    lines: JsonObject = {}
    for line in told.refund_line_items:
        if line.restock_type == CANCEL and _is_stock(line.line_item) and line.quantity > 0:
            name = str(line.line_item.id)
            lines[name] = lines.get(name, 0) + line.quantity
    if settings.sells is None or told.order_id is None or not lines:
        return []
    off = [{"line": name, "quantity": quantity} for name, quantity in lines.items()]
    data = {"channel": settings.sells, "order_ref": str(told.order_id), "lines": off}
    key = f"refund/{told.id}/cancelled"
    return [{"id": key, "type": "OrderCancelled.v1", "time": told.created_at, "data": data}]


def _refund(settings: Settings, told: Refund) -> list[JsonObject]:
    """Goods that came back, by the location that took them; money alone moves nothing."""
    by_location: dict[int | None, list[JsonObject]] = {}
    for index, line in enumerate(told.refund_line_items):
        if line.restock_type in STAYED or not _is_stock(line.line_item):
            continue
        where = f"/refund_line_items/{index}"
        if line.restock_type != CAME_BACK:
            words = f"There is no restock_type {line.restock_type[:40]!r} that says where the goods are."
            raise Untranslatable("message.shape", words, f"{where}/restock_type")
        if line.location_id is None:
            raise Untranslatable(
                "message.shape", "Goods came back and no location took them.", f"{where}/location_id"
            )
        by_location.setdefault(line.location_id, []).append(_line(line.line_item, line.quantity, line.id))
    events = _lines_off(settings, told)
    for location_id, lines in by_location.items():
        key = f"refund/{told.id}/{location_id}"
        place = _location(settings, location_id, "")
        events.append(
            {
                "id": key,
                "type": "ReturnReceived.v1",
                "time": told.created_at,
                "data": {"location": place, "lines": lines},
            }
        )
        if not settings.inspect:
            decided = {"location": place, "return": key, "to": "sellable", "lines": lines}
            events.append(
                {
                    "id": f"{key}/restocked",
                    "type": "DispositionDecided.v1",
                    "time": told.created_at,
                    "data": decided,
                }
            )
    return events


Reader = Callable[[Settings, Any], list[JsonObject]]
READERS: Final[dict[str, Reader]] = {
    "orders/create": lambda settings, value: _ordered(settings, typed(value, Ordered)),
    "orders/cancelled": lambda settings, value: _order_off(settings, typed(value, Ordered)),
    "fulfillments/create": lambda settings, value: _fulfillment(settings, typed(value, Fulfillment)),
    "fulfillments/update": lambda settings, value: _fulfillment(settings, typed(value, Fulfillment)),
    "refunds/create": lambda settings, value: _refund(settings, typed(value, Refund)),
}
ASKED: Final[dict[str, Reader]] = {
    FULFILMENT: lambda settings, value: _fulfillment(settings, fulfilment_of(value)),
    REFUND: lambda settings, value: _refund(settings, refund_of(value)),
    UNLISTED: _unlisted,
}


def _is_stock(item: LineItem) -> bool:
    """Gift cards, tips and lines typed in by hand are no stock."""
    return not item.gift_card and bool(item.sku or item.variant_id is not None)


def _line(item: LineItem, quantity: int, line: int | None = None) -> JsonObject:
    named = {"sku": item.sku} if item.sku else {"id": str(item.variant_id)}
    return {"line": str(item.id if line is None else line), "item": named, "quantity": quantity}


def _location(settings: Settings, location_id: int | None, pointer: str) -> str:
    """Our location; one that the settings do not name goes by Shopify's number, and waits until it is known."""
    if location_id is None:
        raise Untranslatable("message.shape", "It does not say which location the goods left.", pointer)
    number = str(location_id)
    return settings.locations.get(number) or settings.locations.get(GID + number, number)
