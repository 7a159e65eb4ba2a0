"""Orders of a store that is not there, and the goods that moved for them: as its webhooks carry them, and as its GraphQL shows them."""

from collections.abc import Callable
from typing import Any, Final

from evenstock.connectors.shopify.sandbox_store import Order, Refund, Store

GID: Final = "gid://shopify/"
Shown = Callable[[str], dict[str, Any] | None]  # what an id of the store shows


class Goods:
    """What moved, in both of the vendor's spellings."""

    def __init__(self, store: Store, location: Shown, item: Shown) -> None:
        self._store = store
        self._location = location
        self._item = item

    # as webhooks carry them

    def order_payload(self, order: Order) -> dict[str, Any]:
        is_shipped = order.status == "fulfilled"
        return {
            "id": order.id,
            "admin_graphql_api_id": f"{GID}Order/{order.id}",
            "name": order.name,
            "created_at": order.created_at,
            "updated_at": order.updated_at,
            "cancelled_at": order.updated_at if order.status == "cancelled" else None,
            "financial_status": "paid",
            "fulfillment_status": "fulfilled" if is_shipped else None,
            "location_id": _number(order.location),
            "line_items": self._lines(order),
        }

    def fulfilment_payload(self, order: Order) -> dict[str, Any]:
        return {
            "id": order.id * 10,
            "order_id": order.id,
            "status": "success",
            "created_at": order.fulfilled_at,
            "updated_at": order.fulfilled_at,
            "location_id": _number(order.location),
            "line_items": self._lines(order),
        }

    def refund_payload(self, order: Order, refund: Refund) -> dict[str, Any]:
        items = self._lines(order)
        return {
            "id": refund.id,
            "order_id": order.id,
            "created_at": refund.created_at,
            "processed_at": refund.created_at,
            "refund_line_items": [
                {
                    "id": refund.id * 100 + number,
                    "line_item_id": items[number - 1]["id"],
                    "quantity": quantity,
                    "restock_type": refund.restock_type,
                    "location_id": _number(order.location) if refund.restock_type == "return" else None,
                    "line_item": items[number - 1],
                }
                for number, quantity in refund.lines
            ],
        }

    def _lines(self, order: Order) -> list[dict[str, Any]]:
        is_shipped = order.status == "fulfilled"
        return [
            {
                "id": order.id * 100 + number,
                "admin_graphql_api_id": f"{GID}LineItem/{order.id * 100 + number}",
                "sku": self._store.state.items[item] or None,
                "variant_id": _number(item),
                "gift_card": False,
                "quantity": quantity,
                "fulfillable_quantity": quantity if order.status == "open" else 0,
                "fulfillment_status": "fulfilled" if is_shipped else None,
            }
            for number, (item, quantity) in enumerate(order.lines, 1)
        ]

    # as GraphQL shows them

    def node(self, id_: str) -> dict[str, Any] | None:
        """An order, a fulfilment, a refund or a variant by its gid."""
        kind, _, number = id_.removeprefix(GID).partition("/")
        if kind == "ProductVariant":
            item = f"{GID}InventoryItem/{number}"
            return self.variant(item) if item in self._store.state.items else None
        for order in self._store.state.orders.values():
            if (kind, number) == ("Order", str(order.id)):
                return self.order(order)
            if (kind, number) == ("Fulfillment", str(order.id * 10)) and order.status == "fulfilled":
                return self._fulfilment(order)
            for refund in order.refunds:
                if (kind, number) == ("Refund", str(refund.id)):
                    return self._refund(order, refund)
        return None

    def order(self, order: Order) -> dict[str, Any]:
        is_shipped = order.status == "fulfilled"
        return {
            "__typename": "Order",
            "id": f"{GID}Order/{order.id}",
            "legacyResourceId": str(order.id),
            "updatedAt": order.updated_at,
            "fulfillments": lambda _, first=10: [self._fulfilment(order)][:first] if is_shipped else [],
            "refunds": lambda _, first=10: [self._refund(order, each) for each in order.refunds][:first],
        }

    def _fulfilment(self, order: Order) -> dict[str, Any]:
        lines = [
            {
                "id": f"{GID}FulfillmentLineItem/{order.id * 1000 + number}",
                "lineItem": self._line_item(order, number),
                "quantity": quantity,
            }
            for number, (_, quantity) in enumerate(order.lines, 1)
        ]
        return {
            "__typename": "Fulfillment",
            "id": f"{GID}Fulfillment/{order.id * 10}",
            "legacyResourceId": str(order.id * 10),
            "status": "SUCCESS",
            "createdAt": order.fulfilled_at,
            "updatedAt": order.fulfilled_at,
            "location": lambda _: self._location(order.location),
            "order": lambda _: self.order(order),
            "fulfillmentLineItems": lambda _, first=50, after=None: page(lines, first, after),
        }

    def _refund(self, order: Order, refund: Refund) -> dict[str, Any]:
        is_back = refund.restock_type == "return"
        lines = [
            {
                "id": f"{GID}RefundLineItem/{refund.id * 100 + number}",
                "lineItem": self._line_item(order, number),
                "quantity": quantity,
                "restockType": refund.restock_type.upper(),
                "location": lambda _: self._location(order.location) if is_back else None,
            }
            for number, quantity in refund.lines
        ]
        return {
            "__typename": "Refund",
            "id": f"{GID}Refund/{refund.id}",
            "legacyResourceId": str(refund.id),
            "createdAt": refund.created_at,
            "order": lambda _: self.order(order),
            "refundLineItems": lambda _, first=50, after=None: page(lines, first, after),
        }

    def _line_item(self, order: Order, number: int) -> dict[str, Any]:
        item, _ = order.lines[number - 1]
        return {
            "__typename": "LineItem",
            "id": f"{GID}LineItem/{order.id * 100 + number}",
            "isGiftCard": False,
            "sku": self._store.state.items[item] or None,
            "variant": self.variant(item),
        }

    def variant(self, item: str) -> dict[str, Any]:
        """The variant of an item; here it has the item's number."""
        return {
            "__typename": "ProductVariant",
            "id": f"{GID}ProductVariant/{_number(item)}",
            "legacyResourceId": str(_number(item)),
            "inventoryItem": lambda _: self._item(item),
        }


def page(objects: list[Any], first: int, after: str | None) -> dict[str, Any]:
    """A page of a connection: so many, from where the one before ended."""
    start = int(after) if after else 0
    end = start + first
    return {
        "nodes": objects[start:end],
        "pageInfo": {"hasNextPage": end < len(objects), "endCursor": str(min(end, len(objects)))},
    }


def _number(gid: str) -> int:
    return int(gid.rpartition("/")[2])
