"""What events say of orders: owed with their facts, looked at in their order, and what became of them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from evenstock.core.intake import Fact
from evenstock.postgres.database import Connection
from evenstock.postgres.queries import load
from evenstock.postgres.rows import tuples

SQL: Final = load("orders")
LOCKS: Final = load("locks")

OrderKey = tuple[str, str]  # channel, order_ref
Status = Literal["owed", "waits", "parked", "done"]


class OrderEvent(msgspec.Struct, frozen=True):
    """Something that an event says of an order, which is to be looked at."""

    fact_id: int
    kind: Literal["placed", "cancelled"]
    channel: str
    order_ref: str
    status: Status
    connection_id: int
    source: str
    body: str
    received_at: datetime
    trace_id: str

    @property
    def order(self) -> OrderKey:
        return (self.channel, self.order_ref)


class Became(msgspec.Struct, frozen=True):
    """What became of one; `due_at` is when it is looked at next."""

    fact_id: int
    status: Status
    due_at: datetime
    code: str | None = None
    reservation_id: int | None = None


async def owe(db: Connection, facts: Sequence[Fact]) -> None:
    """Facts of a batch that speak of orders are to be looked at; in their transaction."""
    if facts:
        rows = (
            (fact.fact_id, fact.ordered.kind, fact.ordered.channel, fact.ordered.order_ref, fact.received_at)
            for fact in facts
            if fact.ordered is not None
        )
        await db.execute(SQL.owe, tuples(("a", "k", "c", "o", "t"), rows))


async def take_turn(db: Connection) -> bool:
    """Whether this session may turn orders into promises, until `end_turn` or its own end."""
    return bool(await db.fetchval(LOCKS.ordering))


async def end_turn(db: Connection) -> None:
    """Another session may."""
    await db.execute(LOCKS.ordered)


async def due(db: Connection, now: datetime, limit: int) -> list[OrderEvent]:
    """What is to be looked at, in the order in which it came."""
    return [OrderEvent(*row.values()) for row in await db.fetch(SQL.due, now, limit)]


async def reservations_of(db: Connection, orders: Iterable[OrderKey]) -> dict[OrderKey, int]:
    """The newest reservation of each of these orders that has one."""
    wanted = sorted(set(orders))
    rows = await db.fetch(SQL.reservation_of, [key[0] for key in wanted], [key[1] for key in wanted])
    return {(row["channel"], row["order_ref"]): row["reservation_id"] for row in rows}


async def settle(db: Connection, became: Sequence[Became], now: datetime) -> None:
    rows = ((each.fact_id, each.status, each.code, each.reservation_id, each.due_at) for each in became)
    await db.execute(SQL.settle, tuples(("a", "s", "c", "r", "d"), rows), now)


async def withdraw(db: Connection, cancelled: Sequence[OrderEvent], now: datetime) -> set[OrderKey]:
    """End orders that wait and are cancelled now; which these were."""
    rows = tuples(("a", "c", "o"), ((each.fact_id, *each.order) for each in cancelled))
    return {(row["channel"], row["order_ref"]) for row in await db.fetch(SQL.withdraw, rows, now)}


async def wake(db: Connection, orders: Iterable[OrderKey], now: datetime) -> None:
    """Cancellations that waited for these orders are looked at again."""
    await db.execute(SQL.wake, tuples(("c", "o"), sorted(set(orders))), now)
