"""A schema goes forward only, step by step, each once; what differs from what we know is refused."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from conftest import NOW, owner
from evenstock.postgres.database import Database
from evenstock.postgres.errors import DatabaseUnfit
from evenstock.postgres.migrate import known, migrate, pending


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE a (x integer); INSERT INTO a VALUES (1);")
    (tmp_path / "0002_second.sql").write_text("ALTER TABLE a ADD COLUMN y text DEFAULT '%';")
    return tmp_path


@pytest.fixture
def empty(server_each: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A name for a schema that does not exist yet."""
    database = Database(server_each, f"migrate_{abs(hash(request.node.name))}")
    yield database
    asyncio.run(dropped(database))


async def dropped(*databases: Database) -> None:
    async with owner(databases[0]) as connection:
        for database in databases:
            await connection.execute(f"DROP SCHEMA IF EXISTS {database.schema} CASCADE")


async def test_each_step_is_applied_once_in_order(empty: Database, steps: Path) -> None:
    assert await pending(empty, steps) == ["0001_first", "0002_second"]
    assert await migrate(empty, NOW, steps) == ["0001_first", "0002_second"]
    assert await migrate(empty, NOW, steps) == []
    assert await pending(empty, steps) == []
    (steps / "0003_third.sql").write_text("CREATE INDEX ON a (x)")
    assert await migrate(empty, NOW, steps) == ["0003_third"]
    async with owner(empty) as connection:
        assert [tuple(row) for row in await connection.fetch("SELECT x, y FROM a")] == [(1, "%")]
        assert await connection.fetchval("SELECT array_agg(DISTINCT applied_at) FROM migrations") == [NOW]


async def test_many_at_once_wait_for_each_other(empty: Database, steps: Path) -> None:
    done = await asyncio.gather(*(migrate(empty, NOW, steps) for _ in range(6)))
    assert sorted(done) == [[]] * 5 + [["0001_first", "0002_second"]]


async def test_many_cells_at_once_share_the_role(server: str, steps: Path) -> None:
    cells = [Database(server, f"cell_{number}") for number in range(5)]
    try:
        done = await asyncio.gather(*(migrate(cell, NOW, steps) for cell in cells))
        assert done == [["0001_first", "0002_second"]] * 5
    finally:
        await dropped(*cells)


async def test_a_step_that_fails_leaves_nothing_and_those_before_it_stand(
    empty: Database, steps: Path
) -> None:
    (steps / "0003_wrong.sql").write_text("CREATE TABLE b (x integer); SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError) as caught:
        await migrate(empty, NOW, steps)
    assert "0003_wrong failed and was undone" in caught.value.__notes__[0]
    async with owner(empty) as connection:
        assert await connection.fetchval("SELECT to_regclass('b')") is None
        assert await connection.fetchval("SELECT count(*) FROM migrations") == 2


async def test_an_edited_step_is_refused(empty: Database, steps: Path) -> None:
    await migrate(empty, NOW, steps)
    (steps / "0001_first.sql").write_text("CREATE TABLE a (x bigint)")
    (steps / "0003_third.sql").write_text("CREATE TABLE c (x integer)")
    with pytest.raises(DatabaseUnfit, match="0001_first was applied with other content"):
        await migrate(empty, NOW, steps)
    async with owner(empty) as connection:
        assert await connection.fetchval("SELECT to_regclass('c')") is None


async def test_a_newer_versions_schema_is_refused(empty: Database, steps: Path) -> None:
    await migrate(empty, NOW, steps)
    (steps / "0002_second.sql").unlink()
    with pytest.raises(DatabaseUnfit, match=r"does not know \(its newest is 0001_first\).*run that version"):
        await migrate(empty, NOW, steps)


async def test_a_step_that_was_forgotten_by_hand_is_refused(empty: Database, steps: Path) -> None:
    await migrate(empty, NOW, steps)
    async with owner(empty) as connection:
        await connection.execute("DELETE FROM migrations WHERE name = '0001_first'")
    with pytest.raises(DatabaseUnfit, match="0001_first is missing"):
        await migrate(empty, NOW, steps)


async def test_a_user_who_may_not_make_roles_is_told_what_to_ask_for(
    database_each: Database, steps: Path
) -> None:
    async with owner(database_each) as connection:
        await connection.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
    url = database_each.url.replace(database_each.url.split("@")[0], "postgresql://plain:plain")
    try:
        with pytest.raises(DatabaseUnfit, match='stopped at: GRANT evenstock_app TO "plain";'):
            await migrate(Database(url, "plain"), NOW, steps)
        async with owner(database_each) as connection:
            await connection.execute("GRANT evenstock_app TO plain")
        with pytest.raises(DatabaseUnfit, match='stopped at: CREATE SCHEMA "plain" AUTHORIZATION "plain";'):
            await migrate(Database(url, "plain"), NOW, steps)
        async with owner(database_each) as connection:
            await connection.execute('CREATE SCHEMA "plain" AUTHORIZATION "plain"')
        assert await migrate(Database(url, "plain"), NOW, steps) == ["0001_first", "0002_second"]
    finally:
        async with owner(database_each) as connection:
            await connection.execute("DROP SCHEMA IF EXISTS plain CASCADE")
            await connection.execute("DROP OWNED BY plain")
            await connection.execute("DROP ROLE plain")


def test_steps_are_numbered_without_gaps(tmp_path: Path) -> None:
    (tmp_path / "0002_second.sql").write_text("SELECT 1")
    with pytest.raises(ValueError, match="without gaps from 0001"):
        known(tmp_path)
