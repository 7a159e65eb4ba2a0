"""Connections as the pipeline uses them: connector and settings, read from the database and believed for a few seconds."""

import asyncio
from datetime import datetime
from typing import Any, Final

import msgspec

from evenstock.connectors.contract import Connector, Hook, HookSettings
from evenstock.connectors.found import configured
from evenstock.core.errors import Problem, Refusal
from evenstock.pipeline.vault import Vault
from evenstock.postgres import channels, replays
from evenstock.postgres.database import Pool

REMEMBERED_S: Final = 4.0


class Connection(msgspec.Struct, frozen=True):
    """One configured instance of a connector; `problem` says why it cannot be used."""

    connection_id: int
    id: str
    connector: Connector[Any] | None
    settings: Any
    problem: Problem | None = None
    given: dict[str, Any] = {}  # its settings as they are stored

    @property
    def hook(self) -> Hook | None:
        return None if self.connector is None else self.connector.hook_of(self.settings)


class Connections:
    """All connections, by id and by number; their secrets, opened when first needed."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault
        self._read_at = -REMEMBERED_S
        self._rows: dict[int, tuple[str, str, str]] = {}
        self._by_number: dict[int, Connection] = {}
        self._by_id: dict[str, Connection] = {}
        self._secrets: dict[str, list[str]] = {}
        self._reading = asyncio.Lock()

    async def by_number(self, connection_id: int) -> Connection | None:
        await self._refresh()
        return self._by_number.get(connection_id)

    async def as_of(self, connection_id: int, at: datetime) -> Connection | None:
        """A connection with the settings that it had at an instant, read by the connector of today."""
        async with self._pool.acquire() as db:
            found = await replays.settings_then(db, connection_id, at)
        return None if found is None else _connection(connection_id, *found)

    async def every(self) -> list[Connection]:
        """All connections; one whose row has not changed is the same object as before."""
        await self._refresh()
        return list(self._by_number.values())

    async def taking_hooks(self, id_: str) -> tuple[Connection, Hook]:
        """The connection of this id, and how its webhooks are signed.

        Raises Refusal `hook.unknown`, `connection.settings`.
        """
        await self._refresh()
        connection = self._by_id.get(id_)
        if connection is not None and connection.problem is not None:
            raise Refusal(
                "secret.unusable", f"The connection `{id_}` cannot be used: {connection.problem.detail}"
            )
        hook = None if connection is None else connection.hook
        if connection is None or hook is None:
            raise Refusal("hook.unknown", f"There is no connection `{id_[:128]}` that takes webhooks.")
        return connection, hook

    async def secrets_of(self, connection: Connection) -> list[str]:
        """The secrets its vendor may sign with: the current one, and the one before while that is named.

        Raises Refusal `secret.unknown`, `secret.unusable`.
        """
        found = self._secrets.get(connection.id)
        if found is None:
            settings: HookSettings = connection.settings
            references = [settings.secret, settings.previous_secret]
            async with self._pool.acquire() as db:
                found = [await self._vault.open(db, reference) for reference in references if reference]
            self._secrets[connection.id] = found
        return found

    def forget(self) -> None:
        """Believe nothing any more: somebody changed them."""
        self._read_at = -REMEMBERED_S

    async def _refresh(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._read_at < REMEMBERED_S:
            return
        async with self._reading:
            if now - self._read_at < REMEMBERED_S:
                return
            async with self._pool.acquire() as db:
                rows = await channels.every_connection(db)
            known = self._by_number
            self._by_number = {
                number: known[number] if self._rows.get(number) == row else _connection(number, *row)
                for number, row in rows.items()
            }
            self._by_id = {connection.id: connection for connection in self._by_number.values()}
            self._rows = rows
            self._secrets = {}
            self._read_at = asyncio.get_running_loop().time()


def _connection(number: int, id_: str, connector: str, settings: str) -> Connection:
    try:
        given = msgspec.json.decode(settings)
        found = configured(connector, given)
    except Refusal as refusal:
        return Connection(number, id_, None, None, refusal.problem)
    code, fitted = found or (None, None)
    return Connection(number, id_, code, fitted, given=given)
