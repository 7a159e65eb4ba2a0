"""Others misuse the database (fault F14): locks held by a session that went away, no session left; nothing hangs, and it passes."""

import asyncio
import time
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest

from conftest import NOW, SMALL_MB, owner
from doors.door import opened, receipt, sale, until
from evenstock.postgres.database import Database
from evenstock.postgres.embedded import joined
from evenstock.postgres.migrate import migrate
from evenstock.postgres.tuning import CONNECTIONS_MAX

LOCK_S = 0.3  # instead of ten


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for begin in (Database.connect, Database.pool):
        monkeypatch.setitem(cast("dict[str, Any]", begin.__kwdefaults__), "lock_timeout_s", LOCK_S)


@pytest.mark.usefixtures("impatient")
async def test_whoever_needs_what_another_session_holds_is_told_soon_and_the_rest_goes_on(
    database: Database,
) -> None:
    async with opened(database) as door, owner(database) as foreign:
        await door.know("HELD", "FREE")
        await door.report(receipt("R-1", "HELD", 900), receipt("R-2", "FREE", 900))
        hold = foreign.transaction()
        await hold.start()
        await foreign.execute(
            "select from positions join items using (item_id) where sku = 'HELD' for update of positions"
        )
        began = time.monotonic()
        many = [sale(f"S-{number}", "HELD" if number == 250 else "FREE", 1) for number in range(500)]
        answer = await door.report(*many)
        took = time.monotonic() - began
        assert (answer.status, answer.body["code"], answer.body["retryable"]) == (
            503,
            "hub.memory_away",
            True,
        )
        assert "idle in transaction" in answer.body["detail"]
        assert took < 10 * LOCK_S, "one wait, not one for each part of the batch"
        order = {
            "order_ref": "O-1",
            "lines": [{"line": "1", "item": {"sku": "HELD"}, "quantity": 1, "fulfil": {"pickup_at": "0107"}}],
        }
        answer = await door.post("/v1/reservations", order)
        assert answer.problem[:2] == (503, "hub.memory_away")
        assert (await door.report(sale("S-free", "FREE", 1))).outcomes == ["applied"]
        assert (await door.stock("HELD"))["on_hand"] == 900, "asking waits for nobody"
        await hold.rollback()
        assert (await door.report(*many)).outcomes == ["applied"] * 500
        assert (await door.post("/v1/reservations", order)).status == 201
        assert [(await door.stock(sku))["on_hand"] for sku in ("HELD", "FREE")] == [899, 400]


@pytest.mark.usefixtures("impatient")
async def test_a_session_that_went_away_in_its_transaction_is_ended_by_the_embedded_server(
    tmp_path: Path,
) -> None:
    with joined(tmp_path / "data", print, shared_buffers_mb=SMALL_MB) as url:
        db = await asyncpg.connect(url)
        assert await db.fetchval("select current_setting('idle_in_transaction_session_timeout')") == "1min"
        await db.execute(
            "alter system set idle_in_transaction_session_timeout = '1s'"
        )  # so that the test is short
        await db.execute("select pg_reload_conf()")
        await db.close()
        database = Database(url)
        await migrate(database, NOW)
        async with opened(database) as door:
            await door.know("TEE")
            foreign = await asyncpg.connect(url)
            await foreign.execute("begin; lock table evenstock.positions in exclusive mode")

            async def booked() -> bool:
                return (await door.report(receipt("R-1", "TEE", 1))).status == 200

            await until(booked)
            assert foreign.is_closed()


async def test_a_server_without_a_free_session_is_waited_for(tmp_path: Path) -> None:
    """Others take every session that is left, and ours is lost: its callers hear it, and it comes back by itself."""
    with joined(tmp_path / "data", print, shared_buffers_mb=SMALL_MB) as url:
        database = Database(url)
        await migrate(database, NOW)
        async with opened(database, give_up_s=0.3) as door:
            await door.know("TEE")
            others = await all_that_are_left(url)
            assert (await door.report(receipt("R-1", "TEE", 5))).outcomes == ["applied"], "we have ours"
            freed = others.pop()
            await freed.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'evenstock writer'"
            )
            others += await all_that_are_left(url)
            answer = await door.report(sale("S-1", "TEE", 1))
            assert answer.problem[:2] == (503, "hub.memory_away")
            await asyncio.gather(*(each.close() for each in (*others, freed)))

            async def booked() -> bool:
                return (await door.report(sale("S-1", "TEE", 1))).status == 200

            await until(booked)
            assert (await door.stock("TEE"))["on_hand"] == 4


async def all_that_are_left(url: str) -> list["asyncpg.Connection[asyncpg.Record]"]:
    """Every session that the server still gives."""
    taken = []
    try:
        for _ in range(CONNECTIONS_MAX + 1):
            taken.append(await asyncpg.connect(url))  # noqa: PERF401 - those before the refusal are kept
    except asyncpg.TooManyConnectionsError:
        return taken
    raise AssertionError("it has no limit")
