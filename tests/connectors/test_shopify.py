"""A Shopify store is told its numbers: over real HTTP, against the connector's sandbox, under every fault."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from conftest import NOW
from connectors.sandboxed import Peer, Secrets, served
from evenstock import clock
from evenstock.connectors.contract import (
    Done,
    Exposure,
    Failed,
    Level,
    Observed,
    Outcome,
    Rejected,
    RetryLater,
    Target,
    Unauthorized,
    Unknown,
    World,
)
from evenstock.connectors.shopify import bulk, connector
from evenstock.connectors.shopify.publish import observe, publish
from evenstock.connectors.shopify.sandbox import ShopifySandbox
from evenstock.connectors.shopify.settings import Settings
from evenstock.connectors.shopify.shop import Shop
from evenstock.connectors.shopify.stock import filed, pages
from evenstock.core.errors import Refusal

SET = "SetQuantities"
HERE = "gid://shopify/Location/1"


def settings(peer: Peer, **others: Any) -> Settings:
    given = {
        "address": peer.url,
        "secret": "env:SECRET",
        "token": "env:TOKEN",
        "shows": {"web": "1", "web-2": "2"},
    }
    return msgspec.convert(given | others, Settings)


@asynccontextmanager
async def store(*stocked: tuple[str, int]) -> AsyncIterator[Peer]:
    async with served(ShopifySandbox(clock.now), {"env:TOKEN": "sandbox"}) as peer:
        stock = [{"sku": sku, "location": "Amsterdam", "available": quantity} for sku, quantity in stocked]
        await peer.control("stock", stock or [{"sku": "TSH", "location": "Amsterdam", "available": 10}])
        yield peer


def tell(sku: str, quantity: int, version: int = 1, channel: str = "web") -> Exposure:
    return Exposure(
        channel=channel,
        sku=sku,
        code=sku,
        quantity=quantity,
        version=version,
        key=f"{channel}-{sku}-{version}",
        ledger_seq=1,
        computed_at=NOW,
    )


def available(peer: Peer, sku: str = "TSH", location: str = HERE) -> int:
    state = peer.sandbox.state
    item = next(id_ for id_, known in state.items.items() if known == sku)
    return int(state.levels[location][item].available)


async def told(peer: Peer, *exposures: Exposure, **others: Any) -> Sequence[Outcome]:
    return await publish(settings(peer, **others), peer.world, exposures)


async def test_a_store_shows_what_it_is_told() -> None:
    async with store(("TSH", 10), ("CAP", 0)) as peer:
        outcomes = await told(peer, tell("TSH", 7), tell("CAP", 3))
        assert outcomes == [Done("gid://shopify/InventoryAdjustmentGroup/1")] * 2
        assert (available(peer, "TSH"), available(peer, "CAP")) == (7, 3)
        assert await peer.did() == ["ItemsBySku", "Levels", SET]


async def test_an_item_is_looked_up_once_and_a_number_that_is_shown_is_not_sent() -> None:
    async with store() as peer:
        await told(peer, tell("TSH", 7))
        assert await told(peer, tell("TSH", 7, 2)) == [Done()]
        assert await peer.did() == ["ItemsBySku", "Levels", SET, "Levels"]


async def test_the_stores_own_id_is_not_looked_up() -> None:
    async with store() as peer:
        exposure = msgspec.structs.replace(tell("TSH", 7), code="gid://shopify/InventoryItem/1001")
        assert isinstance((await told(peer, exposure))[0], Done)
        assert await peer.did() == ["Levels", SET]


async def test_an_item_without_a_sku_there_is_one_by_the_number_of_its_variant() -> None:
    """As webhooks call it: one code of an item serves both ways, and for what is read back."""
    async with store(("TSH", 10), ("", 4)) as peer:
        nameless = msgspec.structs.replace(tell("OURS", 7), code="1002")
        missing = msgspec.structs.replace(tell("GONE", 7), code="1999")
        first = await told(peer, nameless, missing, tell("TSH", 5))
        assert [type(outcome) for outcome in first] == [Done, Rejected, Done]
        assert (available(peer, ""), available(peer)) == (7, 5)
        asked = [Target("web", "OURS", "1002")]
        assert await observe(settings(peer), peer.world, asked) == [Observed(7)]
        assert (await peer.did()).count("ItemsByVariant") == 1, "looked up once"
        levels = [
            Level("TSH", "gid://shopify/InventoryItem/1001", 5, channel="web"),
            Level("", "1002", 7, channel="web"),
        ]
        assert await everything(peer) == levels
        assert await bulk.started(Shop(settings(peer), peer.world)) is not None
        assert await everything(peer, shows={"web": "1"}) == levels, "page by page too"
        digits = msgspec.structs.replace(tell("1002", 1), code="1002")
        assert isinstance((await publish(settings(peer), another_process(peer), [digits]))[0], Rejected), (
            "a sku"
        )


async def test_each_channel_has_a_location_of_its_own() -> None:
    async with store() as peer:
        await peer.control("stock", [{"sku": "TSH", "location": "Berlin", "available": 1}])
        outcomes = await told(
            peer, tell("TSH", 5), tell("TSH", 6, channel="web-2"), tell("TSH", 1, channel="other")
        )
        assert [type(outcome) for outcome in outcomes] == [Done, Done, Rejected]
        assert (available(peer), available(peer, location="gid://shopify/Location/2")) == (5, 6)


async def test_orders_that_we_have_not_heard_of_are_not_sold_again() -> None:
    """The number has our other promises taken off, not the store's own orders: 10 on the shelf, 2 ordered there, 8 left."""
    async with store() as peer:
        await peer.control("orders", {"location": "Amsterdam", "lines": [{"sku": "TSH", "quantity": 2}]})
        assert available(peer) == 8
        assert await told(peer, tell("TSH", 10)) == [Done()]
        await told(peer, tell("TSH", 1, 2))
        assert available(peer) == 0, "more is ordered than there is: nothing may be sold"
        await told(peer, tell("TSH", 12, 3))
        assert available(peer) == 10


