"""The book of claims in the middle of a batch: what is locked, what changed of it, and what is to be written.

Nothing is decided upon what its caller has not locked: whoever asks for more gets `Unforeseen`, and the batch is done
again with it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final, Literal

import msgspec

from evenstock.core.booking import Alarm, Position, PositionKey, is_overcommitted
from evenstock.core.channels import Terms
from evenstock.core.reservations.claims import (
    Asked,
    Claim,
    ClaimEntry,
    Identity,
    Kind,
    Reservation,
    Shipped,
)
from evenstock.core.reservations.placing import candidates

NOTHING: Final = Position()


class Unforeseen(Exception):  # noqa: N818 - not an error: the batch is done again with more locked
    """What a decision needs and its caller has not locked."""

    def __init__(
        self, spots: Iterable[PositionKey] = (), identities: Iterable[Identity] = (), ids: Iterable[int] = ()
    ) -> None:
        super().__init__("unforeseen")
        self.spots = set(spots)
        self.identities = set(identities)
        self.ids = set(ids)


class Locked(msgspec.Struct):
    """What nobody else changes until the batch has ended; None is all there is, for whoever is alone."""

    positions: Mapping[PositionKey, Position] = {}
    spots: AbstractSet[PositionKey] | None = frozenset()  # that were locked, be there a position or not
    reservations: Iterable[Reservation] = ()
    identities: AbstractSet[Identity] | None = (
        frozenset()
    )  # of which the open reservation would be among those


class _Spot(msgspec.Struct):
    """A position as it is in the middle of the batch."""

    sellable: int
    reserved: int
    allocated: int


class ClaimBook:
    """Claims, their positions' counters, and the entries that say for ever how they changed."""

    def __init__(self, now: datetime, locked: Locked) -> None:
        self.now = now
        self._positions = locked.positions
        self._locked = locked.spots
        self._identities = locked.identities
        self._spots: dict[PositionKey, _Spot] = {}
        self.reservations = {found.reservation_id: found for found in locked.reservations}
        self._open: dict[Identity, Reservation] = {}
        self._of_order: defaultdict[str | None, list[Reservation]] = defaultdict(list)
        for found in self.reservations.values():
            self._of_order[found.order_ref].append(found)
            if found.identity is not None and not found.has_ended:
                self._open[found.identity] = found
        self.entries: list[ClaimEntry] = []
        self.matters: list[int] = []  # where in the entries another matter begins
        self.touched: dict[int, Reservation] = {}
        self.shipments: list[Shipped] = []

    def begin(self) -> None:
        """What follows is decided of something else than what went before: another command, another fact."""
        self.matters.append(len(self.entries))

    # What is there -------------------------------------------------------------------------------------------------

    def foresee(self, spots: AbstractSet[PositionKey]) -> None:
        """Make sure that these positions are locked. Raises Unforeseen."""
        if self._locked is not None and not spots <= self._locked:
            raise Unforeseen(spots - self._locked)

    def foresee_lines(self, asked: Sequence[Asked], locations: Sequence[int]) -> None:
        """The same of wherever lines may be placed. Raises Unforeseen."""
        if self._locked is not None:
            self.foresee(candidates(asked, locations))

    def open_under(self, identity: Identity | None) -> Reservation | None:
        """The reservation that an order has now. Raises Unforeseen when nobody looked."""
        if identity is None:
            return None
        if self._identities is not None and identity not in self._identities:
            raise Unforeseen(identities=[identity])
        return self._open.get(identity)

    def meant(self, order_ref: str | None, reservation_id: int | None) -> list[Reservation]:
        """The reservation of this number, where one is given, else all of the order."""
        if reservation_id:
            return [self.reservations[reservation_id]] if reservation_id in self.reservations else []
        return self._of_order[order_ref]

    def offer(self, line: Asked, location_id: int, terms: Terms) -> int:
        """What may be promised of a line at a location."""
        key = (line.item_id, location_id)
        spot = self._spots.get(key) if self._spots else None
        if spot is not None:
            return max(0, spot.sellable - spot.reserved - spot.allocated - _safety(terms, line))
        position = self._positions.get(key)
        if position is None:
            position = self._position(key)
        free = position.vector[0] - position.reserved - position.allocated
        return max(0, free - _safety(terms, line)) if free > 0 else 0

    def _position(self, key: PositionKey) -> Position:
        """As it was before the batch. Raises Unforeseen."""
        if self._locked is not None and key not in self._locked:
            raise Unforeseen([key])
        return self._positions.get(key, NOTHING)

    def _spot(self, key: PositionKey) -> _Spot:
        spot = self._spots.get(key)
        if spot is None:
            position = self._position(key)
            spot = self._spots[key] = _Spot(position.vector[0], position.reserved, position.allocated)
        return spot

    # What changes --------------------------------------------------------------------------------------------------

    def keep(self, found: Reservation) -> None:
        """It is to be written."""
        self.touched[found.reservation_id] = found

    def open(self, found: Reservation) -> None:
        """It is its order's reservation from now on."""
        if found.reservation_id not in self.reservations:
            self.reservations[found.reservation_id] = found
            self._of_order[found.order_ref].append(found)
        if found.identity is not None:
            self._open[found.identity] = found
        self.keep(found)

    def grant(
        self, found: Reservation, asked: Asked, location_id: int, units: int, *, allocated: bool = False
    ) -> None:
        """A new claim, with what was seen when it was granted."""
        spot = self._spot((asked.item_id, location_id))
        seen = (spot.sellable, spot.reserved, spot.allocated, _safety(found.terms, asked))
        self.note(
            found,
            found.add(asked.line, asked.item_id, location_id, units, allocated=allocated),
            "grant",
            0,
            seen,
        )

    def accept(self, found: Reservation, asked: Asked, location_id: int, units: int) -> None:
        """A new claim of units that somebody else has promised, whatever there is."""
        self.note(found, found.add(asked.line, asked.item_id, location_id, units), "accept", 0)

    def note(
        self,
        found: Reservation,
        claim: Claim,
        kind: Kind,
        before: int,
        seen: tuple[int, int, int, int] | None = None,
        *,
        elsewhere: bool = False,
    ) -> None:
        """A claim had `before` open units and has others now: the position's counter follows.

        `elsewhere`: the units that it is about left from another location than the claim's.
        """
        change = claim.open - before
        if claim.allocated:
            self._enter(found, claim, kind, 0, change, seen, elsewhere=elsewhere)
        else:
            self._enter(found, claim, kind, change, 0, seen, elsewhere=elsewhere)

    def stage(self, found: Reservation, claim: Claim) -> None:
        """Reserved becomes allocated, where it is."""
        claim.allocated = True
        self._enter(found, claim, "allocate", -claim.open, claim.open)

    def _enter(
        self,
        found: Reservation,
        claim: Claim,
        kind: Kind,
        reserved: int,
        allocated: int,
        seen: tuple[int, int, int, int] | None = None,
        *,
        elsewhere: bool = False,
    ) -> None:
        self.keep(found)
        if not reserved and not allocated:
            return
        spot = self._spot(claim.spot)
        spot.reserved += reserved
        spot.allocated += allocated
        self.entries.append(
            ClaimEntry(
                len(self.entries), found.reservation_id, claim.claim_no, claim.item_id, claim.location_id,
                kind, reserved, allocated, seen, elsewhere,
            )
        )  # fmt: skip

    def close(self, found: Reservation, status: Literal["expired", "released"]) -> None:
        """Every claim ends; what was shipped of it makes it fulfilled."""
        self.foresee({claim.spot for claim in found.claims if claim.open})
        for claim in found.claims:
            if not claim.closed:
                before = claim.open
                claim.closed = True
                self.note(found, claim, "expire" if status == "expired" else "release", before)
        self._end(found, status)

    def settle(self, found: Reservation) -> None:
        """A reservation of which nothing is open has ended, by shipping if anything was shipped."""
        if not found.has_ended and not found.open:
            self._end(found, "released")

    def _end(self, found: Reservation, status: Literal["expired", "released"]) -> None:
        found.status = "fulfilled" if found.shipped else status
        if found.identity is not None and self._open.get(found.identity) is found:
            del self._open[found.identity]
        self.keep(found)

    def resume(self, found: Reservation) -> None:
        """After a shipment that never was: what is open again is tied to work if anything of it is; else it has ended."""
        if not found.open:
            self.settle(found)
            if found.status == "fulfilled" and not found.shipped:
                found.status = "released"
            return
        if found.has_ended:
            found.status = "confirmed"
            found.expires_at = None
            self.open(found)
        opened = [claim for claim in found.claims if claim.open]
        if found.status in {"allocated", "picked"} or any(claim.allocated for claim in opened):
            for claim in opened:
                if not claim.allocated:
                    self.stage(found, claim)
            if found.status != "picked":
                found.status = "allocated"

    # What comes of it ----------------------------------------------------------------------------------------------

    def changes(self) -> dict[PositionKey, tuple[int, int]]:
        """How reserved and allocated change at each position, in the global order."""
        totals: dict[PositionKey, list[int]] = {}
        if len(self.entries) == 1:
            entry = self.entries[0]
            return {(entry.item_id, entry.location_id): (entry.reserved, entry.allocated)}
        for entry in self.entries:
            total = totals.setdefault((entry.item_id, entry.location_id), [0, 0])
            total[0] += entry.reserved
            total[1] += entry.allocated
        return {key: (totals[key][0], totals[key][1]) for key in sorted(totals)}

    def nowhere(self) -> list[PositionKey]:
        """Where something is claimed and no position is yet, in the global order."""
        return [key for key in self.changes() if key not in self._positions]

    def alarms(self) -> list[Alarm]:
        """Positions that are promised beyond what there is from now on, or are no more (C16)."""
        found = []
        for key, (reserved, allocated) in self.changes().items():
            position = self._positions.get(key, NOTHING)
            claimed = position.reserved + position.allocated
            was = is_overcommitted(position.vector[0], claimed)
            is_now = is_overcommitted(position.vector[0], claimed + reserved + allocated)
            if was != is_now:
                found.append(Alarm("stock.overcommitted", *key, opens=is_now))
        return found


def _safety(terms: Terms, line: Asked) -> int:
    return terms.safety_stock * int(10**line.scale) if terms.safety_stock else 0
