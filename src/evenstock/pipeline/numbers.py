"""One call that tells a connection numbers: what it is owed for its channels, zero first, and what became of each.

A try whose outcome nobody knows is made again, the same under the same key, before anything else is told about that item.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from prometheus_client import Histogram

from evenstock.connectors.contract import (
    Connector,
    Done,
    Exposure,
    Outcome,
    PartlyDone,
    Rejected,
    RetryLater,
    Unknown,
    World,
)
from evenstock.core.names import dispatch_id
from evenstock.core.quantity import as_number
from evenstock.core.retry import wait_s
from evenstock.pipeline.calls import OUTCOMES, Answer, Told
from evenstock.pipeline.expose import TROUBLES, subject
from evenstock.postgres import exceptions, lanes
from evenstock.postgres.database import Connection
from evenstock.postgres.exceptions import Cause
from evenstock.postgres.lanes import Lane, Owed, Settled, Tried

DELAYED_AFTER: Final = 10  # tries of one number, before a person is told

LAG = Histogram(
    "evenstock_exposure_lag_seconds",
    "From computing a number to its confirmation.",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60, 600),
)


class Numbers(msgspec.Struct, frozen=True):
    """Numbers that are told in one call."""

    tag: str
    connection_id: int
    owed: list[Owed]

    def __len__(self) -> int:
        return len(self.owed)

    @property
    def trace_id(self) -> str | None:
        """Of the first number that has one."""
        return next((each.trace_id for each in self.owed if each.trace_id is not None), None)

    @property
    def retried(self) -> list[bool]:
        """Which of them were tried before."""
        return [each.tries > 1 for each in self.owed]

    async def ask(self, connector: Connector[Any], settings: Any, world: World) -> Sequence[Answer]:
        """Tell them; one outcome for each, if the connector keeps to its contract."""
        assert connector.publish is not None  # noqa: S101 - only of such a connector they are claimed
        return await connector.publish(settings, world, [self._exposure(each) for each in self.owed])

    async def settle(self, db: Connection, lane: Lane, answers: Sequence[Answer], told: Told, now: datetime) -> None:  # fmt: skip
        """Write down what became of each, and show a person what needs one."""
        outcomes: list[Outcome] = [each for each in answers if not isinstance(each, PartlyDone)]
        tried = [
            _tried(each, outcome, _due(each, outcome, told, now))
            for each, outcome in zip(self.owed, outcomes, strict=True)
        ]
        settled = await lanes.settle(db, self.connection_id, lane.fence, tried, now)
        await _show_numbers(db, self.connection_id, self.owed, outcomes, settled, now)
        for each, outcome in zip(self.owed, outcomes, strict=True):
            if isinstance(outcome, Done):
                LAG.observe(max(0.0, (now - each.computed_at).total_seconds()))

    def _exposure(self, owed: Owed) -> Exposure:
        return Exposure(
            channel=owed.channel,
            sku=owed.sku,
            code=owed.code or owed.sku,
            quantity=as_number(owed.units, owed.scale),
            version=owed.version,
            key=dispatch_id(self.tag, owed.channel_id, owed.item_id, owed.version),
            ledger_seq=owed.ledger_seq,
            computed_at=owed.computed_at,
            trace_id=owed.trace_id,
            again=owed.again,
        )


def _due(owed: Owed, outcome: Outcome, told: Told, now: datetime) -> datetime:
    """When a number that was not done is tried again: with its whole connection, or by itself."""
    if (told.failures and told.wait_s) or not isinstance(outcome, RetryLater | Unknown):
        return now
    return now + timedelta(seconds=wait_s(owed.tries, told.chance))


def _tried(owed: Owed, outcome: Outcome, due_at: datetime) -> Tried:
    detail = None if isinstance(outcome, Done) else outcome.detail
    document = outcome.document if isinstance(outcome, Done) else None
    return Tried(
        owed.channel_id,
        owed.item_id,
        owed.version,
        owed.tries,
        OUTCOMES[type(outcome)],
        detail,
        document,
        due_at,
    )


async def _show_numbers(
    db: Connection,
    connection_id: int,
    owed: Sequence[Owed],
    outcomes: Sequence[Outcome],
    settled: Sequence[Settled],
    now: datetime,
) -> None:
    """Numbers that were refused, or that are tried in vain for long, until they are taken."""
    said = {
        (each.channel_id, each.item_id): (each, outcome) for each, outcome in zip(owed, outcomes, strict=True)
    }
    opens: list[Cause] = []
    done: list[str] = []
    for row in settled:
        each, outcome = said[row.channel_id, row.item_id]
        about = subject(row.channel_id, row.item_id)
        if isinstance(outcome, Rejected) and row.is_refused:
            detail = f"{each.channel} does not take {each.sku}: {outcome.detail} ({outcome.code})"
            opens.append(Cause("exposure.rejected", about, detail, connection_id, each.item_id))
        elif isinstance(outcome, RetryLater | Unknown) and each.tries >= DELAYED_AFTER:
            detail = f"{each.channel} has not taken {each.sku} in {each.tries} tries: {outcome.detail}"
            opens.append(Cause("exposure.delayed", about, detail, connection_id, each.item_id))
        elif isinstance(outcome, Done):
            done.append(about)
    await exceptions.open_causes(db, opens, now)
    if done and await lanes.is_troubled(db, connection_id):
        await exceptions.close_causes(db, ((code, about) for code in TROUBLES for about in done), now)
