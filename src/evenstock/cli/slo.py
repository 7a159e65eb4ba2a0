"""slo: what was promised of this hub, and whether it was kept, out of the timestamps in its own database."""

from datetime import datetime, timedelta
from typing import Annotated, Final

import typer

from evenstock import clock, wiring
from evenstock.cli.talk import (
    Data,
    DatabaseUrl,
    Exit,
    Json,
    Schema,
    answer_json,
    err,
    out,
    read_settings,
    run,
    say,
)
from evenstock.core.levels import Level, Share, Spread, Target
from evenstock.postgres.database import Database
from evenstock.postgres.levels import Levels, measure

DAYS_MAX: Final = 3_660.0
MARKS: Final = {"kept": "✓ kept", "missed": "✕ missed", "nothing to judge": "· nothing to judge"}
MINUTE_S: Final = 60.0
HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0


def register(app: typer.Typer) -> None:
    app.command()(slo)


def slo(
    days: Annotated[
        float, typer.Option(min=0.001, max=DAYS_MAX, help="How far back, by when the hub knew.")
    ] = 28.0,
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """Service levels and business figures, from stored timestamps: 0 when all are kept, 3 when one is missed.

    What a database cannot know is not here: how long requests took stands in /metrics, and whether we were there is
    for somebody outside to say.
    """
    settings = read_settings(data=data, database_url=database_url, schema=schema)
    until = clock.now()
    with wiring.database(settings, say) as database, err.status("measuring"):
        found = run(_measured(database, until - timedelta(days=days), until))
    if as_json:
        answer_json(found)
    else:
        _show(found)
    if any(each.verdict == "missed" for each in found.levels):
        raise typer.Exit(Exit.PROBLEMS)


async def _measured(database: Database, since: datetime, until: datetime) -> Levels:
    async with wiring.session(database, "slo") as db:
        return await measure(db, since, until)


def _show(found: Levels) -> None:
    out.print(f"from {found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M %Z}")
    for each in found.levels:
        out.print(f"{MARKS[each.verdict]:18} {each.name:20} {judged(each)}", markup=False)
    out.print("")
    for figure in found.business:
        out.print(f"{figure.name:20} {in_words(figure.found)}", markup=False)
    tries = ", ".join(f"{number:,} {outcome}" for outcome, number in found.tries.items())
    out.print(f"{'tries to tell':20} {tries or 'none'}", markup=False)


def judged(each: Level) -> str:
    """What was found, beside what is promised of it."""
    if not isinstance(each.found, Spread):
        return f"{in_words(each.found)} ({', '.join(map(_bound, each.targets))})"
    if not each.found.number:
        return f"none ({', '.join(f'{target.figure} {_bound(target)}' for target in each.targets)})"
    return ", ".join(_beside(each.found, target) for target in each.targets) + f", of {each.found.number:,}"


def _beside(found: Spread, target: Target) -> str:
    seconds = found.p95 if target.figure == "p95" else found.p99
    return f"{target.figure} {span(seconds or 0.0)} ({_bound(target)})"


def in_words(found: Spread | Share | int) -> str:
    """A figure as a person reads it."""
    match found:
        case Share():
            return "none" if found.rate is None else f"{found.rate:.2%} of {found.of:,}"
        case Spread():
            if found.p50 is None or found.p95 is None or found.p99 is None:
                return "none"
            parts = (("p50", found.p50), ("p95", found.p95), ("p99", found.p99))
            return " ".join(f"{name} {span(value)}" for name, value in parts) + f" of {found.number:,}"
        case _:
            return f"{found:,}"


def _bound(target: Target) -> str:
    match target.figure:
        case "count":
            return f"at most {target.bound:,.0f}"
        case "rate":
            return f"at least {target.bound:.1%}"
        case _:
            return f"at most {span(target.bound)}"


def span(seconds: float) -> str:
    """A duration in the unit that reads best."""
    for unit, size in (("d", DAY_S), ("h", HOUR_S), ("min", MINUTE_S)):
        if abs(seconds) >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.3g} s"
