"""How an agent stands, read from its store; it may be running or not."""

import fcntl
import os
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from evenstock.edge.offset import Offset
from evenstock.edge.opening import NAME

LOCK: Final = "agent.lock"
REJECTED_SHOWN: Final = 20


class NoAgent(Exception):  # noqa: N818 - it names what is wrong
    """There is no agent's store in this folder; the message says so."""


class RejectedEvent(msgspec.Struct, frozen=True):
    """An event that the hub does not take; its body is in the store."""

    source: str
    id: str
    code: str | None
    detail: str | None
    pointer: str | None
    taken_at: str
    answered_at: str


class Report(msgspec.Struct, frozen=True):
    """How many events wait and since when, what became of the others, and what a person should see to."""

    running: bool
    waiting: int
    waiting_bytes: int
    oldest_at: str | None
    forwarded: dict[str, int]  # by outcome, of what is still kept for proof
    rejected: list[RejectedEvent]  # the newest
    contact_at: str | None
    clock_offset_s: float | None  # ours ahead of the hub's
    clock_offset_within_s: float | None
    trouble: str | None
    trouble_since: str | None
    blocked: bool
    epoch: str
    epoch_since: str
    epoch_why: str
    store_bytes: int
    damaged: list[str]  # stores that were set aside
    quarantined: int  # files

    @property
    def needs_a_person(self) -> list[str]:
        """What a person should see to, in words."""
        found = []
        if self.blocked and self.trouble:
            found.append(self.trouble)
        if number := self.forwarded.get("rejected"):
            found.append(f"The hub does not take {number:,} events.")
        if self.quarantined:
            found.append(f"{self.quarantined:,} files are in quarantine, each with its reasons beside it.")
        if self.damaged:
            found.append(
                f"A damaged store was set aside: {', '.join(self.damaged)}. Keep it until tickets and ledger agree."
            )
        if (
            self.clock_offset_s is not None
            and Offset(self.clock_offset_s, self.clock_offset_within_s or 0).is_far
        ):
            found.append("The clock here is more than 5 minutes off the hub's: set it.")
        return found


def is_running(folder: Path) -> bool:
    """Whether an agent has the folder."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def report(folder: Path, quarantine: Path | None = None) -> Report:
    """How the agent of a folder stands.

    Raises NoAgent.
    """
    path = folder / NAME
    if not path.is_file():
        raise NoAgent(f"There is no store of an agent in {folder}. Is --data (EVENSTOCK_DATA) right?")
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
    try:
        db.row_factory = sqlite3.Row
        with db:
            db.execute("begin")
            return _read(db, folder, quarantine)
    except sqlite3.DatabaseError as error:
        raise NoAgent(f"The store {path} cannot be read: {error}.") from error
    finally:
        db.close()


def _read(db: sqlite3.Connection, folder: Path, quarantine: Path | None) -> Report:
    agent = dict(db.execute("select * from agent").fetchone())
    waiting, size, oldest = db.execute(
        "select count(*), coalesce(sum(length(body)), 0), min(taken_at) from events where outcome is null"
    ).fetchone()
    rejected = db.execute(
        "select source, id, code, detail, pointer, taken_at, answered_at from events where outcome = 'rejected' "
        "order by answered_at desc, n desc limit ?",
        (REJECTED_SHOWN,),
    )
    outcomes = db.execute("select outcome, count(*) from events where outcome is not null group by outcome")
    return Report(
        running=is_running(folder),
        waiting=waiting,
        waiting_bytes=size,
        oldest_at=oldest,
        forwarded=dict(map(tuple, outcomes)),
        rejected=[RejectedEvent(**dict(row)) for row in rejected],
        contact_at=agent["contact_at"],
        clock_offset_s=agent["offset_s"],
        clock_offset_within_s=agent["offset_within_s"],
        trouble=agent["trouble"],
        trouble_since=agent["trouble_since"],
        blocked=bool(agent["blocked"]),
        epoch=agent["epoch"],
        epoch_since=agent["epoch_since"],
        epoch_why=agent["epoch_why"],
        store_bytes=sum(
            part.stat().st_size for part in folder.glob(f"{NAME}*") if ".damaged" not in part.name
        ),
        damaged=sorted(
            part.name for part in folder.glob(f"{NAME}.damaged-*") if not part.name.endswith(("-wal", "-shm"))
        ),
        quarantined=_number_of_files(quarantine),
    )


def _number_of_files(folder: Path | None) -> int:
    if folder is None or not folder.is_dir():
        return 0
    return sum(1 for part in folder.iterdir() if part.is_file() and not part.name.endswith(".problems.json"))


def age(at: str, now: datetime) -> timedelta:
    """How long ago an instant of the store was."""
    return now - datetime.fromisoformat(at)
