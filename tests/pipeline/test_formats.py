"""The same tickets in every format that files have become the same events; what is no such file is refused in words."""

import gzip
import io
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openpyxl import Workbook

from evenstock.core.errors import Refusal
from evenstock.core.mapping import Mapping, mapper_of, read_mapping
from evenstock.pipeline.imports import dry_run
from evenstock.pipeline.intake import delivered
from evenstock.pipeline.rows import json_rows, opened, xml_rows

PLAIN: dict[str, Any] = {
    "connection": "partner",
    "time": {"column": "at"},
    "key": {"parts": ["ticket"]},
    "fields": {"location": {"column": "store"}, "ticket": {"column": "ticket"}},
    "line": {"sku": {"column": "sku"}, "quantity": {"column": "qty"}},
    "rule": [{"name": "sold", "event": "SaleRecorded.v1"}],
}
TICKETS = [
    ("T-1", "0107", "2026-01-20T14:08:12Z", "A", "1"),
    ("T-2", "0042", "2026-01-20T15:00:00Z", "Bé", "2.5"),
]
NAMES = ("ticket", "store", "at", "sku", "qty")
FIXED = {
    "format": "fixed",
    "columns": [
        {"name": "ticket", "first": 1, "last": 6},
        {"name": "store", "first": 7, "last": 10},
        {"name": "at", "first": 11, "last": 30},
        {"name": "sku", "first": 31, "last": 36},
        {"name": "qty", "first": 37, "last": 42},
    ],
}


def rules(file: dict[str, Any], **more: Any) -> Mapping:
    return read_mapping(PLAIN | {"file": file} | more, "mapping")


def told(content: bytes, mapping: Mapping) -> list[tuple[Any, ...]]:
    found = dry_run(opened(io.BytesIO(content), mapping, "it"), mapper_of(mapping))
    assert found.problems == []
    events = [json.loads(event.body) for event in found.events]
    return [
        (
            event["id"],
            event["data"]["location"],
            datetime.fromisoformat(event["time"]).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            event["data"]["lines"][0]["item"]["sku"],
            str(event["data"]["lines"][0]["quantity"]),
        )
        for event in events
    ]


def sheet(*rows: tuple[Any, ...], name: str = "Sales") -> bytes:
    book = Workbook()
    page = book.active
    assert page is not None
    page.title = name
    for row in rows:
        page.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def as_objects() -> list[dict[str, str]]:
    return [dict(zip(NAMES, ticket, strict=True)) for ticket in TICKETS]


def as_xml() -> str:
    return "".join(
        f"<p:Ticket store='{store}'><p:ticket>{id_}</p:ticket><at>{at}</at><sku>{sku}</sku><qty> {qty} </qty></p:Ticket>"
        for id_, store, at, sku, qty in TICKETS
    )


def test_the_same_tickets_in_every_format_become_the_same_events() -> None:
    csv = "".join(",".join(ticket) + "\n" for ticket in TICKETS)
    assert told(csv.encode(), rules({"header": list(NAMES)})) == TICKETS
    padded = "".join(
        "HEAD\n" * (n == 0) + f"{t[0]:<6}{t[1]:<4}{t[2]:<20}{t[3]:<6}{t[4]:>6}\n"
        for n, t in enumerate(TICKETS)
    )
    ends = {"head": {"begins": "HEAD"}, "tail": {"begins": "END", "first": 5, "last": 9}}
    assert told((padded + "END 00002\n").encode(), rules(FIXED | ends)) == TICKETS
    assert (
        told(json.dumps({"all": as_objects()}).encode(), rules({"format": "json", "records": "all"}))
        == TICKETS
    )
    lines = "\n\n".join(json.dumps(each) for each in as_objects())
    assert told(gzip.compress(lines.encode()), rules({"format": "jsonl"})) == TICKETS
    xml = f"<?xml version='1.0'?><Sales xmlns:p='urn:x'><Head>1</Head>{as_xml()}</Sales>"
    by_attribute = PLAIN["fields"] | {"location": {"column": "@store"}}
    assert (
        told(xml.encode(), rules({"format": "xml", "records": "Sales.Ticket"}, fields=by_attribute))
        == TICKETS
    )
    first, second = TICKETS
    book = sheet(
        NAMES,
        (),
        (*first[:2], datetime(2026, 1, 20, 14, 8, 12), first[3], 1.0),  # noqa: DTZ001 - as Excel has it
        (*second[:4], 2.5),
    )
    assert told(book, rules({"format": "xlsx", "sheet": "Sales"})) == TICKETS


def test_tickets_with_lines_become_one_event_of_each_rule_even_when_there_is_one_line() -> None:
    mapping = rules(
        {"format": "xml", "records": "Sales.Ticket", "lines": "Lines.Line"},
        line={"sku": {"column": "line.@sku"}, "quantity": {"column": "line.#text"}},
    )
    ticket = "<Ticket><ticket>{}</ticket><store>0107</store><at>2026-01-20T14:08:12Z</at><Lines>{}</Lines></Ticket>"
    one, two = "<Line sku='A'>1</Line>", "<Line sku='A'>1</Line><Line sku='B'>3</Line>"
    content = f"<Sales>{ticket.format(1, one)}{ticket.format(2, two)}{ticket.format(3, '')}</Sales>"
    found = dry_run(opened(io.BytesIO(content.encode()), mapping, "it"), mapper_of(mapping))
    lines = [
        [each["item"]["sku"] for each in json.loads(event.body)["data"]["lines"]] for event in found.events
    ]
    assert (lines, found.problems, found.summary.skipped) == (
        [["A"], ["A", "B"]],
        [],
        {"records that the mapping skips": 1},
    )


