"""The page "Work on exceptions": its commands work, and its states are those there are."""

import re
import shlex

from doors.door import REPOSITORY, Door, evenstock, sale
from evenstock.cli.exceptions import STATES
from evenstock.postgres.database import Database

PAGE = (REPOSITORY / "docs" / "how-to" / "work-on-exceptions.md").read_text(encoding="utf-8")


def test_the_page_names_every_state() -> None:
    assert set(re.findall(r"^\| ([a-z]+) \| [a-z]", PAGE, re.MULTILINE)) - {"state"} == set(STATES)


async def test_the_commands_of_the_page_work(door: Door, database: Database) -> None:
    await door.know("A")
    await door.report(sale("T-0107-88213", "NEW"))
    for command in re.findall(r"^\$ (.+)$", PAGE, re.MULTILINE):
        program, *arguments = shlex.split(command)
        assert program == "evenstock"
        code, out, said = await evenstock(
            *arguments, "--database-url", database.url, "--schema", database.schema
        )
        assert (code, said) == (3 if arguments[1] == "list" else 0, ""), command
        assert "exc_00000001" in out, command
    assert "They answer on Monday." in out
