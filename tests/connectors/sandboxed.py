"""A sandbox on a port of its own, and a world to reach it from: real HTTP, through the one guarded way out."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from evenstock.address import bound
from evenstock.connectors.contract import World
from evenstock.connectors.sandbox import Sandbox, application, server
from evenstock.core.errors import Refusal
from evenstock.outbound import Outbound


class NoFiles:
    """Nothing here writes files."""

    async def append(self, name: str, lines: Sequence[bytes]) -> None:
        raise AssertionError(name, lines)

    async def holds(self, name: str, fragments: Sequence[bytes]) -> set[bytes]:
        raise AssertionError(name, fragments)


class Secrets:
    """Secrets by reference, as given."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = dict(known)

    async def open(self, reference: str) -> str:
        if reference not in self._known:
            raise Refusal("config.unknown", f"There is no secret {reference}.")
        return self._known[reference]

    async def keep(self, reference: str, value: str) -> None:
        if not reference.startswith("secret:"):
            raise Refusal("secret.unusable", f"Nothing is kept at {reference}.")
        self._known[reference] = value


class Peer:
    """A sandbox that is served: its state, its control, and the world that reaches it."""

    def __init__(self, sandbox: Any, url: str, world: World, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.url = url
        self.world = world
        self._session = session

    async def control(self, name: str, given: Any = None, *, status: int = 200) -> Any:
        async with self._session.post(
            f"{self.url}/sandbox/{name}", data=msgspec.json.encode(given or {})
        ) as answer:
            found = await answer.json()
            assert answer.status == status, found
            return found

    async def faults(self, *following: str, status: int = 200, **settings: Any) -> Any:
        body = msgspec.json.encode({"next": list(following)} | settings)
        async with self._session.put(f"{self.url}/sandbox/faults", data=body) as answer:
            found = await answer.json()
            assert answer.status == status, found
            return found

    async def waiting(self) -> list[str]:
        """Faults that were set to strike next and have not yet."""
        async with self._session.get(f"{self.url}/sandbox/faults") as answer:
            found: list[str] = (await answer.json())["next"]
            return found

    async def log(self) -> list[dict[str, Any]]:
        async with self._session.get(f"{self.url}/sandbox/log") as answer:
            found: list[dict[str, Any]] = await answer.json()
            return found

    async def did(self) -> list[str]:
        """The operations asked of it so far."""
        return [entry["operation"] for entry in await self.log()]


@asynccontextmanager
async def served(
    sandbox: Sandbox, secrets: Mapping[str, str] | None = None, *, seed: int = 0, keep: Path | None = None
) -> AsyncIterator[Peer]:
    with bound("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        listener.listen()
        serving_it = server(application(sandbox, seed=seed, keep=keep))
        serving = asyncio.create_task(serving_it.serve([listener]))
        http = Outbound([f"127.0.0.1:{port}"])
        world = World(http=http, files=NoFiles(), secrets=Secrets(secrets or {}))
        try:
            async with aiohttp.ClientSession() as session:
                yield Peer(sandbox, f"http://127.0.0.1:{port}", world, session)
        finally:
            await http.close()
            serving_it.should_exit = True
            await serving
