"""Servers of their own over one database, and a client that speaks HTTP to them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from conftest import NOW
from evenstock.postgres import keys
from evenstock.postgres.database import Database

SERVE = "from evenstock.cli import main; main()"
SOURCE = Path(__file__).parents[2] / "src"
LISTENING = "listening on "


class Served:
    """One server process."""

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self.process = process
        self.url = url

    def kill(self) -> None:
        """As the power fails: nothing is finished, nothing is said."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def served(database: Database, number: int = 1) -> Iterator[list[Served]]:
    """Servers over one database; they are stopped at the end, if they still live."""
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    command = [
        sys.executable, "-c", SERVE, "serve", "--port", "0", "--database-url", database.url, "--schema", database.schema,
        "--log-level", "error",
    ]  # fmt: skip
    processes = [
        subprocess.Popen(  # noqa: S603 - our own server
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
        )
        for _ in range(number)
    ]
    try:
        yield [Served(process, _address(process)) for process in processes]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.communicate(timeout=30)


def _address(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if LISTENING in line:
            return line.partition(LISTENING)[2].strip()
    raise AssertionError("the server did not start: " + "".join(said))


class Client:
    """Asks servers, one key, answers as (status, JSON)."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def post(self, path: str, body: Any = None, *, url: str = "", **headers: str) -> tuple[int, Any]:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        async with self._session.post(
            (url or self.url) + path, json=body if body is not None else {}, headers=named
        ) as answer:
            return answer.status, json.loads(await answer.read())

    async def get(self, path: str) -> tuple[int, Any]:
        async with self._session.get(self.url + path) as answer:
            return answer.status, json.loads(await answer.read())


@asynccontextmanager
async def client(database: Database, url: str, *scopes: str) -> AsyncIterator[Client]:
    """A client with a key of these scopes, or of all."""
    db = await database.connect(application="tests")
    try:
        _, key = await keys.create(db, "tests", list(scopes or ("*",)), [], NOW, device=False)
    finally:
        await db.close()
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {key}"},
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=60),
    ) as session:
        yield Client(session, url)


def until_all(*doing: Any) -> "asyncio.Future[list[Any]]":
    return asyncio.gather(*doing)
