"""Secrets at rest: names, and tokens that nobody can read who has only the database."""

from datetime import datetime
from typing import Final

from evenstock.postgres.database import Connection
from evenstock.postgres.queries import load

SQL: Final = load("secrets")


async def put(db: Connection, name: str, token: str, now: datetime) -> None:
    await db.execute(SQL.put, name, token, now)


async def get(db: Connection, name: str) -> str | None:
    token: str | None = await db.fetchval(SQL.token_of, name)
    return token


async def every(db: Connection) -> list[tuple[str, datetime]]:
    """Names, and when each was last changed."""
    return [(row["name"], row["changed_at"]) for row in await db.fetch(SQL.every)]


async def remove(db: Connection, name: str) -> bool:
    """Whether there was one to remove."""
    return await db.fetchval(SQL.remove, name) is not None
