"""The calls of "Connect a channel", as they stand on the page, do what the page says."""

import json
import re
from pathlib import Path
from typing import Any

from doors.door import Answer, Door, opened, until
from evenstock.postgres.database import Database

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "connect-a-channel.md"
CALL = re.compile(r"^\$ hub '?localhost:8080(?P<path>/[^\s']+)'?(?:\s+-d '(?P<body>[^']*)')?$", re.MULTILINE)


async def test_who_follows_the_page_sees_the_number_follow(database: Database, tmp_path: Path) -> None:
    calls = list(CALL.finditer(PAGE.read_text(encoding="utf-8")))
    assert len(calls) == 14
    async with opened(database, data=tmp_path) as door:

        async def do() -> Answer:
            call = calls.pop(0)
            return await _do(door, call["path"], call["body"])

        assert [(await do()).status for _ in range(2)] == [200, 200]
        assert (await do()).outcomes == ["applied", "applied"]
        assert [(await do()).status for _ in range(2)] == [200, 200]

        async def is_withheld() -> bool:
            rows = (await _do(door, calls[0]["path"])).body["data"]
            return [(row["intended"], row["status"]) for row in rows] == [(9, "withheld")]

        await until(is_withheld)
        assert (await do()).status == 200
        assert _told(tmp_path) == []
        assert (await do()).status == 200
        await until(lambda: _shows(tmp_path, 9))
        assert (await do()).status == 201
        assert (await do()).outcomes == ["applied"]
        await until(lambda: _shows(tmp_path, 6))
        before = _told(tmp_path)
        assert (await do()).outcomes == ["applied"]
        explained = (await do()).body
        assert explained["intended"] == 6 == sum(term["quantity"] for term in explained["terms"])
        assert {term["label"] for term in explained["terms"]} == {"on_hand", "safety_stock"}
        logged = [row["quantity"] for row in (await do()).body["data"]]
        assert logged == [line["quantity"] for line in reversed(before)]
        assert (await do()).body["data"] == []
        assert (await do()).body["data"] == []
        assert _told(tmp_path) == before
    assert calls == []


async def _do(door: Door, path: str, body: str | None = None) -> Answer:
    address, _, query = path.partition("?")
    given = dict(pair.split("=") for pair in query.split("&")) if query else {}
    return await door.get(address, **given) if body is None else await door.post(address, json.loads(body))


def _told(data: Path) -> list[dict[str, Any]]:
    file = data / "connections" / "web-recorder" / "web.jsonl"
    return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []


async def _shows(data: Path, quantity: int) -> bool:
    return [line["quantity"] for line in _told(data)][-1:] == [quantity]
