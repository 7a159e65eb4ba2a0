"""Exposures in PostgreSQL: what channels should see, what they were sent and confirmed; terms, tries and lanes."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from evenstock.core.booking import Booking
from evenstock.core.exposure import Terms
from evenstock.postgres import ledger, masters
from evenstock.postgres.database import Connection
from evenstock.postgres.queries import load
from evenstock.postgres.rows import document, tuples
from evenstock.postgres.stock import LocationNames

SQL: Final = load("exposures")
NUMBERS_MAX: Final = 200  # of the ledger, in one look

ExposureKey = tuple[int, int]  # channel_id, item_id


class BasisRow(
    msgspec.Struct,
    frozen=True,
    rename={"connector": "c", "buckets": "b", "own_orders_back": "o", "decimals": "d"},
):
    """What a number means to the systems of a connector (D9)."""

    connector: str
    buckets: tuple[str, ...]
    own_orders_back: bool
    decimals: int


class ChannelTerms(msgspec.Struct, frozen=True):
    """The terms of a channel since a number of the ledger."""

    channel_id: int
    ledger_seq: int
    location_ids: frozenset[int]
    connection_id: int | None
    waits: bool  # its numbers are released by the books
    terms: Terms


class Seen(msgspec.Struct, frozen=True):
    """An item in a look: its positions by column, why it is looked at, and what channels' own orders claim there."""

    item_id: int
    scale: int
    because: str
    trace_id: str | None
    columns: tuple[Sequence[int], ...] | None  # location_ids, four buckets, reserved, allocated
    own: Mapping[tuple[int, int], int]  # by channel_id and location_id


class Look(msgspec.Struct, frozen=True):
    """What a look saw, in one snapshot of the ledger."""

    ledger_seq: int  # the numbers are as of this
    upto: int  # what changed until here was seen
    terms_seq: int  # of the newest terms
    items: list[Seen]


class Intended(msgspec.Struct, frozen=True, rename={"channel_id": "c", "item_id": "i", "connection_id": "k", "units": "q", "because": "b", "trace_id": "t", "rank": "r"}):  # fmt: skip
    """A number that a channel should see from now on."""

    channel_id: int
    item_id: int
    connection_id: int | None
    units: int
    because: str
    trace_id: str | None
    rank: int


# Terms ---------------------------------------------------------------------------------------------------------------


async def write_terms(
    db: Connection, bases: Sequence[BasisRow], now: datetime, ids: Sequence[str] | None = None
) -> int:
    """Write the terms of channels that have others now, under one number of the ledger; how many there were.

    Of all channels, or of those with these ids and those of the connections with these ids. In the caller's transaction, which holds the version of the masters.
    """
    changed = await db.fetch(SQL.changed_terms, document(bases), ids)
    if not changed:
        return 0
    head = await ledger.begin(db)
    place = await ledger.write(db, head.batch_id, now, Booking())
    names = ("c", "l", "s", "k", "b", "o", "d")
    await db.execute(
        SQL.insert_terms, place.ledger_seq, tuples(names, (tuple(row.values()) for row in changed))
    )
    return len(changed)


async def renew_terms(db: Connection, bases: Sequence[BasisRow], now: datetime) -> int:
    """The same by itself: a connector of this program may mean something else by a number than it did before."""
    async with db.transaction():
        if not await db.fetch(SQL.changed_terms, document(bases), None):
            return 0
        await db.execute(masters.SQL.raise_version)
        return await write_terms(db, bases, now)


async def terms_now(db: Connection, names: LocationNames) -> tuple[list[ChannelTerms], int]:
    """The terms of every channel, and the number of the first terms that there ever were."""
    rows = await db.fetch(SQL.terms_now)
    known = await names.read(db, {location_id for row in rows for location_id in row["location_ids"]})
    found = [
        ChannelTerms(
            row["channel_id"],
            row["ledger_seq"],
            frozenset(row["location_ids"]),
            row["connection_id"],
            row["waits"],
            terms_of(row, known),
        )
        for row in rows
    ]
    return found, rows[0]["first_seq"] if rows else 0


