"""bench: what the hub does in a second on this machine, beside the raw limit."""

from typing import Annotated, Final

import typer
from rich.table import Table

from evenstock.bench.rows import Row
from evenstock.bench.run import Scope, benchmark
from evenstock.cli.talk import Exit, Json, answer_json, err, out, run, say

TABLE_WIDTH: Final = 160  # characters, where it goes into a file: the figures stay readable


def register(app: typer.Typer) -> None:
    app.command()(bench)


def bench(
    seconds: Annotated[float, typer.Option(min=1, help="How long each row is measured.")] = 8.0,
    millions: Annotated[
        list[float] | None,
        typer.Option(help="Millions of movements for the growth rows; repeat. Default: 1 and 10."),
    ] = None,
    no_growth: Annotated[bool, typer.Option("--no-growth", help="Leave the growth rows out.")] = False,
    as_json: Json = False,
) -> None:
    """Measure this machine: exit 3 when a figure is under half of what it must at least be.

    Everything happens on a database of its own in a temporary folder, gone at the end.
    """
    scope = Scope(seconds, () if no_growth else tuple(millions or (1.0, 10.0)))
    rows: list[Row] = []
    for row in benchmark(scope, say, run):
        rows.append(row)
        say(f"  {row.name}: {_figure(row)}")
    passed = all(row.passes for row in rows)
    if as_json:
        answer_json({"ok": passed, "rows": rows})
    else:
        if not out.is_terminal:
            out.width = TABLE_WIDTH
        out.print(_table(rows))
    if not passed:
        err.print("A figure marked MISSED is under half of what it must at least be.")
        raise typer.Exit(Exit.PROBLEMS)


def _table(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("work", "figure", "at least", "aim", "p50", "p99", "load", ""):
        table.add_column(
            heading, justify="left" if heading in {"work", ""} else "right", no_wrap=bool(heading)
        )
    for row in rows:
        table.add_row(
            row.name,
            _figure(row),
            _number(row.at_least, row.unit),
            _number(row.aim, row.unit),
            _milliseconds(row.p50_ms),
            _milliseconds(row.p99_ms)
            + ("" if row.p99_at_most_ms is None else f" (under {row.p99_at_most_ms:g})"),
            "" if row.load_share is None else f"{row.load_share:.0%}",
            row.note or ("" if row.at_least is None else row.verdict),
        )
    return table


def _figure(row: Row) -> str:
    return _number(row.figure, row.unit)


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:.2f} {unit}" if unit == "×" else f"{value:,.0f}{unit}"


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} ms"
