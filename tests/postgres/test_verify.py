"""An invariant is a view; a row in it is a breach, shown with what it means."""

import pytest

from conftest import owner
from evenstock.postgres.database import Database
from evenstock.postgres.verify import Violation, violations


@pytest.mark.planted
async def test_every_view_named_so_is_run_and_a_breach_is_told_in_words(database_each: Database) -> None:
    async with owner(database_each) as connection:
        await connection.execute("""
            CREATE VIEW v_planted AS SELECT n FROM generate_series(1, 12) AS n;
            COMMENT ON VIEW v_planted IS 'A number that should not be.';
            CREATE VIEW v_holds AS SELECT 1 AS n WHERE false;
            CREATE VIEW very_other AS SELECT 1 AS n;
        """)
        (found,) = [each for each in await violations(connection) if each.name == "v_planted"]
    assert found == Violation(
        "v_planted", "A number that should not be.", tuple(f'{{"n": {number}}}' for number in range(1, 11))
    )
    assert str(found).splitlines()[:2] == ["v_planted: A number that should not be.", '  {"n": 1}']


async def test_a_fresh_schema_holds_and_the_runtime_may_prove_it(database_each: Database) -> None:
    connection = await database_each.connect()
    try:
        assert await violations(connection) == []
    finally:
        await connection.close()


@pytest.mark.planted
async def test_a_proof_may_take_longer_than_other_statements(database: Database) -> None:
    async with owner(database) as connection:
        await connection.execute("CREATE VIEW v_slow AS SELECT 1 AS n FROM pg_sleep(0.2)")
        await connection.execute("SET statement_timeout = 100")
        assert [each.name for each in await violations(connection)] == ["v_slow"]
        assert await connection.fetchval("SHOW statement_timeout") == "100ms"
