"""The commands: data on stdout, talk on stderr, exit codes that scripts can use, and no traceback for a user's mistake."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest
import typer

from conftest import owner
from doors.door import DEADLINE_S, Door, evenstock, receipt, sale, spawn
from evenstock.cli.app import app, main
from evenstock.postgres.database import Database

COMMANDS = {"serve", "migrate", "status", "verify", "why", "version", "keys"}


def at(database: Database) -> tuple[str, ...]:
    return "--database-url", database.url, "--schema", database.schema


def test_every_command_says_in_a_line_what_it_does() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group
    assert set(commands) >= COMMANDS
    assert set(commands["keys"].commands) == {"create", "list", "revoke"}
    for name, command in commands.items():
        assert command.get_short_help_str(), name


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of a command, called in this process: it ends before it would touch anything."""
    monkeypatch.setattr(sys, "argv", ["evenstock", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


async def test_ctrl_c_while_it_is_still_being_loaded_ends_it_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # it says what was loaded, so that we know where it is
    process = await spawn("verify")
    assert process.stderr is not None
    async with asyncio.timeout(DEADLINE_S):
        while b"evenstock.core" not in (said := await process.stderr.readline()):
            assert said, "it ended before"
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err


def test_a_wrong_call_is_code_2_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        ("nonsense",), ("serve", "--nonsense"), ("serve", "--port", "x"), ("serve", "--port", "70000"), ("why",),
        ("keys", "create", "--name", "x"), ("keys", "create", "--name", "x", "--scope", "nonsense:write"),
        ("keys", "create", "--name", "", "--scope", "*"), ("keys", "create", "--name", "x", "--scope", ","),
        ("keys", "revoke"), ("status", "--database-url", "mysql://x"), ("why", "A", "--as-of", "yesterday"),
        ("why", "A", "--as-of", "2026-01-01T00:00:00"), ("serve", "--log-level", "loud"),
    ):  # fmt: skip
        assert called(monkeypatch, *arguments) == 2, arguments
        out, said = capsys.readouterr()
        assert out == "", arguments
        assert said.strip(), arguments


async def test_help_is_an_answer() -> None:
    code, out, _ = await evenstock("--help")
    assert code == 0
    assert all(command in out for command in COMMANDS)


async def test_what_cannot_work_is_told_with_what_to_do(tmp_path: Path) -> None:
    a_file = tmp_path / "file"
    a_file.write_text("")
    for arguments, code, words in (
        (("status", "--data", str(a_file)), 7, "--data"),
        (("status", "--data", str(a_file / "below")), 7, "--data"),
        (("status", "--database-url", "postgresql://nobody@127.0.0.1:1/x"), 7, "--database-url"),
        (("status", "--database-url", "postgresql://nobody@127.0.0.1:x/x"), 7, "--database-url"),
        (("serve", "--host", "nowhere.invalid", "--data", str(tmp_path / "d")), 5, "--host"),
    ):
        found, out, said = await evenstock(*arguments)
        assert (found, out) == (code, ""), said
        assert words in said
        assert "Traceback" not in said
    assert not (tmp_path / "d").exists()  # nothing was made for a hub that cannot listen


async def test_a_key_is_made_used_listed_and_revoked(door: Door, database: Database) -> None:
    code, out, _ = await evenstock(
        "keys", "create", "--name", "till", "--scope", "movements:read", "--json", *at(database)
    )
    made = json.loads(out)
    assert code == 0
    assert set(made) == {"id", "name", "key", "scopes"}
    assert (made["name"], made["scopes"]) == ("till", ["movements:read"])
    assert (await door.with_key(made["key"]).get("/v1/movements")).status == 200
    code, out, _ = await evenstock("keys", "list", "--json", *at(database))
    listed = {key["key_id"]: key for key in json.loads(out)["keys"]}
    assert (code, listed[made["id"]]["connections"]) == (0, ["till"])
    assert made["key"].split("_", 2)[2] not in out
    code, out, _ = await evenstock("keys", "revoke", made["id"], "--json", *at(database))
    assert (code, json.loads(out)) == (0, {"revoked": made["id"]})
    code, out, said = await evenstock("keys", "revoke", made["id"], *at(database))
    assert (code, out) == (4, "")
    assert "keys list" in said
    _, out, _ = await evenstock("keys", "list", *at(database))
    assert "revoked" in next(row for row in out.splitlines() if made["id"] in row)


async def test_a_key_for_people_is_alone_on_stdout(database: Database) -> None:
    code, out, said = await evenstock("keys", "create", "--name", "till", "--scope", "*", *at(database))
    assert code == 0
    assert out.startswith("evk_")
    assert len(out.splitlines()) == 1
    assert "not shown again" in said


async def test_why_tells_the_movements_behind_a_number(door: Door, database: Database) -> None:
    await door.know("A")
    await door.report(receipt("D-1", "A", 5), sale("T-1", "A", 2))
    code, out, _ = await evenstock("why", "A", *at(database))
    assert code == 0
    assert "A: 3 on hand, 3 available to sell" in out
    assert "0107" in out
    assert len([row for row in out.splitlines() if row.startswith("2026-01-20")]) == 2
    code, out, _ = await evenstock("why", "A", "--json", *at(database))
    found = json.loads(out)
    assert (code, found["availability"]["on_hand"], len(found["movements"])) == (0, 3, 2)
    code, out, _ = await evenstock("why", "A", "--as-of", "2026-01-01T00:00:00Z", "--json", *at(database))
    assert json.loads(out)["availability"]["on_hand"] == 0
    code, out, said = await evenstock("why", "NOBODY", *at(database))
    assert (code, out) == (4, "")
    assert "NOBODY" in said


async def test_status_says_how_much_there_is(door: Door, database: Database) -> None:
    await door.know("A")
    await door.report(sale("1", "A"))
    code, out, _ = await evenstock("status", "--json", *at(database))
    found = json.loads(out)
    assert (code, found["ledger_seq"], found["items"], found["exceptions_open"]) == (0, 1, 1, 1)
    code, out, _ = await evenstock("status", *at(database))
    assert (code, "1 items" in out) == (0, True)


async def test_migrate_again_has_nothing_to_do(database: Database) -> None:
    code, out, _ = await evenstock("migrate", "--json", *at(database))
    assert (code, json.loads(out)) == (0, {"applied": []})


async def plant(database: Database, sql: str) -> None:
    """An invariant of the test's own, beside all others."""
    async with owner(database) as db:
        await db.execute(f"CREATE VIEW v_planted AS {sql}")
        await db.execute("COMMENT ON VIEW v_planted IS 'Stock that nobody may have.'")
        await db.execute("GRANT SELECT ON v_planted TO evenstock_app")


async def test_verify_is_0_when_all_holds(door: Door, database: Database) -> None:
    await door.know("A")
    await door.report(receipt("1", "A", 5))
    await plant(database, "SELECT item_id FROM positions WHERE sellable < 0")
    code, out, _ = await evenstock("verify", "--json", *at(database))
    found = json.loads(out)
    assert (code, found["ok"], found["violations"]) == (0, True, [])
    assert found["checked"] > 0


@pytest.mark.planted
async def test_verify_is_3_and_says_what_does_not_hold(door: Door, database: Database) -> None:
    await door.know("A")
    await door.report(receipt("1", "A", 5))
    await plant(database, "SELECT item_id, sellable FROM positions WHERE sellable > 0")
    code, out, _ = await evenstock("verify", "--json", *at(database))
    found = json.loads(out)
    assert (code, found["ok"]) == (3, False)
    assert [violation["name"] for violation in found["violations"]] == ["v_planted"]
    code, out, said = await evenstock("verify", *at(database))
    assert code == 3, said
    assert out.startswith("✕ v_planted: Stock that nobody may have.")