async def test_an_order_between_reading_and_setting_is_read_again() -> None:
    async with store() as peer:
        await peer.faults("edited", on=SET)
        outcomes = await told(peer, tell("TSH", 7))
        assert isinstance(outcomes[0], Done)
        assert available(peer) == 7
        assert await peer.did() == ["ItemsBySku", "Levels", SET, "Levels", SET]


async def test_a_store_that_keeps_changing_is_left_for_later() -> None:
    async with store() as peer:
        await peer.faults(rates={"edited": 1.0}, on=SET)
        outcomes = await told(peer, tell("TSH", 7))
        assert isinstance(outcomes[0], RetryLater)
        assert (outcomes[0].cause, available(peer), (await peer.did()).count(SET)) == ("busy", 13, 3)


@pytest.mark.parametrize("fault", [None, "partly"])
async def test_one_bad_item_does_not_spoil_the_others(fault: str | None) -> None:
    """The store refuses the whole list for one entry; or, some day, only that entry."""
    async with store(("TSH", 10), ("CAP", 4), ("HUT", 1)) as peer:
        if fault:
            await peer.faults(fault, on=SET)
        outcomes = await told(
            peer, tell("TSH", 7), tell("CAP", 2_000_000_000), tell("NIX", 1), tell("HUT", 2)
        )
        assert [type(outcome) for outcome in outcomes] == [Done, Rejected, Rejected, Done]
        assert [o.code for o in outcomes if isinstance(o, Rejected)] == [
            "INVALID_QUANTITY_TOO_HIGH",
            "unknown_item",
        ]
        assert (available(peer, "TSH"), available(peer, "CAP"), available(peer, "HUT")) == (7, 4, 2)
        assert peer.sandbox.state.writes == 1


async def test_a_sku_on_two_items_is_nobodys() -> None:
    async with store() as peer:
        peer.sandbox.state.items["gid://shopify/InventoryItem/7"] = "TSH"
        (outcome,) = await told(peer, tell("TSH", 7))
        assert isinstance(outcome, Rejected)
        assert (outcome.code, available(peer), SET in await peer.did()) == ("ambiguous_sku", 10, False)


async def test_two_items_of_ours_on_one_of_theirs_are_told_apart() -> None:
    async with store() as peer:
        twin = msgspec.structs.replace(tell("OLD", 3), code="gid://shopify/InventoryItem/1001")
        outcomes = await told(peer, tell("TSH", 7), twin)
        assert [type(outcome) for outcome in outcomes] == [Done, Rejected]
        assert available(peer) == 7


