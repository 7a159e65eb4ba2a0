"""loadtest: a peak on this machine, rising until something breaks."""

import os
from typing import Annotated, Final

import typer
from rich.table import Table

from evenstock import wiring
from evenstock.bench.peak.profile import PROFILES
from evenstock.bench.peak.run import Peak, Verdict
from evenstock.cli.talk import Exit, Json, answer_json, fail, out, read_settings, run, say
from evenstock.cli.visit import deafen, interruptible, own_folder
from evenstock.core.mapping import near
from evenstock.estate.stack.house import HUB
from evenstock.settings import PREFIX, settings

AT_LEAST: Final = 500.0  # events a second (reliability §6)
SECONDS_MAX: Final = 3_600.0
TABLE_WIDTH: Final = 160  # characters, where it goes into a file: the figures stay readable


def register(app: typer.Typer) -> None:
    app.command()(loadtest)


def loadtest(
    profile: Annotated[
        str, typer.Option(help=f"What the peak is made of: {', '.join(PROFILES)}.")
    ] = "black-friday",
    seconds: Annotated[
        float, typer.Option(min=4, max=SECONDS_MAX, help="How long load is offered, all steps together.")
    ] = 100.0,
    at_least: Annotated[
        float, typer.Option(min=0, help="Events a second that must be borne with every promise kept.")
    ] = AT_LEAST,
    as_json: Json = False,
) -> None:
    """Raise a peak's load until a promise breaks: 0 when the hub bears enough of it, 3 when not, with what breaks first.

    Everything happens on a hub and a database of its own in a temporary folder, gone at the end.
    """
    if profile not in PROFILES:
        fail(f"There is no profile {profile!r}. {near(profile, PROFILES)}", Exit.USAGE)
    interruptible()
    home = read_settings().data.parent
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(PREFIX) or name.endswith("_PG_BIN")
    }
    with own_folder("loadtest", None, home, keep=False) as folder:
        with wiring.database(settings({"data": folder / HUB}, environ), say) as database:
            found = run(Peak(PROFILES[profile], folder, environ, database, say).measure(seconds, at_least))
        deafen()
    if as_json:
        answer_json(found)
    else:
        _show(found)
    if not found.ok:
        raise typer.Exit(Exit.PROBLEMS)


def _show(found: Verdict) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in (
        "offered",
        "in time",
        "stores p99",
        "orders p99",
        "questions p99",
        "hub",
        "database",
        "load",
        "",
    ):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for step in found.steps:
        p99s = [step.kinds.get(kind) for kind in ("sales", "orders", "questions")]
        table.add_row(
            f"{step.offered_per_s:,.0f}/s",
            f"{step.in_time_per_s:,.0f}/s",
            *("" if each is None else f"{each.p99_ms:,.0f} ms" for each in p99s),
            *(
                f"{used:.0%}"
                for used in (step.hub_processors, step.database_processors, step.load_processors)
            ),
            f"✕ {step.broken[0].name}" if step.broken else "✓",
        )
    if not out.is_terminal:
        out.width = TABLE_WIDTH
    out.print(table)
    out.print(verdict_in_words(found), markup=False)


def verdict_in_words(found: Verdict) -> str:
    """The last word."""
    lines = []
    if found.is_certain:
        lines.append(f"every promise is kept up to {found.knee_per_s:,.0f} events a second")
        lines += [
            f"{'then breaks' if not number else '       and'} {words}"
            for number, words in enumerate(found.breaks_first)
        ]
    else:
        lines.append(
            f"nothing broke up to {found.knee_per_s:,.0f} events a second; give it more --seconds to find what does"
        )
    lines.append(f"what had no more to give: {found.bottleneck}")
    granted, stock = (sum(getattr(step, name) for step in found.steps) for name in ("granted", "hot_stock"))
    if stock:
        lines.append(
            f"{'✕' if found.overgranted else '✓'} of {stock:,} hot units {granted:,} were promised, {found.overgranted:,} too many"
        )
    told = "not in time" if found.drained_s is None else f"{found.drained_s:.1f} s after the last step"
    lines.append(f"{'✕' if found.drained_s is None else '✓'} the web shop had every number {told}")
    lines += [f"✕ {violation}" for violation in found.violations] or ["✓ every invariant of the ledger holds"]
    side = "at least" if found.knee_per_s >= found.at_least_per_s else "less than"
    lines.append(
        f"{'✓' if found.ok else '✕'} {found.profile}: {side} the {found.at_least_per_s:,.0f} a second that were asked for"
    )
    return "\n".join(lines)
