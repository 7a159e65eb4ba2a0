"""A shop of one's own to rehearse against: it takes a number for an item at a store by JSON, once for each key."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import unquote

import msgspec

from evenstock.connectors.sandbox import Answer, Asked, Controlled, answer_json

TOKEN: Final = "Bearer sandbox"  # noqa: S105 - it opens nothing but this sandbox


class _Given(msgspec.Struct, forbid_unknown_fields=True):
    """A number as it is told."""

    stock: Annotated[float, msgspec.Meta(ge=0)]
    version: int


class _Stocked(msgspec.Struct, forbid_unknown_fields=True):
    store: str
    code: str


class Shown(msgspec.Struct):
    """What the shop shows of an item at a store, and which number that was."""

    stock: float = 0
    version: int = 0


class State(msgspec.Struct):
    """All that the shop remembers."""

    stores: dict[str, dict[str, Shown]] = {}  # store → code → what it shows
    keys: dict[str, str] = {}  # key → what came with it
    writes: int = 0


class JsonSandbox:
    """One shop: `PUT /stores/STORE/items/CODE` with `{"stock": 7, "version": 3}`."""

    name = "http_json"
    kinds: Mapping[str, str] = {
        "no": 'status 200, and the body says that it was not done: `{"ok": false}`',
    }

    def __init__(self, now: Callable[[], datetime]) -> None:
        del now  # it has no clock
        self.state: Any = State()
        self.controls: Mapping[str, Callable[[Any], Controlled]] = {"items": self._items}

    def operation(self, asked: Asked) -> str:
        """The method and the first part of the path: `PUT /stores`."""
        return f"{asked.method} /{asked.path.strip('/').partition('/')[0]}"

    def answer(self, asked: Asked) -> Answer:
        if asked.headers.get("authorization") != TOKEN:
            return _no("unauthorized", "No such token.", 401)
        match asked.path.split("/"):
            case ["", "stores", store, "items", code] if asked.method == "PUT":
                return self._take(asked, unquote(store), unquote(code))
            case _:
                return _no("not_found", "There is no such thing.", 404)

    def _take(self, asked: Asked, store: str, code: str) -> Answer:
        key = asked.headers.get("idempotency-key", "")
        if not key:
            return _no("key_missing", "Send an Idempotency-Key.", 400)
        fingerprint = hashlib.sha256(asked.path.encode() + asked.body).hexdigest()
        if self.state.keys.get(key, fingerprint) != fingerprint:
            return _no("key_reused", "This key came with another number.", 422)
        try:
            given = msgspec.json.decode(asked.body, type=_Given)
        except msgspec.DecodeError as error:
            return _no("malformed", str(error), 400)
        shown = self.state.stores.get(store, {}).get(code)
        if shown is None:
            return _no("unknown_item", f"There is no {code} at {store}.", 404)
        if asked.fault == "no":
            return answer_json(
                {"ok": False, "error": {"code": "frozen", "message": "Not this item, not today."}}
            )
        if key not in self.state.keys:
            self.state.keys[key] = fingerprint
            self.state.writes += 1
            if given.version > shown.version:
                shown.stock, shown.version = given.stock, given.version
        return answer_json({"ok": True, "change": {"number": f"C-{self.state.writes}"}})

    # the control

    def _items(self, given: Any) -> Controlled:
        """Items come to be at stores, and show nothing yet."""
        for each in msgspec.convert(given, list[_Stocked]):
            self.state.stores.setdefault(each.store, {}).setdefault(each.code, Shown())
        return Controlled({"stores": sorted(self.state.stores)})


def _no(code: str, message: str, status: int) -> Answer:
    return answer_json({"ok": False, "error": {"code": code, "message": message}}, status)


sandbox = JsonSandbox
