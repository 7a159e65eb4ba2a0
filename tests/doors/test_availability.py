"""GET /v1/availability/{sku}: buckets per location and in total; as of an instant; as known at a number or an instant."""

from datetime import timedelta
from urllib.parse import quote

from doors.door import Door, event, line, receipt, sale
from evenstock import clock

AMOUNTS = (
    "on_hand", "sellable", "quarantine", "damaged", "in_transit", "reserved", "allocated", "safety_stock",
    "available_to_sell",
)  # fmt: skip


async def test_it_answers_what_the_design_says_in_total_and_per_location(door: Door) -> None:
    await door.know("A", locations=("0107", "0042"))
    back = event("3", "ReturnReceived", {"location": "0107", "lines": [line("A", 2)]})
    broken = event("4", "GoodsReceived", {"location": "0042", "lines": [line("A", 3, condition="damaged")]})
    sent = event(
        "5", "TransferShipped", {"transfer": "T", "from": "0107", "to": "0042", "lines": [line("A", 4)]}
    )
    await door.report(receipt("1", "A", 10), sale("2", "A", 1), back, broken, sent)
    found = await door.stock("A")
    assert {name: found[name] for name in AMOUNTS} == {
        "on_hand": 10, "sellable": 5, "quarantine": 2, "damaged": 3, "in_transit": 4, "reserved": 0, "allocated": 0,
        "safety_stock": 0, "available_to_sell": 5,
    }  # fmt: skip
    assert (found["sku"], found["ledger_seq"]) == ("A", 1)
    by_id = {place["id"]: place for place in found["locations"]}
    assert list(by_id) == ["0042", "0107"]
    assert (by_id["0042"]["damaged"], by_id["0042"]["in_transit"], by_id["0107"]["sellable"]) == (3, 4, 5)
    for name in AMOUNTS:
        assert found[name] == sum(place[name] for place in found["locations"])


async def test_an_answer_after_an_acknowledgement_has_it(door: Door) -> None:
    await door.know("A")
    for number in range(1, 21):
        seq = (await door.report(sale(str(number), "A"))).body["ledger_seq"]
        found = await door.stock("A")
        assert found["on_hand"] == -number
        assert found["ledger_seq"] >= seq


async def test_a_sku_is_percent_encoded_and_may_hold_anything_printable(door: Door) -> None:
    skus = [
        "a/b",
        "a b",
        "ä/ö ü",
        "a%2Fb",
        "a?b",
        "a#b",
        "a+b",
        "..",
        "日本",
        "a&b=c",
        "x/explain",
        "'; drop table items; --",
    ]
    await door.know(*skus)
    await door.report(*(receipt(sku, sku, number) for number, sku in enumerate(skus, start=1)))
    for number, sku in enumerate(skus, start=1):
        if sku == "..":  # a client may not send this path as it is
            continue
        answer = await door.call("GET", f"/v1/availability/{quote(sku, safe='')}")
        assert (answer.status, answer.body["sku"], answer.body["on_hand"]) == (200, sku, number)


async def test_an_unknown_sku_is_not_found(door: Door) -> None:
    for path in ("NOBODY", "a%00b", "%ff", "x" * 2000, "%F0%9F%92%A9", ""):
        answer = await door.call("GET", f"/v1/availability/{path}")
        assert answer.problem == (404, "item.not_found", "")


async def test_an_item_without_stock_is_all_zero(door: Door) -> None:
    await door.know("A")
    found = await door.stock("A")
    assert (found["on_hand"], found["locations"]) == (0, [])


async def test_one_location_only(door: Door) -> None:
    await door.know("A", locations=("0107", "0042"))
    await door.report(receipt("1", "A", 5), receipt("2", "A", 7, location="0042"))
    found = await door.stock("A", location="0042")
    assert (found["on_hand"], [place["id"] for place in found["locations"]]) == (7, ["0042"])
    assert (await door.stock("A", location="nowhere"))["on_hand"] == 0


async def test_as_of_is_what_was_true_then_also_for_facts_that_came_late(door: Door) -> None:
    await door.know("A")
    now = clock.now()
    days = [(now - timedelta(days=back)).isoformat() for back in (3, 2, 1)]
    await door.report(receipt("1", "A", 10, time=days[0]), sale("3", "A", 3, time=days[2]))
    assert (await door.stock("A", as_of=days[1]))["on_hand"] == 10
    late = await door.report(sale("2", "A", 2, time=days[1]))
    assert (await door.stock("A", as_of=days[1]))["on_hand"] == 8
    assert (await door.stock("A"))["on_hand"] == 5
    before = late.body["ledger_seq"] - 1
    assert (await door.stock("A", as_of=days[1], known_at=before))["on_hand"] == 10
    assert (await door.stock("A", known_at=before))["on_hand"] == 7
    assert (await door.stock("A", as_of=(now - timedelta(days=9)).isoformat()))["on_hand"] == 0


async def test_asked_again_with_its_ledger_seq_an_answer_stays_the_same_for_ever(door: Door) -> None:
    await door.know("A")
    asked = {}
    for number in range(1, 6):
        await door.report(sale(str(number), "A", number))
        now = await door.stock("A")
        then = await door.stock("A", known_at=now["ledger_seq"])
        assert {name: then[name] for name in AMOUNTS} == {name: now[name] for name in AMOUNTS}
        as_of = clock.now().isoformat()
        asked[as_of, now["ledger_seq"]] = (
            then,
            await door.stock("A", known_at=now["ledger_seq"], as_of=as_of),
        )
    await door.report(receipt("late", "A", 100, time="2026-01-01T00:00:00Z"))
    for (as_of, seq), answers in asked.items():
        again = (await door.stock("A", known_at=seq), await door.stock("A", known_at=seq, as_of=as_of))
        assert again == answers


async def test_known_at_an_instant_is_the_last_number_committed_then(door: Door) -> None:
    await door.know("A")
    await door.report(receipt("1", "A", 10))
    between = clock.now().isoformat()
    await door.report(receipt("2", "A", 5))
    found = await door.stock("A", known_at=between)
    assert (found["on_hand"], found["ledger_seq"]) == (10, 1)
    assert (await door.stock("A", known_at="2000-01-01T00:00:00Z"))["on_hand"] == 0
    newest = await door.stock("A", known_at=10**17)
    assert (newest["on_hand"], newest["ledger_seq"]) == (15, 2)


async def test_a_question_that_makes_no_sense_is_refused(door: Door) -> None:
    await door.know("A")
    for query in (
        "as_of=yesterday", "as_of=2026-01-01T00:00:00", "as_of=", "known_at=-1", "known_at=x", f"known_at={'9' * 30}",
        "as_of=0001-01-01T00:00:00%2B14:00", "as_of=9999-12-31T23:59:59-14:00", "location=a%00b", "colour=red",
        "as_of=2026-01-01T00:00:00Z&as_of=2026-01-02T00:00:00Z", "location=", "known_at=%D9%A1",
    ):  # fmt: skip
        answer = await door.call("GET", f"/v1/availability/A?{query}")
        assert answer.problem == (422, "request.malformed", ""), query
