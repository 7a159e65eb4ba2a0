"""demo: a small estate lives before your eyes, against the real hub, over HTTP; at the end everything is proved."""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
import typer

from evenstock import clock
from evenstock.address import bound
from evenstock.cli import demo_steer
from evenstock.cli.demo_control import listening
from evenstock.cli.demo_erp import SECRET, Erp
from evenstock.cli.demo_screen import Living, Plain, Screen, summary_in_words, why_in_words
from evenstock.cli.explained import explanation_in_words
from evenstock.cli.keys import create_key
from evenstock.cli.talk import Exit, Json, answer_json, err, out, read_settings, run, say
from evenstock.cli.truth import Proof, proved
from evenstock.cli.visit import deafen, interruptible, own_folder, stop_on_signals
from evenstock.estate.cast import COLLECT, HERO, RECORDER, RECORDER_FILE, Cast, channel_master
from evenstock.estate.drive import Drive
from evenstock.estate.facts import SPEED_MAX
from evenstock.estate.hub import Hub
from evenstock.estate.plan import Plan
from evenstock.estate.program import Program
from evenstock.estate.recorded import Recorded
from evenstock.estate.referee import Difference, Mistold, believed, differences, misposted, mistold
from evenstock.estate.scenes import WHY_AT, WHY_CHANNEL_AT, novelty
from evenstock.estate.steering import Steering
from evenstock.pipeline.files import Folder
from evenstock.postgres.database import Database
from evenstock.postgres.embedded import joined
from evenstock.settings import PREFIX, settings

SHOW_S: Final = 30.0  # in which everything is seen once
SHOW_S_MIN: Final = 4.0
SHARED_BUFFERS_MB: Final = 64
DIFFERENCES_SHOWN: Final = 10
WHY_LINES: Final = 20
ACTS_MAX: Final = 1_000  # whose novelties the ERP knows beforehand
LOOPBACK: Final = "127.0.0.1"


app = typer.Typer(
    help="A living estate, nothing to configure; in another terminal: break it, mend it, find what is wrong."
)
demo_steer.register(app)


@app.callback(invoke_without_command=True)
def demo(
    context: typer.Context,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="Stop after so many seconds; without it, run until Ctrl-C.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another number, another world.")] = 1,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the hub; 0 lets the system choose.")
    ] = 0,
    speed: Annotated[
        int, typer.Option(min=1, max=SPEED_MAX, help="How many times faster than a real shop's time.")
    ] = 60,
    data: Annotated[
        Path | None, typer.Option(help="Folder for everything; it must be new or empty.", show_default=False)
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the data folder behind.")] = False,
    as_json: Json = False,
) -> None:
    """A living estate, nothing to configure: stores, a web shop, a warehouse and an ERP against the real hub."""
    if context.invoked_subcommand is not None:
        return
    began = time.monotonic()
    interruptible()
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(PREFIX) or name.endswith("_PG_BIN")
    }
    chosen = settings({}, environ)
    read_settings()  # sets the log up
    with ExitStack() as stack:
        folder = stack.enter_context(own_folder("demo", data, chosen.data.parent, keep=keep))
        stack.callback(deafen)
        erp = Erp(stack.enter_context(bound(LOOPBACK, 0)))
        process = stack.enter_context(_hub(folder, port, environ | SECRET, erp))
        url = stack.enter_context(joined(folder, say, chosen.pg_bin, shared_buffers_mb=SHARED_BUFFERS_MB))
        database = Database(url, chosen.schema)
        address = process.address()
        key = run(create_key(database, "demo", ["*"], device=False))["key"]
        show = _Show(began, seconds, seed, speed, folder, address, str(key), erp, as_json=as_json)
        outcome = show.run()
        deafen()
        process.stop()
        proof = run(proved(database))
        if as_json:
            answer_json(outcome.as_json(proof, folder if keep else None))
        else:
            _conclude(outcome, proof, folder if keep else None)
    if not proof.ok or outcome.is_wrong:
        raise typer.Exit(Exit.PROBLEMS)