async def test_an_item_not_stocked_there_is_refused() -> None:
    async with store() as peer:
        await peer.control("stock", [{"sku": "CAP", "location": "Berlin", "available": 1}])
        (outcome,) = await told(peer, tell("CAP", 7))
        assert isinstance(outcome, Rejected)
        assert outcome.code == "not_stocked"


async def test_250_numbers_go_in_one_list_and_no_more_are_taken() -> None:
    async with store(*((f"S{number}", 0) for number in range(101))) as peer:
        outcomes = await told(
            peer, *(tell(f"S{number}", number + 1) for number in range(connector.exposures_max))
        )
        assert all(isinstance(outcome, Done) for outcome in outcomes)
        assert (await peer.did()).count(SET) == 1
        assert [available(peer, f"S{number}") for number in range(101)] == [*range(1, 101), 0]


# Faults ----------------------------------------------------------------------------------------------------------------

ASKING = ["ItemsBySku", "Levels"]
NOT_DONE: dict[
    str, tuple[type, str]
] = {  # what setting comes to when nothing was done, and when only asking was
    "429": (RetryLater, "rate"),
    "429-bare": (RetryLater, "rate"),
    "503": (RetryLater, "busy"),
    "maintenance": (RetryLater, "busy"),
    "throttled": (RetryLater, "rate"),
    "denied": (Unauthorized, ""),
    "500": (Unknown, ""),
    "html": (Unknown, ""),
    "cut": (Unknown, ""),
}
DONE_ANYWAY = ["500-after", "html-after", "cut-after", "internal"]


@pytest.mark.parametrize("fault", NOT_DONE)
async def test_what_was_not_done_is_never_called_done(fault: str) -> None:
    kind, cause = NOT_DONE[fault]
    async with store() as peer:
        await peer.faults(fault, on=SET, retry_after_s=7)
        (outcome,) = await told(peer, tell("TSH", 7))
        assert type(outcome) is kind, outcome
        if isinstance(outcome, RetryLater):
            assert outcome.cause == cause
            assert outcome.after_s == {"429-bare": None, "throttled": 0.0}.get(fault, 7.0)
        assert available(peer) == 10
        assert isinstance((await told(peer, tell("TSH", 7)))[0], Done)
        assert available(peer) == 7


@pytest.mark.parametrize("operation", ASKING)
@pytest.mark.parametrize("fault", [*NOT_DONE, "500-after", "html-after", "cut-after", "internal"])
async def test_a_question_that_fails_can_be_asked_again(fault: str, operation: str) -> None:
    async with store() as peer:
        await peer.faults(fault, on=operation)
        (outcome,) = await told(peer, tell("TSH", 7))
        assert type(outcome) is (Unauthorized if fault == "denied" else RetryLater), outcome
        assert (available(peer), peer.sandbox.state.writes) == (10, 0)


@pytest.mark.parametrize("fault", DONE_ANYWAY)
async def test_what_was_done_and_not_said_is_unknown_and_not_done_twice(fault: str) -> None:
    async with store() as peer:
        await peer.faults(fault, on=SET)
        (outcome,) = await told(peer, tell("TSH", 7))
        assert isinstance(outcome, Unknown)
        assert isinstance((await told(peer, tell("TSH", 7)))[0], Done)
        assert (available(peer), peer.sandbox.state.writes) == (7, 1)


async def test_the_same_change_has_the_same_key_and_another_has_another() -> None:
    async with store() as peer:
        await peer.faults("cut", "500", on=SET)
        await told(peer, tell("TSH", 7))
        await told(peer, tell("TSH", 7))
        await peer.control(
            "stock", [{"sku": "TSH", "location": "Amsterdam", "available": 10}]
        )  # an edit that changes nothing
        await peer.faults("cut", on=SET)
        await told(peer, tell("TSH", 7))
        sent = [msgspec.json.decode(entry["body"]) for entry in await peer.log() if entry["operation"] == SET]
        keys = [each["variables"]["key"] for each in sent]
        assert sent[0] == sent[1]
        assert keys[0] == keys[1] != keys[2]


