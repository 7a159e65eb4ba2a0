"""How a session begins, and which servers are refused."""

import asyncpg
import pytest

from evenstock.postgres.database import Database, refuse_unsafe
from evenstock.postgres.errors import DatabaseUnfit


async def test_a_session_has_its_schema_role_zone_and_limits(database_each: Database) -> None:
    connection = await database_each.connect(application="one of ours")
    try:
        shown = {
            name: await connection.fetchval("SELECT current_setting($1)", name)
            for name in (
                "search_path", "role", "timezone", "application_name",
                "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout",
            )
        }  # fmt: skip
    finally:
        await connection.close()
    assert shown == {
        "search_path": f'"{database_each.schema}"',
        "role": "evenstock_app",
        "timezone": "UTC",
        "application_name": "one of ours",
        "statement_timeout": "30s",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "1min",
    }


async def test_a_pooled_session_keeps_its_role_and_schema_after_it_was_used(database_each: Database) -> None:
    async with database_each.pool(size_max=1) as pool:
        for _ in range(2):
            row = await pool.fetchrow("SELECT current_user::text AS who, current_schema()::text AS at")
            assert row is not None
            assert dict(row) == {"who": "evenstock_app", "at": database_each.schema}


async def test_the_runtime_may_not_change_the_schema(database: Database) -> None:
    connection = await database.connect()
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE mine (x integer)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM migrations")
    finally:
        await connection.close()


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
async def test_a_server_that_forgets_is_refused(database_each: Database, setting: str) -> None:
    connection = await database_each.connect(owner=True)
    try:
        await refuse_unsafe(connection)
        try:
            await set_for_all(connection, setting, "off")
            with pytest.raises(DatabaseUnfit, match=f"{setting} is off: set {setting} = on"):
                await refuse_unsafe(connection)
        finally:
            await set_for_all(connection, setting, "on")
    finally:
        await connection.close()


async def test_asynchronous_commit_is_refused(database_each: Database) -> None:
    connection = await database_each.connect(owner=True)
    try:
        await connection.execute("SET synchronous_commit = off")
        with pytest.raises(DatabaseUnfit, match="synchronous_commit is off"):
            await refuse_unsafe(connection)
        await connection.execute("SET synchronous_commit = local")
        await refuse_unsafe(connection)
    finally:
        await connection.close()


async def set_for_all(connection: "asyncpg.Connection[asyncpg.Record]", setting: str, value: str) -> None:
    """Change a setting of the whole server and see it arrive in this session."""
    await connection.execute(f"ALTER SYSTEM SET {setting} = {value}")
    await connection.execute("SELECT pg_reload_conf()")
    while await connection.fetchval("SELECT current_setting($1)", setting) != value:
        await connection.execute("SELECT pg_sleep(0.01)")


@pytest.mark.parametrize("schema", ["", "x" * 64])
def test_a_schema_name_that_postgresql_would_cut_is_refused(schema: str) -> None:
    with pytest.raises(DatabaseUnfit, match="1 to 63 bytes"):
        Database("postgresql:///x", schema)
