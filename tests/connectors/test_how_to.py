"""The steps of "Write a connector", done as the page says."""

import json
import re
from pathlib import Path

from typer.testing import CliRunner

from evenstock.cli.app import app
from evenstock.connectors.contract import Hook
from evenstock.connectors.testing import load

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "write-a-connector.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.+?)```", PAGE, re.DOTALL)


def do(line: str, folder: Path) -> tuple[int, str]:
    """A command of the page, with its folder here."""
    arguments = line.removeprefix("$ evenstock ").replace("my-connectors", str(folder)).split()
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def test_who_follows_the_page_has_a_connector_that_the_kit_takes(tmp_path: Path) -> None:
    folder = tmp_path / "my-connectors"
    commands = [line for block in blocks("console") for line in block.splitlines()]
    new, test, install, listed = commands
    assert do(new, folder)[0] == 0
    (folder / "zeta_till/fixtures/return.json").write_text(blocks("json")[0])
    code = folder / "zeta_till/__init__.py"
    text = code.read_text()
    shape, hook = blocks("python")
    start, end = text.index("class Ticket("), text.index("connector = Connector(")
    text = text[:start] + shape + "\n\n" + text[end:]
    text = text.replace("JsonObject, Message\n", "JsonObject, Message, Untranslatable\n")
    assert "hook=Hook(),  #" in text
    text = re.sub(r"hook=Hook\(\),  #.*", hook.strip() + ",", text)
    code.write_text(text)
    status, said = do(test, folder)
    assert status == 0, said
    events = json.loads((folder / "zeta_till/fixtures/return.events.json").read_text())
    assert [event["type"] for event in events] == ["ReturnReceived.v1"]
    assert load((folder / "zeta_till").resolve()).hook == Hook(
        scheme="body", signature="x-zeta-signature", encoding="hex", id="x-zeta-delivery", kind="x-zeta-event"
    )
    assert install.startswith("$ pip install")
    assert do(listed, folder)[0] == 0


def test_a_package_offers_its_connector_by_its_entry_point(tmp_path: Path) -> None:
    assert do("$ evenstock connector new eta_till --to my-connectors", tmp_path)[0] == 0
    project = (tmp_path / "pyproject.toml").read_text()
    assert '[project.entry-points."evenstock.connectors"]\neta_till = "eta_till:connector"' in project
