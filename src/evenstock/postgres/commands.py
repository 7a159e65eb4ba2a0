"""Commands in PostgreSQL: made of what claims became, their lines and tries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from evenstock.core.commanding import Draft, Kind, Work, Worker, changes
from evenstock.core.commanding import commands as commanded
from evenstock.core.names import command_id, public_id
from evenstock.core.quantity import as_number
from evenstock.core.reservations import ClaimBook
from evenstock.postgres.database import Connection
from evenstock.postgres.lanes import LOST, Ended, Try
from evenstock.postgres.queries import load
from evenstock.postgres.rows import document

SQL: Final = load("commands")
TRIES_SHOWN_MAX: Final = 50  # of one command


# Making them -----------------------------------------------------------------------------------------------------------


async def owe(db: Connection, book: ClaimBook, ledger_seq: int) -> None:
    """Write what systems are to do because of how claims changed. In the caller's transaction, which holds the ledger's order."""
    changed = changes(book)
    if not changed:
        return
    places = sorted({change.location_id for change in changed})
    workers: dict[int, Worker] = {}
    told: dict[Work, list[tuple[Worker, int]]] = {}
    rows = await db.fetch(SQL.whose, places, sorted({change.reservation_id for change in changed}))
    for location_id, connection_id, is_told, reservation_id, line, units, _ in rows:
        worker = Worker(connection_id, is_told)
        if reservation_id is None:
            workers[location_id] = worker
        else:
            told.setdefault((reservation_id, line, location_id), []).append((worker, units))
    if drafts := commanded(changed, workers, told):
        await db.execute(
            SQL.make, ledger_seq, book.now, document([_row(*each) for each in enumerate(drafts)])
        )


def _row(number: int, draft: Draft) -> dict[str, Any]:
    return {
        "n": number, "c": draft.worker.connection_id, "r": draft.reservation_id, "l": draft.location_id, "k": draft.kind,
        "s": "owed" if draft.worker.is_told else "shadow",
        "x": [{"l": line.line, "i": line.item_id, "u": line.units} for line in draft.lines],
    }  # fmt: skip


# Sending them ----------------------------------------------------------------------------------------------------------


class Claimed(msgspec.Struct, frozen=True):
    """A command that is about to be sent, and is written down as sent; `again`: an earlier try may have arrived."""

    command_id: int
    reference: str
    kind: Kind
    reservation_id: int
    order_ref: str | None
    channel: str | None
    location: str
    number: int
    trace_id: str
    round: int
    tries: int
    again: bool
    made_at: datetime
    first_sent_at: datetime


class Told(msgspec.Struct, frozen=True):
    """One line of a command, for the connector."""

    line: str
    sku: str
    scale: int
    uom: str
    code: str | None
    units: int


async def claim(
    db: Connection, connection_id: int, now: datetime, fence: int, upto: datetime | None, *, retries: bool
) -> Claimed | None:
    """The command that is sent next, written down as sent in the caller's transaction; `upto`: none that was made later.

    Without `retries`, one that was tried before only where there is no other.
    """
    row = await db.fetchrow(SQL.claim, connection_id, now, fence, LOST, upto, retries)
    return None if row is None else Claimed(*row.values())


async def lines(db: Connection, number: int, connection_id: int) -> list[Told]:
    """What a command says to a connection."""
    return [Told(*row.values()) for row in await db.fetch(SQL.lines, number, connection_id)]


async def settle(db: Connection, connection_id: int, fence: int, ended: Ended, now: datetime) -> bool:
    """Write down what became of a try; of an older fence nothing is believed, and False is answered."""
    mine = await db.fetchval(
        SQL.settle, connection_id, fence, ended.number, ended.tries, ended.outcome, ended.detail, ended.document,
        ended.due_at, now, ended.code, ended.is_late,
    )  # fmt: skip
    return mine is not None


async def send_again(
    db: Connection, connection: str | None, code: str | None, now: datetime, only: Sequence[int] | None = None
) -> list[int]:
    """What a system refused is owed again: of one connection or of all, what was refused with a code, of these commands."""
    return [row["command_id"] for row in await db.fetch(SQL.again, connection, code, now, only)]


async def hasten(db: Connection, ids: Sequence[int], now: datetime) -> list[int]:
    """Those of these commands that are owed are sent as soon as their turn comes; which they are."""
    return [row["command_id"] for row in await db.fetch(SQL.hasten, list(ids), now)]


async def connections_of(db: Connection, ids: Sequence[int]) -> list[tuple[int, str]]:
    """Whom these commands are owed to, by number and id."""
    return [(row["connection_id"], row["id"]) for row in await db.fetch(SQL.connections_of, list(ids))]


# Reading them ----------------------------------------------------------------------------------------------------------


class CommandRow(msgspec.Struct, frozen=True):
    """A command: what is to be done, and how far it has come. `document` is the system's own number for it.

    `number` counts the commands of its reservation; `waits_for` names the command that must be done before this one is sent.
    """

    id: str
    connection: str
    reference: str
    kind: str
    location: str
    reservation: str
    number: int
    order_ref: str | None
    channel: str | None
    status: str
    waits_for: str | None
    document: str | None
    made_at: datetime
    first_sent_at: datetime | None
    done_at: datetime | None
    tries: int
    ledger_seq: int
    refused_code: str | None
    refused_detail: str | None
    trace_id: str


class CommandLineRow(msgspec.Struct, frozen=True):
    """Units of a line of the reservation."""

    line: str
    sku: str
    quantity: Any


class CommandFilter(msgspec.Struct, frozen=True):
    """Which commands are wanted."""

    connection: str | None = None
    status: str | None = None
    reservation_id: int | None = None
    order_ref: str | None = None
    location: str | None = None
    document: str | None = None


async def commands(db: Connection, wanted: CommandFilter, before: int, limit: int) -> list[CommandRow]:
    """Commands, newest first, of lower numbers than `before`."""
    rows = await db.fetch(SQL.commands, before, *msgspec.structs.astuple(wanted), limit)
    return [_read(dict(row)) for row in rows]


def _read(row: dict[str, Any]) -> CommandRow:
    waits_for = row["waits_for"]
    row |= {
        "id": command_id(row.pop("command_id")),
        "reservation": public_id(row.pop("reservation_id")),
        "waits_for": None if waits_for is None else command_id(waits_for),
    }
    return CommandRow(**row)


async def inside(db: Connection, number: int) -> tuple[list[CommandLineRow], list[Try]]:
    """A command's lines and its newest tries."""
    found = [
        CommandLineRow(row["line"], row["sku"], as_number(row["units"], row["scale"]))
        for row in await db.fetch(SQL.lines_of, number)
    ]
    tries = await db.fetch(SQL.tries_of, number, TRIES_SHOWN_MAX)
    return found, [Try(*row.values()) for row in tries]
