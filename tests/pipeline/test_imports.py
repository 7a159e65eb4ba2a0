"""An import may be shuffled, cut, repeated, interrupted: the facts are the same. Told by a real retailer's year.

The hub here is a stand-in that knows keys and sums; the same import against the real one is tested with the command.
"""

import asyncio
import csv
import gzip
import io
import random
import tomllib
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from evenstock.core.errors import Problem
from evenstock.core.mapping import Mapper, Mapping, read_mapping
from evenstock.core.reading import Received
from evenstock.pipeline.apply import Result
from evenstock.pipeline.imports import (
    BATCHES_IN_FLIGHT_MAX,
    ImportSummary,
    Progress,
    dry_run,
    run_import,
)  # fmt: skip
from evenstock.pipeline.rejects import RejectFile
from evenstock.pipeline.rows import CsvRows, SourceRow

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "online-retail"
with_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="the data folder ../shared/data/online-retail is absent"
)

Position = tuple[int, int]  # sellable, quarantine


class Hub:
    """Keys once for ever; the last opening count plus what happened after it."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.items: dict[str, dict[str, Any]] = {}
        self.locations: set[str] = set()
        self.calls = 0
        self.under_way = 0
        self.under_way_max = 0
        self.fail_at: int | None = None

    async def submit(self, events: list[Received]) -> Sequence[Result]:
        self.calls += 1
        if self.calls == self.fail_at:
            raise ConnectionError("the hub went away")
        self.under_way += 1
        self.under_way_max = max(self.under_way_max, self.under_way)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.under_way -= 1
        return [self.take(msgspec.json.decode(entry.body)) for entry in events]

    def take(self, event: dict[str, Any]) -> Result:
        key, data = event["id"], event["data"]
        assert data["location"] in self.locations
        assert data["lines"][0]["item"]["sku"] in self.items
        if key in self.events:
            same = all(self.events[key][part] == event[part] for part in ("type", "time", "data"))
            return Result(key, "duplicate") if same else Result(key, "held", code="event.key_reused")
        self.events[key] = event
        return Result(key, "applied")

    async def register(self, items: list[dict[str, Any]], locations: list[dict[str, Any]]) -> None:
        self.items |= {item["sku"]: item for item in items}
        self.locations |= {location["id"] for location in locations}

    def positions(self, as_of: datetime | None = None) -> dict[str, Position]:
        found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for event in self.events.values():
            if as_of is None or datetime.fromisoformat(event["time"]) <= as_of:
                line = event["data"]["lines"][0]
                match event["type"]:
                    case "SaleRecorded.v1":
                        found[line["item"]["sku"]][0] -= line["quantity"]
                    case "ReturnReceived.v1":
                        found[line["item"]["sku"]][1] += line["quantity"]
                    case "InventoryAdjusted.v1":
                        found[line["item"]["sku"]][0] += line["delta"]
                    case _:
                        assert event["data"]["opening"]
                        found[line["item"]["sku"]][0] += line["quantity"]
        return {sku: (sellable, held) for sku, (sellable, held) in found.items()}


class Memory:
    """A checkpoint."""

    def __init__(self) -> None:
        self.done = 0
        self.saved: list[int] = []

    async def load(self) -> int:
        return self.done

    async def save(self, rows_done: int) -> None:
        self.done = rows_done
        self.saved.append(rows_done)

    async def finish(self) -> None:
        self.done = 0


def mapping(name: str) -> Mapping:
    content = (ROOT / "examples" / "online-retail" / name).read_text(encoding="utf-8")
    return read_mapping(tomllib.loads(content), name)


def bring(
    hub: Hub,
    content: bytes,
    name: str = "sales.toml",
    *,
    memory: Memory | None = None,
    rejects: list[tuple[int, str]] | None = None,
    batch: int = 500,
) -> ImportSummary:
    rules = mapping(name)
    told: list[Progress] = []

    def reject(row: SourceRow, problem: Problem) -> None:
        assert rejects is not None, problem
        rejects.append((row.number, problem.code))

    summary = asyncio.run(
        run_import(
            rows=CsvRows(io.BytesIO(content), rules.file, rules.columns, "f.csv"),
            mapper=Mapper(rules),
            submit=hub.submit,
            register=hub.register,
            reject=reject,
            progress=told.append,
            checkpoint=memory,
            batch_events=batch,
        )
    )
    assert [each.rows for each in told] == sorted(each.rows for each in told)
    return summary


HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"


def line(
    invoice: str, sku: str, count: object, text: str = "A THING", when: str = "2010-12-01 09:00:00"
) -> str:
    return f"{invoice},{sku},{text},{count},{when},1,,UK\n"


SMALL = (HEADER + line("1", "a", 2) * 2 + line("1", "A", 1) + line("C2", "a", -1)
         + line("3", "a", -4, "thrown away") + line("4", "POST", 1)).encode()  # fmt: skip


def test_sales_returns_damages_and_postage_are_told_apart() -> None:
    hub = Hub()
    assert bring(hub, SMALL) == ImportSummary(rows=6, events=5, applied=5, skipped={"not stock": 1})
    assert hub.positions() == {"a": (-8, 1), "A": (-1, 0)}
    assert [
        e["data"]["lines"][0]["reason"] for e in hub.events.values() if e["type"] == "InventoryAdjusted.v1"
    ] == ["thrown away"]


def test_a_second_run_applies_nothing() -> None:
    hub = Hub()
    bring(hub, SMALL)
    again = bring(hub, SMALL)
    assert (again.applied, again.duplicate) == (0, 5)


def test_opening_stock_is_one_count_for_each_item() -> None:
    hub = Hub()
    bring(hub, SMALL, "opening.toml")
    assert hub.positions() == {"a": (10_000, 0), "A": (10_000, 0)}


def test_a_reason_is_no_name() -> None:
    hub = Hub()
    bring(hub, (HEADER + line("3", "a", -4, "thrown away") + line("4", "a", 1, "PLATE")).encode(), batch=1)
    assert hub.items["a"]["name"] == "PLATE"


def test_rejected_rows_are_told_in_order_and_the_rest_is_booked() -> None:
    hub = Hub()
    rejects: list[tuple[int, str]] = []
    content = (HEADER + line("1", "a", "x") + line("1", "a", 1) + "1,2\n" + line("1", "a", 0)).encode()
    summary = bring(hub, content, rejects=rejects, batch=1)
    assert rejects == [(1, "quantity.pattern"), (3, "row.columns"), (4, "mapping.no_rule")]
    assert summary.rejected == {"quantity.pattern": 1, "row.columns": 1, "mapping.no_rule": 1}
    assert summary.applied == 1


def test_what_the_hub_holds_or_rejects_is_counted_by_code() -> None:
    class Stern(Hub):
        def take(self, event: dict[str, Any]) -> Result:
            if event["type"] == "ReturnReceived.v1":
                return Result(event["id"], "rejected", code="event.time", detail="too late")
            return Result(event["id"], "held", code="stock.unknown_item")

    rejects: list[tuple[int, str]] = []
    summary = bring(Stern(), SMALL, rejects=rejects)
    assert (summary.held, summary.rejected) == ({"stock.unknown_item": 4}, {"event.time": 1})
    assert rejects == [(4, "event.time")]


def test_a_reject_file_can_be_corrected_and_imported(tmp_path: Path) -> None:
    rules = mapping("sales.toml")
    rows = CsvRows(io.BytesIO((HEADER + line("1", "a", "x")).encode()), rules.file, rules.columns, "f.csv")
    write = RejectFile(tmp_path / "f.csv.rejects.csv", rows.header, rules.file)
    for row, problem in dry_run(rows, Mapper(rules)).problems:
        write(row, problem)
    write.close()
    first, second = write.path.read_text().splitlines()
    assert first == "row,code,detail," + HEADER.strip()
    hub = Hub()
    bring(hub, (first + "\n" + second.replace(",x,", ",3,") + "\n").encode())
    assert hub.positions() == {"a": (-3, 0)}


def test_a_reject_file_goes_on_where_the_run_before_it_stood(tmp_path: Path) -> None:
    form = mapping("sales.toml").file
    row = SourceRow(3, 4, 0, ("1", "x,\ny"), {})
    for done, kept in ((0, []), (5, [3]), (7, [3, 7])):
        write = RejectFile(tmp_path / "r.csv", ["a", "b"], form)
        write.keep(done)
        assert write.codes.total() == len(kept)
        write(row if done == 0 else SourceRow(done + 2, 1, 0, ("1", "2"), {}), Problem("row.nul", "A NUL."))
        write.close()
    found = list(csv.reader(io.StringIO((tmp_path / "r.csv").read_text())))
    assert [cells[0] for cells in found] == ["row", "3", "7", "9"]
    assert found[1][3:] == ["1", "x,\ny"]
    assert write.first == {"row.nul": "row 3: A NUL."}


def test_a_dry_run_shows_the_first_events_and_counts_all() -> None:
    rules = mapping("sales.toml")
    found = dry_run(
        CsvRows(io.BytesIO(SMALL), rules.file, rules.columns, "f.csv"), Mapper(rules), shown_max=2
    )
    assert [entry.event.id[-2:] for entry in found.events] == ["/1", "/2"]
    assert (found.summary.events, found.summary.applied, found.summary.skipped) == (5, 0, {"not stock": 1})


@pytest.mark.parametrize("fail_at", range(1, 8))
def test_an_interrupted_run_continues_where_everything_was_answered(fail_at: int) -> None:
    content = (HEADER + "".join(line(str(n // 5), "a", 1) for n in range(70))).encode()
    hub, memory = Hub(), Memory()
    hub.fail_at = fail_at
    with pytest.raises(ConnectionError):
        bring(hub, content, memory=memory, batch=10)
    done = memory.done
    assert done == 10 * (fail_at - 1)
    summary = bring(hub, content, memory=memory, batch=10)
    assert (summary.resumed_after, summary.rows) == (done, 70 - done)
    assert hub.positions() == {"a": (-70, 0)}
    assert memory.saved == sorted(memory.saved)
    assert bring(hub, content, memory=memory).duplicate == 70


def test_several_batches_are_under_way_and_never_too_many() -> None:
    hub = Hub()
    bring(hub, (HEADER + line("1", "a", 1) * 200).encode(), batch=5)
    assert 1 < hub.under_way_max <= BATCHES_IN_FLIGHT_MAX


def test_a_hub_that_answers_too_little_stops_the_run() -> None:
    class Curt(Hub):
        async def submit(self, events: list[Received]) -> Sequence[Result]:
            return (await super().submit(events))[1:]

    with pytest.raises(RuntimeError, match="5 events were sent and 4 results came back"):
        bring(Curt(), SMALL)


# The real files ------------------------------------------------------------------------------------------------------

NOT_STOCK = {"POST", "DOT", "C2", "M", "D", "S", "B", "PADS", "CRUK", "AMAZONFEE", "BANK CHARGES"}


def december() -> bytes:
    return (DATA / "december-2010.csv").read_bytes()


def year() -> bytes:
    return (DATA / "year-sampled.csv.gz").read_bytes()


def totals(content: bytes, form: str, as_of: datetime | None = None) -> dict[str, Position]:
    """What each position must be without opening stock, from the file alone."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in csv.DictReader(io.StringIO(content.decode())):
        sku, count = row["StockCode"], int(row["Quantity"])
        when = datetime.strptime(row["InvoiceDate"], form).replace(tzinfo=ZoneInfo("Europe/London"))
        if sku in NOT_STOCK or sku.startswith("gift_") or (as_of is not None and when > as_of):
            continue
        if row["InvoiceNo"].startswith("C"):
            found[sku][1] -= count
        else:
            found[sku][0] -= count if count > 0 else -count
    return {sku: (sellable, held) for sku, (sellable, held) in found.items()}


