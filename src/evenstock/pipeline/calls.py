"""What a call to a connection came to: the answers, and what they say of the connection as a whole."""

from typing import Final

import msgspec

from evenstock.connectors.contract import (
    Done,
    Outcome,
    PartlyDone,
    Rejected,
    RetryLater,
    Unauthorized,
    Unknown,
)

Answer = Outcome | PartlyDone
OUTCOMES: Final[dict[type[Answer], str]] = {
    Done: "done",
    PartlyDone: "partly",
    RetryLater: "retry",
    Rejected: "rejected",
    Unauthorized: "unauthorized",
    Unknown: "unknown",
}


class Told(msgspec.Struct, frozen=True):
    """How a connection answered as a whole, from which its lane goes on."""

    failures: int
    wait_s: float  # before anything else is sent
    chance: float  # from 0 to 1, that waits are spread by
    paused: str | None = None  # why nothing is sent until the settings change
