"""Orders of the web shop: what a customer wants to do, and what the hub's promises make of it.

The world says what customers want, not what they get: that is the hub's to promise. A customer who was promised goods pays or
leaves, the shop puts them aside and hands them over, or somebody thinks better of it.
"""

from random import Random
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from evenstock.estate.facts import MINUTE, SECOND, Line

if TYPE_CHECKING:
    from evenstock.estate.world import World

HOLD: Final = 3 * MINUTE  # of a cart, before its units may be promised to others
PAYS_AFTER: Final = (20 * SECOND, 100 * SECOND)  # while its hold lasts
ASIDE_AFTER: Final = (20 * SECOND, 60 * SECOND)  # of the payment
ENDS_AFTER: Final = (40 * SECOND, 5 * MINUTE)  # of that
ENDS: Final = (
    "handed_over",
    "handed_over",
    "handed_over",
    "handed_over",
    "handed_over",
    "handed_over",
    "left",
    "cancelled",
)

End = Literal["handed_over", "left", "cancelled"]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer means to do, in world time. One who leaves says no word: the hold runs out."""

    at: int
    channel: str
    ref: str
    location: str  # where it is sent from, or picked up
    basket: list[Line]
    end: End
    pays_at: int
    aside_at: int
    ends_at: int

    @property
    def goods(self) -> str:
        """`1 × TSH-BLK-M, 2 × JNS-BLU-30`."""
        return ", ".join(f"{units} × {sku}" for sku, units in self.basket)


def place_order(
    world: "World",
    chance: Random,
    at: int,
    channel: str,
    location: str,
    basket: list[Line],
    end: End | None = None,
) -> None:
    """A customer wants something, and it is settled what will come of it if it is promised."""
    pays_at = at + chance.randrange(*PAYS_AFTER)
    aside_at = pays_at + chance.randrange(*ASIDE_AFTER)
    ends_at = aside_at + chance.randrange(*ENDS_AFTER)
    by_chance: End = chance.choice(ENDS)
    order = Order(
        at=at, channel=channel, ref=f"WEB-{20_000 + world.number('WEB')}", location=location, basket=basket,
        end=by_chance if end is None else end, pays_at=pays_at, aside_at=aside_at, ends_at=ends_at,
    )  # fmt: skip
    world.say(order)
