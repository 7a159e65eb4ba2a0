"""A Shopify store is asked which goods moved: what it answers is what its webhooks would have said."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.sandboxed import Peer
from connectors.test_shopify import settings, store
from evenstock.connectors.contract import Arrived, Failed, Message, Polled, Question, RetryLater, Unauthorized
from evenstock.connectors.shopify.poll import poll, streams
from evenstock.connectors.shopify.settings import Settings
from evenstock.connectors.shopify.translate import translate

FIXTURES = Path(__file__).parents[2] / "src/evenstock/connectors/shopify/fixtures"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
RECEIVED = datetime(2026, 11, 20, tzinfo=UTC)


def decoded(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events with their times as instants, as the hub compares them."""
    return [event | {"time": datetime.fromisoformat(event["time"])} for event in events]


@pytest.mark.parametrize("what", ["shipped", "cancelled", "refunded"])
def test_what_is_asked_becomes_the_events_of_what_is_told(what: str) -> None:
    told, asked = (
        json.loads((FIXTURES / f"{name}.events.json").read_bytes()) for name in (what, f"asked_{what}")
    )
    assert decoded(asked) == decoded(told)


async def asked(peer: Peer, since: datetime = LONG_AGO, after: str | None = None, **others: Any) -> Polled:
    return await poll(settings(peer, **others), peer.world, Question("orders", since, after))


async def everything(peer: Peer, **others: Any) -> list[Arrived]:
    """Every message of a pass."""
    found: list[Arrived] = []
    after = None
    while True:
        page = await asked(peer, after=after, **others)
        found += page.arrived
        if (after := page.after) is None:
            return found


async def order(peer: Peer, *lines: tuple[str, int], ship: bool = True) -> int:
    wanted = [{"sku": sku, "quantity": quantity} for sku, quantity in lines or [("TSH", 1)]]
    number = (await peer.control("orders", {"location": "Amsterdam", "lines": wanted}))["order"]
    if ship:
        await peer.control("fulfilments", {"order": number})
    return int(number)


async def test_goods_that_moved_are_found_and_an_order_that_only_waits_is_not() -> None:
    async with store(("TSH", 100)) as peer:
        first, _, third = await order(peer), await order(peer, ship=False), await order(peer)
        await peer.control("refunds", {"order": first})
        page = await asked(peer)
        assert {(each.name, each.id) for each in page.arrived} == {
            ("fulfillments/asked", f"gid://shopify/Fulfillment/{first}0"),
            ("fulfillments/asked", f"gid://shopify/Fulfillment/{third}0"),
            ("refunds/asked", "gid://shopify/Refund/7001"),
        }
        newest = peer.sandbox.state.orders[str(first)].updated_at
        assert page.mark == datetime.fromisoformat(newest), "by the store's own clock: the refund came last"
        assert page.after is None
        assert (await asked(peer, since=page.mark + timedelta(seconds=1))).arrived == []
        assert (await asked(peer)).arrived == page.arrived, "the same answer is the same messages"


async def test_what_is_asked_of_the_sandbox_becomes_the_events_of_its_webhooks() -> None:
    async with store(("TSH", 100), ("CAP", 100)) as peer:
        await peer.control("hub", {"url": "http://127.0.0.1:9/", "secret": "hush"})
        number = await order(peer, ("TSH", 3), ("CAP", 2))
        await peer.control("refunds", {"order": number})
        chosen = msgspec.convert({"secret": "env:S", "locations": {"1": "0107"}}, Settings)
        goods, state = peer.sandbox._goods, peer.sandbox.state.orders[str(number)]
        told = [
            ("fulfillments/create", goods.fulfilment_payload(state)),
            ("refunds/create", goods.refund_payload(state, state.refunds[0])),
        ]
        by_webhook = [
            event
            for name, body in told
            for event in translate(chosen, Message(msgspec.json.encode(body), RECEIVED, {}, name))
        ]
        by_asking = [
            event
            for each in (await asked(peer)).arrived
            for event in translate(chosen, Message(each.body, RECEIVED, each.headers, each.name))
        ]
        assert by_asking == by_webhook
        assert [event["type"] for event in by_asking] == ["SaleRecorded.v1", "ReturnReceived.v1"]


async def test_every_order_is_found_page_by_page_and_every_line_of_one() -> None:
    skus = [(f"S-{number}", 10) for number in range(30)]
    async with store(("TSH", 100), *skus) as peer:
        numbers = [await order(peer) for _ in range(11)]
        long = await order(peer, *((sku, 1) for sku, _ in skus))
        found = await everything(peer)
        assert [each.id for each in found] == [
            f"gid://shopify/Fulfillment/{number}0" for number in (*numbers, long)
        ]
        assert len(json.loads(found[-1].body)["fulfillmentLineItems"]["nodes"]) == 30
        assert "LinesOfFulfilment" in await peer.did()


async def test_an_order_that_changes_while_it_is_asked_is_found_at_the_end() -> None:
    async with store(("TSH", 100)) as peer:
        numbers = [await order(peer) for _ in range(12)]
        page = await asked(peer)
        assert page.after is not None
        await peer.control("refunds", {"order": numbers[0]})
        rest = await asked(peer, after=page.after)
        assert ("refunds/asked", "gid://shopify/Refund/7001") in [
            (each.name, each.id) for each in rest.arrived
        ]


