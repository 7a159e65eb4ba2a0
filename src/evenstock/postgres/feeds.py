"""What changed since a place in commit order, for whoever follows: what channels should see, or how items stand."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec

from evenstock.core.availability import Number
from evenstock.core.quantity import as_number
from evenstock.postgres.database import Connection
from evenstock.postgres.queries import load
from evenstock.postgres.stock import LocationNames, positions_of

SQL: Final = load("feeds")
PAGE: Final = 500  # changes read at once
NUMBERS_MAX: Final = 200  # of the ledger, looked through at once
BEHIND_MAX: Final = (
    100_000  # numbers of the ledger that a stream catches up with; beyond it asking for all is cheaper
)
NUMBER_MAX: Final = 2**62

Place = tuple[int, int, int]
_json = msgspec.json.Encoder(decimal_format="number")


class Change(msgspec.Struct, frozen=True):
    """One change: where it stands in the order, what it is about, and what is said of it."""

    place: Place
    channel: str | None
    sku: str
    document: bytes


class ChannelChange(msgspec.Struct, frozen=True):
    """A number that a channel should see from now on."""

    sku: str
    channel: str
    intended: Number
    was: Number | None
    version: int
    ledger_seq: int
    computed_at: datetime
    because: str
    trace_id: str | None


class StockChange(msgspec.Struct, frozen=True):
    """How an item stands now, over all locations."""

    sku: str
    on_hand: Number
    sellable: Number
    reserved: Number
    allocated: Number
    available_to_sell: Number
    ledger_seq: int


class Source(Protocol):
    """Where changes come from, in commit order."""

    kind: str

    async def head(self, db: Connection) -> Place:
        """The place of the newest change."""
        ...

    async def page(
        self, db: Connection, after: Place, upto: Place, channel: str | None, sku: str | None
    ) -> tuple[list[Change], Place]:
        """The next changes behind a place, and the place until which there are no more; `upto` when it is done."""
        ...

    def reaches(self, place: Place, head: Place) -> bool:
        """Whether what came after this place can still be told."""
        ...


class Exposures:
    """What channels should see."""

    kind = "x"

    async def head(self, db: Connection) -> Place:
        return (int(await db.fetchval(SQL.exposures_head)), NUMBER_MAX, NUMBER_MAX)

    async def page(
        self, db: Connection, after: Place, upto: Place, channel: str | None, sku: str | None
    ) -> tuple[list[Change], Place]:
        rows = await db.fetch(SQL.exposures_page, after[0], *_integers(after), upto[0], channel, sku, PAGE)
        found = [
            Change((row[0], row[1], row[2]), row["channel"], row["sku"], _channel_change(row)) for row in rows
        ]
        return found, found[-1].place if len(found) == PAGE else upto

    def reaches(self, place: Place, head: Place) -> bool:
        return place[0] <= head[0]


class Stock:
    """How items stand. The third number of a place is the epoch of the fence."""

    kind = "s"

    def __init__(self, names: LocationNames) -> None:
        self._names = names

    async def head(self, db: Connection) -> Place:
        row = await db.fetchrow(SQL.stock_head)
        assert row is not None  # noqa: S101 - the ledger has one head
        return (row["ledger_seq"], NUMBER_MAX, row["epoch"])

    async def page(
        self, db: Connection, after: Place, upto: Place, channel: str | None, sku: str | None
    ) -> tuple[list[Change], Place]:
        del channel  # stock is nobody's
        last = min(upto[0], after[0] + NUMBERS_MAX)
        rows = await db.fetch(SQL.stock_page, after[0], _integers(after)[0], last, sku)
        stands = await positions_of(db, [row["sku"] for row in rows], self._names, _ANY_TIME) if rows else {}
        found = [
            Change(
                (row["ledger_seq"], row["item_id"], upto[2]),
                None,
                row["sku"],
                _json.encode(_stock_change(stands[row["sku"]])),
            )
            for row in rows
        ]
        return found, upto if last == upto[0] else (last, NUMBER_MAX, upto[2])

    def reaches(self, place: Place, head: Place) -> bool:
        return head[0] - BEHIND_MAX <= place[0] <= head[0] and place[2] == head[2]


_ANY_TIME: Final = datetime.fromisoformat(
    "1970-01-01T00:00:00+00:00"
)  # no hold is over its time then: each end is a change


def _integers(place: Place) -> tuple[int, int]:
    """The second and third number of a place, as the database keeps such numbers."""
    return min(place[1], 2**31 - 1), min(place[2], 2**31 - 1)


def _channel_change(row: Any) -> bytes:
    was = None if row["was"] is None else as_number(row["was"], row["scale"])
    return _json.encode(
        ChannelChange(
            row["sku"], row["channel"], as_number(row["intended"], row["scale"]), was, row["version"], row["ledger_seq"],
            row["computed_at"], row["because"], row["trace_id"],
        )
    )  # fmt: skip


def _stock_change(found: Any) -> StockChange:
    return StockChange(
        found.sku,
        found.on_hand,
        found.sellable,
        found.reserved,
        found.allocated,
        found.available_to_sell,
        found.ledger_seq,
    )


async def key_is_good(db: Connection, key_id: str) -> bool:
    """Whether a key still opens anything."""
    return bool(await db.fetchval(SQL.key_is_good, key_id))


def place_id(kind: str, place: Place) -> str:
    """A place as an opaque text."""
    return urlsafe_b64encode(".".join((kind, *map(str, place))).encode()).decode().rstrip("=")


def place_of(kind: str, text: str) -> Place | None:
    """The place that a text names; None when it is none of this kind of ours."""
    try:
        found, *numbers = (
            urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)).decode("ascii").split(".")
        )
    except (ValueError, UnicodeError):
        return None
    if found != kind or len(numbers) != 3 or not all(each.isdigit() and len(each) < 20 for each in numbers):
        return None
    place: Sequence[int] = [int(each) for each in numbers]
    return (place[0], place[1], place[2]) if max(place) <= NUMBER_MAX else None
