"""exceptions: what needs a person, in order; who looks after it, and what they said."""

import getpass
from datetime import datetime, timedelta
from typing import Annotated, Any, get_args

import msgspec
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
    instant,
    out,
    read_settings,
    run,
    say,
)
from evenstock.core import names
from evenstock.core.errors import Refusal
from evenstock.pipeline.attend import IGNORED_DAYS_MAX, Attended, attend
from evenstock.pipeline.attend import show as shown
from evenstock.postgres import attention
from evenstock.postgres.attention import Change, ExceptionRow, Filter, State
from evenstock.postgres.database import Database

STATES: tuple[str, ...] = get_args(State)
app = typer.Typer(
    help="What needs a person: seen, owned, ignored until a time; closed by facts alone.",
    no_args_is_help=True,
)

Id = Annotated[str, typer.Argument(metavar="ID", help="exc_…")]


@app.command("list")
def list_(
    query: Annotated[
        str | None,
        typer.Argument(metavar="[KEY]", help="An item, location, connection, event, ticket, order, msg_…."),
    ] = None,
    state: Annotated[str | None, typer.Option(help=f"Only of this state: {', '.join(STATES)}.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only of this owner.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, newest first.")] = 100,
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """The exceptions that are open, newest first: 0 when there is none, 3 when there are some."""
    if state is not None and state not in STATES:
        fail(f"--state {state!r} is none of: {', '.join(STATES)}.", Exit.USAGE)
    wanted = Filter(closed_too=all_ or state == "resolved", state=state, owner=owner)  # type: ignore[arg-type]  # one of them
    settings = read_settings(data=data, database_url=database_url, schema=schema)
    with wiring.database(settings, say) as database:
        rows = run(_rows(database, wanted, query, limit))
    if as_json:
        answer_json({"data": rows})
    else:
        for row in rows:
            _line(row)
        if not rows:
            out.print("Nothing needs you." if not all_ else "There was never anything.")
    if any(row.status == "open" for row in rows):
        raise typer.Exit(Exit.PROBLEMS)


@app.command()
def show(
    id_: Id, data: Data = None, database_url: DatabaseUrl = None, schema: Schema = None, as_json: Json = False
) -> None:
    """One exception: what it is, what is at stake, whether anything is lost, and what was said."""
    _do(id_, None, None, (data, database_url, schema), as_json=as_json)


@app.command()
def assign(
    id_: Id,
    owner: Annotated[str, typer.Argument(help="Who looks after it; '' for nobody.")],
    note: Annotated[str | None, typer.Option(help="A word about it.")] = None,
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """Say who looks after an exception."""
    _do(id_, Change(owner=owner or None), note, (data, database_url, schema), as_json=as_json)


@app.command()
def wait(
    id_: Id,
    for_: Annotated[str, typer.Argument(metavar="FOR", help="For whom or what; '' to wait no longer.")],
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """Say for whom or what an exception waits."""
    _do(id_, Change(waiting_for=for_ or None), None, (data, database_url, schema), as_json=as_json)


@app.command()
def ignore(
    id_: Id,
    days: Annotated[
        int | None, typer.Option(min=0, max=IGNORED_DAYS_MAX, help="For so many days from now; 0 ends it.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Until a time, such as 2026-11-27T08:00:00+01:00.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="Why.")] = None,
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """Leave an exception alone until a time. What it is about goes on as before."""
    if (days is None) == (until is None):
        fail("Say --days or --until, one of them.", Exit.USAGE)
    at: datetime | None = (
        instant(until, "--until") if until is not None else clock.now() + timedelta(days=days or 0)
    )
    if days == 0:
        at = None
    _do(id_, Change(ignored_until=at), note, (data, database_url, schema), as_json=as_json)


@app.command()
def note(
    id_: Id,
    words: Annotated[str, typer.Argument(help="What you want others to know.")],
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """Write something under an exception; resolved ones too."""
    _do(id_, Change(), words, (data, database_url, schema), as_json=as_json)


def _do(
    id_: str, change: Change | None, words: str | None, options: tuple[Any, Any, Any], *, as_json: bool
) -> None:
    number = names.numbers_of(id_, "exc_", "_", 1)
    if number is None:
        fail(f"{id_!r} is no id of an exception: they begin with exc_.", Exit.NOT_FOUND)
    data, database_url, schema = options
    settings = read_settings(data=data, database_url=database_url, schema=schema)
    with wiring.database(settings, say) as database:
        found = run(_done(database, number[0], change, words))
    if as_json:
        answer_json(found)
    else:
        _show(found)


async def _rows(database: Database, wanted: Filter, query: str | None, limit: int) -> list[ExceptionRow]:
    async with wiring.session(database, "exceptions") as db:
        if query is not None:
            wanted = msgspec.structs.replace(wanted, ids=await attention.find(db, query))
        return await attention.exceptions(db, wanted, None, limit, clock.now())


async def _done(database: Database, number: int, change: Change | None, words: str | None) -> Attended:
    async with wiring.session(database, "exceptions") as db:
        try:
            if change is None:
                return await shown(db, number, clock.now())
            return await attend(db, number, change, words, getpass.getuser(), clock.now())
        except Refusal as refusal:
            codes = {"exception.not_found": Exit.NOT_FOUND, "exception.resolved": Exit.CONFLICT}
            fail(refusal.problem.detail, codes.get(refusal.problem.code, Exit.USAGE))


def _line(row: ExceptionRow) -> None:
    who = row.owner or "–"
    out.print(f"{row.id}  {row.state:<10}  {who:<12}  {row.code}  {row.detail}", markup=False)


def _show(found: Attended) -> None:
    out.print(f"{found.id} · {found.title} · {found.state}", markup=False)
    out.print(f"  {found.detail}", markup=False)
    waits = [
        f"{found.lines:,} lines of {found.facts:,} events" if found.lines else "",
        f"{found.messages:,} messages" if found.messages else "",
        f"{found.units} units" if found.units is not None else "",
        f"{found.money.amount:,.2f} {found.money.currency}" if found.money is not None else "",
    ]
    rows = (
        ("at stake", " · ".join(each for each in waits if each)),
        ("lost?", found.safe),
        ("next", found.next),
        ("you can", found.action),
        ("one for", found.grouped_by),
        ("since", f"{found.opened_at:%Y-%m-%d %H:%M:%S}, seen {found.hits:,} times, last {found.last_seen_at:%Y-%m-%d %H:%M:%S}"),
        ("came back", f"from {found.regressed_from}" if found.regressed_from else ""),
        ("owner", found.owner or "nobody"),
        ("waits for", found.waiting_for or ""),
        ("ignored", f"until {found.ignored_until:%Y-%m-%d %H:%M:%S}" if found.ignored_until else ""),
    )  # fmt: skip
    for name, words in rows:
        if words:
            out.print(f"  {name:<10} {words}", markup=False)
    for note_ in found.notes:
        out.print(f"  {note_.at:%Y-%m-%d %H:%M:%S} {note_.who}: {note_.words}", markup=False)
