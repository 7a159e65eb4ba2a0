"""The stock of a store that is not there: what Shopify's documentation says happens to quantities, and nothing kinder.

`available` is what may be sold, already without what orders hold (`committed`) and drafts hold (`reserved`). An order moves
units from available to committed; shipping it takes them out of committed.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from evenstock.connectors.sandbox import Misused

QUANTITY_MAX: Final = 1_000_000_000
INPUTS_MAX: Final = 250
REASONS: Final = (
    "correction", "cycle_count_available", "damaged", "movement_created", "movement_received", "movement_updated",
    "movement_canceled", "other", "promotion", "quality_control", "received", "reservation_created", "reservation_deleted",
    "reservation_updated", "restock", "safety_stock", "shrinkage",
)  # fmt: skip

OF_ENTRIES: Final = {
    "NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR": ("The combination of inventoryItemId and locationId must be unique.", "inventoryItemId"),
    "INVALID_INVENTORY_ITEM": ("The specified inventory item could not be found.", "inventoryItemId"),
    "INVALID_LOCATION": ("The specified location could not be found.", "locationId"),
    "INVALID_QUANTITY_NEGATIVE": ("The quantity can't be negative.", "quantity"),
    "INVALID_QUANTITY_TOO_HIGH": ("The total quantity can't be higher than 1,000,000,000.", "quantity"),
    "CHANGE_FROM_QUANTITY_STALE": ("The changeFromQuantity value does not match persisted value.", "changeFromQuantity"),
}  # fmt: skip


class Level(msgspec.Struct):
    """An item at a location."""

    available: int = 0
    committed: int = 0
    reserved: int = 0
    updated_at: str = ""

    @property
    def on_hand(self) -> int:
        return self.available + self.committed + self.reserved


class Refund(msgspec.Struct):
    """Money that went back, and what of the order's lines (by their number) came back with it."""

    id: int
    created_at: str
    restock_type: str
    lines: list[tuple[int, int]]  # number of the line, quantity


class Order(msgspec.Struct):
    id: int
    name: str
    location: str
    lines: list[tuple[str, int]]  # item, quantity
    status: str  # open, fulfilled, cancelled
    created_at: str
    updated_at: str = ""
    fulfilled_at: str = ""
    refunds: list[Refund] = []


class Bulk(msgspec.Struct):
    """A file that the store writes."""

    url: str
    content: str
    status: str = "RUNNING"
    looks: int = 0


class Answered(msgspec.Struct):
    """What a key was used for, and what was answered; None if that failed."""

    fingerprint: str
    answer: dict[str, Any] | None


class State(msgspec.Struct):
    """All that the store remembers."""

    items: dict[str, str] = {}  # id → sku
    locations: dict[str, str] = {}  # id → name
    levels: dict[str, dict[str, Level]] = {}  # location → item → level
    orders: dict[str, Order] = {}
    keys: dict[str, Answered] = {}
    writes: int = 0  # how often quantities were really set
    granted: int = 1  # tokens, so far
    renewing: str = "sandbox"  # what renews a token, once
    renewed: str = ""  # the one before: good until its replacement is used
    tokens: list[str] = msgspec.field(default_factory=lambda: ["sandbox"])
    points: float = 2000.0
    points_max: float = 2000.0
    points_per_s: float = 100.0
    points_at: datetime | None = None
    hub: str = ""  # where webhooks go
    hub_secret: str = "sandbox"  # noqa: S105 - it opens nothing but this sandbox
    subscribed: dict[str, tuple[str, str]] = {}  # id → topic, uri
    subscriptions: int = 0
    hooks: int = 0
    refunds: int = 0
    bulks: dict[str, Bulk] = {}