class Outcome(msgspec.Struct, frozen=True):
    """How a show went."""

    seconds: float
    ready_s: float
    numbers: dict[str, Any]
    positions: int
    differences: list[Difference]
    surprises: list[str]
    undiscovered: int
    told: int
    mistold: list[Mistold]
    posted: int
    misposted: list[str]

    @property
    def is_wrong(self) -> bool:
        return bool(self.differences or self.surprises or self.mistold or self.misposted)

    def as_json(self, proof: Proof, kept: Path | None) -> dict[str, Any]:
        return {
            "ready_s": round(self.ready_s, 2),
            "seconds": round(self.seconds, 2),
            **self.numbers,
            "truth": {
                "matched": not self.differences,
                "positions": self.positions,
                "undiscovered_shrink": self.undiscovered,
                "differences": [str(difference) for difference in self.differences],
            },
            "told": {
                "matched": not self.mistold,
                "numbers": self.told,
                "differences": [str(each) for each in self.mistold],
            },
            "books": {
                "matched": not self.misposted,
                "postings": self.posted,
                "differences": self.misposted,
            },
            "surprises": self.surprises,
            "verify": proof,
            "data": str(kept) if kept else None,
        }


class _Show:
    """One run: what was asked for, and the hub that is ready for it."""

    def __init__(
        self,
        began: float,
        seconds: float | None,
        seed: int,
        speed: int,
        folder: Path,
        address: str,
        key: str,
        erp: Erp,
        *,
        as_json: bool,
    ) -> None:
        self.began = began
        self.seconds = seconds
        self.seed = seed
        self.speed = speed
        self.folder = folder
        self.address = address
        self.key = key
        self.erp = erp
        self.as_json = as_json
        self.ready_s = 0.0
        self.act_s = SHOW_S if seconds is None else max(SHOW_S_MIN, min(seconds, SHOW_S))
        self.plan = Plan.of(Cast(), self.act_s, speed)

    def run(self) -> Outcome:
        """Play until the time is over or somebody stops it."""
        try:
            return run(self._play())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None

    async def _play(self) -> Outcome:
        stop = stop_on_signals()
        console = err if self.as_json else out
        screen: Screen = Living(console) if console.is_terminal else Plain(console)
        async with Hub.at(self.address, self.key) as hub, self.erp.serving():
            recorded = Recorded(Folder(self.folder, RECORDER).path / RECORDER_FILE)
            drive = Drive(
                hub,
                self.seed,
                self.plan,
                speed=self.speed,
                now=clock.now,
                tell=screen.tell,
                recorded=recorded,
            )
            self.erp.knows([*drive.cast.skus, *(novelty(act) for act in range(ACTS_MAX))])
            await drive.open_doors([self.erp.connection()])
            steering = Steering(drive, self.erp, time.monotonic, self.seed)
            self.ready_s = time.monotonic() - self.began
            screen.opens(drive, self._welcome(drive.morning))
            opened = time.monotonic()
            with screen:
                async with listening(steering, self.folder, os.getpid()):
                    await self._live(drive, screen, stop)
                await steering.mend_all()
                screen.says("closing: every line comes back, what is still on its way arrives")
                await drive.drain()
            lasted = time.monotonic() - opened
            should = drive.world.truth.books()
            wrong = differences(should, await believed(hub, drive.skus()))
            told, untrue = await mistold(hub, recorded.shown, channel_master(drive.cast), should)
            posted, unposted = await misposted(hub, self.erp.state, should)
        numbers = _numbers(drive, lasted)
        return Outcome(
            lasted,
            self.ready_s,
            numbers,
            len(should),
            wrong,
            [*drive.tally.surprises, *recorded.backwards],
            drive.world.truth.undiscovered(),
            told,
            untrue,
            posted,
            [words for words, _ in unposted],
        )

    async def _live(self, drive: Drive, screen: Screen, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        if self.seconds is not None:
            loop.call_later(self.seconds, stop.set)
        explaining = asyncio.create_task(self._explain(drive, screen))
        drawing = asyncio.create_task(screen.draws())
        try:
            await drive.go(stop)
        finally:
            for task in (explaining, drawing):
                task.cancel()
            for done in await asyncio.gather(explaining, drawing, return_exceptions=True):
                if isinstance(done, Exception):
                    raise done

    async def _explain(self, drive: Drive, screen: Screen) -> None:
        """Twice in every act: the item with the most to tell at its store, and what the web shop should see of it."""
        act = 0
        while True:
            await drive.reaches(self.plan.time(act, WHY_AT))
            lead = self.plan.lead(act)
            found = await drive.hub.availability(HERO)
            screen.explains(why_in_words(found, await drive.hub.movements(HERO, lead, WHY_LINES), lead))
            await drive.reaches(self.plan.time(act, WHY_CHANNEL_AT))
            command = f"$ evenstock why {HERO} --channel {COLLECT}"
            screen.explains([command, *explanation_in_words(await drive.hub.explain(HERO, COLLECT))])
            act += 1

    def _welcome(self, morning: int) -> list[str]:
        program, at = _program(), f"--data {_short(self.folder)}"
        cast = self.plan.cast
        return [
            f"Evenstock demo · Tulip & Co, a clothing chain: {len(cast.stores)} stores, a web shop, a warehouse, {len(cast.skus)} items",
            f"ready in {self.ready_s:.1f} s, the morning so far told to the hub: {morning:,} facts · {self.speed} minutes of shop life pass in a minute",
            "",
            "Try in another terminal:",
            f"  {program} why {HERO} --channel {COLLECT} {at}",
            f"  {program} why {HERO} --location {self.plan.lead(0)} {at}",
            f"  {program} status {at}",
            f"  {program} demo break        (stores offline, ERP down, a flash sale …)   {program} demo challenge   {program} demo speed 1",
            f"  curl -H 'Authorization: Bearer {self.key}' {self.address}/v1/availability/{HERO}",
            "",
        ]


def _numbers(drive: Drive, lasted: float) -> dict[str, Any]:
    tally = drive.tally
    return {
        "facts": {
            "sent": tally.sent,
            "different": tally.facts,
            "applied": tally.outcomes["applied"],
            "duplicates_ignored": tally.outcomes["duplicate"],
            "held": tally.outcomes["held"],
            "held_lines": tally.held_lines,
            "released_lines": tally.released,
            "parked": tally.outcomes["parked"],
            "rejected": tally.outcomes["rejected"],
            "late": tally.late,
            "per_second": round((tally.sent - drive.morning) / lasted, 1),
        },
        "exceptions": {
            "opened": dict(sorted(drive.opened.items())),
            "closed": dict(sorted(drive.closed.items())),
            "open": len(drive.open),
        },
        "orders": dict(sorted(drive.shoppers.counts.items())),
        "numbers_told": drive.recorded.lines,
        "answers_ms": {
            "requests": tally.requests,
            "p50": round(tally.took.percentile(50), 1),
            "p99": round(tally.took.percentile(99), 1),
        },
    }


def _conclude(outcome: Outcome, proof: Proof, kept: Path | None) -> None:
    for line in summary_in_words(outcome.seconds, outcome.numbers):
        out.print(line, markup=False)
    for surprise in outcome.surprises[:DIFFERENCES_SHOWN]:
        out.print(f"✕ an answer that should not be: {surprise}", markup=False)
    for difference in outcome.differences[:DIFFERENCES_SHOWN]:
        out.print(f"✕ {difference}", markup=False)
    if outcome.differences:
        out.print(f"✕ {len(outcome.differences)} of {outcome.positions:,} positions differ from the truth")
    else:
        out.print(
            f"✓ the hub's {outcome.positions:,} positions are exactly the truth, but for {outcome.undiscovered} units that vanished and nobody has counted yet"
        )
    for mistake in outcome.mistold[:DIFFERENCES_SHOWN]:
        out.print(f"✕ {mistake}", markup=False)
    if outcome.mistold:
        out.print(
            f"✕ {len(outcome.mistold)} of {outcome.told} numbers of the web shop are not what they must be"
        )
    else:
        out.print(
            f"✓ the last number that the web shop was told is what the hub means and the truth, for each of {outcome.told}"
        )
    for words in outcome.misposted[:DIFFERENCES_SHOWN]:
        out.print(f"✕ {words}", markup=False)
    if outcome.misposted:
        out.print(f"✕ {len(outcome.misposted)} things in the ERP's books are not what they must be")
    else:
        out.print(f"✓ the ERP has each of {outcome.posted} postings once, and by them what the ledger has")
    if kept is not None:
        out.print(f"kept: {_program()} serve --data {_short(kept)}", markup=False)
    out.print(proof.in_words(), markup=False)


# The hub, and how it is called


@contextmanager
def _hub(folder: Path, port: int, environ: dict[str, str], erp: Erp) -> Iterator[Program]:
    allowed = f"--outbound-allow={urlsplit(erp.url).netloc}"
    arguments = ["serve", "--data", str(folder), "--port", str(port), allowed]
    program = Program("The hub", arguments, folder / "hub.log", environ)
    program.start()
    try:
        yield program
    finally:
        program.stop()


def _program() -> str:
    """How this program is called from here."""
    name = Path(sys.argv[0])
    found = shutil.which(name.name)
    if found is not None and Path(found).resolve() == name.resolve():
        return name.name
    return _short(name) if name.name == "evenstock" else "evenstock"


def _short(path: Path) -> str:
    """A path as one would type it."""
    absolute = path.absolute()
    for base, prefix in ((Path.cwd(), ""), (Path.home(), "~/")):
        if absolute.is_relative_to(base):
            return prefix + str(absolute.relative_to(base))
    return str(absolute)
