"""What a peak is made of. Shares are of what is offered; an event is a sale, a reservation or a question."""

from typing import Final

import msgspec


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A peak."""

    name: str
    words: str
    stores: int = 60
    items: int = 1_000
    reserve: float = 0.25  # orders of the web shop
    ask: float = 0.15  # questions for the stock of an item
    hot: float = 0.0  # of the orders: all want the same item, of which there is too little
    offline: float = 0.0  # of the time a store has no line; then it sends all at once
    spell_s: float = 2.0  # how long such a spell lasts, on average
    repeated: float = 0.0  # of the requests are sent twice
    cut: float = 0.0  # of the requests lose their connection before the answer, and are sent again
    market_points_per_s: float = 1_000.0  # that the marketplace allows for; a number costs about ten
    market_refuses: float = 0.0  # of its calls


PROFILES: Final = {
    profile.name: profile
    for profile in (
        Profile(
            name="black-friday",
            words="a flash sale, a marketplace that allows few calls, and stores whose lines come and go, all at once",
            hot=0.5,
            offline=0.15,
            repeated=0.03,
            cut=0.01,
            market_points_per_s=20.0,
            market_refuses=0.1,
        ),
        Profile(name="saturday", words="a busy day on which nothing is wrong"),
    )
}
