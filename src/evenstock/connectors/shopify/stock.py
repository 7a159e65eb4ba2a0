"""What a Shopify store has: which of its items a sku is, and what it shows of items at a location."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import msgspec

from evenstock.connectors.calling import not_understood
from evenstock.connectors.contract import Failed, Level, Rejected, Target, World
from evenstock.connectors.shopify import bulk, documents
from evenstock.connectors.shopify.documents import BulkLine, Item, Quantity
from evenstock.connectors.shopify.settings import Settings
from evenstock.connectors.shopify.shop import Shop

SKUS_PER_QUESTION: Final = 50
PAGES_MAX: Final = 20  # of the answer to one such question; a sku stands on one item, so one page is usual
PATIENCE_S: Final = 1_200.0  # that reading all of it may wait for points
LOCATION: Final = "gid://shopify/Location/"
GID: Final = "gid://shopify/InventoryItem/"
VARIANT: Final = "gid://shopify/ProductVariant/"
_ITEMS: Final = "items"


class Shown(msgspec.Struct, frozen=True):
    """What the store shows of an item at a location, and what of it its own orders hold."""

    available: int
    held: int  # committed to orders, or reserved for drafts and transfers: the store has taken it off already
    updated_at: str


async def item_ids(shop: Shop, world: World, targets: Sequence[Target]) -> dict[str, str | Rejected]:
    """The store's own id of each item, by its code: the code where it is one, else looked up, and remembered.

    A code that is not the sku and is a number is that of a variant, as webhooks call items that have no sku there. Raises Failed.
    """
    known: dict[str, str] = world.memory.setdefault(_ITEMS, {})
    found: dict[str, str | Rejected] = {}
    skus: dict[str, None] = {}
    variants: dict[str, None] = {}
    for target in targets:
        code = target.code
        if code.startswith(GID):
            found[code] = code
        elif code in known:
            found[code] = known[code]
        elif code != target.sku and code.isascii() and code.isdigit():
            variants[code] = None
        else:
            skus[code] = None
    looked_up = await _by_skus(shop, list(skus)) | await _by_variants(shop, list(variants))
    known |= {code: id_ for code, id_ in looked_up.items() if isinstance(id_, str)}
    return found | looked_up


async def _by_skus(shop: Shop, skus: Sequence[str]) -> dict[str, str | Rejected]:
    found: dict[str, str | Rejected] = {}
    for start in range(0, len(skus), SKUS_PER_QUESTION):
        asked = skus[start : start + SKUS_PER_QUESTION]
        by_sku = await _looked_up(shop, asked)
        for sku in asked:
            ids = by_sku.get(sku, [])
            if len(ids) == 1:
                found[sku] = ids[0]
            elif ids:
                found[sku] = Rejected(f"{len(ids)} items of the store have the sku {sku}.", "ambiguous_sku")
            else:
                found[sku] = Rejected(f"The store has no item with the sku {sku}.", "unknown_item")
    return found


async def _by_variants(shop: Shop, numbers: Sequence[str]) -> dict[str, str | Rejected]:
    if not numbers:
        return {}
    asked = {"ids": [VARIANT + number for number in numbers]}
    nodes = (await shop.ask(documents.ITEMS_BY_VARIANT, asked, documents.ItemsByVariant)).nodes
    ids = {node.legacy_resource_id: node.inventory_item.id for node in nodes if node is not None}
    return {
        number: ids.get(number, Rejected(f"The store has no variant {number}.", "unknown_item"))
        for number in numbers
    }


def forget(world: World, code: str) -> None:
    """What was looked up is not so any more: look it up again next time."""
    world.memory.get(_ITEMS, {}).pop(code, None)


async def shown(shop: Shop, location: str, ids: Sequence[str]) -> dict[str, Shown | Rejected]:
    """What the store shows of these items at a location.

    Raises Failed.
    """
    asked = {"ids": list(ids), "location": location}
    nodes = (await shop.ask(documents.LEVELS, asked, documents.Levels)).nodes
    if len(nodes) != len(ids):
        raise not_understood("there is not one node for each item asked", changes=False)
    found: dict[str, Shown | Rejected] = {}
    for id_, node in zip(ids, nodes, strict=True):
        if node is None:
            found[id_] = Rejected(f"The store has no item {id_}.", "unknown_item")
        elif (level := node.inventory_level) is None:
            words = f"The store does not stock {id_} at {location}: activate it there."
            found[id_] = Rejected(words, "not_stocked")
        else:
            named = _named(level.quantities)
            held = named["committed"] + named["reserved"]
            found[id_] = Shown(named["available"], held, level.updated_at)
    return found


async def pages(settings: Settings, world: World) -> AsyncIterator[list[Level]]:
    """All that the store shows at the locations of our channels, to the end: as one file, else page by page.

    Raises Failed.
    """
    shop = Shop(settings, world, patience_s=PATIENCE_S)
    begun = await bulk.started(shop) if settings.shows else None
    found = _paged(settings, shop) if begun is None else filed(settings, bulk.lines(shop, world, begun))
    async for levels in found:
        yield levels


async def filed(settings: Settings, lines: AsyncIterator[list[BulkLine]]) -> AsyncIterator[list[Level]]:
    """Levels of a file, in which items and levels may stand in any order.

    Raises Failed.
    """
    channels = {LOCATION + number: channel for channel, number in settings.shows.items()}
    items: dict[str, Item] = {}
    early: list[BulkLine] = []  # before their items
    async for some in lines:
        items |= {line.id: Item(line.id, line.sku, line.variant) for line in some if line.location is None}
        ours = [line for line in some if line.location is not None and line.location.id in channels]
        early += [line for line in ours if line.parent not in items]
        yield [_level(line, items, channels) for line in ours if line.parent in items]
    yield [_level(line, items, channels) for line in early]


def _level(line: BulkLine, items: Mapping[str, Item], channels: Mapping[str, str]) -> Level:
    if line.parent is None or line.parent not in items or line.location is None:
        raise not_understood(f"its file has no item for {line.id}", changes=False)
    shown = sum(_named(line.quantities).values())
    return Level(*items[line.parent].names, shown, channel=channels[line.location.id])


async def _paged(settings: Settings, shop: Shop) -> AsyncIterator[list[Level]]:
    """Levels of one location after the other, as fast as points come back."""
    for channel, number in settings.shows.items():
        location = LOCATION + number
        after: str | None = None
        while True:
            asked = {"location": location, "after": after}
            found = (await shop.ask(documents.PAGE_OF_LEVELS, asked, documents.PageOfLevels)).location
            if found is None:
                raise Failed(Rejected(f"The store has no location {location}.", "unknown_location"))
            levels = found.inventory_levels
            yield [
                Level(*node.item.names, sum(_named(node.quantities).values()), channel=channel)
                for node in levels.nodes
            ]
            if (after := levels.page_info.after) is None:
                break


async def _looked_up(shop: Shop, skus: Sequence[str]) -> dict[str, list[str]]:
    """Ids by sku. The store's search takes more than equal skus; those that were not asked for are left out."""
    words = " OR ".join(f'sku:"{_escaped(sku)}"' for sku in skus)
    by_sku: dict[str, list[str]] = {}
    after: str | None = None
    for _ in range(PAGES_MAX):
        asked = {"query": words, "after": after}
        items = (await shop.ask(documents.ITEMS_BY_SKU, asked, documents.ItemsBySku)).inventory_items
        for node in items.nodes:
            by_sku.setdefault(node.sku or "", []).append(node.id)
        if (after := items.page_info.after) is None:
            return by_sku
    raise not_understood(f"the answer for {len(skus)} skus does not end", changes=False)


def _escaped(sku: str) -> str:
    return sku.replace("\\", "\\\\").replace('"', '\\"')


def _named(quantities: Sequence[Quantity]) -> dict[str, int]:
    """The three quantities that are asked for, by their names."""
    found = {each.name: each.quantity for each in quantities}
    if set(found) != {"available", "committed", "reserved"}:
        raise not_understood(f"the quantities are {', '.join(sorted(found)) or 'none'}", changes=False)
    return found
