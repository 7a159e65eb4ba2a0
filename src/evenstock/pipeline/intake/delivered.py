"""Files that another system leaves on a shelf become facts: claimed by a move, read, and put away by another.

    NAME → working/NAME → archive/DAY/NAME, or quarantine/NAME with its reason beside it

A file is one unit that may be begun again at any time: what is in `working/` is read first, from the row before which everything
was answered, and the keys of its events see to it that nothing is booked twice. It is read to its end once before anything of it
is booked, so a file that is cut short books nothing.
"""

import asyncio
import fnmatch
import hashlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Final

import msgspec
import structlog

from evenstock.connectors.contract import Delivery, FileSeen, Shelf
from evenstock.core.errors import Problem, Refusal
from evenstock.core.mapping import mapper_of
from evenstock.pipeline.bring import Import, Ledger, bring
from evenstock.pipeline.census import Census, census_of
from evenstock.pipeline.connections import Connection
from evenstock.pipeline.imports import ImportSummary
from evenstock.pipeline.rejects import RejectFile
from evenstock.pipeline.rows import count_of, digest_of, opened
from evenstock.postgres import exceptions, sources
from evenstock.postgres.exceptions import Cause
from evenstock.postgres.imports import ImportKey
from evenstock.postgres.sources import QUARANTINED

WORKING: Final = "working"
ARCHIVE: Final = "archive"
QUARANTINE: Final = "quarantine"
REJECTS: Final = "rejects"
REASON: Final = ".reason.txt"  # beside a file in quarantine
UNFINISHED: Final = (".tmp", ".part", ".partial", ".filepart", ".crdownload")  # nobody means these
FILE_BYTES_MAX: Final = 8 * 2**30  # as delivered
REJECTS_BYTES_MAX: Final = 64 * 2**20  # put beside; the archived file has all
FILES_AT_ONCE: Final = 100  # of one look
BATCH_EVENTS: Final = 100  # in one transaction: requests wait for no longer than mapping them takes

log = structlog.get_logger()


