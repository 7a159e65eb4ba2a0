"""The file of all levels that a store writes in its own time: one at a time, behind an address that asks for no token."""

from typing import Any, Final

import msgspec

from evenstock.connectors.sandbox import Answer, Asked, answer_json
from evenstock.connectors.shopify.sandbox_store import Bulk, Store

LOOKS: Final = 2  # until a file is written
NAMES: Final = ("available", "committed", "reserved")
GID: Final = "gid://shopify/BulkOperation/"


class Bulks:
    """What the store writes. It knows one question: all items with all of their levels."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def run(self, query: str, host: str) -> dict[str, Any]:
        """Begin to write, if nothing is being written."""
        state = self._store.state
        if any(each.status == "RUNNING" for each in state.bulks.values()):
            words = "A bulk query operation for this app and shop is already in progress."
            return _payload(None, {"code": "OPERATION_IN_PROGRESS", "field": None, "message": words})
        if "inventoryLevels" not in query:
            words = "This sandbox writes files of inventoryItems with their inventoryLevels only."
            return _payload(None, {"code": "INVALID", "field": ["query"], "message": words})
        number = str(len(state.bulks) + 1)
        state.bulks[number] = Bulk(f"http://{host}/bulk/{number}.jsonl", self._written())
        return _payload(self._shown(number))

    def look(self, id_: str, fault: str | None) -> dict[str, Any] | None:
        """How far it is; with the second look it is written."""
        number = id_.removeprefix(GID)
        bulk = self._store.state.bulks.get(number)
        if bulk is None:
            return None
        bulk.looks += 1
        if bulk.status == "RUNNING" and bulk.looks >= LOOKS:
            bulk.status = "FAILED" if fault == "unwritten" else "COMPLETED"
        return self._shown(number)

    def file(self, asked: Asked) -> Answer:
        """The file, or the piece of it that is asked for."""
        number = asked.path.rpartition("/")[2].removesuffix(".jsonl")
        bulk = self._store.state.bulks.get(number)
        if bulk is None or bulk.status != "COMPLETED":
            return answer_json({"errors": "Not Found"}, 404)
        body = bulk.content.encode()
        if not (given := asked.headers.get("range", "").removeprefix("bytes=")):
            return Answer(200, body, {"content-type": "application/jsonl"})
        start, end = (int(each) for each in given.split("-"))
        if start >= len(body):
            return Answer(416, b"", {"content-range": f"bytes */{len(body)}"})
        piece = body[start : end + 1]
        range_ = f"bytes {start}-{start + len(piece) - 1}/{len(body)}"
        return Answer(206, piece, {"content-type": "application/jsonl", "content-range": range_})

    def _shown(self, number: str) -> dict[str, Any]:
        bulk = self._store.state.bulks[number]
        is_written = bulk.status == "COMPLETED" and bool(bulk.content)
        return {
            "__typename": "BulkOperation",
            "id": GID + number,
            "status": bulk.status,
            "errorCode": "INTERNAL_SERVER_ERROR" if bulk.status == "FAILED" else None,
            "url": bulk.url if is_written else None,
        }

    def _written(self) -> str:
        state = self._store.state
        lines: list[dict[str, Any]] = []
        for item, sku in state.items.items():
            variant = {"legacyResourceId": item.rpartition("/")[2]}
            lines.append({"id": item, "sku": sku or None, "variant": variant})
            for place, levels in state.levels.items():
                if (level := levels.get(item)) is not None:
                    quantities = [{"name": name, "quantity": getattr(level, name)} for name in NAMES]
                    id_ = f"gid://shopify/InventoryLevel/{place.rpartition('/')[2]}?inventory_item_id={item.rpartition('/')[2]}"
                    lines.append(
                        {"id": id_, "location": {"id": place}, "quantities": quantities, "__parentId": item}
                    )
        return "".join(msgspec.json.encode(line).decode() + "\n" for line in lines)


def _payload(operation: dict[str, Any] | None, *errors: dict[str, Any]) -> dict[str, Any]:
    return {"bulkOperation": operation, "userErrors": list(errors)}
