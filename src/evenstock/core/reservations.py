"""Promises against sellable units: reservations, the claims they hold, and how each of them ends (D6, counting §6).

A claim is a few facts that only grow (granted, shipped, released, closed) and what is open follows from them, so that
shipping and releasing commute and repeat harmlessly (K3). A `Desk` decides a batch of commands in memory, in arrival order,
over positions that its caller has locked: what is left falls as it grants, so nothing is ever promised twice (K7).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from evenstock.core.booking import Alarm, Position, PositionKey, is_overcommitted
from evenstock.core.channels import Terms
from evenstock.core.errors import Problem, Refusal
from evenstock.core.names import public_id
from evenstock.core.quantity import Quantity, as_number, plain, units

Status = Literal["held", "confirmed", "allocated", "picked", "fulfilled", "expired", "released", "shorted"]
Kind = Literal["grant", "allocate", "move", "release", "expire", "ship", "unship"]
Identity = tuple[int | None, str]  # (channel_id, order_ref)
RequestKey = tuple[str, str]  # (caller, Idempotency-Key)

ENDED: Final = frozenset({"fulfilled", "expired", "released", "shorted"})
NOTHING: Final = Position()


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
        return 0 if self.closed else max(0, self.granted - self.shipped - self.released)

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
    claims: list[Claim] = []
    is_new: bool = False

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def open(self) -> int:
        return sum(claim.open for claim in self.claims)

    @property
    def identity(self) -> Identity | None:
        return None if self.order_ref is None else (self.channel_id, self.order_ref)

    def is_due(self, now: datetime) -> bool:
        """Whether its time is over, be it swept or not."""
        return not self.has_ended and self.expires_at is not None and self.expires_at <= now


# What is asked of the desk -----------------------------------------------------------------------------------------


class Reserve(msgspec.Struct, frozen=True, kw_only=True):
    """Promise these lines."""

    reservation_id: int  # if it is granted
    channel_id: int | None
    channel: str | None
    order_ref: str | None
    asked: tuple[Asked, ...]
    terms: Terms
    all_or_nothing: bool = True
    expires_in: timedelta | None = None
    request: RequestKey | None = None
    digest: bytes = b""


class Confirm(msgspec.Struct, frozen=True):
    """The cart became an order. A paid one never expires."""

    reservation_id: int
    paid: bool = True


class Allocate(msgspec.Struct, frozen=True):
    """Work begins: at the locations where it is placed, or all of it at one."""

    reservation_id: int
    location_id: int | None = None


class Release(msgspec.Struct, frozen=True):
    """Give back everything, or some lines (all of a line, or so many units of it), once under its key."""

    reservation_id: int
    key: str = ""
    digest: bytes = b""
    reason: str | None = None
    lines: tuple[tuple[str, Quantity | None], ...] | None = None


class Expire(msgspec.Struct, frozen=True):
    """End it if its time is over."""

    reservation_id: int


Command = Reserve | Confirm | Allocate | Release | Expire


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


# What the desk answers ---------------------------------------------------------------------------------------------


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
    reason: str | None = None
    released: list[ReleasedTold] = []


class Answer(msgspec.Struct, frozen=True):
    """What became of a command."""

    reservation: ReservationTold
    is_new: bool = False


class Short(msgspec.Struct, frozen=True):
    """A line for which there was too little."""

    asked: Asked
    available: int


class Refused(msgspec.Struct, frozen=True):
    """Why a command was not done; `short` when more would have to be there."""

    problem: Problem
    short: tuple[Short, ...] = ()


# What the desk writes ----------------------------------------------------------------------------------------------


class ClaimEntry(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, rename={
    "ordinal": "n", "reservation_id": "r", "claim_no": "c", "item_id": "i", "location_id": "l", "kind": "k", "reserved": "d",
    "allocated": "a", "seen": "s",
}):  # fmt: skip
    """A change of a claim, for ever. `seen`: sellable, reserved, allocated and safety stock when it was granted."""

    ordinal: int
    reservation_id: int
    claim_no: int
    item_id: int
    location_id: int
    kind: Kind
    reserved: int
    allocated: int
    seen: tuple[int, int, int, int] | None = None


class ReleaseRow(msgspec.Struct, frozen=True):
    """A line of a release."""

    reservation_id: int
    key: str
    line: str
    digest: bytes
    requested: int
    released: int


class Placed(msgspec.Struct, frozen=True):
    asked: Asked
    location_id: int
    units: int


class _Spot(msgspec.Struct):
    """A position as it is in the middle of the batch."""

    sellable: int
    reserved: int
    allocated: int


def place(
    asked: Sequence[Asked], locations: Sequence[int], offer: Callable[[Asked, int], int]
) -> tuple[list[Placed], list[Short]]:
    """Every unit on a location: where it is picked up, else one location that fills all lines, else filled in order (D6).

    What lines take of one position is added up first, so that two lines never pass against the same number (S10).
    """
    taken: dict[PositionKey, int] = defaultdict(int)
    placed: list[Placed] = []

    def take(line: Asked, location_id: int, wanted: int) -> int:
        got = min(wanted, max(0, offer(line, location_id) - taken[line.item_id, location_id]))
        if got > 0:
            taken[line.item_id, location_id] += got
            placed.append(Placed(line, location_id, got))
        return got

    free = [line for line in asked if line.pickup is None]
    short = [
        Short(line, got)
        for line in asked
        if line.pickup is not None and (got := take(line, line.pickup, line.units)) < line.units
    ]
    if free:
        whole = _one_for_all(free, locations, offer, taken)
        for line in free:
            left = line.units
            for location_id in (whole,) if whole is not None else locations:
                left -= take(line, location_id, left)
                if not left:
                    break
            if left:
                short.append(Short(line, line.units - left))
    return placed, short


def _one_for_all(
    lines: Sequence[Asked],
    locations: Sequence[int],
    offer: Callable[[Asked, int], int],
    taken: Mapping[PositionKey, int],
) -> int | None:
    needed: dict[int, int] = defaultdict(int)
    by_item = {line.item_id: line for line in lines}
    for line in lines:
        needed[line.item_id] += line.units
    for location_id in locations:
        if all(
            offer(by_item[item_id], location_id) - taken.get((item_id, location_id), 0) >= number
            for item_id, number in needed.items()
        ):
            return location_id
    return None


class Desk:
    """Decides a batch of commands. What it was given is locked by its caller; what it decides is written by its caller."""

    def __init__(
        self,
        now: datetime,
        positions: Mapping[PositionKey, Position],
        reservations: Iterable[Reservation] = (),
        *,
        names: Mapping[int, str] = {},  # never changed
        requests: Mapping[RequestKey, tuple[bytes, int]] = {},  # never changed
        releases: Iterable[ReleaseRow] = (),
    ) -> None:
        self.now = now
        self._positions = positions
        self._spots: dict[PositionKey, _Spot] = {}
        self._names = names
        self.reservations = {found.reservation_id: found for found in reservations}
        self._open: dict[Identity, Reservation] = {}
        for found in self.reservations.values():
            if found.identity is not None and not found.has_ended:
                self._open[found.identity] = found
        self._requests = dict(requests)
        self._releases: dict[tuple[int, str], list[ReleaseRow]] = {}
        for row in releases:
            self._releases.setdefault((row.reservation_id, row.key), []).append(row)
        self._unclaimed: dict[str, list[Shipped]] = {}
        self.entries: list[ClaimEntry] = []
        self.touched: dict[int, Reservation] = {}
        self.remembered: list[tuple[RequestKey, bytes, int]] = []
        self.released: list[ReleaseRow] = []
        self.shipments: list[Shipped] = []
        self.short: set[PositionKey] = set()  # where there was too little for somebody

    def do(self, command: Command) -> Answer | Refused:
        """Decide one command; the next one sees what this one changed."""
        if isinstance(command, Reserve):
            return self._reserve(command)
        found = self.reservations.get(command.reservation_id)
        if found is None:
            return _refused(
                "reservation.not_found", f"There is no reservation {public_id(command.reservation_id)}."
            )
        match command:
            case Confirm():
                return self._confirm(found, command)
            case Allocate():
                return self._allocate(found, command)
            case Release():
                return self._release(found, command)
            case Expire():
                if found.is_due(self.now):
                    self._end(found, "expired")
                return self._told(found)

    # Reserve -------------------------------------------------------------------------------------------------------

    def _reserve(self, wanted: Reserve) -> Answer | Refused:
        known = self._requests.get(wanted.request) if wanted.request is not None else None
        if known is not None:
            digest, reservation_id = known
            if digest != wanted.digest:
                return _refused(
                    "idempotency.key_reused", "This Idempotency-Key came before with another request."
                )
            return self._told(self.reservations[reservation_id])
        identity = None if wanted.order_ref is None else (wanted.channel_id, wanted.order_ref)
        current = self._open.get(identity) if identity is not None else None
        if current is not None and current.is_due(self.now):
            self._end(current, "expired")
        elif current is not None:
            if _content(current.asked) != _content(wanted.asked):
                return _refused(
                    "reservation.changed",
                    f"{wanted.order_ref} is reserved with other lines as {public_id(current.reservation_id)}.",
                )
            self._remember(wanted, current)
            return self._told(current)
        reservation = Reservation(
            reservation_id=wanted.reservation_id,
            channel_id=wanted.channel_id,
            channel=wanted.channel,
            order_ref=wanted.order_ref,
            status="held",
            all_or_nothing=wanted.all_or_nothing,
            asked=wanted.asked,
            terms=wanted.terms,
            expires_at=self.now + (wanted.expires_in or wanted.terms.hold),
            created_at=self.now,
            is_new=True,
        )
        before = self._shipped_before(wanted)
        refusal = self._grant(reservation, _less(wanted.asked, before), allow_none=bool(before))
        if refusal is not None:
            return refusal
        self._claim_shipped(reservation, before)
        self._keep(reservation)
        self.reservations[reservation.reservation_id] = reservation
        if identity is not None and not reservation.has_ended:
            self._open[identity] = reservation
        self._remember(wanted, reservation)
        return self._told(reservation, is_new=True)

    def _remember(self, wanted: Reserve, reservation: Reservation) -> None:
        if wanted.request is not None:
            self._requests[wanted.request] = (wanted.digest, reservation.reservation_id)
            self.remembered.append((wanted.request, wanted.digest, reservation.reservation_id))

    def _grant(
        self, reservation: Reservation, asked: Sequence[Asked], *, allow_none: bool = False
    ) -> Refused | None:
        terms = reservation.terms
        placed, short = place(
            asked, terms.locations, lambda line, location_id: self._offer(line, location_id, terms)
        )
        if short:
            for lacking in short:
                line = lacking.asked
                where = terms.locations if line.pickup is None else (line.pickup,)
                self.short.update((line.item_id, location_id) for location_id in where)
            if reservation.all_or_nothing or not (placed or allow_none):
                return Refused(Problem("reservation.insufficient", _in_words(short), ""), tuple(short))
        for entry in placed:
            self._add_claim(reservation, entry.asked, entry.location_id, entry.units)
        return None

    def _add_claim(
        self,
        reservation: Reservation,
        asked: Asked,
        location_id: int,
        granted: int,
        *,
        allocated: bool = False,
    ) -> None:
        spot = self._spot((asked.item_id, location_id))
        safety = _safety(reservation.terms, asked)
        claim = Claim(
            len(reservation.claims) + 1, asked.line, asked.item_id, location_id, granted, allocated=allocated
        )
        seen = (spot.sellable, spot.reserved, spot.allocated, safety)
        reservation.claims = [*reservation.claims, claim]
        self._note(reservation, claim, "grant", 0, seen=seen)

    def _offer(self, line: Asked, location_id: int, terms: Terms) -> int:
        spot = self._spot((line.item_id, location_id))
        return max(0, spot.sellable - spot.reserved - spot.allocated - _safety(terms, line))

    # What became of the order before it was reserved (example 37) --------------------------------------------------

    def know_unclaimed(self, shipments: Iterable[Shipped]) -> None:
        """Units that left under an order_ref without a claim, before this batch."""
        for shipped in shipments:
            if shipped.order_ref is not None:
                self._unclaimed.setdefault(shipped.order_ref, []).append(shipped)

    def _shipped_before(self, wanted: Reserve) -> list[tuple[Asked, Shipped]]:
        """Which shipped units are those of these lines, as far as the lines go."""
        left = list(self._unclaimed.get(wanted.order_ref, ())) if wanted.order_ref is not None else []
        found: list[tuple[Asked, Shipped]] = []
        for asked in wanted.asked if left else ():
            wants = asked.units
            for index, shipped in enumerate(left):
                got = min(wants, shipped.units) if shipped.item_id == asked.item_id else 0
                if got > 0:
                    found.append((asked, msgspec.structs.replace(shipped, units=got)))
                    left[index] = msgspec.structs.replace(shipped, units=shipped.units - got)
                    wants -= got
        return found

    def _claim_shipped(self, reservation: Reservation, before: Sequence[tuple[Asked, Shipped]]) -> None:
        for asked, shipped in before:
            claim = Claim(
                len(reservation.claims) + 1, asked.line, asked.item_id, shipped.location_id, shipped.units,
                shipped=shipped.units,
            )  # fmt: skip
            reservation.claims = [*reservation.claims, claim]
            self.shipments.append(msgspec.structs.replace(shipped, units=-shipped.units))
            self.shipments.append(
                msgspec.structs.replace(
                    shipped, reservation_id=reservation.reservation_id, claim_no=claim.claim_no
                )
            )
        if before:
            order_ref = reservation.order_ref or ""
            used: dict[tuple[int, int, int], int] = defaultdict(int)
            for _, shipped in before:
                used[shipped.whence] += shipped.units
            self._unclaimed[order_ref] = [
                msgspec.structs.replace(shipped, units=shipped.units - used[shipped.whence])
                for shipped in self._unclaimed[order_ref]
            ]
            self._settle(reservation)

    # Confirm and allocate ------------------------------------------------------------------------------------------

    def _confirm(self, found: Reservation, command: Confirm) -> Answer | Refused:
        if (refusal := self._revive(found, found.asked)) is not None:
            return refusal
        if found.status == "fulfilled":
            return self._told(found)
        if found.status == "held":
            found.status = "confirmed"
            found.expires_at = None if command.paid else self.now + found.terms.unpaid
            self._keep(found)
        elif command.paid and found.expires_at is not None:
            found.expires_at = None
            self._keep(found)
        return self._told(found)

    def _revive(self, found: Reservation, asked: Sequence[Asked]) -> Refused | None:
        """Grant again what an expired reservation held; refuse what ended otherwise (K5). Its own hold is no competition."""
        if found.is_due(self.now):
            self._end(found, "expired")
        if found.status in {"released", "shorted"}:
            return _refused(
                "reservation.ended",
                f"{public_id(found.reservation_id)} was {found.status} and claims nothing.",
            )
        if found.status != "expired":
            return None
        if found.identity is not None and found.identity in self._open:
            newer = public_id(self._open[found.identity].reservation_id)
            return _refused("reservation.expired", f"It expired, and {newer} was made for the same order.")
        refusal = self._grant(found, _remaining(asked, found.claims))
        if refusal is not None:
            words = f"It expired, and what it held is promised to others. {refusal.problem.detail}"
            return Refused(Problem("reservation.expired", words), refusal.short)
        found.status = "held"
        found.expires_at = self.now + found.terms.hold
        if found.identity is not None:
            self._open[found.identity] = found
        self._keep(found)
        return None

    def _allocate(self, found: Reservation, command: Allocate) -> Answer | Refused:
        there = command.location_id
        asked = found.asked
        if there is not None:
            asked = tuple(msgspec.structs.replace(line, pickup=there) for line in asked)
        if (refusal := self._revive(found, asked)) is not None:
            return refusal
        if found.status == "fulfilled":
            return self._told(found)
        moving = [
            claim for claim in found.claims if claim.open and there is not None and claim.location_id != there
        ]
        if there is not None and (refusal := self._too_little(found, moving, there)) is not None:
            return refusal
        by_line = {line.line: line for line in found.asked}
        for claim in moving:
            assert there is not None  # noqa: S101 - nothing moves without a destination
            moved = claim.open
            claim.closed = True
            self._note(found, claim, "move", moved)
            self._add_claim(found, by_line[claim.line], there, moved, allocated=True)
        for claim in found.claims:
            if claim.open and not claim.allocated:
                self._stage(found, claim)
        if found.status in {"held", "confirmed"}:
            found.status = "allocated"
            found.expires_at = None
            self._keep(found)
        return self._told(found)

    def _too_little(self, found: Reservation, moving: Sequence[Claim], there: int) -> Refused | None:
        """Whether another location can take over these claims; nothing is moved unless all can be."""
        by_line = {line.line: line for line in found.asked}
        wanted = [
            msgspec.structs.replace(by_line[claim.line], units=claim.open, pickup=there) for claim in moving
        ]
        _, short = place(wanted, (), lambda line, location_id: self._offer(line, location_id, found.terms))
        if not short:
            return None
        self.short.update((entry.asked.item_id, there) for entry in short)
        return Refused(Problem("reservation.insufficient", _in_words(short), "/location"), tuple(short))

    def _stage(self, found: Reservation, claim: Claim) -> None:
        """Reserved becomes allocated, where it is."""
        staged = claim.open
        claim.allocated = True
        spot = self._spot(claim.spot)
        spot.reserved -= staged
        spot.allocated += staged
        self._append(found, claim, "allocate", -staged, staged)

    # Ends ----------------------------------------------------------------------------------------------------------

    def _release(self, found: Reservation, command: Release) -> Answer | Refused:
        if command.lines is not None:
            return self._release_some(found, command, command.lines)
        if found.is_due(self.now):
            self._end(found, "expired")
        if not found.has_ended:
            found.reason = command.reason
            self._end(found, "released")
        if found.status == "fulfilled":
            words = f"{public_id(found.reservation_id)} is fulfilled; take it back as a return."
            return _refused("reservation.ended", words)
        return self._told(found)

    def _release_some(
        self, found: Reservation, command: Release, lines: Sequence[tuple[str, Quantity | None]]
    ) -> Answer | Refused:
        again = self._releases.get((found.reservation_id, command.key))
        if again is not None:
            if again[0].digest != command.digest:
                return _refused(
                    "idempotency.key_reused", "This Idempotency-Key came before with another request."
                )
            return self._told(found, releases=again)
        wanted = _in_units(found, lines)
        if isinstance(wanted, Refused):
            return wanted
        if found.is_due(self.now):
            self._end(found, "expired")
        rows = [self._release_line(found, command, line, number) for line, number in wanted]
        self._releases[found.reservation_id, command.key] = rows
        self.released += rows
        if not found.has_ended and found.open == 0:
            found.reason = command.reason
        self._settle(found)
        return self._told(found, releases=rows)

    def _release_line(
        self, found: Reservation, command: Release, line: str, number: int | None
    ) -> ReleaseRow:
        """Give back units of a line, those placed last first. What was asked for and is not there is kept as excess (S33)."""
        claims = [claim for claim in found.claims if claim.line == line and not claim.closed]
        there = sum(claim.open for claim in claims)
        requested = there if number is None else number
        left = requested
        for claim in reversed(claims):
            before = claim.open
            given = min(left, before)
            if given:
                claim.released += given
                left -= given
                self._note(found, claim, "release", before)
        if left and claims and not found.has_ended:
            claims[0].released += left
            self._keep(found)
        return ReleaseRow(
            found.reservation_id, command.key, line, command.digest, requested, min(there, requested)
        )

    def _end(self, found: Reservation, status: Literal["expired", "released"]) -> None:
        for claim in found.claims:
            before = claim.open
            if not claim.closed:
                claim.closed = True
                if before:
                    self._note(found, claim, "expire" if status == "expired" else "release", before)
        shipped = any(claim.shipped for claim in found.claims)
        found.status = "fulfilled" if shipped else status
        self._has_ended(found)

    def _settle(self, found: Reservation) -> None:
        """A reservation of which nothing is open has ended, by shipping if anything was shipped."""
        if found.has_ended or found.open:
            return
        found.status = "fulfilled" if any(claim.shipped for claim in found.claims) else "released"
        self._has_ended(found)

    def _has_ended(self, found: Reservation) -> None:
        if found.identity is not None and self._open.get(found.identity) is found:
            del self._open[found.identity]
        self._keep(found)

    # Shipments -----------------------------------------------------------------------------------------------------

    def ship(self, shipped: Shipped, order_ref: str | None, reservation_id: int | None) -> None:
        """Units left: they fulfil the claims of their order, those at the same location first; the rest nobody promised (K4)."""
        left = shipped.units
        for found, claim in self._claims_for(shipped, order_ref, reservation_id):
            got = min(left, claim.granted - claim.shipped)
            if got <= 0:
                continue
            before = claim.open
            claim.shipped += got
            left -= got
            self._note(found, claim, "ship", before)
            if found.status == "held":
                found.status = "confirmed"
            if not found.has_ended:
                found.expires_at = None
            self._settle(found)
            self.shipments.append(
                msgspec.structs.replace(
                    shipped, units=got, reservation_id=found.reservation_id, claim_no=claim.claim_no
                )
            )
            if not left:
                return
        self.shipments.append(msgspec.structs.replace(shipped, units=left))
        self.know_unclaimed([self.shipments[-1]])

    def _claims_for(
        self, shipped: Shipped, order_ref: str | None, reservation_id: int | None
    ) -> list[tuple[Reservation, Claim]]:
        pairs = [
            (found, claim)
            for found in self.reservations.values()
            if (found.reservation_id == reservation_id if reservation_id else found.order_ref == order_ref)
            and (not found.has_ended or found.status == "fulfilled")
            and not found.is_due(self.now)
            for claim in found.claims
            if claim.item_id == shipped.item_id and not claim.closed
        ]
        return sorted(
            pairs,
            key=lambda pair: (
                not pair[1].open,
                pair[1].location_id != shipped.location_id,
                pair[0].reservation_id,
                pair[1].claim_no,
            ),
        )

    def unship(self, shipped: Shipped) -> None:
        """A shipment that never was: its claim is open again, unless another was made for the order meanwhile."""
        self.shipments.append(msgspec.structs.replace(shipped, units=-shipped.units))
        if shipped.reservation_id is None:
            return
        found = self.reservations[shipped.reservation_id]
        claim = next(claim for claim in found.claims if claim.claim_no == shipped.claim_no)
        before = claim.open
        claim.shipped -= shipped.units
        if found.status != "fulfilled":
            self._note(found, claim, "unship", before)
            return
        other = self._open.get(found.identity) if found.identity is not None else None
        if other is not None:
            claim.closed = True
        self._note(found, claim, "unship", before)
        if found.open:
            found.status = (
                "allocated" if any(each.allocated and each.open for each in found.claims) else "confirmed"
            )
            for each in found.claims:
                if each.open and not each.allocated and found.status == "allocated":
                    self._stage(found, each)
            if found.identity is not None:
                self._open[found.identity] = found
        elif not any(each.shipped for each in found.claims):
            found.status = "released"

    # Books ---------------------------------------------------------------------------------------------------------

    def _spot(self, key: PositionKey) -> _Spot:
        spot = self._spots.get(key)
        if spot is None:
            position = self._positions.get(key, NOTHING)
            spot = self._spots[key] = _Spot(position.vector[0], position.reserved, position.allocated)
        return spot

    def _note(
        self,
        found: Reservation,
        claim: Claim,
        kind: Kind,
        before: int,
        *,
        seen: tuple[int, int, int, int] | None = None,
    ) -> None:
        """A claim's open units changed: the position's counter follows, and an entry says so for ever."""
        change = claim.open - before
        spot = self._spot(claim.spot)
        if claim.allocated:
            spot.allocated += change
            self._append(found, claim, kind, 0, change, seen)
        else:
            spot.reserved += change
            self._append(found, claim, kind, change, 0, seen)

    def _append(
        self,
        found: Reservation,
        claim: Claim,
        kind: Kind,
        reserved: int,
        allocated: int,
        seen: tuple[int, int, int, int] | None = None,
    ) -> None:
        self._keep(found)
        if reserved or allocated:
            self.entries.append(
                ClaimEntry(
                    len(self.entries), found.reservation_id, claim.claim_no, claim.item_id, claim.location_id,
                    kind, reserved, allocated, seen,
                )
            )  # fmt: skip

    def _keep(self, found: Reservation) -> None:
        self.touched[found.reservation_id] = found

    def changes(self) -> dict[PositionKey, tuple[int, int]]:
        """How reserved and allocated change at each position, in the global order."""
        totals: dict[PositionKey, list[int]] = {}
        for entry in self.entries:
            total = totals.setdefault((entry.item_id, entry.location_id), [0, 0])
            total[0] += entry.reserved
            total[1] += entry.allocated
        return {key: (totals[key][0], totals[key][1]) for key in sorted(totals)}

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

    def _told(
        self, found: Reservation, *, is_new: bool = False, releases: Sequence[ReleaseRow] = ()
    ) -> Answer:
        return Answer(told(found, self._names, self.now, releases), is_new)


# In words --------------------------------------------------------------------------------------------------------------


def _safety(terms: Terms, line: Asked) -> int:
    return terms.safety_stock * int(10**line.scale)


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
    granted = sum(claim.granted for claim in standing or claims)
    reserved = sum(claim.open for claim in standing if not claim.allocated)
    allocated = sum(claim.open for claim in standing if claim.allocated)
    return LineTold(
        line=asked.line,
        item=ItemName(asked.sku),
        requested=_number(asked.units, scale),
        quantity=_number(min(asked.units, granted), scale),
        reserved=_number(reserved, scale),
        allocated=_number(allocated, scale),
        shipped=_number(sum(claim.shipped for claim in claims), scale),
        released=_number(sum(min(claim.released, claim.granted) for claim in claims), scale),
        locations=[
            PlacedAt(
                names.get(claim.location_id, str(claim.location_id)),
                _number(claim.granted, scale),
                _number(0 if claim.allocated else claim.open, scale),
                _number(claim.open if claim.allocated else 0, scale),
            )
            for claim in standing
        ],
    )


def _refused(code: str, detail: str, pointer: str = "") -> Refused:
    return Refused(Problem(code, detail, pointer))


def _in_words(short: Sequence[Short]) -> str:
    return " ".join(
        f"Line {entry.asked.line}: {as_number(entry.available, entry.asked.scale)} of "
        f"{as_number(entry.asked.units, entry.asked.scale)} {entry.asked.sku} can be promised there."
        for entry in short
    )


def _in_units(
    found: Reservation, lines: Sequence[tuple[str, Quantity | None]]
) -> list[tuple[str, int | None]] | Refused:
    """Lines to release with their units; None is all of a line."""
    scales = {line.line: line.scale for line in found.asked}
    wanted: list[tuple[str, int | None]] = []
    for index, (line, quantity) in enumerate(lines):
        if line not in scales:
            return _refused("reservation.no_line", f"There is no line `{line}`.", f"/lines/{index}/line")
        try:
            wanted.append((line, None if quantity is None else units(quantity, scales[line])))
        except Refusal as refusal:
            return _refused(refusal.problem.code, refusal.problem.detail, f"/lines/{index}/quantity")
    return wanted


def _content(asked: Sequence[Asked]) -> list[tuple[str, int, int, int]]:
    """What must be the same for two requests to be one reservation; the order of lines is not."""
    return sorted((line.line, line.item_id, line.units, line.pickup or 0) for line in asked)


def _less(asked: Sequence[Asked], before: Sequence[tuple[Asked, Shipped]]) -> list[Asked]:
    """The lines less what has left already."""
    gone: dict[str, int] = defaultdict(int)
    for line, shipped in before:
        gone[line.line] += shipped.units
    return [
        msgspec.structs.replace(line, units=line.units - gone[line.line])
        for line in asked
        if line.units > gone[line.line]
    ]


def _remaining(asked: Sequence[Asked], claims: Sequence[Claim]) -> list[Asked]:
    """The lines less what was shipped or given back."""
    gone: dict[str, int] = defaultdict(int)
    for claim in claims:
        gone[claim.line] += claim.shipped + min(claim.released, claim.granted)
    return [
        msgspec.structs.replace(line, units=line.units - gone[line.line])
        for line in asked
        if line.units > gone[line.line]
    ]
