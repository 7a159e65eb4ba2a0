"""Channels, and the connections behind them: read into `Masters` as batches need them, changed by upserts."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from evenstock.core.channels import Channel, Terms
from evenstock.core.errors import Refusal
from evenstock.core.masters import Masters
from evenstock.postgres import exposures, lanes, owners, policies, postings, workers
from evenstock.postgres import masters as stored
from evenstock.postgres.database import Connection, Record
from evenstock.postgres.exposures import BasisRow
from evenstock.postgres.queries import load
from evenstock.postgres.rows import document

SQL: Final = load("channels")
MASTERS: Final = load("masters")


def terms(row: Record) -> Terms:
    """What a channel's row says about reservations; without a channel, what holds for everybody."""
    if row["location_ids"] is None:
        return Terms()
    return Terms(
        tuple(row["location_ids"]),
        row["safety_stock"],
        timedelta(seconds=row["hold_s"]),
        timedelta(seconds=row["unpaid_s"]),
    )


async def read_missing(db: Connection, masters: Masters, names: Iterable[str]) -> None:
    """Read the channels that `masters` does not have yet."""
    if unknown := sorted({name for name in names if name not in masters.channels}):
        for row in await db.fetch(SQL.by_id, unknown):
            masters.channels[row["id"]] = Channel(row["channel_id"], row["id"], terms(row))


async def upsert_channels(
    db: Connection, channels: Sequence[dict[str, Any]], now: datetime, bases: Sequence[BasisRow]
) -> None:
    """Make or change channels in one transaction, and their terms; `bases` is what numbers mean to each connector.

    Each: id, name, locations (ids in order), safety_stock, connection, hold_s, unpaid_s, publish_on, confirmed_by.
    Raises Refusal `stock.unknown_location`, `connection.unknown`, `channel.no_books`.
    """
    async with db.transaction():
        await exposures.wait_turn(db)  # no number is decided by the old policy while the new one is written
        await db.execute(stored.SQL.raise_version)
        ids = [channel["id"] for channel in channels]
        before = await policies.read(db, ids)
        names = sorted({name for channel in channels for name in channel["locations"]})
        locations = {row["id"]: row["location_id"] for row in await db.fetch(MASTERS.locations_by_id, names)}
        connections = await stored.connections(db)
        books = await policies.kept_books(db)
        rows = []
        for index, channel in enumerate(channels):
            for place, name in enumerate(channel["locations"]):
                if name not in locations:
                    pointer = f"/channels/{index}/locations/{place}"
                    raise Refusal("stock.unknown_location", f"There is no location `{name}`.", pointer)
            connection = channel["connection"]
            if connection is not None and connection not in connections:
                raise Refusal(
                    "connection.unknown",
                    f"There is no connection `{connection}`.",
                    f"/channels/{index}/connection",
                )
            rows.append(
                {
                    "i": channel["id"],
                    "n": channel["name"],
                    "l": [locations[name] for name in channel["locations"]],
                    "s": channel["safety_stock"],
                    "c": connections.get(connection),
                    "h": channel["hold_s"],
                    "u": channel["unpaid_s"],
                    "p": channel["publish_on"],
                    "b": policies.confirmer(channel, connections, books, f"/channels/{index}"),
                    "m": channel.get("confirmed_by") is not None,
                }
            )
        await db.execute(SQL.upsert, document(rows), now)
        await policies.change(db, before, await policies.read(db, ids))
        await exposures.write_terms(db, bases, now, ids)
        await owners.decide(db, now)


async def upsert_connections(
    db: Connection, connections: Sequence[dict[str, Any]], now: datetime, bases: Sequence[BasisRow]
) -> None:
    """Make or change connections: id, connector, settings; closed, calls_per_s, flow, expect_within_s, books and works where they are said.

    What was paused for its settings is tried again. Raises Refusal `channel.no_books`, `stock.unknown_location`, `connection.works`.
    """
    rows = [
        {
            "i": c["id"],
            "c": c["connector"],
            "s": c["settings"],
            "w": c.get("closed", ()),
            "r": c.get("calls_per_s"),
            "f": c.get("flow", "live"),
            "e": c.get("expect_within_s"),
        }
        for c in connections
    ]
    async with db.transaction():
        await db.execute(stored.SQL.raise_version)
        await policies.check_kept(db, connections)
        await db.execute(SQL.upsert_connections, document(rows), now)
        for each in connections:
            await postings.keep_books(db, each["id"], each.get("books"))
        await lanes.resume(db, [c["id"] for c in connections], now)
        await workers.put_to_work(db, connections, now)
        await exposures.write_terms(db, bases, now, [c["id"] for c in connections])
        await owners.decide(db, now)


class Standing(msgspec.Struct, frozen=True):
    """How a connection stands."""

    id: str
    connector: str
    flow: str
    handling: str
    reason: str | None  # that a person gave
    stopped: str | None  # why nothing is sent until its settings change
    failures: int  # in a row
    not_before: datetime | None
    calls_per_s: float | None  # that its own answers taught
    numbers_owed: int
    postings_owed: int
    commands_owed: int


async def standing(db: Connection) -> list[Standing]:
    """Every connection, and how it stands."""
    return [Standing(*row.values()) for row in await db.fetch(SQL.standing)]


async def handle(db: Connection, id_: str, handling: str, now: datetime, why: str | None) -> bool:
    """What a person says of a connection; whether there is one."""
    async with db.transaction():
        if await db.fetchval(SQL.handle, id_, handling, now, why) is None:
            return False
        if handling == "running":
            await lanes.wake(db, id_, now)
    return True


async def every_connection(db: Connection) -> dict[int, tuple[str, str, str]]:
    """All connections by number: id, connector, and settings as JSON."""
    return {
        number: (id_, connector, settings)
        for number, id_, connector, settings in await db.fetch(SQL.every_connection)
    }
