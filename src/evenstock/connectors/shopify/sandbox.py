"""A Shopify store to rehearse against: its GraphQL by the vendor's schema, and the rules that no schema says.

`@idempotent` is mandatory and remembered, `changeFromQuantity` must be said and holds, questions cost points, at most 250 entries
in a list, `available` is without what orders hold, and orders tell a hub by signed webhooks.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLSchema,
    build_schema,
    execute_sync,
    parse,
    validate,
)
from graphql.execution import get_directive_values

from evenstock.connectors.sandbox import Answer, Asked, Controlled, Webhook, answer_json
from evenstock.connectors.shopify.documents import VERSION
from evenstock.connectors.shopify.sandbox_bulk import Bulks
from evenstock.connectors.shopify.sandbox_cost import COST_MAX, cost
from evenstock.connectors.shopify.sandbox_goods import Goods, page
from evenstock.connectors.shopify.sandbox_store import INPUTS_MAX, Level, Order, State, Store

SCHEMA: Final[GraphQLSchema] = build_schema(
    Path(__file__).with_name("schema.graphql").read_text(encoding="utf-8")
)
Info = GraphQLResolveInfo[Any]
CREDENTIALS: Final = "sandbox"  # client_id, client_secret, and the first token
SHOP: Final = "sandbox.myshopify.com"
_SINCE: Final = re.compile(r"updated_at:>='([0-9TZ:.-]+)'")
_SKU: Final = re.compile(r'sku:"((?:[^"\\]|\\.)*)"')
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class _Stocked(msgspec.Struct, forbid_unknown_fields=True):
    sku: str
    location: str
    available: int


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    sku: str
    quantity: Count


class _Ordered(msgspec.Struct, forbid_unknown_fields=True):
    location: str
    lines: Annotated[list[_Line], msgspec.Meta(min_length=1)]


class _OfOrder(msgspec.Struct, forbid_unknown_fields=True):
    order: int


class _Refunded(msgspec.Struct, forbid_unknown_fields=True):
    order: int
    restock_type: Literal["return", "no_restock"] = "return"


class _Hub(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    secret: str


class _Points(msgspec.Struct, forbid_unknown_fields=True):
    available: float
    maximum: float
    per_s: float


class ShopifySandbox:
    """One store."""

    name = "shopify"
    kinds: Mapping[str, str] = {
        "throttled": "no points left: status 200, an error THROTTLED, nothing done",
        "denied": "an error ACCESS_DENIED, nothing done",
        "internal": "an error INTERNAL_SERVER_ERROR with status 200, and it was done",
        "edited": "somebody in the store changes the numbers just before they are set",
        "unwritten": "the file of all levels fails when it is nearly written",
        "partly": "entries without an error are set although others have one",
    }

    def __init__(self, now: Callable[[], datetime], state: State | None = None) -> None:
        self._now = now
        self._host = ""  # by which it was asked last
        self._store = Store(state or State(), now)
        self._bulks = Bulks(self._store)
        self._goods = Goods(self._store, self._location, self._item)
        self.controls: Mapping[str, Callable[[Any], Controlled]] = {
            "stock": self._stock,
            "orders": self._order,
            "fulfilments": self._fulfil,
            "cancellations": self._cancel,
            "refunds": self._refunded,
            "hub": self._hub,
            "points": self._points,
            "revoke": self._revoke,
            "unsubscribe": self._unsubscribe,
        }

    @property
    def state(self) -> State:
        return self._store.state

    @state.setter
    def state(self, state: msgspec.Struct) -> None:
        assert isinstance(state, State)  # noqa: S101 - it was ours
        self._store.state = state

    # the system's own interface

    def operation(self, asked: Asked) -> str:
        """The name of the GraphQL operation, else the path."""
        found = re.search(rb"(?:query|mutation)\s+(\w+)", asked.body)
        return found[1].decode() if found and asked.path.endswith("graphql.json") else asked.path

    def answer(self, asked: Asked) -> Answer:
        if asked.path != f"/admin/api/{VERSION}/graphql.json":
            return self._elsewhere(asked)
        if asked.headers.get("x-shopify-access-token") not in self.state.tokens:
            words = "[API] Invalid API key or access token (unrecognized login or wrong password)"
            return answer_json({"errors": words}, 401)
        try:
            given = msgspec.json.decode(asked.body, type=dict[str, Any])
            document = parse(str(given["query"]))
        except (msgspec.DecodeError, KeyError, GraphQLError) as error:
            return answer_json({"errors": [{"message": str(error)}]})
        if errors := validate(SCHEMA, document):
            return answer_json({"errors": [error.formatted for error in errors]})
        self._host = asked.headers.get("host", "")
        return self._paid(document, given.get("variables") or {}, asked.fault)

    def _elsewhere(self, asked: Asked) -> Answer:
        if asked.path == "/admin/oauth/access_token" and asked.method == "POST":
            return self._give_token(asked)
        if asked.path.startswith("/bulk/"):
            return self._bulks.file(asked)
        return answer_json({"errors": "Not Found"}, 404)

    def _paid(self, document: DocumentNode, variables: dict[str, Any], fault: str | None) -> Answer:
        """Answer for its price in points, if there are as many."""
        price = cost(SCHEMA, document, variables)
        self._restore_points()
        if price > COST_MAX:
            words = f"Query cost is {price}, which exceeds the single query max cost limit ({COST_MAX})."
            return answer_json({"errors": [{"message": words, "extensions": {"code": "MAX_COST_EXCEEDED"}}]})
        if fault == "throttled" or price > self.state.points:
            return self._failed("Throttled", "THROTTLED", price)
        if fault == "denied":
            return self._failed("Access denied for inventoryItems field.", "ACCESS_DENIED", price)
        self.state.points -= price
        result = self._execute(document, variables, fault)
        if fault == "internal":
            return self._failed("Internal error. Looks like something went wrong on our end.", "INTERNAL_SERVER_ERROR", price)  # fmt: skip
        return answer_json({**result.formatted, "extensions": self._extensions(price)})

    def _failed(self, words: str, code: str, price: int) -> Answer:
        error = {"message": words, "extensions": {"code": code}}
        return answer_json({"errors": [error], "extensions": self._extensions(price)})

    def _extensions(self, price: int) -> dict[str, Any]:
        status = {
            "maximumAvailable": self.state.points_max,
            "currentlyAvailable": int(self.state.points),
            "restoreRate": self.state.points_per_s,
        }
        return {"cost": {"requestedQueryCost": price, "actualQueryCost": price, "throttleStatus": status}}

    def _restore_points(self) -> None:
        now = self._now()
        if self.state.points_at is not None:
            back = (now - self.state.points_at).total_seconds() * self.state.points_per_s
            self.state.points = min(self.state.points_max, self.state.points + back)
        self.state.points_at = now

    def _execute(
        self, document: DocumentNode, variables: dict[str, Any], fault: str | None
    ) -> ExecutionResult:
        root = {
            "inventoryItem": lambda _, id: self._item(id),  # noqa: A006 - the schema's word
            "inventoryItems": self._items,
            "location": lambda _, id: self._location(id),  # noqa: A006 - the schema's word
            "locations": self._locations,
            "node": lambda _, id: self._node(id),  # noqa: A006 - the schema's word
            "nodes": lambda _, ids: [self._node(id_) for id_ in ids],
            "order": lambda _, id: self._node(id),  # noqa: A006 - the schema's word
            "orders": self._orders,
            "fulfillment": lambda _, id: self._node(id),  # noqa: A006 - the schema's word
            "refund": lambda _, id: self._node(id),  # noqa: A006 - the schema's word
            "bulkOperation": lambda _, id: self._bulks.look(id, fault),  # noqa: A006 - the schema's word
            "bulkOperationRunQuery": lambda _, groupObjects, query: self._run_in_bulk(groupObjects, query),  # noqa: N803 - the schema's word
            "webhookSubscriptions": self._subscriptions,
            "webhookSubscriptionCreate": self._subscribe,
            "inventorySetQuantities": lambda info, input: self._set(info, input, fault),  # noqa: A006 - the schema's word
        }
        result = execute_sync(SCHEMA, document, root, variable_values=variables)
        assert isinstance(result, ExecutionResult)  # noqa: S101 - nothing here is incremental
        return result

    def _set(self, info: Info, given: dict[str, Any], fault: str | None) -> dict[str, Any]:
        directive = SCHEMA.get_directive("idempotent")
        assert directive is not None  # noqa: S101 - the schema has it
        said = get_directive_values(directive, info.field_nodes[0], info.variable_values)
        if not said or not said["key"].strip():
            words = "The @idempotent directive is required for this mutation but was not provided."
            raise GraphQLError(words, extensions={"code": "BAD_REQUEST"})
        entries = given["quantities"]
        if len(entries) > INPUTS_MAX:
            words = (
                f"The input array size of {len(entries)} is greater than the maximum allowed of {INPUTS_MAX}."
            )
            raise GraphQLError(words, extensions={"code": "MAX_INPUT_SIZE_EXCEEDED"})
        if any("changeFromQuantity" not in entry for entry in entries):
            words = "The changeFromQuantity argument is required for each quantity; it may be null."
            raise GraphQLError(words, extensions={"code": "INVALID_FIELD_ARGUMENTS"})
        if fault == "edited":
            for entry in entries:
                level = self.state.levels.get(entry["locationId"], {}).get(entry["inventoryItemId"])
                if level is not None:
                    level.available += 1
                    level.updated_at = self._store.time()
        return self._store.set_quantities(said["key"], given, partly=fault == "partly")

    def _subscriptions(self, info: Info, uri: str, topics: list[str], first: int = 50, after: str | None = None) -> dict[str, Any]:  # fmt: skip
        del info
        found = [
            {"id": id_, "topic": topic, "uri": to}
            for id_, (topic, to) in self.state.subscribed.items()
            if to == uri and topic in topics
        ]
        return page(found, first, after)

    def _subscribe(self, info: Info, topic: str, webhookSubscription: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - the schema's word
        del info
        uri = webhookSubscription.get("uri", "")
        words = ""
        if (topic, uri) in self.state.subscribed.values():
            words = "Address for this topic has already been taken"
        elif not uri.startswith(("https://", "http://127.0.0.1:")):  # the second is for rehearsals at home
            words = "Address protocol http:// is not supported"
        if words:
            return {"userErrors": [{"field": ["webhookSubscription", "uri"], "message": words}]}
        self.state.subscriptions += 1
        id_ = f"gid://shopify/WebhookSubscription/{self.state.subscriptions}"
        self.state.subscribed[id_] = (topic, uri)
        return {"userErrors": [], "webhookSubscription": {"id": id_, "topic": topic, "uri": uri}}

    def _run_in_bulk(self, is_grouped: bool, query: str) -> dict[str, Any]:
        errors = validate(SCHEMA, parse(query))
        if errors or is_grouped:
            raise GraphQLError("The bulk query is not valid, or grouped.", extensions={"code": "BAD_REQUEST"})
        return self._bulks.run(query, self._host)

    def _give_token(self, asked: Asked) -> Answer:
        try:
            given = msgspec.json.decode(asked.body, type=dict[str, str])
        except msgspec.DecodeError:
            given = {}
        app = {"client_id": CREDENTIALS, "client_secret": CREDENTIALS}
        kind, state = given.pop("grant_type", ""), self.state
        renewing = given.pop("refresh_token", "")
        if given != app or kind not in {"client_credentials", "refresh_token"}:
            return answer_json({"error": "invalid_client"}, 400)
        if kind == "refresh_token" and (not renewing or renewing not in {state.renewing, state.renewed}):
            return answer_json({"error": "invalid_grant"}, 400)
        state.granted += 1
        token = f"sandbox-{state.granted}"
        state.tokens.append(token)
        answer = {"access_token": token, "scope": "read_inventory,write_inventory,read_orders"}
        if kind == "client_credentials":
            return answer_json(answer | {"expires_in": 86399})
        state.renewed, state.renewing = renewing, f"renew-{state.granted}"
        return answer_json(answer | {"expires_in": 3600, "refresh_token": state.renewing})

    # what its objects are

    def _node(self, id_: str) -> dict[str, Any] | None:
        return self._item(id_) or self._location(id_) or self._goods.node(id_)

    def _item(self, id_: str) -> dict[str, Any] | None:
        if id_ not in self.state.items:
            return None
        places = [place for place, levels in self.state.levels.items() if id_ in levels]
        return {
            "__typename": "InventoryItem",
            "id": id_,
            "sku": self.state.items[id_] or None,
            "variant": lambda _: self._goods.variant(id_),
            "inventoryLevel": lambda _, locationId: self._level(locationId, id_),  # noqa: N803 - the schema's word
            "inventoryLevels": lambda _, first=50, after=None: page(
                [self._level(p, id_) for p in places], first, after
            ),
        }

    def _location(self, id_: str | None) -> dict[str, Any] | None:
        if id_ not in self.state.locations:
            return None
        items = sorted(self.state.levels.get(id_, {}))
        return {
            "__typename": "Location",
            "id": id_,
            "legacyResourceId": id_.rpartition("/")[2],
            "name": self.state.locations[id_],
            "inventoryLevels": lambda _, first=50, after=None: page(
                [self._level(id_, i) for i in items], first, after
            ),
        }

    def _level(self, location: str, item: str) -> dict[str, Any] | None:
        level = self.state.levels.get(location, {}).get(item)
        if level is None:
            return None
        return {
            "__typename": "InventoryLevel",
            "id": f"gid://shopify/InventoryLevel/{location.rpartition('/')[2]}?inventory_item_id={item.rpartition('/')[2]}",
            "item": lambda _: self._item(item),
            "location": lambda _: self._location(location),
            "updatedAt": level.updated_at,
            "quantities": lambda _, names: [_quantity(level, name) for name in names],
        }

    def _locations(self, info: Info, first: int = 50, after: str | None = None) -> dict[str, Any]:
        del info
        return page([self._location(id_) for id_ in self.state.locations], first, after)

    def _orders(self, info: Info, first: int = 50, after: str | None = None, query: str = "", sortKey: str = "ID") -> dict[str, Any]:  # fmt: skip  # noqa: N803 - the schema's word
        """Sorted by when they changed, whatever is asked: nothing else is needed here."""
        del info, sortKey
        since = _SINCE.search(query)
        found, is_more = self._store.changed(since[1].removesuffix("Z") if since else "", after or "", first)
        last = self._store.position(found[-1]) if found else after
        return {
            "nodes": [self._goods.order(order) for order in found],
            "pageInfo": {"hasNextPage": is_more, "endCursor": last},
        }

    def _items(self, info: Info, first: int = 50, after: str | None = None, query: str = "") -> dict[str, Any]:  # fmt: skip
        """The vendor's search takes no notice of case."""
        del info
        wanted = {re.sub(r"\\(.)", r"\1", sku).lower() for sku in _SKU.findall(query)}
        found = [id_ for id_, sku in self.state.items.items() if not query or sku.lower() in wanted]
        return page([self._item(id_) for id_ in found], first, after)

    # the control

    def _stock(self, given: Any) -> Controlled:
        """What the merchant edits by hand: items come to be, and show this many at a location."""
        for each in msgspec.convert(given, list[_Stocked]):
            self._store.stocked(each.sku, each.location, each.available)
        return Controlled({"locations": self.state.locations, "items": self.state.items})

    def _order(self, given: Any) -> Controlled:
        """A customer orders: what is available there becomes committed, and `orders/create` goes to the hub."""
        asked = msgspec.convert(given, _Ordered)
        order = self._store.order(asked.location, [(line.sku, line.quantity) for line in asked.lines])
        return self._told(order, "orders/create", self._goods.order_payload(order))

    def _fulfil(self, given: Any) -> Controlled:
        """The goods of an order leave the location, and `fulfillments/create` goes to the hub."""
        order = self._store.end(msgspec.convert(given, _OfOrder).order, "fulfilled")
        return self._told(order, "fulfillments/create", self._goods.fulfilment_payload(order))

    def _cancel(self, given: Any) -> Controlled:
        """An order is cancelled: what it held is available again, and `orders/cancelled` goes to the hub."""
        order = self._store.end(msgspec.convert(given, _OfOrder).order, "cancelled")
        return self._told(order, "orders/cancelled", self._goods.order_payload(order))

    def _refunded(self, given: Any) -> Controlled:
        """A shipped order is paid back and its goods are on the shelf again, or gone (`no_restock`); `refunds/create` goes to the hub."""
        asked = msgspec.convert(given, _Refunded)
        order, refund = self._store.refund(asked.order, asked.restock_type)
        return self._told(order, "refunds/create", self._goods.refund_payload(order, refund))

    def _hub(self, given: Any) -> Controlled:
        """Where webhooks go, and the secret they are signed with; until then none is sent."""
        asked = msgspec.convert(given, _Hub)
        self.state.hub, self.state.hub_secret = asked.url, asked.secret
        return Controlled({"hub": asked.url})

    def _unsubscribe(self, given: Any) -> Controlled:
        """All subscriptions that were made by the API are deleted, as after eight deliveries that nobody took."""
        del given
        gone = len(self.state.subscribed)
        self.state.subscribed.clear()
        return Controlled({"deleted": gone})

    def _points(self, given: Any) -> Controlled:
        """The bucket that questions are paid from: what is in it, what it holds, what comes back each second."""
        asked = msgspec.convert(given, _Points)
        self.state.points, self.state.points_max, self.state.points_per_s = (
            asked.available,
            asked.maximum,
            asked.per_s,
        )
        self.state.points_at = self._now()
        return Controlled({"points": asked.available})

    def _revoke(self, given: Any) -> Controlled:
        """All tokens that were given out are good for nothing from now on."""
        del given
        self.state.tokens = [f"revoked-{len(self.state.tokens)}"]
        return Controlled({"tokens": 0})

    def _told(self, order: Order, topic: str, payload: dict[str, Any]) -> Controlled:
        answer = {"order": order.id, "name": order.name, "status": order.status}
        kind = topic.upper().replace("/", "_")
        urls = [uri for name, uri in self.state.subscribed.values() if name == kind]
        if self.state.hub and self.state.hub not in urls:
            urls.append(self.state.hub)
        if not urls:
            return Controlled(answer)
        self.state.hooks += 1
        body = msgspec.json.encode(payload)
        digest = hmac.digest(self.state.hub_secret.encode(), body, hashlib.sha256)
        headers = {
            "Content-Type": "application/json",
            "X-Shopify-Topic": topic,
            "X-Shopify-Hmac-Sha256": base64.b64encode(digest).decode(),
            "X-Shopify-Shop-Domain": SHOP,
            "X-Shopify-API-Version": VERSION,
            "X-Shopify-Webhook-Id": f"hook-{self.state.hooks}",
            "X-Shopify-Event-Id": f"event-{self.state.hooks}",
            "X-Shopify-Triggered-At": self._store.time(),
        }
        return Controlled(answer, [Webhook(url, topic, headers, body) for url in urls])


def _quantity(level: Level, name: str) -> dict[str, Any]:
    """A quantity by its name; those that this store does not keep are zero."""
    return {"name": name, "quantity": getattr(level, name, 0) if name != "updated_at" else 0}


sandbox = ShopifySandbox
