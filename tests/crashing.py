"""A session of which the process dies after so many statements: each of them in turn, until what it did goes through."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

ASKS = frozenset({"execute", "executemany", "fetch", "fetchrow", "fetchval"})
STATEMENTS_MAX = 200  # of anything that is swept


class Died(Exception):  # noqa: N818 - it is no error of what it interrupts
    """The process is gone; what its transaction did is undone."""


class Crashing:
    """A session that answers so many statements, its own or those of a pool, and then dies."""

    def __init__(self, db: Any, life: "Life") -> None:
        self._db = db
        self._life = life

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._db, name)
        if name not in ASKS:
            return found

        async def asked(*given: Any, **named: Any) -> Any:
            answer = await found(*given, **named)
            self._life.spend()
            return answer

        return asked


class Life:
    """How many statements are left."""

    def __init__(self, statements: int) -> None:
        self.left = statements

    def spend(self) -> None:
        if self.left == 0:
            raise Died
        self.left -= 1


class CrashingPool:
    """A pool whose sessions share one life."""

    def __init__(self, pool: Any, life: Life) -> None:
        self._pool = pool
        self._life = life

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        async with self._pool.acquire() as db:
            yield Crashing(db, self._life)


async def swept(
    prepare: Callable[[int], Awaitable[None]],
    dying: Callable[[Life, int], Awaitable[Any]],
    after: Callable[[int], Awaitable[None]],
) -> int:
    """Prepare, die after each statement in turn, and look at what is there after; how many places there were to die at."""
    for statements in range(STATEMENTS_MAX):
        await prepare(statements)
        life = Life(statements)
        try:
            await dying(life, statements)
        except Died:
            await after(statements)
            continue
        await after(statements)
        return statements
    raise AssertionError("it never ends")
