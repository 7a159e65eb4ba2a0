"""The estate on the real thing: processes that are killed, lines that break, a disk that is full; and an exact end."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from evenstock import clock
from evenstock.cli.app import app
from evenstock.core.events import SaleRecorded
from evenstock.estate.box.estates import ESTATES
from evenstock.estate.stack import clockwork
from evenstock.estate.stack.faults import KINDS, LASTS_S, drawn, possible
from evenstock.estate.stack.run import RECORDER, RECORDER_FILE, Plan, Ran, Where, ran
from evenstock.estate.stack.script import Asked, Script, Sent, without, write
from evenstock.estate.stack.told import Timeline
from evenstock.estate.stack.wire import laid
from evenstock.pipeline.files import Folder

WITHIN_S = 240
CORNER = ESTATES["corner"]
QUICK = 7_200.0


def lived(script: Script, folder: Path) -> Ran:
    """A quick day in a small house in which nothing goes wrong."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("EVENSTOCK_")}
    where = Where(
        folder=folder, environ=environ, now=clock.now, say=lambda _: None, timeline=Timeline(),
        recorded=lambda data: Folder(data, RECORDER).path / RECORDER_FILE,
    )  # fmt: skip
    plan = Plan(speed=QUICK, rounds=0, kinds=(), servers=1, agents=0)
    return asyncio.run(ran(script, plan, where))


def test_a_day_under_every_fault_ends_in_an_exact_state() -> None:
    """Kill -9, SIGSTOP, cut lines, lost answers, a full disk, wrong clocks, a database that dies; then everything agrees."""
    done = subprocess.run(
        [sys.executable, "-m", "evenstock", "simulate", "corner", "--stack", "--first", "3", "--json"],
        capture_output=True, text=True, timeout=WITHIN_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (run,) = found["runs"]
    assert found["ok"]
    assert run["findings"] == []
    left_out = " ".join(found["left_out"])
    for kind in KINDS:
        said = ("clock" in kind and "clocks" in left_out) or (kind == "disk full" and kind in left_out)
        assert (run["faults"].get(kind, 0) > 0) is not said, kind
    assert run["answers"]["duplicate"] > 0
    assert run["answers"]["kept"] > 0  # store agents had their part
    assert run["orders"]["reserved"] > 20
    checked = run["checked"]
    assert checked["facts sent again"] == run["facts"] > 200
    assert checked["positions"] > 30
    assert checked["postings"] > 10
    assert checked["invariants"] > 90


@pytest.mark.deep
def test_two_days_of_more_stores_under_every_fault_end_in_an_exact_state() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "evenstock", "simulate", "small", "--stack", "--seeds", "2", "--speed", "300", "--json"],
        capture_output=True, text=True, timeout=4 * WITHIN_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_fact_that_is_lost_on_the_way_is_found_and_its_story_told(tmp_path: Path) -> None:
    script = write(msgspec.structs.replace(CORNER, hours=1.5), 1)
    lost = next(
        event for step in script.steps if isinstance(step, Sent) for event in step.events if isinstance(event, SaleRecorded)
        and not _counted_later(script, event)
    )  # fmt: skip
    found = lived(without(script, [(lost.source, lost.id)]), tmp_path)
    sku, place = lost.data.lines[0].item.sku, lost.data.location
    assert {finding.check for finding in found.findings} >= {"position"}
    assert any(finding.words.startswith(f"{sku} at {place}: the hub has ") for finding in found.findings)
    assert sku is not None
    assert any(sku in line for line in found.story)
    assert not any(lost.id in line for line in found.story)


def _counted_later(script: Script, sale: SaleRecorded) -> bool:
    """Whether a later count, which knows the shelf, or a void, would hide that the sale is missing."""
    spots = {(line.item.sku, sale.data.location) for line in sale.data.lines}
    for step in script.steps:
        for event in step.events if isinstance(step, Sent) else ():
            data: Any = event.data
            if getattr(data, "target", None) == sale.id:
                return True
            is_count = type(event).__name__ == "StockCounted" and event.time >= sale.time  # type: ignore[operator]
            if is_count and any((line.item.sku, data.location) in spots for line in data.lines):
                return True
    return False


def test_a_policy_is_refused_where_the_real_hub_decides() -> None:
    done = CliRunner().invoke(app, ["simulate", "corner", "--stack", "--policy", "hub-safety"])
    assert done.exit_code == 2
    assert "leave --policy out" in done.stderr


def test_the_same_seed_writes_the_same_day() -> None:
    assert write(CORNER, 5).steps == write(CORNER, 5).steps != write(CORNER, 6).steps


def test_a_script_holds_what_travels_badly_and_what_customers_ask() -> None:
    script = write(CORNER, 1)
    sent = [event for step in script.steps if isinstance(step, Sent) for event in step.events]
    assert len(sent) > script.facts > 200  # some are said twice
    assert sum(isinstance(step, Asked) for step in script.steps) > 100
    assert script.late_skus
    assert [step.at for step in script.steps] == sorted(step.at for step in script.steps)


def test_each_round_has_each_fault_once_at_times_of_the_seeds() -> None:
    kinds = list(KINDS)
    troubles = drawn(1, 60.0, 3, kinds)
    assert sorted(trouble.kind for trouble in troubles) == sorted(3 * kinds)
    assert all(
        0 <= trouble.begins_s <= 60.0 and LASTS_S[0] <= trouble.lasts_s <= LASTS_S[1] for trouble in troubles
    )
    assert drawn(1, 60.0, 3, kinds) == troubles != drawn(2, 60.0, 3, kinds)


def test_faults_that_a_machine_cannot_have_are_named_with_how_to_have_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clockwork, "PLACES", ())
    kinds, left_out = possible(disk=False, agents=True)
    assert {*KINDS} - {*kinds} == {"disk full", "agent clock wrong", "server clock wrong"}
    assert "namespace" in left_out[0]
    assert "apt-get install faketime" in left_out[1]


async def test_a_wire_carries_loses_answers_and_is_cut() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    nobody = "http://127.0.0.1:9"
    async with (
        server,
        laid("test", [nobody, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"]) as wire,
    ):
        assert await _said(wire.port) == b"hello"  # past the one that does not answer
        wire.lose_answers = 1
        assert await _said(wire.port) == b""
        assert wire.lost == 1
        wire.cut()
        assert await _said(wire.port) == b""
        wire.heal()
        assert await _said(wire.port) == b"hello"


async def _said(port: int) -> bytes:
    """What comes back; nothing when the line broke."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"hello")
        return await asyncio.wait_for(reader.read(100), 5)
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()
