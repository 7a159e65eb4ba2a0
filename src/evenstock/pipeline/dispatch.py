"""Connections are told the numbers that they are owed: one call at a time for each, zero first, newest wins.

    hold the lane → write down what is about to be sent → COMMIT → send → write down what became of it → COMMIT

A lane is one connection; its holder has a lease that outlasts the longest call, and a fence that rises with each new holder. So
an older number never lands after a newer one. A try whose outcome nobody knows is made again, the same under the same key, before
anything else is told about that item.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import structlog
from prometheus_client import Counter, Histogram

from evenstock.connectors.contract import (
    Connector,
    Done,
    Exposure,
    Outcome,
    Rejected,
    RetryLater,
    Unauthorized,
    Unknown,
    World,
)
from evenstock.connectors.found import fitting
from evenstock.core.errors import Refusal
from evenstock.core.names import dispatch_id
from evenstock.core.quantity import as_number
from evenstock.core.retry import wait_s
from evenstock.core.tracing.ids import traceparent
from evenstock.pipeline.expose import TROUBLES, subject
from evenstock.pipeline.worlds import Worlds
from evenstock.postgres import exceptions, lanes
from evenstock.postgres.database import Connection, Pool
from evenstock.postgres.exceptions import Cause
from evenstock.postgres.lanes import Owed, Settled, Tried

CALL_WITHIN_S: Final = 10.0  # a call that takes longer is cut off
LEASE_S: Final = (
    15.0  # longer than a call, so that nobody else talks to the connection while one is under way
)
SILENT_AFTER: Final = 5  # failures in a row, before a person is told
DELAYED_AFTER: Final = 10  # tries of one number

TOLD = Counter(
    "evenstock_exposures_told", "Numbers told to connections, by what became of them.", ["outcome"]
)
LAG = Histogram(
    "evenstock_exposure_lag_seconds",
    "From computing a number to its confirmation.",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60, 600),
)
OUTCOMES: Final[dict[type[Outcome], str]] = {
    Done: "done",
    RetryLater: "retry",
    Rejected: "rejected",
    Unauthorized: "unauthorized",
    Unknown: "unknown",
}

log = structlog.get_logger()


class Told(msgspec.Struct, frozen=True):
    """How a connection answered as a whole, from which its lane goes on."""

    failures: int
    wait_s: float  # before anything else is sent
    paused: str | None = None  # why nothing is sent until the settings change


class Dispatcher:
    """Tells connections what they are owed, as one holder of lanes among several."""

    def __init__(
        self,
        pool: Pool,
        connectors: Mapping[str, Connector[Any]],
        worlds: Worlds,
        tag: str,
        now: Callable[[], datetime],
        chance: Callable[[], float],
        *,
        call_within_s: float = CALL_WITHIN_S,
    ) -> None:
        self._pool = pool
        self._connectors = {name: one for name, one in connectors.items() if one.publish is not None}
        self._worlds = worlds
        self._tag = tag
        self._holder = secrets.token_hex(8)
        self._now = now
        self._chance = chance
        self._call_within_s = call_within_s

    async def due(self) -> list[int]:
        """Connections that are owed something now, and that we may talk to."""
        async with self._pool.acquire() as db:
            return await lanes.due(db, self._now(), self._holder, sorted(self._connectors))

    async def tell(self, connection_id: int) -> int:
        """One call: tell a connection what it is owed next; return how many numbers that were."""
        now = self._now()
        async with self._pool.acquire() as db, db.transaction():
            lane = await lanes.hold(db, connection_id, self._holder, now, now + timedelta(seconds=LEASE_S))
            if lane is None:
                return 0
            connection = await lanes.connection(db, connection_id)
            connector = self._connectors[connection.connector]
            owed = await lanes.claim(db, connection_id, now, lane.fence, connector.exposures_max)
        if not owed:
            return 0
        outcomes = await self._call(connector, connection, owed)
        now = self._now()
        told = self._told(outcomes, lane.failures)
        tried = [
            _tried(each, outcome, self._due(each, outcome, told, now))
            for each, outcome in zip(owed, outcomes, strict=True)
        ]
        async with self._pool.acquire() as db, db.transaction():
            settled = await lanes.settle(db, connection_id, lane.fence, tried, now)
            again_at = now + timedelta(seconds=told.wait_s)
            if await lanes.set_lane(db, connection_id, lane.fence, told.failures, again_at, told.paused):
                await _show(db, connection.id, connection_id, lane.failures, told, outcomes, now)
            await _show_numbers(db, connection_id, owed, outcomes, settled, now)
        for each, outcome in zip(owed, outcomes, strict=True):
            TOLD.labels(OUTCOMES[type(outcome)]).inc()
            if isinstance(outcome, Done):
                LAG.observe(max(0.0, (now - each.computed_at).total_seconds()))
        return len(owed)

    async def leave(self) -> None:
        """Let go of all lanes: another may have them at once."""
        async with self._pool.acquire() as db:
            await lanes.leave(db, self._holder, self._now())

    async def _call(
        self, connector: Connector[Any], connection: lanes.Connection, owed: Sequence[Owed]
    ) -> list[Outcome]:
        try:
            settings = fitting(connector, connection.settings)
        except Refusal as refusal:
            return [Unauthorized(refusal.problem.detail)] * len(owed)
        world = _traced(await self._worlds.of(connection.id, connection.settings), owed)
        assert connector.publish is not None  # noqa: S101 - only such lanes are due
        try:
            async with asyncio.timeout(self._call_within_s):
                outcomes = await connector.publish(settings, world, [self._exposure(each) for each in owed])
        except TimeoutError:
            return [Unknown(f"No answer within {self._call_within_s:g} s.")] * len(owed)
        except Exception as error:  # a fault of the connector; logged whole, and nobody knows what was done
            log.exception("connector.failed", connection=connection.id, connector=connector.name)
            return [Unknown(f"The connector failed: {error!r}"[:500])] * len(owed)
        if len(outcomes) != len(owed):
            log.error(
                "connector.miscounted", connection=connection.id, sent=len(owed), answered=len(outcomes)
            )
            return [Unknown("The connector did not answer for each number.")] * len(owed)
        return outcomes

    def _exposure(self, owed: Owed) -> Exposure:
        return Exposure(
            channel=owed.channel,
            sku=owed.sku,
            code=owed.code or owed.sku,
            quantity=as_number(owed.units, owed.scale),
            version=owed.version,
            key=dispatch_id(self._tag, owed.channel_id, owed.item_id, owed.version),
            ledger_seq=owed.ledger_seq,
            computed_at=owed.computed_at,
            trace_id=owed.trace_id,
            again=owed.again,
        )

    def _told(self, outcomes: Sequence[Outcome], failures: int) -> Told:
        if unauthorized := next((each for each in outcomes if isinstance(each, Unauthorized)), None):
            return Told(failures + 1, 0.0, unauthorized.detail)
        asked = [
            each.after_s for each in outcomes if isinstance(each, RetryLater) and each.after_s is not None
        ]
        if any(isinstance(each, Done | Rejected) for each in outcomes):
            return Told(0, wait_s(1, self._chance(), max(asked)) if asked else 0.0)
        return Told(failures + 1, wait_s(failures + 1, self._chance(), max(asked, default=None)))

    def _due(self, owed: Owed, outcome: Outcome, told: Told, now: datetime) -> datetime:
        """When a number that was not done is tried again: with its whole connection, or by itself."""
        if told.failures or not isinstance(outcome, RetryLater | Unknown):
            return now
        return now + timedelta(seconds=wait_s(owed.tries, self._chance()))


def _traced(world: World, owed: Sequence[Owed]) -> World:
    """A call goes out under the trace of the first of its numbers that has one; the log knows that of each."""
    trace_id = next((each.trace_id for each in owed if each.trace_id is not None), None)
    if trace_id is None:
        return world
    return msgspec.structs.replace(world, traceparent=traceparent(trace_id, secrets.token_hex(8)))


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


async def _show(
    db: Connection,
    name: str,
    connection_id: int,
    failures: int,
    told: Told,
    outcomes: Sequence[Outcome],
    now: datetime,
) -> None:
    """What a person should know of the connection as a whole, until it answers again."""
    about = f"connection:{connection_id}"
    if told.paused is not None:
        cause = Cause("connection.paused", about, f"{name}: {told.paused}", connection_id)
        await exceptions.open_causes(db, [cause], now)
    elif told.failures >= SILENT_AFTER:
        last = outcomes[0]
        why = last.detail if isinstance(last, RetryLater | Unknown) else ""
        detail = f"{name} has not taken a number in {told.failures} tries. {why}".strip()
        await exceptions.open_causes(db, [Cause("connection.silent", about, detail, connection_id)], now)
    elif failures:
        codes = ("connection.paused", "connection.silent")
        await exceptions.close_causes(db, ((code, about) for code in codes), now)


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
