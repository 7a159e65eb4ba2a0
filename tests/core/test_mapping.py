"""Rows become events by rules that can be read aloud; what does not fit is said in words."""

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenstock.core.errors import Refusal
from evenstock.core.events import SaleRecorded
from evenstock.core.mapping import SAME_FACT, Mapped, Mapper, Outcome, Rejected, Skipped, read_mapping
from evenstock.core.mapping import mapper as mappers
from evenstock.core.quantity import Quantity, read

SALES: dict[str, Any] = {
    "connection": "till",
    "time": {"column": "when", "formats": ["DD.MM.YYYY HH:mm", "iso"], "zone": "Europe/London"},
    "key": {"parts": ["ticket", "code", "count", {"time": True}], "occurrence": True},
    "items": {"sku": "code", "name": "text"},
    "location": [{"id": "0107", "timezone": "Europe/London"}],
    "fields": {"location": {"constant": "0107"}, "ticket": {"column": "ticket"}},
    "line": {"sku": {"column": "code"}},
    "rule": [
        {
            "name": "fees",
            "any": [{"column": "code", "one_of": ["FEE"]}, {"column": "code", "starts_with": "gift_"}],
            "skip": "not stock",
        },
        {
            "name": "returns",
            "when": [{"column": "count", "negative": True}, {"column": "ticket", "starts_with": "C"}],
            "event": "ReturnReceived.v1",
            "line": {"quantity": {"column": "count", "absolute": True}},
        },
        {
            "name": "sales",
            "when": [{"column": "ticket", "not_starts_with": "C"}],
            "event": "SaleRecorded.v1",
            "line": {"quantity": {"column": "count"}},
        },
    ],
}


def changed(**parts: Any) -> dict[str, Any]:
    return copy.deepcopy(SALES) | parts


def mapper(content: dict[str, Any] = SALES) -> Mapper:
    return Mapper(read_mapping(content, "till.toml"))


def row(**parts: str) -> dict[str, str]:
    return {"ticket": "7", "code": "TEE", "count": "2", "when": "20.11.2026 14:08", "text": "Tee"} | parts


def event(outcome: Outcome) -> dict[str, Any]:
    assert isinstance(outcome, Mapped), outcome
    read: dict[str, Any] = msgspec.json.decode(outcome.events[0].body)
    return read


def code(outcome: Outcome) -> tuple[str, str]:
    assert isinstance(outcome, Rejected), outcome
    return outcome.problem.code, outcome.problem.pointer


def refusal(content: dict[str, Any]) -> str:
    with pytest.raises(Refusal) as caught:
        read_mapping(content, "till.toml")
    assert caught.value.problem.code == "mapping.malformed"
    return caught.value.problem.detail


def test_a_row_becomes_the_event_that_the_hub_reads() -> None:
    outcome = mapper().outcome_of(row())
    assert isinstance(outcome, Mapped)
    assert event(outcome) == {
        "specversion": "1.0",
        "id": "7/TEE/2/2026-11-20T14:08:00Z/1",
        "source": "till",
        "type": "SaleRecorded.v1",
        "time": "2026-11-20T14:08:00+00:00",
        "data": {
            "location": "0107",
            "ticket": "7",
            "lines": [{"line": "1", "item": {"sku": "TEE"}, "quantity": 2}],
        },
    }
    assert isinstance(outcome.events[0].event, SaleRecorded)
    assert outcome.item == {"sku": "TEE", "base_uom": "EA", "scale": 0, "name": "Tee"}


def test_the_first_rule_that_holds_wins_and_a_skip_is_counted_by_its_reason() -> None:
    assert mapper().outcome_of(row(code="FEE", ticket="C7", count="-1")) == Skipped("not stock")
    assert mapper().outcome_of(row(code="gift_10")) == Skipped("not stock")
    assert event(mapper().outcome_of(row(ticket="C7", count="-3")))["type"] == "ReturnReceived.v1"


def test_like_rows_are_kept_apart_by_their_number() -> None:
    one = mapper()
    assert [event(one.outcome_of(row()))["id"][-2:] for _ in range(3)] == ["/1", "/2", "/3"]
    assert event(one.outcome_of(row(ticket="8")))["id"].endswith("/1")


def test_once_takes_like_rows_for_one_fact() -> None:
    one = mapper(changed(key={"parts": ["ticket", "code", "count", "when"], "once": True}))
    assert isinstance(one.outcome_of(row()), Mapped)
    assert one.outcome_of(row()) == Skipped(SAME_FACT)


def test_a_slash_in_a_key_part_does_not_make_two_keys_one() -> None:
    one = mapper()
    assert (
        event(one.outcome_of(row(ticket="a/b", code="c")))["id"]
        != event(one.outcome_of(row(ticket="a", code="b/c")))["id"]
    )


