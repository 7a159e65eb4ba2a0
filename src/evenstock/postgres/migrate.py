"""Brings a schema to what this program expects: forward only, each step once, whole or not at all.

A migration is `migrations/NNNN_subject.sql`. It is never edited once released: its content is remembered by its sha256,
and a schema that differs from what we know is refused, never guessed at.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from evenstock.postgres.database import RUNTIME_ROLE, Connection, Database, quoted, refuse_unsafe
from evenstock.postgres.errors import DatabaseUnfit
from evenstock.postgres.queries import load

SQL: Final = load("migrations")
LOCKS: Final = load("locks")

MIGRATIONS_FOLDER: Final = Path(__file__).parent / "migrations"
FILE_NAME: Final = re.compile(r"[0-9]{4}_[a-z0-9_]+")
NO_LIMIT: Final = 0.0  # an index over a large ledger takes as long as it takes
LOCK_TIMEOUT_S: Final = 60.0  # for tables in use, not for another migration, which we wait for


class Migration(msgspec.Struct, frozen=True):
    """One step of the schema."""

    name: str  # 0001_subject
    script: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.script.encode()).hexdigest()


def known(folder: Path = MIGRATIONS_FOLDER) -> list[Migration]:
    """The migrations of this program, in order."""
    files = sorted(folder.glob("*.sql"))
    for number, file in enumerate(files, start=1):
        if not FILE_NAME.fullmatch(file.stem) or int(file.stem[:4]) != number:
            raise ValueError(
                f"{file.name}: migrations are named NNNN_subject.sql and numbered without gaps from 0001"
            )
    return [Migration(file.stem, file.read_text(encoding="utf-8")) for file in files]


async def migrate(database: Database, now: datetime, folder: Path = MIGRATIONS_FOLDER) -> list[str]:
    """Apply what is missing and name it; connects as the owner. Several at once wait for each other."""
    connection = await database.connect(
        owner=True, application="evenstock migrate", statement_timeout_s=NO_LIMIT, lock_timeout_s=NO_LIMIT
    )
    try:
        await refuse_unsafe(connection)
        await connection.fetchval(LOCKS.migrating, database.schema)
        await connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT_S:.0f}s'")
        await _prepare(connection, database.schema)
        missing = _missing(known(folder), await connection.fetch(SQL.applied))
        for migration in missing:
            await _apply(connection, migration, now)
        return [migration.name for migration in missing]
    finally:
        await connection.close()  # which frees the lock


async def pending(database: Database, folder: Path = MIGRATIONS_FOLDER) -> list[str]:
    """What `migrate` would apply; changes nothing."""
    connection = await database.connect(owner=True, application="evenstock migrate")
    try:
        if await connection.fetchval("SELECT to_regclass('migrations')") is None:
            return [migration.name for migration in known(folder)]
        return [migration.name for migration in _missing(known(folder), await connection.fetch(SQL.applied))]
    finally:
        await connection.close()


async def _prepare(connection: Connection, schema: str) -> None:
    """The runtime's role, the schema and its table of migrations, where they are missing."""
    async with connection.transaction():
        await connection.fetchval(LOCKS.granting)
        state = await connection.fetchrow(SQL.state, RUNTIME_ROLE, schema)
        assert state is not None  # noqa: S101 - a SELECT without FROM has one row
        user = quoted(state["user_name"])
        if not state["exists"]:
            await _as_privileged(connection, f"CREATE ROLE {RUNTIME_ROLE} NOLOGIN", user)
        if not state["member"]:
            await _as_privileged(connection, f"GRANT {RUNTIME_ROLE} TO {user}", user)
        if not state["schema_exists"]:
            await _as_privileged(connection, SQL.make_schema.format(schema=quoted(schema), owner=user), user)
        await connection.execute(f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {RUNTIME_ROLE}")
        await connection.execute(SQL.make_table)
        await connection.execute(f"GRANT SELECT ON migrations TO {RUNTIME_ROLE}")


async def _as_privileged(connection: Connection, statement: str, user: str) -> None:
    """Run what not every user may; where this one may not, say whom to ask for what."""
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError as error:
        raise DatabaseUnfit(
            f"The database user {user} may not prepare the database ({error}). Ask its administrator to run this, "
            f"then try again. It stopped at: {statement};"
        ) from error


def _missing(ours: Sequence[Migration], applied: Sequence[asyncpg.Record]) -> list[Migration]:
    """What the schema does not have yet, after refusing one that has something else."""
    by_name = {migration.name: migration for migration in ours}
    for name, sha256 in applied:
        if name not in by_name:
            newest = max(by_name, default="none")
            raise DatabaseUnfit(
                f"The schema has the migration {name}, which this program does not know (its newest is {newest}). "
                "It was migrated by a newer or another version of evenstock: run that version, or a newer one. "
                "Nothing was changed."
            )
        if by_name[name].sha256 != sha256:
            raise DatabaseUnfit(
                f"The migration {name} was applied with other content than this program has: one of them was edited. "
                "Install the released version again; a migration is corrected by a new one. Nothing was changed."
            )
    done = {name for name, _ in applied}
    missing = [migration for migration in ours if migration.name not in done]
    if missing and done and missing[0].name < max(done):
        raise DatabaseUnfit(
            f"The migration {missing[0].name} is missing from a schema that already has {max(done)}. Its table "
            "`migrations` was changed by hand: restore it from a backup. Nothing was changed."
        )
    return missing


async def _apply(connection: Connection, migration: Migration, now: datetime) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.script)
            await connection.execute(SQL.remember, migration.name, migration.sha256, now)
    except asyncpg.PostgresError as error:
        error.add_note(f"The migration {migration.name} failed and was undone; those before it stand.")
        raise
