"""What leaves for orders, and what of it never did (K4): shipments meet claims, whichever came first (example 37)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from evenstock.core.reservations.book import ClaimBook
from evenstock.core.reservations.claims import Asked, Claim, Reservation, Shipped


class Dock:
    """Meets units that leave with the claims in a book. What left is never refused."""

    def __init__(self, book: ClaimBook, unclaimed: Iterable[Shipped] = ()) -> None:
        self.book = book
        self._unclaimed: dict[str, list[Shipped]] = {}  # that left before this batch, by order_ref
        for shipped in unclaimed:
            if shipped.order_ref is not None:
                self._unclaimed.setdefault(shipped.order_ref, []).append(shipped)

    def ship(self, shipped: Shipped, order_ref: str | None, reservation_id: int | None) -> None:
        """Units left: they fulfil the claims of their order, those at the same location first; the rest nobody promised.

        What is open of any claim goes before what was given back of another, so that shipping and releasing commute (K3).
        """
        pairs = self._claims_for(shipped, order_ref, reservation_id)
        left = shipped.units
        for found, claim in pairs:
            left -= self._fulfil(found, claim, shipped, min(left, claim.open))
        for found, claim in pairs:
            left -= self._fulfil(found, claim, shipped, min(left, claim.granted - claim.shipped))
        if left:
            self.book.shipments.append(replace(shipped, units=left))

    def _fulfil(self, found: Reservation, claim: Claim, shipped: Shipped, units: int) -> int:
        if units <= 0:
            return 0
        before = claim.open
        claim.shipped += units
        self.book.note(found, claim, "ship", before, elsewhere=shipped.location_id != claim.location_id)
        self._goes_on(found)
        self.book.shipments.append(
            replace(shipped, units=units, reservation_id=found.reservation_id, claim_no=claim.claim_no)
        )
        return units

    def _goes_on(self, found: Reservation) -> None:
        """An order of which something left is one, and never expires."""
        if found.status == "held":
            found.status = "confirmed"
        if not found.has_ended:
            found.expires_at = None
        self.book.settle(found)

    def _claims_for(
        self, shipped: Shipped, order_ref: str | None, reservation_id: int | None
    ) -> list[tuple[Reservation, Claim]]:
        pairs = [
            (found, claim)
            for found in self.book.meant(order_ref, reservation_id)
            if (not found.has_ended or found.status == "fulfilled") and not found.is_due(self.book.now)
            for claim in found.claims
            if claim.item_id == shipped.item_id and not claim.closed
        ]
        return sorted(
            pairs,
            key=lambda pair: (
                pair[1].location_id != shipped.location_id,
                pair[0].reservation_id,
                pair[1].claim_no,
            ),
        )

    def unship(self, shipped: Shipped) -> None:
        """A shipment that never was: its claim is open again, unless the order was cancelled or has another reservation."""
        book = self.book
        book.shipments.append(replace(shipped, units=-shipped.units))
        if shipped.reservation_id is None:
            return
        found = book.reservations[shipped.reservation_id]
        claim = next(claim for claim in found.claims if claim.claim_no == shipped.claim_no)
        before = claim.open
        is_moved = claim.closed and not found.was_closed
        has_another = found.has_ended and book.open_under(found.identity) is not None
        claim.shipped -= shipped.units
        if has_another:
            claim.closed = True
        elif is_moved:  # closed because the rest of it went elsewhere; these units did not
            before = 0
            claim = found.add(
                claim.line, claim.item_id, claim.location_id, shipped.units, allocated=claim.allocated
            )
        book.note(found, claim, "unship", before, elsewhere=shipped.location_id != claim.location_id)
        book.resume(found)

    # What became of an order before it was reserved (example 37) ---------------------------------------------------

    def left_before(self, order_ref: str | None, lines: Sequence[Asked]) -> list[tuple[Asked, Shipped]]:
        """Which units that left unpromised are those of these lines, as far as the lines go."""
        left = list(self._unclaimed.get(order_ref, ())) if order_ref is not None else []
        found: list[tuple[Asked, Shipped]] = []
        for asked in lines if left else ():
            wants = asked.units
            for index, shipped in enumerate(left):
                got = min(wants, shipped.units) if shipped.item_id == asked.item_id else 0
                if got > 0:
                    found.append((asked, replace(shipped, units=got)))
                    left[index] = replace(shipped, units=shipped.units - got)
                    wants -= got
        return found

    def claim_left(self, found: Reservation, before: Sequence[tuple[Asked, Shipped]]) -> None:
        """They are claimed now, and fulfilled in the same breath."""
        used: dict[tuple[int, int, int], int] = defaultdict(int)
        for asked, shipped in before:
            claim = found.add(asked.line, asked.item_id, shipped.location_id, shipped.units)
            claim.shipped = shipped.units
            self.book.keep(found)
            self.book.shipments.append(replace(shipped, units=-shipped.units))
            self.book.shipments.append(
                replace(shipped, reservation_id=found.reservation_id, claim_no=claim.claim_no)
            )
            used[shipped.whence] += shipped.units
        if before:
            order_ref = found.order_ref or ""
            self._unclaimed[order_ref] = [
                replace(shipped, units=shipped.units - used[shipped.whence])
                for shipped in self._unclaimed[order_ref]
            ]
            self._goes_on(found)


def less(asked: Sequence[Asked], before: Sequence[tuple[Asked, Shipped]]) -> list[Asked]:
    """The lines less what has left already."""
    gone: dict[str, int] = defaultdict(int)
    for line, shipped in before:
        gone[line.line] += shipped.units
    return [
        replace(line, units=line.units - gone[line.line]) for line in asked if line.units > gone[line.line]
    ]
