"""Channels: where we sell, from which locations, and what a channel says about its reservations."""

from datetime import timedelta
from typing import Final

import msgspec

HOLD: Final = timedelta(minutes=15)  # of a cart, where neither the request nor the channel says otherwise
UNPAID: Final = timedelta(days=1)  # of an order that is not paid yet


class Terms(msgspec.Struct, frozen=True):
    """How a reservation is placed, and how long it lasts by stage; a paid one never expires (S24)."""

    locations: tuple[int, ...] = ()  # in the order in which they are filled
    safety_stock: int = 0  # base units that each location keeps back
    hold: timedelta = HOLD
    unpaid: timedelta = UNPAID


class Channel(msgspec.Struct, frozen=True):
    channel_id: int
    id: str
    terms: Terms