def invoices(content: bytes) -> tuple[bytes, list[bytes]]:
    """The header, and the lines of each invoice together."""
    header, *lines = content.splitlines(keepends=True)
    found: dict[bytes, list[bytes]] = {}
    for each in lines:
        found.setdefault(each.split(b",", 1)[0], []).append(each)
    return header, [b"".join(each) for each in found.values()]


@with_data
def test_december_gives_the_totals_of_the_file() -> None:
    hub = Hub()
    summary = bring(hub, december())
    assert summary == ImportSummary(rows=10_000, events=9_962, applied=9_962, skipped={"not stock": 38})
    assert hub.positions() == totals(december(), "%m-%d-%Y %H:%M")
    assert Counter(event["type"] for event in hub.events.values()) == {
        "SaleRecorded.v1": 9_834, "ReturnReceived.v1": 98, "InventoryAdjusted.v1": 30,
    }  # fmt: skip


@with_data
@pytest.mark.parametrize("seed", range(3))
def test_december_is_the_same_facts_forwards_shuffled_in_pieces_and_twice(seed: int) -> None:
    forwards = Hub()
    bring(forwards, december())
    header, groups = invoices(december())
    chance = random.Random(seed)  # noqa: S311 - a shuffle
    chance.shuffle(groups)
    shuffled = Hub()
    bring(shuffled, header + b"".join(groups), batch=chance.randint(1, 999))
    assert shuffled.events == forwards.events
    pieces = Hub()
    cut = chance.randint(1, len(groups) - 1)
    for piece in (groups[cut:], groups[:cut], groups[cut:]):
        bring(pieces, header + b"".join(piece))
    assert pieces.events == forwards.events
    scattered = Hub()
    lines = b"".join(groups).splitlines(keepends=True)
    chance.shuffle(lines)
    bring(scattered, header + b"".join(lines))
    assert scattered.events == forwards.events
    assert bring(forwards, december()).applied == 0


