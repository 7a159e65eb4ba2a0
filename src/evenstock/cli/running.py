"""serve, migrate, status: the hub itself."""

from typing import Annotated

import typer

from evenstock import wiring
from evenstock.address import bound
from evenstock.cli.talk import Data, DatabaseUrl, Json, Schema, answer_json, out, read_settings, run, say
from evenstock.postgres import stock
from evenstock.postgres.database import Database


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


async def _summary(database: Database) -> dict[str, object]:
    async with wiring.session(database, "status") as db:
        return await stock.summary(db)
