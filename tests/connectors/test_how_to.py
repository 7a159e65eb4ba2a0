"""The steps of "Write a connector", done as the page says."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from typer.testing import CliRunner

from evenstock.cli.app import app
from evenstock.connectors.contract import Hook, Message, Question, Reply, World
from evenstock.connectors.testing import load

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "write-a-connector.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.+?)```", PAGE, re.DOTALL)


def do(line: str, folder: Path) -> tuple[int, str]:
    """A command of the page, with its folder here."""
    arguments = line.removeprefix("$ evenstock ").replace("my-connectors", str(folder)).split()
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


IMPORTS = """from datetime import datetime
from urllib.parse import urlencode

from evenstock.connectors.calling import call, not_understood
from evenstock.connectors.calling import json_of as json_of_reply
from evenstock.connectors.contract import Arrived, Polled, Question, Stream, World
"""


class Zeta:
    """The system of the page: it answers with the ticket of the page, and that there is no more."""

    def __init__(self, ticket: str) -> None:
        self.ticket = ticket
        self.asked = ""

    async def request(self, method: str, url: str, **more: Any) -> Reply:
        del method, more
        self.asked = url
        body = f'{{"tickets": [{self.ticket}], "changed_until": "2026-11-20T13:10:00Z", "next": null}}'
        return Reply(200, {"content-type": "application/json"}, body.encode())


async def test_who_follows_the_page_has_a_connector_that_the_kit_takes(tmp_path: Path) -> None:
    folder = tmp_path / "my-connectors"
    commands = [line for block in blocks("console") for line in block.splitlines()]
    new, test, install, listed = commands
    assert do(new, folder)[0] == 0
    (folder / "zeta_till/fixtures/return.json").write_text(blocks("json")[0])
    code = folder / "zeta_till/__init__.py"
    text = code.read_text()
    shape, hook, asking = blocks("python")
    start, end = text.index("class Ticket("), text.index("connector = Connector(")
    text = text[:start] + shape + "\n\n" + text[end:]
    text = text.replace("JsonObject, Message\n", "JsonObject, Message, Untranslatable\n")
    assert "hook=Hook(),  #" in text
    text = re.sub(r"hook=Hook\(\),  #.*", hook.strip() + ",", text)
    text = text.replace("import msgspec\n", f"import msgspec\n\n{IMPORTS}", 1)
    text = text.replace("connector = Connector(", f"{asking}\n\nconnector = Connector(")
    text = text.replace(
        "    translate=translate,\n", "    translate=translate,\n    poll=poll,\n    streams=streams,\n"
    )
    code.write_text(text)
    status, said = do(test, folder)
    assert status == 0, said
    events = json.loads((folder / "zeta_till/fixtures/return.events.json").read_text())
    assert [event["type"] for event in events] == ["ReturnReceived.v1"]
    assert load((folder / "zeta_till").resolve()).hook == Hook(
        scheme="body", signature="x-zeta-signature", encoding="hex", id="x-zeta-delivery", kind="x-zeta-event"
    )
    connector = load((folder / "zeta_till").resolve())
    assert connector.poll is not None
    zeta = Zeta(blocks("json")[0])
    question = Question("tickets", datetime(2026, 11, 20, 13, tzinfo=UTC))
    page = await connector.poll(None, World(http=zeta, files=cast("Any", None)), question)
    assert zeta.asked == "https://api.zeta.example/tickets?since=2026-11-20T13%3A00%3A00%2B00%3A00&page="
    assert (page.mark, page.after) == (datetime(2026, 11, 20, 13, 10, tzinfo=UTC), None)
    assert connector.translate is not None
    fetched = connector.translate(None, Message(page.arrived[0].body, question.since))
    assert fetched == events, "what is fetched becomes what is told"
    assert install.startswith("$ pip install")
    assert do(listed, folder)[0] == 0


def test_a_package_offers_its_connector_by_its_entry_point(tmp_path: Path) -> None:
    assert do("$ evenstock connector new eta_till --to my-connectors", tmp_path)[0] == 0
    project = (tmp_path / "pyproject.toml").read_text()
    assert '[project.entry-points."evenstock.connectors"]\neta_till = "eta_till:connector"' in project