async def test_a_reply_that_comes_late_is_waited_for() -> None:
    async with store() as peer:
        await peer.faults("slow", on=SET, slow_s=0.2)
        assert isinstance((await told(peer, tell("TSH", 7)))[0], Done)


async def test_success_without_an_effect_is_seen_by_looking() -> None:
    async with store() as peer:
        await peer.faults("no-effect", on=SET)
        assert isinstance((await told(peer, tell("TSH", 7)))[0], Done), "the store says so"
        assert await observe(settings(peer), peer.world, [Target("web", "TSH", "TSH")]) == [Observed(10)]


async def test_points_that_are_not_there_are_not_spent() -> None:
    """The store says what a question costs and how fast points come back; from then on we know when to ask."""
    async with store() as peer:
        await told(peer, tell("TSH", 7))
        before = len(await peer.did())
        await peer.control("points", {"available": 2, "maximum": 100, "per_s": 0.001})
        peer.world.memory["items"].clear()
        (outcome,) = await told(peer, tell("TSH", 6))
        assert isinstance(outcome, RetryLater)
        assert outcome.cause == "rate"
        assert outcome.after_s is not None
        assert outcome.after_s > 1000
        assert (len(await peer.did()), available(peer)) == (before + 1, 7)


async def test_points_run_out_between_two_questions_and_the_second_is_not_asked() -> None:
    async with store() as peer:
        await told(peer, tell("TSH", 7))
        before = await peer.did()
        await peer.control("points", {"available": 5, "maximum": 100, "per_s": 0.001})
        (outcome,) = await told(peer, tell("TSH", 6))
        assert isinstance(outcome, RetryLater)
        assert await peer.did() == [*before, "Levels"], "what is left does not pay for setting"


# Tokens ----------------------------------------------------------------------------------------------------------------


async def test_a_token_that_is_refused_stops_the_connection() -> None:
    async with store() as peer:
        await peer.control("revoke")
        (outcome,) = await told(peer, tell("TSH", 7))
        assert isinstance(outcome, Unauthorized)
        assert available(peer) == 10


async def test_a_secret_that_is_not_there_is_waited_for() -> None:
    async with store() as peer:
        (outcome,) = await told(peer, tell("TSH", 7), token="env:MISSING")
        assert outcome == RetryLater("There is no secret env:MISSING.")
        assert await peer.did() == []


async def test_an_app_fetches_its_tokens_and_a_new_one_when_one_is_refused() -> None:
    async with served(ShopifySandbox(clock.now), {"env:S": "sandbox"}) as peer:
        await peer.control("stock", [{"sku": "TSH", "location": "Amsterdam", "available": 10}])
        own = {"token": None, "client_id": "sandbox", "secret": "env:S"}
        for quantity in (7, 6):
            assert isinstance((await told(peer, tell("TSH", quantity), **own))[0], Done)
        assert (await peer.did()).count("/admin/oauth/access_token") == 1
        await peer.control("revoke")
        assert isinstance((await told(peer, tell("TSH", 5), **own))[0], Done)
        assert (available(peer), (await peer.did()).count("/admin/oauth/access_token")) == (5, 2)
        (outcome,) = await told(peer, tell("TSH", 4), **own | {"client_id": "other"})
        assert isinstance(outcome, Done), "a token that is good is used"
        peer.world.memory.clear()
        (outcome,) = await told(peer, tell("TSH", 3), **own | {"client_id": "other"})
        assert isinstance(outcome, Unauthorized)


# Looking ---------------------------------------------------------------------------------------------------------------


PUBLIC = {
    "token": None,
    "client_id": "sandbox",
    "secret": "env:S",
    "refresh_token": "secret:renew",
}


@asynccontextmanager
async def public() -> AsyncIterator[tuple[Peer, Secrets]]:
    """A store, and a public app's means to renew its token, as an operator stored them."""
    async with store() as peer:
        secrets = Secrets({"env:S": "sandbox", "secret:renew": "sandbox"})
        peer.world = msgspec.structs.replace(peer.world, secrets=secrets)
        yield peer, secrets


def another_process(peer: Peer) -> World:
    return msgspec.structs.replace(peer.world, memory={})


async def renewals(peer: Peer) -> int:
    return (await peer.did()).count("/admin/oauth/access_token")


