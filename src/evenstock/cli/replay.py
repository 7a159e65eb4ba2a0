"""replay: do again what failed, is missing, or all of it; planned first, run by the server, stopped in one word."""

import getpass
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

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
    fail,
    out,
    read_settings,
    run,
    say,
)
from evenstock.core import names
from evenstock.core.errors import Refusal
from evenstock.core.replaying import RATE_DEFAULT_PER_S, RATE_MAX_PER_S, Command, Rules, Step, Verb, Wanted
from evenstock.pipeline import replay
from evenstock.pipeline.replay import Edited
from evenstock.postgres import replays
from evenstock.postgres.database import Database, Session
from evenstock.postgres.replays import Replay, Switch

T = TypeVar("T")
SHOWN_MAX = 50

app = typer.Typer(
    help="Do again what failed, is missing, or all: plan, then run. Nothing is ever done twice.",
    no_args_is_help=True,
)

Id = Annotated[str, typer.Argument(metavar="ID", help="rpl_…")]


@app.command()
def plan(
    step: Annotated[
        str,
        typer.Argument(
            help="From where: translate (messages), apply (held lines), dispatch (numbers told), post (the books), command (what systems are to do), observe (what channels show)."
        ),
    ],
    what: Annotated[str, typer.Option("--what", help="failed, missing or all.")] = "failed",
    connection: Annotated[str | None, typer.Option(help="Only of this connection.")] = None,
    channel: Annotated[str | None, typer.Option(help="Only of this channel (dispatch, observe).")] = None,
    exception: Annotated[str | None, typer.Option(help="Only what this exception is about: exc_….")] = None,
    rules: Annotated[
        str, typer.Option(help="current, or as_was: the settings of when each message was received.")
    ] = "current",
    rate: Annotated[
        int, typer.Option(min=1, max=RATE_MAX_PER_S, help="Items a second.")
    ] = RATE_DEFAULT_PER_S,
    reason: Annotated[str, typer.Option(help="Why, for those who come after you.")] = "",
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """Say what would be done again: how many, the oldest, to whom, how long. Does nothing."""
    for value, known, option in ((step, Step, "the step"), (what, Verb, "--what"), (rules, Rules, "--rules")):
        if value not in get_args(known):
            fail(f"{value!r} is not one of {', '.join(get_args(known))} ({option}).", Exit.USAGE)
    number = None if exception is None else _number(exception, "exc_")
    wanted = Wanted(
        step=step, verb=what, rules=rules, reason=reason, rate_per_s=rate, connection=connection, channel=channel, exception_id=number,  # type: ignore[arg-type]  # checked above
    )  # fmt: skip
    found = _do(
        lambda db: replay.plan(db, wanted, getpass.getuser(), clock.now()), (data, database_url, schema)
    )
    _answer(found, as_json=as_json)


@app.command("run")
def run_(
    id_: Id, data: Data = None, database_url: DatabaseUrl = None, schema: Schema = None, as_json: Json = False
) -> None:
    """Run a plan, or go on after a pause. The server does it: see `status`."""
    _command(id_, "run", (data, database_url, schema), as_json=as_json)


@app.command()
def pause(
    id_: Id, data: Data = None, database_url: DatabaseUrl = None, schema: Schema = None, as_json: Json = False
) -> None:
    """Ask nothing more for now; what was asked is finished."""
    _command(id_, "pause", (data, database_url, schema), as_json=as_json)


@app.command()
def cancel(
    id_: Id, data: Data = None, database_url: DatabaseUrl = None, schema: Schema = None, as_json: Json = False
) -> None:
    """Ask nothing more, ever; what was asked is finished."""
    _command(id_, "cancel", (data, database_url, schema), as_json=as_json)


@app.command()
def status(
    id_: Annotated[str | None, typer.Argument(metavar="[ID]", help="rpl_…; without one, the newest.")] = None,
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """How far replays are: 3 when items of the one asked for came to nothing."""
    options = (data, database_url, schema)
    if id_ is None:
        rows = _do(lambda db: replays.page(db, None, SHOWN_MAX), options)
        if as_json:
            answer_json({"data": rows})
            return
        for row in rows:
            _line(row)
        if not rows:
            out.print("No replays. A replay never creates a duplicate.")
        return
    number = _number(id_, "rpl_")
    found = _do(lambda db: replay.show(db, number), options)
    _answer(found, as_json=as_json)
    if found.failed:
        raise typer.Exit(Exit.PROBLEMS)


@app.command()
def stop(
    reason: Annotated[str, typer.Option(help="Why, for those who want to go on.")] = "",
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """The kill switch: no replay begins or goes on until they are allowed again."""
    _switch(reason, (data, database_url, schema), stopped=True, as_json=as_json)


@app.command()
def allow(
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """Let replays begin and go on again."""
    _switch(reason, (data, database_url, schema), stopped=False, as_json=as_json)


@app.command()
def message(
    id_: Annotated[str, typer.Argument(metavar="ID", help="msg_…")],
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
) -> None:
    """The bytes of a message on stdout, as they were received."""
    number = _number(id_, "msg_")

    async def stored(db: Session) -> bytes | None:
        async with db.transaction():
            return (await replay.stored(db, number)).body

    body = _do(stored, (data, database_url, schema))
    if body is None:
        fail("Its bytes are gone: it was translated long ago.", Exit.NOT_FOUND)
    sys.stdout.buffer.write(body)


@app.command()
def edit(
    id_: Annotated[str, typer.Argument(metavar="ID", help="msg_…, a dead letter.")],
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="The body as it should have been.")
    ],
    reason: Annotated[str, typer.Option(help="Why it was edited; kept with it.")],
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """Replay a dead letter with another body. The one that was received is kept beside it."""
    number, body = _number(id_, "msg_"), file.read_bytes()
    found: Edited = _do(
        lambda db: replay.edit(db, number, body, reason, getpass.getuser(), clock.now()),
        (data, database_url, schema),
    )
    if as_json:
        answer_json(found)
    else:
        out.print(f"{found.id} speaks for {found.edited_from}, which is kept.", markup=False)


def _command(id_: str, what: Command, options: tuple[Any, ...], *, as_json: bool) -> None:
    number = _number(id_, "rpl_")
    _answer(_do(lambda db: replay.command(db, number, what, clock.now()), options), as_json=as_json)


def _switch(reason: str, options: tuple[Any, ...], *, stopped: bool, as_json: bool) -> None:
    found: Switch = _do(
        lambda db: replay.stop_all(db, getpass.getuser(), reason or None, clock.now(), stopped=stopped),
        options,
    )
    if as_json:
        answer_json(found)
    else:
        out.print("All replays are stopped." if found.stopped else "Replays go on.")


def _number(text: str, prefix: str) -> int:
    found = names.numbers_of(text, prefix, "_", 1)
    if found is None:
        fail(f"{text!r} is no id of ours: it begins with {prefix}.", Exit.NOT_FOUND)
    return found[0]


def _do(work: Callable[[Session], Awaitable[T]], options: tuple[Any, ...]) -> T:
    data, database_url, schema = options
    settings = read_settings(data=data, database_url=database_url, schema=schema)
    with wiring.database(settings, say) as database:
        return run(_done(database, work))


async def _done(database: Database, work: Callable[[Session], Awaitable[T]]) -> T:
    async with wiring.session(database, "replay") as db:
        try:
            return await work(db)
        except Refusal as refusal:
            codes = {404: Exit.NOT_FOUND, 409: Exit.CONFLICT}
            fail(refusal.problem.detail, codes.get(refusal.problem.meaning.status, Exit.USAGE))


def _answer(found: Replay, *, as_json: bool) -> None:
    if as_json:
        answer_json(found)
        return
    _line(found)
    oldest = f", the oldest of {found.oldest_at:%Y-%m-%d %H:%M:%S}" if found.oldest_at else ""
    out.print(
        f"  {found.items:,} items{oldest}; {found.rate_per_s} a second, {found.eta_s:.0f} s to go",
        markup=False,
    )
    for effect in found.effects:
        out.print(f"  {effect.target}: {effect.words}", markup=False)
    for failure in found.failures:
        out.print(f"  ✕ {failure.item}: {failure.outcome}", markup=False)
    if found.stopped:
        err.print("All replays are stopped; `evenstock replay allow` lets them go on.")


def _line(found: Replay) -> None:
    out.print(
        f"{found.id}  {found.status:<9}  {found.step} {found.verb}  {found.done:,} done, {found.failed:,} failed, "
        f"{found.skipped:,} skipped, {found.waiting + found.asked:,} to go",
        markup=False,
    )
