"""The demo as people start it: a process that shows, proves and tidies up."""

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from estate.place import Place, finished

READY_S = 15


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    one = Place(tmp_path_factory.mktemp("d"))
    yield one
    assert one.left() == []


def test_it_shows_everything_proves_it_and_leaves_nothing(place: Place) -> None:
    code, out, err = finished(place.start("--seconds", "6", "--json"))
    assert code == 0, err
    found = json.loads(out)
    assert found["ready_s"] < READY_S
    assert found["surprises"] == []
    assert found["verify"]["ok"]
    assert found["verify"]["checked"] > 20
    assert found["truth"]["matched"]
    assert found["truth"]["positions"] > 500
    assert found["books"]["matched"], found["books"]["differences"]
    assert found["books"]["postings"] > 50
    assert "$ evenstock why TSH-BLK-M --location 0107" in err
    assert "$ evenstock why TSH-BLK-M --channel click-collect" in err
    _sold_on_the_web(found, err)
    _is_consistent(found["facts"])
    exceptions = found["exceptions"]
    for cause in ("stock.unknown_item", "stock.negative", "return.without_sale"):
        assert exceptions["opened"][cause] == exceptions["closed"][cause] > 0
    assert exceptions["open"] == sum(exceptions["opened"].values()) - sum(exceptions["closed"].values())


def _sold_on_the_web(found: dict[str, Any], err: str) -> None:
    """Customers reserved, and the web shop's own numbers followed them, the tills and the counts to the end."""
    assert found["told"]["matched"], found["told"]["differences"]
    assert found["told"]["numbers"] > 130
    assert found["numbers_told"] > 200
    orders = found["orders"]
    assert orders["handed_over"] > 10
    assert orders["ran_out"] > 0
    assert orders["cancelled"] > 0
    assert orders["not_there"] > 0
    overcommitted = found["exceptions"]["opened"]["stock.overcommitted"]
    assert found["exceptions"]["closed"]["stock.overcommitted"] == overcommitted > 0
    for what in (
        "+ web customer reserved ", "→ click-collect is told: TSH-BLK-M ", " is paid: 0107 is to put ", "its hold ran out: ", " in vain: ",
        "+ 0107 sold ", "\n  intended ", " is what click-collect should see: ",
    ):  # fmt: skip
        assert what in err, what


def _is_consistent(facts: dict[str, Any]) -> None:
    assert facts["rejected"] == 0
    assert facts["sent"] == facts["applied"] + facts["duplicates_ignored"] + facts["held"] + facts["parked"]
    assert facts["different"] == facts["sent"] - facts["duplicates_ignored"]
    assert facts["duplicates_ignored"] > 10
    assert facts["late"] > 10
    assert facts["held_lines"] == facts["released_lines"] > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_stop_it_ends_as_it_would_by_itself(place: Place, number: signal.Signals) -> None:
    process = place.start()
    assert process.stdout is not None
    seen = ""
    while " sold " not in seen:  # the show is on
        seen = process.stdout.readline()
        assert seen, process.communicate()[1]
    process.send_signal(number)
    code, out, err = finished(process)
    assert code == 0, err
    last = out.splitlines()[-1]
    assert last.startswith("✓ all ")
    assert "invariants hold at ledger_seq" in last


def test_told_to_stop_before_it_is_ready_it_leaves_nothing(place: Place) -> None:
    process = place.start()
    assert process.stderr is not None
    assert "making the database" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    code, _, err = finished(process)
    assert code == 130, err


def test_it_keeps_its_hands_off_a_folder_that_is_in_use(place: Place) -> None:
    used = place.temporary / "notes.txt"
    used.write_text("mine")
    code, _, err = finished(place.start("--seconds", "1", "--data", str(place.temporary)))
    assert code == 2
    assert "is not empty" in err
    assert used.read_text() == "mine"
    used.unlink()
