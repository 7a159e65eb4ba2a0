"""Run by its test in a process of its own: a hub whose database writes its log to a disk that is full for a while."""

import asyncio
import json
import shutil
import sys
import tempfile
from pathlib import Path

import asyncpg

from doors.door import Process, knocking, make_key, receipt, sale, until
from doors.killing import AWAY, free_port, ready
from evenstock.estate.stack.disk import NoDisk, SmallDisk, own_mounts, small_disk
from evenstock.postgres.database import Database
from evenstock.postgres.embedded import joined
from evenstock.postgres.faults import ANY
from evenstock.postgres.verify import violations

TRIES_MAX = 200


async def main(data: Path, disk: SmallDisk) -> dict[str, object]:
    options = ("--data", str(data), "--port", str(free_port()), "--log-level", "error")
    process = await Process.start(*options)
    with joined(data, lambda _: None) as url:
        key = await make_key(Database(url), "all", "*")
    acknowledged, refused = [], []
    async with knocking(process.url, key) as door:
        await door.know("TEE")
        await door.report(receipt("R-1", "TEE", 10_000))
        disk.fill()
        with joined(data, lambda _: None) as url:
            for number in range(TRIES_MAX):
                key = f"S-{number}"
                try:
                    answer = await door.report(sale(key, "TEE", 1))
                except AWAY as error:
                    refused.append((key, repr(error)))
                    continue
                if answer.status == 200:
                    acknowledged.append(key)
                    await ends_segment(url)
                else:
                    refused.append((key, answer.body["code"]))
                    break
        disk.empty()
        await ready(door)

        async def goes_on() -> bool:
            return (await door.report(sale("S-last", "TEE", 1))).status == 200

        await until(goes_on)
        again = [(await door.report(sale(key, "TEE", 1))).outcomes for key in acknowledged]
        units = (await door.stock("TEE"))["on_hand"]
        with joined(data, lambda _: None) as url:
            db = await Database(url).connect()
            facts = await db.fetchval("select count(*) from facts")
            broken = [str(each) for each in await violations(db)]
            await db.close()
    code = await process.end()
    log = (data / "postgres.log").read_text()
    return {
        "acknowledged": len(acknowledged), "refused": [why for _, why in refused], "all_known": all(each == ["duplicate"] for each in again),
        "facts": facts, "on_hand": units, "ended": code, "broken": broken, "panicked": "PANIC" in log and "No space left" in log,
    }  # fmt: skip


async def ends_segment(url: str) -> None:
    """The log needs room for another segment."""
    try:
        db = await asyncpg.connect(url)
        try:
            await db.fetchval("select pg_switch_wal()")
        finally:
            await db.close()
    except ANY:
        return


if __name__ == "__main__":
    try:
        own_mounts()
    except NoDisk as error:
        json.dump({"no_disk": str(error)}, sys.stdout)
        sys.exit()
    with tempfile.TemporaryDirectory(prefix="evenstock-wal-") as folder:
        data, mounted = Path(folder) / "data", Path(folder) / "log"
        mounted.mkdir()
        with joined(data, lambda _: None):
            pass
        disk = small_disk(mounted)
        shutil.copytree(data / "postgres/pg_wal", mounted / "pg_wal")
        shutil.rmtree(data / "postgres/pg_wal")
        (data / "postgres/pg_wal").symlink_to(mounted / "pg_wal")
        found = asyncio.run(main(data, disk))
        disk.take_away()
    json.dump(found, sys.stdout)
