"""A database that goes back in time: its schema dumped, and put back over what came later."""

import os
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from conftest import owner
from evenstock.postgres.database import Database, quoted
from evenstock.postgres.embedded import packaged_bin_dir


def dumped(database: Database, file: Path) -> Path:
    """A backup of the schema, as pg_dump makes it."""
    _program("pg_dump", database, "--schema", quoted(database.schema), "--file", str(file))
    return file


async def put_back(database: Database, file: Path) -> None:
    """The backup instead of what is there now."""
    async with owner(database) as connection:
        await connection.execute(f"DROP SCHEMA {quoted(database.schema)} CASCADE")
    _program("psql", database, "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--file", str(file))


def _program(name: str, database: Database, *arguments: str) -> None:
    """A program of PostgreSQL's, at the database; the password goes by the environment."""
    url = urlsplit(database.url)
    asked = parse_qs(url.query)
    environment = os.environ | {
        "PGHOST": asked["host"][0], "PGPORT": asked["port"][0], "PGUSER": url.username or "", "PGDATABASE": url.path.strip("/"),
        "PGPASSWORD": unquote(url.password or ""),
    }  # fmt: skip
    done = subprocess.run(  # noqa: S603 - PostgreSQL's own
        [packaged_bin_dir() / name, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