async def test_a_token_that_expired_is_renewed_and_what_renews_it_next_is_kept_first() -> None:
    async with public() as (peer, secrets):
        for hour in range(1, 4):
            assert isinstance((await told(peer, tell("TSH", hour, hour), **PUBLIC))[0], Done)
            assert await renewals(peer) == hour
            kept = await secrets.open("secret:renew")
            assert peer.sandbox.state.renewing in kept
            assert peer.sandbox.state.tokens[-1] in kept
            await peer.control("revoke")
        assert available(peer) == 3


async def test_all_processes_show_one_token_and_one_of_them_renews_it() -> None:
    async with public() as (peer, _):
        await told(peer, tell("TSH", 1, 1), **PUBLIC)
        other = another_process(peer)
        assert isinstance((await publish(settings(peer, **PUBLIC), other, [tell("TSH", 2, 2)]))[0], Done)
        assert await renewals(peer) == 1
        await peer.control("revoke")
        together = [tell("TSH", 3, 3)]
        chosen = settings(peer, **PUBLIC)
        await asyncio.gather(*(observe(chosen, peer.world, [Target("web", "TSH", "TSH")]) for _ in range(5)))
        assert await renewals(peer) == 2, "who comes first renews it for all"
        assert isinstance((await publish(chosen, other, together))[0], Done)
        assert await renewals(peer) == 2, "the token that another process keeps is taken"


@pytest.mark.parametrize("fault", ["cut-after", "500-after"])
async def test_an_answer_that_was_lost_when_a_token_was_renewed_locks_nobody_out(fault: str) -> None:
    async with public() as (peer, secrets):
        await peer.faults(fault, on="access_token")
        assert isinstance((await told(peer, tell("TSH", 1, 1), **PUBLIC))[0], RetryLater)
        assert await secrets.open("secret:renew") == "sandbox"
        assert isinstance((await told(peer, tell("TSH", 1, 1), **PUBLIC))[0], Done)


async def test_a_token_whose_renewal_cannot_be_kept_is_not_used() -> None:
    async with public() as (peer, secrets):

        async def keep(reference: str, value: str) -> None:
            raise Refusal("secret.unusable", f"{reference} cannot be kept, {len(value)} characters.")

        secrets.keep = keep  # type: ignore[method-assign]
        [outcome] = await told(peer, tell("TSH", 1, 1), **PUBLIC)
        assert isinstance(outcome, RetryLater)
        assert "cannot be kept" in outcome.detail
        assert await peer.did() == ["/admin/oauth/access_token"]


async def test_a_scope_that_is_missing_renews_no_token() -> None:
    async with public() as (peer, _):
        await told(peer, tell("TSH", 1, 1), **PUBLIC)
        await peer.faults(rates={"denied": 1.0})
        [outcome] = await told(peer, tell("TSH", 2, 2), **PUBLIC)
        assert (type(outcome), await renewals(peer)) == (Unauthorized, 1)


async def test_a_store_that_takes_the_app_away_says_so() -> None:
    async with public() as (peer, secrets):
        await secrets.keep("secret:renew", "of yesterday")
        [outcome] = await told(peer, tell("TSH", 1, 1), **PUBLIC)
        assert outcome == Unauthorized("The store gives no token for this refresh_token.")
        assert "of yesterday" not in str(outcome)


async def test_what_the_store_shows_is_read_back_as_it_was_told() -> None:
    async with store() as peer:
        await told(peer, tell("TSH", 9))
        await peer.control("orders", {"location": "Amsterdam", "lines": [{"sku": "TSH", "quantity": 2}]})
        asked = [Target("web", "TSH", "TSH"), Target("web", "NIX", "NIX"), Target("other", "TSH", "TSH")]
        found = await observe(settings(peer), peer.world, asked)
        assert found[0] == Observed(9)
        assert [type(each) for each in found[1:]] == [Rejected, Rejected]


async def everything(peer: Peer, **others: Any) -> list[Level]:
    return [level async for page in pages(settings(peer, **others), peer.world) for level in page]


