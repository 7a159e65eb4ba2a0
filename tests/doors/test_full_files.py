"""A full file states all that is there: what it does not name is kept or counted as none, as configured, and not when it cannot be believed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from doors.delivered import Partner, partner
from doors.door import Door, evenstock, receipt, sale
from evenstock.postgres.database import Database

AT = "2026-01-21T06:00:00Z"
HEADER = "store,sku,qty,at,uom\n"
MAPPING: dict[str, Any] = {
    "time": {"column": "at"},
    "key": {"parts": ["store", "sku", "at"]},
    "fields": {"location": {"column": "store"}},
    "line": {
        "sku": {"column": "sku"},
        "quantity": {"column": "qty"},
        "bucket": {"constant": "on_hand"},
        "uom": {"column": "uom"},
    },
    "full": {"absent": "zero", "absent_max": 50},
    "rule": [{"name": "stated", "event": "StockCounted.v1"}],
}


TOML = """
connection = "wms"

[time]
column = "at"

[key]
parts = ["store", "sku", "at"]

[fields]
location = { column = "store" }

[line]
sku = { column = "sku" }
quantity = { column = "qty" }
bucket = { constant = "on_hand" }

[full]
absent = "zero"
absent_max = 50

[[rule]]
name = "stated"
event = "StockCounted.v1"
"""


def stated(*rows: tuple[str, object], store: str = "0107", at: str = AT, uom: str = "") -> str:
    return HEADER + "".join(f"{store},{sku},{quantity},{at},{uom}\n" for sku, quantity in rows)


@asynccontextmanager
async def warehouse(database: Database, tmp_path: Path, **full: Any) -> AsyncIterator[Partner]:
    """Two places with stock, of which a partner states one."""
    mapping = MAPPING | {"full": MAPPING["full"] | full}
    async with partner(database, tmp_path, mapping=mapping) as one:
        await one.door.know("A", "B", "C", "D", locations=("0107", "0118"))
        await one.door.report(
            receipt("R-1", "A", 5), receipt("R-2", "B", 3), receipt("R-3", "B", 2, location="0118")
        )
        yield one


async def on_hand(door: Door, sku: str, location: str = "0107") -> Any:
    return (await door.stock(sku, location=location))["on_hand"]


def later(id_: str, sku: str, quantity: int) -> dict[str, Any]:
    return receipt(id_, sku, quantity, time="2026-01-22T09:00:00Z")


async def test_what_a_full_file_does_not_name_is_counted_as_none_where_it_speaks(
    database: Database, tmp_path: Path
) -> None:
    async with warehouse(database, tmp_path) as one:
        await one.door.report(later("R-4", "C", 1), later("R-5", "A", 2))
        one.leave("full.csv", stated(("A", 4), ("D", 9)))
        found = (await one.ended("full.csv"))["full.csv"]
        assert found["outcomes"] == {"applied": 2, "zeroed": 2}, "B, and C, which came later"
        stands = [await on_hand(one.door, sku) for sku in "ABCD"]
        assert stands == [6, 0, 1, 9], "as of its instant; what came later is on top of it"
        assert await on_hand(one.door, "B", "0118") == 2, "it does not speak of that place"
        await one.door.report(sale("late", "B", 2))
        assert await on_hand(one.door, "B") == 0, "a late sale was before the count"
        assert await one.exceptions("file.absent_kept") == []


async def test_the_same_full_file_again_changes_nothing(database: Database, tmp_path: Path) -> None:
    async with warehouse(database, tmp_path) as one:
        one.leave("full.csv", stated(("A", 4)))
        await one.ended("full.csv")
        before = (await one.door.get("/v1/movements", limit=500)).body["data"]
        one.leave("again.csv", stated(("A", 4)))
        found = (await one.ended("again.csv"))["again.csv"]
        assert found["outcomes"] == {"duplicate": 1}
        assert (await one.door.get("/v1/movements", limit=500)).body["data"] == before
        one.leave("tomorrow.csv", stated(("A", 4), ("B", 1), at="2026-01-22T06:00:00Z"))
        await one.ended("tomorrow.csv")
        assert await on_hand(one.door, "B") == 1, "what comes back is there again"


async def test_unless_it_is_configured_what_is_absent_is_kept_and_reported(
    database: Database, tmp_path: Path
) -> None:
    async with warehouse(database, tmp_path, absent="keep") as one:
        one.leave("full.csv", stated(("A", 4)))
        found = (await one.ended("full.csv"))["full.csv"]
        assert found["outcomes"] == {"applied": 1, "absent": 1}
        assert (await on_hand(one.door, "A"), await on_hand(one.door, "B")) == (4, 3)
        assert await one.exceptions("file.absent_kept") == []


async def test_a_file_that_lacks_too_much_is_not_believed_until_a_whole_one_comes(
    database: Database, tmp_path: Path
) -> None:
    async with warehouse(database, tmp_path, absent_max=49) as one:
        one.leave("short.csv", stated(("A", 4)))
        found = (await one.ended("short.csv"))["short.csv"]
        assert found["outcomes"] == {"applied": 1, "absent": 1}
        assert (await on_hand(one.door, "A"), await on_hand(one.door, "B")) == (4, 3)
        [shown] = await one.exceptions("file.absent_kept")
        assert "short.csv does not name 1 items that are at 0107" in shown["detail"]
        assert "it names 1, and more than 49 % would be gone" in shown["detail"]
        one.leave("whole.csv", stated(("A", 4), ("B", 2), at="2026-01-22T06:00:00Z"))
        await one.ended("whole.csv")
        await one.none("file.absent_kept")
        assert await on_hand(one.door, "B") == 2


async def test_exactly_as_much_as_may_be_absent_is_believed(database: Database, tmp_path: Path) -> None:
    async with warehouse(database, tmp_path, absent_max=50) as one:
        one.leave("full.csv", stated(("A", 4)))
        assert (await one.ended("full.csv"))["full.csv"]["outcomes"] == {"applied": 1, "zeroed": 1}
        assert await on_hand(one.door, "B") == 0


@pytest.mark.parametrize("quantity", ["many", "1.5"])
async def test_a_file_with_a_row_that_cannot_be_used_does_not_say_what_is_missing(
    database: Database, tmp_path: Path, quantity: str
) -> None:
    """Nobody can read it, or nobody can book it: either way B is not gone."""
    async with warehouse(database, tmp_path) as one:
        one.leave("full.csv", stated(("A", 4), ("B", quantity)))
        found = (await one.ended("full.csv"))["full.csv"]
        assert found["outcomes"] == {"applied": 1, "rejected": 1, "absent": 1}
        assert await on_hand(one.door, "B") == 3
        [shown] = await one.exceptions("file.absent_kept")
        assert "1 of its rows could not be used" in shown["detail"]


async def test_a_line_that_waits_may_be_any_item_unless_it_is_a_new_one(
    database: Database, tmp_path: Path
) -> None:
    async with warehouse(database, tmp_path) as one:
        waits = stated(("B", 1), uom="BOX").removeprefix(HEADER)
        one.leave("full.csv", stated(("A", 4), ("NEW", 7)) + waits)
        found = (await one.ended("full.csv"))["full.csv"]
        assert found["outcomes"] == {"applied": 1, "held": 2, "absent": 1}
        assert await on_hand(one.door, "B") == 3
        [shown] = await one.exceptions("file.absent_kept")
        assert "1 of its lines wait for a person" in shown["detail"], "not the one whose item is new"
        one.leave("next.csv", stated(("A", 4), ("NEW", 7), at="2026-01-22T06:00:00Z"))
        found = (await one.ended("next.csv"))["next.csv"]
        assert found["outcomes"] == {"applied": 1, "held": 1, "zeroed": 1}
        assert await on_hand(one.door, "B") == 0


async def test_a_full_file_of_two_instants_is_not_booked_at_all(database: Database, tmp_path: Path) -> None:
    async with warehouse(database, tmp_path) as one:
        rest = stated(("B", 1), at="2026-01-21T07:00:00Z").removeprefix(HEADER)
        one.leave("full.csv", stated(("A", 4)) + rest)
        found = (await one.ended("full.csv"))["full.csv"]
        assert (found["status"], found["code"]) == ("quarantined", "file.instants")
        assert (await on_hand(one.door, "A"), await on_hand(one.door, "B")) == (5, 3)


async def test_an_imported_full_file_is_full_too(database: Database, tmp_path: Path) -> None:
    async with warehouse(database, tmp_path) as one:
        file, mapping = tmp_path / "full.csv", tmp_path / "full.toml"
        file.write_text(stated(("A", 4)))
        mapping.write_text(TOML)
        code, out, _ = await evenstock(
            "import",
            str(file),
            "--mapping",
            str(mapping),
            "--database-url",
            database.url,
            "--schema",
            database.schema,
        )
        assert code == 0, out
        assert "1  not named by the full file: counted as none" in out
        assert (await on_hand(one.door, "A"), await on_hand(one.door, "B")) == (4, 0)


async def test_a_mapping_of_sales_is_no_full_file(database: Database, tmp_path: Path) -> None:
    async with partner(database, tmp_path) as one:
        wrong = MAPPING | {
            "rule": [{"name": "sold", "event": "SaleRecorded.v1"}],
            "line": {"sku": {"column": "sku"}, "quantity": {"column": "qty"}},
        }
        answer = await one.configure(mapping=wrong)
        assert answer.status == 422
        assert "states what is there" in answer.raw.decode()
