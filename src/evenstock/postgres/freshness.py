"""When sources were last heard, and who is said to be silent."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from evenstock.core.freshness import State, in_words, state_of
from evenstock.postgres import exceptions
from evenstock.postgres.database import Connection
from evenstock.postgres.exceptions import Cause
from evenstock.postgres.queries import load
from evenstock.postgres.rows import tuples

SQL: Final = load("freshness")
SILENT: Final = "source.silent"


class StreamRow(msgspec.Struct, frozen=True):
    """How far a stream that we ask for was read: what changed before `read_until`, by the system's own clock, was brought."""

    name: str
    read_until: datetime
    passed_at: datetime | None  # when it was last read to its end
    pages: int  # of the reading that is under way


class SourceRow(msgspec.Struct, frozen=True):
    """A source as its reader sees it. `asked_at` and what follows are of those that we fetch from."""

    connection: str
    connector: str
    state: State
    heard_at: datetime | None
    watermark: datetime | None
    expect_within_s: int | None
    asked_at: datetime | None
    answered_at: datetime | None
    failures: int
    detail: str | None
    streams: list[StreamRow] = []


async def hear(db: Connection, heard: Mapping[int, tuple[datetime, datetime | None]]) -> None:
    """Facts of these connections came: when, and the latest time they told of."""
    rows: Iterable[tuple[object, ...]] = ((number, *times) for number, times in sorted(heard.items()))
    await db.execute(SQL.hear, tuples(("c", "h", "w"), rows))


async def every_source(db: Connection, now: datetime) -> list[SourceRow]:
    """All connections, and how fresh each is."""
    return [
        SourceRow(
            row["id"], row["connector"],
            state_of(row["heard_at"], row["expected_since"], row["expect_within_s"], now),
            row["heard_at"], row["watermark"], row["expect_within_s"], row["asked_at"], row["answered_at"],
            row["failures"], row["detail"], msgspec.json.decode(row["streams"], type=list[StreamRow]),
        )
        for row in await db.fetch(SQL.every_source)
    ]  # fmt: skip


async def show_silent(db: Connection, now: datetime) -> None:
    """An exception for each source that is silent past what is expected of it; those that are heard again are over."""
    causes = {}
    for row in await db.fetch(SQL.every_source):
        if state_of(row["heard_at"], row["expected_since"], row["expect_within_s"], now) == "silent":
            subject = f"silent:{row['connection_id']}"
            last = (
                "has never been heard"
                if row["heard_at"] is None
                else f"was last heard {row['heard_at']:%Y-%m-%d %H:%M} UTC"
            )
            words = f"{row['id']} {last}; something is expected every {in_words(timedelta(seconds=row['expect_within_s']))}."
            causes[subject] = Cause(SILENT, subject, words, row["connection_id"])
    shown = {row["subject"] for row in await db.fetch(SQL.silent)}
    if new := [cause for subject, cause in causes.items() if subject not in shown]:
        await exceptions.open_causes(db, new, now)
    await exceptions.close_causes(db, [(SILENT, subject) for subject in sorted(shown - causes.keys())], now)
