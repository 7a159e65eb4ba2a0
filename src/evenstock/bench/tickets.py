"""Requests made beforehand: tickets of an estate of stores, and questions about its stock."""

import random
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from evenstock.bench.load import request

ITEMS: Final = 10_000
LOCATIONS: Final = 20
REGISTERS: Final = 4  # of each location
BATCH: Final = 500
SOURCE: Final = "bench"

KeyKind = Literal["ticket", "random"]


def sku(number: int) -> str:
    return f"SKU-{number:05d}"


def location(number: int) -> str:
    return f"{number:04d}"


class Tickets:
    """Sales of one line, ticket after ticket, by register; `run` keeps the keys of several runs apart."""

    def __init__(self, run: str, keys: KeyKind = "ticket") -> None:
        self._random = random.Random(run)  # noqa: S311 - a reproducible load, not a secret
        self._run = run
        self._keys = keys
        self._number = 0

    def __next__(self) -> bytes:
        self._number += 1
        place = self._random.randrange(LOCATIONS)
        register = self._random.randrange(REGISTERS)
        key = f"T-{place:04d}-{register}-{self._run}-{self._number:08d}"
        if self._keys == "random":
            key = f"{self._random.getrandbits(128):032x}"
        second = self._number % 60
        return (
            b'{"specversion":"1.0","id":"%b","source":"bench","type":"SaleRecorded.v1","time":"2026-11-20T14:08:%02dZ",'
            b'"data":{"location":"%04d","register":"%d","lines":[{"line":"1","item":{"sku":"SKU-%05d"},"quantity":%d,"uom":"EA"}]}}'
        ) % (key.encode(), second, place, register, self._random.randrange(ITEMS), 1 + self._number % 3)

    def batches(self, key: str, number: int) -> Iterator[bytes]:
        """Requests with BATCH tickets each."""
        for _ in range(number):
            yield request(
                "POST", "/v1/events", key, b"[" + b",".join(next(self) for _ in range(BATCH)) + b"]"
            )

    def singles(self, key: str, number: int) -> Iterator[bytes]:
        """Requests with one ticket each."""
        for _ in range(number):
            yield request("POST", "/v1/events", key, next(self))


def questions(key: str, number: int) -> Iterator[bytes]:
    """Requests for the availability of single items."""
    chosen = random.Random("questions")  # noqa: S311 - a reproducible load, not a secret
    for _ in range(number):
        yield request("GET", f"/v1/availability/{sku(chosen.randrange(ITEMS))}", key)


def masters(key: str) -> Iterator[bytes]:
    """Requests that make the items and locations, and fill every shelf."""
    for start in range(0, ITEMS, 1_000):
        items = [{"sku": sku(number)} for number in range(start, start + 1_000)]
        yield request("POST", "/v1/items:batch", key, msgspec.json.encode({"items": items}))
    places = [{"id": location(number)} for number in range(LOCATIONS)]
    yield request("POST", "/v1/locations:batch", key, msgspec.json.encode({"locations": places}))
    for place in range(LOCATIONS):
        for start in range(0, ITEMS, 1_000):
            lines = [
                {"line": str(number), "item": {"sku": sku(number)}, "quantity": 1_000_000}
                for number in range(start, start + 1_000)
            ]
            event = {
                "id": f"R-{place}-{start}",
                "source": SOURCE,
                "type": "GoodsReceived.v1",
                "time": "2026-11-01T08:00:00Z",
                "data": {"location": location(place), "lines": lines},
            }
            yield request("POST", "/v1/events", key, msgspec.json.encode(event))
