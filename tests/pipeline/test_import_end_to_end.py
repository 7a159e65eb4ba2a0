"""A file, the command, a real database: what stands in the ledger is what the file says, by sums made without us."""

import asyncio
import csv
import gzip
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from conftest import owner
from evenstock.postgres.database import Database

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "online-retail"
DATA = ROOT.parent / "shared" / "data" / "online-retail"
with_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="the data folder ../shared/data/online-retail is absent"
)
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
LONDON = ZoneInfo("Europe/London")
NOT_STOCK = {"POST", "DOT", "C2", "M", "m", "D", "S", "B", "PADS", "CRUK", "AMAZONFEE", "BANK CHARGES"}

Positions = dict[str, tuple[int, int]]  # sku → sellable, quarantine


class Answer:
    """What a command said, and how it ended."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)["summary"]
        return found


def command(database: Database, file: Path, mapping: str | Path, *options: str) -> list[str]:
    path = mapping if isinstance(mapping, Path) else EXAMPLES / mapping
    return [
        sys.executable, "-c", "from evenstock.cli import main; main()", "import", str(file), "--mapping", str(path),
        "--database-url", database.url, "--schema", database.schema, *options,
    ]  # fmt: skip


def bring(database: Database, file: Path, mapping: str | Path = "sales.toml", *options: str) -> Answer:
    line = command(database, file, mapping, *(options or ("--json",)))
    return Answer(subprocess.run(line, capture_output=True, text=True, timeout=120, check=False))  # noqa: S603


def fetch(database: Database, sql: str, *values: object) -> list[Any]:
    async def rows() -> list[Any]:
        async with owner(database) as db:
            found: list[Any] = await db.fetch(sql, *values)
            return found

    return asyncio.run(rows())


def positions(database: Database) -> Positions:
    rows = fetch(database, "select sku, sellable, quarantine from positions join items using (item_id)")
    return {row["sku"]: (row["sellable"], row["quarantine"]) for row in rows}


def positions_at(database: Database, instant: datetime) -> Positions:
    """By the hub's own question about the past, item by item."""
    sql = (ROOT / "src/evenstock/postgres/sql/stock.sql").read_text(encoding="utf-8")
    question = sql.split("-- name: positions_as_of")[1].split("-- name:")[0].strip().removesuffix(";")
    every = question.replace("where i.sku = $1", "where i.sku = any ($1)")
    skus = [row["sku"] for row in fetch(database, "select sku from items")]
    rows = fetch(database, every, skus, instant)
    return {row["sku"]: (row["sellable"], row["quarantine"]) for row in rows}


def moved(found: Positions) -> Positions:
    return {sku: amounts for sku, amounts in found.items() if amounts != (0, 0)}


def totals(files: Sequence[bytes], as_of: datetime | None = None) -> Positions:
    """What each item must have without opening stock, from the files alone."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for content in files:
        for row in csv.DictReader(io.StringIO(content.decode())):
            sku, quantity = row["StockCode"], int(row["Quantity"])
            form = "%m-%d-%Y %H:%M" if row["InvoiceDate"][2] == "-" else "%Y-%m-%d %H:%M:%S"
            when = datetime.strptime(row["InvoiceDate"], form).replace(tzinfo=LONDON)
            if sku in NOT_STOCK or sku.startswith("gift_") or (as_of is not None and when > as_of):
                continue
            if row["InvoiceNo"].startswith("C"):
                sums[sku][1] -= quantity
            else:
                sums[sku][0] -= abs(quantity)  # sold, or damaged
    return {sku: (sellable, held) for sku, (sellable, held) in sums.items()}


def line(
    invoice: str, sku: str, quantity: object, text: str = "A THING", when: str = "2010-12-01 09:00:00"
) -> str:
    return f"{invoice},{sku},{text},{quantity},{when},1,,UK\n"


def made(seed: int = 1, invoices: int = 120) -> bytes:
    """A shop's invoices: repeated lines, cancellations, damages, postage, both sides of two clock changes."""
    chance = random.Random(seed)  # noqa: S311 - a story
    lines = [HEADER]
    for number in range(invoices):
        day = datetime(2010, 12, 1, 9) + timedelta(hours=chance.randint(0, 24 * 370))  # noqa: DTZ001 - local
        when = (day if day.hour not in {1, 2} else day + timedelta(hours=6)).isoformat(" ")
        invoice = ("C" if chance.random() < 0.1 else "") + str(500_000 + number)
        for _ in range(chance.randint(1, 12)):
            sku = chance.choice(
                ["85123A", "85123a", "22423", "POST", "DCGS0003", "gift_0001_20", "71053", "M"]
            )
            quantity = chance.randint(1, 3) * (-1 if invoice.startswith("C") or chance.random() < 0.05 else 1)
            lines += [line(invoice, sku, quantity, when=when)] * chance.choice([1, 1, 1, 2])
    return "".join(lines).encode()


