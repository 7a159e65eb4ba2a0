"""Webhooks: verified over raw bytes, kept once, translated into the ledger; what cannot be is shown and tried again."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from doors.door import Door, opened
from doors.hooked import ENVIRON, MAPPING, SECRET, SETTINGS, Till, connect, settled, sold, ticket
from evenstock import clock
from evenstock.connectors.contract import Hook
from evenstock.core.errors import Refusal
from evenstock.pipeline.vault import Vault
from evenstock.postgres.database import Database

BODY_SIGNED = Hook(scheme="body", signature="x-hmac", id="x-id", kind="x-topic", keep=("x-shop",))


@pytest.fixture
def door(runner: asyncio.Runner, database: Database) -> Iterator[Door]:
    """A hub whose environment holds the till's secrets."""
    stack = AsyncExitStack()
    yield runner.run(stack.enter_async_context(opened(database, vault=Vault(None, ENVIRON))))
    runner.run(stack.aclose())


@pytest.fixture
def till(runner: asyncio.Runner, door: Door) -> Till:
    runner.run(_made(door))
    return Till(door)


async def _made(door: Door) -> None:
    await door.know("A", "B")
    answer = await connect(door)
    assert answer.status == 200, answer.raw


async def shown(door: Door) -> list[dict[str, Any]]:
    """The open exceptions, but for those of stock below zero: nothing was received here."""
    found = (await door.get("/v1/exceptions")).body["data"]
    return [cause for cause in found if cause["code"] != "stock.negative"]


async def counted(database: Database) -> int:
    db = await database.connect()
    try:
        return int(await db.fetchval("select count(*) from messages"))
    finally:
        await db.close()


async def test_a_ticket_with_sold_and_returned_lines_becomes_two_facts(door: Door, till: Till) -> None:
    lines = (sold("A", 3), {"kind": "text", "text": "thank you"}, sold("B", -1), sold("B", "2"))
    taken = await till.post(ticket("T-1", *lines))
    assert (taken.status, taken.body["duplicate"]) == (202, False)
    (message,) = await settled(door)
    assert (message["id"], message["status"]) == (taken.body["id"], "translated")
    assert message["events"] == ["T-1", "T-1/return"]
    assert (await door.stock("A"))["sellable"] == -3
    assert [(await door.stock("B"))[bucket] for bucket in ("sellable", "quarantine")] == [-2, 1]
    movements = (await door.get("/v1/movements", sku="B")).body["data"]
    assert {(row["source"], row["line"]) for row in movements} == {("till", "3"), ("till", "4")}


async def test_a_message_is_kept_once_however_often_it_comes(
    door: Door, till: Till, database: Database
) -> None:
    body = json.dumps(ticket("T-1", sold("A"))).encode()
    headers = till.headers(body, "same")
    answers = await asyncio.gather(*(till.send(body, **headers) for _ in range(20)))
    assert {answer.status for answer in answers} == {202}
    assert len({answer.body["id"] for answer in answers}) == 1
    assert [answer.body["duplicate"] for answer in answers].count(False) == 1
    await settled(door)
    again = await till.send(body, **till.headers(body, "same", clock.now() + timedelta(seconds=9)))
    assert again.body["duplicate"]
    assert await counted(database) == 1
    assert (await door.stock("A"))["sellable"] == -1


async def test_the_same_ticket_in_another_message_is_booked_once(door: Door, till: Till) -> None:
    for _ in range(3):
        await till.post(ticket("T-1", sold("A")))
    assert [message["events"] for message in await settled(door)] == [["T-1"]] * 3
    assert (await door.stock("A"))["sellable"] == -1


async def test_what_is_not_signed_by_our_secret_is_refused_and_nothing_is_kept(
    door: Door, till: Till, database: Database
) -> None:
    body = json.dumps(ticket("T-1", sold("A"))).encode()
    good = till.headers(body)
    mac = good["webhook-signature"]
    other = Till(door, secret="another").headers(body)["webhook-signature"]
    respaced = json.dumps(json.loads(body), separators=(",", ":")).encode()
    forged: list[tuple[str, bytes, dict[str, str]]] = [
        ("no header", body, {}),
        ("no signature", body, {name: text for name, text in good.items() if name != "webhook-signature"}),
        ("no id", body, {name: text for name, text in good.items() if name != "webhook-id"}),
        ("no time", body, {name: text for name, text in good.items() if name != "webhook-timestamp"}),
        ("another secret", body, good | {"webhook-signature": other}),
        ("a cut signature", body, good | {"webhook-signature": mac[:-8]}),
        ("no version", body, good | {"webhook-signature": mac.removeprefix("v1,")}),
        ("another version", body, good | {"webhook-signature": mac.replace("v1,", "v1a,")}),
        ("not base64", body, good | {"webhook-signature": "v1,%%%"}),
        ("an empty signature", body, good | {"webhook-signature": "v1,"}),
        ("re-serialised", respaced, good),
        ("one byte more", body + b" ", good),
        ("another id", body, good | {"webhook-id": "another"}),
        ("another time", body, good | {"webhook-timestamp": str(int(good["webhook-timestamp"]) - 1)}),
        ("a time that is none", body, good | {"webhook-timestamp": "١٢٣"[:1] and "12x"}),
    ]
    for name, sent, headers in forged:
        answer = await till.send(sent, **headers)
        assert answer.problem[:2] == (401, "hook.signature"), name
        assert SECRET.encode() not in answer.raw
    assert await counted(database) == 0
    assert (await till.send(body, **good)).status == 202


