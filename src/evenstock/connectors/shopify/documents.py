"""What Shopify is asked: every GraphQL document as it is sent, and the answer to each that we understand.

A test checks each document against the vendor's published schema. What an answer has more is left unread.
"""

from datetime import datetime
from typing import Annotated, Final

import msgspec

VERSION: Final = "2026-10"  # of the Admin API, in whose path it stands
PAGE: Final = 100  # levels in one page of a snapshot
Number = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,20}$")]
NAMES: Final = '["available", "committed", "reserved"]'


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    """JSON in the vendor's spelling."""


class Page(_Answer, frozen=True):
    has_next_page: bool
    end_cursor: str | None = None

    @property
    def after(self) -> str | None:
        """Where the next page begins, if there is one."""
        return self.end_cursor if self.has_next_page else None


class Quantity(_Answer, frozen=True):
    name: str
    quantity: int


class Legacy(_Answer, frozen=True):
    """An object by the number that webhooks call it by."""

    legacy_resource_id: Number


ITEMS_BY_SKU: Final = """
query ItemsBySku($query: String!, $after: String) {
  inventoryItems(first: 100, query: $query, after: $after) {
    nodes { id sku }
    pageInfo { hasNextPage endCursor }
  }
}"""


class Item(_Answer, frozen=True):
    id: str
    sku: str | None = None
    variant: Legacy | None = None

    @property
    def names(self) -> tuple[str, str]:
        """Its sku, and the code by which a connection may know it: the store's own id, or where it has no sku the variant's number."""
        is_nameless = not self.sku and self.variant is not None
        return self.sku or "", self.variant.legacy_resource_id if is_nameless and self.variant else self.id


class Items(_Answer, frozen=True):
    nodes: list[Item]
    page_info: Page


class ItemsBySku(_Answer, frozen=True):
    inventory_items: Items


ITEMS_BY_VARIANT: Final = """
query ItemsByVariant($ids: [ID!]!) {
  nodes(ids: $ids) { ... on ProductVariant { legacyResourceId inventoryItem { id } } }
}"""


class Stocked(_Answer, frozen=True):
    id: str


class Variant(_Answer, frozen=True):
    legacy_resource_id: Number
    inventory_item: Stocked


class ItemsByVariant(_Answer, frozen=True):
    nodes: list[Variant | None]


LEVELS: Final = f"""
query Levels($ids: [ID!]!, $location: ID!) {{
  nodes(ids: $ids) {{
    id
    ... on InventoryItem {{
      inventoryLevel(locationId: $location) {{ updatedAt quantities(names: {NAMES}) {{ name quantity }} }}
    }}
  }}
}}"""


class ShownLevel(_Answer, frozen=True):
    updated_at: str
    quantities: list[Quantity]


class ShownItem(_Answer, frozen=True):
    id: str
    inventory_level: ShownLevel | None = None


class Levels(_Answer, frozen=True):
    nodes: list[ShownItem | None]


PAGE_OF_LEVELS: Final = f"""
query PageOfLevels($location: ID!, $after: String) {{
  location(id: $location) {{
    inventoryLevels(first: {PAGE}, after: $after) {{
      nodes {{ item {{ id sku variant {{ legacyResourceId }} }} quantities(names: {NAMES}) {{ name quantity }} }}
      pageInfo {{ hasNextPage endCursor }}
    }}
  }}
}}"""


class ListedLevel(_Answer, frozen=True):
    item: Item
    quantities: list[Quantity]


class ListedLevels(_Answer, frozen=True):
    nodes: list[ListedLevel]
    page_info: Page


class ListedLocation(_Answer, frozen=True):
    inventory_levels: ListedLevels


class PageOfLevels(_Answer, frozen=True):
    location: ListedLocation | None


SET_QUANTITIES: Final = """
mutation SetQuantities($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { id }
    userErrors { code field message }
  }
}"""


class Group(_Answer, frozen=True):
    id: str


class UserError(_Answer, frozen=True):
    message: str
    code: str | None = None
    field: list[str] | None = None


class Set(_Answer, frozen=True):
    inventory_adjustment_group: Group | None
    user_errors: list[UserError]


