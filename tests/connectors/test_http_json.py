"""Any system is told its numbers by a template, and its reply is read by rules: over real HTTP, against the sandbox, under every fault."""

import json
import re
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import NOW
from connectors.sandboxed import Peer, served
from doors.door import opened, receipt, until
from evenstock import clock
from evenstock.connectors.contract import (
    Done,
    Exposure,
    Observed,
    Outcome,
    Rejected,
    Reply,
    RetryLater,
    Target,
    Unauthorized,
    Unknown,
    World,
)
from evenstock.connectors.http_json import connector
from evenstock.connectors.http_json.asking import outcome_of
from evenstock.connectors.http_json.observe import observe
from evenstock.connectors.http_json.publish import publish
from evenstock.connectors.http_json.sandbox import JsonSandbox
from evenstock.connectors.http_json.settings import Call, Settings
from evenstock.connectors.http_json.template import document_of, names_in, text_of
from evenstock.pipeline.vault import Vault
from evenstock.postgres.database import Database

README = Path(__file__).parents[2] / "src/evenstock/connectors/http_json/README.md"
ENVIRON = {"SHOP_AUTHORIZATION": "Bearer sandbox"}


def of_the_readme(url: str, **others: Any) -> dict[str, Any]:
    """The call that the page shows, to a sandbox."""
    found = re.search(r"```toml\n(.+?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    call: dict[str, Any] = tomllib.loads(found[1])["connection"]["call"]
    assert call["url"] == "https://shop.example/stores/{channel}/items/{code}"
    return call | {"url": call["url"].replace("https://shop.example", url)} | others


def settings(url: str, **others: Any) -> Settings:
    return msgspec.convert({"call": of_the_readme(url, **others)}, Settings)


@asynccontextmanager
async def shop(*codes: str) -> AsyncIterator[Peer]:
    async with served(
        JsonSandbox(clock.now), {f"env:{name}": text for name, text in ENVIRON.items()}
    ) as peer:
        await peer.control("items", [{"store": "17", "code": code} for code in codes or ["TSH"]])
        yield peer


def number(quantity: int | Decimal, version: int = 1, code: str = "TSH", channel: str = "web") -> Exposure:
    return Exposure(channel, code, code, quantity, version, f"{channel}-{code}-{version}", 1, NOW)


async def told(peer: Peer, *exposures: Exposure, **others: Any) -> list[Outcome]:
    return await publish(settings(peer.url, **others), peer.world, exposures)


def shown(peer: Peer, code: str = "TSH") -> tuple[float, int]:
    found = peer.sandbox.state.stores["17"][code]
    return found.stock, found.version


async def test_a_shop_shows_what_the_template_tells_it() -> None:
    async with shop("TSH", "A/B c%") as peer:
        outcomes = await told(peer, number(7), number(Decimal("1.5"), code="A/B c%"))
        assert outcomes == [Done("C-1"), Done("C-2")]
        assert (shown(peer), shown(peer, "A/B c%")) == ((7, 1), (1.5, 1))
        assert json.loads((await peer.log())[0]["body"]) == {"stock": 7, "version": 1}, "numbers are numbers"


async def test_the_same_number_again_is_the_same_call_and_an_older_one_does_not_win() -> None:
    async with shop() as peer:
        await peer.faults("cut-after")
        assert isinstance((await told(peer, number(7)))[0], Unknown)
        assert shown(peer) == (7, 1)
        assert await told(peer, number(7)) == [Done("C-1")]
        assert peer.sandbox.state.writes == 1
        await told(peer, number(5, 3), number(9, 2))
        assert shown(peer) == (5, 3)


async def test_a_refusal_is_told_in_the_systems_own_words_and_holds_up_no_other() -> None:
    async with shop() as peer:
        outcomes = await told(peer, number(1, code="CAP"), number(7))
        assert outcomes == [Rejected("There is no CAP at 17.", "unknown_item"), Done("C-1")]
        await peer.faults("no")
        assert await told(peer, number(8, 2)) == [Rejected("Not this item, not today.", "frozen")]
        assert shown(peer) == (7, 1), "status 200, and not done: the rule says so"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("429", RetryLater),
        ("429-bare", RetryLater),
        ("503", RetryLater),
        ("maintenance", RetryLater),
        ("500", Unknown),
        ("500-after", Unknown),
        ("html", Unknown),
        ("html-after", Unknown),
        ("cut", Unknown),
        ("cut-after", Unknown),
    ],
)
async def test_after_every_fault_the_number_is_told_again_and_shown(fault: str, kind: type[Outcome]) -> None:
    async with shop() as peer:
        await peer.faults(fault, retry_after_s=7)
        [first] = await told(peer, number(7))
        assert isinstance(first, kind), first
        if fault in {"429", "503", "maintenance"}:
            assert isinstance(first, RetryLater)
            assert first.after_s == 7
        assert await told(peer, number(7)) == [Done("C-1")]
        assert shown(peer) == (7, 1)


