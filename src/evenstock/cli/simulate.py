"""simulate: try a policy on an estate in a box, before you use it on your own."""

import time
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
import typer
from rich.table import Table

from evenstock.cli import stack
from evenstock.cli.past import read_history
from evenstock.cli.progress import stepping
from evenstock.cli.talk import Exit, Json, answer_json, fail, out, say
from evenstock.core.mapping import near
from evenstock.estate.box.box import PARTS, Parts
from evenstock.estate.box.charts import frontier
from evenstock.estate.box.comparison import Comparison, Estimate, by_cause, compare
from evenstock.estate.box.estates import ESTATES, again
from evenstock.estate.box.history import History
from evenstock.estate.box.minimise import PLAYS_MAX, case, retold, smallest
from evenstock.estate.box.page import page
from evenstock.estate.box.policies import POLICIES, Policy
from evenstock.estate.box.scenario import Scenario
from evenstock.estate.box.trials import play_all, trials_of

SEEDS: Final = 5
SEEDS_MAX: Final = 10_000
SPEED_MAX: Final = 100_000
ROUNDS_MAX: Final = 1_000
HOURS_MAX: Final = 10_000.0
COVER_DAYS_MAX: Final = 365.0
MINIMISED_WITHIN_S: Final = 60.0
FINDINGS_SHOWN: Final = 8
LINES_SHOWN: Final = 60


class _Past(NamedTuple):
    """The options that go with --history."""

    file: Path
    mapping: Path | None
    online: float
    cover_days: float

    def options(self) -> str:
        mapping = f" --mapping {self.mapping.name}" if self.mapping is not None else ""
        return (
            f"--history {self.file.name}{mapping} --online {self.online:g} --cover-days {self.cover_days:g}"
        )


def register(app: typer.Typer) -> None:
    app.command()(simulate)


def simulate(
    estate: Annotated[str | None, typer.Argument(help="Which estate; without one, all are listed.")] = None,
    policy: Annotated[
        list[str] | None, typer.Option(help="How it is run; repeat to compare. Default: all.")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=SEEDS_MAX,
            help="How many days are played, each from its own seed. Default: 5, with --stack 1.",
            show_default=False,
        ),
    ] = None,
    first: Annotated[int, typer.Option(min=0, help="The first seed.")] = 1,
    hours: Annotated[
        float | None,
        typer.Option(min=0.5, max=HOURS_MAX, help="How long a day is; default: the estate's own."),
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(
            help="Play a past of your own in place of an estate: a CSV file, or a history.json.",
            show_default=False,
        ),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(help="The TOML file that says what the rows of --history mean.", show_default=False),
    ] = None,
    online: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Part of the tickets of --history that are ordered online."),
    ] = 0.3,
    cover_days: Annotated[
        float,
        typer.Option(min=0.1, max=COVER_DAYS_MAX, help="How many days a full shelf lasts, with --history."),
    ] = 7.0,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Plays at the same time; default: one a processor.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--out", help="A folder for report.html, report.json and frontier.svg.", show_default=False
        ),
    ] = None,
    on_stack: Annotated[
        bool,
        typer.Option(
            "--stack", help="Against the real hub, its database, agents and sandboxes, with real faults."
        ),
    ] = False,
    speed: Annotated[
        float, typer.Option(min=1, max=SPEED_MAX, help="With --stack: how many times faster than a real day.")
    ] = stack.SPEED,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=ROUNDS_MAX,
            help="With --stack: how often each fault happens. Default: once in 16 s of the run.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Play days of a whole estate in memory, under several policies, with the same customers under each.

    With --history the customers are those of your own past, without their names. With --stack the same day meets the real hub.

    The hub in it runs the rules of production. A referee who knows the truth judges every play: exit 3 when it finds that
    books, channels, orders or facts do not agree. Then the smallest scenario that still fails is told, line by line.
    """
    policies = _policies(policy)
    if estate is None and history is None:
        _list(as_json=as_json)
        return
    past = _Past(history, mapping, online, cover_days) if history is not None else None
    scenario = _scenario(estate, past, hours)
    if on_stack:
        if policy:
            fail("--stack lives a day under the policy `hub`: leave --policy out.", Exit.USAGE)
        if to is not None:
            _folder(to)
        stack.live(scenario, range(first, first + (seeds or 1)), speed, rounds, to, as_json=as_json)
        return
    seeds = seeds or SEEDS
    if to is not None:
        _folder(to)
    trials = trials_of(scenario, policies, range(first, first + seeds))
    results = []
    with stepping(f"{scenario.name}: {seeds} seeds, {len(policies)} policies", len(trials)) as step:
        for result in play_all(trials, processes):
            results.append(result)
            step()
    found = compare(scenario, policies, results)
    if to is not None:
        what = scenario.name if past is None else past.options()
        _write(found, to, _command(what, policies, seeds, first, hours), scenario.history)
    if as_json:
        answer_json(found)
    else:
        _show(found)
    if found.findings:
        explain(scenario, found)
        raise typer.Exit(Exit.PROBLEMS)


def _scenario(estate: str | None, past: _Past | None, hours: float | None) -> Scenario:
    if past is not None:
        if estate is not None:
            fail(f"Either the estate {estate!r} or --history: one of them.", Exit.USAGE)
        found = read_history(past.file, past.mapping)
        found = found if hours is None else found.first(hours)
        return again(found, online=past.online, cover_days=past.cover_days)
    scenario = _estate(estate or "")
    return scenario if hours is None else msgspec.structs.replace(scenario, hours=hours)


def _estate(name: str) -> Scenario:
    if name not in ESTATES:
        fail(f"There is no estate {name!r}. {near(name, ESTATES)}", Exit.USAGE)
    return ESTATES[name]


def _policies(names: list[str] | None) -> list[Policy]:
    wanted = list(dict.fromkeys(names or POLICIES))
    for name in wanted:
        if name not in POLICIES:
            fail(f"There is no policy {name!r}. {near(name, POLICIES)}", Exit.USAGE)
    return [POLICIES[name] for name in wanted]


def _list(*, as_json: bool) -> None:
    if as_json:
        answer_json({
            "estates": {name: found.words for name, found in ESTATES.items()},
            "policies": {name: found.words for name, found in POLICIES.items()},
        })  # fmt: skip
        return
    for title, entries in (("estates", ESTATES), ("policies", POLICIES)):
        out.print(title)
        for name, entry in entries.items():
            out.print(f"  {name:18} {entry.words}", markup=False)


def _command(what: str, policies: list[Policy], seeds: int, first: int, hours: float | None) -> str:
    """The command that makes the same again."""
    chosen = "".join(f" --policy {policy.name}" for policy in policies)
    more = (f" --first {first}" if first != 1 else "") + (f" --hours {hours:g}" if hours is not None else "")
    return f"evenstock simulate {what}{chosen} --seeds {seeds}{more}"


def _folder(path: Path) -> None:
    """Make the folder before hours of work, not after."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"--out {path}: no folder can be made there: {error.strerror}.", Exit.USAGE)


