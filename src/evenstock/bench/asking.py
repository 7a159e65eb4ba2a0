"""What a benchmark asks of the database under the hub, each over a connection of its own."""

from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from evenstock.postgres.database import Connection, Database

P = ParamSpec("P")
T = TypeVar("T")


async def ask(
    db: Database,
    question: Callable[Concatenate[Connection, P], Awaitable[T]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Ask once, as the owner and for as long as it takes."""
    connection = await db.connect(
        owner=True, application="evenstock bench", statement_timeout_s=0, lock_timeout_s=0
    )
    try:
        return await question(connection, *args, **kwargs)
    finally:
        await connection.close()
