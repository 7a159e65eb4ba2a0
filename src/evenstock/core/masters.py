"""What is known of items and locations, as far as a batch of facts needs it."""

from typing import Literal

import msgspec

from evenstock.core.channels import Channel
from evenstock.core.events import ItemRef
from evenstock.core.owning import Claims
from evenstock.core.quantity import ONE, Factor


class Item(msgspec.Struct, frozen=True):
    item_id: int
    sku: str
    base_uom: str = "EA"
    scale: int = 0
    uoms: dict[str, Factor] = {}

    def factor(self, uom: str | None) -> Factor | None:
        """How many base units one `uom` is; None when the item does not have that unit."""
        if uom is None or uom == self.base_uom:
            return ONE
        return self.uoms.get(uom)


class Location(msgspec.Struct, frozen=True):
    location_id: int
    id: str
    count_policy: Literal["low", "start", "end"] = "low"
    type: str = "store"


def canonical_gtin(gtin: str) -> str:
    """A barcode of 8, 12, 13 or 14 digits as its GTIN-14, so that leading zeros do not matter."""
    return gtin.zfill(14) if gtin.isascii() and gtin.isdigit() else gtin


class Masters:
    """Items and locations by every name they go by, as of one `version`. Filled by whoever can read them."""

    def __init__(self, version: int = -1) -> None:
        self.version = version
        self.items_by_sku: dict[str, Item] = {}
        self.items_by_gtin: dict[str, Item] = {}
        self.items_by_code: dict[tuple[int, str], Item] = {}
        self.locations: dict[str, Location] = {}
        self.connections: dict[str, int] = {}
        self.channels: dict[str, Channel] = {}
        self.claims: Claims = {}  # who is right about what

    def item(self, ref: ItemRef, connection_id: int) -> Item | None:
        if ref.sku is not None:
            return self.items_by_sku.get(ref.sku)
        if ref.gtin is not None:
            return self.items_by_gtin.get(canonical_gtin(ref.gtin))
        return self.items_by_code.get((connection_id, ref.id or ""))
