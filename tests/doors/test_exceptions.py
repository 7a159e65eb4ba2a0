"""What needs a person: its state, who looks after it, what is at stake, found by any business key, closed by facts alone."""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from doors.door import REPOSITORY, Door, evenstock, event, line, receipt, sale
from evenstock import clock
from evenstock.core.causes import ABOUT
from evenstock.core.errors import MEANINGS
from evenstock.pipeline.attend import IGNORED_DAYS_MAX
from evenstock.pipeline.closing import close_by_fact, open_by_time
from evenstock.postgres import attention
from evenstock.postgres import exceptions as causes
from evenstock.postgres.attention import ExceptionRow, Filter
from evenstock.postgres.database import Connection, Database
from evenstock.postgres.exceptions import Cause
from hub import Hub, hub
from hub import event as fact
from hub import line as fact_line

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TEN = datetime(2026, 3, 2, 10, tzinfo=UTC)


async def shown(door: Door, **query: str) -> list[dict[str, Any]]:
    answer = await door.get("/v1/exceptions", **query)
    assert answer.status == 200, answer.raw
    found: list[dict[str, Any]] = answer.body["data"]
    return found


async def attend(door: Door, id_: str, **change: object) -> dict[str, Any]:
    answer = await door.post(f"/v1/exceptions/{id_}:attend", change)
    assert answer.status == 200, answer.raw
    found: dict[str, Any] = answer.body
    return found


# What it says -------------------------------------------------------------------------------------------------------------


async def test_an_exception_names_the_number_the_units_at_stake_and_what_happens_next(door: Door) -> None:
    await door.know("A", "B")
    await door.report(receipt("r", "A", 2), sale("s", "A", 5))
    await door.report(
        event("h", "SaleRecorded", {"location": "0107", "lines": [line("NEW", 3), line("NEW", 4, name="2")]})
    )
    unknown, negative = await shown(door)
    assert negative["detail"] == "0107 shows -3 of A (sellable): less than zero."
    assert (negative["units"], negative["state"], negative["data_safe"]) == (3, "new", True)
    assert (unknown["units"], unknown["lines"], unknown["facts"]) == (7, 2, 1)
    assert unknown["grouped_by"] == "all lines that name this item"
    assert unknown["next"].startswith("What waits is booked in order")
    await door.report(sale("s-2", "A", 1))
    assert (await shown(door, code="stock.negative"))[0]["detail"].startswith("0107 shows -4 of A")
    await door.report(receipt("r-2", "A", 4))
    (closed,) = await shown(door, status="all", code="stock.negative")
    assert (closed["state"], closed["units"]) == ("resolved", None)
    assert closed["detail"] == "0107, A: less than zero."


async def test_an_exception_says_what_is_at_stake_in_money_where_a_units_value_is_known(
    door: Door, database: Database
) -> None:
    await door.know("A", "B")
    answer = await door.post("/v1/items:batch", {"items": [worth("A", "19.95")]})
    assert answer.status == 200, answer.raw
    await door.report(receipt("r", "A", 2), sale("s", "A", 5), sale("t", "B", 1))
    without, with_ = await shown(door, code="stock.negative")
    assert (with_["units"], with_["money"]) == (3, {"amount": Decimal("59.85"), "currency": "EUR"})
    assert (without["units"], without["money"]) == (1, None)
    at = ("--database-url", database.url, "--schema", database.schema)
    assert "3 units · 59.85 EUR" in (await evenstock("exceptions", "show", with_["id"], *at))[1]
    await door.know("A")
    assert (await shown(door, code="stock.negative"))[1]["money"] is not None, (
        "who does not say a value leaves it"
    )


def worth(sku: str, amount: str | int, currency: str = "EUR") -> dict[str, Any]:
    return {"sku": sku, "value": {"amount": amount, "currency": currency}}


