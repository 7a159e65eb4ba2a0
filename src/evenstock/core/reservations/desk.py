"""Decides commands about reservations in memory, in arrival order, over a book that its caller has locked.

What is left falls as it grants, so nothing is ever promised twice (K7).
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from evenstock.core.booking import PositionKey
from evenstock.core.channels import Terms
from evenstock.core.errors import Problem, Refusal
from evenstock.core.names import public_id
from evenstock.core.quantity import Quantity, units
from evenstock.core.reservations.book import ClaimBook, Unforeseen
from evenstock.core.reservations.claims import (
    Asked,
    ReleaseRow,
    RequestKey,
    Reservation,
    Shipped,
    content,
    remaining,
)
from evenstock.core.reservations.commands import (
    Allocate,
    Answer,
    Command,
    Confirm,
    Expire,
    Refused,
    Release,
    Reserve,
    refused,
)
from evenstock.core.reservations.dock import Dock, less
from evenstock.core.reservations.placing import candidates, in_words, place
from evenstock.core.reservations.told import told


class Desk:
    """Does commands, each seeing what those before it changed; what came of them stands in the book."""

    def __init__(
        self,
        book: ClaimBook,
        *,
        names: Mapping[int, str] = {},  # never changed
        requests: Mapping[RequestKey, tuple[bytes, int]] = {},  # never changed
        releases: Iterable[ReleaseRow] = (),
        unclaimed: Iterable[Shipped] = (),
    ) -> None:
        self.book = book
        self.now = book.now
        self._dock = Dock(book, unclaimed)
        self._names = names
        self._requests = dict(requests)
        self._releases: dict[tuple[int, str], list[ReleaseRow]] = {}
        for row in releases:
            self._releases.setdefault((row.reservation_id, row.key), []).append(row)
        self.remembered: list[tuple[RequestKey, bytes, int]] = []
        self.released: list[ReleaseRow] = []
        self.short: set[PositionKey] = set()  # where there was too little for somebody

    def do(self, command: Command) -> Answer | Refused:
        """Decide one command. Raises Unforeseen, before it changed anything."""
        self.book.begin()
        if isinstance(command, Reserve):
            return self._reserve(command)
        found = self.book.reservations.get(command.reservation_id)
        if found is None:
            return refused(
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
                self._expire_if_due(found)
                return self._told(found)

    def _expire_if_due(self, found: Reservation) -> None:
        if found.is_due(self.now):
            self.book.close(found, "expired")

    # Reserve -------------------------------------------------------------------------------------------------------

    def _reserve(self, wanted: Reserve) -> Answer | Refused:
        if wanted.request is not None and wanted.request in self._requests:
            return self._again(*self._requests[wanted.request], wanted)
        current = self.book.open_under(wanted.identity)
        if current is not None and not current.is_due(self.now):
            if content(current.asked) != content(wanted.asked):
                return refused(
                    "reservation.changed",
                    f"{wanted.order_ref} is reserved with other lines as {public_id(current.reservation_id)}.",
                )
            self._remember(wanted, current)
            return self._told(current)
        self.book.foresee_lines(wanted.asked, wanted.terms.locations)
        if current is not None:
            self.book.close(current, "expired")
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
            trace_id=wanted.trace_id,
            is_new=True,
        )
        before = self._dock.left_before(wanted.order_ref, wanted.asked)
        asked = less(wanted.asked, before)
        if wanted.is_promised:
            refusal = self._accept(reservation, asked)
        else:
            refusal = self._grant(reservation, asked, allow_none=bool(before))
        if refusal is not None:
            return refusal
        self.book.open(reservation)
        self._dock.claim_left(reservation, before)
        self._remember(wanted, reservation)
        return self._told(reservation, is_new=True)

    def _again(self, digest: bytes, reservation_id: int, wanted: Reserve) -> Answer | Refused:
        """The request came before under its key."""
        if digest != wanted.digest:
            return _reused()
        if reservation_id not in self.book.reservations:
            raise Unforeseen(ids=[reservation_id])
        return self._told(self.book.reservations[reservation_id])

    def _remember(self, wanted: Reserve, reservation: Reservation) -> None:
        if wanted.request is not None:
            self._requests[wanted.request] = (wanted.digest, reservation.reservation_id)
            self.remembered.append((wanted.request, wanted.digest, reservation.reservation_id))

    def _grant(
        self, reservation: Reservation, asked: Sequence[Asked], *, allow_none: bool = False
    ) -> Refused | None:
        terms = reservation.terms
        placed, short = place(
            asked, terms.locations, lambda line, location_id: self.book.offer(line, location_id, terms)
        )
        if short:
            self.short |= candidates([lacking.asked for lacking in short], terms.locations)
            if reservation.all_or_nothing or not (placed or allow_none):
                return Refused(Problem("reservation.insufficient", in_words(short), ""), tuple(short))
        for entry in placed:
            self.book.grant(reservation, entry.asked, entry.location_id, entry.units)
        return None

    def _accept(self, reservation: Reservation, asked: Sequence[Asked]) -> Refused | None:
        """Grant what there is, and take over the rest where it would be handed over: a customer has it promised already."""
        terms = reservation.terms
        placed, short = place(
            asked, terms.locations, lambda line, location_id: self.book.offer(line, location_id, terms)
        )
        if short:
            self.short |= candidates([lacking.asked for lacking in short], terms.locations)
        rest = [(lacking, there) for lacking in short if (there := _whence(lacking.asked, terms)) is not None]
        if len(rest) < len(short):
            return Refused(Problem("reservation.insufficient", in_words(short), ""), tuple(short))
        for entry in placed:
            self.book.grant(reservation, entry.asked, entry.location_id, entry.units)
        for lacking, there in rest:
            self.book.accept(reservation, lacking.asked, there, lacking.asked.units - lacking.available)
        return None

    # Confirm and allocate ------------------------------------------------------------------------------------------

    def _confirm(self, found: Reservation, command: Confirm) -> Answer | Refused:
        if (refusal := self._revive(found, found.asked)) is not None:
            return refusal
        if found.status == "held":
            found.status = "confirmed"
            found.expires_at = None if command.paid else self.now + found.terms.unpaid
            self.book.keep(found)
        elif command.paid and found.expires_at is not None and not found.has_ended:
            found.expires_at = None
            self.book.keep(found)
        return self._told(found)

    def _revive(self, found: Reservation, asked: Sequence[Asked]) -> Refused | None:
        """Grant again what an expired reservation held; refuse what ended otherwise (K5). Its own hold is no competition."""
        if found.status in {"released", "shorted"}:
            return refused(
                "reservation.ended",
                f"{public_id(found.reservation_id)} was {found.status} and claims nothing.",
            )
        if found.status != "expired" and not found.is_due(self.now):
            return None
        newer = self.book.open_under(found.identity)
        self.book.foresee_lines(asked, found.terms.locations)
        self._expire_if_due(found)
        if found.status != "expired":  # it was shipped in part
            return None
        if newer is not None and newer is not found:
            named = public_id(newer.reservation_id)
            return refused("reservation.expired", f"It expired, and {named} was made for the same order.")
        refusal = self._grant(found, remaining(asked, found.claims))
        if refusal is not None:
            words = f"It expired, and what it held is promised to others. {refusal.problem.detail}"
            return Refused(Problem("reservation.expired", words), refusal.short)
        found.status = "held"
        found.expires_at = self.now + found.terms.hold
        self.book.open(found)
        return None

    def _allocate(self, found: Reservation, command: Allocate) -> Answer | Refused:
        there = command.location_id
        asked = found.asked if there is None else tuple(replace(line, pickup=there) for line in found.asked)
        if (refusal := self._revive(found, asked)) is not None:
            return refusal
        if found.status == "fulfilled":
            return self._told(found)
        if there is not None and (refusal := self._move(found, there)) is not None:
            return refusal
        for claim in found.claims:
            if claim.open and not claim.allocated:
                self.book.stage(found, claim)
        if found.status in {"held", "confirmed"}:
            found.status = "allocated"
            found.expires_at = None
            self.book.keep(found)
        return self._told(found)

    def _move(self, found: Reservation, there: int) -> Refused | None:
        """Another location takes over what is claimed elsewhere, if it can take all of it (K3)."""
        moving = [claim for claim in found.claims if claim.open and claim.location_id != there]
        by_line = {line.line: line for line in found.asked}
        wanted = [replace(by_line[claim.line], units=claim.open, pickup=there) for claim in moving]
        self.book.foresee({claim.spot for claim in moving} | candidates(wanted, ()))
        _, short = place(
            wanted, (), lambda line, location_id: self.book.offer(line, location_id, found.terms)
        )
        if short:
            self.short |= candidates([entry.asked for entry in short], ())
            return Refused(Problem("reservation.insufficient", in_words(short), "/location"), tuple(short))
        for claim in moving:
            moved = claim.open
            claim.closed = True
            self.book.note(found, claim, "move", moved)
            self.book.grant(found, by_line[claim.line], there, moved, allocated=True)
        return None

    # Release -------------------------------------------------------------------------------------------------------

    def _release(self, found: Reservation, command: Release) -> Answer | Refused:
        if command.lines is not None:
            return self._release_some(found, command, command.lines)
        if found.status == "fulfilled" and not found.was_closed:
            words = f"{public_id(found.reservation_id)} is fulfilled; take it back as a return."
            return refused("reservation.ended", words)
        self._expire_if_due(found)
        if not found.has_ended:
            self.book.close(found, "released")
            found.reason = command.reason
        return self._told(found)

    def _release_some(
        self, found: Reservation, command: Release, lines: Sequence[tuple[str, Quantity | None]]
    ) -> Answer | Refused:
        again = self._releases.get((found.reservation_id, command.key))
        if again is not None:
            return self._told(found, releases=again) if again[0].digest == command.digest else _reused()
        wanted = _in_units(found, lines)
        if isinstance(wanted, Refused):
            return wanted
        self._expire_if_due(found)
        self.book.foresee({claim.spot for claim in found.claims if claim.open})
        rows = [self._release_line(found, command, line, number) for line, number in wanted]
        self._releases[found.reservation_id, command.key] = rows
        self.released += rows
        if not found.has_ended and not found.open:
            found.reason = command.reason
        self.book.settle(found)
        return self._told(found, releases=rows)

    def _release_line(
        self, found: Reservation, command: Release, line: str, number: int | None
    ) -> ReleaseRow:
        """Give back units of a line, those placed last first. What was asked for and is not there is kept as excess (S33),
        first upon units that have left: should their shipment be voided, they are not promised again.
        """
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
                self.book.note(found, claim, "release", before)
        for claim in claims:
            spare = min(left, max(0, claim.granted - claim.released))
            claim.released += spare
            left -= spare
        if claims:
            claims[0].released += left
            self.book.keep(found)
        return ReleaseRow(
            found.reservation_id, command.key, line, command.digest, requested, min(there, requested)
        )

    def _told(
        self, found: Reservation, *, is_new: bool = False, releases: Sequence[ReleaseRow] = ()
    ) -> Answer:
        return Answer(told(found, self._names, self.now, releases), is_new)


def _whence(line: Asked, terms: Terms) -> int | None:
    """Where a line is handed over, or else sold from first."""
    return line.pickup if line.pickup is not None else next(iter(terms.locations), None)


def _reused() -> Refused:
    return refused("idempotency.key_reused", "This Idempotency-Key came before with another request.")


def _in_units(
    found: Reservation, lines: Sequence[tuple[str, Quantity | None]]
) -> list[tuple[str, int | None]] | Refused:
    """Lines to release with their units; None is all of a line."""
    scales = {line.line: line.scale for line in found.asked}
    wanted: list[tuple[str, int | None]] = []
    for index, (line, quantity) in enumerate(lines):
        if line not in scales:
            return refused("reservation.no_line", f"There is no line `{line}`.", f"/lines/{index}/line")
        try:
            wanted.append((line, None if quantity is None else units(quantity, scales[line])))
        except Refusal as refusal:
            return refused(refusal.problem.code, refusal.problem.detail, f"/lines/{index}/quantity")
    return wanted
