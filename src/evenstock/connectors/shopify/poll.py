"""Asking a Shopify store which goods moved: webhooks come late, twice, and sometimes never.

Orders are asked for in the order in which they changed; of each, the fulfilments and refunds are messages of their own, so that an
order whose note was edited brings nothing new.
"""

from collections.abc import Sequence
from datetime import UTC
from typing import Final

import msgspec

from evenstock.connectors.calling import not_understood
from evenstock.connectors.contract import Arrived, Failed, Polled, Question, Rejected, Stream, World
from evenstock.connectors.shopify import documents
from evenstock.connectors.shopify.documents import (
    GOODS_MAX,
    LISTED_MAX,
    OF_ORDER_MAX,
    ChangedOrder,
    FulfilmentAsked,
    Page,
    RefundAsked,
)
from evenstock.connectors.shopify.polled import FULFILMENT, REFUND, UNLISTED
from evenstock.connectors.shopify.settings import Settings
from evenstock.connectors.shopify.shop import Shop

ORDERS: Final = "orders"
LINE_PAGES_MAX: Final = 50  # further ones of one fulfilment or refund
PATIENCE_S: Final = 40.0  # that one page may wait for points: half of a page is of no use
END: Final = Page(has_next_page=False)  # where its pages ended is no part of a message


def streams(settings: Settings) -> Sequence[Stream]:
    """The store's orders, where we may ask it and are to."""
    if settings.poll_every_s == 0 or not settings.is_asked:
        return ()
    every, overlap = settings.poll_every_s, settings.poll_overlap_s
    return (Stream(name=ORDERS, every_s=every, overlap_s=overlap, begins=settings.poll_from),)


async def poll(settings: Settings, world: World, question: Question) -> Polled:
    """A page of orders that changed, and the goods that moved for them.

    Raises Failed.
    """
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
    nodes = (await shop.ask(documents.FULFILMENTS, {"ids": list(ids)}, documents.Fulfilments)).nodes
    found = []
    for node in nodes:
        if node is None:
            continue
        lines, page = list(node.fulfillment_line_items.nodes), node.fulfillment_line_items.page_info
        for _ in range(LINE_PAGES_MAX):
            if page.after is None:
                break
            asked = {"id": node.id, "after": page.after}
            rest = (
                await shop.ask(documents.LINES_OF_FULFILMENT, asked, documents.LinesOfFulfilment)
            ).fulfillment
            if rest is None:
                raise not_understood(f"{node.id} is there and is not", changes=False)
            lines += rest.fulfillment_line_items.nodes
            page = rest.fulfillment_line_items.page_info
        _ended(node.id, page)
        found.append(msgspec.structs.replace(node, fulfillment_line_items=documents.ShippedLines(lines, END)))
    return found


async def _refunds(shop: Shop, ids: Sequence[str]) -> list[RefundAsked]:
    """These refunds with all of their lines; one that is gone is left out."""
    nodes = (await shop.ask(documents.REFUNDS, {"ids": list(ids)}, documents.Refunds)).nodes
    found = []
    for node in nodes:
        if node is None:
            continue
        lines, page = list(node.refund_line_items.nodes), node.refund_line_items.page_info
        for _ in range(LINE_PAGES_MAX):
            if page.after is None:
                break
            asked = {"id": node.id, "after": page.after}
            rest = (await shop.ask(documents.LINES_OF_REFUND, asked, documents.LinesOfRefund)).refund
            if rest is None:
                raise not_understood(f"{node.id} is there and is not", changes=False)
            lines += rest.refund_line_items.nodes
            page = rest.refund_line_items.page_info
        _ended(node.id, page)
        found.append(msgspec.structs.replace(node, refund_line_items=documents.RefundedLines(lines, END)))
    return found


def _ended(id_: str, page: Page) -> None:
    if page.after is not None:
        raise Failed(Rejected(f"The lines of {id_} do not end.", "endless"))


def _message(kind: str, id_: str, told: msgspec.Struct) -> Arrived:
    """What the store said, in its spelling. The same answer is the same message."""
    return Arrived(msgspec.json.encode(told), kind, id_)
