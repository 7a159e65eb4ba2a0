"""Requests made beforehand: orders that reserve, of random items or all of one."""

import random
from collections.abc import Iterator
from typing import Final

import msgspec

from evenstock.bench.load import request
from evenstock.bench.tickets import ITEMS, LOCATIONS, SOURCE, location, sku

HOT: Final = "HOT"  # an item of which there is little, at one location


def orders(key: str, run: str, number: int) -> Iterator[bytes]:
    """Orders of one line of a random item, picked up at a random location."""
    chosen = random.Random(run)  # noqa: S311 - a reproducible load, not a secret
    for index in range(number):
        yield _order(key, run, index, sku(chosen.randrange(ITEMS)), location(chosen.randrange(LOCATIONS)))


def hot_orders(key: str, run: str, number: int, item: str = sku(0)) -> Iterator[bytes]:
    """Orders that all want one unit of the same item at the same location."""
    for index in range(number):
        yield _order(key, run, index, item, location(0))


def _order(key: str, run: str, index: int, item: str, place: str) -> bytes:
    body = (
        b'{"order_ref":"%b-%08d","expires_in_s":86400,"lines":[{"line":"1","item":{"sku":"%b"},"quantity":1,'
        b'"fulfil":{"pickup_at":"%b"}}]}'
    ) % (run.encode(), index, item.encode(), place.encode())
    return request("POST", "/v1/reservations", key, body)


def last_units(key: str, units: int) -> Iterator[bytes]:
    """Requests that put the last units of the hot item on one shelf."""
    yield request("POST", "/v1/items:batch", key, msgspec.json.encode({"items": [{"sku": HOT}]}))
    event = {
        "id": "R-hot", "source": SOURCE, "type": "GoodsReceived.v1", "time": "2026-11-01T08:00:00Z",
        "data": {"location": location(0), "lines": [{"line": "1", "item": {"sku": HOT}, "quantity": units}]},
    }  # fmt: skip
    yield request("POST", "/v1/events", key, msgspec.json.encode(event))