@pytest.mark.parametrize(
    ("amount", "currency", "pointer"),
    [
        ("-0.01", "EUR", "/items/0/value/amount"), ("1e9", "EUR", "/items/0/value/amount"),
        (10**15, "EUR", "/items/0/value/amount"), ("1", "euro", "/items/0/value/currency"),
    ],
)  # fmt: skip
async def test_a_value_that_is_none_is_refused_and_the_item_is_not_made(
    door: Door, amount: str | int, currency: str, pointer: str
) -> None:
    answer = await door.post("/v1/items:batch", {"items": [worth("V", amount, currency)]})
    assert (answer.status, answer.body["code"], answer.body["pointer"]) == (422, "request.malformed", pointer)
    assert (await door.get("/v1/availability/V")).status == 404


async def test_a_missing_number_is_said_to_be_perhaps_lost(door: Door) -> None:
    await door.know("A", "B")
    await door.report(sale("s", "A") | {"sequence": "1"}, sale("t", "A") | {"sequence": "3"})
    (gap,) = await shown(door, code="source.sequence_gap")
    assert (gap["data_safe"], gap["safe"]) == (False, "Perhaps: these tickets were not received.")


OPENED = re.compile(r"(?:Cause|HeldLine)\(\s*(?:line\.index|index)?,?\s*\"([a-z_]+\.[a-z_]+)\"")


def test_every_cause_that_can_open_has_words() -> None:
    text = "\n".join(path.read_text() for path in (REPOSITORY / "src").rglob("*.py"))
    opened = set(OPENED.findall(text))
    assert {"stock.unknown_item", "count.from_the_future", "connection.paused", "event.key_reused"} <= opened
    opened |= {
        "posting.rejected",
        "posting.line_refused",
        "posting.delayed",
        "command.rejected",
        "command.delayed",
        "file.quarantined",
        "source.unreachable",
    }  # from SQL, or by constants
    assert opened <= set(ABOUT) <= set(MEANINGS)
    for code, about in ABOUT.items():
        assert about.data_safe is not about.safe.startswith("Perhaps"), code
        for words in (about.safe, about.next):
            assert words.endswith("."), code
            assert len(words.split()) <= 25, code


# What people do -----------------------------------------------------------------------------------------------------------


async def test_people_own_it_wait_ignore_it_and_say_so_and_a_fact_alone_resolves_it(door: Door) -> None:
    await door.report(sale("s", "NEW"))
    (found,) = [one for one in await shown(door) if one["code"] == "stock.unknown_location"]
    id_ = found["id"]
    owned = await attend(door, id_, owner="maria", note="Asked the supplier.")
    assert (owned["owner"], owned["state"]) == ("maria", "ongoing")
    waiting = await attend(door, id_, waiting_for="the supplier")
    assert (waiting["state"], waiting["owner"]) == ("waiting", "maria"), "what is not named stays"
    until = (clock.now() + DAY).isoformat()
    assert (await attend(door, id_, ignored_until=until))["state"] == "ignored"
    again = await attend(door, id_, ignored_until=None, waiting_for=None, owner=None)
    assert (again["state"], again["owner"], again["waiting_for"]) == ("new", None, None)
    said = [note["words"] for note in again["notes"]]
    assert said[-2:] == ["Asked the supplier.", "Given to maria."]
    assert {note["who"] for note in again["notes"]} == {"all"}, "the name of the key"
    assert [one["id"] for one in await shown(door, state="new")] == [id_]
    assert await shown(door, owner="maria") == []

    await door.know("NEW")
    assert (await door.get(f"/v1/exceptions/{id_}")).body["state"] == "resolved"
    refused = await door.post(f"/v1/exceptions/{id_}:attend", {"owner": "maria"})
    assert refused.problem[:2] == (409, "exception.resolved")
    assert (await attend(door, id_, note="It was a typing error."))["notes"][0][
        "words"
    ] == "It was a typing error."
    assert (await door.get(f"/v1/exceptions/{id_}")).body["owner"] is None, "a refusal changed nothing"


