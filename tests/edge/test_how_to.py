"""The how-to's commands and calls, as they stand on the page, do what the page says."""

import re
import shlex
from pathlib import Path

import typer

from edge.shop import plan, shop
from evenstock.cli import edge, keys

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "run-a-store-agent.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^\$ evenstock (edge|keys) (\w+) (.*)$", re.MULTILINE)
CALL = re.compile(r"^\$ till localhost:8081(/\S+) -d '([^']*)'$", re.MULTILINE)


def test_the_commands_have_these_options() -> None:
    groups = {"edge": typer.main.get_command(edge.app), "keys": typer.main.get_command(keys.app)}
    found = COMMAND.findall(PAGE)
    assert [(group, name) for group, name, _ in found] == [
        ("keys", "create"),
        ("edge", "run"),
        ("edge", "status"),
    ]
    for group, name, words in found:
        command = groups[group].commands[name]  # type: ignore[attr-defined]  # a group
        command.make_context(name, shlex.split(words))  # refuses what it does not know


async def test_the_call_is_kept(tmp_path: Path) -> None:
    ((path, body),) = CALL.findall(PAGE)
    async with shop(plan(tmp_path / "agent")) as found:
        assert (await found.door.call("POST", path, body.encode())).outcomes == ["kept"]