class Store:
    """What can be done to the stock."""

    def __init__(self, state: State, now: Callable[[], datetime]) -> None:
        self.state = state
        self._now = now

    def time(self) -> str:
        return self._now().isoformat(timespec="microseconds").replace("+00:00", "Z")

    # what merchants and customers do

    def stocked(self, sku: str, location: str, available: int) -> None:
        """As the merchant does by hand: there is such an item, such a location, and this much may be sold there."""
        item = next((id_ for id_, known in self.state.items.items() if known == sku), None)
        if item is None:
            item = f"gid://shopify/InventoryItem/{1001 + len(self.state.items)}"
            self.state.items[item] = sku
        level = self.state.levels.setdefault(self.place(location, new=True), {}).setdefault(item, Level())
        level.available = available
        level.updated_at = self.time()

    def place(self, location: str, *, new: bool = False) -> str:
        """A location's id, by its id or its name."""
        for id_, name in self.state.locations.items():
            if location in {id_, name}:
                return id_
        if not new:
            raise Misused(f"The store has no location {location!r}. Stock something there first.")
        id_ = (
            location
            if location.startswith("gid://")
            else f"gid://shopify/Location/{len(self.state.locations) + 1}"
        )
        self.state.locations[id_] = location
        return id_

    def order(self, location: str, lines: Sequence[tuple[str, int]]) -> Order:
        """A customer buys; the shop sells nothing that is not available."""
        place = self.place(location)
        levels = self.state.levels[place]
        wanted = [(self._item(sku), quantity) for sku, quantity in lines]
        for item, quantity in wanted:
            if item not in levels or levels[item].available < quantity:
                raise Misused(f"Sold out: {self.state.items[item]} at {location}.")
        for item, quantity in wanted:
            self._move(levels[item], available=-quantity, committed=quantity)
        number = 5001 + len(self.state.orders)
        made = Order(
            number, f"#{1001 + len(self.state.orders)}", place, wanted, "open", self.time(), self.time()
        )
        self.state.orders[str(number)] = made
        return made

    def end(self, order_id: int, status: str) -> Order:
        """The order is shipped (`fulfilled`), or is not to be (`cancelled`)."""
        order = self.state.orders.get(str(order_id))
        if order is None or order.status != "open":
            raise Misused(f"There is no open order {order_id}.")
        order.status, order.updated_at = status, self.time()
        order.fulfilled_at = order.updated_at if status == "fulfilled" else ""
        for item, quantity in order.lines:
            back = quantity if status == "cancelled" else 0
            self._move(self.state.levels[order.location][item], available=back, committed=-quantity)
        return order

    def refund(self, order_id: int, restock_type: str) -> tuple[Order, Refund]:
        """The goods of a shipped order are paid back; `return`: they are on the shelf they came from again."""
        order = self.state.orders.get(str(order_id))
        if order is None or order.status != "fulfilled" or order.refunds:
            raise Misused(f"There is no shipped order {order_id} that was not refunded.")
        order.updated_at = self.time()
        self.state.refunds += 1
        lines = [(number, quantity) for number, (_, quantity) in enumerate(order.lines, 1)]
        made = Refund(7000 + self.state.refunds, order.updated_at, restock_type, lines)
        order.refunds = [made]
        if restock_type == "return":
            for item, quantity in order.lines:
                self._move(self.state.levels[order.location][item], available=quantity)
        return order, made

    def changed(self, since: str, after: str, limit: int) -> tuple[list[Order], bool]:
        """Orders in the order in which they changed, from `since` on and behind `after`; whether there are more."""
        found = sorted(self.state.orders.values(), key=self.position)
        rest = [each for each in found if each.updated_at >= since and self.position(each) > after]
        return rest[:limit], len(rest) > limit

    @staticmethod
    def position(order: Order) -> str:
        """Where an order stands among those that changed: behind it comes what changed later."""
        return f"{order.updated_at}|{order.id:020}"

    def _item(self, sku: str) -> str:
        for id_, known in self.state.items.items():
            if known == sku:
                return id_
        raise Misused(f"The store has no item {sku!r}. Stock it first.")

    def _move(self, level: Level, *, available: int = 0, committed: int = 0) -> None:
        level.available += available
        level.committed += committed
        level.updated_at = self.time()

    # inventorySetQuantities

    def set_quantities(self, key: str, given: Mapping[str, Any], *, partly: bool = False) -> dict[str, Any]:
        """All of it or nothing; `partly`: what has no error is set although other parts have one."""
        fingerprint = hashlib.sha256(msgspec.json.encode(given, order="deterministic")).hexdigest()
        before = self.state.keys.get(key)
        if before is not None:
            if before.fingerprint != fingerprint:
                return _payload(_error("IDEMPOTENCY_KEY_PARAMETER_MISMATCH", "The same idempotency key cannot be used with different operation parameters."))  # fmt: skip
            if before.answer is None:
                return _payload(_error("IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED", "A previous request with this idempotency key failed. Retry with a new idempotency key."))  # fmt: skip
            return before.answer
        errors = list(self._errors(given))
        bad = {error["field"][2] for error in errors if error["field"] and len(error["field"]) > 2}
        if errors and not (partly and all(error["field"] and len(error["field"]) > 2 for error in errors)):
            self.state.keys[key] = Answered(fingerprint, None)
            return _payload(*errors)
        changes = []
        for index, entry in enumerate(given["quantities"]):
            if str(index) not in bad:
                changes.append(self._set(given["name"], entry))
        self.state.writes += 1
        answer = _payload(*errors) | {
            "inventoryAdjustmentGroup": {
                "__typename": "InventoryAdjustmentGroup",
                "id": f"gid://shopify/InventoryAdjustmentGroup/{self.state.writes}",
                "createdAt": self.time(),
                "reason": given["reason"],
                "referenceDocumentUri": given.get("referenceDocumentUri"),
                "changes": changes,
            }
        }
        self.state.keys[key] = Answered(fingerprint, answer)
        return answer

    def _errors(self, given: Mapping[str, Any]) -> "list[dict[str, Any]]":
        found = []
        if given["name"] not in {"available", "on_hand"}:
            found.append(
                _error("INVALID_NAME", "The quantity name must be either 'available' or 'on_hand'.", "name")
            )
        if given["reason"] not in REASONS:
            found.append(_error("INVALID_REASON", "The specified reason is invalid.", "reason"))
        uri = given.get("referenceDocumentUri")
        if uri is not None and "://" not in uri:
            found.append(_error("INVALID_REFERENCE_DOCUMENT", "The specified reference document is invalid.", "referenceDocumentUri"))  # fmt: skip
        seen = set()
        for index, entry in enumerate(given["quantities"]):
            pair = (entry["inventoryItemId"], entry["locationId"])
            if code := self._error_of(given["name"], entry, is_again=pair in seen):
                words, field = OF_ENTRIES[code]
                found.append(_error(code, words, "quantities", str(index), field))
            seen.add(pair)
        return found

    def _error_of(self, name: str, entry: Mapping[str, Any], *, is_again: bool) -> str | None:
        """The code of what is wrong with an entry."""
        level = self.state.levels.get(entry["locationId"], {}).get(entry["inventoryItemId"])
        expected = entry["changeFromQuantity"]
        wrong = {
            "NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR": is_again,
            "INVALID_INVENTORY_ITEM": entry["inventoryItemId"] not in self.state.items,
            "INVALID_LOCATION": level is None,
            "INVALID_QUANTITY_NEGATIVE": entry["quantity"] < 0,
            "INVALID_QUANTITY_TOO_HIGH": entry["quantity"] > QUANTITY_MAX,
            "CHANGE_FROM_QUANTITY_STALE": expected is not None and expected != getattr(level, name, None),
        }
        return next((code for code, is_so in wrong.items() if is_so), None)

    def _set(self, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        level = self.state.levels[entry["locationId"]][entry["inventoryItemId"]]
        delta = entry["quantity"] - getattr(level, name)
        self._move(level, available=delta)  # on_hand is the sum, so it moves by the same
        return {"name": name, "delta": delta, "quantityAfterChange": entry["quantity"]}


def _error(code: str, message: str, *path: str) -> dict[str, Any]:
    return {"code": code, "message": message, "field": ["input", *path] if path else None}


def _payload(*errors: dict[str, Any]) -> dict[str, Any]:
    return {"inventoryAdjustmentGroup": None, "userErrors": list(errors)}
