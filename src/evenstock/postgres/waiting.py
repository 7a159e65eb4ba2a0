"""Facts that wait for another fact: a void before its target, a return before its sale."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from evenstock.postgres.database import Connection
from evenstock.postgres.ledger import FactKey
from evenstock.postgres.queries import load
from evenstock.postgres.rows import tuples

SQL: Final = load("waiting")

Kind = Literal["void", "return"]


class Waiting(msgspec.Struct, frozen=True):
    """A fact (fact_id) that waits for the fact `awaited`."""

    awaited: FactKey
    kind: Kind
    fact_id: int
    body: str = ""
    occurred_at: datetime | None = None
    received_at: datetime | None = None
    connection_id: int = 0


async def waiting_for(db: Connection, keys: Iterable[FactKey]) -> list[Waiting]:
    """Who waits for these keys."""
    wanted = list(keys)
    rows = await db.fetch(SQL.waiting_for, [key[0] for key in wanted], [key[1] for key in wanted])
    return [Waiting((connection_id, key), *rest) for connection_id, key, *rest in rows]


async def change(db: Connection, parked: Sequence[Waiting], found: Sequence[Waiting]) -> None:
    """Note who waits from now on, and who does not any more; with the ledger's order held."""
    names = ("c", "k", "a", "w")
    if parked:
        await db.execute(
            SQL.park, tuples(names, ((*entry.awaited, entry.fact_id, entry.kind) for entry in parked))
        )
    if found:
        await db.execute(SQL.unpark, tuples(names[:3], ((*entry.awaited, entry.fact_id) for entry in found)))
    if parked or found:
        await db.execute(SQL.note_waiting, len(parked), len(parked) - len(found))


async def returns_waiting(db: Connection, fact_ids: Sequence[int]) -> list[Waiting]:
    """Which of these returns wait for their sale."""
    rows = await db.fetch(SQL.returns_waiting, list(fact_ids))
    return [Waiting((row["connection_id"], row["key"]), "return", row["fact_id"]) for row in rows]


async def are_awaited(db: Connection, entries: Sequence[Waiting]) -> bool:
    """Whether all of these still wait."""
    rows = tuples(("c", "k", "a"), ((*entry.awaited, entry.fact_id) for entry in entries))
    return bool(await db.fetchval(SQL.count_awaiting, rows) == len(entries))


async def set_status(db: Connection, rows: Iterable[tuple[int, str, str | None]]) -> None:
    """What became of facts: (fact_id, status, reason)."""
    if document := list(rows):
        await db.execute(SQL.set_status, tuples(("a", "s", "r"), document))


class Void(msgspec.Struct, frozen=True):
    """A void that took effect: which fact it was, when it says so, and what became of the goods."""

    void_fact_id: int
    goods: str
    occurred_at: datetime


async def voided(db: Connection, fact_ids: Sequence[int]) -> dict[int, Void]:
    """Which of these facts are voided, and how."""
    if not fact_ids:
        return {}
    return {target: Void(*rest) for target, *rest in await db.fetch(SQL.voids_of, list(fact_ids))}


async def insert_voids(db: Connection, rows: Sequence[tuple[int, int, str]]) -> None:
    """Voids that took effect: (target, void, goods)."""
    if rows:
        await db.execute(SQL.insert_voids, tuples(("t", "v", "g"), rows))