async def test_what_cannot_be_done_is_refused_and_changes_nothing(door: Door) -> None:
    await door.report(sale("s", "NEW"))
    id_ = (await shown(door))[0]["id"]
    now = clock.now()
    for body, pointer in (
        ({"ignored_until": (now - HOUR).isoformat()}, "/ignored_until"), ({"ignored_until": "2026-01-01T00:00:00"}, "/ignored_until"),
        ({"ignored_until": (now + timedelta(days=IGNORED_DAYS_MAX + 1)).isoformat()}, "/ignored_until"),
        ({"owner": ""}, "/owner"), ({"owner": "x" * 129}, "/owner"), ({"colour": "red"}, ""), ({"note": 1}, "/note"),
    ):  # fmt: skip
        answer = await door.post(f"/v1/exceptions/{id_}:attend", body)
        assert answer.problem == (422, "request.malformed", pointer), body
    nul = await door.post(f"/v1/exceptions/{id_}:attend", {"note": "a\0b"})
    assert nul.problem[:2] == (422, "identifier.characters")
    for missing in ("exc_99999999", "exc_x", "x", "exc_" + "9" * 30):
        assert (await door.get(f"/v1/exceptions/{missing}")).problem[:2] == (404, "exception.not_found")
        answer = await door.post(f"/v1/exceptions/{missing}:attend", {"note": "x"})
        assert answer.problem[:2] == (404, "exception.not_found")
    assert (await door.get("/v1/exceptions", state="mad")).problem[:2] == (422, "request.malformed")
    found = (await door.get(f"/v1/exceptions/{id_}")).body
    assert (found["notes"], found["owner"], found["state"]) == ([], None, "new")


async def test_it_is_found_by_whatever_somebody_holds(door: Door) -> None:
    await door.know("A", locations=("0107",))
    await door.post("/v1/channels:batch", {"channels": [{"id": "web", "locations": ["0107"]}]})
    await door.report(
        event("H-1", "SaleRecorded", {"location": "0107", "ticket": "88213", "lines": [line("NEW")]})
    )
    await door.report(receipt("R-1", "A", 1))
    wanted = {
        "channel": "web",
        "order_ref": "ORD-1",
        "lines": [{"line": "1", "item": {"sku": "A"}, "quantity": 1}],
    }
    assert (await door.post("/v1/reservations", wanted)).status == 201
    await door.report(sale("S-1", "A", 3))
    await door.report(sale("S-1", "A", 4))
    left = {"location": "0107", "order_ref": "ORD-2", "lines": [line("A")]}
    await door.report(event("L-1", "ShipmentConfirmed", left))
    back = {"location": "0107", "original": "never", "lines": [line("A")]}
    await door.report(event("B-1", "ReturnReceived", back))
    for key, codes in {
        "NEW": {"stock.unknown_item"}, "H-1": {"stock.unknown_item"}, "88213": {"stock.unknown_item"},
        "A": {"stock.negative", "stock.overcommitted"}, "0107": {"stock.negative", "stock.overcommitted"},
        "ORD-1": {"stock.overcommitted"}, "ORD-2": {"stock.shipped_without_claim"}, "L-1": {"stock.shipped_without_claim"},
        "S-1": {"event.key_reused"}, "B-1": {"return.without_sale"},
        "pos-nl": {"stock.unknown_item", "event.key_reused", "return.without_sale"}, "nothing": set(),
    }.items():  # fmt: skip
        assert {one["code"] for one in await shown(door, q=key)} == codes, key
    for one in await shown(door):
        assert [found["id"] for found in await shown(door, q=one["id"])] == [one["id"]]


# States ---------------------------------------------------------------------------------------------------------------------


async def states(db: Connection, now: datetime, **wanted: Any) -> list[tuple[str, str]]:
    rows = await attention.exceptions(db, Filter(**wanted), None, 100, now)
    return [(row.subject, row.state) for row in rows]


@pytest.fixture
def cause() -> Cause:
    return Cause("stock.unknown_item", "sku:X", "No item with sku X.")


