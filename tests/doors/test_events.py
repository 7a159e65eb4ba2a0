"""POST /v1/events: what DESIGN §6.1 promises of facts at the door."""

import gzip
import json
from typing import Any

import pytest

from doors.door import Door, event, line, make_key, receipt, sale
from evenstock.core.events import EVENT_TYPES, IDENTIFIER_MAX, LINES_MAX
from evenstock.postgres.database import Database

EXAMPLE = """
{"specversion": "1.0", "id": "T-0107-88213", "source": "pos-nl", "type": "SaleRecorded.v1", "time": "2026-11-20T14:08:12+01:00",
 "data": {"location": "0107", "register": "3", "lines": [{"line": "1", "item": {"sku": "TSH-BLK-M"}, "quantity": 1, "uom": "EA"}]}}
"""
TRACEPARENT = "00-77ab4a17c0de4a1f8f0a6d1c2b3e4f50-00f067aa0ba902b7-01"


async def test_the_example_of_the_design_is_applied_and_the_same_again_is_a_duplicate(door: Door) -> None:
    await door.know("TSH-BLK-M")
    first = await door.call("POST", "/v1/events", EXAMPLE.encode())
    again = await door.call("POST", "/v1/events", EXAMPLE.encode())
    assert first.results[0]["id"] == "T-0107-88213"
    assert (first.outcomes, again.outcomes) == (["applied"], ["duplicate"])
    assert first.results[0]["trace_id"] == again.results[0]["trace_id"]
    assert len(first.results[0]["trace_id"]) == 32
    assert first.body["ledger_seq"] == 1
    assert (await door.stock("TSH-BLK-M"))["on_hand"] == -1


async def test_a_batch_answers_each_event_in_order_with_pointers_into_the_batch(door: Door) -> None:
    await door.know("A")
    answer = await door.report(
        sale("1", "A"), sale("2", "NOBODY-KNOWS"), sale("1", "A"), {"id": "4", "what": "is this"}
    )
    assert [result["id"] for result in answer.results] == ["1", "2", "1", "4"]
    assert answer.outcomes == ["applied", "held", "duplicate", "rejected"]
    held, rejected = answer.results[1], answer.results[3]
    assert (held["code"], held["pointer"]) == ("stock.unknown_item", "/1/data/lines/0/item")
    assert held["exception_id"].startswith("exc_")
    assert rejected["code"] in {"event.malformed", "event.unknown_type"}
    assert rejected["pointer"].startswith("/3")


async def test_only_the_required_fields_are_required(door: Door) -> None:
    await door.know("A")
    bare = {
        "id": "1", "source": "pos-nl", "type": "SaleRecorded.v1",
        "data": {"location": "0107", "lines": [{"line": "1", "item": {"sku": "A"}, "quantity": 1}]},
    }  # fmt: skip
    assert (await door.report(bare)).outcomes == ["applied"]


async def test_every_json_media_type_takes_one_event_and_an_array(door: Door) -> None:
    await door.know("A")
    for media_type in (
        "application/json", "application/json; charset=utf-8", "Application/CloudEvents+JSON",
        "application/cloudevents-batch+json",
    ):  # fmt: skip
        headers = {"Content-Type": media_type}
        one = await door.call("POST", "/v1/events", json.dumps(sale(media_type, "A")).encode(), headers)
        many = await door.call("POST", "/v1/events", json.dumps([sale(media_type, "A")]).encode(), headers)
        assert (one.outcomes, many.outcomes) == (["applied"], ["duplicate"])


async def test_an_empty_batch_is_answered_with_nothing(door: Door) -> None:
    assert (await door.post("/v1/events", [])).results == []


async def test_a_thousand_events_are_one_batch_and_one_more_is_refused_whole(door: Door) -> None:
    await door.know("A")
    events = [sale(str(number), "A") for number in range(1001)]
    assert (await door.post("/v1/events", events)).problem == (413, "limit.batch", "")
    assert (await door.stock("A"))["on_hand"] == 0
    assert (await door.post("/v1/events", events[:1000])).outcomes == ["applied"] * 1000
    assert (await door.stock("A"))["on_hand"] == -1000


