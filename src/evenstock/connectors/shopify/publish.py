"""Telling a Shopify store its numbers: read what it shows, set what differs, on condition that it still shows what was read.

A number we are given has our other promises taken off, but not the store's own open orders: those the store takes off by itself,
also the ones we have not heard of yet. It sets `available`, so they come off here, as read in the same answer as the number
that the store must still show (`changeFromQuantity`). An order in between makes that stale: read again, set again.

The key of a change is made of what it says and what it follows from. The same change has the same key, however often it is
sent, so a change whose reply was cut is not made twice; and a store edited back and forth in between gets a new one.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from evenstock.connectors.contract import (
    Done,
    Exposure,
    Failed,
    Failure,
    Observed,
    Outcome,
    Rejected,
    RetryLater,
    Target,
    World,
)
from evenstock.connectors.shopify import documents, stock
from evenstock.connectors.shopify.documents import UserError
from evenstock.connectors.shopify.settings import Settings
from evenstock.connectors.shopify.shop import Shop
from evenstock.connectors.shopify.stock import Shown

ROUNDS_MAX: Final = 3  # of reading and setting: what is left then is left for later
STALE: Final = "CHANGE_FROM_QUANTITY_STALE"
BURNT: Final = "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED"
RUNNING: Final = "IDEMPOTENCY_CONCURRENT_REQUEST"


class _Place(msgspec.Struct, frozen=True):
    """An item at a location, as the store names them; `index` is its place among what we were asked."""

    index: int
    item: str
    location: str


class _Change(msgspec.Struct, frozen=True):
    place: _Place
    quantity: int
    shown: Shown
    key: str  # of the number that it comes from


async def publish(settings: Settings, world: World, exposures: Sequence[Exposure]) -> list[Outcome]:
    """Tell the store; one outcome for each number. Numbers that it shows already are not sent."""
    outcomes: list[Outcome | None] = [None] * len(exposures)
    shop = Shop(settings, world)
    try:
        places = await _places(settings, shop, world, [Target(e.channel, e.sku, e.code) for e in exposures])
        pending = _sorted_out(places, outcomes)
        for salt in range(ROUNDS_MAX):
            if pending := await _round(settings, shop, exposures, pending, outcomes, salt):
                continue
            break
        left: Outcome = RetryLater("The store's own number keeps changing while we set it.", cause="busy")
    except Failed as failed:
        left = failed.outcome
    for exposure, outcome in zip(exposures, outcomes, strict=True):
        if isinstance(outcome, Rejected):
            stock.forget(world, exposure.code)
    return [left if outcome is None else outcome for outcome in outcomes]


async def observe(settings: Settings, world: World, targets: Sequence[Target]) -> list[Observed | Failure]:
    """What the store shows, with its own orders put back: what it was told, if nothing else happened."""
    answers: list[Observed | Failure | None] = [None] * len(targets)
    shop = Shop(settings, world)
    left: Failure = RetryLater("The store did not answer for it.")
    try:
        pending = _sorted_out(await _places(settings, shop, world, targets), answers)
        for place, level in await _shown(shop, pending):
            answers[place.index] = (
                level if isinstance(level, Rejected) else Observed(level.available + level.held)
            )
    except Failed as failed:
        left = failed.outcome
    return [left if answer is None else answer for answer in answers]


async def _places(
    settings: Settings, shop: Shop, world: World, targets: Sequence[Target]
) -> list[_Place | Rejected]:
    ids = await stock.item_ids(shop, world, targets)
    found: list[_Place | Rejected] = []
    taken: set[tuple[str, str]] = set()
    for index, target in enumerate(targets):
        number, item = settings.shows.get(target.channel), ids[target.code]
        location = f"{stock.LOCATION}{number}"
        if number is None:
            words = f"The setting `shows` names no location of the store for the channel {target.channel}."
            found.append(Rejected(words, "no_location"))
        elif isinstance(item, Rejected):
            found.append(item)
        elif (item, location) in taken:
            found.append(Rejected(f"{item} is another item of ours already.", "item_twice"))
        else:
            taken.add((item, location))
            found.append(_Place(index, item, location))
    return found


def _sorted_out(places: Iterable[_Place | Rejected], answers: "list[Any]") -> list[_Place]:
    """Note what cannot be asked for; return the rest."""
    pending = []
    for index, place in enumerate(places):
        if isinstance(place, Rejected):
            answers[index] = place
        else:
            pending.append(place)
    return pending


async def _shown(shop: Shop, places: Sequence[_Place]) -> list[tuple[_Place, Shown | Rejected]]:
    found = []
    for location in dict.fromkeys(place.location for place in places):
        there = [place for place in places if place.location == location]
        levels = await stock.shown(shop, location, [place.item for place in there])
        found += [(place, levels[place.item]) for place in there]
    return found


async def _round(
    settings: Settings,
    shop: Shop,
    exposures: Sequence[Exposure],
    pending: Sequence[_Place],
    outcomes: list[Outcome | None],
    salt: int,
) -> list[_Place]:
    """Read, and set what differs; note what became of it, and return what is still to do."""
    changes = []
    for place, level in await _shown(shop, pending):
        exposure = exposures[place.index]
        if isinstance(level, Rejected):
            outcomes[place.index] = level
            continue
        quantity = max(0, int(exposure.quantity) - level.held)
        if quantity == level.available:
            outcomes[place.index] = Done()
        else:
            changes.append(_Change(place, quantity, level, exposure.key))
    if not changes:
        return []
    answer = await _set(settings, shop, changes, salt)
    group = answer.inventory_adjustment_group
    by_index = _errors(answer.user_errors)
    left = []
    for index, change in enumerate(changes):
        error = by_index.get(index, by_index.get(None))
        if error is None and (group is not None or not by_index):
            outcomes[change.place.index] = Done(None if group is None else group.id)
        elif error is None or error.code in {STALE, BURNT}:
            left.append(change.place)
        else:
            outcomes[change.place.index] = _refused(error)
    return left


async def _set(settings: Settings, shop: Shop, changes: Sequence[_Change], salt: int) -> documents.Set:
    key = _key(changes, salt)
    variables = {
        "key": key,
        "input": {
            "name": "available",
            "reason": settings.reason,
            "referenceDocumentUri": f"gid://evenstock/Exposures/{key}",
            "quantities": [
                {
                    "inventoryItemId": change.place.item,
                    "locationId": change.place.location,
                    "quantity": change.quantity,
                    "changeFromQuantity": change.shown.available,
                }
                for change in changes
            ],
        },
    }
    answer = await shop.ask(documents.SET_QUANTITIES, variables, documents.SetQuantities, changes=True)
    return answer.inventory_set_quantities


def _key(changes: Sequence[_Change], salt: int) -> str:
    said = [(c.key, c.place.item, c.place.location, c.quantity, c.shown) for c in changes]
    text = msgspec.json.encode([salt, said])
    return hashlib.sha256(text).hexdigest()[:40]


def _errors(errors: Sequence[UserError]) -> dict[int | None, UserError]:
    """The first error of each change by its place in the input; under None what concerns all."""
    found: dict[int | None, UserError] = {}
    for error in errors:
        path = error.field or []
        at = path.index("quantities") + 1 if "quantities" in path else len(path)
        index = int(path[at]) if at < len(path) and path[at].isdigit() else None
        found.setdefault(index, error)
    return found


def _refused(error: UserError) -> Outcome:
    if error.code == RUNNING:
        return RetryLater(error.message, cause="busy")
    return Rejected(error.message, error.code or "rejected")