async def test_a_page_waits_for_points_and_does_not_begin_again() -> None:
    async with store(("TSH", 100)) as peer:
        for _ in range(12):
            await order(peer)
        await peer.control("points", {"available": 700, "maximum": 700, "per_s": 4000})
        assert len(await everything(peer)) == 12
        did = await peer.did()
        assert did.count("ChangedOrders") <= 4, "a question may be answered that it is throttled, once each"
        await peer.control("points", {"available": 0, "maximum": 2000, "per_s": 1})
        with pytest.raises(Failed) as failed:
            await asked(peer)
        outcome = failed.value.outcome
        assert isinstance(outcome, RetryLater)
        assert outcome.cause == "rate"
        assert (outcome.after_s or 0) > 300, "longer than anybody waits here: come again"


async def test_a_store_that_does_not_let_us_look_says_so() -> None:
    async with store() as peer:
        await peer.faults("denied")
        with pytest.raises(Failed) as failed:
            await asked(peer)
        assert isinstance(failed.value.outcome, Unauthorized)


def test_a_store_is_asked_where_it_can_be_and_is_to_be() -> None:
    def asks(**given: Any) -> list[tuple[float, float]]:
        chosen = msgspec.convert({"secret": "env:S"} | given, Settings)
        return [(each.every_s, each.overlap_s) for each in streams(chosen)]

    assert asks(shop="tulip.myshopify.com", token="env:T") == [(300.0, 600.0)]
    assert asks(shop="tulip.myshopify.com", client_id="c", poll_every_s=60, poll_overlap_s=120) == [
        (60.0, 120.0)
    ]
    assert asks(shop="tulip.myshopify.com") == [], "nothing to show at its door"
    assert asks(token="env:T") == [], "no shop"
    assert asks(shop="tulip.myshopify.com", token="env:T", poll_every_s=0) == []
    for wrong in ({"poll_every_s": 0.5}, {"poll_overlap_s": 59}, {"poll_from": "2026-11-01T00:00:00"}):
        with pytest.raises(msgspec.ValidationError):
            asks(**wrong)


# Webhooks that are gone ------------------------------------------------------------------------------------------------

HOOKS = "https://hub.example.com/v1/hooks/shop"


async def renewed(peer: Peer, callback: str = HOOKS) -> list[dict[str, Any]]:
    """What was subscribed anew, by a question that the hub asks every quarter of an hour."""
    page = await poll(settings(peer, callback=callback), peer.world, Question("webhooks", LONG_AGO))
    assert page.after is None
    return [each for message in page.arrived for each in json.loads(message.body)]


async def test_webhooks_that_the_shop_has_deleted_are_subscribed_again() -> None:
    async with store() as peer:
        first = await renewed(peer)
        assert [each["topic"] for each in first] == [
            "FULFILLMENTS_CREATE", "FULFILLMENTS_UPDATE", "REFUNDS_CREATE",
        ]  # fmt: skip
        assert await renewed(peer) == [], "they are there"
        assert len(await renewed(peer, f"{HOOKS}-2")) == 3, "another connection's are not ours"
        await peer.control("unsubscribe")
        again = await renewed(peer)
        assert [each["topic"] for each in again] == [each["topic"] for each in first]
        assert not {each["id"] for each in again} & {each["id"] for each in first}
        assert len(peer.sandbox.state.subscribed) == 3


async def test_orders_are_subscribed_where_they_are_promised_here() -> None:
    async with store() as peer:
        chosen = settings(peer, callback=HOOKS, sells="web")
        (told,) = (await poll(chosen, peer.world, Question("webhooks", LONG_AGO))).arrived
        assert {"ORDERS_CREATE", "ORDERS_CANCELLED"} < {each["topic"] for each in json.loads(told.body)}


async def test_what_the_shop_does_not_subscribe_is_said_in_its_words() -> None:
    async with store() as peer:
        with pytest.raises(Failed, match=r"does not subscribe FULFILLMENTS_CREATE .* not supported"):
            await renewed(peer, "http://hub.example.com/v1/hooks/shop")
        assert peer.sandbox.state.subscribed == {}


async def test_a_subscription_whose_reply_was_cut_is_not_made_twice() -> None:
    async with store() as peer:
        peer.sandbox.state.subscribed = {"1": ("FULFILLMENTS_CREATE", HOOKS)}
        await peer.faults("cut-after", on="Subscribe")
        with pytest.raises(Failed):
            await renewed(peer)
        assert len(await renewed(peer)) == 1, "the one that was cut off had been made"


def test_that_webhooks_were_renewed_moves_nothing() -> None:
    chosen = msgspec.convert({"secret": "env:S"}, Settings)
    body = b'[{"id":"gid://shopify/WebhookSubscription/1","topic":"REFUNDS_CREATE","uri":"https://hub.example.com"}]'
    assert translate(chosen, Message(body, RECEIVED, {}, "webhooks/renewed")) == []


def test_webhooks_are_looked_after_where_the_shop_may_be_asked() -> None:
    def names(**given: Any) -> list[str]:
        return [each.name for each in streams(msgspec.convert({"secret": "env:S"} | given, Settings))]

    shop = {"shop": "a.myshopify.com", "token": "env:T"}
    assert names(**shop) == ["orders"]
    assert names(**shop, callback=HOOKS) == ["orders", "webhooks"]
    assert names(**shop, callback=HOOKS, poll_every_s=0) == ["webhooks"]
    with pytest.raises(msgspec.ValidationError, match="callback: to subscribe"):
        names(callback=HOOKS)
