"""The referee knows the truth, asks the hub what it believes, and says where they differ: nowhere, or something is broken."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import msgspec

from evenstock.core.ledger import BUCKETS, ZERO, Vector
from evenstock.estate.hub import Hub
from evenstock.estate.truth import Spot

ASKED_AT_ONCE: Final = 8


class Difference(msgspec.Struct, frozen=True):
    """A position that the hub has wrong."""

    sku: str
    location: str
    should: Vector
    believes: Vector

    def __str__(self) -> str:
        wrong = [
            f"{bucket} {believes} instead of {should}"
            for bucket, should, believes in zip(BUCKETS, self.should, self.believes, strict=True)
            if should != believes
        ]
        return f"{self.sku} at {self.location}: the hub has {', '.join(wrong)}"


async def believed(hub: Hub, skus: set[str]) -> dict[Spot, Vector]:
    """What the hub says of these items, everywhere."""
    turn = asyncio.Semaphore(ASKED_AT_ONCE)

    async def ask(sku: str) -> list[tuple[Spot, Vector]]:
        async with turn:
            found = await hub.availability(sku)
        return [((sku, place.id), place.vector) for place in found.locations]

    answers = await asyncio.gather(*(ask(sku) for sku in sorted(skus)))
    return dict(spot for answer in answers for spot in answer)


def differences(should: Mapping[Spot, Vector], believes: Mapping[Spot, Vector]) -> list[Difference]:
    """Where the hub is wrong; a position that one side does not name is empty there."""
    pairs: dict[Spot, list[Vector]] = defaultdict(lambda: [ZERO, ZERO])
    for side, vectors in enumerate((should, believes)):
        for spot, vector in vectors.items():
            pairs[spot][side] = vector
    return [Difference(*spot, *pair) for spot, pair in sorted(pairs.items()) if pair[0] != pair[1]]
