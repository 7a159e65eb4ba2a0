"""Whose system works at each location, since which number of the ledger."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from evenstock.core.booking import Booking
from evenstock.core.errors import Refusal
from evenstock.postgres import ledger
from evenstock.postgres.database import Connection
from evenstock.postgres.queries import load
from evenstock.postgres.rows import tuples

SQL: Final = load("workers")
MASTERS: Final = load("masters")


async def put_to_work(db: Connection, connections: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """From now on these connections' systems work at the locations that each `works`, and at no others.

    In the caller's transaction, which holds the version of the masters: it takes a place in the ledger's order, so that what is
    allocated later is commanded and nothing else. Raises Refusal `stock.unknown_location`, `connection.works`.
    """
    wanted = {location: each["id"] for each in connections for location in each.get("works") or ()}
    changing = [each["id"] for each in connections]
    there = {
        row["location"]: row["connection"] for row in await db.fetch(SQL.workers, sorted(wanted), changing)
    }
    changed = [(location, id_) for location, id_ in sorted(wanted.items()) if there.get(location) != id_]
    changed += [(location, None) for location in sorted(there.keys() - wanted.keys())]
    known = (
        {row["id"] for row in await db.fetch(MASTERS.locations_by_id, sorted(wanted))} if wanted else set()
    )
    for index, each in enumerate(connections):
        for place, location in enumerate(each.get("works") or ()):
            holder = there.get(location)
            other = wanted[location] if holder is None or holder in changing else holder
            pointer = f"/connections/{index}/works/{place}"
            if location not in known:
                raise Refusal("stock.unknown_location", f"There is no location `{location}`.", pointer)
            if other != each["id"]:
                words = f"The work at `{location}` is done by `{other}` already; one system is told to do it."
                raise Refusal("connection.works", words, pointer)
    if changed:
        head = await ledger.begin(db)
        at = await ledger.write(db, head.batch_id, now, Booking())
        await db.execute(SQL.put_to_work, at.ledger_seq, tuples(("l", "k"), changed))
