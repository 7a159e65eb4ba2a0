"""Exceptions about postings and commands: what a connection's system refuses, or has not confirmed for long."""

from datetime import datetime
from typing import Final

from evenstock.postgres import exceptions
from evenstock.postgres.database import Connection
from evenstock.postgres.exceptions import Cause
from evenstock.postgres.queries import load

SQL: Final = load("troubles")
WORDS: Final = {
    "posting.rejected": "{connection} does not take {number:,} postings: {detail}",
    "posting.line_refused": "{connection} does not take {number:,} lines of postings: {detail}",
    "posting.delayed": "{connection} has not confirmed {number:,} postings for long, the first is {detail}.",
    "command.rejected": "{connection} does not do {number:,} commands: {detail}",
    "command.delayed": "{connection} has not confirmed {number:,} commands for long, the first is {detail}.",
}
_CODES: Final = list(WORDS)


async def show(db: Connection, connection_id: int, connection: str, now: datetime) -> None:
    """Exceptions about postings and commands are what is in trouble, no less and no more."""
    causes = [
        Cause(
            row["code"],
            row["subject"],
            WORDS[row["code"]].format(connection=connection, number=row["number"], detail=row["detail"]),
            connection_id,
            row["item_id"],
        )
        for row in await db.fetch(SQL.open_troubles, connection_id)
    ]
    await exceptions.open_causes(db, causes, now)
    settled = [tuple(row.values()) for row in await db.fetch(SQL.settled_troubles, connection_id, _CODES)]
    await exceptions.close_causes(db, settled, now)


async def are_shown(db: Connection, connection_id: int) -> bool:
    return bool(await db.fetchval(SQL.troubled, connection_id, _CODES))
