"""Promises against sellable units: reservations, the claims they hold, and how each of them ends (D6, counting §6).

claims    a claim and its fold (K3)             placing   where units are promised
commands  what is asked, and answered           desk      decides commands, in arrival order (K7)
book      what is locked, and what changed      dock      shipments meet claims (K4)
told      a reservation in its own words
"""

from evenstock.core.reservations.book import ClaimBook, Locked, Unforeseen
from evenstock.core.reservations.claims import (
    Asked,
    Claim,
    Identity,
    ReleaseRow,
    RequestKey,
    Reservation,
    Shipped,
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
)
from evenstock.core.reservations.desk import Desk
from evenstock.core.reservations.dock import Dock
from evenstock.core.reservations.placing import Short, candidates, place
from evenstock.core.reservations.told import ReservationTold, told

__all__ = [
    "Allocate",
    "Answer",
    "Asked",
    "Claim",
    "ClaimBook",
    "Command",
    "Confirm",
    "Desk",
    "Dock",
    "Expire",
    "Identity",
    "Locked",
    "Refused",
    "Release",
    "ReleaseRow",
    "RequestKey",
    "Reservation",
    "ReservationTold",
    "Reserve",
    "Shipped",
    "Short",
    "Unforeseen",
    "candidates",
    "place",
    "told",
]
