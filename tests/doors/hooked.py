"""A till that posts its tickets as webhooks, signed as its connection says."""

import json
from datetime import datetime
from itertools import count
from typing import Any

from doors.door import Answer, Door, until
from evenstock import clock
from evenstock.connectors.contract import Hook
from evenstock.connectors.signing import sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENVIRON = {"TILL_SECRET": SECRET, "TILL_OLD": "the one before"}
MAPPING: dict[str, Any] = {
    "file": {"format": "json", "lines": "lines"},
    "time": {"column": "at"},
    "key": {"parts": ["ticket"]},
    "fields": {"location": {"column": "store"}, "ticket": {"column": "ticket"}},
    "line": {"sku": {"column": "line.sku"}, "quantity": {"column": "line.qty", "absolute": True}},
    "rule": [
        {"name": "text", "when": [{"column": "line.kind", "equals": "text"}], "skip": "no goods"},
        {
            "name": "back",
            "when": [{"column": "line.qty", "negative": True}],
            "event": "ReturnReceived.v1",
            "key": {"parts": ["ticket", {"constant": "return"}]},
        },
        {"name": "sold", "event": "SaleRecorded.v1"},
    ],
}
SETTINGS: dict[str, Any] = {
    "mapping": MAPPING,
    "secret": "env:TILL_SECRET",
    "previous_secret": "env:TILL_OLD",
}
numbers = count(1)


def ticket(number: str, *lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "ticket": number,
        "store": "0107",
        "at": "2026-01-20T14:08:12+01:00",
        "lines": list(lines),
        **more,
    }


def sold(sku: str, qty: object = 1, **more: Any) -> dict[str, Any]:
    return {"sku": sku, "qty": qty, **more}


class Till:
    """Signs and posts."""

    def __init__(
        self, door: Door, connection: str = "till", hook: Hook | None = None, secret: str = SECRET
    ) -> None:
        self.door = door.with_key(None)
        self.connection = connection
        self.hook = hook or Hook()
        self.secret = secret

    def headers(self, body: bytes, id_: str = "", at: datetime | None = None) -> dict[str, str]:
        return sign(self.hook, self.secret, id_ or f"msg-{next(numbers)}", at or clock.now(), body)

    async def send(self, body: bytes, **headers: str) -> Answer:
        """Exactly these bytes, with these headers (`_` is `-`)."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return await self.door.call("POST", f"/v1/hooks/{self.connection}", body, named)

    async def post(self, value: Any, id_: str = "") -> Answer:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return await self.send(body, **self.headers(body, id_))


async def settled(door: Door) -> list[dict[str, Any]]:
    """All messages, newest first, once none waits."""

    async def done() -> bool:
        return not (await door.get("/v1/messages", status="received")).body["data"]

    await until(done)
    found: list[dict[str, Any]] = (await door.get("/v1/messages")).body["data"]
    return found


async def connect(door: Door, id_: str = "till", connector: str = "http_json", **settings: Any) -> Answer:
    given = settings or SETTINGS
    return await door.post(
        "/v1/connections:batch", {"connections": [{"id": id_, "connector": connector, "settings": given}]}
    )
