"""Service levels are what the stored timestamps say, to the second, on each version of PostgreSQL."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from conftest import owner
from doors.door import evenstock
from evenstock.cli.slo import judged
from evenstock.core.levels import Business, Level, Share, Spread, Target, level
from evenstock.postgres.database import Database
from evenstock.postgres.levels import Levels, measure

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)

# Three batches at 12:00:00, :10 and :20; each fact was received 1, 2 and 9 seconds before.
LEDGER = """
insert into batches select n, n, $1::timestamptz + make_interval(secs => 10 * (n - 1)) from generate_series(1, 3) n;
"""
FACTS = """
insert into facts (batch_id, connection_id, key, type, status, occurred_at, time_basis, received_at, body)
select n, 1, 'T-' || n, 'SaleRecorded.v1', 'applied', b.recorded_at - make_interval(mins => n),
    'source', b.recorded_at - make_interval(secs => (array[1, 2, 9])[n]), '{}'
from generate_series(1, 3) n join batches b on b.batch_id = n;
"""
SOLD = """
insert into movements (ledger_seq, ordinal, item_id, location_id, from_place, to_place, quantity, why, fact_id, occurred_at, recorded_at)
select ledger_seq, 1, 1, 1, 'sellable', 'customer', 1, 'sale', ledger_seq, recorded_at, recorded_at from batches;
"""
CHANNEL = """
insert into channel_terms values (1, 0, '{1}', 0, 1, '{sellable}', false, 6);
"""
TOLD = """
insert into exposure_log (channel_id, item_id, version, connection_id, quantity, ledger_seq, computed_at, because, sent_at)
select 1, 1, n, 1, (array[2, 1, 0])[n], n, recorded_at, 'test', recorded_at from batches join generate_series(1, 3) n on n = ledger_seq;
"""
TRIES = """
insert into attempts (channel_id, item_id, version, try, connection_id, fence, started_at, ended_at, outcome)
select 1, 1, version, try, 1, 1, at, at, outcome
from (values (1, 1, $1::timestamptz + interval '1 second', 'done'),
    (2, 1, $1::timestamptz + interval '11 seconds', 'retry'),
    (3, 1, $1::timestamptz + interval '26 seconds', 'done')) v (version, try, at, outcome);
