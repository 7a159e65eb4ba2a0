"""A seller at a hub: reserves, confirms, allocates, releases, in a few words, over the real lane's own batch."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from evenstock.core.events import ItemRef
from evenstock.core.quantity import Quantity
from evenstock.core.reservations import Answer, Confirm, Release
from evenstock.pipeline.apply import Memory
from evenstock.pipeline.bases import bases
from evenstock.pipeline.promise import (
    No,
    Promising,
    WantAllocate,
    Wanted,
    WantedLine,
    WantReserve,
    promise,
    sweep,
)
from evenstock.postgres import channels, faults
from evenstock.postgres.attention import Filter, exceptions
from evenstock.postgres.database import Connection, Database
from evenstock.postgres.stock import LocationNames, positions_of
from hub import NOW, TRIES

CLAIMED = "select reserved, allocated from positions join items using (item_id) join locations using (location_id) where sku = $1 and id = $2"


class Seller:
    """One lane of promises: a connection and what it remembers. Its clock stands until it is moved."""

    def __init__(self, db: Connection, now: datetime = NOW) -> None:
        self.db = db
        self.now = now
        self.memory = Promising(Memory(), LocationNames())

    async def channel(self, id_: str, *locations: str, safety_stock: int = 0) -> None:
        row = {
            "id": id_, "name": None, "locations": list(locations), "safety_stock": safety_stock, "connection": None,
            "hold_s": 900, "unpaid_s": 86_400, "publish_on": "hub_commit",
        }  # fmt: skip
        await channels.upsert_channels(self.db, [row], self.now, bases())

    async def do(self, *wanted: Wanted) -> list[Answer | No]:
        """A batch, done again when it met another's locks."""
        for attempt in range(TRIES):
            try:
                return await promise(self.db, self.memory, wanted, lambda: self.now)
            except faults.TRANSIENT:
                if attempt == TRIES - 1:
                    raise
        raise AssertionError

    async def said(self, *wanted: Wanted) -> list[str]:
        """The same, each answer in a word: its code, or else the reservation's status."""
        return [word(answer) for answer in await self.do(*wanted)]

    async def hold(self, order_ref: str | None, sku: str = "TEE", quantity: int = 1, **more: Any) -> int:
        """A reservation that must be granted; its number."""
        return number(only(await self.do(wish(order_ref, (sku, quantity), **more))))

    async def sweep(self) -> int:
        return await sweep(self.db, self.memory, lambda: self.now)

    async def claimed(self, sku: str = "TEE", location: str = "A") -> tuple[int, int]:
        """Reserved and allocated, as the position has them."""
        row = await self.db.fetchrow(CLAIMED, sku, location)
        return (0, 0) if row is None else (row["reserved"], row["allocated"])

    async def offer(self, sku: str = "TEE") -> int:
        """What may be promised, as it is answered now."""
        found = await positions_of(self.db, [sku], self.memory.names, self.now)
        return int(found[sku].available_to_sell)

    async def open_details(self, code: str) -> list[str]:
        rows = await exceptions(self.db, Filter(code=code), None, 100, self.now)
        return [row.detail for row in rows]

    async def ledger(self) -> list[tuple[Any, ...]]:
        """Everything that a refusal must not change."""
        return [
            tuple(row.values())
            for table in (
                "claim_entries",
                "reservations",
                "claims",
                "batches",
                "positions",
                "idempotency_keys",
            )
            for row in await self.db.fetch(f"select * from {table} order by 1, 2")  # noqa: S608
        ]


@asynccontextmanager
async def seller(database: Database, now: datetime = NOW) -> AsyncIterator[Seller]:
    db = await database.connect(application="tests")
    try:
        yield Seller(db, now)
    finally:
        await db.close()


def wish(
    order_ref: str | None,
    *lines: tuple[str, int],
    at: str | None = "A",
    channel: str | None = None,
    partial: bool = False,
    seconds: int | None = None,
    key: str | None = None,
) -> WantReserve:
    """A request to reserve; picked up at A unless a channel says where."""
    return WantReserve(
        connection_id=0,
        channel=channel,
        order_ref=order_ref,
        lines=tuple(
            WantedLine(str(index), ItemRef(sku=sku), Quantity(quantity), None, None if channel else at)
            for index, (sku, quantity) in enumerate(lines, 1)
        ),
        all_or_nothing=not partial,
        expires_in=None if seconds is None else timedelta(seconds=seconds),
        request=None if key is None else ("tests", key),
        digest=repr((order_ref, lines)).encode() if key else b"",
    )


def some_of(reservation_id: int, *lines: tuple[str, int | None], key: str = "k") -> Release:
    wanted = tuple((line, None if units is None else Quantity(units)) for line, units in lines)
    return Release(reservation_id, key, repr(lines).encode(), None, wanted)


def confirm(reservation_id: int, *, paid: bool = True) -> Confirm:
    return Confirm(reservation_id, paid)


def allocate(reservation_id: int, location: str | None = None) -> WantAllocate:
    return WantAllocate(reservation_id, location)


def only(answers: list[Answer | No]) -> Answer:
    (answer,) = answers
    assert isinstance(answer, Answer), answer
    return answer


def number(answer: Answer) -> int:
    return int(answer.reservation.id.removeprefix("rsv_"))


def word(answer: Answer | No) -> str:
    return answer.problem.code if isinstance(answer, No) else answer.reservation.status