async def test_a_thousand_lines_are_one_event_and_one_more_is_rejected(door: Door) -> None:
    await door.know("A")
    lines = [line("A", 1, str(number)) for number in range(LINES_MAX + 1)]
    full = event("full", "SaleRecorded", {"location": "0107", "lines": lines[:-1]})
    over = event("over", "SaleRecorded", {"location": "0107", "lines": lines})
    answer = await door.report(full, over)
    assert answer.outcomes == ["applied", "rejected"]
    assert answer.results[1]["pointer"] == "/1/data/lines"


async def test_an_identifier_has_at_most_128_characters(door: Door) -> None:
    fits, over = "x" * IDENTIFIER_MAX, "x" * (IDENTIFIER_MAX + 1)
    await door.know(fits)
    assert (await door.report(sale(fits, fits), sale(over, fits), sale("3", over))).outcomes == [
        "applied",
        "rejected",
        "rejected",
    ]


async def test_a_quantity_is_a_number_or_a_text_and_is_answered_as_a_number(door: Door) -> None:
    await door.know()
    kilos = {"base_uom": "KG", "scale": 3}
    for sent, units in ((2, "2"), ("2", "2"), (2.5, "2.5"), ("2.500", "2.5"), ("0.250", "0.25")):
        sku = f"KG {sent!r}"
        await door.post("/v1/items:batch", {"items": [{"sku": sku} | kilos]})
        assert (await door.report(receipt(sku, sku, sent))).outcomes == ["applied"]
        assert str((await door.stock(sku))["on_hand"]) == units


async def test_a_quantity_that_cannot_be_is_rejected_with_its_place(door: Door) -> None:
    await door.know("A")
    for sent, code in (
        (0, "quantity.not_positive"), (-1, "quantity.not_positive"),
        (1.5, "stock.too_precise"), ("1.5", "stock.too_precise"),
        (10**12 + 1, "quantity.too_large"), (10**15, "quantity.pattern"),
        ("1e3", "quantity.pattern"), ("1_000", "quantity.pattern"), ("１２", "quantity.pattern"), ("", "quantity.pattern"),
        (None, "quantity.pattern"), (True, "quantity.pattern"), ([], "quantity.pattern"),
    ):  # fmt: skip
        answer = await door.report(sale(f"good {sent!r}", "A"), sale("bad", "A", sent))
        assert answer.outcomes == ["applied", "rejected"]
        found = answer.results[1]
        assert (found["code"], found["pointer"]) == (code, "/1/data/lines/0/quantity"), sent


async def test_a_unit_of_measure_is_converted_and_an_unknown_one_waits_until_it_is_told(door: Door) -> None:
    await door.know("A")
    await door.post("/v1/items:batch", {"items": [{"sku": "A", "uoms": {"CASE": "12"}}]})
    cases = event("1", "GoodsReceived", {"location": "0107", "lines": [line("A", 2, uom="CASE")]})
    boxes = event("2", "GoodsReceived", {"location": "0107", "lines": [line("A", 1, uom="BOX")]})
    answer = await door.report(cases, boxes)
    assert answer.outcomes == ["applied", "held"]
    assert answer.results[1]["code"] == "stock.unknown_uom"
    told = await door.post("/v1/items:batch", {"items": [{"sku": "A", "uoms": {"BOX": 6}}]})
    assert told.body == {"upserted": 1, "released": 1}
    assert (await door.stock("A"))["on_hand"] == 30


async def test_the_known_lines_of_a_ticket_apply_and_the_unknown_wait(door: Door) -> None:
    await door.know("A")
    mixed = event("1", "SaleRecorded", {"location": "0107", "lines": [line("A"), line("NEW", 1, "2")]})
    (result,) = (await door.report(mixed)).results
    assert result["outcome"] == "applied"
    assert [held["line"] for held in result["held_lines"]] == ["2"]
    assert result["held_lines"][0]["pointer"] == "/data/lines/1/item"
    assert (await door.stock("A"))["on_hand"] == -1


