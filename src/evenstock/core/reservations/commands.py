"""What is asked of the desk about reservations, and what it answers."""

from datetime import timedelta

import msgspec

from evenstock.core.channels import Terms
from evenstock.core.errors import Problem
from evenstock.core.quantity import Quantity
from evenstock.core.reservations.claims import Asked, Identity, RequestKey
from evenstock.core.reservations.placing import Short
from evenstock.core.reservations.told import ReservationTold


class Reserve(msgspec.Struct, frozen=True, kw_only=True):
    """Promise these lines."""

    reservation_id: int  # if it is granted
    channel_id: int | None
    channel: str | None
    order_ref: str | None
    asked: tuple[Asked, ...]
    terms: Terms
    all_or_nothing: bool = True
    is_promised: bool = (
        False  # by somebody else, to a customer: it is accepted, if need be beyond what there is
    )
    expires_in: timedelta | None = None
    request: RequestKey | None = None
    digest: bytes = b""
    trace_id: str | None = None  # that its caller gave

    @property
    def identity(self) -> Identity | None:
        return None if self.order_ref is None else (self.channel_id, self.order_ref)


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


class Answer(msgspec.Struct, frozen=True):
    """What became of a command."""

    reservation: ReservationTold
    is_new: bool = False


class Refused(msgspec.Struct, frozen=True):
    """Why a command was not done; `short` when more would have to be there."""

    problem: Problem
    short: tuple[Short, ...] = ()


def refused(code: str, detail: str, pointer: str = "") -> Refused:
    return Refused(Problem(code, detail, pointer))
