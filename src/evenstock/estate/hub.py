"""The hub as its users see it: HTTP, JSON and a key. Nothing else of it is known here."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from evenstock.core.explaining import Explanation
from evenstock.core.ledger import Vector

T = TypeVar("T")

BATCH_MAX: Final = 500
PAGE_MAX: Final = 500
ANSWERS_WITHIN_S: Final = 15.0  # then it is asked again
TRY_FOR_S: Final = 60.0
TRY_AGAIN_S: Final = 0.25
AWAY: Final = frozenset({502, 503, 504, 507})

_encode = msgspec.json.Encoder(decimal_format="number").encode


class HubRefused(Exception):  # noqa: N818 - it names what happened
    """The hub refused a whole request; the message is its own, and so is the code, where it gave one."""

    def __init__(self, words: str, code: str | None = None) -> None:
        super().__init__(words)
        self.code = code


class Answer(msgspec.Struct, frozen=True):
    """What became of one event."""

    outcome: str
    code: str | None = None
    detail: str | None = None
    held_lines: list[Any] = []


class Answers(msgspec.Struct, frozen=True):
    """The results of a request, in order, and how long the hub took."""

    results: list[Answer]
    ledger_seq: int | None = None  # a store agent has none
    took_s: float = 0.0


class Balance(msgspec.Struct, frozen=True):
    """What a location holds of an item."""

    id: str
    sellable: int
    quarantine: int
    damaged: int
    in_transit: int

    @property
    def vector(self) -> Vector:
        return (self.sellable, self.quarantine, self.damaged, self.in_transit)


class Availability(msgspec.Struct, frozen=True):
    sku: str
    on_hand: int
    available_to_sell: int
    ledger_seq: int
    locations: list[Balance]
    reserved: int = 0
    allocated: int = 0


class Trouble(msgspec.Struct, frozen=True):
    """An exception of the hub."""

    id: str
    code: str
    title: str
    detail: str
    opened_at: datetime
    closed_at: datetime | None

    @property
    def words(self) -> str:
        """Its title and detail, where the detail does not say it all."""
        told = self.title.lower() in self.detail.lower()
        return self.detail if told else f"{self.title}: {self.detail}"

    @property
    def number(self) -> int:
        return int(self.id.removeprefix("exc_"))


class Movement(msgspec.Struct, frozen=True):
    """A line of the ledger."""

    location: str
    from_place: str = msgspec.field(name="from")
    to_place: str = msgspec.field(name="to")
    quantity: int
    why: str
    occurred_at: datetime
    recorded_at: datetime
    source: str
    key: str
    type: str


class Reservation(msgspec.Struct, frozen=True):
    """What the hub promised, and until when."""

    id: str
    status: str
    expires_at: datetime | None = None


class Exposure(msgspec.Struct, frozen=True):
    """What a channel should see of an item."""

    sku: str
    intended: int


class Posting(msgspec.Struct, frozen=True):
    """A document that an ERP is owed, or has."""

    id: str
    reference: str
    status: str
    document: str | None = None


class _Page(msgspec.Struct, frozen=True):
    data: list[Any]
    next_cursor: str | None = None


class _Problem(msgspec.Struct, frozen=True):
    code: str | None = None


class Hub:
    """A hub, over HTTP. What is sent is sent again until it is answered: keys make that harmless."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str, key: str) -> AsyncIterator["Hub"]:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        within = aiohttp.ClientTimeout(total=ANSWERS_WITHIN_S)
        async with aiohttp.ClientSession(url, headers=headers, timeout=within) as session:
            yield cls(session)

    async def report(self, events: Sequence[dict[str, Any]]) -> Answers:
        """POST /v1/events."""
        began = time.perf_counter()
        body = await self._call("POST", "/v1/events", list(events))
        found = msgspec.json.decode(body, type=Answers)
        return msgspec.structs.replace(found, took_s=time.perf_counter() - began)

    async def add_items(self, items: Sequence[dict[str, Any]]) -> int:
        """POST /v1/items:batch; how many lines waited for them and are booked now."""
        return int(
            msgspec.json.decode(await self._call("POST", "/v1/items:batch", {"items": list(items)}))[
                "released"
            ]
        )

    async def add_locations(self, locations: Sequence[dict[str, Any]]) -> None:
        """POST /v1/locations:batch."""
        await self._call("POST", "/v1/locations:batch", {"locations": list(locations)})

    async def add_connections(self, connections: Sequence[dict[str, Any]]) -> None:
        """POST /v1/connections:batch."""
        if connections:
            await self._call("POST", "/v1/connections:batch", {"connections": list(connections)})

    async def add_channels(
        self, connections: Sequence[dict[str, Any]], channels: Sequence[dict[str, Any]]
    ) -> None:
        """POST /v1/connections:batch and /v1/channels:batch."""
        await self.add_connections(connections)
        await self._call("POST", "/v1/channels:batch", {"channels": list(channels)})

    async def reserve(self, wanted: dict[str, Any]) -> Reservation:
        """POST /v1/reservations. Raises HubRefused."""
        return msgspec.json.decode(await self._call("POST", "/v1/reservations", wanted), type=Reservation)

    async def reservation(self, id_: str) -> Reservation:
        """GET /v1/reservations/{id}."""
        return msgspec.json.decode(await self._call("GET", f"/v1/reservations/{id_}"), type=Reservation)

    async def command(self, id_: str, verb: str, body: dict[str, Any] | None = None) -> Reservation:
        """POST /v1/reservations/{id}:confirm, :allocate or :release. Raises HubRefused."""
        path = f"/v1/reservations/{id_}:{verb}"
        return msgspec.json.decode(await self._call("POST", path, body or {}), type=Reservation)

    async def exposures(self, channel: str) -> list[Exposure]:
        """GET /v1/exposures: everything that a channel should see."""
        return await self._every(f"/v1/exposures?channel={quote(channel, safe='')}", Exposure)

    async def untold(self, channel: str) -> int:
        """GET /v1/exposures: how many numbers the channel does not have yet, up to a page."""
        path = f"/v1/exposures?channel={quote(channel, safe='')}&status=open&limit={PAGE_MAX}"
        return len(msgspec.json.decode(await self._call("GET", path), type=_Page).data)

    async def postings(self, status: str) -> list[Posting]:
        """GET /v1/postings: all, `open` ones, or `refused` ones."""
        return await self._every(f"/v1/postings?status={status}", Posting)

    async def resume(self, connection: str) -> None:
        """POST /v1/connections/{id}:resume."""
        await self._call("POST", f"/v1/connections/{quote(connection, safe='')}:resume", {})

    async def retry_postings(self, connection: str) -> None:
        """POST /v1/postings:retry."""
        await self._call("POST", "/v1/postings:retry", {"connection": connection})

    async def _every(self, path: str, kind: type[T]) -> list[T]:
        """All pages of a list."""
        found: list[T] = []
        cursor: str | None = ""
        while cursor is not None:
            more = f"&cursor={quote(cursor, safe='')}" if cursor else ""
            page = msgspec.json.decode(await self._call("GET", f"{path}&limit={PAGE_MAX}{more}"), type=_Page)
            found += msgspec.convert(page.data, list[kind])  # type: ignore[valid-type]
            cursor = page.next_cursor
        return found

    async def explain(self, sku: str, channel: str) -> Explanation:
        """GET /v1/availability/{sku}/explain."""
        path = f"/v1/availability/{quote(sku, safe='')}/explain?channel={quote(channel, safe='')}"
        return msgspec.json.decode(await self._call("GET", path), type=Explanation)

    async def availability(self, sku: str) -> Availability:
        """GET /v1/availability/{sku}."""
        return msgspec.json.decode(
            await self._call("GET", f"/v1/availability/{quote(sku, safe='')}"), type=Availability
        )

    async def exceptions(self, *, closed_too: bool) -> list[Trouble]:
        """GET /v1/exceptions: the newest of them."""
        path = f"/v1/exceptions?limit={PAGE_MAX}&status={'all' if closed_too else 'open'}"
        page = msgspec.json.decode(await self._call("GET", path), type=_Page)
        return msgspec.convert(page.data, list[Trouble])

    async def movements(self, sku: str, location: str, limit: int) -> list[Movement]:
        """GET /v1/movements: the newest of an item at a location."""
        path = f"/v1/movements?sku={quote(sku, safe='')}&location={quote(location, safe='')}&limit={limit}"
        page = msgspec.json.decode(await self._call("GET", path), type=_Page)
        return msgspec.convert(page.data, list[Movement])

    async def _call(self, method: str, path: str, value: Any = None) -> bytes:
        body = None if value is None else _encode(value)
        give_up = asyncio.get_running_loop().time() + TRY_FOR_S
        while True:
            try:
                async with self._session.request(method, path, data=body) as response:
                    answer = await response.read()
                    if response.status < 300:
                        return answer
                    if response.status not in AWAY:
                        words = f"{method} {path}: {response.status} {answer.decode(errors='replace')[:500]}"
                        raise HubRefused(words, _code(answer))
                    fault: Exception = HubRefused(f"{method} {path}: {response.status}")
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
                fault = error
            if asyncio.get_running_loop().time() > give_up:
                raise fault
            await asyncio.sleep(TRY_AGAIN_S)


def _code(answer: bytes) -> str | None:
    try:
        return msgspec.json.decode(answer, type=_Problem).code
    except msgspec.DecodeError:
        return None
