"""What may be promised: the buckets and claims of positions, and available_to_sell (DESIGN §5)."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from evenstock.core.ledger import Vector
from evenstock.core.quantity import as_number

Number = int | Decimal


class PositionRow(msgspec.Struct, frozen=True, gc=False):
    """A position of an item: where, and how much, in units."""

    location: str
    buckets: Vector
    reserved: int = 0
    allocated: int = 0
    safety_stock: int = 0
    observed: bool = True

    @property
    def offer(self) -> int:
        """What this location may promise: never below zero."""
        return max(0, self.buckets[0] - self.reserved - self.allocated - self.safety_stock)


class Balance(msgspec.Struct, frozen=True, gc=False, kw_only=True):
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


class LocationBalance(Balance, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What one location holds; `observed` is false before its first count or receipt (C8)."""

    id: str
    observed: bool = True


class Availability(Balance, frozen=True, gc=False, kw_only=True):
    """An item over its locations, in total and each by itself, as of an instant and as known at a ledger_seq."""

    sku: str
    as_of: datetime
    ledger_seq: int
    locations: list[LocationBalance]


def availability(
    sku: str, scale: int, as_of: datetime, ledger_seq: int, rows: Sequence[PositionRow]
) -> Availability:
    """The answer for one item, from its positions; locations in the order of their ids."""
    ordered = sorted(rows, key=lambda row: row.location)
    sellable = quarantine = damaged = in_transit = reserved = allocated = safety = offer = 0
    for row in ordered:
        sellable += row.buckets[0]
        quarantine += row.buckets[1]
        damaged += row.buckets[2]
        in_transit += row.buckets[3]
        reserved += row.reserved
        allocated += row.allocated
        safety += row.safety_stock
        offer += row.offer
    return Availability(
        sku=sku,
        as_of=as_of,
        ledger_seq=ledger_seq,
        on_hand=as_number(sellable + quarantine + damaged, scale),
        sellable=as_number(sellable, scale),
        quarantine=as_number(quarantine, scale),
        damaged=as_number(damaged, scale),
        in_transit=as_number(in_transit, scale),
        reserved=as_number(reserved, scale),
        allocated=as_number(allocated, scale),
        safety_stock=as_number(safety, scale),
        available_to_sell=as_number(offer, scale),
        locations=[_balance(row, scale) for row in ordered],
    )


def _balance(row: PositionRow, scale: int) -> LocationBalance:
    sellable, quarantine, damaged, in_transit = row.buckets
    return LocationBalance(
        id=row.location,
        observed=row.observed,
        on_hand=as_number(sellable + quarantine + damaged, scale),
        sellable=as_number(sellable, scale),
        quarantine=as_number(quarantine, scale),
        damaged=as_number(damaged, scale),
        in_transit=as_number(in_transit, scale),
        reserved=as_number(row.reserved, scale),
        allocated=as_number(row.allocated, scale),
        safety_stock=as_number(row.safety_stock, scale),
        available_to_sell=as_number(row.offer, scale),
    )


def of_location(found: Availability, location: str) -> Availability:
    """The same answer for one location only; nothing when there is no stock of the item."""
    kept = [balance for balance in found.locations if balance.id == location]
    amounts = {
        name: sum((getattr(balance, name) for balance in kept), start=0) for name in Balance.__struct_fields__
    }
    return Availability(
        sku=found.sku, as_of=found.as_of, ledger_seq=found.ledger_seq, locations=kept, **amounts
    )
