"""A reservation as it is told to whoever asks."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Literal

import msgspec

from evenstock.core.names import public_id
from evenstock.core.quantity import plain
from evenstock.core.reservations.claims import Asked, Claim, ReleaseRow, Reservation, Status


class ItemName(msgspec.Struct, frozen=True):
    sku: str


class PlacedAt(msgspec.Struct, frozen=True):
    """What a location holds for a line."""

    id: str
    quantity: msgspec.Raw
    reserved: msgspec.Raw
    allocated: msgspec.Raw


class LineTold(msgspec.Struct, frozen=True):
    """A line of a reservation: what was asked for and granted, and what became of it, in the item's base unit."""

    line: str
    item: ItemName
    requested: msgspec.Raw
    quantity: msgspec.Raw
    reserved: msgspec.Raw
    allocated: msgspec.Raw
    shipped: msgspec.Raw
    released: msgspec.Raw
    locations: list[PlacedAt]


class ReleasedTold(msgspec.Struct, frozen=True):
    """What one release gave back of a line; `excess` was asked for and not there."""

    line: str
    requested: msgspec.Raw
    released: msgspec.Raw
    excess: msgspec.Raw


class ReservationTold(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reservation as it is told to whoever asks."""

    id: str
    status: Status
    channel: str | None
    order_ref: str | None
    policy: Literal["all_or_nothing", "partial"]
    expires_at: datetime | None
    created_at: datetime
    lines: list[LineTold]
    trace_id: str | None = None
    reason: str | None = None
    released: list[ReleasedTold] = []


@lru_cache(maxsize=4096)
def _number(units: int, scale: int) -> msgspec.Raw:
    return msgspec.Raw(plain(units, scale).encode())


def told(
    found: Reservation, names: Mapping[int, str], now: datetime, releases: Sequence[ReleaseRow] = ()
) -> ReservationTold:
    """The reservation as it is now; one whose time is over is expired, whether anybody swept it or not."""
    due = found.is_due(now)
    scales = {line.line: line.scale for line in found.asked}
    return ReservationTold(
        id=public_id(found.reservation_id),
        status="expired" if due else found.status,
        channel=found.channel,
        order_ref=found.order_ref,
        policy="all_or_nothing" if found.all_or_nothing else "partial",
        expires_at=found.expires_at,
        created_at=found.created_at,
        lines=[
            _line(line, [claim for claim in found.claims if claim.line == line.line], names, due=due)
            for line in found.asked
        ],
        trace_id=found.trace_id,
        reason=found.reason,
        released=[
            ReleasedTold(
                row.line,
                _number(row.requested, scales[row.line]),
                _number(row.released, scales[row.line]),
                _number(row.requested - row.released, scales[row.line]),
            )
            for row in releases
        ],
    )


def _line(asked: Asked, claims: Sequence[Claim], names: Mapping[int, str], *, due: bool) -> LineTold:
    scale = asked.scale
    standing = [claim for claim in claims if not claim.closed] if not due else []
    granted = sum([claim.granted for claim in standing or claims])
    reserved = allocated = 0
    places = []
    for claim in standing:
        here = (0, claim.open) if claim.allocated else (claim.open, 0)
        reserved += here[0]
        allocated += here[1]
        name = names.get(claim.location_id, str(claim.location_id))
        places.append(PlacedAt(name, *[_number(units, scale) for units in (claim.granted, *here)]))
    return LineTold(
        line=asked.line,
        item=ItemName(asked.sku),
        requested=_number(asked.units, scale),
        quantity=_number(min(asked.units, granted), scale),
        reserved=_number(reserved, scale),
        allocated=_number(allocated, scale),
        shipped=_number(sum([claim.shipped for claim in claims]), scale),
        released=_number(
            sum([min(claim.released, claim.granted - claim.shipped) for claim in claims]), scale
        ),
        locations=places,
    )
