"""One lane of a writer: a connection shared with nobody, and the patience to get a batch through it.

A batch whose transaction fails is done once more, then halved until the offender stands alone; only its caller gets the
error. A lost session is opened again, and what had been committed by the old one answers `duplicate`.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from evenstock.core.errors import Problem, Refusal
from evenstock.pipeline.apply import Applied, Incoming, Memory, apply, rejected
from evenstock.pipeline.link import GIVE_UP_S, HELD_WORDS, Link
from evenstock.pipeline.release import release
from evenstock.postgres import faults, ledger
from evenstock.postgres.database import Database

log = structlog.get_logger()


class Lane:
    """Gets batches and releases into the ledger, one after the other."""

    def __init__(
        self,
        database: Database,
        memory: Memory,
        now: Callable[[], datetime],
        *,
        give_up_s: float = GIVE_UP_S,
    ) -> None:
        self._link = Link(database, "evenstock writer", give_up_s=give_up_s)
        self._memory = memory
        self._now = now

    async def open(self) -> None:
        """Connect; a database that is not there fails now, not at the first event."""
        await self._link.db()

    async def close(self) -> None:
        await self._link.close()

    async def apply(self, incoming: Sequence[Incoming]) -> Applied:
        """Apply events, each answered.

        Raises Refusal `hub.memory_away` when the database stays away; then nothing of them is promised.
        """
        if not incoming:
            return await self._nothing()
        for attempt in range(2):
            try:
                return await self._reconnecting(incoming)
            except (Refusal, asyncio.CancelledError):
                raise
            except faults.FULL as error:
                raise Refusal("hub.memory_away", "The database has no room to write.") from error
            except faults.HELD as error:
                raise Refusal("hub.memory_away", HELD_WORDS) from error
            except Exception as error:  # noqa: BLE001 - whatever a batch can raise must not stop the writer
                self._memory.forget()
                log.warning(
                    "batch.failed", events=len(incoming), attempt=attempt + 1, error=repr(error)[:500]
                )
                fault = error
        if len(incoming) == 1 and isinstance(fault, faults.TRANSIENT):
            raise Refusal("hub.memory_away", "The database did not get to this event.") from fault
        if len(incoming) == 1:
            log.error("event.failed", key=incoming[0].event.id, error=repr(fault)[:2000], exc_info=fault)
            problem = Problem(
                "hub.bug", "We could not book this event; it is our fault, and the logs say more."
            )
            nothing = await self._nothing()
            return Applied(nothing.ledger_seq, [rejected(incoming[0].event.id, problem)])
        middle = len(incoming) // 2
        first, second = await self.apply(incoming[:middle]), await self.apply(incoming[middle:])
        return Applied(second.ledger_seq, [*first.results, *second.results])

    async def release(self, subjects: Sequence[str]) -> int:
        """Book what waited for these subjects; returns how many lines."""
        return await release(await self._link.db(), self._memory, subjects, self._now())

    def abandon(self) -> None:
        """Let go of a session that may be broken."""
        self._link.abandon()

    async def _nothing(self) -> Applied:
        try:
            return Applied((await ledger.head(await self._link.db()))[0], [])
        except faults.ANY as error:
            self.abandon()
            raise Refusal("hub.memory_away", "The database does not answer.") from error

    async def _reconnecting(self, incoming: Sequence[Incoming]) -> Applied:
        return await self._link.through(lambda db: apply(db, self._memory, incoming, self._now()))
