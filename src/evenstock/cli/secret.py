"""secrets set, list, remove: what connections refer to as secret:NAME, encrypted at rest and never shown again."""

import getpass
import re
import sys
from typing import Final

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
from evenstock.core.errors import Refusal
from evenstock.pipeline.vault import SECRET_BYTES_MAX, Vault
from evenstock.postgres import secrets
from evenstock.postgres.database import Database

NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")

app = typer.Typer(
    help="Secrets that connections refer to as secret:NAME: encrypted at rest, never shown.",
    no_args_is_help=True,
)


@app.command("set")
def set_(
    name: str,
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """Store a secret, or another in its place. It is read from stdin, or asked for on a terminal."""
    if not NAME.fullmatch(name):
        fail(f"The name {name!r} is not letters, digits, `.`, `_` and `-`, at most 128.", Exit.USAGE)
    value = _value(name)
    settings = read_settings(data=data, database_url=database_url, schema=schema)
    with wiring.database(settings, say) as database:
        try:
            run(_set(database, wiring.vault(settings), name, value))
        except Refusal as refusal:
            fail(f"{refusal.problem.detail} Nothing was stored.", Exit.CONFLICT)
    if as_json:
        answer_json({"stored": name})
    else:
        err.print(
            f"Stored. Refer to it as secret:{name}; hubs that run know it within 5 seconds.", markup=False
        )


def _value(name: str) -> str:
    """What stdin holds, without the line's end; never an argument, which others on the machine could see."""
    if sys.stdin.isatty():
        value = getpass.getpass(f"{name}: ")
    else:
        raw = sys.stdin.buffer.read(SECRET_BYTES_MAX + 2)
        try:
            value = raw.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            fail("The secret is no text (UTF-8). Encode it, for example as base64.", Exit.USAGE)
    if not value:
        fail('The secret is empty. Pipe it in: printf %s "$TOKEN" | evenstock secrets set NAME', Exit.USAGE)
    if len(value.encode()) > SECRET_BYTES_MAX:
        fail(f"The secret has more than {SECRET_BYTES_MAX:,} bytes.", Exit.USAGE)
    return value


async def _set(database: Database, vault: Vault, name: str, value: str) -> None:
    async with wiring.session(database, "secrets") as db:
        await vault.store(db, name, value, clock.now())


@app.command("list")
def list_(
    data: Data = None, database_url: DatabaseUrl = None, schema: Schema = None, as_json: Json = False
) -> None:
    """The names of the secrets there are, and when each was last changed."""
    settings = read_settings(data=data, database_url=database_url, schema=schema)
    with wiring.database(settings, say) as database:
        found = run(_list(database))
    if as_json:
        answer_json({"secrets": [{"name": name, "changed_at": changed_at} for name, changed_at in found]})
        return
    for name, changed_at in found:
        out.print(f"{name:<40} changed {changed_at:%Y-%m-%d %H:%M:%S %Z}", markup=False)


async def _list(database: Database) -> list[tuple[str, object]]:
    async with wiring.session(database, "secrets") as db:
        return [(name, changed_at) for name, changed_at in await secrets.every(db)]


@app.command()
def remove(
    name: str,
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """Forget a secret. Connections that refer to it take nothing more until it is stored again."""
    settings = read_settings(data=data, database_url=database_url, schema=schema)
    with wiring.database(settings, say) as database:
        removed = run(_remove(database, name))
    if not removed:
        fail(f"There is no secret {name}. See: evenstock secrets list", Exit.NOT_FOUND)
    if as_json:
        answer_json({"removed": name})
    else:
        out.print(f"Removed {name}.", markup=False)


async def _remove(database: Database, name: str) -> bool:
    async with wiring.session(database, "secrets") as db:
        return await secrets.remove(db, name)
