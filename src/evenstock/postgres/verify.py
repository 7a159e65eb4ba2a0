"""Proves what must always hold: every view named `v_*` is a claim, and a row in it is a breach.

Run after every test that touches the database, by `evenstock verify`, and on a schedule in production.
"""

from typing import Final

import msgspec

from evenstock.postgres.database import Connection, quoted
from evenstock.postgres.queries import load

SQL: Final = load("invariants")
ROWS_SHOWN_MAX: Final = 10


class Violation(msgspec.Struct, frozen=True):
    """An invariant that does not hold, and the first rows that break it."""

    name: str  # of the view
    comment: str  # what a row of it means, in words
    rows: tuple[str, ...]  # JSON objects, at most ROWS_SHOWN_MAX

    def __str__(self) -> str:
        return "\n".join(
            (f"{self.name}: {self.comment or 'does not hold'}", *(f"  {row}" for row in self.rows))
        )


async def violations(connection: Connection) -> list[Violation]:
    """Run every invariant against one state of the database; an empty list is the proof."""
    found = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(SQL.take_time)
        for view in await connection.fetch(SQL.all):
            rows = await connection.fetch(SQL.broken.format(view=quoted(view["name"])), ROWS_SHOWN_MAX)
            if rows:
                found.append(Violation(view["name"], view["comment"], tuple(row["row"] for row in rows)))
    return found
