"""Postings in PostgreSQL: books and how far they are, postings made of movements, their lines, tries and troubles."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, Final

import msgspec

from evenstock.core.names import posting_id
from evenstock.core.postings import Books, Draft, Due, Kind, is_nothing
from evenstock.core.quantity import as_number
from evenstock.postgres.database import Connection
from evenstock.postgres.lanes import LOST, Ended, Try
from evenstock.postgres.queries import load
from evenstock.postgres.rows import tuples

SQL: Final = load("postings")
MOVEMENTS_SHOWN_MAX: Final = 1_000  # of one line
TRIES_SHOWN_MAX: Final = 50  # of one posting


class Behind(msgspec.Struct, frozen=True):
    """Books that the ledger is ahead of."""

    connection_id: int
    books: Books
    flow: str
    upto: int


class Claimed(msgspec.Struct, frozen=True):
    """A posting that is about to be sent, and is written down as sent; `again`: an earlier try may have arrived."""

    posting_id: int
    reference: str
    kind: Kind
    posted_on: date
    ledger_from: int
    ledger_to: int
    trace_id: str | None
    round: int
    tries: int
    again: bool
    made_at: datetime
    first_sent_at: datetime


class Told(msgspec.Struct, frozen=True):
    """One line of a posting, for the connector."""

    line: int
    sku: str
    scale: int
    uom: str
    code: str | None
    location: str
    units: int


# Making them -----------------------------------------------------------------------------------------------------------


async def keep_books(db: Connection, connection: str, books: Books | None) -> None:
    """A connection's system keeps books like this from now on; None: none are kept, and none are lost."""
    if books is None:
        await db.execute(SQL.keep_no_more, [connection])
    else:
        first = list(books.first)
        await db.execute(SQL.keep, connection, books.per, books.every_s, first, books.late_days)


async def behind(db: Connection, now: datetime) -> list[Behind]:
    """Books whose turn it is."""
    return [
        Behind(
            row["connection_id"],
            Books(per=row["per"], every_s=row["every_s"], first=tuple(row["first"]), late_days=row["late_days"]),
            row["flow"],
            row["upto"],
        )
        for row in await db.fetch(SQL.behind, now)
    ]  # fmt: skip


async def take_turn(db: Connection, connection_id: int) -> int | None:
    """Until where these books are made; None when another process is at it."""
    found: int | None = await db.fetchval(SQL.take_turn, connection_id)
    return found


async def end_turn(db: Connection, connection_id: int, ledger_seq: int) -> None:
    await db.execute(SQL.end_turn, connection_id, ledger_seq)


async def reach(db: Connection, after: int, upto: int, limit: int) -> int:
    """The number of the ledger up to which about `limit` movements lie, whole batches."""
    found: int | None = await db.fetchval(SQL.reach, after, upto, limit)
    return upto if found is None else found


async def movements(db: Connection, after: int, upto: int) -> list[Due]:
    """What the books must see of the ledger after one number up to another, in its order."""
    return [Due(*row.values()) for row in await db.fetch(SQL.movements, after, upto)]


async def make(
    db: Connection, connection_id: int, drafts: Sequence[Draft], prefix: str, status: str, now: datetime
) -> None:
    """Write postings, their lines, and which movement is in which line."""
    rows = (
        (n, d.kind, d.posted_on, d.location_id, d.fact_id, None, d.ledger_from, d.ledger_to, d.trace_id, d.rank,
         "nothing" if is_nothing(d.lines) else status)
        for n, d in enumerate(drafts)
    )  # fmt: skip
    ids = await _make(db, connection_id, rows, prefix, now)
    lines = (
        (id_, number, line.item_id, line.location_id, line.units)
        for id_, draft in zip(ids, drafts, strict=True)
        for number, line in enumerate(draft.lines, 1)
    )
    await db.execute(SQL.add_lines, tuples(("p", "n", "i", "l", "u"), lines))
    entries = (
        (seq, ordinal, id_, index + 1)
        for id_, draft in zip(ids, drafts, strict=True)
        for seq, ordinal, index in draft.entries
    )
    await db.execute(SQL.add_entries, connection_id, tuples(("s", "o", "p", "n"), entries))


async def _make(
    db: Connection, connection_id: int, rows: Iterable[Sequence[Any]], prefix: str, now: datetime
) -> list[int]:
    names = ("n", "k", "d", "l", "a", "c", "f", "u", "t", "r", "s")
    made = await db.fetch(SQL.make, connection_id, tuples(names, rows), prefix, now)
    return [row["posting_id"] for row in made]


class Again(msgspec.Struct, frozen=True):
    """What is owed again: whole postings, and by the posting that they were refused of, those that bring refused lines."""

    postings: list[int]
    carrying: dict[int, int]
    lines: int


