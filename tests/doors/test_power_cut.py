"""The power is cut (fault F8): of what was written, only what was flushed is there afterwards; nothing acknowledged is lost.

The disk as a power cut leaves it: data files as they were at the last checkpoint (everything later was only in memory), the control
file and the log of now, and of the log not a byte behind what PostgreSQL knew to be flushed when the last answer came.
"""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from conftest import NOW, SMALL_MB
from doors.door import Door, opened, receipt, sale, until
from doors.killing import AWAY, kill_database
from evenstock.postgres.database import Database
from evenstock.postgres.embedded import joined
from evenstock.postgres.migrate import migrate
from evenstock.postgres.verify import violations

SEGMENT_BYTES = 16 * 1024 * 1024
CLIENTS = 4
ACKNOWLEDGED = 200  # before the power is cut


@pytest.fixture
def houses(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """The data folder as it was used, and as the power cut leaves it."""
    yield tmp_path / "used", tmp_path / "left"
    for data in (tmp_path / "used", tmp_path / "left"):
        if (data / "socket").exists():
            with joined(data, print):
                pass


def flushed(used: Path, left: Path) -> None:
    """Everything that is on the disk for certain just after a checkpoint."""
    left.mkdir(mode=0o700)
    shutil.copy2(used / "password", left / "password")
    shutil.copytree(
        used / "postgres", left / "postgres", ignore=shutil.ignore_patterns("postmaster.pid", "pg_wal")
    )


def cut(used: Path, left: Path, upto: int) -> int:
    """The control file and the log as they are on the disk now, up to a place in the log; returns the bytes that are lost."""
    shutil.copy2(used / "postgres/global/pg_control", left / "postgres/global/pg_control")
    shutil.copytree(used / "postgres/pg_wal", left / "postgres/pg_wal")
    lost = 0
    for segment in sorted((left / "postgres/pg_wal").glob("[0-9A-F]" * 24)):
        begins = (int(segment.name[8:16], 16) * 256 + int(segment.name[16:], 16)) * SEGMENT_BYTES
        content = bytearray(segment.read_bytes())
        behind = max(0, min(len(content), upto - begins))
        lost += len(content[behind:].rstrip(b"\0"))
        content[behind:] = bytes(len(content) - behind)
        segment.write_bytes(content)
    return lost


async def asked(url: str, sql: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_what_was_acknowledged_is_there_after_the_power_was_cut(houses: tuple[Path, Path]) -> None:
    used, left = houses
    acknowledged: dict[str, int] = {}
    tried: set[str] = set()
    with joined(used, print, shared_buffers_mb=SMALL_MB) as url:
        await migrate(Database(url), NOW)
        async with opened(Database(url), give_up_s=0.5) as door:
            await door.know("TEE", "CUP")
            await door.report(receipt("R-1", "TEE", 1000), receipt("R-2", "CUP", 1000))
            watch = await asyncpg.connect(url)
            await watch.execute("checkpoint")
            began = await watch.fetchval("select checkpoint_lsn from pg_control_checkpoint()")
            flushed(used, left)
            clients = [
                asyncio.create_task(sells(door, number, tried, acknowledged)) for number in range(CLIENTS)
            ]

            async def enough() -> bool:
                return len(acknowledged) >= ACKNOWLEDGED

            await until(enough)
            witness = dict(acknowledged)
            upto = await watch.fetchval("select pg_current_wal_flush_lsn()")
            assert await watch.fetchval("select checkpoint_lsn from pg_control_checkpoint()") == began
            await watch.close()
            kill_database(used)
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
            cut(used, left, upto)
            with joined(used, print, shared_buffers_mb=SMALL_MB):  # so that the hub can leave
                pass
    with joined(left, print, shared_buffers_mb=SMALL_MB) as url:
        db = await Database(url).connect()
        there = {row["key"] for row in await db.fetch("select key from facts")}
        sold = await db.fetchval("select sum(quantity)::bigint from movements where why = 'sale'")
        broken = await violations(db)
        await db.close()
    assert len(witness) >= ACKNOWLEDGED
    assert witness.keys() <= there <= tried | {"R-1", "R-2"}
    assert sold == len(there) - 2, "each is booked once"
    assert broken == []


async def sells(door: Door, number: int, tried: set[str], acknowledged: dict[str, int]) -> None:
    """One till: a ticket after the other, until it is switched off."""
    for count in range(1_000_000):
        key = f"S-{number}-{count}"
        tried.add(key)
        try:
            answer = await door.report(sale(key, ("TEE", "CUP")[count % 2], 1))
        except AWAY:
            return
        if answer.status == 200:
            assert answer.outcomes == ["applied"]
            acknowledged[key] = count


async def test_a_commit_that_does_not_wait_for_the_disk_is_lost_with_the_power(
    houses: tuple[Path, Path],
) -> None:
    """The hub refuses to run so; without this, the test before could not fail."""
    used, left = houses
    with joined(used, print, shared_buffers_mb=SMALL_MB) as url:
        db = await asyncpg.connect(url)
        await db.execute("alter system set wal_writer_delay = '10s'")
        await db.execute("select pg_reload_conf()")
        await db.execute("create table sold (n integer)")
        await db.execute("insert into sold values (0)")
        await db.execute("checkpoint")
        flushed(used, left)
        await db.execute("set synchronous_commit = off")
        for number in range(1, 51):
            await db.execute("insert into sold values ($1)", number)
        upto = await db.fetchval("select pg_current_wal_flush_lsn()")
        assert await db.fetchval("select max(n) from sold") == 50
        kill_database(used)
        db.terminate()
    cut(used, left, upto)
    with joined(left, print, shared_buffers_mb=SMALL_MB) as url:
        assert await asked(url, "select max(n) from sold") < 50
