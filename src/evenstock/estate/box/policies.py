"""How an estate can be run: what a channel is told, when, and how much is kept back."""

from typing import Final

import msgspec


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A way to run an estate."""

    name: str
    words: str
    publish_s: float = 2.0  # how long changes are gathered
    batch_minutes: int = 0  # stores report, and channels are told, only so often; 0: at once
    reserves: bool = True  # the web shop asks the hub at checkout
    safety_stock: int = 0  # that each location keeps back from channels
    dark_minutes: int = 0  # a store silent for so long is taken off the channels; 0: never


POLICIES: Final = {
    policy.name: policy
    for policy in (
        Policy(
            name="hourly",
            words="point to point: files every hour, every channel keeps its own number",
            batch_minutes=60,
            reserves=False,
        ),
        Policy(
            name="quarter",
            words="point to point: files every 15 minutes",
            batch_minutes=15,
            reserves=False,
        ),
        Policy(name="hub", words="the hub, everything on the shelf is offered"),
        Policy(name="hub-safety", words="the hub, each place keeps one unit back", safety_stock=1),
        Policy(
            name="hub-dark",
            words="the hub, one unit kept back, stores silent for 10 minutes are off the channels",
            safety_stock=1,
            dark_minutes=10,
        ),
    )
}
