"""A shop of one's own to rehearse against, by JSON: it takes a number for an item at a store, and work there, once for each key."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal
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


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """Units of an item to pick, or to pick no more."""

    item: str
    quantity: Annotated[float, msgspec.Meta(gt=0)]
    line: str = ""


class _Command(msgspec.Struct, forbid_unknown_fields=True):
    """What the store is told to do."""

    do: Literal["pick", "cancel"]
    order: str
    lines: Annotated[list[_Wanted], msgspec.Meta(min_length=1, max_length=10_000)]


class Work(msgspec.Struct):
    """A command that the store took, in the order in which it came."""

    key: str
    number: str
    store: str
    do: str
    order: str
    lines: dict[str, float]  # item → quantity


class State(msgspec.Struct):
    """All that the shop remembers."""

    stores: dict[str, dict[str, Shown]] = {}  # store → code → what it shows
    keys: dict[str, str] = {}  # key → what came with it
    writes: int = 0
    work: list[Work] = []
    to_pick: dict[str, dict[str, float]] = {}  # store/order → item → quantity that is to be picked


class JsonSandbox:
    """One shop: `PUT /stores/STORE/items/CODE` with `{"stock": 7, "version": 3}`, and `POST /tasks/STORE` with what to do there."""

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
            case ["", "stores", store, "items", code] if asked.method == "GET":
                return self._show(unquote(store), unquote(code))
            case ["", "tasks", store] if asked.method == "POST":
                return self._do(asked, unquote(store))
            case _:
                return _no("not_found", "There is no such thing.", 404)

    def _show(self, store: str, code: str) -> Answer:
        shown = self.state.stores.get(store, {}).get(code)
        if shown is None:
            return _no("unknown_item", f"There is no {code} at {store}.", 404)
        return answer_json({"stock": shown.stock, "version": shown.version})

    def _take(self, asked: Asked, store: str, code: str) -> Answer:
        key, fingerprint, wrong = self._key(asked)
        if wrong is not None:
            return wrong
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

    def _key(self, asked: Asked) -> tuple[str, str, Answer | None]:
        """The key of a request, what came with it, and why that cannot be."""
        key = asked.headers.get("idempotency-key", "")
        fingerprint = hashlib.sha256(asked.path.encode() + asked.body).hexdigest()
        if not key:
            return key, fingerprint, _no("key_missing", "Send an Idempotency-Key.", 400)
        if self.state.keys.get(key, fingerprint) != fingerprint:
            return key, fingerprint, _no("key_reused", "This key came with something else.", 422)
        return key, fingerprint, None

    def _do(self, asked: Asked, store: str) -> Answer:
        """A command comes in: once by its key."""
        key, fingerprint, wrong = self._key(asked)
        if wrong is not None:
            return wrong
        done = next((work for work in self.state.work if work.key == key), None)
        if done is None:
            try:
                given = msgspec.json.decode(asked.body, type=_Command)
            except msgspec.DecodeError as error:
                return _no("malformed", str(error), 400)
            if (wrong := self._refused(given, store, asked.fault)) is not None:
                return wrong
            self.state.keys[key] = fingerprint
            done = self._work(key, store, given)
        return answer_json({"ok": True, "change": {"number": done.number}})

    def _refused(self, given: _Command, store: str, fault: str | None) -> Answer | None:
        """Why the store does not do it; nothing is cancelled that was not to be picked."""
        if unknown := [
            line.item for line in given.lines if line.item not in self.state.stores.get(store, {})
        ]:
            return _no("unknown_item", f"There is no {unknown[0]} at {store}.", 404)
        if fault == "no":
            return answer_json({"ok": False, "error": {"code": "closed", "message": "The floor is closed."}})
        there = self.state.to_pick.get(f"{store}/{given.order}", {})
        if given.do == "cancel" and any(line.quantity > there.get(line.item, 0) for line in given.lines):
            return _no("not_picked", f"{given.order} has less to pick at {store} than is cancelled.", 409)
        return None

    def _work(self, key: str, store: str, given: _Command) -> Work:
        """What is to be picked from now on."""
        lines: dict[str, float] = {}
        there = self.state.to_pick.setdefault(f"{store}/{given.order}", {})
        sign = 1 if given.do == "pick" else -1
        for line in given.lines:
            lines[line.item] = lines.get(line.item, 0) + line.quantity
            there[line.item] = there.get(line.item, 0) + sign * line.quantity
        work = Work(key, f"W-{len(self.state.work) + 1}", store, given.do, given.order, lines)
        self.state.work.append(work)
        return work

    # the control

    def _items(self, given: Any) -> Controlled:
        """Items come to be at stores, and show nothing yet."""
        for each in msgspec.convert(given, list[_Stocked]):
            self.state.stores.setdefault(each.store, {}).setdefault(each.code, Shown())
        return Controlled({"stores": sorted(self.state.stores)})


def _no(code: str, message: str, status: int) -> Answer:
    return answer_json({"ok": False, "error": {"code": code, "message": message}}, status)


sandbox = JsonSandbox
