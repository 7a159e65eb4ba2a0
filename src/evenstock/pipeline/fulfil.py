"""Shipments fulfil claims, in the transaction that books what left (K4); a shipment that never was gives them back.

The physical side is never refused. Claims are found before the locks, only to know which positions to lock, and read again
under them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby

import msgspec

from evenstock.core.booking import Position, PositionKey
from evenstock.core.intake import Fact
from evenstock.core.reservations import ClaimBook, Dock, Locked, Shipped, Unforeseen
from evenstock.postgres import promises
from evenstock.postgres.database import Connection


class ClaimsMoved(Exception):  # noqa: N818 - not an error: the batch is done again with fresh eyes
    """A claim was moved to a position that this batch has not locked."""


class Shipping(msgspec.Struct):
    """What a batch does to claims, and where."""

    facts: Sequence[Fact] = ()
    voided: Sequence[int] = ()  # shipments that never were: fact ids
    before: Sequence[Shipped] = ()  # what those had shipped
    ids: set[int] = set()
    spots: set[PositionKey] = set()

    def __bool__(self) -> bool:
        return bool(self.facts or self.voided)


async def foresee(db: Connection, facts: Sequence[Fact], voids: Sequence[tuple[int, int, str]]) -> Shipping:
    """Whose claims are fulfilled or given back, and where they stand."""
    voided = [target for target, _, goods in voids if goods == "never_left"]
    if not facts and not voided:
        return Shipping()
    own = {fact.fact_id for fact in facts}
    before = await promises.shipments_of(db, voided) if voided else []
    voided = [id_ for id_ in voided if id_ in own or any(shipped.fact_id == id_ for shipped in before)]
    shipping = Shipping(facts, voided, before)
    if not shipping:
        return shipping
    orders = [fact.order for fact in facts if fact.order is not None]
    refs = {order.order_ref for order in orders if order.order_ref is not None}
    refs |= {shipped.order_ref for shipped in before if shipped.order_ref is not None}
    shipping.ids = {order.reservation_id for order in orders if order.reservation_id is not None}
    shipping.ids |= {shipped.reservation_id for shipped in before if shipped.reservation_id is not None}
    shipping.ids = await promises.ids_of_orders(db, refs, shipping.ids)
    if shipping.ids:
        shipping.spots = set().union(*(await promises.spots_of(db, shipping.ids)).values())
    return shipping


async def fulfil(
    db: Connection, shipping: Shipping, positions: Mapping[PositionKey, Position], now: datetime
) -> ClaimBook:
    """Lock the claims, after their positions, and decide."""
    found = (await promises.lock(db, shipping.ids)).reservations if shipping.ids else []
    identities = {each.identity for each in found if each.identity is not None}
    book = ClaimBook(now, Locked(positions, positions.keys(), found, identities))
    try:
        _decide(Dock(book), shipping)
    except Unforeseen:
        raise ClaimsMoved from None
    return book


def _decide(dock: Dock, shipping: Shipping) -> None:
    for fact in shipping.facts:
        assert fact.order is not None  # noqa: S101 - only shipments come here
        dock.book.begin()
        for move in fact.moves:
            shipped = Shipped(
                fact.fact_id, fact.order.order_ref, move.item_id, move.location_id, move.quantity
            )
            dock.ship(shipped, fact.order.order_ref, fact.order.reservation_id)
    if shipping.voided:
        own = [shipped for shipped in dock.book.shipments if shipped.fact_id in shipping.voided]
        for _, taken_back in groupby([*shipping.before, *own], key=lambda shipped: shipped.fact_id):
            dock.book.begin()
            for shipped in taken_back:
                dock.unship(shipped)


async def is_stale(db: Connection, shipping: Shipping, voids: Sequence[tuple[int, int, str]]) -> bool:
    """With the ledger's order held: whether an order was reserved, or found its shipment, since we looked."""
    now = await foresee(db, shipping.facts, voids)
    return (now.ids, list(now.before)) != (shipping.ids, list(shipping.before))
