"""Connections are told what they are owed: one call at a time for each, numbers before commands, and those before postings.

    hold the lane → write down what is about to be sent → COMMIT → send → write down what became of it → COMMIT

A lane is one connection; its holder has a lease that outlasts the longest call, and a fence that rises with each new holder. So
an older number never lands after a newer one, and nothing is sent twice that was confirmed.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import structlog
from prometheus_client import Counter

from evenstock.connectors.contract import (
    Connector,
    Done,
    PartlyDone,
    Rejected,
    RetryLater,
    Unauthorized,
    Unknown,
    World,
)
from evenstock.connectors.found import fitting
from evenstock.core.errors import Refusal
from evenstock.core.pacing import gap_s, paced
from evenstock.core.retry import earned, wait_s
from evenstock.core.tracing.ids import traceparent
from evenstock.core.windows import opens_at
from evenstock.patience import until
from evenstock.pipeline import documents, instructions
from evenstock.pipeline.calls import OUTCOMES, Answer, Told
from evenstock.pipeline.documents import Document
from evenstock.pipeline.instructions import Instruction
from evenstock.pipeline.numbers import Numbers
from evenstock.pipeline.worlds import Worlds
from evenstock.postgres import exceptions, lanes
from evenstock.postgres.database import Connection, Pool
from evenstock.postgres.exceptions import Cause
from evenstock.postgres.lanes import Answered, Lane

CALL_WITHIN_S: Final = 10.0  # a call that takes longer is cut off
LEASE_S: Final = (
    15.0  # longer than a call, so that nobody else talks to the connection while one is under way
)
SILENT_AFTER: Final = 5  # failures in a row, before a person is told
BREAK_AFTER: Final = 3  # failures in a row, before only one thing at a time is tried, until that works

TOLD = Counter("evenstock_dispatches", "What was told to connections, by what became of it.", ["outcome"])

Work = Numbers | Instruction | Document
log = structlog.get_logger()


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
        self._connectors = {
            name: one for name, one in connectors.items() if one.publish or one.command or one.post
        }
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
        """One call: tell a connection what it is owed next; return how many things that were."""
        now = self._now()
        async with self._pool.acquire() as db, db.transaction():
            lane = await lanes.hold(db, connection_id, self._holder, now, now + timedelta(seconds=LEASE_S))
            if lane is None:
                return 0
            connection = await lanes.connection(db, connection_id)
            if not connection.is_open:
                return 0
            if (opens := opens_at(connection.closed, now)) > now:
                await lanes.rest(db, connection_id, lane.fence, opens, now)
                return 0
            connector = self._connectors[connection.connector]
            work = await self._claim(db, connector, connection, lane, now)
        if work is None:
            return 0
        answers = await self._call(connector, connection, work)
        now = self._now()
        told = self._told(answers, lane.failures)
        complained = any(isinstance(each, RetryLater) and each.cause == "rate" for each in answers)
        per_s = paced(lane.per_s, connection.calls_per_s, complained=complained)
        gap = gap_s(per_s, connection.calls_per_s)
        async with self._pool.acquire() as db, db.transaction():
            await work.settle(db, lane, answers, told, now)
            again_at = now + timedelta(seconds=max(told.wait_s, gap))
            again = sum(work.retried)
            retries = earned(lane.retries, first=len(work) - again, again=again)
            answered = Answered(told.failures, again_at, told.paused, per_s, retries)
            mine = await lanes.set_lane(db, connection_id, lane.fence, answered)
            if mine:
                await _show(db, connection, lane.failures, told, answers, now)
        for answer in answers:
            TOLD.labels(OUTCOMES[type(answer)]).inc()
        return len(work)

    async def leave(self) -> None:
        """Let go of all lanes: another may have them at once."""
        async with self._pool.acquire() as db:
            await lanes.leave(db, self._holder, self._now())

    async def _claim(
        self,
        db: Connection,
        connector: Connector[Any],
        connection: lanes.Connection,
        lane: Lane,
        now: datetime,
    ) -> Work | None:
        """What is sent next, written down as sent."""
        if connector.publish is not None:
            limit = 1 if lane.failures >= BREAK_AFTER else connector.exposures_max
            number = connection.connection_id
            places = int(lane.retries)
            if owed := await lanes.claim(db, number, now, lane.fence, limit, places, connection.drained_at):
                return Numbers(self._tag, connection.connection_id, owed)
        if connector.command is not None and (to_do := await instructions.claim(db, connection, lane, now)):
            return to_do
        if connector.post is None:
            return None
        return await documents.claim(db, connection, lane, now)

    async def _call(
        self, connector: Connector[Any], connection: lanes.Connection, work: Work
    ) -> Sequence[Answer]:
        try:
            settings = fitting(connector, connection.settings)
        except Refusal as refusal:
            return [Unauthorized(refusal.problem.detail)] * len(work)
        world = _traced(await self._worlds.of(connection.id, connection.settings), work.trace_id)
        try:
            async with asyncio.timeout(self._call_within_s):
                with until(self._call_within_s):
                    answers = await work.ask(connector, settings, world)
        except TimeoutError:
            return [Unknown(f"No answer within {self._call_within_s:g} s.")] * len(work)
        except Exception as error:  # a fault of the connector; logged whole, and nobody knows what was done
            log.exception("connector.failed", connection=connection.id, connector=connector.name)
            return [Unknown(f"The connector failed: {error!r}"[:500])] * len(work)
        if len(answers) != len(work):
            log.error("connector.miscounted", connection=connection.id, sent=len(work), answered=len(answers))
            return [Unknown("The connector did not answer for each number.")] * len(work)
        return answers

    def _told(self, answers: Sequence[Answer], failures: int) -> Told:
        chance = self._chance()
        if unauthorized := next((each for each in answers if isinstance(each, Unauthorized)), None):
            return Told(failures + 1, 0.0, chance, unauthorized.detail)
        asked = [
            each.after_s for each in answers if isinstance(each, RetryLater) and each.after_s is not None
        ]
        if any(isinstance(each, Done | PartlyDone | Rejected) for each in answers):
            return Told(0, wait_s(1, chance, max(asked)) if asked else 0.0, chance)
        if any(isinstance(each, RetryLater | Unknown) and each.cause != "busy" for each in answers):
            return Told(failures + 1, wait_s(failures + 1, chance, max(asked, default=None)), chance)
        return Told(
            failures, wait_s(1, chance, max(asked)) if asked else 0.0, chance
        )  # it works, and is busy


def _traced(world: World, trace_id: str | None) -> World:
    """A call goes out under the trace of what it tells; the log knows that of each number."""
    if trace_id is None:
        return world
    return msgspec.structs.replace(world, traceparent=traceparent(trace_id, secrets.token_hex(8)))


async def _show(
    db: Connection,
    connection: lanes.Connection,
    failures: int,
    told: Told,
    answers: Sequence[Answer],
    now: datetime,
) -> None:
    """What a person should know of the connection as a whole, until it answers again."""
    connection_id, name = connection.connection_id, connection.id
    about = f"connection:{connection_id}"
    if told.paused is not None:
        cause = Cause("connection.paused", about, f"{name}: {told.paused}", connection_id)
        await exceptions.open_causes(db, [cause], now)
    elif told.failures >= SILENT_AFTER:
        last = answers[0]
        why = last.detail if isinstance(last, RetryLater | Unknown) else ""
        detail = f"{name} has not taken anything in {told.failures} tries. {why}".strip()
        await exceptions.open_causes(db, [Cause("connection.silent", about, detail, connection_id)], now)
    elif failures:
        codes = ("connection.paused", "connection.silent")
        await exceptions.close_causes(db, ((code, about) for code in codes), now)
