"""Files of events are taken from a folder: for tills that drop files instead of speaking HTTP.

A file is ready when it has its name: write it under another (`.part`, or a leading dot) and rename it. `.json` holds one event or
an array, `.jsonl` (`.ndjson`) an event a line. All its good events are kept in one transaction; then it moves to `archive/`, or
to `quarantine/` with its reasons beside it when it has bad ones. The same file again is the same events: each is a duplicate.
"""

import asyncio
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from stat import S_ISREG
from typing import Final

import msgspec
import structlog

from evenstock.core.errors import Refusal
from evenstock.core.exact_json import read_json
from evenstock.core.reading import Reading, Received, Refused, read_event, read_events
from evenstock.edge.keeper import Keeper
from evenstock.edge.store import Kept

LOOK_EVERY_S: Final = 1.0
STILL_S: Final = 2.0  # a file that changed since may still be written to, by who does not rename
FILE_BYTES_MAX: Final = 32 * 1024 * 1024
FILE_EVENTS_MAX: Final = 10_000  # kept in one transaction, for which tickets wait
FILES_AT_ONCE: Final = 100  # in one look
LINES: Final = (".jsonl", ".ndjson")
KINDS: Final = (".json", *LINES)
ARCHIVE, QUARANTINE = "archive", "quarantine"

log = structlog.get_logger()


class Flaw(msgspec.Struct, frozen=True):
    """Why an event of a file, or all of it, was not kept; `entry` counts from 1."""

    code: str
    detail: str
    pointer: str | None = None
    entry: int | None = None
    id: str | None = None


class Folder:
    """Takes the files of one folder, in the order of their names."""

    def __init__(self, path: Path, keeper: Keeper) -> None:
        self._path = path
        self._keeper = keeper

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except Refusal as refusal:  # no room: the files wait where they are
                log.warning("folder.waits", code=refusal.problem.code, words=refusal.problem.detail)
            except OSError as error:
                log.warning("folder.unreadable", folder=str(self._path), error=str(error))
            except Exception as error:
                log.error("folder.failed", exc_info=error)  # noqa: TRY400 - it is told as a member
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> int:
        """Take the files that are ready; how many.

        Raises Refusal `agent.full`, `agent.cannot_keep`, OSError.
        """
        for name in (ARCHIVE, QUARANTINE):
            (self._path / name).mkdir(exist_ok=True)
        names = await asyncio.to_thread(self._ready)
        for name in names:
            await self._take(name)
        return len(names)

    def _ready(self) -> list[str]:
        """The files that have their name and are not being written to, by name."""
        still = self._keeper.now() - timedelta(seconds=STILL_S)
        found = []
        with os.scandir(self._path) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.name.lower().endswith(KINDS):
                    continue
                about = entry.stat(follow_symlinks=False)
                changed = datetime.fromtimestamp(about.st_mtime, still.tzinfo)
                if S_ISREG(about.st_mode) and not still < changed <= self._keeper.now():
                    found.append(entry.name)
        return sorted(found)[:FILES_AT_ONCE]

    async def _take(self, name: str) -> None:
        path = self._path / name
        try:
            reading = await asyncio.to_thread(lambda: _read(path))
        except Refusal as refusal:
            flaws = [Flaw(refusal.problem.code, refusal.problem.detail, refusal.problem.pointer or None)]
            await asyncio.to_thread(self._set_aside, path, flaws)
            log.warning("file.quarantined", file=name, code=flaws[0].code, words=flaws[0].detail)
            return
        taken = await self._keeper.take(reading, name)
        flaws = list(_flaws(taken.results))
        if flaws:
            await asyncio.to_thread(self._set_aside, path, flaws)
            log.warning("file.quarantined", file=name, events=len(taken.results), rejected=len(flaws))
        else:
            await asyncio.to_thread(_move, path, self._path / ARCHIVE)
            log.info("file.taken", file=name, events=len(taken.results))

    def _set_aside(self, path: Path, flaws: list[Flaw]) -> None:
        moved = _move(path, self._path / QUARANTINE)
        reasons = moved.with_name(f"{moved.name}.problems.json")
        reasons.write_bytes(msgspec.json.format(msgspec.json.encode({"file": path.name, "problems": flaws})))

    def forget(self, before: datetime) -> int:
        """Remove archived files that were taken before; how many."""
        removed = 0
        for path in (self._path / ARCHIVE).glob("*"):
            if path.is_file() and path.stat().st_mtime < before.timestamp():
                path.unlink()
                removed += 1
        return removed


def _read(path: Path) -> Reading:
    """The events of a file.

    Raises Refusal `limit.file`, `json.malformed`, `limit.depth`, `limit.batch`, OSError.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        body = file.read(FILE_BYTES_MAX + 1)
    if len(body) > FILE_BYTES_MAX:
        raise Refusal("limit.file", f"The file has more than {FILE_BYTES_MAX:,} bytes.")
    if path.suffix.lower() not in LINES:
        return read_events(body)
    lines = [line for line in body.split(b"\n") if line.strip()]
    if len(lines) > FILE_EVENTS_MAX:
        raise Refusal(
            "limit.file", f"The file has {len(lines):,} events; at most {FILE_EVENTS_MAX:,} are taken."
        )
    if not lines:
        raise Refusal("json.malformed", "The file is empty.")
    return Reading([_read_line(line) for line in lines], is_array=True)


def _read_line(line: bytes) -> Received | Refused:
    try:
        return read_event(read_json(line))
    except Refusal as refusal:
        return Refused(refusal.problem, None, line)


def _flaws(results: list[Kept]) -> Iterator[Flaw]:
    for entry, result in enumerate(results, 1):
        if result.outcome == "rejected":
            yield Flaw(result.code or "", result.detail or "", result.pointer, entry, result.id)


def _move(path: Path, folder: Path) -> Path:
    """Into a folder, under a name that is free there."""
    target = folder / path.name
    number = 1
    while target.exists():
        number += 1
        target = folder / f"{path.stem}.{number}{path.suffix}"
    path.rename(target)
    os.utime(target)
    return target
