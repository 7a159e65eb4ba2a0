"""What needs a person, as people see it: exceptions by cause, with their state, what they did, and found by any business key."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

from evenstock.core.causes import WAITING, about
from evenstock.core.errors import MEANINGS
from evenstock.core.names import numbers_of
from evenstock.postgres.database import Connection
from evenstock.postgres.exceptions import public_id
from evenstock.postgres.queries import load
from evenstock.postgres.stock import SEQ_MAX

SQL: Final = load("attention")
FOUND_MAX: Final = 1_000  # exceptions of one business key
NOTES_MAX: Final = 200
CONFLICTS_MAX: Final = 500  # contents looked up in one round
ALIKE_MAX: Final = 20
OVERDUE_MAX: Final = 500  # shown in one round

State = Literal["new", "ongoing", "escalating", "regressed", "waiting", "resolving", "ignored", "resolved"]


class Money(msgspec.Struct, frozen=True):
    """An amount in a currency (ISO 4217)."""

    amount: Decimal
    currency: str


class ExceptionRow(msgspec.Struct, frozen=True):
    """Something that a person must decide: its cause, what waits under it, what is at stake, and what to do.

    `units` are those at stake, in the item's base unit or as the held lines say; `money` is what they are worth, where the items are
    known and each has a value, all in one currency; `data_safe` and `safe` say whether anything is lost, `next` what happens by itself; `hits` counts how often the cause was met.
    """

    id: str
    code: str
    title: str
    detail: str
    action: str
    subject: str
    status: str
    state: State
    source: str | None
    sku: str | None
    location: str | None
    lines: int
    facts: int
    messages: int
    units: Decimal | None
    money: Money | None
    data_safe: bool
    safe: str
    next: str
    grouped_by: str
    owner: str | None
    waiting_for: str | None
    ignored_until: datetime | None
    hits: int
    oldest_at: datetime | None
    newest_at: datetime | None
    opened_at: datetime
    last_seen_at: datetime
    closed_at: datetime | None
    regressed_from: str | None


class Note(msgspec.Struct, frozen=True):
    """What somebody said or did, and when."""

    at: datetime
    who: str
    words: str


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which exceptions are wanted."""

    closed_too: bool = False
    code: str | None = None
    state: State | None = None
    owner: str | None = None
    ids: Sequence[int] | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a person decides; UNSET stays as it is, None is taken away."""

    owner: str | msgspec.UnsetType | None = msgspec.UNSET
    waiting_for: str | msgspec.UnsetType | None = msgspec.UNSET
    ignored_until: datetime | msgspec.UnsetType | None = msgspec.UNSET


async def exceptions(
    db: Connection, wanted: Filter, before: int | None, limit: int, now: datetime
) -> list[ExceptionRow]:
    """Exceptions by cause, newest first."""
    rows = await db.fetch(
        SQL.exceptions,
        before or SEQ_MAX,
        wanted.closed_too,
        wanted.code,
        limit,
        now,
        list(WAITING),
        None if wanted.ids is None else list(wanted.ids),
        wanted.state,
        wanted.owner,
    )
    return [_exception(row) for row in rows]


async def find(db: Connection, text: str) -> list[int]:
    """The exceptions that a business key is about, newest first."""
    message, exception = numbers_of(text, "msg_", "_", 1), numbers_of(text, "exc_", "_", 1)
    rows = await db.fetch(SQL.found, text, message and message[0], exception and exception[0], FOUND_MAX)
    return [row["exception_id"] for row in rows]


async def change(db: Connection, exception_id: int, wanted: Change) -> bool:
    """Do what a person decided; False when it is not there or is resolved."""
    given = [wanted.owner, wanted.waiting_for, wanted.ignored_until]
    arguments = [
        part
        for value in given
        for part in (value is not msgspec.UNSET, value if value is not msgspec.UNSET else None)
    ]
    return await db.fetchval(SQL.change, exception_id, *arguments) is not None


async def note(db: Connection, exception_id: int, now: datetime, who: str, words: Sequence[str]) -> None:
    """Keep what somebody said or did."""
    await db.execute(SQL.note, exception_id, now, who, list(words))


async def notes(db: Connection, exception_id: int) -> list[Note]:
    """What was said and done, newest first."""
    rows = await db.fetch(SQL.notes, exception_id, NOTES_MAX)
    return [Note(row["noted_at"], row["who"], row["words"]) for row in rows]


def _exception(row: Any) -> ExceptionRow:
    meaning, cause = MEANINGS[row["code"]], about(row["code"])
    units = row["short_by"] if row["short_by"] is not None else row["held_units"]
    return ExceptionRow(
        id=public_id(row["exception_id"]),
        code=row["code"],
        title=meaning.title,
        detail=_detail(row, meaning.title),
        action=meaning.action,
        subject=row["subject"],
        status="resolved" if row["closed_at"] else "open",
        state=row["state"],
        source=row["source"],
        sku=row["sku"],
        location=row["location"],
        lines=row["lines"],
        facts=row["facts"],
        messages=row["messages"],
        units=None if units is None else plain_decimal(units),
        money=None if row["worth"] is None else Money(plain_decimal(row["worth"]), row["currency"]),
        data_safe=cause.data_safe,
        safe=cause.safe,
        next=cause.next,
        grouped_by=cause.grouped_by,
        owner=row["owner"],
        waiting_for=row["waiting_for"],
        ignored_until=row["ignored_until"],
        hits=row["hits"],
        oldest_at=row["oldest_at"],
        newest_at=row["newest_at"],
        opened_at=row["opened_at"],
        last_seen_at=row["last_seen_at"],
        closed_at=row["closed_at"],
        regressed_from=None if row["regressed_from"] is None else public_id(row["regressed_from"]),
    )


def _detail(row: Any, title: str) -> str:
    """The cause's own words; those of a state of a position are made from the numbers that it has now."""
    if row["detail"]:
        detail = str(row["detail"])
    elif row["short_by"] is None or row["closed_at"] is not None:
        detail = f"{row['location']}, {row['sku']}: {title[:1].lower()}{title[1:]}."
    else:
        by = plain_decimal(row["short_by"])
        detail = {
            "stock.negative": f"{row['location']} shows -{by} of {row['sku']} ({row['bucket']}): less than zero.",
            "stock.in_transit_negative": f"{row['location']} received {by} more of {row['sku']} than was shipped there.",
            "stock.overcommitted": f"{row['location']} has {by} fewer of {row['sku']} than are promised.",
        }[row["code"]]
    return f"{detail} Promised to: {row['orders']}." if row["orders"] else detail


