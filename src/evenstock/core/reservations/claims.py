"""A claim and the reservation that holds it: a few facts that only grow, and what is open follows from them (K3)."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from evenstock.core.booking import PositionKey
from evenstock.core.channels import Terms

Status = Literal["held", "confirmed", "allocated", "picked", "fulfilled", "expired", "released", "shorted"]
Kind = Literal["grant", "accept", "allocate", "move", "release", "expire", "ship", "unship"]
Identity = tuple[int | None, str]  # (channel_id, order_ref)
RequestKey = tuple[str, str]  # (caller, Idempotency-Key)

ENDED: Final = frozenset({"fulfilled", "expired", "released", "shorted"})


class Asked(msgspec.Struct, frozen=True):
    """A line as it was asked for, resolved: what is compared when the same order comes again."""

    line: str
    item_id: int
    sku: str
    scale: int
    units: int
    pickup: int | None = None  # location_id


class Claim(msgspec.Struct):
    """One line's promise at one location."""

    claim_no: int
    line: str
    item_id: int
    location_id: int
    granted: int
    shipped: int = 0
    released: int = 0  # as asked for
    closed: bool = False
    allocated: bool = False
    is_new: bool = True

    @property
    def open(self) -> int:
        left = self.granted - self.shipped - self.released
        return left if left > 0 and not self.closed else 0

    @property
    def spot(self) -> PositionKey:
        return (self.item_id, self.location_id)


class Reservation(msgspec.Struct, kw_only=True):
    """A reservation at the desk."""

    reservation_id: int
    channel_id: int | None
    order_ref: str | None
    status: Status
    all_or_nothing: bool
    asked: tuple[Asked, ...]
    terms: Terms
    channel: str | None = None
    expires_at: datetime | None = None
    reason: str | None = None
    created_at: datetime
    trace_id: str | None = None  # that whoever made it gave
    claims: list[Claim] = []
    is_new: bool = False

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def open(self) -> int:
        return sum([claim.open for claim in self.claims])

    @property
    def was_closed(self) -> bool:
        """Whether it was ended as a whole: given back, or over its time; maybe after some of it was shipped."""
        return all(claim.closed for claim in self.claims)

    @property
    def shipped(self) -> int:
        return sum([claim.shipped for claim in self.claims])

    @property
    def identity(self) -> Identity | None:
        return None if self.order_ref is None else (self.channel_id, self.order_ref)

    def is_due(self, now: datetime) -> bool:
        """Whether its time is over, be it swept or not."""
        return not self.has_ended and self.expires_at is not None and self.expires_at <= now

    def add(
        self, line: str, item_id: int, location_id: int, granted: int, *, allocated: bool = False
    ) -> Claim:
        """A new claim of it."""
        claim = Claim(len(self.claims) + 1, line, item_id, location_id, granted, allocated=allocated)
        self.claims = [*self.claims, claim]
        return claim


class Shipped(msgspec.Struct, frozen=True):
    """Units that left for an order, and the claim they fulfilled; none when nobody had promised them."""

    fact_id: int
    order_ref: str | None
    item_id: int
    location_id: int
    units: int  # below zero: taken back
    reservation_id: int | None = None
    claim_no: int | None = None

    @property
    def whence(self) -> tuple[int, int, int]:
        return (self.fact_id, self.item_id, self.location_id)


class ClaimEntry(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, rename={
    "ordinal": "n", "reservation_id": "r", "claim_no": "c", "item_id": "i", "location_id": "l", "kind": "k", "reserved": "d",
    "allocated": "a", "seen": "s", "elsewhere": "e",
}):  # fmt: skip
    """A change of a claim, for ever. `seen`: sellable, reserved, allocated and safety stock when it was granted.

    `elsewhere`: what was shipped of it left from another location than the one that it was claimed at.
    """

    ordinal: int
    reservation_id: int
    claim_no: int
    item_id: int
    location_id: int
    kind: Kind
    reserved: int
    allocated: int
    seen: tuple[int, int, int, int] | None = None
    elsewhere: bool = False

    @property
    def work(self) -> int:
        """Units that its location is to pick from now on; below zero: not any more. What left from there was picked."""
        return 0 if self.kind in {"ship", "unship"} and not self.elsewhere else self.allocated


class ReleaseRow(msgspec.Struct, frozen=True):
    """A line of a release."""

    reservation_id: int
    key: str
    line: str
    digest: bytes
    requested: int
    released: int


def content(asked: Sequence[Asked]) -> list[tuple[str, int, int, int]]:
    """What must be the same for two requests to be one reservation; the order of lines is not."""
    return sorted((line.line, line.item_id, line.units, line.pickup or 0) for line in asked)


def remaining(asked: Sequence[Asked], claims: Sequence[Claim]) -> list[Asked]:
    """The lines less what was shipped or given back."""
    gone: dict[str, int] = defaultdict(int)
    for claim in claims:
        gone[claim.line] += claim.shipped + min(claim.released, claim.granted)
    return [
        msgspec.structs.replace(line, units=line.units - gone[line.line])
        for line in asked
        if line.units > gone[line.line]
    ]
