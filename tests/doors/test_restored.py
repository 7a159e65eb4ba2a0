"""A hub over a database that went back in time: a backup restored to a point in time (fault F17), a standby that takes over (F18)."""

import asyncio
import json
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from conftest import NOW, SMALL_MB
from doors.door import REPOSITORY, Door, Process, evenstock, knocking, make_key, opened, receipt, sale, until
from doors.killing import free_port, kill_database, ready
from doors.proxy import wired
from evenstock.postgres.database import Database
from evenstock.postgres.embedded import DOOR, joined, packaged_bin_dir
from evenstock.postgres.migrate import migrate
from evenstock.postgres.verify import violations

SKUS = ("TEE", "CUP")
RUNBOOK = (REPOSITORY / "docs/how-to/restore-a-database.md").read_text(encoding="utf-8")


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Two data folders; what runs on them is stopped however the test ends."""
    yield tmp_path / "first", tmp_path / "second"
    for data in (tmp_path / "first", tmp_path / "second"):
        if (data / "socket").exists():
            with joined(data, print):
                pass


def copied(url: str, source: Path, data: Path, *options: str) -> None:
    """A base backup of a running server as the database of another data folder."""
    data.mkdir(mode=0o700)
    shutil.copy2(source / "password", data / "password")
    command = [
        str(packaged_bin_dir() / "pg_basebackup"), "--pgdata", str(data / "postgres"), "--dbname", url, "--checkpoint", "fast", *options,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - PostgreSQL's own
    assert done.returncode == 0, done.stderr


async def asked(url: str, sql: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def set_up(door: Door) -> None:
    await door.know(*SKUS)
    for path, body in (
        (
            "connections",
            {"connections": [{"id": "web", "connector": "recorder", "settings": {"path": "web.jsonl"}}]},
        ),
        ("channels", {"channels": [{"id": "web", "locations": ["0107"], "connection": "web"}]}),
    ):
        assert (await door.post(f"/v1/{path}:batch", body)).status == 200


class Channel:
    """What the channel's own record says, kept where no restore reaches it."""

    def __init__(self, data: Path) -> None:
        self._file = data / "connections" / "web" / "web.jsonl"

    @property
    def told(self) -> list[dict[str, Any]]:
        return (
            [json.loads(entry) for entry in self._file.read_bytes().splitlines()]
            if self._file.exists()
            else []
        )

    @property
    def shows(self) -> dict[str, int]:
        return {entry["sku"]: int(entry["quantity"]) for entry in self.told}

    async def shows_now(self, **numbers: int) -> None:
        async def is_so() -> bool:
            await asyncio.sleep(0.02)  # the hub needs the processor more than we do
            return self.shows == numbers

        try:
            await until(is_so)
        except TimeoutError:
            raise AssertionError(self.shows, numbers) from None

    def goes_forward(self) -> None:
        for sku in SKUS:
            versions = [entry["version"] for entry in self.told if entry["sku"] == sku]
            assert all(older < newer for older, newer in pairwise(versions)), versions
        keys = [entry["key"] for entry in self.told]
        assert len(keys) == len(set(keys))


def tickets(first: int, last: int) -> list[dict[str, Any]]:
    """Sales of one register, numbered."""
    return [sale(f"S-{number}", SKUS[number % 2], 1) | {"sequence": number} for number in range(first, last)]


async def is_said(door: Door, *codes: str) -> bool:
    rows = (await door.get("/v1/exceptions")).body["data"]
    return set(codes) <= {row["code"] for row in rows}


