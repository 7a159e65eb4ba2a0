"""simulate --stack: a day of an estate against the real hub, its processes, database, lines and disk, all of which really fail."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec
import typer

from evenstock import clock
from evenstock.cli.talk import Exit, answer_json, fail, out, read_settings, run, say
from evenstock.cli.visit import deafen, interruptible, own_folder
from evenstock.estate.box.scenario import Scenario
from evenstock.estate.stack.disk import NoDisk, SmallDisk, own_mounts, small_disk
from evenstock.estate.stack.faults import possible
from evenstock.estate.stack.house import AGENTS_MAX, HUB
from evenstock.estate.stack.run import RECORDER, RECORDER_FILE, Plan, Ran, Where, ran
from evenstock.estate.stack.script import Script, Wrong, write
from evenstock.estate.stack.told import Timeline
from evenstock.pipeline.files import Folder
from evenstock.postgres.embedded import joined
from evenstock.settings import PREFIX

SPEED: Final = 1_200.0
ROUND_S: Final = 16.0  # in which every fault happens once
SHARED_BUFFERS_MB: Final = 64
FINDINGS_SHOWN: Final = 8
LINES_SHOWN: Final = 80


class Lived(msgspec.Struct, frozen=True, kw_only=True):
    """Days that were lived on the real thing; `left_out` says in words which faults this machine cannot have, and why."""

    estate: str
    ok: bool
    left_out: list[str]
    runs: list[Ran]


def live(
    scenario: Scenario, seeds: range, speed: float, rounds: int | None, to: Path | None, *, as_json: bool
) -> None:
    """Live the day of each seed; exit 3 when something does not agree at the end."""
    interruptible()
    chosen = read_settings()
    has_disks = _mounts()
    kinds, left_out = possible(disk=has_disks, agents=AGENTS_MAX > 0)
    for words in left_out:
        say(f"left out: {words}")
    runs = []
    for seed in seeds:
        try:
            script = write(scenario, seed)
        except Wrong as error:
            fail(f"The play of seed {seed} is itself not right: {error}", Exit.FAILED)
        plan = Plan(
            speed=speed, rounds=_rounds(script, speed) if rounds is None else rounds, kinds=tuple(kinds)
        )
        say(f"{scenario.name}, seed {seed}:")
        runs.append(_live(script, plan, chosen.data.parent, to, has_disks=has_disks))
    found = Lived(
        estate=scenario.name, ok=not any(each.findings for each in runs), left_out=left_out, runs=runs
    )
    if as_json:
        answer_json(found)
    else:
        _show(found)
    for each in runs:
        _explain(each)
    if not found.ok:
        raise typer.Exit(Exit.PROBLEMS)


def _mounts() -> bool:
    """Whether we may have a disk of our own."""
    try:
        own_mounts()
    except NoDisk:
        return False
    return True


def _rounds(script: Script, speed: float) -> int:
    return max(1, round(script.ends / 1_000_000 / speed / ROUND_S))


def _live(script: Script, plan: Plan, home: Path, to: Path | None, *, has_disks: bool) -> Ran:
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(PREFIX) or name.endswith("_PG_BIN")
    }
    timeline = Timeline()
    with ExitStack() as stack:
        folder = stack.enter_context(own_folder("stack", None, home, keep=False))
        disk = stack.enter_context(_disk(folder / HUB)) if has_disks else None
        stack.callback(deafen)
        url = stack.enter_context(
            joined(folder / HUB, say, read_settings().pg_bin, shared_buffers_mb=SHARED_BUFFERS_MB)
        )
        where = Where(
            folder=folder, environ=environ, disk=disk, database_url=url, now=clock.now, timeline=timeline, say=say,
            recorded=lambda data: Folder(data, RECORDER).path / RECORDER_FILE,
        )  # fmt: skip
        if to is not None:
            stack.callback(_keep, folder, to / f"seed-{script.seed}", timeline)
        found = run(ran(script, plan, where))
    interruptible()
    if to is not None:
        report = msgspec.json.format(msgspec.json.encode(found))
        (to / f"seed-{script.seed}" / "report.json").write_bytes(report + b"\n")
    return found


@contextmanager
def _disk(folder: Path) -> Iterator[SmallDisk]:
    """A disk of its own for the hub's data, as long as it is used."""
    folder.mkdir(mode=0o700)
    disk = small_disk(folder)
    try:
        yield disk
    finally:
        disk.take_away()


def _keep(folder: Path, to: Path, timeline: Timeline) -> None:
    """What the programs said, and what happened."""
    to.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        shutil.copyfile(log, to / log.name)
    (to / "timeline.txt").write_text("\n".join(timeline.story()) + "\n", encoding="utf-8")


def _show(found: Lived) -> None:
    for each in found.runs:
        faults = sum(each.faults.values())
        out.print(
            f"seed {each.seed}: {each.facts:,} facts, {each.orders.get('reserved', 0):,} orders promised, "
            f"{faults} faults of {len(each.faults)} kinds, {each.seconds:.0f} s",
            markup=False,
        )
        out.print(
            "  answers: " + ", ".join(f"{number:,} {name}" for name, number in each.answers.items()),
            markup=False,
        )
        if each.findings:
            out.print(f"  ✕ {len(each.findings)} things do not agree", markup=False)
        else:
            checked = ", ".join(f"{number:,} {what}" for what, number in each.checked.items())
            out.print(f"  ✓ all agree with the truth: {checked}", markup=False)


def _explain(each: Ran) -> None:
    """What does not agree, and what led to the first of it."""
    for finding in each.findings[:FINDINGS_SHOWN]:
        say(f"✕ seed {each.seed}: {finding.check}: {finding.words}")
    if len(each.findings) > FINDINGS_SHOWN:
        say(f"  and {len(each.findings) - FINDINGS_SHOWN} more")
    for line in each.story[-LINES_SHOWN:]:
        say(f"  {line}")