async def test_a_key_used_again_with_other_content_is_held_and_the_first_stands(door: Door) -> None:
    await door.know("A")
    await door.report(sale("1", "A", 1))
    answer = await door.report(sale("1", "A", 5))
    assert (answer.outcomes, answer.results[0]["code"]) == (["held"], "event.key_reused")
    assert (await door.stock("A"))["on_hand"] == -1


async def test_the_same_content_written_otherwise_is_a_duplicate(door: Door) -> None:
    await door.know("A")
    await door.report(sale("1", "A", 1))
    again = sale("1", "A", "1.0", time="2026-01-20T13:08:12Z", traceparent=TRACEPARENT)
    assert (await door.report(again)).outcomes == ["duplicate"]


async def test_a_traceparent_is_the_trace_of_the_fact(door: Door) -> None:
    await door.know("A")
    (result,) = (await door.report(sale("1", "A", traceparent=TRACEPARENT))).results
    assert result["trace_id"] == TRACEPARENT.split("-")[1]
    page = await door.get("/v1/movements", sku="A")
    assert page.body["data"][0]["trace_id"] == TRACEPARENT.split("-")[1]


async def test_a_void_before_its_target_is_parked_until_the_target_comes(door: Door) -> None:
    await door.know("A")
    void = event("V", "FactVoided", {"target": "1", "goods": "never_left"})
    assert (await door.report(void)).outcomes == ["parked"]
    assert (await door.report(sale("1", "A"))).results[0]["outcome"] == "applied"
    assert (await door.stock("A"))["on_hand"] == 0


async def test_a_key_speaks_only_for_its_own_connection(door: Door, database: Database) -> None:
    await door.know("A")
    bound = door.with_key(await make_key(database, "pos-nl", "events:write"))
    answer = await bound.report(sale("1", "A"), sale("2", "A", source="pos-de"), sale("3", "A", source="all"))
    assert answer.outcomes == ["applied", "rejected", "rejected"]
    assert [result.get("code") for result in answer.results] == [None, "auth.source", "auth.source"]
    assert answer.results[1]["pointer"] == "/1/source"
    assert (await door.report(sale("2", "A", source="pos-de"))).outcomes == [
        "applied"
    ]  # scope * may write any


async def test_one_key_of_two_connections_is_two_facts(door: Door) -> None:
    await door.know("A")
    answer = await door.report(sale("1", "A", source="pos-nl"), sale("1", "A", source="pos-de"))
    assert answer.outcomes == ["applied", "applied"]


async def test_a_gzip_body_is_read(door: Door) -> None:
    await door.know("A")
    body = gzip.compress(json.dumps(sale("1", "A")).encode())
    answer = await door.call("POST", "/v1/events", body, {"Content-Encoding": "gzip"})
    assert answer.outcomes == ["applied"]


async def test_unknown_fields_are_kept_and_change_nothing(door: Door) -> None:
    await door.know("A")
    assert (await door.report(sale("1", "A", cashier="anna", loyalty={"card": [1, 2.5]}))).outcomes == [
        "applied"
    ]


def example_of(kind: str) -> dict[str, Any]:
    """The smallest data of each type of event."""
    place: dict[str, Any] = {"location": "0107", "lines": [line("A")]}
    count = {"line": "1", "item": {"sku": "A"}, "bucket": "on_hand", "quantity": 5}
    adjusted = {"line": "1", "item": {"sku": "A"}, "delta": -1}
    transfer = {"transfer": "TR-1", "from": "0107", "to": "0042", "lines": [line("A")]}
    return {
        "SaleRecorded.v1": place,
        "ReturnReceived.v1": place,
        "GoodsReceived.v1": place,
        "TransferShipped.v1": transfer,
        "TransferReceived.v1": transfer,
        "InventoryAdjusted.v1": {"location": "0107", "lines": [adjusted]},
        "StockCounted.v1": {"location": "0107", "lines": [count]},
        "DispositionDecided.v1": place | {"to": "sellable"},
        "FactVoided.v1": {"target": "SaleRecorded.v1", "goods": "came_back"},
        "CountVoided.v1": {"target": "StockCounted.v1"},
        "ShipmentConfirmed.v1": place | {"order_ref": "ORD-1"},
        "OrderPlaced.v1": {"channel": "web", "order_ref": "ORD-2", "lines": [line("A")]},
        "OrderCancelled.v1": {"channel": "web", "order_ref": "ORD-3"},
    }[kind]


