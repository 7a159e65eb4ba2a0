"""A hub in a few words: masters made, events read as at the door and applied, and the ledger asked in plain numbers."""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from model import Fact, Key, Line

from evenstock.core.ledger import BUCKETS, Vector
from evenstock.core.quantity import Factor
from evenstock.core.reading import Received, read_event
from evenstock.pipeline.apply import Incoming, Memory, Result, apply
from evenstock.pipeline.release import release
from evenstock.postgres import faults, masters, stock
from evenstock.postgres.database import Connection, Database
from evenstock.postgres.stock import LocationNames
from evenstock.postgres.verify import violations

NOW = datetime(2026, 3, 4, 9, tzinfo=UTC)  # after all that the tests tell of
TRIES = 5  # of a batch that met another's locks
STEP = timedelta(seconds=1)  # from one batch to the next

TYPES = {
    "sale": "SaleRecorded.v1",
    "return": "ReturnReceived.v1",
    "receipt": "GoodsReceived.v1",
    "ship": "TransferShipped.v1",
    "receive": "TransferReceived.v1",
    "adjust": "InventoryAdjusted.v1",
    "dispose": "DispositionDecided.v1",
    "ship_order": "ShipmentConfirmed.v1",
    "count": "StockCounted.v1",
    "order": "OrderPlaced.v1",
    "cancel": "OrderCancelled.v1",
    "void": "FactVoided.v1",
    "void_count": "CountVoided.v1",
}


class Hub:
    """One writer: a connection, what it remembers, and a clock that goes on with every batch."""

    def __init__(self, db: Connection, now: datetime = NOW) -> None:
        self.db = db
        self.now = now
        self.memory = Memory()
        self.names = LocationNames()
        self.seq = 0  # of the last batch
        self.retries = 0  # of batches that met another's locks

    async def connections(self, *ids: str) -> None:
        await masters.add_connections(self.db, ids, "api", self.now)

    async def locations(self, *ids: str, count_policy: str = "low") -> list[str]:
        """Make locations; return what may have waited for them."""
        rows: list[dict[str, Any]] = [
            {
                "id": id_, "name": None, "type": "store", "timezone": "UTC", "region": None, "count_policy": count_policy,
            }
            for id_ in ids
        ]  # fmt: skip
        return await masters.upsert_locations(self.db, rows, self.now)

    async def items(self, *skus: str, scale: int = 0, **uoms: int) -> list[str]:
        """Make or change items; return what may have waited for them."""
        factors = {uom: Factor(number) for uom, number in uoms.items()}
        rows: list[dict[str, Any]] = [
            {
                "sku": sku, "name": None, "base_uom": "EA", "scale": scale, "gtins": [], "codes": {}, "uoms": factors, "value": None,
            }
            for sku in skus
        ]  # fmt: skip
        return await masters.upsert_items(self.db, rows, self.now)

    async def apply(self, *events: dict[str, Any], received_at: datetime | None = None) -> list[Result]:
        """Apply a batch of events as they would come in, and tell what became of each."""
        ids = await masters.connections(self.db)
        incoming = []
        for entry in map(read_event, events):
            assert isinstance(entry, Received), entry
            incoming.append(
                Incoming(entry.event, entry.body, ids[entry.event.source], received_at or self.now)
            )
        self.now += STEP
        for attempt in range(TRIES):
            try:
                applied = await apply(self.db, self.memory, incoming, self.now)
                break
            except faults.TRANSIENT:
                self.memory = Memory()
                self.retries += 1
                if attempt == TRIES - 1:
                    raise
        self.seq = applied.ledger_seq
        return applied.results

    async def answers(self, *events: dict[str, Any], received_at: datetime | None = None) -> list[str]:
        """The same, each answer in a word: its code, or else its outcome."""
        return [
            result.code or result.outcome for result in await self.apply(*events, received_at=received_at)
        ]

    async def release(self, subjects: Sequence[str]) -> int:
        """Book what waited for these."""
        self.now += STEP
        return await release(self.db, self.memory, subjects, self.now)

    async def units(self, sku: str, location: str) -> Vector:
        """The balances of a position, now."""
        row = await self.db.fetchrow(
            "select sellable, quarantine, damaged, in_transit from positions "
            "join items using (item_id) join locations using (location_id) where sku = $1 and id = $2",
            sku,
            location,
        )
        return (0, 0, 0, 0) if row is None else tuple(row.values())

    async def then(
        self, sku: str, *, as_of: datetime | None = None, known_at: int | None = None
    ) -> dict[str, tuple[Vector, bool]]:
        """The answer for an item as of an instant, as known at a number: balances and `observed`, by location."""
        answer = await stock.position_then(
            self.db, sku, self.names, as_of=as_of, known_at=known_at, now=self.now
        )
        assert answer is not None
        return {
            each.id: (
                (int(each.sellable), int(each.quarantine), int(each.damaged), int(each.in_transit)),
                each.observed,
            )
            for each in answer.locations
        }

    async def places(self, skus: Collection[str]) -> dict[tuple[tuple[str, str], str], int]:
        """Units by place, boundaries below zero when they gave, summed from the movements."""
        rows = await self.db.fetch(
            """
            select sku, l.id, place, sum(units)::bigint from (
                select item_id, location_id, from_place as place, -quantity as units from movements
                union all
                select item_id, location_id, to_place, quantity from movements
            ) m join items using (item_id) join locations l using (location_id)
            where sku = any ($1::text[])
            group by sku, l.id, place having sum(units) <> 0
            """,
            list(skus),
        )
        return {((sku, location), place): units for sku, location, place, units in rows}

    async def adjusted(self, sources: Collection[str]) -> dict[tuple[str, str, str], int]:
        """What each standing count adjusted, by (source, id, line)."""
        rows = await self.db.fetch(
            "select source, key, line, adjusted from counts where standing and source = any ($1::text[])",
            list(sources),
        )
        return {(source, key, line): units for source, key, line, units in rows}

    async def open_exceptions(self, *codes: str) -> list[tuple[str, str]]:
        """Code and subject of those that are open."""
        rows = await self.db.fetch(
            "select code, subject from exceptions where closed_at is null order by 1, 2"
        )
        return [(code, subject) for code, subject in rows if not codes or code in codes]

    async def broken(self) -> list[str]:
        """The invariants that do not hold."""
        return [str(violation) for violation in await violations(self.db)]


