"""What Shopify says of goods that move, as far as stock needs it: the shape of its webhooks."""

import msgspec


class LineItem(msgspec.Struct, frozen=True):
    """What was ordered, as far as stock needs it."""

    id: int
    quantity: int = 0
    sku: str | None = None
    variant_id: int | None = None
    gift_card: bool = False


class Ordered(msgspec.Struct, frozen=True):
    id: int
    created_at: str
    line_items: list[LineItem]
    updated_at: str | None = None
    cancelled_at: str | None = None
    cancel_reason: str | None = None


class Fulfillment(msgspec.Struct, frozen=True):
    id: int
    order_id: int
    status: str | None
    created_at: str
    updated_at: str
    line_items: list[LineItem]
    location_id: int | None = None


class RefundLine(msgspec.Struct, frozen=True):
    id: int
    quantity: int
    restock_type: str
    line_item: LineItem
    location_id: int | None = None


class Refund(msgspec.Struct, frozen=True):
    id: int
    created_at: str
    refund_line_items: list[RefundLine]
    order_id: int | None = None