KINDS = [str(kind.__struct_config__.tag) for kind in EVENT_TYPES]


async def test_every_type_of_event_is_taken(door: Door) -> None:
    await door.know("A", locations=("0107", "0042"))
    events = [event(kind, kind.removesuffix(".v1"), example_of(kind)) for kind in KINDS]
    assert (await door.report(*events)).outcomes == ["applied"] * len(KINDS)


async def test_a_nul_is_refused_wherever_it_stands_and_its_spelling_is_not(door: Door) -> None:
    await door.know("A")
    nul = {"note": {"a~/b": ["x", "\x00"]}}
    answer = await door.report(
        sale("1", "A") | nul, sale("2", "A", note="\\u0000"), sale("3", "A") | {"\x00": 1}
    )
    assert answer.outcomes == ["rejected", "applied", "rejected"]
    assert [result.get("pointer") for result in answer.results] == ["/0/note/a~0~1b/1", None, "/2"]


HOSTILE_TEXTS = {
    "NUL": "a\x00b",
    "lone surrogate": "a\ud800b",
    "line feed": "a\nb",
    "right-to-left override": "a\u202eb",
    "zero width": "a\u200bb",
    "NFD": "e\u0301",
    "unassigned": "a\U000e0fffb",
}


@pytest.mark.parametrize("kind", KINDS)
async def test_no_text_anywhere_in_an_event_is_too_much_for_the_hub(door: Door, kind: str) -> None:
    """Whatever stands in any text of an event, it gets an answer that is not our fault, and its neighbour is booked."""
    await door.know("A", locations=("0107", "0042"))
    number = 0
    for text in HOSTILE_TEXTS.values():
        for spoiled in spoil(full_example_of(kind), text):
            number += 1
            body = json.dumps(
                [spoiled | {"id": spoiled.get("id") or str(number)}, sale(f"good {number}", "A")]
            )
            answer = await door.call("POST", "/v1/events", body.encode())
            assert answer.outcomes[1] == "applied"
            assert answer.results[0].get("code") != "hub.bug", (text, spoiled, answer.results[0])


def full_example_of(kind: str) -> dict[str, Any]:
    """An event with every text that its type has a place for."""
    data = example_of(kind) | {
        "register": "3", "ticket": "T", "reason": "r", "document": "d", "condition": "sellable",
        "original": "O", "return": "R", "note": "kept",
    }  # fmt: skip
    if "lines" in data:
        data["lines"] = [
            data["lines"][0]
            | {"uom": "EA", "reason": "r", "condition": "sellable", "item": item, "line": name}
            for name, item in (("1", {"sku": "A"}), ("2", {"gtin": "G"}), ("3", {"id": "I"}))
        ]
    if "target" in data:
        data["target"] = {"source": "pos-nl", "id": "X"}
    return event(
        f"full {kind}", kind.removesuffix(".v1"), data,
        sequence="1", stream="s", epoch="e", traceparent=TRACEPARENT, subject="kept",
    )  # fmt: skip


def spoil(value: Any, text: str) -> list[Any]:
    """Copies of a value, in each of which one text is another; and one with such a name."""
    if isinstance(value, str):
        return [text]
    if isinstance(value, dict):
        return [value | {name: copy} for name, inner in value.items() for copy in spoil(inner, text)] + [
            value | {text: "a name"}
        ]
    if isinstance(value, list):
        return [
            [*value[:index], copy, *value[index + 1 :]]
            for index, inner in enumerate(value)
            for copy in spoil(inner, text)
        ]
    return []
