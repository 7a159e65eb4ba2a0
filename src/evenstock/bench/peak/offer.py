"""One step of a load: requests come when they come, whether the ones before were answered or not.

What waits because the hub is slow waits from the moment at which it came, so a hub that stalls cannot hide it. Runs in a process of its
own: `python -m evenstock.bench.peak.offer` reads an Offer on stdin and prints what came of it.
"""

import asyncio
import random
import resource
import sys
from collections import Counter, deque
from collections.abc import Iterator
from time import perf_counter
from typing import Final, Literal, cast

import msgspec

from evenstock.bench.load import request
from evenstock.bench.peak.profile import Profile

CONNECTIONS: Final = 96
TICK_S: Final = 0.002
UPLOAD_S: Final = 0.25  # a store sends what its tills have rung up meanwhile
BATCH_MAX: Final = 500
AGAIN_S: Final = 0.5
IN_TIME_S: Final = 1.0
GRACE_S: Final = 5.0  # for what is still on its way when the step is over
CONFLICT: Final = 409  # an order of what is sold out: the right answer

Kind = Literal["sales", "orders", "questions"]


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What to offer. `run` keeps the keys of several steps apart; `hot` is the item of the flash sale."""

    profile: Profile
    port: int
    key: str
    run: str
    hot: str
    per_s: float
    seconds: float


class Answered(msgspec.Struct, frozen=True):
    """What became of one kind of request. Latencies in ms, from when it came."""

    requests: int
    events: int
    refused: int
    p50_ms: float
    p99_ms: float


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an offer."""

    kinds: dict[str, Answered]
    offered: int  # events
    in_time: int  # of those, answered well within IN_TIME_S of when they came
    granted: int  # orders of the hot item
    turned_away: int  # of them, for want of stock
    statuses: dict[str, int]
    unanswered: int
    processor_s: float
    first_failure: str


class Due(msgspec.Struct, order=True):
    """A request and when it comes, in seconds into the step."""

    at_s: float
    number: int
    kind: Kind
    content: bytes
    events: int
    is_hot: bool = False
    is_cut: bool = False


def location(number: int) -> str:
    return f"{number:04d}"


def sku(number: int) -> str:
    return f"SKU-{number:05d}"


def dues(offer: Offer) -> list[Due]:
    """All requests of a step, in time."""
    chance = random.Random(f"{offer.profile.name}/{offer.run}")  # noqa: S311 - a reproducible load, not a secret
    profile, found = offer.profile, list[Due]()
    sales: list[tuple[float, bytes, int]] = []
    at, number = 0.0, 0
    while (at := at + chance.expovariate(offer.per_s)) < offer.seconds:
        number += 1
        luck = chance.random()
        if luck < profile.ask:
            path = f"/v1/availability/{sku(chance.randrange(profile.items))}"
            found.append(Due(at, number, "questions", request("GET", path, offer.key), 1))
        elif luck < profile.ask + profile.reserve:
            found.append(_order(offer, chance, at, number))
        else:
            store = chance.randrange(profile.stores)
            sales.append((at, _sale(offer, chance, store, number), store))
    found += _uploads(offer, chance, sales, number)
    return sorted(found)


def _order(offer: Offer, chance: random.Random, at: float, number: int) -> Due:
    is_hot = chance.random() < offer.profile.hot
    item = offer.hot if is_hot else sku(chance.randrange(offer.profile.items))
    body = (
        b'{"channel":"web","order_ref":"%b-%08d","expires_in_s":3600,"lines":[{"line":"1","item":{"sku":"%b"},"quantity":1}]}'
        % (offer.run.encode(), number, item.encode())
    )
    return Due(at, number, "orders", request("POST", "/v1/reservations", offer.key, body), 1, is_hot)


def _sale(offer: Offer, chance: random.Random, store: int, number: int) -> bytes:
    return (
        b'{"specversion":"1.0","id":"T-%04d-%b-%08d","source":"pos","type":"SaleRecorded.v1",'
        b'"data":{"location":"%04d","register":"%d","lines":[{"line":"1","item":{"sku":"%b"},"quantity":1}]}}'
    ) % (
        store,
        offer.run.encode(),
        number,
        store,
        1 + number % 3,
        sku(chance.randrange(offer.profile.items)).encode(),
    )