def december() -> bytes:
    return (DATA / "december-2010.csv").read_bytes()


def year() -> bytes:
    return gzip.decompress((DATA / "year-sampled.csv.gz").read_bytes())


SOURCES = ["made", pytest.param("december", marks=with_data)]


def content_of(source: str) -> bytes:
    return made() if source == "made" else december()


def invoices(content: bytes) -> tuple[bytes, list[bytes]]:
    """The header, and the lines of each invoice together."""
    header, *lines = content.splitlines(keepends=True)
    found: dict[bytes, list[bytes]] = {}
    for each in lines:
        found.setdefault(each.split(b",", 1)[0], []).append(each)
    return header, [b"".join(each) for each in found.values()]


def written(folder: Path, content: bytes, name: str = "sales.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("source", SOURCES)
def test_forwards_and_twice_gives_the_totals_of_the_file(
    database: Database, tmp_path: Path, source: str
) -> None:
    content = content_of(source)
    file = written(tmp_path, content)
    first = bring(database, file)
    assert first.code == 0, first.err
    assert first.summary["applied"] == first.summary["events"]
    not_stock = sum(
        row["StockCode"] in NOT_STOCK or row["StockCode"].startswith("gift_")
        for row in csv.DictReader(io.StringIO(content.decode()))
    )
    assert first.summary["skipped"] == {"not stock": not_stock}
    assert first.summary["rows"] == first.summary["applied"] + not_stock
    assert positions(database) == totals([content])
    head = fetch(database, "select ledger_seq from ledger_head")
    movements = fetch(database, "select count(*) from movements")
    again = bring(database, file)
    assert again.code == 0
    assert (again.summary["applied"], again.summary["duplicate"]) == (0, first.summary["applied"])
    assert fetch(database, "select count(*) from movements") == movements
    assert head[0]["ledger_seq"] > 0
    assert positions(database) == totals([content])


@pytest.mark.parametrize("source", SOURCES)
def test_invoices_in_any_order_and_in_pieces_are_the_same_facts(
    database: Database, tmp_path: Path, source: str
) -> None:
    content = content_of(source)
    header, groups = invoices(content)
    random.Random(7).shuffle(groups)  # noqa: S311 - a shuffle
    third = len(groups) // 3
    pieces = (groups[third:], groups[: 2 * third], groups[2 * third :])  # they overlap
    for number, piece in enumerate(pieces):
        packed = gzip.compress(header + b"".join(piece))
        assert bring(database, written(tmp_path, packed, f"piece-{number}.csv.gz")).code == 0
    assert positions(database) == totals([content])
    forwards = bring(database, written(tmp_path, content))
    assert forwards.summary["applied"] == 0, "the same set of keys came in another order"


@pytest.mark.parametrize("source", SOURCES)
def test_opening_stock_before_or_after_the_sales_is_the_same(
    database: Database, tmp_path: Path, source: str
) -> None:
    content = content_of(source)
    file = written(tmp_path, content)
    order = ["opening.toml", "sales.toml"]
    for mapping in order if source == "made" else reversed(order):
        assert bring(database, file, mapping).code == 0
    expected = {sku: (10_000 + sold, back) for sku, (sold, back) in totals([content]).items()}
    assert positions(database) == expected


@pytest.mark.parametrize("source", ["made", pytest.param("year", marks=with_data)])
def test_what_arrives_out_of_order_was_right_on_any_day(
    database: Database, tmp_path: Path, source: str
) -> None:
    content = made(seed=3, invoices=200) if source == "made" else year()
    header, *lines = content.splitlines(keepends=True)
    random.Random(5).shuffle(lines)  # noqa: S311 - a shuffle
    answer = bring(database, written(tmp_path, gzip.compress(header + b"".join(lines)), "year.csv.gz"))
    assert (answer.code, answer.summary["rejected"], answer.summary["held"]) == (0, {}, {})
    assert positions(database) == totals([content])
    chance = random.Random(11)  # noqa: S311 - any days
    days = [datetime(2010, 12, 1, tzinfo=LONDON) + timedelta(days=chance.randrange(374)) for _ in range(3)]
    clock_changes = [
        datetime(2011, 3, 27, 0, 59, tzinfo=UTC), datetime(2011, 3, 27, 1, 0, tzinfo=UTC),
        datetime(2011, 10, 30, 0, 30, tzinfo=UTC), datetime(2011, 10, 30, 23, 0, tzinfo=UTC),
    ]  # fmt: skip
    ends = [datetime(2010, 12, 1, 8, 26, tzinfo=UTC), datetime(2011, 12, 9, 12, 50, tzinfo=UTC)]
    for instant in (*days, *clock_changes, *ends):
        assert moved(positions_at(database, instant)) == moved(totals([content], instant)), instant


@with_data
def test_lines_that_both_files_hold_are_booked_once(database: Database, tmp_path: Path) -> None:
    bring(database, written(tmp_path, december()))
    both = bring(
        database, DATA / "year-sampled.csv.gz", "sales.toml", "--json", "--rejects", str(tmp_path / "r")
    )
    assert both.summary["held"] == {}
    assert both.summary["duplicate"] > 700
    facts = fetch(database, "select count(*) as n, count(distinct key) as keys from facts")
    assert facts[0]["n"] == facts[0]["keys"] == 9_962 + both.summary["applied"]


def test_an_import_killed_in_the_middle_goes_on_where_it_stood(database: Database, tmp_path: Path) -> None:
    content = made(seed=9, invoices=1_500)
    bad = line("600000", "71053", "many").encode()
    header, *lines = content.splitlines(keepends=True)
    file = written(tmp_path, b"".join([header, bad, *lines, bad]))
    options = ("--json", "--batch", "50")
    for _ in range(2):
        before = done(database)
        with subprocess.Popen(  # noqa: S603 - ours
            command(database, file, "sales.toml", *options),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            deadline = time.monotonic() + 60
            while done(database) < before + 400 and time.monotonic() < deadline:
                assert process.poll() is None, "it ended before it could be killed"
            os.kill(process.pid, signal.SIGKILL)
    stood = done(database)
    last = bring(database, file, "sales.toml", *options)
    assert last.code == 8
    assert stood >= 800
    assert last.summary["resumed_after"] == stood
    assert last.summary["rows"] == len(lines) + 2 - stood
    assert positions(database) == totals([content])
    rejects = list(csv.reader(io.StringIO((tmp_path / "sales.csv.rejects.csv").read_text())))
    assert [cells[0] for cells in rejects] == ["row", "1", str(len(lines) + 2)]


def done(database: Database) -> int:
    rows = fetch(database, "select coalesce(max(rows_done), 0) as n from imports")
    return int(rows[0]["n"])


def test_an_interrupted_import_says_how_to_go_on(database: Database, tmp_path: Path) -> None:
    file = written(tmp_path, made(seed=4, invoices=1_500))
    with subprocess.Popen(  # noqa: S603 - ours
        command(database, file, "sales.toml", "--batch", "50"), stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while done(database) < 300 and time.monotonic() < deadline:
            assert process.poll() is None, "it ended before it could be interrupted"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"run the same command again, it goes on from row {done(database) + 1:,} of sales.csv" in said
    assert bring(database, file).summary["resumed_after"] == row_named_in(said)


def row_named_in(said: str) -> int:
    """The row that the words name, less one."""
    return int(said.split("from row ")[1].split(" ", maxsplit=1)[0].replace(",", "")) - 1


def test_two_imports_of_one_file_at_once_book_it_once(database: Database, tmp_path: Path) -> None:
    content = made(seed=2)
    file = written(tmp_path, content)
    runs = [
        subprocess.Popen(command(database, file, "sales.toml", "--json"), stdout=subprocess.PIPE, text=True)  # noqa: S603
        for _ in range(2)
    ]
    answers = [json.loads(process.communicate(timeout=60)[0])["summary"] for process in runs]
    events = answers[0]["events"]
    assert sorted((each["applied"], each["duplicate"]) for each in answers) == [(0, events), (events, 0)]
    assert positions(database) == totals([content])


BAD = (
    HEADER + line("1", "a", 2) + line("1", "a", "two") + "1,a\n" + line("1", "a", 1, when="2011-03-27 01:30:00")
    + line("1", "a", "three") + line("2", "b", 1)
)  # fmt: skip


def exceptions(database: Database) -> dict[str, tuple[str, bool]]:
    rows = fetch(database, "select subject, detail, closed_at from exceptions where code = 'import.rejected'")
    return {row["subject"]: (row["detail"], row["closed_at"] is None) for row in rows}


def test_rejected_rows_stand_in_a_file_and_under_exceptions_until_they_are_mended(
    database: Database, tmp_path: Path
) -> None:
    file = written(tmp_path, BAD.encode())
    answer = bring(database, file)
    assert answer.code == 8
    assert answer.summary["rejected"] == {"quantity.pattern": 2, "row.columns": 1, "event.time": 1}
    assert str(tmp_path / "sales.csv.rejects.csv") in answer.err
    header, *lines = csv.reader(io.StringIO((tmp_path / "sales.csv.rejects.csv").read_text()))
    assert header == ["row", "code", "detail", *HEADER.strip().split(",")]
    number = "is no number: expected a plain decimal number such as 12 or 0.250, got"
    never = (
        "does not exist in Europe/London: clocks went forward over it. "
        'Correct it, or say missing = "shift" under [time].'
    )
    assert [tuple(cells[:3]) for cells in lines] == [
        ("2", "quantity.pattern", f"""Quantity 'two' {number} "two"."""),
        ("3", "row.columns", "The row at line 4 has 2 columns, the header 8."),
        ("4", "event.time", f"InvoiceDate '2011-03-27 01:30:00' {never}"),
        ("5", "quantity.pattern", f"""Quantity 'three' {number} "three"."""),
    ]  # fmt: skip
    assert [",".join(cells[3:]) for cells in lines] == [BAD.splitlines()[number] for number in (2, 3, 4, 5)]
    found = exceptions(database)
    prefix = "import:sales.csv:sales.toml:"
    assert {subject.removeprefix(prefix): is_open for subject, (_, is_open) in found.items()} == {
        "quantity.pattern": True, "row.columns": True, "event.time": True,
    }  # fmt: skip
    detail, _ = found[prefix + "quantity.pattern"]
    assert "2 rows of sales.csv could not be used with sales.toml" in detail
    assert "row 2: Quantity 'two' is no number" in detail
    assert detail.endswith(f"All stand in {tmp_path / 'sales.csv.rejects.csv'}.")
    assert positions(database) == {"a": (-2, 0), "b": (-1, 0)}

    written(tmp_path, BAD.replace(",two,", ",4,").replace(",three,", ",4,").encode())
    mended = bring(database, file)
    assert (mended.summary["applied"], mended.summary["duplicate"]) == (2, 2)
    found = exceptions(database)
    assert {subject.removeprefix(prefix): is_open for subject, (_, is_open) in found.items()} == {
        "quantity.pattern": False, "row.columns": True, "event.time": True,
    }  # fmt: skip
    assert positions(database) == {"a": (-10, 0), "b": (-1, 0)}


def test_another_mapping_over_the_same_file_closes_nothing_of_the_first(
    database: Database, tmp_path: Path
) -> None:
    file = written(tmp_path, (HEADER + line("1", "a", "two")).encode())
    assert bring(database, file).code == 8
    assert bring(database, file, "opening.toml").code == 0
    assert [is_open for _, is_open in (exceptions(database)).values()] == [True]


def test_a_dry_run_shows_the_first_events_and_changes_nothing(database: Database, tmp_path: Path) -> None:
    answer = bring(database, written(tmp_path, BAD.encode()), "sales.toml", "--dry-run", "--json")
    assert answer.code == 8
    told = json.loads(answer.out)
    assert [event["id"] for event in told["events"]] == [
        "1/a/2/2010-12-01T09:00:00Z/1", "2/b/1/2010-12-01T09:00:00Z/1",
    ]  # fmt: skip
    assert [problem["row"] for problem in told["problems"]] == [2, 3, 4, 5]
    assert list(tmp_path.iterdir()) == [tmp_path / "sales.csv"]
    for table in ("items", "locations", "connections", "facts", "exceptions", "imports"):
        assert fetch(database, f"select 1 from {table}") == [], table  # noqa: S608 - our own names


def test_what_is_known_stays_as_it_is_and_only_gets_a_name(database: Database, tmp_path: Path) -> None:
    fetch(
        database,
        "insert into items (sku, base_uom, scale, created_at) values ('a', 'KG', 3, now()), ('b', 'EA', 0, now())",
    )
    fetch(
        database,
        "insert into locations (id, type, timezone, count_policy, created_at) values ('uk-warehouse', 'store', 'UTC', 'end', now())",
    )
    file = written(tmp_path, (HEADER + line("1", "a", 2, "FLOUR") + line("1", "c", 1, "PLATE")).encode())
    assert bring(database, file).code == 0
    items = fetch(database, "select sku, name, base_uom, scale from items order by sku")
    assert [tuple(row.values()) for row in items] == [
        ("a", "FLOUR", "KG", 3), ("b", None, "EA", 0), ("c", "PLATE", "EA", 0),
    ]  # fmt: skip
    locations = fetch(database, "select type, timezone, count_policy from locations")
    assert [tuple(row.values()) for row in locations] == [("store", "UTC", "end")]
    assert positions(database) == {"a": (-2_000, 0), "c": (-1, 0)}


def test_what_the_hub_holds_is_told_with_what_to_do(database: Database, tmp_path: Path) -> None:
    mapping = tmp_path / "no-items.toml"
    text = (EXAMPLES / "sales.toml").read_text(encoding="utf-8").replace("create = true", "create = false")
    mapping.write_text(text, encoding="utf-8")
    file = written(tmp_path, (HEADER + line("1", "a", 2)).encode())
    answer = bring(database, file, mapping, "--batch", "1")
    assert answer.code == 8
    assert "1  held: Unknown item (stock.unknown_item). Add the item with POST /v1/items:batch" in answer.out
    assert bring(database, file).summary["duplicate"] == 1
    assert positions(database) == {"a": (-2, 0)}, "the item became known and what waited was booked"


@pytest.mark.parametrize(
    ("mapping", "content", "words"),
    [
        ("connection = 7", HEADER, "m.toml: connection: expected `str`, got `int`"),
        ("[[", HEADER, "m.toml is no TOML"),
        (None, HEADER, "cannot be read: No such file"),
        ("", "", "sales.csv is empty. Its first line must name the columns."),
        ("", "InvoiceNo,StockCod,Description,Quantity,InvoiceDate\n", "has no column StockCode, which the mapping names. Did you mean StockCod?"),
    ],
)  # fmt: skip
def test_what_cannot_begin_ends_with_2_and_a_sentence(
    database: Database, tmp_path: Path, mapping: str | None, content: str, words: str
) -> None:
    path = EXAMPLES / "sales.toml" if mapping == "" else tmp_path / "m.toml"
    if mapping:
        path.write_text(mapping)
    answer = bring(database, written(tmp_path, content.encode()), path)
    assert (answer.code, answer.out) == (2, "")
    assert words in answer.err
    assert answer.err.rstrip().endswith("Nothing was booked.")


def test_a_file_of_somebody_else_is_never_written_over(database: Database, tmp_path: Path) -> None:
    file = written(tmp_path, BAD.encode())
    other = written(tmp_path, b"precious", "notes.txt")
    for path in (other, file):
        answer = bring(database, file, "sales.toml", "--rejects", str(path))
        assert answer.code == 2
        assert "is there and no reject file of ours. Name another with --rejects." in answer.err
    assert other.read_bytes() == b"precious"


def test_a_packed_file_that_ends_early_is_booked_that_far(database: Database, tmp_path: Path) -> None:
    content = made(seed=6, invoices=2_000)
    packed = gzip.compress(content)
    file = written(tmp_path, packed[: len(packed) // 2], "sales.csv.gz")
    cut = bring(database, file, "sales.toml", "--batch", "50")
    assert cut.code in {2, 8}
    assert "ends in the middle" in cut.err
    written(tmp_path, packed, "sales.csv.gz")
    assert bring(database, file).code == 0
    assert positions(database) == totals([content])


def test_a_name_that_is_no_terminal_gets_words_and_no_bar(database: Database, tmp_path: Path) -> None:
    answer = bring(database, written(tmp_path, made()), "sales.toml", "--batch", "20")
    assert "\x1b" not in answer.err + answer.out
    assert "not stock" in answer.out
