"""What each connection's connector may reach: its own pool on the guarded way out, its files, its secrets, its memory."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from evenstock.connectors.contract import World
from evenstock.core.errors import Refusal
from evenstock.outbound import Outbound
from evenstock.pipeline.files import Folder, Folders
from evenstock.pipeline.pace import Paced
from evenstock.pipeline.vault import Vault
from evenstock.postgres.database import Pool


class Worlds:
    """One world for each connection, for as long as its settings stay as they are."""

    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        data: Path,
        now: Callable[[], datetime],
        allow: Sequence[str] = (),
        folders: Sequence[Path] = (),
    ) -> None:
        self._secrets = _Secrets(pool, vault, now)
        self._pool = pool
        self._now = now
        self._data = data
        self._allow = allow
        self._folders = Folders(data, folders)
        self._known: dict[str, tuple[dict[str, Any], World, Outbound]] = {}

    async def of(self, connection: str, settings: dict[str, Any]) -> World:
        """The world of a connection; what was remembered under other settings is forgotten."""
        known = self._known.get(connection)
        if known is not None and known[0] == settings:
            return known[1]
        if known is not None:
            await known[2].close()
        http = Outbound(self._allow)
        world = World(
            http=Paced(http, self._pool, connection, self._now),
            files=Folder(self._data, connection),
            secrets=self._secrets,
            folder=self._folders.folder,
            addresses=http.addresses,
        )
        self._known[connection] = (settings, world, http)
        return world

    async def close(self) -> None:
        """Let go of all that is open."""
        for _, _, http in self._known.values():
            await http.close()
        self._known.clear()


class _Secrets:
    """The vault, as connectors see it."""

    def __init__(self, pool: Pool, vault: Vault, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._vault = vault
        self._now = now

    async def open(self, reference: str) -> str:
        async with self._pool.acquire() as db:
            return await self._vault.open(db, reference)

    async def keep(self, reference: str, value: str) -> None:
        where, _, name = reference.partition(":")
        if where != "secret":
            raise Refusal(
                "secret.unusable", f"{reference} is not in the store, so nothing can be kept there."
            )
        async with self._pool.acquire() as db:
            await self._vault.store(db, name, value, self._now())
