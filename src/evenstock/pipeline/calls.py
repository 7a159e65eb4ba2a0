"""What a call to a connection came to: the answers, and what they say of the connection as a whole."""

from datetime import datetime, timedelta
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
from evenstock.core.retry import wait_s
from evenstock.postgres.lanes import Ended

LATE_AFTER: Final = timedelta(minutes=15)  # since it was first sent, before a person is told

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


def ended(
    number: int, tries: int, first_sent_at: datetime, answer: Answer, told: Told, now: datetime
) -> Ended:
    """What a try to send a posting or a command came to, and when it is made again."""
    asked = answer.after_s if isinstance(answer, RetryLater) else None
    wait = told.wait_s or wait_s(tries, told.chance, asked)
    return Ended(
        number,
        tries,
        OUTCOMES[type(answer)],
        None if isinstance(answer, Done | PartlyDone) else answer.detail,
        answer.document if isinstance(answer, Done | PartlyDone) else None,
        now + timedelta(seconds=wait),
        code=answer.code if isinstance(answer, Rejected) else None,
        is_late=now - first_sent_at >= LATE_AFTER,
    )