@pytest.mark.parametrize(("minutes", "status"), [(-4, 202), (4, 202), (-6, 401), (6, 401)])
async def test_a_clock_may_be_four_minutes_off_and_not_six(
    till: Till, database: Database, minutes: int, status: int
) -> None:
    body = json.dumps(ticket("T-1", sold("A"))).encode()
    answer = await till.send(body, **till.headers(body, at=clock.now() + timedelta(minutes=minutes)))
    assert answer.status == status
    assert status == 202 or answer.body["code"] == "hook.stale"
    assert await counted(database) == (status == 202)


async def test_the_secret_before_is_good_while_the_vendor_changes_over(door: Door, till: Till) -> None:
    old = Till(door, secret=ENVIRON["TILL_OLD"])
    assert (await old.post(ticket("T-1", sold("A")))).status == 202
    both = till.headers(b"{}", "x")["webhook-signature"] + " " + old.headers(b"{}", "x")["webhook-signature"]
    assert (await till.send(b"{}", **(till.headers(b"{}", "x") | {"webhook-signature": both}))).status == 202
    await connect(door, **{name: value for name, value in SETTINGS.items() if name != "previous_secret"})
    assert (await old.post(ticket("T-2", sold("A")))).problem[:2] == (401, "hook.signature")
    assert (await till.post(ticket("T-2", sold("A")))).status == 202


@pytest.mark.usefixtures("till")
async def test_where_only_the_body_is_signed_content_is_what_a_message_is_known_by(
    door: Door, database: Database
) -> None:
    hook = {"scheme": "body", "signature": "x-hmac", "id": "x-id", "kind": "x-topic", "keep": ["x-shop"]}
    assert (await connect(door, "shop", mapping=MAPPING, secret="env:TILL_OLD", hook=hook)).status == 200
    shop = Till(door, "shop", BODY_SIGNED, ENVIRON["TILL_OLD"])
    body = json.dumps(ticket("T-1", sold("A"))).encode()
    secret = {"authorization": "Bearer nobody", "x-other": "not kept"}
    first = await shop.send(body, **shop.headers(body, "one"), x_topic="sales", x_shop="tulip", **secret)
    replayed = await shop.send(body, **shop.headers(body, "another id"), x_topic="sales")
    assert (first.status, replayed.body) == (202, first.body | {"duplicate": True})
    elsewhere = await shop.send(body, **shop.headers(body, "one"), x_topic="stock")
    assert not elsewhere.body["duplicate"], "another kind of message may have the same content"
    db = await database.connect()
    headers = await db.fetchval("select headers::text from messages order by message_id limit 1")
    await db.close()
    assert json.loads(headers) == {"x-id": "one", "x-shop": "tulip", "x-topic": "sales"}
    await settled(door)
    assert (await door.stock("A"))["sellable"] == -1


@pytest.mark.usefixtures("till")
async def test_an_unknown_connection_or_one_without_hooks_takes_none(door: Door) -> None:
    for id_ in ("nobody", "all"):
        assert (await Till(door, id_).post({})).problem[:2] == (404, "hook.unknown")


async def test_a_secret_that_is_not_there_loses_nothing(door: Door, till: Till, database: Database) -> None:
    await connect(door, mapping=MAPPING, secret="env:NOT_THERE")
    answer = await till.post(ticket("T-1", sold("A")))
    assert answer.problem[:2] == (503, "secret.unknown")
    assert await counted(database) == 0
    await connect(door)
    assert (await till.post(ticket("T-1", sold("A")))).status == 202


async def test_a_body_at_the_limit_is_taken_and_one_byte_more_is_not(till: Till, database: Database) -> None:
    body = b'{"ticket":"' + b"x" * (2 * 1024 * 1024 - 13) + b'"}'
    assert (await till.post(body)).status == 202
    assert (await till.post(body + b" ")).problem[:2] == (413, "limit.body")
    assert await counted(database) == 1


