"""A store is opened: made when it is not there, begun anew where its past may be forgotten, set aside when it is damaged."""

import errno
import os
import sqlite3
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from evenstock.core.reading import read_stored
from evenstock.edge.numbering import Life, epoch_name, why_new_epoch
from evenstock.edge.store import Limits, Store, as_text

NAME: Final = "agent.db"
VERSION: Final = 1  # of the schema
BUSY_MS: Final = 5_000
CACHE_KB: Final = 4_000
WAL_KEPT_BYTES: Final = 16 * 1024 * 1024
SCHEMA: Final = Path(__file__).with_name("schema.sql")

log = structlog.get_logger()


def open_store(folder: Path, limits: Limits, now: datetime, token: Callable[[], str]) -> Store:
    """The store in a folder, made if it is not there; a damaged one is set aside, and what can be read of it is carried over.

    Raises OSError where the folder cannot be used.
    """
    path = folder / NAME
    damage = None
    if path.exists():
        damage = _damage(path)
        if damage is not None:
            aside = path.with_name(f"{NAME}.damaged-{now:%Y%m%dT%H%M%S%f}")
            _set_aside(path, aside)
    db, is_new = _connect(path)
    if (version := _version(db)) > VERSION:
        db.close()
        raise OSError(
            errno.EPROTO, f"{path} was made by a newer evenstock (schema {version}): install that one"
        )
    inode = path.stat().st_ino
    if is_new:
        why = "the store was damaged" if damage else "the store is new"
        _make(db, Life(epoch_name(now, token()), inode, now), why)
        if damage is not None:
            carried = _carry_over(aside, db)
            log.error("store.damaged", error=damage, set_aside=str(aside), carried_over=carried)
    epoch = _begin(db, inode, now, token)
    return Store(db, path, limits, epoch)


def _connect(path: Path) -> tuple[sqlite3.Connection, bool]:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in (
        f"busy_timeout = {BUSY_MS}", "journal_mode = wal", "synchronous = full", f"cache_size = -{CACHE_KB}",
        f"journal_size_limit = {WAL_KEPT_BYTES}", "cell_size_check = on", "trusted_schema = off",
    ):  # fmt: skip
        db.execute(f"pragma {pragma}").fetchall()
    return db, _version(db) == 0


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("pragma user_version").fetchone()[0])


def _make(db: sqlite3.Connection, life: Life, why: str) -> None:
    db.executescript(f"begin immediate;\n{SCHEMA.read_text(encoding='utf-8')}")
    db.execute(
        "insert into agent (one, epoch, epoch_since, epoch_why, inode, alive_at) values (1, ?, ?, ?, ?, ?)",
        (life.epoch, as_text(life.at), why, life.inode, as_text(life.at)),
    )
    db.execute(f"pragma user_version = {VERSION}")
    db.execute("commit")


def _begin(db: sqlite3.Connection, inode: int, now: datetime, token: Callable[[], str]) -> str:
    """The epoch of this life: the one there was, or a new one where the past may be forgotten."""
    epoch, last_inode, alive_at = db.execute("select epoch, inode, alive_at from agent").fetchone()
    why = why_new_epoch(Life(epoch, last_inode, datetime.fromisoformat(alive_at)), inode, now)
    db.execute("begin immediate")
    if why is not None:
        epoch = epoch_name(now, token())
        db.execute(
            "update agent set epoch = ?, epoch_since = ?, epoch_why = ?, inode = ?",
            (epoch, as_text(now), why, inode),
        )
        db.execute("delete from given")
        log.warning("epoch.began", epoch=epoch, why=why)
    db.execute("update agent set alive_at = ?", (as_text(now),))
    db.execute("commit")
    return str(epoch)


def _damage(path: Path) -> str | None:
    """What is wrong with a store, in SQLite's words; None when it can be used."""
    try:
        db, is_new = _connect(path)
    except sqlite3.DatabaseError as error:
        return _unless_ours(error)
    try:
        found = db.execute("pragma quick_check(1)").fetchone()[0]
        if not is_new:
            db.execute("select epoch, inode, alive_at from agent").fetchone()
    except sqlite3.DatabaseError as error:
        return _unless_ours(error)
    finally:
        db.close()
    return None if found == "ok" else str(found)


def _unless_ours(error: sqlite3.DatabaseError) -> str:
    """Damage in words; a disk that does not answer, or a file that may not be read, is no damage.

    Raises OSError.
    """
    if error.sqlite_errorcode in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}:
        return str(error)
    raise OSError(errno.EIO, f"The store cannot be opened: {error}") from error


def _set_aside(path: Path, aside: Path) -> None:
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))


def _carry_over(aside: Path, db: sqlite3.Connection) -> int:
    """What still waits in a damaged store, as far as it can be read from either end; it is sent as it was numbered."""
    found: dict[int, tuple[Any, ...]] = {}
    old = sqlite3.connect(aside, isolation_level=None)
    try:
        for direction in ("", "desc"):
            _read_waiting(old, direction, found)
    finally:
        old.close()
    db.execute("begin immediate")
    db.executemany(
        "insert into events (n, source, id, body, origin, taken_at) values (?, ?, ?, ?, ?, ?)",
        (found[n] for n in sorted(found)),
    )
    db.execute("commit")
    return len(found)


def _read_waiting(old: sqlite3.Connection, direction: str, found: dict[int, tuple[Any, ...]]) -> None:
    try:
        for row in old.execute(
            f"select n, source, id, body, origin, taken_at from events not indexed where outcome is null order by n {direction}"  # noqa: S608 - asc or desc
        ):
            if row[0] in found:
                return
            read_stored(row[3])
            found[row[0]] = row
    except (sqlite3.DatabaseError, ValueError, msgspec.DecodeError) as error:
        log.warning("store.unreadable", error=str(error)[:300])