class SetQuantities(_Answer, frozen=True):
    inventory_set_quantities: Set


# All levels at once, which the store writes into a file while we wait.

ALL_LEVELS: Final = f"""
query AllLevels {{
  inventoryItems {{
    edges {{
      node {{
        id
        sku
        variant {{ legacyResourceId }}
        inventoryLevels {{ edges {{ node {{ id location {{ id }} quantities(names: {NAMES}) {{ name quantity }} }} }} }}
      }}
    }}
  }}
}}"""

RUN_IN_BULK: Final = """
mutation RunInBulk($query: String!) {
  bulkOperationRunQuery(query: $query, groupObjects: false) {
    bulkOperation { id status }
    userErrors { code field message }
  }
}"""

IN_BULK: Final = """
query InBulk($id: ID!) {
  bulkOperation(id: $id) { id status errorCode url }
}"""


class BulkOperation(_Answer, frozen=True):
    id: str
    status: str
    error_code: str | None = None
    url: str | None = None


class BulkStarted(_Answer, frozen=True):
    bulk_operation: BulkOperation | None
    user_errors: list[UserError]


class RunInBulk(_Answer, frozen=True):
    bulk_operation_run_query: BulkStarted


class InBulk(_Answer, frozen=True):
    bulk_operation: BulkOperation | None


class Located(_Answer, frozen=True):
    id: str


class BulkLine(_Answer, frozen=True):
    """A line of the file: an item, or a level below the item that `parent` names."""

    id: str
    sku: str | None = None
    variant: Legacy | None = None
    location: Located | None = None
    quantities: list[Quantity] = []
    parent: str | None = msgspec.field(name="__parentId", default=None)


# What goods moved, asked for because webhooks get lost. Prices count every object that may come: a question costs at most 1,000.

GOODS_MAX: Final = 10  # fulfilments, or refunds, in one question
LISTED_MAX: Final = 20  # of each, that an order of a page names
OF_ORDER_MAX: Final = 250  # of each, that a question for one order names: as many as the store gives

CHANGED_ORDERS: Final = f"""
query ChangedOrders($query: String!, $after: String) {{
  orders(first: 10, after: $after, query: $query, sortKey: UPDATED_AT) {{
    nodes {{ id updatedAt fulfillments(first: {LISTED_MAX}) {{ id }} refunds(first: {LISTED_MAX}) {{ id }} }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}"""

GOODS_OF_ORDER: Final = f"""
query GoodsOfOrder($id: ID!) {{
  order(id: $id) {{ id updatedAt fulfillments(first: {OF_ORDER_MAX}) {{ id }} refunds(first: {OF_ORDER_MAX}) {{ id }} }}
}}"""


class Named(_Answer, frozen=True):
    id: str


class ChangedOrder(_Answer, frozen=True):
    id: str
    updated_at: datetime
    fulfillments: list[Named]
    refunds: list[Named]


class PageOfOrders(_Answer, frozen=True):
    nodes: list[ChangedOrder]
    page_info: Page


class ChangedOrders(_Answer, frozen=True):
    orders: PageOfOrders


class GoodsOfOrder(_Answer, frozen=True):
    order: ChangedOrder | None


_ITEM: Final = "lineItem { id sku isGiftCard variant { legacyResourceId } }"
_SHIPPED: Final = f"nodes {{ quantity {_ITEM} }} pageInfo {{ hasNextPage endCursor }}"
_REFUNDED: Final = f"nodes {{ id quantity restockType location {{ legacyResourceId }} {_ITEM} }} pageInfo {{ hasNextPage endCursor }}"

FULFILMENTS: Final = f"""
query Fulfilments($ids: [ID!]!) {{
  nodes(ids: $ids) {{
    ... on Fulfillment {{
      id legacyResourceId status createdAt updatedAt location {{ legacyResourceId }} order {{ legacyResourceId }}
      fulfillmentLineItems(first: 20) {{ {_SHIPPED} }}
    }}
  }}
}}"""

