"""Seeing to it that a Shopify store tells us: a subscription is deleted after eight deliveries in a row that nobody took.

The store does not say so, so its subscriptions are read now and then, and those that are gone are made again. What goods moved
meanwhile is found by asking.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from evenstock.connectors.contract import Arrived, Failed, Polled, Rejected, World
from evenstock.connectors.shopify import documents
from evenstock.connectors.shopify.settings import Settings
from evenstock.connectors.shopify.shop import Shop
from evenstock.connectors.shopify.translate import READERS, RENEWED

EVERY_S: Final = 900.0
PAGES_MAX: Final = 10  # of a hundred subscriptions to one address


async def renew(settings: Settings, world: World, patience_s: float) -> Polled:
    """Subscribe what is not subscribed any more; a message says which topics these were.

    Raises Failed.
    """
    shop = Shop(settings, world, patience_s=patience_s)
    topics = topics_of(settings)
    there = await _there(shop, settings.callback, topics)
    renewed = [await _subscribed(shop, topic, settings.callback) for topic in topics if topic not in there]
    if not renewed:
        return Polled([])
    return Polled([Arrived(msgspec.json.encode(renewed), RENEWED, renewed[0].id)])


def topics_of(settings: Settings) -> list[str]:
    """What the store is to tell us of, as GraphQL spells it: orders only where they are promised here."""
    wanted = [
        topic for topic in sorted(READERS) if settings.sells is not None or not topic.startswith("orders/")
    ]
    return [topic.upper().replace("/", "_") for topic in wanted]


async def _there(shop: Shop, callback: str | None, topics: Sequence[str]) -> set[str]:
    """The topics that the store tells us of."""
    found: set[str] = set()
    after: str | None = None
    for _ in range(PAGES_MAX):
        asked = {"uri": callback, "topics": topics, "after": after}
        page = (await shop.ask(documents.SUBSCRIPTIONS, asked, documents.Subscriptions)).webhook_subscriptions
        found |= {each.topic for each in page.nodes if each.uri == callback}
        if (after := page.page_info.after) is None:
            return found
    raise Failed(Rejected("The list of the store's subscriptions does not end.", "endless"))


async def _subscribed(shop: Shop, topic: str, callback: str | None) -> documents.Subscription:
    asked = {"topic": topic, "webhook": {"uri": callback, "format": "JSON"}}
    made = (await shop.ask(documents.SUBSCRIBE, asked, documents.Subscribe, changes=True)).subscribed
    if made.webhook_subscription is None:
        words = "; ".join(each.message for each in made.user_errors) or "it did not say why"
        raise Failed(Rejected(f"The store does not subscribe {topic} to {callback}: {words}", "subscription"))
    return made.webhook_subscription
