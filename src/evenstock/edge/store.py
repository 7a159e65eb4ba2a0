"""MEMORY of the store agent: one SQLite file, one writer. What `take` returned is on the disk.

Write-ahead log with `synchronous=FULL`: a transaction that returned survives `kill -9` and a power cut; one that did not
return is there as a whole or not at all. What waits for the hub is never removed and never overwritten: without room, nothing
more is taken.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec
import structlog

from evenstock.core.errors import Refusal
from evenstock.core.events import Event, same_fact
from evenstock.core.intake import stream_of
from evenstock.core.reading import Received, read_stored, with_members
from evenstock.edge.numbering import (
    Told,
    after,
    counts_itself,
)
from evenstock.edge.offset import Offset

EVENTS_WAITING_MAX: Final = 2_000_000
DISK_FREE_MIN_BYTES: Final = (
    64 * 1024 * 1024
)  # left to the shop's machine, and to us for writing outcomes down
PROBE_BYTES: Final = 32 * 1024  # for which there must be room, to be ready
REJECTED_KEPT: Final = timedelta(days=365)
FORGET_AT_ONCE: Final = 10_000  # rows, so that tickets need not wait for long

T = TypeVar("T")

log = structlog.get_logger()


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one event at the agent's door. `kept`: durable here, not yet in the ledger."""

    id: str | None
    outcome: Literal["kept", "duplicate", "held", "rejected"]
    code: str | None = None
    detail: str | None = None
    pointer: str | None = None


class Waiting(msgspec.Struct, frozen=True):
    """An event to forward."""

    n: int
    source: str
    id: str
    body: bytes


class Outcome(msgspec.Struct, frozen=True):
    """What became of an event at the hub."""

    n: int
    outcome: str
    code: str | None = None
    detail: str | None = None
    pointer: str | None = None
    ledger_seq: int | None = None


class Limits(msgspec.Struct, frozen=True):
    """What a store may hold."""

    disk_bytes: int
    events_waiting: int = EVENTS_WAITING_MAX
    disk_free_bytes: int = DISK_FREE_MIN_BYTES


