"""keys create, list, revoke."""

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
    err,
    fail,
    out,
    read_settings,
    run,
    say,
)
from evenstock.core.events import IDENTIFIER_MAX
from evenstock.core.reading import is_identifier
from evenstock.postgres import keys, masters
from evenstock.postgres.database import Database

SCOPES = (
    "*",
    "events:write",
    "items:write",
    "locations:write",
    "channels:write",
    "connections:write",
    "connections:read",
    "reservations:write",
    "reservations:read",
    "availability:read",
    "exposures:read",
    "postings:read",
    "postings:write",
    "commands:read",
    "commands:write",
    "movements:read",
    "exceptions:read",
    "exceptions:write",
    "replays:read",
    "replays:write",
    "traces:read",
    "messages:read",
    "messages:write",
    "metrics:read",
)

app = typer.Typer(help="Keys for machines: made here, shown once, kept as hashes.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[
        str, typer.Option(help="Whose key it is; also the connection it speaks for, made if absent.")
    ],
    scope: Annotated[list[str], typer.Option(help="What it may do; repeat for several. * is everything.")],
    device: Annotated[
        bool,
        typer.Option(
            help="For a register or agent that cannot repair a refusal: what it sends and we refuse is kept."
        ),
    ] = False,
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is shown now and never again."""
    if not is_identifier(name) or not 0 < len(name) <= IDENTIFIER_MAX:
        fail(
            f"The name {name!r} has characters that an identifier may not have, or more than {IDENTIFIER_MAX}.",
            Exit.USAGE,
        )
    scopes = [part for text in scope for part in text.replace(",", " ").split()]
    unknown = [
        text
        for text in scopes
        if text not in SCOPES and text not in {f"{known.partition(':')[0]}:*" for known in SCOPES[1:]}
    ]
    if unknown or not scopes:
        fail(f"There is no scope {', '.join(unknown)}. Scopes are: {' '.join(SCOPES)}", Exit.USAGE)
    settings = read_settings(data=data, database_url=database_url, schema=schema)
    with wiring.database(settings, say) as database:
        made = run(create_key(database, name, scopes, device=device))
    if as_json:
        answer_json(made)
        return
    out.print(made["key"])
    err.print(f"Key {made['id']} for {name}, scopes {' '.join(scopes)}. It is not shown again: store it now.")


async def create_key(database: Database, name: str, scopes: list[str], *, device: bool) -> dict[str, Any]:
    async with wiring.session(database, "keys") as db:
        await masters.add_connections(db, [name], "api", clock.now())
        connection_id = (await masters.connections(db))[name]
        key_id, key = await keys.create(db, name, scopes, [connection_id], clock.now(), device=device)
    return {"id": key_id, "name": name, "key": key, "scopes": scopes}


@app.command("list")
def list_(
    data: Data = None, database_url: DatabaseUrl = None, schema: Schema = None, as_json: Json = False
) -> None:
    """The keys there are, without their secrets."""
    settings = read_settings(data=data, database_url=database_url, schema=schema)
    with wiring.database(settings, say) as database:
        found = run(_list(database))
    if as_json:
        answer_json({"keys": found})
        return
    for key in found:
        state = f"revoked {key['revoked_at']:%Y-%m-%d}" if key["revoked_at"] else "active"
        out.print(f"{key['key_id']}  {key['name']:<24} {' '.join(key['scopes']):<30} {state}")


async def _list(database: Database) -> list[dict[str, Any]]:
    async with wiring.session(database, "keys") as db:
        return await keys.every(db)


@app.command()
def revoke(
    key_id: str,
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """Revoke a key by its id; it stops working everywhere within 5 seconds."""
    settings = read_settings(data=data, database_url=database_url, schema=schema)
    with wiring.database(settings, say) as database:
        revoked = run(_revoke(database, key_id))
    if not revoked:
        fail(f"There is no active key {key_id}. See: evenstock keys list", Exit.NOT_FOUND)
    if as_json:
        answer_json({"revoked": key_id})
    else:
        out.print(f"Revoked {key_id}.")


async def _revoke(database: Database, key_id: str) -> bool:
    async with wiring.session(database, "keys") as db:
        return await keys.revoke(db, key_id, clock.now())
