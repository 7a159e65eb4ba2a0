"""Load from prebuilt bytes: connections that write requests made beforehand and only look for the end of each answer.

Runs in a process of its own, so that its share of the processor can be told apart: `python -m evenstock.bench.load`
reads a plan on stdin and prints what it measured.
"""

import asyncio
import resource
import sys
from collections.abc import Iterator, Mapping
from time import perf_counter
from typing import cast

import msgspec


class Plan(msgspec.Struct, frozen=True):
    """What to send: `requests` are whole HTTP requests, each sent once, or over and over when `repeat`."""

    host: str
    port: int
    connections: int
    seconds: float
    path: str  # of a file: 4 bytes of length, then the request, again and again
    repeat: bool = False
    warm_up_s: float = 0.0


class Measured(msgspec.Struct, frozen=True):
    """What came of it. Latencies in ms; `processor_s` is what the load itself took."""

    requests: int
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float
    processor_s: float
    exhausted: bool  # the requests ran out before the time
    first_failure: str


def read_requests(path: str) -> list[bytes]:
    """The requests of a plan's file."""
    with open(path, "rb") as file:  # noqa: PTH123 - one read
        content = file.read()
    requests, at = [], 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        requests.append(content[at + 4 : at + 4 + length])
        at += 4 + length
    return requests


def request(
    method: str, path: str, key: str | None, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    """A whole HTTP/1.1 request; without a key where something else vouches for it."""
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\n"
    if key is not None:
        head += f"Authorization: Bearer {key}\r\n"
    head += "".join(f"{name}: {text}\r\n" for name, text in (headers or {}).items())
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def framed(requests: Iterator[bytes]) -> Iterator[bytes]:
    """Requests as a plan's file holds them."""
    for entry in requests:
        yield len(entry).to_bytes(4, "big") + entry


class _Connection(asyncio.Protocol):
    """Sends one request after the other; knows the end of an answer by its Content-Length."""

    def __init__(self, run: "_Run") -> None:
        self._run = run
        self._buffer = b""
        self._sent_at = 0.0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._send()

    def _send(self) -> None:
        entry = self._run.next_request()
        if entry is None:
            self._transport.close()
            return
        self._sent_at = perf_counter()
        self._transport.write(entry)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self._buffer.lower().find(b"content-length: ", 0, end)
        length = int(self._buffer[at + 16 : self._buffer.find(b"\r", at)])
        if len(self._buffer) < end + 4 + length:
            return
        self._run.answered(self._buffer, perf_counter() - self._sent_at)
        self._buffer = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._run.failed += 1
        if not self.closed.done():
            self.closed.set_result(None)


class _Run:
    """One measurement under way."""

    def __init__(self, plan: Plan, requests: list[bytes]) -> None:
        self._plan = plan
        self._requests = requests
        self._at = 0
        self._start = self._from = perf_counter()
        self.latencies: list[float] = []
        self.failed = 0
        self.first_failure = ""
        self.exhausted = False

    def next_request(self) -> bytes | None:
        if perf_counter() - self._start > self._plan.seconds + self._plan.warm_up_s:
            return None
        if self._at == len(self._requests):
            if not self._plan.repeat:
                self.exhausted = True
                return None
            self._at = 0
        self._at += 1
        return self._requests[self._at - 1]

    def answered(self, answer: bytes, seconds: float) -> None:
        if perf_counter() - self._start < self._plan.warm_up_s:
            self._from = perf_counter()
            return
        if answer[9:10] != b"2":
            self.failed += 1
            self.first_failure = self.first_failure or answer[:600].decode(errors="replace")
        self.latencies.append(seconds)

    def measured(self, processor_s: float) -> Measured:
        ordered = sorted(self.latencies) or [0.0]
        return Measured(
            requests=len(self.latencies),
            failed=self.failed,
            seconds=perf_counter() - self._from,
            p50_ms=ordered[len(ordered) // 2] * 1000,
            p99_ms=ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1000,
            processor_s=processor_s,
            exhausted=self.exhausted,
            first_failure=self.first_failure,
        )


async def run(plan: Plan) -> Measured:
    """Do what a plan says."""
    requests = read_requests(plan.path)
    before = _processor_s()
    measuring = _Run(plan, requests)
    loop = asyncio.get_running_loop()
    pairs = await asyncio.gather(
        *(
            loop.create_connection(lambda: _Connection(measuring), plan.host, plan.port)
            for _ in range(plan.connections)
        )
    )
    await asyncio.gather(*(protocol.closed for _, protocol in pairs))
    return measuring.measured(_processor_s() - before)


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Read a plan on stdin, do it, print what was measured."""
    import uvloop  # noqa: PLC0415 - only the process that loads needs it

    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(run(plan))))


if __name__ == "__main__":
    main()