def test_a_record_that_cannot_be_used_does_not_stop_the_others() -> None:
    mapping = rules({"format": "jsonl"})
    good = json.dumps(as_objects()[0])
    content = "\n".join(
        [good, "{", "7", json.dumps(as_objects()[1] | {"qty": "many"}), '{"a":1,"a":2}', good]
    )
    found = dry_run(opened(io.BytesIO(content.encode()), mapping, "it"), mapper_of(mapping))
    assert found.summary.events == 2
    assert [(row.number, problem.code) for row, problem in found.problems] == [
        (2, "json.malformed"),
        (3, "message.shape"),
        (4, "quantity.pattern"),
        (5, "json.repeated_name"),
    ]


XML = {"format": "xml", "records": "S.T"}
BOMB = b"<!DOCTYPE S [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]><S><T>&b;</T></S>"


@pytest.mark.parametrize(
    ("content", "file", "code"),
    [
        (b"{", {"format": "json"}, "json.malformed"),
        (b'{"all": 7}', {"format": "json", "records": "all"}, "file.malformed"),
        (b" " * (json_rows.DOCUMENT_BYTES_MAX + 1), {"format": "json"}, "limit.file"),
        (b"<S><T>", XML, "file.malformed"),
        (BOMB, XML, "file.malformed"),
        (b"<!DOCTYPE S SYSTEM 'file:///etc/passwd'><S/>", XML, "file.malformed"),
        (b"<S>" + b"<a>" * 40 + b"</a>" * 40 + b"</S>", XML, "limit.depth"),
        (b"<S><T>" + b"<a>x</a>" * (xml_rows.RECORD_BYTES_MAX // 8 + 9_000) + b"</T></S>", XML, "limit.row"),
        (b"no workbook", {"format": "xlsx"}, "file.malformed"),
        (sheet(()), {"format": "xlsx"}, "file.header"),
        (sheet(NAMES), {"format": "xlsx", "sheet": "Sale"}, "file.header"),
        (sheet(NAMES[1:]), {"format": "xlsx"}, "file.header"),
        (b"T-1\n", FIXED | {"tail": {"begins": "END"}}, "file.incomplete"),
    ],
)
def test_a_file_that_is_none_of_its_format_is_refused_as_a_whole(
    content: bytes, file: dict[str, Any], code: str
) -> None:
    with pytest.raises(Refusal) as refused:
        list(opened(io.BytesIO(content), rules(file), "it"))
    assert refused.value.problem.code == code


def test_a_workbook_that_unpacks_to_too_much_is_not_opened() -> None:
    buffer = io.BytesIO(sheet(NAMES))
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/more.xml", b" " * 40_000_000)
    with pytest.raises(Refusal) as refused:
        opened(io.BytesIO(buffer.getvalue()), rules({"format": "xlsx"}), "it")
    assert refused.value.problem.code == "limit.unpacked"


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ({"format": "xml"}, "from the root on"),
        ({"format": "jsonl", "records": "a"}, "each line is a record"),
        ({"format": "fixed"}, "where each column"),
        ({"columns": FIXED["columns"]}, "where each column"),
        ({"format": "fixed", "columns": FIXED["columns"][:4]}, "there is no column qty"),
        ({"format": "json", "tail": {"begins": "x"}}, "has no such line"),
        ({"tail": {"begins": "x", "first": 1, "last": 2}}, "count = 2"),
        (FIXED | {"tail": {"begins": "x", "count": 2}}, "stands at places"),
        ({"header": ["a", "a"]}, "each once"),
        ({"sheet": "a"}, "has sheets"),
        ({"lines": "a"}, "are for documents"),
    ],
)
def test_what_does_not_fit_a_format_is_refused_in_words(file: dict[str, Any], words: str) -> None:
    with pytest.raises(Refusal) as refused:
        rules(file)
    assert words in refused.value.problem.detail


def test_rejects_beyond_what_is_put_beside_are_cut_at_a_line_and_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivered, "REJECTS_BYTES_MAX", 8)
    path = tmp_path / "rejects"
    path.write_text("one\ntwo\n")
    assert delivered._whole_lines(path) == b"one\ntwo\n"
    path.write_text("one\nthree\nfour\n")
    assert delivered._whole_lines(path) == b"one\nand 11 bytes more, which are not shown\n"


def test_a_file_that_tells_how_many_rows_it_has_is_held_to_it() -> None:
    def control(**more: Any) -> Mapping:
        return rules({"header": list(NAMES)} | more)

    row = ",".join(TICKETS[0]) + "\n"
    head = control(head={"begins": "HDR", "count": 2})
    assert len(told(f"HDR,1\n{row}".encode(), head)) == 1
    for content in (row, f"HDR,2\n{row}", f"HDR\n{row}", "", f"HDR,-1\n{row}"):
        with pytest.raises(Refusal) as refused:
            list(opened(io.BytesIO(content.encode()), head, "it"))
        assert refused.value.problem.code == "file.incomplete", content
    assert msgspec.structs.asdict(head.file)["tail"] is None