async def test_a_system_that_cannot_be_had_is_not_asked_for_each_number() -> None:
    async with shop("TSH", "CAP") as peer:
        await peer.faults("429")
        outcomes = await told(peer, number(7), number(7, code="CAP"))
        assert [type(outcome) for outcome in outcomes] == [RetryLater, RetryLater]
        assert len(await peer.log()) == 1
        wrong = {"secret_headers": {"Authorization": "env:NOBODY"}}
        assert all(isinstance(each, RetryLater) for each in await told(peer, number(7), **wrong))
        assert len(await peer.log()) == 1, "without its secret nothing is sent"
        outcomes = await told(peer, number(7), number(7, code="CAP"), secret_headers={})
        assert [type(outcome) for outcome in outcomes] == [Unauthorized, RetryLater]


def looking(peer: Peer, **others: Any) -> Settings:
    """As the page shows it, to a sandbox."""
    (found,) = (
        each
        for each in re.findall(r"```toml\n(.+?)```", README.read_text("utf-8"), re.DOTALL)
        if ".look]" in each
    )
    look: dict[str, Any] = tomllib.loads(found)["connection"]["look"]
    look["url"] = look["url"].replace("https://shop.example", peer.url)
    return msgspec.convert({"call": of_the_readme(peer.url), "look": look | others}, Settings)


TARGETS = [Target("web", code, code) for code in ("TEE", "CAP", "GONE")]


async def test_what_the_shop_shows_is_read_back_and_what_it_does_not_know_is_said() -> None:
    async with shop("TEE", "CAP") as peer:
        await publish(settings(peer.url), peer.world, [number(7, code="TEE"), number(0, code="CAP")])
        peer.sandbox.state.stores["17"]["CAP"].stock = 4  # somebody else writes there
        tee, cap, gone = await observe(looking(peer), peer.world, TARGETS)
        assert (tee, cap) == (Observed(7), Observed(4))
        assert isinstance(gone, Rejected)


async def test_an_answer_without_the_number_is_no_look_and_holds_up_no_other() -> None:
    async with shop("TEE", "CAP") as peer:
        found = await observe(looking(peer, quantity="stock.now"), peer.world, TARGETS[:2])
        assert [type(each) for each in found] == [Rejected, Rejected]
        assert "has no number at stock.now" in str(found[0])


@pytest.mark.parametrize("fault", ["429", "503", "500", "html", "cut"])
async def test_a_shop_that_cannot_be_asked_is_asked_another_time(fault: str) -> None:
    async with shop("TEE", "CAP") as peer:
        await peer.faults(fault)
        found = await observe(looking(peer), peer.world, TARGETS[:2])
        assert all(isinstance(each, RetryLater) for each in found)
        assert [type(each) for each in await observe(looking(peer), peer.world, TARGETS[:2])] == [
            Observed
        ] * 2


def test_a_look_at_what_it_is_not_told_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="look: what is looked at"):
        msgspec.convert({"mapping": {}, "look": {"url": "https://shop.example/x", "quantity": "q"}}, Settings)


async def test_a_connection_that_says_no_call_is_told_nothing() -> None:
    async with shop() as peer:
        world = World(http=None, files=peer.world.files)
        mapping = json.loads((README.parent / "fixtures" / "settings.json").read_bytes())
        outcomes = await publish(msgspec.convert(mapping, Settings), world, [number(7)])
        assert [type(outcome) for outcome in outcomes] == [Unauthorized]


