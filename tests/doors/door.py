"""A client that knocks as a retailer's system would, and checks what holds for every answer."""

import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from multidict import CIMultiDictProxy
from yarl import URL

from evenstock import clock, wiring
from evenstock.address import bound
from evenstock.api.app import build
from evenstock.core.errors import MEANINGS
from evenstock.pipeline.hub import Hub
from evenstock.postgres import keys, masters
from evenstock.postgres.database import Database

DEADLINE_S = 30.0  # for what should be over in a moment: long, because the machine may be busy
LARGE_BYTES = 1_000_000
COMMAND = (sys.executable, "-c", "from evenstock.cli import main; main()")
REPOSITORY = Path(__file__).parents[2]


class Answer(msgspec.Struct, frozen=True):
    """What came back, read exactly."""

    status: int
    headers: "CIMultiDictProxy[str]"
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw, parse_float=Decimal)

    @property
    def results(self) -> list[dict[str, Any]]:
        assert self.status == 200, self.raw
        found: list[dict[str, Any]] = self.body["results"]
        return found

    @property
    def outcomes(self) -> list[str]:
        return [result["outcome"] for result in self.results]

    @property
    def problem(self) -> tuple[int, str, str]:
        """Status, code and pointer of a refusal."""
        return self.status, self.body["code"], self.body.get("pointer", "")


