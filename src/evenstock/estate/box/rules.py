"""The rules that the hub in the box plays by: production's own, in one place where a test may plant a bug."""

from collections.abc import Callable
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

from evenstock.core import exposure
from evenstock.core.availability import PositionRow
from evenstock.core.booking import Booking, Position, book, slow_positions
from evenstock.core.events import same_fact
from evenstock.core.intake import Fact, prepare
from evenstock.core.ledger import Vector
from evenstock.core.mapping.form import When
from evenstock.core.mapping.times import Clockwork
from evenstock.core.ordering import merge
from evenstock.core.reservations import ClaimBook, Desk, Dock
from evenstock.core.voids import refusal

REMEMBERED: Final = 1 << 16
HERE: Final = exposure.Terms(frozenset({""}))


def offer(position: Position, safety_stock: int) -> int:
    """What a position adds to what a channel is told, in units."""
    return _offer(position.vector, position.reserved, position.allocated, safety_stock)


@lru_cache(maxsize=REMEMBERED)
def _offer(vector: Vector, reserved: int, allocated: int, safety_stock: int) -> int:
    """Shelves of a few units are alike by the thousand: what they offer is worked out once."""
    return sum(exposure.steps(HERE, safety_stock, PositionRow("", vector, reserved, allocated)))


def localise(zone: str, text: str) -> datetime:
    """The instant that a shop's wall clock means; of an hour that comes twice, the first."""
    return datetime.fromisoformat(_clockwork(zone).read(text, "time").text)


@cache
def _clockwork(zone: str) -> Clockwork:
    return Clockwork(When(column="time", zone=zone))


class Rules(NamedTuple):
    """Functions of `core`."""

    prepare: Callable[..., Fact] = prepare
    same_fact: Callable[..., bool] = same_fact
    refusal: Callable[..., str | None] = refusal
    slow_positions: Callable[..., Any] = slow_positions
    book: Callable[..., Booking] = book
    merge: Callable[..., list[int]] = merge
    claims: Callable[..., ClaimBook] = ClaimBook
    desk: Callable[..., Desk] = Desk
    dock: Callable[..., Dock] = Dock
    offer: Callable[[Position, int], int] = offer
    localise: Callable[[str, str], datetime] = localise