def test_rules_are_read_in_order_and_say_what_a_status_does_not() -> None:
    def means(status: int, body: object, *rules: dict[str, Any], **headers: str) -> Outcome:
        given = {"url": "https://shop.example/x", "outcome": rules, "code": "e.code", "detail": "e.text"}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return outcome_of(msgspec.convert(given, Call), Reply(status, headers, content))

    busy = {"status": [409, 423], "means": "retry"}
    gone = {"status": [200, 404], "field": "e.code", "equals": "GONE", "means": "done"}
    odd = {"field": "e", "means": "rejected"}
    assert means(409, {}, busy) == RetryLater("The system answered 409.", None, "busy")
    assert means(423, {}, busy, **{"retry-after": "4"}) == RetryLater("The system answered 423.", 4.0, "busy")
    assert means(404, {"e": {"code": "GONE"}}, gone, odd) == Done()
    assert means(404, {"e": {"code": "HERE", "text": "No."}}, gone, odd) == Rejected("No.", "HERE")
    assert means(200, {"e": None}, gone, odd) == Done(), "null says nothing"
    assert means(200, {}, gone, odd) == Done()
    assert means(200, b"", gone) == Done(), "nothing to say"
    assert isinstance(means(200, b"Fine!", gone), Unknown), "rules cannot be read from it"
    assert means(200, b"Fine!") == Done()
    assert isinstance(means(200, b"<html>", **{"content-type": "text/html"}), Unknown)
    assert isinstance(means(401, {"e": {"code": "GONE"}}, gone), Unauthorized)
    assert isinstance(means(500, {}, {"status": [500], "means": "unknown"}), Unknown)
    number_is_not_true = {"field": "ok", "equals": 1, "means": "rejected"}
    assert means(200, {"ok": True}, number_is_not_true) == Done()
    assert means(422, {"e": {"text": "Too many."}}) == Rejected("Too many.", "422")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"url": "https://{channel}.example/x"}, "nobody chooses whom we call"),
        ({"url": "ftp://shop.example/x"}, "begins with http"),
        ({"url": "https://shop.example/{colour}"}, "there is no {colour}"),
        ({"body": {"a": ["{colour}"]}}, "there is no {colour}"),
        ({"body": {"a {": 1}}, "a brace that begins no name"),
        ({"headers": {"X-A": "{"}}, "a brace that begins no name"),
        ({"headers": {"Idempotency-Key": "x"}}, "named twice"),
        ({"headers": {"Host": "x"}}, "written by the hub"),
        ({"secret_headers": {"X-A": "plain text"}}, "secret_headers"),
        ({"outcome": [{"means": "done"}]}, "name a status or a field"),
        ({"outcome": [{"means": "done", "status": [200], "equals": "x"}]}, "name the field"),
        ({"timeout_s": 9}, "timeout_s"),
    ],
)
def test_a_template_that_cannot_be_is_refused_when_it_is_configured(
    wrong: dict[str, Any], words: str
) -> None:
    given = {"call": of_the_readme("https://shop.example") | wrong}
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(given, Settings)
    assert words in str(refused.value)


def test_a_connection_says_what_it_is_for() -> None:
    call = of_the_readme("https://shop.example")
    mapping = json.loads((README.parent / "fixtures" / "settings.json").read_bytes())["mapping"]
    for wrong, words in (({}, "mapping"), ({"mapping": mapping}, "secret")):
        with pytest.raises(msgspec.ValidationError, match=words):
            msgspec.convert(wrong, Settings)
    told_only = msgspec.convert({"call": call}, Settings)
    both = msgspec.convert({"call": call, "mapping": mapping, "secret": "env:S"}, Settings)
    assert (connector.hook_of(told_only), connector.hook_of(both)) == (None, both.hook)


@given(st.dictionaries(st.sampled_from(["sku", "code", "channel"]), st.text(max_size=8), min_size=3))
def test_values_are_filled_in_once_and_never_read_as_templates(values: dict[str, str]) -> None:
    assert text_of("{{{sku}}}/{code}{{x}}", values) == "{" + values["sku"] + "}/" + values["code"] + "{x}"
    assert names_in("{{{sku}}}/{code}{{x}}") == {"sku", "code"}
    document = {"{sku}": ["{quantity}", "n={quantity}", 7, None, True]}
    filled = document_of(document, {**values, "quantity": 5}, {**values, "quantity": "5"})
    assert filled == {values["sku"]: [5, "n=5", 7, None, True]}


async def test_a_channel_is_told_through_a_template_also_on_a_bad_day(
    database: Database, tmp_path: Path
) -> None:
    async with shop("TSH", "CAP") as peer:
        allowed = [peer.url.removeprefix("http://")]
        rates = dict.fromkeys(
            ("429-bare", "500", "500-after", "cut", "cut-after", "html", "html-after"), 0.05
        )
        await peer.faults("429", "cut-after", rates=rates, retry_after_s=0)
        async with opened(
            database, data=tmp_path, vault=Vault(None, ENVIRON), outbound_allow=allowed
        ) as door:
            await door.know("TSH", "CAP")
            connection = {
                "id": "shop",
                "connector": "http_json",
                "settings": {"call": of_the_readme(peer.url)},
            }
            channel = {"id": "web", "locations": ["0107"], "connection": "shop"}
            for path, body in (("connections", [connection]), ("channels", [channel])):
                assert (await door.post(f"/v1/{path}:batch", {path: body})).status == 200
            for each in range(1, 11):
                await door.report(receipt(f"R-{each}", "TSH", 1), receipt(f"Q-{each}", "CAP", 2))

            async def shows() -> bool:
                return (shown(peer)[0], shown(peer, "CAP")[0]) == (10, 20)

            await until(shows)
