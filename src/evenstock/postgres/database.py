"""Where the memory is, and how a session with it begins: schema, role, time zone and limits are set at connect.

All SQL is unqualified and finds its schema by `search_path`. The runtime acts as the role `evenstock_app`, which may not
change the ledger; whoever migrates acts as the owner.
"""

from typing import Final, TypeAlias

import asyncpg
import msgspec

from evenstock import clock
from evenstock.postgres import fences
from evenstock.postgres.errors import DatabaseUnfit
from evenstock.postgres.queries import load

SQL: Final = load("server")

RUNTIME_ROLE: Final = "evenstock_app"
SCHEMA: Final = "evenstock"
SCHEMA_BYTES_MAX: Final = 63  # PostgreSQL cuts longer names silently
VERSION_MIN: Final = 150000

CONNECT_TIMEOUT_S: Final = 10.0
STATEMENT_TIMEOUT_S: Final = 30.0
LOCK_TIMEOUT_S: Final = 10.0
IDLE_IN_TRANSACTION_TIMEOUT_S: Final = 60.0
POOL_SIZE_MAX: Final = 8
STATEMENTS_CACHED_MAX: Final = 200

# Generic for the type checker only.
Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"  # for its caller alone
Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)
Record: TypeAlias = asyncpg.Record
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


class Database(msgspec.Struct, frozen=True):
    """One cell of the memory: a server and the schema in it."""

    url: str
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        if not self.schema or "\0" in self.schema or len(self.schema.encode()) > SCHEMA_BYTES_MAX:
            raise DatabaseUnfit(
                f"A schema's name has 1 to {SCHEMA_BYTES_MAX} bytes; {self.schema!r} does not. Choose another."
            )

    async def connect(
        self,
        *,
        owner: bool = False,
        application: str = "evenstock",
        statement_timeout_s: float = STATEMENT_TIMEOUT_S,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        one_plan: bool = False,
    ) -> Session:
        """One session, for the caller alone. As the owner where the schema itself is changed; 0 s is no limit.

        Before the runtime does anything in a database that was found elsewhere than it stood, the fence is raised.
        """
        session = await asyncpg.connect(
            self.url,
            timeout=CONNECT_TIMEOUT_S,
            statement_cache_size=STATEMENTS_CACHED_MAX,
            server_settings=self._session(
                owner=owner,
                application=application,
                statement_timeout_s=statement_timeout_s,
                lock_timeout_s=lock_timeout_s,
                one_plan=one_plan,
            ),
        )
        try:
            if not owner:
                await self._stands(session)
        except BaseException:
            session.terminate()
            raise
        return session

    def pool(
        self,
        *,
        size_min: int = 1,
        size_max: int = POOL_SIZE_MAX,
        application: str = "evenstock",
        statement_timeout_s: float = STATEMENT_TIMEOUT_S,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        one_plan: bool = False,
    ) -> Pool:
        """Sessions as the runtime, shared by whoever asks: `async with database.pool() as pool`."""
        return asyncpg.create_pool(
            self.url,
            min_size=size_min,
            max_size=size_max,
            timeout=CONNECT_TIMEOUT_S,
            statement_cache_size=STATEMENTS_CACHED_MAX,
            init=self._stands,
            reset=_nothing_to_reset,
            server_settings=self._session(
                owner=False,
                application=application,
                statement_timeout_s=statement_timeout_s,
                lock_timeout_s=lock_timeout_s,
                one_plan=one_plan,
            ),
        )

    async def _stands(self, session: Connection) -> None:
        """Raise the fence where the database went back in time. Over a session of its own, which takes as long as it takes."""
        if not await fences.has_moved(session):
            return
        limits = self._session(
            owner=False,
            application="evenstock fence",
            statement_timeout_s=0,
            lock_timeout_s=0,
            one_plan=False,
        )
        raising = await asyncpg.connect(self.url, timeout=CONNECT_TIMEOUT_S, server_settings=limits)
        try:
            await fences.raise_fence(raising, "moved", clock.now())
        finally:
            await raising.close()

    def _session(
        self,
        *,
        owner: bool,
        application: str,
        statement_timeout_s: float,
        lock_timeout_s: float,
        one_plan: bool,
    ) -> dict[str, str]:
        """`one_plan` keeps one plan for each statement, whatever its arrays hold: planning anew costs more than most run."""
        session = {
            "search_path": quoted(self.schema),
            "timezone": "UTC",
            "application_name": application,
            "statement_timeout": _milliseconds(statement_timeout_s),
            "lock_timeout": _milliseconds(lock_timeout_s),
            "idle_in_transaction_session_timeout": _milliseconds(IDLE_IN_TRANSACTION_TIMEOUT_S),
        }
        if one_plan:
            session["plan_cache_mode"] = "force_generic_plan"
        return session if owner else session | {"role": RUNTIME_ROLE}


async def _nothing_to_reset(session: Connection) -> None:
    """Nobody changes a pooled session's settings, so none are set back: that would be a round trip for each use."""


async def refuse_unsafe(connection: Connection) -> None:
    """Refuse a server on which what we acknowledge could be lost, or that is too old for our SQL."""
    server = await connection.fetchrow(SQL.settings)
    assert server is not None  # noqa: S101 - a SELECT without FROM has one row
    problems = [
        f"{setting} is off: set {setting} = on in its configuration"
        for setting in ("fsync", "full_page_writes", "synchronous_commit")
        if server[setting] == "off"
    ]
    if server["version"] < VERSION_MIN:
        problems.insert(
            0, f"its version is {server['version_words']}: use PostgreSQL {VERSION_MIN // 10000} or newer"
        )
    if server["encoding"] != "UTF8":
        problems.append(f"its encoding is {server['encoding']}: make a database with ENCODING 'UTF8'")
    if problems:
        raise DatabaseUnfit(
            "This PostgreSQL could lose what was acknowledged, or does not understand us; nothing was changed. "
            + "; ".join(problems)
            + "."
        )


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