"""


@asynccontextmanager
async def planted(database: Database, *statements: str) -> AsyncIterator[Any]:
    """Rows at known instants; they tell of no real ledger, so the invariants do not hold."""
    async with owner(database) as db:
        await db.execute("select ensure_movement_partitions($1, 1)", NOON)
        for statement in statements:
            await db.execute(statement, *([NOON] if "$1" in statement else []))
        yield db


def of(found: Levels, name: str) -> Level | Business:
    every: list[Level | Business] = [*found.levels, *found.business]
    return next(each for each in every if each.name == name)


def verdict(found: Levels, name: str) -> str:
    return next(each.verdict for each in found.levels if each.name == name)


async def test_where_nothing_happened_nothing_is_judged_and_nothing_is_missed(
    database_each: Database,
) -> None:
    connection = await database_each.connect()  # as the runtime role
    try:
        found = await measure(connection, NOON - DAY, NOON)
    finally:
        await connection.close()
    assert {each.verdict for each in found.levels} == {"kept", "nothing to judge"}
    assert of(found, "apply lag").found == Spread(0)
    assert of(found, "promises honoured").found == Share(0, 0)


@pytest.mark.planted
async def test_lags_are_from_receipt_and_from_the_shop_to_the_commit(database_each: Database) -> None:
    async with planted(database_each, LEDGER, FACTS) as db:
        found = await measure(db, NOON, NOON + DAY)
    assert of(found, "apply lag").found == Spread(3, 2.0, 8.3, 8.86)
    assert verdict(found, "apply lag") == "missed"
    assert of(found, "shop to hub").found == Spread(3, 120.0, 174.0, 178.8)


@pytest.mark.planted
async def test_only_what_we_knew_in_the_time_counts(database: Database) -> None:
    async with planted(database, LEDGER, FACTS) as db:
        found = await measure(db, NOON + timedelta(seconds=10), NOON + timedelta(seconds=20))
    assert of(found, "apply lag").found == Spread(1, 2.0, 2.0, 2.0)


@pytest.mark.planted
async def test_a_number_is_late_until_it_or_a_newer_one_is_confirmed(database_each: Database) -> None:
    """Version 1 after 1 s; version 2 of 12:00:10 only with version 3, 16 s later; version 3 of 12:00:20 after 6 s."""
    async with planted(database_each, LEDGER, FACTS, SOLD, CHANNEL, TOLD, TRIES) as db:
        found = await measure(db, NOON, NOON + DAY)
    assert of(found, "publish lag").found == Spread(3, 6.0, 15.0, 15.8)
    assert of(found, "publish lag to zero").found == Spread(1, 6.0, 6.0, 6.0)
    assert verdict(found, "publish lag to zero") == "missed"
    assert of(found, "recovery").found == Share(1, 1)
    assert found.tries == {"done": 2, "retry": 1}


@pytest.mark.planted
async def test_a_failure_that_nothing_healed_in_fifteen_minutes_is_no_recovery(database: Database) -> None:
    async with planted(database, LEDGER, TOLD, TRIES) as db:
        await db.execute("update attempts set ended_at = ended_at + interval '20 minutes' where version = 3")
        found = await measure(db, NOON, NOON + DAY)
    assert of(found, "recovery").found == Share(0, 1)
    assert verdict(found, "recovery") == "missed"


@pytest.mark.planted
async def test_promises_are_honoured_when_shipped_and_broken_when_shorted(database: Database) -> None:
    async with planted(database) as db:
        await db.execute(
            """insert into reservations (reservation_id, status, all_or_nothing, asked, created_at)
            select n, case when n <= 98 then 'fulfilled' when n <= 100 then 'shorted' else 'released' end, true, '[]', $1
            from generate_series(1, 110) n""",
            NOON,
        )
        found = await measure(db, NOON, NOON + DAY)
    assert of(found, "promises honoured").found == Share(98, 100)
    assert verdict(found, "promises honoured") == "missed"
    assert of(found, "cancelled").found == Share(10, 110)


@pytest.mark.planted
async def test_a_promise_of_more_than_there_was_is_our_fault_and_counted(database: Database) -> None:
    async with planted(database, LEDGER) as db:
        await db.execute(
            "insert into claim_entries values (1, 1, 1, 1, 1, 1, 'grant', 2, 0, 3, 0, 0, 0), (1, 2, 1, 2, 1, 1, 'grant', 2, 0, 3, 2, 0, 0)"
        )
        found = await measure(db, NOON, NOON + DAY)
    assert (of(found, "false grants").found, of(found, "grants").found) == (1, 2)
    assert verdict(found, "false grants") == "missed"


@pytest.mark.planted
async def test_counts_say_how_often_the_books_were_right_and_how_long_drift_lay_hidden(
    database: Database,
) -> None:
    async with planted(database) as db:
        await db.execute(
            """insert into counts (fact_id, source, key, line, item_id, location_id, scope, started_at, counted_at, quantity, opening, adjusted)
            select n, 'pos', n::text, '1', 1, 1, 'sellable', at, at, 5, n = 1, (array[5, 0, -2, 0])[n]
            from generate_series(1, 4) n cross join lateral (select $1::timestamptz + make_interval(hours => 2 * n) as at) t""",
            NOON,
        )
        found = await measure(db, NOON, NOON + DAY)
    assert of(found, "inventory accuracy").found == Share(2, 3)
    assert of(found, "drift found after").found == Spread(1, 7200.0, 7200.0, 7200.0)


@pytest.mark.planted
async def test_postings_count_once_they_are_in_the_books(database: Database) -> None:
    async with planted(database) as db:
        await db.execute(
            """insert into postings (posting_id, connection_id, reference, kind, posted_on, ledger_from, ledger_to, made_at, rank, status, done_at)
            select n, 1, n::text, 'sales', $1::timestamptz::date, n, n, $1, 1, status, $1::timestamptz + secs * interval '1 second'
            from (values (1, 'done', 10), (2, 'done', 30), (3, 'owed', null), (4, 'rejected', null), (5, 'nothing', null)) p (n, status, secs)""",
            NOON,
        )
        found = await measure(db, NOON, NOON + DAY)
    assert of(found, "posted").found == Share(2, 4)
    assert of(found, "ledger to books").found == Spread(2, 20.0, 29.0, 29.8)


@pytest.mark.planted
async def test_an_exception_that_nobody_owns_is_old_after_a_day_and_its_resolution_is_timed(
    database: Database,
) -> None:
    async with planted(database) as db:
        await db.execute(
            """insert into exceptions (code, subject, detail, opened_at, closed_at, last_seen_at, hour_at, owner)
            select 'a', row_number() over ()::text, '', $1::timestamptz - opened, $1::timestamptz - closed, $1, $1, nullif(owner, 'nobody')
            from (values (interval '25 hours', null::interval, 'nobody'), (interval '25 hours', null, 'maria'),
                (interval '23 hours', null, 'nobody'), (interval '2 hours', interval '1 hour', 'nobody')) e (opened, closed, owner)""",
            NOON,
        )
        found = await measure(db, NOON - DAY, NOON)
    assert of(found, "old exceptions").found == 1
    assert of(found, "exceptions open").found == 3
    assert of(found, "resolution").found == Spread(1, 3600.0, 3600.0, 3600.0)


def test_a_level_is_told_beside_what_is_promised_of_it() -> None:
    lag = level("lag", "", Spread(1200, 0.1, 0.25, 90.0), [Target("p95", 1.0), Target("p99", 5.0)])
    assert judged(lag) == "p95 0.25 s (at most 1 s), p99 1.5 min (at most 5 s), of 1,200"
    share = level("share", "", Share(989, 1000), [Target("rate", 0.99)])
    assert judged(share) == "98.90% of 1,000 (at least 99.0%)"


@pytest.mark.planted
async def test_the_command_answers_3_when_a_level_is_missed_and_says_which(database: Database) -> None:
    at = ("--database-url", database.url, "--schema", database.schema)
    code, shown, said = await evenstock("slo", *at)
    assert code == 0, said
    assert "✕" not in shown
    async with owner(database) as db:
        await db.execute(
            "insert into exceptions (code, subject, detail, opened_at, last_seen_at, hour_at) values ('a', '1', '', now() - interval '2 days', now(), now())"
        )
    code, shown, _ = await evenstock("slo", "--json", *at)
    assert code == 3
    told = (await evenstock("slo", *at))[1]
    assert "✕ missed           old exceptions       1 (at most 0)" in told
    assert "none (p95 at most 1 s, p99 at most 5 s)" in told
    found = json.loads(shown)
    assert [each["name"] for each in found["levels"] if each["verdict"] == "missed"] == ["old exceptions"]
