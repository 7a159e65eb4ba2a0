"""serve, migrate, status: the hub itself."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Annotated, Any

import typer

from evenstock import clock, wiring
from evenstock.address import bound
from evenstock.cli.talk import Data, DatabaseUrl, Json, Schema, answer_json, out, read_settings, run, say
from evenstock.core.freshness import in_words
from evenstock.postgres import freshness, stock
from evenstock.postgres.database import Database
from evenstock.postgres.freshness import SourceRow


def register(app: typer.Typer) -> None:
    app.command()(serve)
    app.command()(migrate)
    app.command()(status)


def serve(
    data: Data = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 lets the system choose. [EVENSTOCK_PORT]")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [EVENSTOCK_HOST]")] = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    outbound_allow: Annotated[
        list[str] | None,
        typer.Option(
            help="HOST:PORT of a system of the house that the hub may call, over http too; repeat. [EVENSTOCK_OUTBOUND_ALLOW]"
        ),
    ] = None,
    folders_allow: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder that connections may take files from, besides DATA/files; repeat. [EVENSTOCK_FOLDERS_ALLOW]"
        ),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error. [EVENSTOCK_LOG_LEVEL]")
    ] = None,
) -> None:
    """Run the hub: API and writer, and the embedded database unless you bring your own."""
    settings = read_settings(
        data=data,
        port=port,
        host=host,
        database_url=database_url,
        schema=schema,
        outbound_allow=tuple(outbound_allow) if outbound_allow else None,
        folders_allow=tuple(folders_allow) if folders_allow else None,
        log_level=log_level,
    )
    with bound(settings.host, settings.port) as listener, wiring.database(settings, say) as database:
        run(wiring.serve(database, settings, listener, say))


def migrate(
    data: Data = None, database_url: DatabaseUrl = None, schema: Schema = None, as_json: Json = False
) -> None:
    """Bring the database's schema up to date. `serve` does it by itself."""
    settings = read_settings(data=data, database_url=database_url, schema=schema)
    with wiring.database(settings, say) as database:
        applied = run(wiring.prepare(database))
    if as_json:
        answer_json({"applied": applied})
        return
    for name in applied:
        out.print(f"applied {name}")
    if not applied:
        out.print("Nothing to do: the schema is up to date.")


def status(
    data: Data = None, database_url: DatabaseUrl = None, schema: Schema = None, as_json: Json = False
) -> None:
    """How much there is, and whether something needs a person."""
    settings = read_settings(data=data, database_url=database_url, schema=schema)
    with wiring.database(settings, say) as database:
        found = run(_summary(database))
    if as_json:
        answer_json(found)
        return
    out.print(f"ledger       {found['ledger_seq']:,} batches, about {found['movements_about']:,} movements")
    out.print(f"positions    about {found['positions_about']:,}")
    out.print(
        f"masters      {found['items']:,} items, {found['locations']:,} locations, {found['connections']:,} connections"
    )
    out.print(f"waiting      {found['waiting']:,} facts wait for another")
    out.print(f"exceptions   {found['exceptions_open']:,} open")
    for line in _sources(found["sources"]):
        out.print(line, markup=False)


def _sources(sources: Sequence[SourceRow]) -> Iterator[str]:
    """How many sources are how fresh, then those that are silent or cannot be reached."""
    states = Counter(source.state for source in sources)
    yield "sources      " + (
        ", ".join(f"{number} {state}" for state, number in sorted(states.items())) or "none"
    )
    now = clock.now()
    for source in sources:
        if source.state == "silent":
            heard = (
                "never heard"
                if source.heard_at is None
                else f"last heard {in_words(now - source.heard_at)} ago"
            )
            yield f"  silent     {source.connection}: {heard}, expected every {in_words(timedelta(seconds=source.expect_within_s or 0))}"
        if source.failures:
            yield f"  failing    {source.connection}: {source.failures} times in a row. {source.detail or ''}"
        for stream in source.streams:
            ended = (
                "never to its end" if stream.passed_at is None else f"{in_words(now - stream.passed_at)} ago"
            )
            yield f"  polled     {source.connection} {stream.name}: read until {stream.read_until:%Y-%m-%d %H:%M:%S} UTC, {ended}"


async def _summary(database: Database) -> dict[str, Any]:
    async with wiring.session(database, "status") as db:
        found = await stock.summary(db)
        return found | {"sources": await freshness.every_source(db, clock.now())}
