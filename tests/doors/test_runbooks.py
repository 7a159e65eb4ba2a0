"""The runbooks "Replay what failed" and "Correct by hand": done as they say."""

import asyncio
import json
import re
import shlex
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from doors.door import REPOSITORY, Door, evenstock, opened, receipt, until
from doors.hooked import ENVIRON, MAPPING, SETTINGS, Till, connect, settled, sold, ticket
from evenstock.pipeline.vault import Vault
from evenstock.postgres.database import Database

HOW_TO = REPOSITORY / "docs" / "how-to"
REPLAY, BY_HAND = (
    (HOW_TO / f"{name}.md").read_text(encoding="utf-8") for name in ("replay", "correct-by-hand")
)


@pytest.fixture
def door(runner: asyncio.Runner, database: Database) -> Iterator[Door]:
    stack = AsyncExitStack()
    yield runner.run(stack.enter_async_context(opened(database, vault=Vault(None, ENVIRON))))
    runner.run(stack.aclose())


def commands(page: str) -> list[str]:
    """The commands of a page, each on one line."""
    text = "\n".join(re.findall(r"```console\n(.+?)```", page, re.DOTALL))
    return [" ".join(part.split()) for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]]


async def test_who_follows_the_page_replays_what_failed(
    door: Door, database: Database, tmp_path: Path
) -> None:
    at = ("--database-url", database.url, "--schema", database.schema)
    await door.know("A")
    await connect(door, **(SETTINGS | {"mapping": MAPPING | {"time": {"column": "when"}}}))
    till = Till(door)
    for number in range(2):
        await till.post(ticket(f"T-{number}", sold("A")))
    await settled(door)
    await connect(door)
    plan, run, status, pause, cancel, stop, allow, message, edit = commands(REPLAY)
    shown = [
        words.split("the oldest of")[0]
        for words in re.findall(r"```text\n(.+?)```", REPLAY, re.DOTALL)[0].splitlines()
    ]
    code, out, _ = await evenstock(*shlex.split(plan)[1:], *at)
    assert (code, [words.split("the oldest of")[0] for words in out.splitlines()]) == (0, shown)
    assert (await evenstock(*shlex.split(run)[1:], *at))[0] == 0

    async def done() -> bool:
        return bool((await door.get("/v1/replays/rpl_00000001")).body["status"] == "done")

    await until(done)
    assert (await evenstock(*shlex.split(status)[1:], *at))[0] == 0
    assert (await door.stock("A"))["on_hand"] == -2
    for ended in (pause, cancel):
        assert (await evenstock(*shlex.split(ended)[1:], *at))[0] == 5, "it has ended"
    for switch in (stop, allow):
        assert (await evenstock(*shlex.split(switch)[1:], *at))[0] == 0

    await till.post(ticket("T-9", sold("A")) | {"at": "yesterday"})
    await settled(door)
    show, _, name = message.partition(" > ")
    code, out, _ = await evenstock(*shlex.split(show)[1:], *at)
    assert (code, json.loads(out)["at"]) == (0, "yesterday")
    (tmp_path / name).write_text(out.replace("yesterday", "2026-01-20T14:08:12+01:00"))
    arguments = [str(tmp_path / name) if part == name else part for part in shlex.split(edit)[1:]]
    code, out, _ = await evenstock(*arguments, *at)
    assert (code, out) == (0, "msg_0000000004 speaks for msg_0000000003, which is kept.\n")

    async def booked() -> bool:
        return bool((await door.stock("A"))["on_hand"] == -3)

    await until(booked)


async def test_who_follows_the_page_keeps_stock_right_by_hand(door: Door) -> None:
    await door.know("TSH-BLK-M")
    await door.report(receipt("R-1", "TSH-BLK-M", 10))
    on_hand = []
    for command in commands(BY_HAND):
        if " -d " in command:
            body = shlex.split(command)[-1]
            answer = await door.call("POST", "/v1/events", body.encode())
            assert answer.outcomes == ["applied"], command
            assert (await door.call("POST", "/v1/events", body.encode())).outcomes == ["duplicate"]
            on_hand.append((await door.stock("TSH-BLK-M"))["on_hand"])
        else:
            address = shlex.split(command)[-1].removeprefix("localhost:8080")
            assert (await door.call("GET", address)).status == 200, command
    assert on_hand == [8, 10, 7], "sold on paper, rolled back, counted"