async def test_a_cause_grows_old_grows_often_and_comes_back(database: Database, cause: Cause) -> None:
    async with hub(database) as till:
        db, opened = till.db, TEN
        await causes.open_causes(db, [cause], opened)
        assert await states(db, opened) == [("sku:X", "new")]
        assert await states(db, opened + HOUR + timedelta(seconds=1)) == [("sku:X", "ongoing")]
        assert await states(db, opened + DAY + timedelta(seconds=1)) == [("sku:X", "escalating")], (
            "nobody owns it for a day"
        )
        for _ in range(9):
            await causes.open_causes(db, [cause], opened + 3 * HOUR)
        assert await states(db, opened + 3 * HOUR) == [("sku:X", "ongoing")], "nine times in an hour"
        await causes.open_causes(db, [cause], opened + 3 * HOUR)
        (row,) = await attention.exceptions(db, Filter(), None, 9, opened + 3 * HOUR)
        assert (row.state, row.hits, row.last_seen_at) == ("escalating", 11, opened + 3 * HOUR), (
            "ten, after none the hour before"
        )
        for number in range(20):
            await causes.open_causes(db, [cause], opened + 4 * HOUR + timedelta(seconds=number))
        assert await states(db, opened + 4 * HOUR + timedelta(minutes=1)) == [("sku:X", "ongoing")], (
            "not twice as often"
        )
        assert await states(db, opened + 4 * HOUR, state="new") == []

        await causes.close_causes(db, [(cause.code, cause.subject)], opened + 5 * HOUR)
        assert await states(db, opened + 6 * HOUR) == []
        assert await states(db, opened + 6 * HOUR, closed_too=True) == [("sku:X", "resolved")]
        await causes.open_causes(db, [cause], opened + 6 * HOUR)
        rows = await attention.exceptions(db, Filter(closed_too=True), None, 9, opened + 6 * HOUR)
        assert [(row.state, row.regressed_from) for row in rows] == [
            ("regressed", rows[1].id),
            ("resolved", None),
        ]
        await causes.close_causes(db, [(cause.code, cause.subject)], opened + 7 * HOUR)
        late = opened + 8 * DAY
        await causes.open_causes(db, [cause], late)
        assert await states(db, late) == [("sku:X", "new")], "more than seven days later it is new"
        await causes.close_causes(db, [(cause.code, cause.subject)], late)


# What ends it -------------------------------------------------------------------------------------------------------------


async def open_of(till: Hub, code: str) -> list[ExceptionRow]:
    await close_by_fact(till.db, till.now)
    return await attention.exceptions(till.db, Filter(code=code), None, 9, till.now)


def sold(id_: str, sku: str = "TEE", units: int = 1, at: datetime = TEN, **more: Any) -> dict[str, Any]:
    return fact("sale", id_, at, {"location": "A", "lines": [fact_line(sku, units)]}, **more)


async def test_a_reused_key_is_settled_when_the_refused_content_is_booked_under_its_own(
    database: Database,
) -> None:
    async with hub(database, "pos") as till:
        await till.locations("A")
        await till.items("TEE", "MUG")
        await till.apply(sold("1"))
        await till.apply(sold("1", "MUG", 2), sold("1", "MUG", 3))
        assert len(await open_of(till, "event.key_reused")) == 1
        await till.apply(sold("2", "MUG", 2))
        assert len(await open_of(till, "event.key_reused")) == 1, "one of the two is still nowhere"
        await till.apply(sold("3", "MUG", 3, TEN + HOUR))
        assert len(await open_of(till, "event.key_reused")) == 1, "that was another sale"
        await till.apply(sold("4", "MUG", 3))
        assert await open_of(till, "event.key_reused") == []


async def test_a_reused_key_is_settled_when_what_stands_is_voided(database: Database) -> None:
    async with hub(database, "pos") as till:
        await till.locations("A")
        await till.items("TEE")
        await till.apply(sold("1"))
        await till.apply(sold("1", units=2))
        assert len(await open_of(till, "event.key_reused")) == 1
        await till.apply(fact("void", "v", TEN, {"target": "1", "goods": "never_left"}))
        assert await open_of(till, "event.key_reused") == []


