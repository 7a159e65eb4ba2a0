"""The referee knows the truth, asks the hub what it believes, and says where they differ: nowhere, or something is broken.

It also knows what each channel must have been told at the end: what really lies where it sells, less what is kept back.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from evenstock.core.ledger import BUCKETS, INDEX, ZERO, Vector
from evenstock.estate.hub import Hub, Posting
from evenstock.estate.truth import SELLABLE, Spot

ASKED_AT_ONCE: Final = 8
TOLD_WITHIN_S: Final = 15.0  # after the last fact
POSTED_WITHIN_S: Final = 30.0
LOOK_EVERY_S: Final = 0.1
ON_HAND: Final = tuple(INDEX[bucket] for bucket in ("sellable", "quarantine", "damaged"))


Shown = Callable[[], Awaitable[Mapping[tuple[str, str], int]]]  # channel and sku → the number that is shown


State = Callable[[], Awaitable[Mapping[str, Any]]]  # all that an ERP's sandbox remembers


class Wrong(NamedTuple):
    """Something about an ERP's books that should not be, in words, and the item and location that it is about."""

    words: str
    about: tuple[str, ...] = ()


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


async def misposted(
    hub: Hub, erp: State, there: Mapping[Spot, Vector], *, within_s: float = POSTED_WITHIN_S
) -> tuple[int, list[Wrong]]:
    """How many postings there are, and where an ERP is not what the hub says, once there was time to send them.

    The ERP has every posting once, and by them what the ledger has on hand.
    """
    give_up = asyncio.get_running_loop().time() + within_s
    while True:
        postings = await hub.postings("all")
        wrong = _misposted(postings, await erp(), there)
        if not wrong or asyncio.get_running_loop().time() > give_up:
            return len(postings), wrong
        await asyncio.sleep(LOOK_EVERY_S)


def _misposted(
    postings: Sequence[Posting], state: Mapping[str, Any], there: Mapping[Spot, Vector]
) -> list[Wrong]:
    kept = {reference: each["answer"] for reference, each in state["kept"].items()}
    wrong: list[Wrong] = []
    for posting in postings:
        if posting.status == "nothing":
            continue
        answer = kept.pop(posting.reference, None)
        if answer is None:
            wrong.append(
                Wrong(f"{posting.reference} is {posting.status} here, and the ERP does not have it.")
            )
        elif answer.get("document") != posting.document:
            words = f"{posting.reference} is {posting.document} here, {answer.get('document')} in the ERP."
            wrong.append(Wrong(words))
    wrong += [Wrong(f"The ERP has {reference}, and the hub does not.") for reference in kept]
    posted = {
        (sku, place): int(Decimal(str(units)))
        for place, items in state["stock"].items()
        for sku, units in items.items()
    }
    for spot in sorted(there.keys() | posted.keys()):
        has = sum(there.get(spot, ZERO)[index] for index in ON_HAND)
        if has != posted.get(spot, 0):
            words = f"{spot[0]} at {spot[1]}: the ERP has {posted.get(spot, 0)}, the ledger {has}."
            wrong.append(Wrong(words, spot))
    return wrong
