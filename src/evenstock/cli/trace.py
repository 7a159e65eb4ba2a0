"""trace: what happened because of one ticket, order or message, and what has not happened yet."""

from typing import Annotated

import typer

from evenstock import clock, wiring
from evenstock.cli.talk import (
    Data,
    DatabaseUrl,
    Exit,
    Json,
    Schema,
    answer_json,
    fail,
    out,
    read_settings,
    run,
    say,
)
from evenstock.core.errors import Refusal
from evenstock.core.tracing.story import Trace
from evenstock.pipeline.trace import Wanted, anything
from evenstock.pipeline.trace import trace as traced
from evenstock.postgres import ledger
from evenstock.postgres.database import Database

MARKS = {"done": "✓", "waiting": "…", "failed": "✕"}


def register(app: typer.Typer) -> None:
    app.command()(trace)


def trace(
    id_: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="A trace id, event, ticket, order, rsv_…, msg_…, mov_…, a dispatch's key, pst_…, cmd_…, or another system's document.",
        ),
    ],
    source: Annotated[
        str | None, typer.Option(help="The connection that sent the event, if several have one of this id.")
    ] = None,
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """What happened because of a ticket, an order or a message: 0 when all is done, 3 when something is missing."""
    settings = read_settings(data=data, database_url=database_url, schema=schema)
    with wiring.database(settings, say) as database:
        found = run(_traced(database, id_, source))
    if as_json:
        answer_json(found)
    else:
        _show(found)
    if found.status != "done":
        raise typer.Exit(Exit.PROBLEMS)


async def _traced(database: Database, id_: str, source: str | None) -> Trace:
    async with wiring.session(database, "trace") as db:
        tag = await ledger.tag(db)
        try:
            if source is not None:
                return await traced(db, Wanted(event=id_, source=source), tag, clock.now())
            return await anything(db, id_, tag, clock.now())
        except Refusal as refusal:
            if refusal.problem.code == "trace.ambiguous":
                fail(f"{refusal.problem.detail} Say which with --source.", Exit.USAGE)
            fail(f"{refusal.problem.detail} Ids are compared exactly, case included.", Exit.NOT_FOUND)


def _show(found: Trace) -> None:
    out.print(f"trace {found.trace_id or 'without an id'}", markup=False)
    for step in found.steps:
        out.print(
            f"{MARKS[step.state]} {step.at:%Y-%m-%d %H:%M:%S.%f}"[:-3] + f"  {step.words}", markup=False
        )
    for missing in found.missing:
        late = " That is longer than it should take." if missing.overdue else ""
        out.print(f"→ {missing.words}{late}", markup=False)
    if not found.missing:
        out.print("→ Nothing is missing.", markup=False)
    if found.more:
        out.print("→ There is more than is shown here.", markup=False)
