"""The referee knows the truth, asks the hub what it believes, and says where they differ: nowhere, or something is broken.

It also knows what each channel must have been told at the end: what really lies where it sells, less what is kept back.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from evenstock.core.ledger import BUCKETS, ZERO, Vector
from evenstock.estate.hub import Hub
from evenstock.estate.truth import SELLABLE, Spot

ASKED_AT_ONCE: Final = 8
TOLD_WITHIN_S: Final = 15.0  # after the last fact
LOOK_EVERY_S: Final = 0.1


Shown = Callable[[], Awaitable[Mapping[tuple[str, str], int]]]  # channel and sku → the number that is shown


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


class Mistold(msgspec.Struct, frozen=True):
    """A number that a channel has wrong: what it must be by the truth, what the hub meant it to be, what was told last."""

    channel: str
    sku: str
    should: int
    intended: int | None
    told: int | None

    def __str__(self) -> str:
        return f"{self.sku} on {self.channel}: told {self.told}, the hub means {self.intended}, and it must be {self.should}"


async def mistold(
    hub: Hub,
    shown: Shown,
    channels: Sequence[dict[str, Any]],
    books: Mapping[Spot, Vector],
    *,
    within_s: float = TOLD_WITHIN_S,
) -> tuple[int, list[Mistold]]:
    """How many numbers channels have, and those that are wrong once there was time to tell them. No order is open any more."""
    give_up = asyncio.get_running_loop().time() + within_s
    while True:
        there = await shown()
        checked, wrong = 0, []
        for channel in channels:
            intended = {each.sku: each.intended for each in await hub.exposures(channel["id"])}
            found = _mistold(channel, intended, there, books)
            checked += len(intended)
            wrong += found
        if not wrong or asyncio.get_running_loop().time() > give_up:
            return checked, wrong
        await asyncio.sleep(LOOK_EVERY_S)


def _mistold(
    channel: dict[str, Any],
    intended: Mapping[str, int],
    there: Mapping[tuple[str, str], int],
    books: Mapping[Spot, Vector],
) -> list[Mistold]:
    id_, kept = channel["id"], channel.get("safety_stock", 0)
    should: dict[str, int] = defaultdict(int)
    for (sku, location), vector in books.items():
        if location in channel["locations"]:
            should[sku] += max(0, vector[SELLABLE] - kept)
    wrong = []
    for sku in sorted(should.keys() | intended.keys()):
        told, meant = there.get((id_, sku)), intended.get(sku)
        if not told == meant == should[sku]:
            wrong.append(Mistold(id_, sku, should[sku], meant, told))
    return wrong