async def test_a_snapshot_is_one_file_that_costs_no_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "PIECE_BYTES", 5_000)
    async with store(*((f"S{number:03}", number) for number in range(205))) as peer:
        await peer.control("stock", [{"sku": "S000", "location": "Berlin", "available": 70}])
        await peer.control("stock", [{"sku": "S000", "location": "Paris", "available": 99}])
        await peer.control("points", {"available": 30, "maximum": 30, "per_s": 0.001})
        found = await everything(peer)
        shown = sorted((level.channel or "", level.sku, level.quantity) for level in found)
        assert shown == [("web", f"S{n:03}", n) for n in range(205)] + [("web-2", "S000", 70)]
        assert found[0] == Level("S000", "gid://shopify/InventoryItem/1001", 0, channel="web")
        did = await peer.did()
        assert did[:3] == ["RunInBulk", "InBulk", "InBulk"]
        assert did.count("/bulk/1.jsonl") == len(did) - 3 > 3, "in pieces, in whose middle lines end"
        assert all("authorization" not in str(entry).lower() for entry in await peer.log())


async def test_a_store_that_writes_another_file_is_read_page_by_page_to_the_end() -> None:
    async with store(*((f"S{number:03}", number) for number in range(205))) as peer:
        assert await bulk.started(Shop(settings(peer), peer.world)) is not None
        await peer.control("points", {"available": 400, "maximum": 400, "per_s": 2000})
        found = await everything(peer, shows={"web": "1"})
        assert sorted((level.sku, level.quantity) for level in found) == [(f"S{n:03}", n) for n in range(205)]
        assert found[0] == Level("S000", "gid://shopify/InventoryItem/1001", 0, channel="web")
        assert (await peer.did()).count("PageOfLevels") >= 3, "it waits for points, and does not begin again"


async def test_a_file_that_is_not_written_or_cut_off_is_no_snapshot() -> None:
    async with store() as peer:
        await peer.faults("unwritten", on="InBulk")
        await peer.faults(rates={"unwritten": 1.0}, on="InBulk")
        with pytest.raises(Failed, match="gave up writing all levels: FAILED INTERNAL_SERVER_ERROR"):
            await everything(peer)
        await peer.faults(rates={"cut": 1.0}, on="/bulk/")
        with pytest.raises(Failed):
            await everything(peer)
        await peer.faults()
        assert [level.quantity for level in await everything(peer)] == [10]


async def test_lines_of_a_file_may_stand_before_what_they_belong_to() -> None:
    async with store() as peer:
        begun = await bulk.started(Shop(settings(peer), peer.world))
        assert begun is not None
        written = peer.sandbox.state.bulks["1"]
        item, level = written.content.splitlines()
        written.content = f"{level}\n{item}"
        lines = bulk.lines(Shop(settings(peer), peer.world), peer.world, begun)
        found = [one async for page in filed(settings(peer), lines) for one in page]
        assert found == [Level("TSH", "gid://shopify/InventoryItem/1001", 10, channel="web")]


def test_settings_that_cannot_be_meant_are_refused() -> None:
    good = {"shop": "x.myshopify.com", "secret": "env:S", "token": "env:T", "shows": {"web": "1"}}
    msgspec.convert(good, Settings)
    for wrong in (
        {"shows": {"a": "1", "b": "1"}},
        {"shows": {"a": "Amsterdam"}},
        {"token": None},
        {"client_id": "a"},
        {"token": "shpat_0123456789"},
        {"shop": None},
        {"shop": "https://x.myshopify.com"},
        {"address": "https://x.myshopify.com/admin"},
        {"refresh_token": "secret:renew"},
        {"token": None, "client_id": "a", "refresh_token": "env:RENEW"},
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(good | wrong, Settings)


async def test_points_come_back_with_time() -> None:
    at = [NOW]
    sandbox = ShopifySandbox(lambda: at[0])
    async with served(sandbox, {"env:TOKEN": "sandbox"}) as peer:
        await peer.control("stock", [{"sku": "TSH", "location": "Amsterdam", "available": 10}])
        await peer.control("points", {"available": 0, "maximum": 1000, "per_s": 100})
        (outcome,) = await told(peer, tell("TSH", 7))
        assert isinstance(outcome, RetryLater)
        assert outcome.after_s is not None
        at[0] += timedelta(seconds=outcome.after_s + 1)
        assert isinstance((await told(peer, tell("TSH", 7)))[0], Done)