@given(st.integers(-(10**8), 10**8), st.integers(0, 6))
def test_numbers_stay_exact(digits: int, decimals: int) -> None:
    sign, text = "-" if digits < 0 else "", str(abs(digits)).zfill(decimals + 1)
    cell = sign + (f"{text[:-decimals]}.{text[-decimals:]}" if decimals else text)
    outcome = mapper().outcome_of(row(count=cell))
    if digits <= 0:
        assert code(outcome) == ("quantity.not_positive", "/count")
    else:
        quantity = event(outcome)["data"]["lines"][0]["quantity"]
        assert not isinstance(quantity, float)
        assert read(quantity) == Quantity(digits, decimals)


@pytest.mark.parametrize("text", ["1e5", "x", "1_000", "1.2.3", "NaN", "--1"])
def test_what_is_no_number_is_rejected_by_column(text: str) -> None:
    assert code(mapper().outcome_of(row(count=text))) == ("quantity.pattern", "/count")


@pytest.mark.parametrize(("text", "quantity"), [("1.234,5", "1234.5"), ("12", 12), ("0,250", "0.25")])
def test_numbers_are_read_as_the_country_writes_them(text: str, quantity: object) -> None:
    one = mapper(changed(numbers={"decimal": ",", "thousands": "."}))
    assert event(one.outcome_of(row(count=text)))["data"]["lines"][0]["quantity"] == quantity


def test_a_point_is_never_taken_for_another_countrys_thousands() -> None:
    one = mapper(changed(numbers={"decimal": ",", "thousands": "."}))
    assert code(one.outcome_of(row(count="1.5"))) == ("quantity.pattern", "/count")


def test_a_row_that_no_rule_takes_is_rejected_not_lost() -> None:
    assert code(mapper().outcome_of(row(ticket="C7"))) == ("mapping.no_rule", "")


def test_an_empty_cell_that_must_be_there_is_rejected_by_column() -> None:
    assert code(mapper().outcome_of(row(code=""))) == ("mapping.empty", "/code")


def test_the_hour_that_autumn_has_twice_is_the_first_or_the_second_as_the_mapping_says() -> None:
    twice = row(when="31.10.2010 01:30")
    assert event(mapper().outcome_of(twice))["time"] == "2010-10-31T01:30:00+01:00"
    second = changed(time=SALES["time"] | {"ambiguous": "second"})
    assert event(mapper(second).outcome_of(twice))["time"] == "2010-10-31T01:30:00+00:00"


def test_an_hour_that_spring_leaves_out_is_rejected_or_shifted() -> None:
    never = row(when="28.03.2010 01:30")
    assert code(mapper().outcome_of(never)) == ("event.time", "/when")
    shift = changed(time=SALES["time"] | {"missing": "shift"})
    assert event(mapper(shift).outcome_of(never))["time"] == "2010-03-28T02:30:00+01:00"


def test_formats_are_tried_in_order_and_one_instant_is_one_key() -> None:
    keys = {
        event(mapper().outcome_of(row(when=when)))["id"]
        for when in ("20.11.2026 14:08", "2026-11-20T14:08:00", "2026-11-20T15:08:00+01:00")
    }
    assert keys == {"7/TEE/2/2026-11-20T14:08:00Z/1"}


@pytest.mark.parametrize("when", ["", "31.02.2026 10:00", "20/11/2026", "20.11.2026 25:00"])
def test_a_time_that_cannot_be_is_rejected_by_column(when: str) -> None:
    assert code(mapper().outcome_of(row(when=when))) == ("event.time", "/when")


def test_a_words_meaning_comes_from_values_else_otherwise_else_the_row_is_rejected() -> None:
    content = changed()
    content["key"]["parts"].append("state")
    rule = content["rule"][1]
    rule["line"]["condition"] = {"column": "state", "values": {"ok": "sellable"}, "empty": "quarantine"}
    back = {"ticket": "C7", "count": "-1"}
    one = mapper(content)
    assert event(one.outcome_of(row(**back, state="ok")))["data"]["lines"][0]["condition"] == "sellable"
    assert event(one.outcome_of(row(**back, state="")))["data"]["lines"][0]["condition"] == "quarantine"
    assert code(one.outcome_of(row(**back, state="?"))) == ("mapping.value", "/state")
    rule["line"]["condition"]["otherwise"] = "damaged"
    outcome = mapper(content).outcome_of(row(**back, state="?"))
    assert event(outcome)["data"]["lines"][0]["condition"] == "damaged"