def _uploads(
    offer: Offer, chance: random.Random, sales: list[tuple[float, bytes, int]], number: int
) -> Iterator[Due]:
    """What stores send, some of it late and all at once, some of it twice, some of it again because a line broke."""
    profile = offer.profile
    spells = [_spells(offer, chance) for _ in range(profile.stores)]
    bundles: dict[tuple[float, int], list[bytes]] = {}
    for at, sale, store in sales:
        sent_at = next((end for begin, end in spells[store] if begin <= at < end), None)
        if sent_at is None:
            sent_at = (at // UPLOAD_S + 1) * UPLOAD_S + store / profile.stores * UPLOAD_S
        bundles.setdefault((min(sent_at, offer.seconds), store), []).append(sale)
    for (at, _), content in sorted(bundles.items()):
        for start in range(0, len(content), BATCH_MAX):
            number += 1
            some = content[start : start + BATCH_MAX]
            body = request("POST", "/v1/events", offer.key, b"[" + b",".join(some) + b"]")
            is_cut = chance.random() < profile.cut
            yield Due(at, number, "sales", body, len(some), is_cut=is_cut)
            if chance.random() < profile.repeated and at + AGAIN_S < offer.seconds:
                yield Due(at + AGAIN_S, number, "sales", body, 0)


def _spells(offer: Offer, chance: random.Random) -> list[tuple[float, float]]:
    """When a store has no line."""
    profile, found, at = offer.profile, list[tuple[float, float]](), 0.0
    if not profile.offline:
        return found
    between_s = profile.spell_s * (1 - profile.offline) / profile.offline
    while (begin := at + chance.expovariate(1 / between_s)) < offer.seconds:
        at = begin + chance.expovariate(1 / profile.spell_s)
        found.append((begin, at))
    return found


class _Connection(asyncio.Protocol):
    """Carries one request at a time; knows the end of an answer by its Content-Length."""

    def __init__(self, step: "_Step") -> None:
        self._step = step
        self._buffer = b""
        self._due: Due | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._step.idle.append(self)
        self._step.pump()

    def send(self, due: Due) -> None:
        self._due = due
        self._transport.write(due.content)
        if due.is_cut:  # the line breaks when the hub has it, or just before
            self._due = None
            self._step.again(due)
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self._buffer.lower().find(b"content-length: ", 0, end)
        length = int(self._buffer[at + 16 : self._buffer.find(b"\r", at)])
        if len(self._buffer) < end + 4 + length:
            return
        due, answer, self._due, self._buffer = self._due, self._buffer, None, b""
        if due is not None:
            self._step.answered(due, answer)
        self._step.idle.append(self)
        self._step.pump()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why does not matter
        if self in self._step.idle:
            self._step.idle.remove(self)
        if self._due is not None:
            self._step.again(self._due)
        self._step.reconnect()


class _Step:
    """One step under way."""

    def __init__(self, offer: Offer) -> None:
        self.idle: deque[_Connection] = deque()
        self.is_over = False
        self._offer = offer
        self._dues = deque(dues(offer))
        self._waiting: deque[Due] = deque()
        self._late: list[Due] = []  # sent again
        self._latencies: dict[Kind, list[float]] = {"sales": [], "orders": [], "questions": []}
        self._events: Counter[Kind] = Counter()
        self._refused: Counter[Kind] = Counter()
        self._statuses: Counter[str] = Counter()
        self._granted = self._turned_away = self._in_time = self._open = 0
        self._offered = sum(due.events for due in self._dues)
        self._first_failure = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._from = 0.0

    async def run(self) -> Taken:
        before = _processor_s()
        for _ in range(CONNECTIONS):
            await self._connect()
        self._from = perf_counter()
        until = self._offer.seconds + GRACE_S
        while (now_s := self._now_s()) < until and (self._dues or self._waiting or self._late or self._open):
            self._come(now_s)
            self.pump()
            await asyncio.sleep(TICK_S)
        self.is_over = True
        return self._taken(_processor_s() - before)

    def _now_s(self) -> float:
        return perf_counter() - self._from

    def _come(self, now_s: float) -> None:
        while self._dues and self._dues[0].at_s <= now_s:
            self._waiting.append(self._dues.popleft())
        back = [due for due in self._late if due.at_s <= now_s]
        if back:
            self._late = [due for due in self._late if due.at_s > now_s]
            self._waiting.extend(back)

    def pump(self) -> None:
        """Whoever waits goes out over whatever is free."""
        while self._waiting and self.idle:
            self._open += 1
            self.idle.popleft().send(self._waiting.popleft())

    def again(self, due: Due) -> None:
        """Its line broke: the same once more, in a moment."""
        self._open -= 1
        self._late.append(msgspec.structs.replace(due, at_s=self._now_s() + AGAIN_S, is_cut=False))

    def answered(self, due: Due, answer: bytes) -> None:
        self._open -= 1
        now_s = self._now_s()
        status = int(answer[9:12])
        self._statuses[str(status)] += 1
        self._latencies[due.kind].append(now_s - due.at_s)
        self._events[due.kind] += due.events
        is_sold_out = due.kind == "orders" and status == CONFLICT
        if 200 <= status < 300 or is_sold_out:
            self._in_time += due.events if now_s - due.at_s <= IN_TIME_S else 0
            self._granted += due.is_hot and status == 201
            self._turned_away += due.is_hot and is_sold_out
        else:
            self._refused[due.kind] += 1
            self._first_failure = self._first_failure or answer[:600].decode(errors="replace")

    def reconnect(self) -> None:
        """A new connection in place of one that is gone."""
        if not self.is_over:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._offer.port)

    def _taken(self, processor_s: float) -> Taken:
        return Taken(
            kinds={
                kind: self._of(kind, latencies) for kind, latencies in self._latencies.items() if latencies
            },
            offered=self._offered,
            in_time=self._in_time,
            granted=self._granted,
            turned_away=self._turned_away,
            statuses=dict(self._statuses),
            unanswered=self._open + len(self._waiting) + len(self._late) + len(self._dues),
            processor_s=processor_s,
            first_failure=self._first_failure,
        )

    def _of(self, kind: Kind, latencies: list[float]) -> Answered:
        ordered = sorted(latencies)
        return Answered(
            requests=len(ordered),
            events=self._events[kind],
            refused=self._refused[kind],
            p50_ms=ordered[len(ordered) // 2] * 1000,
            p99_ms=ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1000,
        )


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Read an offer on stdin, make it, print what came of it."""
    import uvloop  # noqa: PLC0415 - only the process that offers needs it

    step = _Step(msgspec.json.decode(sys.stdin.buffer.read(), type=Offer))
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(step.run())))


if __name__ == "__main__":
    main()
