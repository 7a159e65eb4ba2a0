"""Every connector that comes along holds what the kit asks; and the kit finds what it is about."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from evenstock.cli.app import app
from evenstock.connectors.skeleton import files_of
from evenstock.connectors.testing import Case, cases, folders


@pytest.mark.parametrize("case", [case for folder in folders() for case in cases(folder)], ids=str)
def test_a_connector(case: Case) -> None:
    case()


def made(root: Path, *changes: tuple[str, str, str]) -> Path:
    """A new connector with changes: in this file, this text becomes that."""
    for path, text in files_of("zeta_till").items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for name, before, after in changes:
        text = (root / "zeta_till" / name).read_text()
        assert before in text, before
        (root / "zeta_till" / name).write_text(text.replace(before, after))
    return root / "zeta_till"


def broken(folder: Path) -> dict[str, str]:
    """The claims that do not hold, and why."""
    found = {}
    for case in cases(folder):
        try:
            case()
        except AssertionError as error:
            found[case.claim] = str(error)
    return found


def test_a_new_connector_holds_all_of_it(tmp_path: Path) -> None:
    assert broken(made(tmp_path)) == {}


CODE = "__init__.py"
PLANTED = [
    ((CODE, 'name="zeta_till"', 'name="zeta"'), "offers a connector", "folder 'zeta_till'"),
    ((CODE, 'summary="Tickets', 'summary="tickets'), "offers a connector", "one sentence"),
    ((CODE, "connector = Connector(", "other = Connector("), "offers a connector", "must name a Connector"),
    ((CODE, "    translate=translate,\n", ""), "has what it says", "neither translates"),
    ((CODE, "class Settings(HookSettings, ", "class Settings(msgspec.Struct, "), "has what it says", "extend HookSettings"),
    ((CODE, "def translate", "async def translate"), "has what it says", "plain function"),
    (("README.md", "`previous_secret`", "it"), "explains every setting", "`previous_secret`"),
    ((CODE, "import msgspec\n", "import msgspec\nfrom evenstock.connectors import http_json\n"), "knows no other", "http_json"),
    ((CODE, "import msgspec\n", "import msgspec\nimport evenstock.postgres.keys\n"), "knows no other", "evenstock.postgres"),
    ((CODE, "import msgspec\n", "import msgspec\nimport asyncpg\n"), "knows no other", "another room"),
    (("fixtures/settings.json", "env:", "hunter"), "has fixtures", "does not fit"),
    (("fixtures/settings.json", '{"', '{"secrt": 1, "'), "has fixtures", "secrt"),
    (("fixtures/sale.events.json", '"quantity": 2', '"quantity": 3'), "sale becomes what", "is not what came"),
    ((CODE, '"quantity": line.qty', '"quantity": float(line.qty)'), "sale becomes what", "refused"),
    ((CODE, '"id": f"{ticket.store}', '"source": "me", "id": f"{ticket.store}'), "sale becomes what", "names a source"),
    ((CODE, "/{ticket.number}", "/{message.received_at}"), "sale becomes the same", "something else"),
    ((CODE, "typed(json_of(message), Ticket)", "msgspec.json.decode(message.body, type=Ticket)"), "sale, damaged", "DecodeError"),
    ((CODE, "for number, line in enumerate(ticket.lines, 1)", "for number, line in [(1, ticket.lines[0]), (2, ticket.lines[1])]"), "sale, damaged", "IndexError"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "claim", "words"), PLANTED, ids=[f"{change[2][:40]!r}" for change, _, _ in PLANTED]
)
def test_the_kit_finds_what_is_wrong(
    tmp_path: Path, change: tuple[str, str, str], claim: str, words: str
) -> None:
    found = broken(made(tmp_path, change))
    assert any(name.startswith(claim) and words in why for name, why in found.items()), found


def test_the_kit_asks_for_messages_and_for_what_they_become(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (folder / "fixtures/sale.events.json").unlink()
    assert "if they are true, keep them" in broken(folder)["sale becomes what is expected"]
    (folder / "fixtures/sale.json").unlink()
    assert "has no message" in broken(folder)["has fixtures and their settings"]


def evenstock(*arguments: str) -> tuple[int, str]:
    """A command, in this process: its exit code and what it answered."""
    result = CliRunner().invoke(app, ["connector", *arguments])
    return result.exit_code, result.stdout


def test_a_connector_is_made_tried_and_completed_from_the_command_line(tmp_path: Path) -> None:
    code, out = evenstock("new", "zeta_till", "--to", str(tmp_path))
    assert (code, len(out.split())) == (0, 7)
    folder = tmp_path / "zeta_till"
    (folder / "README.md").write_text("changed")
    assert evenstock("new", "zeta_till", "--to", str(tmp_path))[0] == 5
    assert (folder / "README.md").read_text() == "changed", "what is there stays"
    assert evenstock("test", str(folder))[0] == 3
    (folder / "README.md").write_text("`secret` `previous_secret`")
    code, out = evenstock("test", str(folder))
    assert (code, "✕" in out) == (0, False)
    expected = folder / "fixtures/sale.events.json"
    expected.unlink()
    assert evenstock("test", str(folder))[0] == 3
    assert evenstock("test", str(folder), "--write")[0] == 0
    assert expected.exists()
    for arguments, wanted in ((("new", "Zeta Till"), 2), (("new", "http_json"), 5), (("test", "nobody"), 4)):
        assert evenstock(*arguments)[0] == wanted
    code, out = evenstock("list")
    assert code == 0
    listed = {line.split()[0]: line for line in out.splitlines()}
    assert listed["http_json"].split()[1:3] == ["reads,", "hooks,"]
    assert listed["erp_rest"].split()[1] == "posts"