@asynccontextmanager
async def hub(database: Database, *sources: str) -> AsyncIterator[Hub]:
    """A writer on its own connection, with these sources."""
    db = await database.connect(application="tests")
    try:
        one = Hub(db)
        if sources:
            await one.connections(*sources)
        yield one
    finally:
        await db.close()


# Events -------------------------------------------------------------------------------------------------------------


def event(kind: str, id_: str, at: datetime | None, data: dict[str, Any], **envelope: Any) -> dict[str, Any]:
    """A canonical event, as a source sends it."""
    time = {} if at is None else {"time": at.isoformat()}
    return {
        "specversion": "1.0",
        "source": "pos",
        "id": id_,
        "type": TYPES[kind],
        **time,
        "data": data,
        **envelope,
    }


def line(sku: str, quantity: object, number: str = "1", **more: Any) -> dict[str, Any]:
    return {"line": number, "item": {"sku": sku}, "quantity": quantity, **more}


def told(fact: Fact) -> dict[str, Any]:
    """A fact of the model as the event that reports it."""
    data: dict[str, Any]
    if fact.target is not None:
        data = {"target": {"source": fact.target[0], "id": fact.target[1]}}
        if fact.kind == "void":
            data["goods"] = "never_left"
    elif fact.kind in {"ship", "receive"}:
        data = {"transfer": f"of {fact.source}", "from": fact.location, "to": fact.to_location}
    else:
        data = {"location": fact.location}
    if fact.kind == "count":
        data["opening"] = fact.opening
    if fact.lines:
        data["lines"] = [_line(fact, each) for each in fact.lines]
    return event(fact.kind, fact.id, fact.at, data, source=fact.source)


def _line(fact: Fact, told_line: Line) -> dict[str, Any]:
    each = line(told_line.item, told_line.quantity, told_line.line)
    match fact.kind:
        case "receipt" | "receive":
            each["condition"] = told_line.place
        case "adjust":
            each["delta"] = each.pop("quantity")
            each["bucket"] = told_line.place
        case "dispose":
            each["to"] = told_line.place
        case "count":
            each["bucket"] = told_line.place
            for name, at in (("counted_at", told_line.counted_at), ("started_at", told_line.started_at)):
                if at is not None:
                    each[name] = at.isoformat()
        case _:
            pass
    return each


def apart(facts: Iterable[Fact], mark: str) -> list[Fact]:
    """The same facts about items and from sources of their own, so that many tellings share a hub.

    Goods are shipped from what is for sale, whatever the model's fact says.
    """

    def key(of: Key) -> Key:
        return (of[0] + mark, of[1])

    def lines(fact: Fact) -> tuple[Line, ...]:
        return tuple(
            msgspec.structs.replace(
                each, item=each.item + mark, place="sellable" if fact.kind == "ship" else each.place
            )
            for each in fact.lines
        )

    return [
        msgspec.structs.replace(
            fact,
            source=fact.source + mark,
            lines=lines(fact),
            target=key(fact.target) if fact.target is not None else None,
        )
        for fact in facts
    ]


def vector(units: dict[str, int]) -> Vector:
    """Balances of which those not named are empty."""
    sellable, quarantine, damaged, in_transit = (units.get(bucket, 0) for bucket in BUCKETS)
    return (sellable, quarantine, damaged, in_transit)