@pytest.mark.parametrize(
    ("asked", "text", "holds"),
    [
        ({"equals": "a"}, "a", True), ({"not_equals": "a"}, "a", False), ({"not_one_of": ["a"]}, "b", True),
        ({"empty": True}, "", True), ({"not_empty": True}, "", False), ({"zero": True}, "0.0", True),
        ({"not_zero": True}, "0", False), ({"positive": True}, "", False), ({"not_positive": True}, "", True),
        ({"negative": False}, "1", True), ({"positive": True, "not_equals": "2"}, "2", False),
    ],
)  # fmt: skip
def test_a_condition_asks_what_it_says(asked: dict[str, Any], text: str, *, holds: bool) -> None:
    first = {"name": "it", "when": [{"column": "x", **asked}], "skip": "held"}
    assert (mapper(changed(rule=[first, *SALES["rule"]])).outcome_of(row(x=text)) == Skipped("held")) is holds


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (changed(conection="x"), "till.toml: the file: there is no key conection here. Did you mean connection?"),
        (changed(time={"colum": "when"}), "till.toml: time: there is no key colum here. Did you mean column?"),
        (changed(rule=[{"name": "s", "event": "SaleRecoded.v1"}]), "till.toml: [[rule]] 1, event: there is no event SaleRecoded.v1. Did you mean SaleRecorded.v1?"),
        (changed(rule=[{"name": "s"}]), "[[rule]] 1: a rule has either event"),
        (changed(rule=[{"name": "s", "event": "SaleRecorded.v1"}]), "[[rule]] 1, line: SaleRecorded.v1 needs quantity. Say where it comes from."),
        (changed(rule=[{"name": "s", "event": "SaleRecorded.v1", "line": {"quantitty": {"column": "count"}}}]), "Did you mean quantity?"),
        (changed(rule=[{"name": "all", "skip": "x"}, *SALES["rule"]]), "[[rule]] 1: it takes every row"),
        (changed(rule=[{"name": "s", "when": [{"column": "a"}], "skip": "x"}]), "[[rule]] 1, when 1: it names the column a and asks nothing of it."),
        (changed(key={"parts": ["ticket", "code", {"time": True}], "occurrence": True}), "reads the column count, which the key does not name"),
        (changed(time={"column": "when", "formats": ["MM-DD-YYYY HH:MM"]}), "has MM twice. Minutes are mm."),
        (changed(time={"column": "when", "zone": "Europe/Londn"}), "there is no time zone Europe/Londn."),
        (changed(fields={"location": {}}), "name exactly one of column, constant and time = true."),
        (changed(location=[{"id": "0107", "timezone": "Londn"}]), "[[location]] 1, timezone: there is no time zone Londn."),
        (changed(location=[{"id": "0107", "type": "shop"}]), "[[location]] 1, type:"),
        (changed(rule=[{"name": "s", "event": "SaleRecorded.v1", "line": {"quantity": {"constant": 0}}}]), "[[rule]] 1, line, quantity: constant '0' must be above zero here"),
        (changed(fields={"location": {"constant": 1.5}}), 'write "1.5" as a text'),
        (changed(file={"encoding": "klingon"}), "till.toml: file, encoding:"),
        (changed(file={"delimiter": ";;"}), "delimiter is one character"),
        (changed(connection=7), "till.toml: connection: expected `str`, got `int`."),
    ],
)  # fmt: skip
def test_a_mapping_that_does_not_fit_is_refused_with_place_and_remedy(
    content: dict[str, Any], words: str
) -> None:
    assert words in refusal(content)


def test_columns_names_all_that_a_source_must_have() -> None:
    assert set(read_mapping(SALES, "till.toml").columns) == {"ticket", "code", "count", "when", "text"}


def test_a_rule_may_say_that_its_rows_do_not_name_the_item() -> None:
    content = changed()
    content["rule"][2]["names_items"] = False
    outcome = mapper(content).outcome_of(row())
    assert isinstance(outcome, Mapped)
    assert outcome.item == {"sku": "TEE", "base_uom": "EA", "scale": 0}


def test_more_keys_than_a_run_remembers_reject_the_row_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mappers, "KEYS_MAX", 1)
    one = mapper()
    one.outcome_of(row())
    assert code(one.outcome_of(row(ticket="8"))) == ("limit.keys", "")
    assert event(one.outcome_of(row()))["id"].endswith("/2")


def test_what_the_hub_would_refuse_is_rejected_with_the_place_in_the_event() -> None:
    assert code(mapper().outcome_of(row(ticket="7" * 100, code="T" * 60))) == ("event.malformed", "/id")


def test_an_item_is_never_made_known_under_characters_that_no_identifier_has() -> None:
    assert code(mapper().outcome_of(row(code="T\u200bEE"))) == ("identifier.characters", "/code")


def test_a_constant_is_written_plainly_whatever_the_country() -> None:
    content = changed(numbers={"decimal": ",", "thousands": "."})
    content["rule"][2]["line"] = {"quantity": {"constant": "0.25"}}
    assert event(mapper(content).outcome_of(row()))["data"]["lines"][0]["quantity"] == "0.25"