async def test_a_clock_is_right_again_after_an_hour_without_a_time_ahead(database: Database) -> None:
    async with hub(database, "pos", "wms") as till:
        await till.locations("A")
        await till.items("TEE")
        await till.apply(sold("1", at=till.now + HOUR))
        assert len(await open_of(till, "source.clock_skew")) == 1
        till.now += 2 * HOUR
        assert len(await open_of(till, "source.clock_skew")) == 1, "silence proves nothing"
        await till.apply(sold("2", source="wms"))
        assert len(await open_of(till, "source.clock_skew")) == 1, "nor does another's clock"
        await till.apply(sold("3", at=till.now + HOUR))
        await till.apply(sold("4"))
        assert len(await open_of(till, "source.clock_skew")) == 1, "it was ahead a moment ago"
        till.now += HOUR
        await till.apply(sold("5"))
        assert await open_of(till, "source.clock_skew") == []


async def test_a_void_whose_fact_does_not_come_in_a_day_is_shown_until_it_comes(database: Database) -> None:
    async with hub(database, "pos") as till:
        await till.locations("A")
        await till.items("TEE")
        void = fact("void", "v", TEN, {"target": "1", "goods": "never_left"})
        assert await till.answers(void) == ["parked"]
        (came,) = await till.db.fetch("select received_at from facts")
        assert await open_by_time(till.db, came["received_at"] + DAY) == 0
        assert await till.open_exceptions() == []
        assert await open_by_time(till.db, came["received_at"] + DAY + timedelta(seconds=1)) == 1
        assert await open_by_time(till.db, came["received_at"] + 2 * DAY) == 0, "once"
        ((code, detail),) = await till.db.fetch("select code, detail from exceptions where closed_at is null")
        assert (code, detail) == ("void.without_target", "v takes 1 of pos back, and that did not come.")
        await till.apply(sold("1"))
        assert await till.open_exceptions() == []
        assert (await till.units("TEE", "A"))[0] == 0


async def test_a_void_across_a_count_is_settled_by_the_next_count(database: Database) -> None:
    async with hub(database, "pos") as till:
        await till.locations("A")
        await till.items("TEE")

        def counted(id_: str, at: datetime, bucket: str) -> dict[str, Any]:
            return fact("count", id_, at, {"location": "A", "lines": [fact_line("TEE", 5, bucket=bucket)]})

        await till.apply(sold("1"))
        await till.apply(counted("c-1", TEN + HOUR, "sellable"))
        await till.apply(fact("void", "v", TEN + 2 * HOUR, {"target": "1", "goods": "never_left"}))
        assert len(await open_of(till, "void.before_count")) == 1
        await till.apply(counted("c-2", TEN + 3 * HOUR, "sellable"))
        assert len(await open_of(till, "void.before_count")) == 1, "that was before anybody knew of the void"
        till.now += HOUR
        await till.apply(counted("c-3", till.now, "damaged"))
        assert len(await open_of(till, "void.before_count")) == 1, "the other bucket"
        await till.apply(counted("c-4", till.now, "on_hand"))
        assert await open_of(till, "void.before_count") == []


# The command --------------------------------------------------------------------------------------------------------------


async def test_the_command_lists_shows_and_attends(door: Door, database: Database) -> None:
    at = ("--database-url", database.url, "--schema", database.schema)
    code, out, _ = await evenstock("exceptions", "list", *at)
    assert (code, out) == (0, "Nothing needs you.\n")
    await door.know("A")
    await door.report(sale("S-1", "NEW", 3))
    code, out, _ = await evenstock("exceptions", "list", "S-1", *at)
    assert code == 3
    id_ = out.split()[0]
    assert re.fullmatch(
        r"exc_\d{8}  new         –             stock\.unknown_item  No item with sku NEW\.\n", out
    )
    code, out, _ = await evenstock("exceptions", "assign", id_, "maria", "--note", "Asked.", *at)
    assert code == 0
    assert "1 lines of 1 events · 3 units" in out
    assert "lost?      No." in out
    code, out, _ = await evenstock("exceptions", "ignore", id_, "--until", "2020-01-01T00:00:00Z", *at)
    assert (code, out) == (2, "")
    code, out, _ = await evenstock("exceptions", "show", id_, "--json", *at)
    found = json.loads(out)
    assert (found["owner"], [note["words"] for note in found["notes"]]) == (
        "maria",
        ["Asked.", "Given to maria."],
    )
    code, out, said = await evenstock("exceptions", "show", "exc_99", *at)
    assert (code, out, "no exception" in said) == (4, "", True)