async def test_a_backup_restored_to_a_point_in_time_loses_nothing_that_is_sent_again_and_no_version_goes_back(
    folders: tuple[Path, Path],
) -> None:
    first, second = folders
    options = ("--port", str(free_port()), "--log-level", "error")
    process = await Process.start("--data", str(first), *options)
    with joined(first, print) as url:
        key = await make_key(Database(url), "all", "*")
    sent = [receipt("R-1", "TEE", 50), receipt("R-2", "CUP", 50)]
    async with knocking(process.url, key) as door:
        await set_up(door)
        await door.report(*sent)
        with joined(first, print) as url:
            copied(url, first, second, "--wal-method", "none")
            sent += tickets(1, 7)
            assert (await door.report(*sent[2:])).outcomes == ["applied"] * 6
            point = await asked(url, "select pg_current_wal_flush_lsn()::text")
            for number in range(7, 13):  # what will be lost, told one by one
                sent += tickets(number, number + 1)
                assert (await door.report(sent[-1])).outcomes == ["applied"]
                await asyncio.sleep(0.06)
        await Channel(first).shows_now(TEE=44, CUP=44)
    kill_database(first)
    assert await process.end(signal.SIGKILL) == -signal.SIGKILL

    archive = shutil.copytree(first / "postgres" / "pg_wal", first / "archive")
    with (second / "postgres" / "postgresql.auto.conf").open("a") as settings:
        settings.write(
            f"restore_command = 'cp {archive}/%f %p'\nrecovery_target_lsn = '{point}'\nrecovery_target_inclusive = off\nrecovery_target_action = promote\n"
        )
    (second / "postgres" / "recovery.signal").touch()
    (first / "connections").rename(second / "connections")
    with joined(second, print, shared_buffers_mb=SMALL_MB) as url:

        async def restored() -> bool:
            return not await asked(url, "select pg_is_in_recovery()")

        await until(restored)
        assert await asked(url, "select max((body::json ->> 'sequence')::integer) from evenstock.facts") == 6
        process = await Process.start("--data", str(second), *options)
        channel = Channel(second)
        async with knocking(process.url, key) as door:
            await channel.shows_now(TEE=47, CUP=47)
            assert await is_said(door, "hub.fence_raised")
            # A register goes on before it is asked to send again: the gap names what is missing.
            last = tickets(13, 14)
            assert (await door.report(*last)).outcomes == ["applied"]
            assert await is_said(door, "source.sequence_gap")
            outcomes = (await door.report(*sent, *last)).outcomes
            assert outcomes == ["duplicate"] * 8 + ["applied"] * 6 + ["duplicate"]
            await channel.shows_now(TEE=44, CUP=43)
            assert not await is_said(door, "source.sequence_gap")
            assert [(await door.stock(sku))["on_hand"] for sku in SKUS] == [44, 43]
        channel.goes_forward()
        assert await process.end() == 0
        db = await Database(url).connect()
        assert await violations(db) == []
        await db.close()


async def test_a_standby_that_lost_the_last_seconds_takes_over_from_under_a_running_hub(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    first, second = folders
    with ExitStack() as stack:
        url = stack.enter_context(joined(first, print, shared_buffers_mb=SMALL_MB))
        await migrate(Database(url), NOW)
        copied(url, first, second, "--write-recovery-conf", "--wal-method", "stream")
        standby = stack.enter_context(joined(second, print, shared_buffers_mb=SMALL_MB))
        key = await make_key(Database(url), "all", "*")
        wire_folder = tmp_path / "w"
        wire_folder.mkdir()
        channel = Channel(tmp_path)
        async with (
            wired(Database(url), wire_folder) as (database, wire),
            opened(database, data=tmp_path) as served,
        ):
            door = served.with_key(key)
            await set_up(door)
            sent = [receipt("R-1", "TEE", 50), receipt("R-2", "CUP", 50), *tickets(1, 5)]
            await door.report(*sent)
            await channel.shows_now(TEE=48, CUP=48)
            seen = await asked(url, "select pg_current_wal_flush_lsn()::text")

            async def followed() -> bool:
                return bool(await asked(standby, f"select pg_last_wal_replay_lsn() >= '{seen}'"))

            await until(followed)
            await asked(standby, "alter system set primary_conninfo = ''")
            await asked(standby, "select pg_reload_conf()")

            async def alone() -> bool:
                return bool(await asked(url, "select count(*) = 0 from pg_stat_replication"))

            await until(alone)
            for number in range(5, 9):
                sent += tickets(number, number + 1)
                assert (await door.report(sent[-1])).outcomes == ["applied"]
                await asyncio.sleep(0.06)
            await channel.shows_now(TEE=46, CUP=46)
            wire.cut()
            kill_database(first)
            await asked(standby, "select pg_promote()")
            await wire.connect_to(Path((second / "socket").read_text()) / DOOR)
            await ready(door)
            await channel.shows_now(TEE=48, CUP=48)
            assert await is_said(door, "hub.fence_raised")
            assert (await door.report(*sent)).outcomes == ["duplicate"] * 6 + ["applied"] * 4
            await channel.shows_now(TEE=46, CUP=46)
        channel.goes_forward()
        db = await Database(standby).connect()
        assert await violations(db) == []
        assert await db.fetchval("select count(*) from fences") == 2, "one, though many sessions found it"
        await db.close()


async def test_who_follows_the_page_after_files_were_copied_back_says_so_and_settles_it(
    database: Database,
) -> None:
    raise_it, show, settle, prove = (
        shlex.split(words)[1:] for words in re.findall(r"\$ (evenstock .+)", RUNBOOK)
    )
    at = ("--database-url", database.url, "--schema", database.schema)
    async with opened(database) as door:
        await door.know("TEE")
        await door.report(receipt("R-1", "TEE", 9))
        assert (await evenstock(*show, *at))[1].startswith("No fence was ever raised")
        code, out, _ = await evenstock(*raise_it, *at)
        assert (code, "(said): the ledger ended at ledger_seq 1" in out) == (0, True)
        assert await is_said(door, "hub.fence_raised")
        assert (await evenstock(*settle, *at))[1] == "Settled.\n"
        assert not await is_said(door, "hub.fence_raised")
    assert (await evenstock(*prove, *at))[0] == 0