async def send_again(
    db: Connection,
    connection: str | None,
    code: str | None,
    prefix: str,
    now: datetime,
    only: Sequence[int] | None = None,
) -> Again:
    """What the books refused is owed again: whole postings, and refused lines in postings of their own.

    Of one connection or of all, what was refused with a code, of these postings.
    """
    again = await db.fetch(SQL.again, connection, code, now, only)
    carries: dict[int, int] = {}
    lines = 0
    for row in await db.fetch(SQL.to_carry, connection, code, only):
        values = (
            0, row["kind"], row["posted_on"], row["location_id"], row["fact_id"], row["posting_id"], row["ledger_from"],
            row["ledger_to"], row["trace_id"], row["rank"], "owed",
        )  # fmt: skip
        (carrying,) = await _make(db, row["connection_id"], [values], prefix, now)
        await db.execute(SQL.carry, row["posting_id"], carrying, row["lines"])
        carries[row["posting_id"]] = carrying
        lines += len(row["lines"])
    return Again([row["posting_id"] for row in again], carries, lines)


# Sending them ----------------------------------------------------------------------------------------------------------


async def claim(
    db: Connection, connection_id: int, now: datetime, fence: int, upto: datetime | None, *, retries: bool
) -> Claimed | None:
    """The posting that is sent next, written down as sent in the caller's transaction; `upto`: none that was made later.

    Without `retries`, one that was tried before only where there is no other.
    """
    row = await db.fetchrow(SQL.claim, connection_id, now, fence, LOST, upto, retries)
    return None if row is None else Claimed(*row.values())


async def lines(db: Connection, posting_id: int, connection_id: int) -> list[Told]:
    """What a posting says to a connection."""
    return [Told(*row.values()) for row in await db.fetch(SQL.lines, posting_id, connection_id)]


async def settle(
    db: Connection,
    connection_id: int,
    fence: int,
    ended: Ended,
    refused: Sequence[tuple[int, str, str]],
    now: datetime,
) -> bool:
    """Write down what became of a try, and of lines that were refused (number, code, words).

    Of an older fence nothing is believed, and False is answered.
    """
    mine = await db.fetchval(
        SQL.settle, connection_id, fence, ended.number, ended.tries, ended.outcome, ended.detail,
        ended.document, ended.due_at, now, ended.code, ended.is_late,
    )  # fmt: skip
    if mine is not None and refused:
        await db.execute(SQL.refuse_lines, ended.number, tuples(("n", "c", "d"), refused))
    return mine is not None


# Reading them ----------------------------------------------------------------------------------------------------------


class PostingRow(msgspec.Struct, frozen=True):
    """A posting: what it is of, and how far it has come. `document` is the books' own number for it."""

    id: str
    connection: str
    reference: str
    kind: str
    posted_on: date
    location: str | None
    fact: str | None
    status: str
    document: str | None
    made_at: datetime
    first_sent_at: datetime | None
    done_at: datetime | None
    tries: int
    ledger_from: int
    ledger_to: int
    refused_code: str | None
    refused_detail: str | None
    carries: str | None
    trace_id: str | None


class PostingLineRow(msgspec.Struct, frozen=True):
    """A line, and the movements that it is the sum of."""

    line: int
    sku: str
    location: str
    quantity: Any
    refused_code: str | None
    refused_detail: str | None
    carried_by: str | None
    movements: list[str]


class PostingFilter(msgspec.Struct, frozen=True):
    """Which postings are wanted."""

    connection: str | None = None
    status: str | None = None
    document: str | None = None
    movement: tuple[int, int] | None = None
    sku: str | None = None


async def postings(db: Connection, wanted: PostingFilter, before: int, limit: int) -> list[PostingRow]:
    """Postings, newest first, of lower numbers than `before`."""
    seq, ordinal = wanted.movement or (None, None)
    rows = await db.fetch(
        SQL.postings,
        before,
        wanted.connection,
        wanted.status,
        wanted.document,
        seq,
        ordinal,
        wanted.sku,
        limit,
    )
    return [PostingRow(posting_id(row[0]), *list(row.values())[1:]) for row in rows]


async def inside(db: Connection, posting_id: int) -> tuple[list[PostingLineRow], list[Try]]:
    """A posting's lines and its newest tries."""
    rows = await db.fetch(SQL.lines_of, posting_id, MOVEMENTS_SHOWN_MAX)
    found = [
        PostingLineRow(
            row["line"], row["sku"], row["location"], as_number(row["units"], row["scale"]), row["refused_code"],
            row["refused_detail"], row["carried_by"], row["movements"],
        )
        for row in rows
    ]  # fmt: skip
    tries = await db.fetch(SQL.tries_of, posting_id, TRIES_SHOWN_MAX)
    return found, [Try(*row.values()) for row in tries]
