"""What may be promised: the buckets and claims of positions, and available_to_sell (DESIGN §5)."""

from collections.abc import Container, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, cast

import msgspec

from evenstock.core.ledger import Vector
from evenstock.core.quantity import as_number

Number = int | Decimal
Units = tuple[int, int, int, int, int, int, int, int, int]  # of a Balance, in the order of its fields
Amounts = tuple[Number, Number, Number, Number, Number, Number, Number, Number, Number]
Held = tuple[
    str, int, int, int, int, int, int
]  # a location, what it holds by bucket, reserved, allocated: in units
NOTHING: Final[Units] = (0, 0, 0, 0, 0, 0, 0, 0, 0)


class PositionRow(msgspec.Struct, frozen=True, gc=False):
    """A position of an item: where, and how much, in units."""

    location: str
    buckets: Vector
    reserved: int = 0
    allocated: int = 0
    safety_stock: int = 0
    observed: bool = True
    own: int = 0  # of reserved and allocated: for orders of the channel that asks

    @property
    def offer(self) -> int:
        """What this location may promise: never below zero."""
        return offered(self.buckets[0], self.reserved, self.allocated, self.safety_stock)


def offered(sellable: int, reserved: int, allocated: int, safety_stock: int = 0) -> int:
    """What a location may promise: never below zero (DESIGN §5)."""
    free = sellable - reserved - allocated - safety_stock
    return free if free > 0 else 0  # noqa: FURB136 - cheaper than max(), and done for every location of every answer


class Balance(msgspec.Struct, frozen=True, gc=False):
    """Buckets and claims, in the item's base unit."""

    on_hand: Number
    sellable: Number
    quarantine: Number
    damaged: Number
    in_transit: Number
    reserved: Number
    allocated: Number
    safety_stock: Number
    available_to_sell: Number


class LocationBalance(Balance, frozen=True, gc=False, omit_defaults=True):
    """What one location holds; `observed` is false before its first count or receipt (C8)."""

    id: str
    observed: bool = True


class WaitsFor(msgspec.Struct, frozen=True, gc=False):
    """What holds a number back: the books of a connection have not acknowledged what is behind it (D7).

    `posting` holds the first movement that they lack, null while it is not made; `refused` is what they said of it.
    """

    connection: str
    since: datetime
    posting: str | None = None
    refused: str | None = None

    def words(self, since: str) -> str:
        """In plain words, with the time since when as it is written there."""
        what = f"posting {self.posting}" if self.posting else "what is in no posting yet"
        refused = f" {self.connection} refused it: {self.refused}" if self.refused else ""
        return f"waits for {self.connection}'s confirmation of {what}, {since}.{refused}"


class Exposed(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a channel should see of an item, what it was sent, and what it confirmed, each with its version.

    `status`: told, owed (waits to be sent), unknown (sent, and nobody knows whether it arrived), refused, withheld (there is nobody
    to tell, it is not to be told, or it waits for an ERP's books: `waits_for`).
    """

    status: str
    intended: Number
    version: int
    sent: Number | None = None
    sent_version: int | None = None
    sent_at: datetime | None = None
    acked: Number | None = None
    acked_version: int | None = None
    acked_at: datetime | None = None
    waits_for: WaitsFor | None = None


class Availability(Balance, frozen=True, gc=False, omit_defaults=True):
    """An item over its locations, in total and each by itself, as of an instant and as known at a ledger_seq.

    For a `channel`: over its locations, after the safety stock it keeps back from each; `exposure` is what it was told.
    """

    sku: str
    as_of: datetime
    ledger_seq: int
    locations: list[LocationBalance]
    channel: str | None = None
    exposure: Exposed | None = None


def availability(
    sku: str, scale: int, as_of: datetime, ledger_seq: int, rows: Sequence[PositionRow]
) -> Availability:
    """The answer for one item, from its positions; locations in the order of their ids."""
    ordered = sorted(rows, key=lambda row: row.location)
    units = [_units(row) for row in ordered]
    totals = cast(Units, tuple(map(sum, zip(*units, strict=True)))) if units else NOTHING
    return Availability(
        *_amounts(totals, scale),
        sku,
        as_of,
        ledger_seq,
        [
            LocationBalance(*_amounts(found, scale), row.location, row.observed)
            for row, found in zip(ordered, units, strict=True)
        ],
    )


def availability_now(
    sku: str, scale: int, as_of: datetime, ledger_seq: int, held: Iterable[Held]
) -> Availability:
    """The same from bare numbers, without a record for each position: half of what asking for many items costs."""
    if scale != 0:
        rows = [PositionRow(place, (s, q, d, t), r, a) for place, s, q, d, t, r, a in held]
        return availability(sku, scale, as_of, ledger_seq, rows)
    ordered = sorted(held)
    balances = [
        LocationBalance(s + q + d, s, q, d, t, r, a, 0, offered(s, r, a), place)
        for place, s, q, d, t, r, a in ordered
    ]
    if not ordered:
        return Availability(*NOTHING, sku, as_of, ledger_seq, balances)
    _, *columns = zip(*ordered, strict=True)
    s, q, d, t, r, a = map(sum, columns)
    offer = sum([balance.available_to_sell for balance in balances])
    return Availability(s + q + d, s, q, d, t, r, a, 0, offer, sku, as_of, ledger_seq, balances)


def _units(row: PositionRow) -> Units:
    """What a location holds; the units of several just add up."""
    sellable, quarantine, damaged, in_transit = row.buckets
    return (
        sellable + quarantine + damaged, sellable, quarantine, damaged, in_transit,
        row.reserved, row.allocated, row.safety_stock, row.offer,
    )  # fmt: skip


def _amounts(units: Units, scale: int) -> Amounts:
    """Units as they are answered; where the smallest unit is the base unit, just so."""
    return units if scale == 0 else cast(Amounts, tuple(as_number(number, scale) for number in units))


def of_location(found: Availability, location: str) -> Availability:
    """The same answer for one location only; nothing when there is no stock of the item."""
    return _over(found, [balance for balance in found.locations if balance.id == location])


def of_channel(
    found: Availability, channel: str, locations: Container[str], safety_stock: int, exposure: Exposed | None
) -> Availability:
    """The same answer for a channel: its locations only, each with the base units that it keeps back."""
    kept = [_kept_back(balance, safety_stock) for balance in found.locations if balance.id in locations]
    return msgspec.structs.replace(_over(found, kept), channel=channel, exposure=exposure)


def _kept_back(balance: LocationBalance, safety_stock: int) -> LocationBalance:
    free = balance.sellable - balance.reserved - balance.allocated - safety_stock
    return msgspec.structs.replace(balance, safety_stock=safety_stock, available_to_sell=max(0, free))


def _over(found: Availability, kept: list[LocationBalance]) -> Availability:
    amounts = {
        name: sum((getattr(balance, name) for balance in kept), start=0) for name in Balance.__struct_fields__
    }
    return msgspec.structs.replace(found, locations=kept, **amounts)
