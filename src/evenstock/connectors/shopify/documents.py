"""What Shopify is asked: every GraphQL document as it is sent, and the answer to each that we understand.

A test checks each document against the vendor's published schema. What an answer has more is left unread.
"""

from typing import Final

import msgspec

VERSION: Final = "2026-10"  # of the Admin API, in whose path it stands
PAGE: Final = 100  # levels in one page of a snapshot
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


class Items(_Answer, frozen=True):
    nodes: list[Item]
    page_info: Page


class ItemsBySku(_Answer, frozen=True):
    inventory_items: Items


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
      nodes {{ item {{ id sku }} quantities(names: {NAMES}) {{ name quantity }} }}
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


ALL: Final = (ITEMS_BY_SKU, LEVELS, PAGE_OF_LEVELS, SET_QUANTITIES)