def terms_of(row: Any, names: Mapping[int, str]) -> Terms:
    """A row of channel_terms as the rule knows it."""
    return Terms(
        frozenset(names[location_id] for location_id in row["location_ids"]),
        row["safety_stock"],
        tuple(row["buckets"]),
        row["own_orders_back"],
        row["decimals"],
    )


# Looking at what changed -----------------------------------------------------------------------------------------------


async def is_behind(db: Connection) -> bool:
    """Whether the ledger goes further than what channels should see."""
    return bool(await db.fetchval(SQL.behind))


async def take_turn(db: Connection) -> tuple[int, int] | None:
    """Until where the ledger was looked at, and the revision; None when another process is at it."""
    row = await db.fetchrow(SQL.take_turn)
    return None if row is None else (row["ledger_seq"], row["revision"])


async def wait_turn(db: Connection) -> None:
    """Wait until nobody looks, and let nobody look before the caller's transaction ends."""
    await db.execute(SQL.wait_turn)


async def end_turn(db: Connection, ledger_seq: int, revision: int) -> None:
    await db.execute(SQL.end_turn, ledger_seq, revision)


async def begin_refreshes(db: Connection, channel_ids: Sequence[int]) -> None:
    """All numbers of these channels are computed anew, from the first item on."""
    await db.execute(SQL.begin_refreshes, list(channel_ids))


async def to_refresh(db: Connection, limit: int) -> list[ExposureKey]:
    """The next items of channels that are computed anew, at most `limit` of each channel."""
    return [(row["channel_id"], row["item_id"]) for row in await db.fetch(SQL.to_refresh, limit)]


async def refreshing(db: Connection) -> list[int]:
    return [row["channel_id"] for row in await db.fetch(SQL.refreshing)]


async def advance_refresh(db: Connection, channel_id: int, after_item_id: int) -> None:
    await db.execute(SQL.advance_refresh, channel_id, after_item_id)


async def end_refresh(db: Connection, channel_id: int) -> None:
    await db.execute(SQL.end_refresh, channel_id)


async def look(
    db: Connection,
    after: int,
    items: Sequence[int],
    own_orders_back: Sequence[int],
    location_ids: Iterable[int],
) -> Look:
    """What changed after a number of the ledger, and these items besides."""
    rows = await db.fetch(
        SQL.look, after, NUMBERS_MAX, list(items), list(own_orders_back), sorted(location_ids)
    )
    first = rows[0]  # the head, with or without an item
    return Look(first[0], first[1], first[2] or 0, [_seen(row) for row in rows if row[3] is not None])


def _seen(row: Any) -> Seen:
    own = {(channel_id, location_id): 0 for channel_id, location_id, _ in _own(row[14])}
    for channel_id, location_id, units in _own(row[14]):
        own[channel_id, location_id] += units
    columns = None if row[7] is None else tuple(row[index] for index in range(7, 14))
    return Seen(row[3], row[4], row[5] or "terms", row[6], columns, own)


def _own(text: str | None) -> list[tuple[int, int, int]]:
    return msgspec.json.decode(text, type=list[tuple[int, int, int]]) if text else []


async def known(db: Connection, item_ids: Sequence[int]) -> dict[ExposureKey, tuple[int | None, int | None]]:
    """What channels were last meant to see of these items, in units, and for which connection; None: what waits counts no more."""
    rows = await db.fetch(SQL.known, list(item_ids))
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}


async def intend(
    db: Connection, numbers: Sequence[Intended], ledger_seq: int, revision: int, now: datetime
) -> list[ExposureKey]:
    """Write new numbers; return those that need not be told, because the system has them already."""
    rows = await db.fetch(SQL.intend, document(numbers), ledger_seq, now, revision)
    return [(row["channel_id"], row["item_id"]) for row in rows if row["is_told"]]