@with_data
def test_december_with_its_opening_count_stays_above_zero() -> None:
    hub = Hub()
    bring(hub, december(), "opening.toml")
    bring(hub, december())
    expected = totals(december(), "%m-%d-%Y %H:%M")
    assert hub.positions() == {sku: (10_000 + sold, back) for sku, (sold, back) in expected.items()}
    assert min(sellable for sellable, _ in hub.positions().values()) > 0


@with_data
def test_the_year_in_random_order_has_the_right_positions_as_of_any_day() -> None:
    hub = Hub()
    assert bring(hub, year()).rejected == {}
    plain = gzip.decompress(year())
    days = (
        (2010, 12, 1), (2010, 12, 24), (2011, 3, 27), (2011, 6, 1), (2011, 10, 30), (2011, 12, 9), (2012, 1, 1),
    )  # fmt: skip
    for day in days:
        as_of = datetime(*day, 12, tzinfo=UTC)
        assert hub.positions(as_of) == totals(plain, "%Y-%m-%d %H:%M:%S", as_of)


@with_data
def test_lines_that_both_files_hold_are_booked_once() -> None:
    hub = Hub()
    bring(hub, december())
    summary = bring(hub, year())
    assert summary.held == {}
    assert summary.duplicate == 750 - _not_stock_in_both()


def _not_stock_in_both() -> int:
    _, groups = invoices(december())
    numbers = {group.split(b",", 1)[0].decode() for group in groups}
    rows = csv.DictReader(io.StringIO(gzip.decompress(year()).decode()))
    return sum(row["InvoiceNo"] in numbers and row["StockCode"] in NOT_STOCK for row in rows)
