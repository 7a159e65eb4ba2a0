"""What is configured now, as configuration files name it."""

from typing import Any, Final

import msgspec

from evenstock.postgres import owners
from evenstock.postgres.database import Connection
from evenstock.postgres.queries import load

MASTERS: Final = load("masters")
CHANNELS: Final = load("channels")


async def locations(db: Connection) -> list[dict[str, Any]]:
    """All locations, by their own names."""
    return [msgspec.json.decode(row[0]) for row in await db.fetch(MASTERS.every_location)]


async def connections(db: Connection) -> list[dict[str, Any]]:
    """All connections, as their batch call takes them."""
    return [msgspec.json.decode(row[0]) for row in await db.fetch(CHANNELS.configured_connections)]


async def claims(db: Connection) -> list[dict[str, Any]]:
    """Who is right about what, as their batch call takes them."""
    return [
        msgspec.to_builtins(each) | {"id": f"{each.domain} {each.scope}"} for each in await owners.every(db)
    ]


async def sales_channels(db: Connection) -> list[dict[str, Any]]:
    """All channels, their locations by id and in order."""
    return [msgspec.json.decode(row[0]) for row in await db.fetch(CHANNELS.every_channel)]