def _write(found: Comparison, folder: Path, command: str, history: History | None) -> None:
    for name, text in (
        ("report.html", page(found, command)),
        ("report.json", msgspec.json.format(msgspec.json.encode(found)).decode() + "\n"),
        ("frontier.svg", frontier(found) + "\n"),
    ):
        try:
            (folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            fail(f"{folder / name} cannot be written: {error.strerror}.", Exit.FAILED)
    say(f"written: report.html, report.json and frontier.svg in {folder}")
    if history is not None:
        (folder / "history.json").write_bytes(msgspec.json.encode(history) + b"\n")
        say("and the history without names, history.json, which --history takes in place of the file")


def _show(found: Comparison) -> None:
    out.print(
        f"{found.words}; {found.hours:g} h, {len(found.seeds)} seeds, {found.facts:,} facts", markup=False
    )
    table = Table(box=None, pad_edge=False)
    for heading in ("policy", "oversold", "lost", "shop to hub", "hub to channel"):
        table.add_column(heading, justify="left" if heading == "policy" else "right", no_wrap=True)
    for each in found.policies:
        table.add_row(
            each.policy,
            _figure(each.oversold),
            _figure(each.lost),
            f"{each.source_lag_p95_s.mean:,.0f} s",
            f"{each.channel_lag_p95_s.mean:,.0f} s",
        )
    out.print(table)
    out.print("units of 10,000 that channels promised or customers wanted; delays that 95 % stay under")
    for each in found.policies:
        out.print(f"{each.policy}: {each.words}", markup=False)
        for title, causes in (("oversold", each.oversold_by), ("lost", each.lost_by)):
            out.print(f"  {title}: {_parts(by_cause(causes)) or 'none'}", markup=False)
    if not found.findings:
        out.print("✓ after every play, books, channels, orders and facts agreed with the truth")


def _figure(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.mean:,.1f}"
    return f"{estimate.mean:,.1f} ±{estimate.high - estimate.mean:,.1f}"


def _parts(causes: dict[str, float]) -> str:
    return ", ".join(f"{cause} {rate:,.1f}" for cause, rate in causes.items() if rate >= 0.05)


def explain(scenario: Scenario, found: Comparison, parts: Parts = PARTS) -> None:
    """What the referee found, and the smallest story in which it happens."""
    for seed, policy, finding in found.findings[:FINDINGS_SHOWN]:
        say(f"✕ seed {seed}, {policy}: {finding.check}: {finding.words}")
    if len(found.findings) > FINDINGS_SHOWN:
        say(f"  and {len(found.findings) - FINDINGS_SHOWN} more")
    seed, policy, _ = found.findings[0]
    failing = case(scenario, seed, POLICIES[policy], parts)
    if failing is None:
        return
    until = time.monotonic() + MINIMISED_WITHIN_S
    say("looking for the smallest scenario that still fails …")
    small = smallest(failing, parts, enough=lambda plays: plays >= PLAYS_MAX or time.monotonic() > until)
    say(
        f"seed {seed}, {policy}, {small.scenario.stores.number} stores, {small.scenario.hours:g} h, faults: {len(small.faults)}: {small.finding.words}"
    )
    told = retold(small, parts)
    for line in told[-LINES_SHOWN:]:
        say(f"  {line}")
