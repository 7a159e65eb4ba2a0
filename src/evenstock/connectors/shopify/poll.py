"""Asking a Shopify store which goods moved: webhooks come late, twice, and sometimes never.

Orders are asked for in the order in which they changed; of each, the fulfilments and refunds are messages of their own, so that an
order whose note was edited brings nothing new.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from evenstock.connectors.calling import not_understood
from evenstock.connectors.contract import Arrived, Failed, Polled, Question, Rejected, Stream, World
from evenstock.connectors.shopify import documents, subscriptions
from evenstock.connectors.shopify.documents import (
    GOODS_MAX,
    LISTED_MAX,
    OF_ORDER_MAX,
    ChangedOrder,
    FulfilmentAsked,
    Page,
    RefundAsked,
    RefundedLines,
    ShippedLines,
)
from evenstock.connectors.shopify.polled import FULFILMENT, REFUND, UNLISTED
from evenstock.connectors.shopify.settings import Settings
from evenstock.connectors.shopify.shop import Shop

ORDERS: Final = "orders"
WEBHOOKS: Final = "webhooks"
LINE_PAGES_MAX: Final = 50  # further ones of one fulfilment or refund
PATIENCE_S: Final = 40.0  # that one page may wait for points: half of a page is of no use
END: Final = Page(has_next_page=False)  # where its pages ended is no part of a message

Lines = TypeVar("Lines", ShippedLines, RefundedLines)
Found = TypeVar("Found")


def streams(settings: Settings) -> Sequence[Stream]:
    """The store's orders, where we may ask it and are to, and its webhooks, where we know where they should come."""
    every, overlap = settings.poll_every_s, settings.poll_overlap_s
    found = []
    if every and settings.is_asked:
        found.append(Stream(name=ORDERS, every_s=every, overlap_s=overlap, begins=settings.poll_from))
    if settings.callback is not None:
        found.append(Stream(name=WEBHOOKS, every_s=subscriptions.EVERY_S, overlap_s=0.0))
    return found


async def poll(settings: Settings, world: World, question: Question) -> Polled:
    """A page of orders that changed, and the goods that moved for them; or what was done for webhooks that were gone.

    Raises Failed.
    """
    if question.stream == WEBHOOKS:
        return await subscriptions.renew(settings, world, PATIENCE_S)
    shop = Shop(settings, world, patience_s=PATIENCE_S)
    since = question.since.astimezone(UTC)
    asked = {"query": f"updated_at:>='{since:%Y-%m-%dT%H:%M:%SZ}'", "after": question.after}
    orders = (await shop.ask(documents.CHANGED_ORDERS, asked, documents.ChangedOrders)).orders
    arrived: list[Arrived] = []
    fulfilments: list[str] = []
    refunds: list[str] = []
    for listed in orders.nodes:
        order = await _whole(shop, listed)
        fulfilments += [each.id for each in order.fulfillments]
        refunds += [each.id for each in order.refunds]
        if max(len(order.fulfillments), len(order.refunds)) >= OF_ORDER_MAX:
            arrived.append(_message(UNLISTED, order.id, order))
    for start in range(0, len(fulfilments), GOODS_MAX):
        arrived += [
            _message(FULFILMENT, each.id, each)
            for each in await _fulfilments(shop, fulfilments[start : start + GOODS_MAX])
        ]
    for start in range(0, len(refunds), GOODS_MAX):
        arrived += [
            _message(REFUND, each.id, each)
            for each in await _refunds(shop, refunds[start : start + GOODS_MAX])
        ]
    mark = max((order.updated_at for order in orders.nodes), default=None)
    return Polled(arrived, mark, orders.page_info.after)


async def _whole(shop: Shop, listed: ChangedOrder) -> ChangedOrder:
    """The order with all that it lists; a page names only the first."""
    if max(len(listed.fulfillments), len(listed.refunds)) < LISTED_MAX:
        return listed
    found = (await shop.ask(documents.GOODS_OF_ORDER, {"id": listed.id}, documents.GoodsOfOrder)).order
    return listed if found is None else found


async def _fulfilments(shop: Shop, ids: Sequence[str]) -> list[FulfilmentAsked]:
    """These fulfilments with all of their lines; one that is gone is left out."""

    async def rest(id_: str, after: str) -> ShippedLines:
        asked = {"id": id_, "after": after}
        found = (
            await shop.ask(documents.LINES_OF_FULFILMENT, asked, documents.LinesOfFulfilment)
        ).fulfillment
        return _there(id_, found).fulfillment_line_items

    nodes = (await shop.ask(documents.FULFILMENTS, {"ids": list(ids)}, documents.Fulfilments)).nodes
    return [
        replace(node, fulfillment_line_items=await _all_lines(node.id, node.fulfillment_line_items, rest))
        for node in nodes
        if node is not None
    ]


async def _refunds(shop: Shop, ids: Sequence[str]) -> list[RefundAsked]:
    """These refunds with all of their lines; one that is gone is left out."""

    async def rest(id_: str, after: str) -> RefundedLines:
        asked = {"id": id_, "after": after}
        found = (await shop.ask(documents.LINES_OF_REFUND, asked, documents.LinesOfRefund)).refund
        return _there(id_, found).refund_line_items

    nodes = (await shop.ask(documents.REFUNDS, {"ids": list(ids)}, documents.Refunds)).nodes
    return [
        replace(node, refund_line_items=await _all_lines(node.id, node.refund_line_items, rest))
        for node in nodes
        if node is not None
    ]


def _there(id_: str, found: Found | None) -> Found:
    """What was there a moment ago. Raises Failed."""
    if found is None:
        raise not_understood(f"{id_} is there and is not", changes=False)
    return found


async def _all_lines(id_: str, first: Lines, rest: Callable[[str, str], Awaitable[Lines]]) -> Lines:
    """The lines that came first, and those of the further pages.

    Raises Failed where they do not end, and what `rest` raises.
    """
    lines: Lines = first
    for _ in range(LINE_PAGES_MAX):
        if (after := lines.page_info.after) is None:
            break
        more: Lines = await rest(id_, after)
        lines = replace(more, nodes=[*lines.nodes, *more.nodes])
    if lines.page_info.after is not None:
        raise Failed(Rejected(f"The lines of {id_} do not end.", "endless"))
    return replace(lines, page_info=END)


def _message(kind: str, id_: str, told: msgspec.Struct) -> Arrived:
    """What the store said, in its spelling. The same answer is the same message."""
    return Arrived(msgspec.json.encode(told), kind, id_)