LINES_OF_FULFILMENT: Final = f"""
query LinesOfFulfilment($id: ID!, $after: String!) {{
  fulfillment(id: $id) {{ fulfillmentLineItems(first: 200, after: $after) {{ {_SHIPPED} }} }}
}}"""

REFUNDS: Final = f"""
query Refunds($ids: [ID!]!) {{
  nodes(ids: $ids) {{
    ... on Refund {{
      id legacyResourceId createdAt order {{ legacyResourceId }}
      refundLineItems(first: 20) {{ {_REFUNDED} }}
    }}
  }}
}}"""

LINES_OF_REFUND: Final = f"""
query LinesOfRefund($id: ID!, $after: String!) {{
  refund(id: $id) {{ refundLineItems(first: 200, after: $after) {{ {_REFUNDED} }} }}
}}"""


class OrderedItem(_Answer, frozen=True):
    id: str
    is_gift_card: bool
    sku: str | None = None
    variant: Legacy | None = None


class ShippedLine(_Answer, frozen=True):
    line_item: OrderedItem
    quantity: int | None = None


class ShippedLines(_Answer, frozen=True):
    nodes: list[ShippedLine]
    page_info: Page


class FulfilmentAsked(_Answer, frozen=True):
    id: str
    legacy_resource_id: Number
    status: str
    created_at: str
    updated_at: str
    order: Legacy
    fulfillment_line_items: ShippedLines
    location: Legacy | None = None


class Fulfilments(_Answer, frozen=True):
    nodes: list[FulfilmentAsked | None]


class RefundedLine(_Answer, frozen=True):
    line_item: OrderedItem
    quantity: int
    restock_type: str
    id: str | None = None
    location: Legacy | None = None


class RefundedLines(_Answer, frozen=True):
    nodes: list[RefundedLine]
    page_info: Page


class RefundAsked(_Answer, frozen=True):
    id: str
    legacy_resource_id: Number
    order: Legacy
    refund_line_items: RefundedLines
    created_at: str | None = None


class Refunds(_Answer, frozen=True):
    nodes: list[RefundAsked | None]


class _WithShipped(_Answer, frozen=True):
    fulfillment_line_items: ShippedLines


class LinesOfFulfilment(_Answer, frozen=True):
    fulfillment: _WithShipped | None


class _WithRefunded(_Answer, frozen=True):
    refund_line_items: RefundedLines


class LinesOfRefund(_Answer, frozen=True):
    refund: _WithRefunded | None


SUBSCRIPTIONS: Final = """
query Subscriptions($uri: String!, $topics: [WebhookSubscriptionTopic!]!, $after: String) {
  webhookSubscriptions(first: 100, uri: $uri, topics: $topics, after: $after) {
    nodes { id topic uri }
    pageInfo { hasNextPage endCursor }
  }
}"""

SUBSCRIBE: Final = """
mutation Subscribe($topic: WebhookSubscriptionTopic!, $webhook: WebhookSubscriptionInput!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: $webhook) {
    webhookSubscription { id topic uri }
    userErrors { field message }
  }
}"""


class Subscription(_Answer, frozen=True):
    id: str
    topic: str
    uri: str


class _Subscriptions(_Answer, frozen=True):
    nodes: list[Subscription]
    page_info: Page


class Subscriptions(_Answer, frozen=True):
    webhook_subscriptions: _Subscriptions


class _Error(_Answer, frozen=True):
    message: str


class _Subscribed(_Answer, frozen=True):
    user_errors: list[_Error]
    webhook_subscription: Subscription | None = None


class Subscribe(_Answer, frozen=True):
    subscribed: _Subscribed = msgspec.field(name="webhookSubscriptionCreate")


ALL: Final = (
    ITEMS_BY_SKU, ITEMS_BY_VARIANT, LEVELS, PAGE_OF_LEVELS, SET_QUANTITIES, CHANGED_ORDERS, GOODS_OF_ORDER, FULFILMENTS, LINES_OF_FULFILMENT, REFUNDS,
    LINES_OF_REFUND, ALL_LEVELS, RUN_IN_BULK, IN_BULK, SUBSCRIPTIONS, SUBSCRIBE,
)  # fmt: skip
