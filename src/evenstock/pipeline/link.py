"""A session shared with nobody, opened again when it is lost."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from evenstock.core.errors import Refusal
from evenstock.postgres import faults
from evenstock.postgres.database import Database, Session

RECONNECT_S: Final = 0.2
GIVE_UP_S: Final = 10.0  # without a database, before the callers that wait are told

HELD_WORDS: Final = (
    "Another session of the database holds what this would change, for longer than we wait. "
    "Look in pg_stat_activity for one that is idle in transaction."
)

T = TypeVar("T")
log = structlog.get_logger()


class Link:
    """Does work over its session; what is done twice because the session was lost must be safe to do twice."""

    def __init__(
        self,
        database: Database,
        application: str,
        prepare: Callable[[Session], Awaitable[None]] | None = None,
        *,
        give_up_s: float = GIVE_UP_S,
    ) -> None:
        self._database = database
        self._application = application
        self._prepare = prepare  # of a new session
        self._give_up_s = give_up_s
        self._db: Session | None = None

    async def db(self) -> Session:
        if self._db is None or self._db.is_closed():
            self._db = await self._database.connect(application=self._application, one_plan=True)
            if self._prepare is not None:
                await self._prepare(self._db)
        return self._db

    async def through(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Do work, again over a new session when the old one is lost.

        Raises Refusal `hub.memory_away` when the database stays away; then nothing of it is promised.
        """
        deadline = asyncio.get_running_loop().time() + self._give_up_s
        while True:
            try:
                return await work(await self.db())
            except faults.CONNECTION_LOST as error:
                log.warning("database.lost", error=repr(error)[:300])
                self.abandon()
                if asyncio.get_running_loop().time() > deadline:
                    raise Refusal(
                        "hub.memory_away", f"The database has not answered for {self._give_up_s:g} s."
                    ) from error
                await asyncio.sleep(RECONNECT_S)

    def abandon(self) -> None:
        """Let go of a session that may be broken."""
        if self._db is not None:
            self._db.terminate()
            self._db = None

    async def close(self) -> None:
        if self._db is not None:
            await self._db.close()