async def test_like_faults_are_one_exception_and_are_tried_again_when_asked(door: Door, till: Till) -> None:
    broken = [ticket(f"T-{number}", sold("A"), *[sold("B", "two")] * number) for number in (1, 2, 3)]
    for each in broken:
        await till.post(each)
    await till.post(ticket("T-9", sold("A")))
    messages = await settled(door)
    assert [(message["status"], message["code"], message["pointer"]) for message in messages] == [
        ("translated", None, None), *[("dead", "quantity.pattern", "/lines/1/qty")] * 3,
    ]  # fmt: skip
    (cause,) = await shown(door)
    assert cause["code"] == "message.untranslatable"
    assert cause["id"] == messages[1]["exception_id"]
    assert "'two'" in cause["detail"]
    assert "/lines/1/qty" in cause["detail"]
    assert messages[1]["id"] in cause["detail"] or messages[3]["id"] in cause["detail"]
    assert (await door.stock("A"))["sellable"] == -1, "a message is understood as a whole or not at all"

    again = await door.post("/v1/messages:translate", {"exception": cause["id"]})
    assert again.body == {"asked": 3}
    await settled(door)
    assert len(await shown(door)) == 1, "nothing was mended"

    mended: dict[str, Any] = json.loads(json.dumps(MAPPING))
    mended["line"]["quantity"]["values"] = {"two": "2"}
    mended["line"]["quantity"]["otherwise"] = "1"
    mended["rule"][1]["when"] = [{"column": "line.kind", "equals": "back"}]
    assert (await connect(door, **(SETTINGS | {"mapping": mended}))).status == 200
    assert (await door.post("/v1/messages:translate", {"connection": "till"})).body == {"asked": 3}
    assert {message["status"] for message in await settled(door)} == {"translated"}
    assert await shown(door) == []
    assert [(await door.stock(sku))["sellable"] for sku in "AB"] == [-4, -12]


async def test_an_id_that_is_used_again_for_other_content_is_kept_and_shown(door: Door, till: Till) -> None:
    first = await till.post(ticket("T-1", sold("A")), "same")
    second = await till.post(ticket("T-2", sold("B")), "same")
    assert (second.status, second.body["duplicate"]) == (202, False)
    assert (await till.post(ticket("T-2", sold("B")), "same")).body == second.body | {"duplicate": True}
    messages = await settled(door)
    assert [(message["id"], message["status"]) for message in messages] == [
        (second.body["id"], "dead"), (first.body["id"], "translated"),
    ]  # fmt: skip
    (cause,) = await shown(door)
    assert cause["code"] == "message.id_reused"
    assert (await door.post("/v1/messages:translate", {"ids": [second.body["id"]]})).body == {"asked": 1}
    assert {message["status"] for message in await settled(door)} == {"translated"}
    assert await shown(door) == []
    assert (await door.stock("B"))["sellable"] == -1


async def test_what_waits_for_a_master_is_held_as_at_any_door(door: Door, till: Till) -> None:
    await till.post(ticket("T-1", sold("A"), sold("NEW")))
    assert [message["status"] for message in await settled(door)] == ["translated"]
    assert [cause["code"] for cause in await shown(door)] == ["stock.unknown_item"]
    assert (await door.post("/v1/items:batch", {"items": [{"sku": "NEW"}]})).body["released"] == 1


async def test_no_card_number_is_kept_and_the_facts_are(door: Door, till: Till, database: Database) -> None:
    paid = ticket(
        "T-1", sold("A"), note="paid 4111 1111 1111 1111", card=5555555555554444, ean="4006381333931"
    )
    assert (await till.post(paid)).status == 202
    (message,) = await settled(door)
    assert (message["status"], message["masked"]) == ("translated", True)
    db = await database.connect()
    body = json.loads(await db.fetchval("select body from messages"))
    await db.close()
    assert (body["note"], body["card"], body["ean"]) == (
        "paid **** **** **** 1111",
        9999999999994444,
        "4006381333931",
    )
    assert (await door.stock("A"))["sellable"] == -1


async def test_a_connection_is_refused_with_words_where_its_settings_do_not_fit(door: Door) -> None:
    cases: list[tuple[str, dict[str, Any], tuple[int, str, str], str]] = [
        ("http_jsn", {}, (422, "connector.unknown", "/connections/0/connector"), "Did you mean http_json?"),
        ("http_json", {"secret": "env:A"}, (422, "connection.settings", "/connections/0/settings"), "mapping"),
        ("http_json", SETTINGS | {"secrt": "x"}, (422, "connection.settings", "/connections/0/settings/secrt"), "Did you mean secret?"),
        ("http_json", SETTINGS | {"secret": "hunter2"}, (422, "connection.settings", "/connections/0/settings/secret"), "regex"),
        ("http_json", SETTINGS | {"mapping": MAPPING | {"rule": []}}, (422, "connection.settings", "/connections/0/settings"), "there is no rule"),
    ]  # fmt: skip
    for connector, settings, problem, words in cases:
        answer = await door.post(
            "/v1/connections:batch",
            {"connections": [{"id": "till", "connector": connector, "settings": settings}]},
        )
        assert answer.problem == problem
        assert words in answer.body["detail"]
        assert b"hunter2" not in answer.raw
    assert (await Till(door).post({})).problem[:2] == (404, "hook.unknown")


async def test_a_secret_is_opened_only_from_where_it_is(database: Database) -> None:
    db = await database.connect()
    try:
        vault = Vault(None, {})
        for reference in ("env:NOTHING", "secret:nothing"):
            with pytest.raises(Refusal, match=r"is not set|is no secret|There is no secret"):
                await vault.open(db, reference)
    finally:
        await db.close()
