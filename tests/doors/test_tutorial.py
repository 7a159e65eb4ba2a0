"""The tutorial's calls, as they stand on the page, do what the page says."""

import re
from pathlib import Path

from doors.door import Answer, Door

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "first-ten-minutes.md"
CALL = re.compile(r"^\$ hub localhost:8080(?P<path>/\S+)(?:\s+-d '(?P<body>[^']*)')?$", re.MULTILINE)


async def test_the_tutorial_does_what_it_says(door: Door) -> None:
    answers: list[Answer] = []
    for call in CALL.finditer(PAGE.read_text(encoding="utf-8")):
        body = call["body"]
        answers.append(
            await door.call("POST" if body else "GET", call["path"], body.encode() if body else None)
        )
    items, places, reported, shelf, unknown, exceptions, mended = answers
    assert (items.status, places.status) == (200, 200)
    assert reported.outcomes == ["applied", "applied"]
    assert shelf.body["available_to_sell"] == 8
    assert unknown.outcomes == ["held"]
    assert [entry["code"] for entry in exceptions.body["data"]] == ["stock.unknown_item"]
    assert mended.body["released"] == 1
