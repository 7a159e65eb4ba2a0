"""A retailer's own past, played again: without names, at its own times, under other rules, and never with other customers."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from evenstock.cli.app import app
from evenstock.core.events import Event, ItemRef, Line, Sale, SaleRecorded, Shipment, ShipmentConfirmed
from evenstock.core.quantity import Quantity
from evenstock.estate.box.estates import again
from evenstock.estate.box.history import (
    LINES_PER_TICKET_MAX,
    UNITS_PER_LINE_MAX,
    History,
    NoHistory,
    history_of,
)
from evenstock.estate.box.play import played
from evenstock.estate.box.policies import POLICIES

EXAMPLE = Path(__file__).parents[2] / "examples" / "online-retail" / "sales.toml"
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
OPENS = datetime(2026, 3, 2, 9, tzinfo=UTC)


def sold(ticket: str, sku: str, units: int, minutes: int, location: str = "0107") -> Event:
    line = Line(line="1", item=ItemRef(sku), quantity=Quantity(units))
    data = Sale(location=location, ticket=ticket, lines=[line])
    return SaleRecorded(
        id=f"{ticket}/{sku}", source="pos", time=OPENS + timedelta(minutes=minutes), data=data
    )


def shipped(order: str, sku: str, minutes: int) -> Event:
    line = Line(line="1", item=ItemRef(sku), quantity=Quantity(1))
    data = Shipment(location="0107", order_ref=order, lines=[line])
    return ShipmentConfirmed(id=order, source="wms", time=OPENS + timedelta(minutes=minutes), data=data)


def busy_days(days: int = 3) -> History:
    """Two stores and five items, a ticket every six minutes from ten to six."""
    events = [
        sold(f"T{day}-{nth}", f"SKU-{nth % 5}", 1 + nth % 2, day * 1440 + 60 + 6 * nth, f"010{nth % 2}")
        for day in range(days)
        for nth in range(80)
    ]
    return history_of(events, "Europe/Amsterdam")


def file_of(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "sales.csv"
    path.write_text("\n".join((HEADER, *rows)) + "\n")
    return path


def command(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["simulate", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


# What is kept


def test_lines_of_one_ticket_are_one_customer_and_the_most_wanted_item_is_the_first() -> None:
    found = history_of([sold("T1", "TEA", 1, 0), sold("T1", "MUG", 3, 0), sold("T2", "MUG", 1, 5)], "UTC")
    assert [ticket.goods for ticket in found.tickets] == [((0, 3), (1, 1)), ((0, 1),)]
    assert [ticket.at_s for ticket in found.tickets] == [0, 300]


def test_nothing_of_the_file_can_be_read_out_of_the_history(tmp_path: Path) -> None:
    file = file_of(
        tmp_path, "536365,85123A,WHITE HEART,6,12-01-2010 08:26,2.55,17850,United Kingdom", "536366,71053,LANTERN,2,12-01-2010 08:28,3.39,13047,France"
    )  # fmt: skip
    code, _, said = command("--history", file, "--mapping", EXAMPLE, "--seeds", 1, "--policy", "hub", "--out", tmp_path / "o", "--processes", 1)  # fmt: skip
    assert code == 0, said
    written = "".join(path.read_text() for path in (tmp_path / "o").iterdir())
    for secret in (
        "536365",
        "85123A",
        "WHITE HEART",
        "2.55",
        "17850",
        "France",
        "uk-warehouse",
        str(tmp_path),
    ):
        assert secret not in written
    assert json.loads((tmp_path / "o" / "history.json").read_text())["items"] == 2


def test_a_ticket_keeps_its_limits_and_what_is_beyond_them_is_counted() -> None:
    many = [sold("T1", f"I{nth}", 1, 0) for nth in range(LINES_PER_TICKET_MAX + 3)]
    found = history_of(
        [*many, sold("T2", "I0", UNITS_PER_LINE_MAX, 1), sold("T3", "I0", UNITS_PER_LINE_MAX + 4, 2)], "UTC"
    )
    assert [sum(units for _, units in ticket.goods) for ticket in found.tickets] == [50, 10, 10]
    assert sorted(found.left_out.values()) == [3, 4]


def test_the_first_hours_of_a_history_are_those_of_its_customers() -> None:
    found = busy_days().first(3)
    assert found.hours == 3
    assert {ticket.at_s // 3600 for ticket in found.tickets} == {0, 1, 2}


def test_where_nothing_was_sold_there_is_nothing_to_play() -> None:
    with pytest.raises(NoHistory, match="nothing to play again"):
        history_of([], "UTC")


# What is played


def test_every_customer_of_the_history_comes_once_under_every_policy() -> None:
    history = busy_days()
    scenario = again(history, online=0.4, cover_days=2)
    for policy in (POLICIES["hourly"], POLICIES["hub-dark"]):
        box, findings = played(scenario, 1, policy)
        assert findings == ()
        online = [order for order, is_online in box.market.drawn if is_online]  # type: ignore[attr-defined]
        assert box.measures.wanted["web"] == sum(units for ticket in online for _, units in ticket.goods)
        assert box.measures.wanted["web"] == pytest.approx(0.4 * history.units, rel=0.25)
        assert box.measures.walk_in_lines == len(history.tickets) - len(online)  # of one line each


def test_orders_of_the_history_are_online_whatever_part_of_the_tickets_is() -> None:
    history = history_of(
        [sold("T1", "MUG", 1, 0), shipped("ORD-1", "MUG", 30), sold("T2", "MUG", 1, 90)], "UTC"
    )
    none, _ = played(again(history, online=0.0, cover_days=30), 1)
    every, _ = played(again(history, online=1.0, cover_days=30), 1)
    assert (none.measures.wanted["web"], none.measures.walk_in_lines) == (1, 2)
    assert (every.measures.wanted["web"], every.measures.walk_in_lines) == (3, 0)


def test_shelves_that_last_a_day_lose_more_than_those_that_last_a_week() -> None:
    def short(cover_days: float) -> int:
        box, _ = played(again(busy_days(), online=0.3, cover_days=cover_days), 1)
        return box.measures.walk_in_lost + box.measures.sold_out

    assert short(0.2) > short(7.0)


def test_shelves_are_filled_at_five_in_the_morning_local_time() -> None:
    box, _ = played(again(busy_days(), online=0.3, cover_days=0.5), 1)
    times = [
        record.told.event.time
        for record in box.witness.records.values()
        if record.told.key[1].startswith("G-")
    ]
    assert times
    assert {time.astimezone(box._zone).hour for time in times if time is not None} == {5}


def test_an_anonymous_history_plays_as_the_file_it_came_from(tmp_path: Path) -> None:
    file = file_of(tmp_path, *(f"5363{nth:02},SKU{nth % 3},X,2,12-01-2010 {8 + nth // 6:02}:{nth % 6 * 10:02},1,1,UK" for nth in range(40)))  # fmt: skip
    options = ("--policy", "hub", "--seeds", 1, "--processes", 1, "--json")
    code, shown, said = command("--history", file, "--mapping", EXAMPLE, "--out", tmp_path / "o", *options)
    assert code == 0, said
    again_code, again_shown, _ = command("--history", tmp_path / "o" / "history.json", *options)
    assert again_code == 0
    assert json.loads(shown)["results"] == json.loads(again_shown)["results"]


# What goes wrong


def test_a_csv_without_a_mapping_is_answered_with_what_is_missing(tmp_path: Path) -> None:
    code, _, said = command("--history", file_of(tmp_path))
    assert code == 2
    assert "say with --mapping what its rows mean" in said


def test_an_empty_file_and_two_sources_at_once_are_refused(tmp_path: Path) -> None:
    code, _, said = command("--history", file_of(tmp_path), "--mapping", EXAMPLE)
    assert (code, "nothing to play again" in said) == (2, True)
    code, _, said = command("corner", "--history", file_of(tmp_path))
    assert (code, "one of them" in said) == (2, True)


def test_rows_that_cannot_be_read_are_counted_and_the_first_is_told(tmp_path: Path) -> None:
    file = file_of(tmp_path, "1,A,X,1,not a time,1,1,UK", "2,A,X,1,12-01-2010 08:26,1,1,UK")
    code, _, said = command(
        "--history", file, "--mapping", EXAMPLE, "--seeds", 1, "--policy", "hub", "--processes", 1
    )
    assert code == 0
    assert "1 rows could not be read and are left out; the first: row 1:" in said


def test_a_history_goes_through_json_and_back() -> None:
    found = busy_days()
    assert msgspec.json.decode(msgspec.json.encode(found), type=History) == found
