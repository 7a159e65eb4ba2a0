"""fence: the database was restored from a backup, and what was told since that backup must not be contradicted."""

from typing import Annotated, Any

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
from evenstock.postgres import fences
from evenstock.postgres.database import Database
from evenstock.postgres.fences import Fence


def register(app: typer.Typer) -> None:
    app.command()(fence)


def fence(
    show: Annotated[bool, typer.Option("--show", help="Only show the fence that holds.")] = False,
    settled: Annotated[
        bool,
        typer.Option(
            "--settled", help="The sources have sent again what they had sent: close its exception."
        ),
    ] = False,
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """Say that the database was restored from files of before: channels are told all anew, under numbers above all that were given.

    A restore to a point in time, a dump, or a standby that takes over is noticed without it.
    """
    if show and settled:
        fail("--show changes nothing and --settled does: give one of them.", Exit.USAGE)
    settings = read_settings(data=data, database_url=database_url, schema=schema)
    with wiring.database(settings, say) as database:
        found, closed = run(_fence(database, show=show, settled=settled))
    if as_json:
        answer_json(found)
        return
    if settled:
        out.print("Settled." if closed else "Nothing to settle: no fence waits for it.")
        return
    if not found.epoch:
        out.print("No fence was ever raised: the database stands where it was made.")
        return
    out.print(
        f"fence {found.epoch}, raised {found.raised_at:%Y-%m-%d %H:%M:%S} UTC ({found.why}): the ledger ended at ledger_seq "
        f"{found.ledger_seq:,}, recorded {found.recorded_at:%Y-%m-%d %H:%M:%S} UTC"
        + ("" if found.settled_at is None else f"; settled {found.settled_at:%Y-%m-%d %H:%M:%S} UTC")
    )


async def _fence(database: Database, **asked: Any) -> tuple[Fence, bool]:
    """The fence that holds now, and whether one was settled."""
    async with wiring.session(database, "fence") as db:
        closed = False
        if asked["settled"]:
            closed = await fences.settle(db, clock.now())
        elif not asked["show"]:
            await fences.raise_fence(db, "said", clock.now())
        return await fences.newest(db), closed