def plain_decimal(number: Decimal) -> Decimal:
    """Without the zeros that a division left behind."""
    return Decimal(f"{number.normalize():f}")


# What ends by a fact that no writer looks for ---------------------------------------------------------------------------


class OverdueVoid(msgspec.Struct, frozen=True):
    """A void that has waited for its fact for too long."""

    fact_id: int
    connection_id: int
    words: str


async def overdue_voids(db: Connection, before: datetime) -> list[OverdueVoid]:
    """Voids that came before this, whose fact did not, and that nobody was told of."""
    return [
        OverdueVoid(
            row["fact_id"],
            row["connection_id"],
            f"{row['key']} takes {row['target']} of {row['source']} back, and that did not come.",
        )
        for row in await db.fetch(SQL.overdue_voids, before, OVERDUE_MAX)
    ]


class RefusedContent(msgspec.Struct, frozen=True):
    """A content that came under a key that was used before."""

    exception_id: int
    code: str
    subject: str
    connection_id: int
    key: str
    body: str


async def settled(db: Connection, now: datetime) -> list[tuple[str, str]]:
    """Causes (code, subject) that a fact has ended since: counted again, a clock that is right, a key whose fact was voided,
    masters that their stranger has left alone for a day.
    """
    rows = [
        *await db.fetch(SQL.settled_voids),
        *await db.fetch(SQL.right_clocks, now),
        *await db.fetch(SQL.voided_keys),
        *await db.fetch(SQL.given_up_masters, now),
    ]
    return [(row["code"], row["subject"]) for row in rows]


async def refused_contents(db: Connection, after: int) -> list[RefusedContent]:
    """Refused contents of open exceptions, from behind this one."""
    rows = await db.fetch(SQL.refused_contents, after, CONFLICTS_MAX)
    return [RefusedContent(*row.values()) for row in rows]


async def alike(
    db: Connection, refused: RefusedContent, location: str, sku: str, occurred_at: datetime, kind: str
) -> list[str]:
    """The bodies of facts under other keys that say something of the same item and place at the same instant."""
    rows = await db.fetch(
        SQL.alike, refused.connection_id, refused.key, location, sku, occurred_at, kind, ALIKE_MAX
    )
    return [row["body"] for row in rows]