class _Counting:
    """A file that refuses to grow past what we take."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self.size = 0

    def write(self, piece: bytes) -> int:
        self.size += len(piece)
        if self.size > FILE_BYTES_MAX:
            raise Refusal("limit.file", f"{self._name} has more than {FILE_BYTES_MAX:,} bytes.")
        return self._file.write(piece)


class Taker:
    """Takes the files of one connection, in the order of their names."""

    def __init__(self, ledger: Ledger, connection: Connection, delivery: Delivery, work: Path) -> None:
        self._ledger = ledger
        self._connection = connection
        self._delivery = delivery
        self._mapping = msgspec.structs.replace(delivery.mapping, source=connection.id)
        self._mapping_sha256 = hashlib.sha256(msgspec.json.encode(self._mapping)).digest()
        self._work = work  # a folder of ours, for what must outlive us
        self._seen: dict[str, tuple[FileSeen, float]] = {}  # and since when it is unchanged, by our clock

    async def look(self, shelf: Shelf) -> int:
        """Take what is ready; how many files.

        Raises OSError; Refusal that is retryable; what the database raises. Then the file is in `working/`.
        """
        await shelf.prepare((WORKING, ARCHIVE, QUARANTINE, REJECTS))
        taken = 0
        for left in sorted(await shelf.seen(WORKING), key=_by_name):  # begun, and not ended
            if not left.name.endswith(UNFINISHED):
                await self._drop_marker(shelf, left.name)
                await self._take(shelf, left.name)
                taken += 1
        for found in self._ready(await shelf.seen()):
            name = found.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            await shelf.move("", found, WORKING, name)
            await self._drop_marker(shelf, found)
            await self._take(shelf, name)
            taken += 1
        await self._close_mended(shelf)
        return taken

    def _ready(self, found: Sequence[FileSeen]) -> list[str]:
        """The files that are whole, as far as can be known before they are read."""
        delivery, now = self._delivery, asyncio.get_running_loop().time()
        names = {file.name for file in found}
        wanted = [file for file in found if self._is_wanted(file.name)]
        match delivery.ready:
            case "rename":
                ready = wanted
            case "marker":
                ready = [file for file in wanted if file.name + delivery.marker in names]
            case "still":
                before = self._seen
                self._seen = {
                    file.name: (
                        file,
                        before[file.name][1] if before.get(file.name, (None,))[0] == file else now,
                    )
                    for file in wanted
                }
                ready = [file for file in wanted if now - self._seen[file.name][1] >= delivery.still_s]
        return [file.name for file in sorted(ready, key=_by_name)[:FILES_AT_ONCE]]

    def _is_wanted(self, name: str) -> bool:
        delivery = self._delivery
        is_marker = delivery.ready == "marker" and name.endswith(delivery.marker)
        is_unfinished = name.startswith(".") or name.lower().endswith(UNFINISHED)
        return not is_marker and not is_unfinished and fnmatch.fnmatchcase(name, delivery.pattern)

    async def _drop_marker(self, shelf: Shelf, name: str) -> None:
        if self._delivery.ready == "marker":
            await shelf.remove("", name + self._delivery.marker)

    async def _take(self, shelf: Shelf, name: str) -> None:
        """Read one file from `working/` and put it away."""
        ledger, number = self._ledger, self._connection.connection_id
        with TemporaryFile(dir=self._work) as spool:
            counting = _Counting(spool, name)
            problem = None
            try:
                await shelf.fetch(WORKING, name, counting)
            except Refusal as refusal:
                problem = refusal.problem
            spool.seek(0)
            digest = bytes.fromhex(await asyncio.to_thread(digest_of, spool))
            spool.seek(0)
            async with ledger.pool.acquire() as db:
                file_id = await sources.take_file(db, number, name, counting.size, digest, ledger.now())
            rows: int | None = None
            if problem is None:
                try:
                    rows = await asyncio.to_thread(count_of, spool, self._mapping, name)
                    census = await asyncio.to_thread(census_of, spool, self._mapping, name)
                    summary = await self._bring(shelf, spool, name, digest, census)
                except Refusal as refusal:
                    if refusal.problem.meaning.retryable:
                        raise
                    problem = refusal.problem
        if problem is not None:
            await self._quarantine(shelf, name, file_id, rows, problem)
            return
        async with ledger.pool.acquire() as db:
            await sources.end_file(db, file_id, rows or 0, _outcomes(summary), ledger.now())
        day = f"{ARCHIVE}/{ledger.now():%Y-%m-%d}"
        await shelf.prepare((day,))
        await shelf.move(WORKING, name, day, await _free_name(shelf, day, name))
        log.info("file.done", connection=self._connection.id, file=name, rows=rows)

    async def _bring(
        self, shelf: Shelf, spool: BinaryIO, name: str, digest: bytes, census: Census | None
    ) -> ImportSummary:
        shown = f"{REJECTS}/{name}.rejects.csv"
        source = opened(spool, self._mapping, name)
        rejects = RejectFile(self._work / f"{digest.hex()}.rejects", source.header, self._mapping.file)
        key = ImportKey(digest, self._mapping_sha256)
        job = Import(
            name,
            self._connection.id,
            key,
            source,
            mapper_of(self._mapping),
            rejects,
            BATCH_EVENTS,
            census,
            shown,
        )
        try:
            summary = await bring(self._ledger, job, say=_unsaid, progress=_unsaid)
        finally:
            rejects.close()
        if rejects.codes:
            await shelf.put(
                REJECTS, f"{name}.rejects.csv", await asyncio.to_thread(_whole_lines, rejects.path)
            )
        await asyncio.to_thread(rejects.path.unlink, missing_ok=True)
        return summary

    async def _quarantine(
        self, shelf: Shelf, name: str, file_id: int, rows: int | None, problem: Problem
    ) -> None:
        connection, now = self._connection, self._ledger.now()
        detail = f"{name} of {connection.id} is in quarantine: {problem.detail} ({problem.code})"
        subject = self._about() + name
        cause = Cause(QUARANTINED, subject, detail, connection.connection_id)
        async with self._ledger.pool.acquire() as db:
            await sources.quarantine_file(db, file_id, rows, problem.code, problem.detail, cause, now)
        if any(file.name == name for file in await shelf.seen(QUARANTINE)):
            aside = await _free_name(shelf, QUARANTINE, name)  # for the one that was sent before
            await shelf.move(QUARANTINE, name, QUARANTINE, aside)
        reason = f"{problem.code}: {problem.detail} {problem.meaning.action}\n"
        await shelf.put(QUARANTINE, name + REASON, reason.encode())
        await shelf.move(WORKING, name, QUARANTINE, name)
        log.warning("file.quarantined", connection=connection.id, file=name, code=problem.code)

    async def _close_mended(self, shelf: Shelf) -> None:
        """What was taken out of quarantine has been decided."""
        about = self._about()
        async with self._ledger.pool.acquire() as db:
            shown = await sources.quarantined(db, about)
            if shown:
                there = {about + file.name for file in await shelf.seen(QUARANTINE)}
                gone = [(QUARANTINED, subject) for subject in shown if subject not in there]
                await exceptions.close_causes(db, gone, self._ledger.now())

    def _about(self) -> str:
        return f"file:{self._connection.connection_id}:"


def _whole_lines(path: Path) -> bytes:
    """What a file holds, or its first lines and how much more there is."""
    with path.open("rb") as file:
        found = file.read(REJECTS_BYTES_MAX)
        rest = path.stat().st_size - len(found)
    if rest <= 0:
        return found
    kept = found[: found.rfind(b"\n") + 1]
    return kept + f"and {rest + len(found) - len(kept):,} bytes more, which are not shown\n".encode()


def _by_name(file: FileSeen) -> str:
    return file.name


def _outcomes(summary: ImportSummary) -> dict[str, int]:
    counts = {
        "applied": summary.applied,
        "duplicate": summary.duplicate,
        "parked": summary.parked,
        "held": sum(summary.held.values()),
        "rejected": sum(summary.rejected.values()),
        "skipped": sum(summary.skipped.values()),
        "resumed_after": summary.resumed_after,
        "zeroed": summary.zeroed,
        "absent": summary.absent,
    }
    return {outcome: number for outcome, number in counts.items() if number}


async def _free_name(shelf: Shelf, folder: str, name: str) -> str:
    """The name, or one like it where it is taken: `NAME`, `NAME.2`, …"""
    taken = {file.name for file in await shelf.seen(folder)}
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}.{number}"
    return free


def _unsaid(_: object) -> None:
    """Nobody watches this import on a terminal."""
