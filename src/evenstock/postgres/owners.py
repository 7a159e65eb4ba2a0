"""Who is right about what, and what follows for the channels and books that we write to.

Whoever changes claims, channels or books holds the version of the masters, so what is decided here is decided by one at a time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from evenstock.core.owning import HUB, SCOPED_BY, Claims, Domain, Withheld, withheld
from evenstock.postgres import exceptions
from evenstock.postgres import masters as stored
from evenstock.postgres.database import Connection
from evenstock.postgres.exceptions import Cause
from evenstock.postgres.queries import load
from evenstock.postgres.rows import tuples

SQL: Final = load("owners")
TOLD: Final = ("availability", "financial_stock")  # what the hub writes elsewhere
BOOKS: Final = "financial_stock"


class Owner(msgspec.Struct, frozen=True):
    """A claim: the owner is a connection, or the hub."""

    domain: str
    scope: str
    owner: str
    since: datetime


async def every(db: Connection) -> list[Owner]:
    """All claims, by domain and scope."""
    rows = await db.fetch(SQL.owners)
    return [Owner(row["domain"], row["scope"], row["owner"] or HUB, row["since"]) for row in rows]


async def claims(db: Connection) -> Claims:
    """All claims, as rules take them."""
    return {(each.domain, each.scope): each.owner for each in await every(db)}


async def claim(db: Connection, rows: Sequence[tuple[str, str, int | None, bool]], now: datetime) -> None:
    """Make or take away claims: domain, scope, the connection (None: the hub), and whether it is claimed at all."""
    async with db.transaction():
        await db.execute(stored.SQL.raise_version)
        made = [(domain, scope, connection) for domain, scope, connection, claimed in rows if claimed]
        gone = [(domain, scope) for domain, scope, _, claimed in rows if not claimed]
        await db.execute(SQL.unclaim, tuples(("d", "s"), gone))
        await db.execute(SQL.claim, tuples(("d", "s", "c"), made), now)
        await decide(db, now)
        masters = sorted({row[0] for row in rows} & {"item_master", "location_master"})
        await exceptions.close_causes(db, list(await _shown(db, masters)), now)


async def decide(db: Connection, now: datetime) -> None:
    """What claims mean for whom we write to: withheld from some, with an exception for each; the others are told."""
    standing = await claims(db)
    rows = await db.fetch(SQL.told)
    found = {(row["domain"], row["id"]): _withheld(standing, row) for row in rows}
    for domain, query in zip(TOLD, (SQL.withhold_channels, SQL.withhold_books), strict=True):
        changed = [
            (row["number"], None if why is None else why.code)
            for row in rows
            if row["domain"] == domain
            and (None if (why := found[domain, row["id"]]) is None else why.code) != row["withheld"]
        ]
        await db.execute(query, tuples(("n", "w"), changed))
    causes = {
        (why.code, why.subject): Cause(why.code, why.subject, why.detail, row["connection_id"])
        for row in rows
        if (why := found[row["domain"], row["id"]]) is not None
    }
    shown = await _shown(db, TOLD)
    new = [cause for name, cause in causes.items() if shown.get(name) != cause.detail]
    await exceptions.open_causes(db, new, now)
    await exceptions.close_causes(db, sorted(shown.keys() - causes.keys()), now)


async def _shown(db: Connection, domains: Sequence[str]) -> dict[tuple[str, str], str]:
    """What is open about who owns these domains, and in which words."""
    return {(row["code"], row["subject"]): row["detail"] for row in await db.fetch(SQL.shown, list(domains))}


def _withheld(standing: Claims, row: Any) -> Withheld | None:
    """The books of a system are written by the hub for it, if it owns them; a channel's numbers are the hub's own."""
    domain: Domain = row["domain"]
    if row["connection_id"] is None:
        return None  # it is told nothing
    also = [row["id"]] if domain == BOOKS else []
    scope = row["id"] if domain in SCOPED_BY else "everywhere"
    why = withheld(standing, domain, scope, HUB, also=also)
    return None if why is None else msgspec.structs.replace(why, subject=f"owner:{domain}:{row['id']}")


async def held_for(db: Connection, domains: Sequence[str]) -> list[str]:
    """The subjects under which lines wait for who owns these domains."""
    return [row["subject"] for row in await db.fetch(SQL.held_for, list(domains))]
