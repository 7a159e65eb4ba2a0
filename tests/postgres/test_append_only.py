"""What is in the ledger stays as it is: the runtime's role may add, and nothing else. Months have partitions."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from conftest import owner
from evenstock.postgres.database import Database, Session
from hub import NOW, event, hub, line

ENSURE = "select ensure_movement_partitions($1, $2)"

FORBIDDEN = (
    *(
        f"{verb} {table}{rest}"
        for table, column in (
            ("movements", "quantity"), ("movements_default", "quantity"), ("movements_2026_03", "quantity"),
            ("batches", "ledger_seq"), ("facts", "body"), ("counts", "quantity"), ("voids", "void_fact_id"),
        )
        for verb, rest in (("update", f" set {column} = {column}"), ("delete from", ""), ("truncate", ""))
    ),
    "update messages set headers = headers",
    "update messages set body_sha256 = body_sha256",
    "delete from messages",
    "truncate messages",
    "update movements set occurred_at = recorded_at",
    "update facts set body = body",
    "update facts set occurred_at = received_at",
    "update facts set key = key",
    "update counts set counted_at = counted_at",
    "delete from exceptions",
    "delete from held_lines",
    "delete from key_conflicts",
    "delete from rejected_events",
    "drop table movements_default",
    "alter table movements drop constraint quantity_is_sane",
    "alter table movements detach partition movements_2026_03",
    "create table movements_2031_01 partition of movements for values from ('2031-01-01') to ('2031-02-01')",
)  # fmt: skip


def sale(id_: str, at: datetime) -> dict[str, object]:
    return event("sale", id_, at, {"location": "store-a", "lines": [line("TEE-M", 1)]})


async def sold(database: Database, *instants: datetime) -> None:
    """A sale booked at each of these instants."""
    async with hub(database, "pos") as one:
        await one.locations("store-a")
        await one.items("TEE-M")
        for number, instant in enumerate(instants):
            one.now = instant
            await one.apply(sale(f"s-{number}", instant))


async def partitions(db: Session) -> list[tuple[str, int]]:
    """Each partition that holds movements, and how many."""
    rows = await db.fetch(
        "select tableoid::regclass::text as name, count(*) from movements group by 1 order by 1"
    )
    return [tuple(row.values()) for row in rows]


async def test_the_runtime_may_not_change_what_was_written(database: Database) -> None:
    runtime = await database.connect()
    try:
        await runtime.execute(ENSURE, NOW, 0)
        await sold(database, NOW)
        for statement in FORBIDDEN:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await runtime.execute(statement)
    finally:
        await runtime.close()


async def test_movements_land_in_the_partition_of_the_month_in_which_they_were_recorded(
    database_each: Database,
) -> None:
    runtime = await database_each.connect()
    try:
        await runtime.execute(ENSURE, datetime(2026, 12, 31, 23, 59, tzinfo=UTC), 1)
        last, first = datetime(2026, 12, 31, 23, tzinfo=UTC), datetime(2027, 1, 1, 0, 0, 1, tzinfo=UTC)
        await sold(database_each, last, first, datetime(2027, 2, 1, tzinfo=UTC))
        assert await partitions(runtime) == [
            ("movements_2026_12", 1), ("movements_2027_01", 1), ("movements_default", 1),
        ]  # fmt: skip
        assert await runtime.fetchval("select sellable from positions") == -3
    finally:
        await runtime.close()


async def test_making_partitions_again_changes_nothing_and_rows_already_there_are_no_fault(
    database: Database,
) -> None:
    runtime = await database.connect()
    try:
        await sold(database, NOW)
        for _ in range(2):
            await runtime.execute(ENSURE, NOW - timedelta(days=31), 2)
        assert await partitions(runtime) == [("movements_default", 1)]
        names = await runtime.fetch(
            "select inhrelid::regclass::text as name from pg_inherits where inhparent = 'movements'::regclass order by 1"
        )
        assert [row["name"] for row in names] == [
            "movements_2026_02",
            "movements_2026_04",
            "movements_default",
        ]
    finally:
        await runtime.close()


async def test_months_are_those_of_utc_whatever_the_session_thinks(database: Database) -> None:
    runtime = await database.connect()
    try:
        await runtime.execute("set timezone = 'Pacific/Kiritimati'")
        await runtime.execute("set datestyle = 'German, DMY'")
        await runtime.execute(ENSURE, datetime(2026, 3, 31, 23, tzinfo=UTC), 0)
        bounds = await runtime.fetchval(
            "select pg_get_expr(relpartbound, oid) from pg_class where oid = 'movements_2026_03'::regclass"
        )
        await sold(database, datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 31, 23, 59, tzinfo=UTC))
        assert await partitions(runtime) == [("movements_2026_03", 2)], bounds
    finally:
        await runtime.close()


async def test_only_the_runtime_and_the_owner_make_partitions(database: Database) -> None:
    async with owner(database) as connection:
        grantees = await connection.fetch(
            "select grantee::regrole::text as name from pg_proc, aclexplode(proacl) "
            "where oid = 'ensure_movement_partitions'::regproc and grantee <> proowner"
        )
        assert [row["name"] for row in grantees] == ["evenstock_app"]