class Door:
    """The API at a URL, with a key."""

    def __init__(self, url: str, key: str | None, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.key = key
        self.session = session

    def with_key(self, key: str | None) -> "Door":
        return Door(self.url, key, self.session)

    async def call(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request, sent exactly so; the answer has what every answer has."""
        sent = {} if body is None else {"Content-Type": "application/json"}
        if self.key is not None:
            sent["Authorization"] = f"Bearer {self.key}"
        sent |= headers or {}
        url = URL(self.url + path, encoded=True)
        async with self.session.request(method, url, data=_payload(body), headers=sent) as response:
            answer = Answer(response.status, response.headers, await response.read())
        check(answer, path)
        return answer

    async def get(self, path: str, **query: object) -> Answer:
        text = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in query.items())
        return await self.call("GET", path + (f"?{text}" if text else ""))

    async def post(self, path: str, value: object) -> Answer:
        return await self.call("POST", path, json.dumps(value, ensure_ascii=False).encode())

    async def report(self, *events: dict[str, Any]) -> Answer:
        """One event by itself, several as a batch."""
        return await self.post("/v1/events", events[0] if len(events) == 1 else list(events))

    async def stock(self, sku: str, **query: object) -> dict[str, Any]:
        answer = await self.get(f"/v1/availability/{quote(sku, safe='')}", **query)
        assert answer.status == 200, answer.raw
        found: dict[str, Any] = answer.body
        return found

    async def know(self, *skus: str, locations: Sequence[str] = ("0107",)) -> None:
        """Add items and locations, with every default."""
        items = await self.post("/v1/items:batch", {"items": [{"sku": sku} for sku in skus]})
        places = await self.post("/v1/locations:batch", {"locations": [{"id": id_} for id_ in locations]})
        assert (items.status, places.status) == (200, 200), (items.raw, places.raw)


def _payload(body: bytes | None) -> io.BytesIO | bytes | None:
    """The client wants large bodies as files."""
    return io.BytesIO(body) if body is not None and len(body) > LARGE_BYTES else body


def check(answer: Answer, path: str) -> None:
    """What holds for every answer: a request id, a media type, and a refusal is a problem with a known code."""
    media_type = answer.headers.get("Content-Type", "").partition(";")[0]
    if path.startswith("/v1"):
        assert answer.headers.get("X-Request-Id", "").startswith("req_"), path
    if answer.status < 400 or path.startswith("/readyz"):
        return
    assert media_type == "application/problem+json", answer
    problem = answer.body
    meaning = MEANINGS[problem["code"]]
    assert answer.status == problem["status"] == meaning.status
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    assert problem["title"] == meaning.title
    assert problem["action"] == meaning.action
    assert problem["retryable"] == meaning.retryable
    assert problem["data_safe"] is True
    assert problem["type"] == f"/docs/e/{problem['code']}"
    assert problem["detail"].endswith(".")
    assert ("Retry-After" in answer.headers) == (answer.status == 503)
    assert ("WWW-Authenticate" in answer.headers) == (answer.status == 401)


def event(
    id_: str, kind: str, data: dict[str, Any], source: str = "pos-nl", **members: object
) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": id_,
        "source": source,
        "type": f"{kind}.v1",
        "time": "2026-01-20T14:08:12+01:00",
        "data": data,
    } | members


def sale(id_: str, sku: str, quantity: object = 1, location: str = "0107", **members: Any) -> dict[str, Any]:
    return event(id_, "SaleRecorded", {"location": location, "lines": [line(sku, quantity)]}, **members)


def receipt(
    id_: str, sku: str, quantity: object = 1, location: str = "0107", **members: Any
) -> dict[str, Any]:
    return event(id_, "GoodsReceived", {"location": location, "lines": [line(sku, quantity)]}, **members)


def line(sku: str, quantity: object = 1, name: str = "1", **members: object) -> dict[str, Any]:
    return {"line": name, "item": {"sku": sku}, "quantity": quantity} | members


async def make_key(
    database: Database, name: str, *scopes: str, speaks_for: Sequence[str] = (), device: bool = False
) -> str:
    """A key, as `evenstock keys create` makes it; it speaks for the connection of its name, or for these."""
    async with wiring.session(database, "tests") as db:
        sources = list(speaks_for or [name])
        await masters.add_connections(db, sources, "api", clock.now())
        ids = await masters.connections(db)
        bound = [ids[source] for source in sources]
        _, key = await keys.create(db, name, scopes, bound, clock.now(), device=device)
        return key


@asynccontextmanager
async def listening(hub: Hub, *, body_within_s: float = 30.0) -> AsyncIterator[str]:
    """The API of a hub on a free port, served as `evenstock serve` does; yields its URL."""
    with bound("127.0.0.1", 0) as listener:
        server = wiring.Server(build(hub, body_within_s=body_within_s), _unsaid)
        task = asyncio.create_task(server.serve([listener]))
        listens = asyncio.create_task(server.listening.wait())
        await asyncio.wait({task, listens}, return_when=asyncio.FIRST_COMPLETED, timeout=DEADLINE_S)
        assert server.started
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


def _unsaid(words: str) -> None:
    """Nobody listens to what this server says."""


@asynccontextmanager
async def opened(database: Database, *, body_within_s: float = 30.0, **limits: Any) -> AsyncIterator[Door]:
    """A hub over a database, and its door with a key that may do everything."""
    key = await make_key(database, "all", "*")
    async with (
        wiring.hub(database, **limits) as hub,
        listening(hub, body_within_s=body_within_s) as url,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_S)) as session,
    ):
        yield Door(url, key, session)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so, with a turn for everything else between two questions."""
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0)


@asynccontextmanager
async def knocking(url: str, key: str | None) -> AsyncIterator[Door]:
    """The door of a hub that runs elsewhere."""
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield Door(url, key, session)


class Process:
    """A running `evenstock serve`, or another command that listens, as an operator starts it."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process = process
        self.url = url

    @classmethod
    async def start(cls, *options: str, command: Sequence[str] = ("serve",)) -> "Process":
        """Start it and wait until it says where it listens."""
        process = await spawn(*command, *options)
        said = []
        assert process.stderr is not None
        async with asyncio.timeout(DEADLINE_S):
            async for words in process.stderr:
                said.append(words.decode())
                if "listening on " in said[-1]:
                    return cls(process, said[-1].split("listening on ")[1].strip())
        raise AssertionError("it did not begin to listen:\n" + "".join(said))

    @property
    def pid(self) -> int:
        return self._process.pid

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        async with asyncio.timeout(DEADLINE_S):
            _, err = await self._process.communicate()
        self.said = err.decode()
        return self._process.returncode or 0


async def spawn(*arguments: str) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVENSTOCK_")}
    environment |= {"PYTHONPATH": str(REPOSITORY / "src"), "NO_COLOR": "1", "COLUMNS": "100"}
    return await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def evenstock(*arguments: str) -> tuple[int, str, str]:
    """A command: its exit code, what it answered (stdout) and said (stderr)."""
    process = await spawn(*arguments)
    async with asyncio.timeout(DEADLINE_S * 2):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()