class Store:
    """An open store. Its methods block and are called from one thread at a time."""

    def __init__(self, db: sqlite3.Connection, path: Path, limits: Limits, epoch: str) -> None:
        self._db = db
        self._path = path
        self._limits = limits
        self.epoch = epoch
        self.waiting = int(db.execute("select count(*) from events where outcome is null").fetchone()[0])

    # Taking

    def take(self, entries: Sequence[Received], origin: str, now: datetime, hub_time: datetime) -> list[Kept]:
        """Keep events; durable when this returns. `hub_time` is now by the hub's clock, as far as it is known: for events
        that do not say when they happened.

        Raises Refusal `agent.full`, `agent.cannot_keep`; then none of them is kept.
        """
        return self._making_room(now, lambda: self._take_all(entries, origin, now, hub_time))

    def _making_room(self, now: datetime, work: Callable[[], T]) -> T:
        """Do what needs room; without it, what was kept for proof goes before its time, and it is done again."""
        try:
            return work()
        except Refusal as refusal:
            if refusal.problem.code != "agent.full" or not self.forget(now, now - REJECTED_KEPT):
                raise
        return work()

    def _take_all(
        self, entries: Sequence[Received], origin: str, now: datetime, hub_time: datetime
    ) -> list[Kept]:
        with self._writing():
            taken = [self._take(entry, origin, now, hub_time) for entry in entries]
            new = sum(kept.outcome != "duplicate" for kept in taken)
            if new:
                self._check_room(new, sum(len(entry.body) for entry in entries), self._used_bytes())
        self.waiting += new
        return taken

    def _take(self, entry: Received, origin: str, now: datetime, hub_time: datetime) -> Kept:
        event, body = entry.event, entry.body
        rows = self._db.execute(
            "select body from events where source = ? and id = ? order by n", (event.source, event.id)
        ).fetchall()
        known = [read_stored(row[0]) for row in rows]
        if event.time is None:
            time = hub_time if not known or known[0].time is None else known[0].time
            body = with_members(body, {"time": time.isoformat(), "timebasis": "agent"})
            event = read_stored(body)
        if any(same_fact(stands, event) for stands in known):
            return Kept(event.id, "duplicate")
        self._db.execute(
            "insert into events (source, id, body, origin, taken_at) values (?, ?, ?, ?, ?)",
            (event.source, event.id, self._numbered(event, body, is_new=not known), origin, as_text(now)),
        )
        if known:
            detail = "This key was used before with other content. Both are kept and forwarded; at the hub the first stands."
            return Kept(event.id, "held", "event.key_reused", detail, "/id")
        return Kept(event.id, "kept")

    def _numbered(self, event: Event, body: bytes, *, is_new: bool) -> bytes:
        """The event with its number in its stream, and the epoch of that number; `is_new` when its key is."""
        key = (event.source, stream_of(event))
        if not counts_itself(event):
            row = self._db.execute(
                "insert into given (source, stream, last) values (?, ?, 1) "
                "on conflict do update set last = last + 1 returning last",
                key,
            ).fetchone()
            return with_members(body, {"sequence": str(row[0]), "epoch": self.epoch})
        if event.sequence is None or event.epoch is not None:
            return body
        row = self._db.execute(
            "select epoch, seen, restarts from told where source = ? and stream = ?", key
        ).fetchone()
        told = Told() if row is None else Told(row[0], json.loads(row[1]), row[2])
        told = after(told, int(event.sequence), self.epoch) if is_new else told
        self._db.execute(
            "insert into told (source, stream, epoch, seen, restarts) values (?, ?, ?, ?, ?) "
            "on conflict do update set epoch = excluded.epoch, seen = excluded.seen, restarts = excluded.restarts",
            (*key, told.epoch, json.dumps(told.seen), told.restarts),
        )
        return with_members(body, {"epoch": told.epoch}) if told.epoch else body

    def _check_room(self, events: int, size: int, used: int) -> None:
        if self.waiting + events > self._limits.events_waiting:
            raise Refusal(
                "agent.full",
                f"{self.waiting:,} events wait for the hub; at most {self._limits.events_waiting:,} do.",
            )
        free = shutil.disk_usage(self._path.parent).free
        if free < self._limits.disk_free_bytes + size:
            raise Refusal(
                "agent.full",
                f"The disk of {self._path.parent} has {free // 2**20:,} MB left, which are left to the machine.",
            )
        if used > self._limits.disk_bytes:
            raise Refusal(
                "agent.full",
                f"The store would hold {used / 2**20:,.1f} MB; at most {self._limits.disk_bytes / 2**20:,.1f} MB are given to it.",
            )

    def _used_bytes(self) -> int:
        pages, free, size = (
            int(self._db.execute(f"pragma {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    # Forwarding

    def next_batch(self, limit: int, bytes_max: int, without: Collection[str] = ()) -> list[Waiting]:
        """The oldest that wait, in order, not of these sources; at least one if there is any, else within the sizes."""
        batch: list[Waiting] = []
        size = 0
        marks = ", ".join("?" * len(without))
        rows = self._db.execute(
            f"select n, source, id, body from events where outcome is null and source not in ({marks}) order by n limit ?",  # noqa: S608 - marks
            (*without, limit),
        )
        for row in rows:
            size += len(row[3]) + 1
            if batch and size > bytes_max:
                break
            batch.append(Waiting(*row))
        rows.close()
        return batch

    def settle(self, outcomes: Sequence[Outcome], now: datetime) -> None:
        """Write down what became of events at the hub."""
        with self._writing():
            changed = self._db.executemany(
                "update events set outcome = ?, code = ?, detail = ?, pointer = ?, ledger_seq = ?, answered_at = ? "
                "where n = ? and outcome is null",
                ((o.outcome, o.code, o.detail, o.pointer, o.ledger_seq, as_text(now), o.n) for o in outcomes),
            ).rowcount
        self.waiting -= changed

    def tell(self, contact_at: datetime | None, offset: Offset | None) -> None:
        """Write down when a hub answered last, and how far our clock is from its."""
        with self._writing():
            self._db.execute(
                "update agent set contact_at = coalesce(?, contact_at), offset_s = ?, offset_within_s = ?",
                (
                    contact_at and as_text(contact_at),
                    offset and offset.seconds,
                    offset and offset.within,
                ),
            )

    def complain(self, words: str | None, now: datetime, *, blocked: bool) -> None:
        """Write down why nothing is forwarded, or that it is again."""
        with self._writing():
            self._db.execute(
                "update agent set trouble = ?, blocked = ?, trouble_since = iif(? is null, null, coalesce(trouble_since, ?))",
                (words, int(blocked), words, as_text(now)),
            )

    # Keeping house

    def live(self, now: datetime) -> None:
        """Leave a sign of life."""
        with self._writing():
            self._db.execute("update agent set alive_at = ?", (as_text(now),))

    def forget(self, before: datetime, rejected_before: datetime) -> int:
        """Remove some of what the hub answered before these times; how many. What waits is never removed."""
        with self._writing():
            return self._db.execute(
                "delete from events where n in (select n from events where outcome is not null "
                "and answered_at < iif(outcome = 'rejected', ?, ?) limit ?)",
                (as_text(rejected_before), as_text(before), FORGET_AT_ONCE),
            ).rowcount

    def can_take(self, now: datetime) -> bool:
        """Whether there is room for a ticket, and the disk takes it."""
        try:
            self._making_room(now, lambda: self._probe(now))
        except Refusal:
            return False
        return True

    def _probe(self, now: datetime) -> None:
        with self._writing():
            self._check_room(1, PROBE_BYTES, self._used_bytes() + PROBE_BYTES)
            self._db.execute("update agent set alive_at = ?", (as_text(now),))

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction, undone by any exception; what the disk says becomes a refusal."""
        try:
            self._db.execute("begin immediate")
            try:
                yield
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise
        except sqlite3.Error as error:
            log.error(  # noqa: TRY400 - the words say it
                "store.failed", path=str(self._path), error=str(error)
            )
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise Refusal("agent.full", f"The disk of {self._path.parent} is full.") from error
            raise Refusal(
                "agent.cannot_keep", f"The disk of {self._path.parent} answers: {error}."
            ) from error


def as_text(at: datetime) -> str:
    """An instant as the store has it; texts are in the order of their times."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
