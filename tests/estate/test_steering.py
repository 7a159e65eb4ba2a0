"""A demo that is steered from another terminal: what is broken is seen in the hub, what is mended leaves no trace."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from estate.place import Place, finished
from evenstock.estate.actors import POS
from evenstock.estate.facts import SECOND, Fact
from evenstock.estate.links import Delivery
from evenstock.estate.pace import Pace
from evenstock.estate.upsets import CODE, REMEMBERED, Upsets

WITHIN_S = 60.0
MEMORY_MB = 600
USUALLY_AGAIN = 0.05  # of the facts of a demo that nobody breaks, at most


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    one = Place(tmp_path_factory.mktemp("d"))
    yield one
    assert one.left() == []


class Show:
    """A running demo, and the other terminal."""

    def __init__(self, place: Place, address: str, key: str) -> None:
        self._place = place
        self._address = address
        self._key = key
        (self.file,) = place.home.glob(".local/share/evenstock-demo-*/demo.json")
        self.ear = json.loads(self.file.read_bytes())

    def tell(self, name: str, **body: str | int) -> tuple[int, dict[str, Any]]:
        return self._ask(f"{self.ear['url']}/{name}", self.ear["key"], json.dumps(body).encode())

    def hub(self, path: str) -> dict[str, Any]:
        return self._ask(self._address + path, self._key)[1]

    def until(self, path: str, what: Any) -> Any:
        """Ask the hub until it says something."""
        give_up = time.monotonic() + WITHIN_S
        while not (found := what(self.hub(path))):
            assert time.monotonic() < give_up, f"{path}: {self.hub(path)}"
        return found

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {
            name: value for name, value in os.environ.items() if not name.startswith(("EVENSTOCK_", "XDG_"))
        }
        return subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-m", "evenstock", "demo", *arguments],
            capture_output=True, text=True, env=environ | {"HOME": str(self._place.home)}, timeout=WITHIN_S, check=False,
        )  # fmt: skip

    def _ask(self, url: str, key: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(url, body, {"Authorization": f"Bearer {key}"})  # noqa: S310 - our own
        try:
            with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:  # noqa: S310 - our own
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())


def test_what_is_broken_is_seen_and_what_is_mended_leaves_no_trace(place: Place) -> None:
    process = place.start("--json")
    assert process.stderr is not None
    line = ""
    while not line.startswith("  curl "):
        line = process.stderr.readline()
        assert line, process.communicate()
    key, address = line.split("Bearer ")[1].split("'")[0], line.split()[-1].rpartition("/v1/")[0]
    while " sold " not in line:  # the show is on
        line = process.stderr.readline()
    show = Show(place, address, key)
    assert oct(show.file.stat().st_mode & 0o777) == "0o600"
    _hears_nobody_else(show)
    _hurries(show)
    for told in ("you: speed ×120, 120 minutes of shop life pass in a minute", "— ×120 · "):
        while told not in line:
            line = process.stderr.readline()
    assert show.tell("speed", times=60) == (200, {"speed": 60})
    _breaks_and_mends(show)
    _plays(show)
    assert place.memory_mb() < MEMORY_MB
    process.send_signal(signal.SIGINT)
    code, out, err = finished(process)
    assert code == 0, (out, err)
    found = json.loads(out)
    assert found["surprises"] == []
    assert found["verify"]["ok"]
    for what in ("truth", "told", "books"):
        assert found[what]["matched"], found[what]
    assert found["facts"]["held_lines"] == found["facts"]["released_lines"] > 0
    facts = found["facts"]
    assert facts["duplicates_ignored"] > USUALLY_AGAIN * facts["applied"]


def _hears_nobody_else(show: Show) -> None:
    key = f"Bearer {show.ear['key']}"
    for headers in (
        {"Authorization": "Bearer guess"},
        {"Authorization": key, "Origin": "http://evil.example"},
        {},
    ):
        request = urllib.request.Request(show.ear["url"] + "/break", b'{"what":"erp-down"}', headers)  # noqa: S310 - our own
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=WITHIN_S)  # noqa: S310 - our own
        assert refused.value.code == 401
        refused.value.close()
    assert "is not broken. Broken is: nothing" in show.tell("mend", what="erp-down")[1]["detail"]


def _hurries(show: Show) -> None:
    assert show.command("speed").stdout == "×60: 60 minutes of shop life pass in a minute\n"
    for times in (0, 601):
        assert show.command("speed", str(times)).returncode == 2
        status, answer = show.tell("speed", times=times)
        assert (status, answer["detail"]) == (
            422,
            f"A show goes 1 to 600 times as fast as a real shop, not {times}.",
        )
    assert show.tell("speed") == (200, {"speed": 60})
    done = show.command("speed", "120")
    assert (done.returncode, done.stdout[:5]) == (0, "×120:"), done.stderr


def _breaks_and_mends(show: Show) -> None:
    done = show.command("break", "store-offline", "--at", "0121")
    assert (done.returncode, done.stdout.rpartition(": ")[2].strip()) == (0, "0121"), done.stderr
    for what in ("erp-down", "duplicates", "mapping", "flash-sale"):
        assert show.tell("break", what=what)[0] == 200
    status, answer = show.tell("break", what="erp-down")
    assert (status, "broken already" in answer["detail"]) == (422, True)
    show.until(
        "/v1/exceptions?status=open",
        lambda page: any(row["code"] == "stock.unknown_item" for row in page["data"]),
    )
    show.until("/v1/postings?status=open", lambda page: page["data"])
    for what in ("store-offline", "erp-down", "duplicates", "mapping"):
        assert show.tell("mend", what=what)[0] == 200
    assert "is not broken" in show.tell("mend", what="mapping")[1]["detail"]


def _plays(show: Show) -> None:
    """Whoever tries everything finds everything, and is told how often he was wrong."""
    assert "No challenge is on" in show.tell("found", what="mapping")[1]["detail"]
    begun = show.tell("challenge")[1]
    assert (begun["on"], begun["planted"], begun["found"], begun["it_was"]) == (True, 3, [], {})
    for verb, what in (("break", "flash-sale"), ("mend", "erp-down")):
        assert "challenge is on" in show.tell(verb, what=what)[1]["detail"]
    stores = [row["id"] for row in show.hub("/v1/availability/TSH-BLK-M")["locations"] if row["id"].isdigit()]
    stands: dict[str, Any] = begun
    for what in ("erp-down", "duplicates", "store-offline", "mapping"):
        for at in stores if what in {"store-offline", "mapping"} else [None]:
            if stands["on"] and what not in stands["found"]:
                stands = show.tell("found", what=what, **({} if at is None else {"at": at}))[1]
    assert (stands["on"], len(stands["found"]), stands["it_was"]) == (False, 3, {})
    assert stands["wrong"] > 0
    done = show.command("found", "erp-down")
    assert (done.returncode, "No challenge is on" in done.stderr) == (2, True)


def test_where_no_demo_runs_a_command_says_so(tmp_path: Path) -> None:
    place = Place(tmp_path)
    done = place.start("break", "erp-down")
    code, _, err = finished(done)
    assert code == 4
    assert "Start one in another terminal: evenstock demo" in err


# What is upset


def fact(number: int, store: str = "0107", source: str = POS) -> Fact:
    lines = [{"line": "1", "item": {"sku": "TEE"}, "quantity": 1}]
    return Fact(
        at=number * SECOND, link=f"{store}/1", source=source, id=f"T-{number}", type="SaleRecorded.v1",
        data={"location": store, "lines": lines},
    )  # fmt: skip


def test_a_store_without_a_line_keeps_its_facts_and_sends_them_in_order_when_it_is_back() -> None:
    upsets = Upsets(Pace(1))
    upsets.offline["0107"] = False
    assert [upsets.meets(fact(number)) for number in (1, 2)] == [None, None]
    assert upsets.meets(fact(3, "0118")) == fact(3, "0118")
    assert upsets.waiting("0107") == 2
    assert upsets.reconnect("0107", 9) == [Delivery(9, fact(1), late=True), Delivery(9, fact(2), late=True)]
    assert upsets.waiting("0107") == 0
    assert upsets.meets(fact(4)) == fact(4)


def test_only_what_has_arrived_is_said_again_and_only_so_much_of_it() -> None:
    upsets = Upsets(Pace(1))
    upsets.meets(fact(0))
    assert upsets.said_lately(5) == []
    for number in range(REMEMBERED + 5):
        upsets.arrived(Delivery(number, fact(number)))
        upsets.arrived(Delivery(number, fact(number), "again"))
    again = upsets.said_lately(5)
    assert [delivery.fact.id for delivery in again] == [f"T-{number}" for number in range(5, REMEMBERED + 5)]
    assert {delivery.kind for delivery in again} == {"again"}


def test_everything_is_said_twice_while_that_lasts_and_once_after() -> None:
    upsets = Upsets(Pace(1))
    first = Delivery(7, fact(1))
    assert upsets.also(first) == [first]
    upsets.repeats = True
    one, two = upsets.also(first)
    assert (one, two.kind, two.fact) == (first, "again", first.fact)
    assert two.at > one.at
    assert upsets.also(two) == [two]


def test_the_tills_of_one_store_use_a_code_of_their_own_and_nobody_else_does() -> None:
    upsets = Upsets(Pace(1))
    upsets.recoded = "0107"
    renamed = upsets.meets(fact(1))
    assert renamed is not None
    assert renamed.data["lines"][0]["item"] == {"id": CODE + "TEE"}
    assert upsets.meets(fact(2, "0118")) == fact(2, "0118")
    assert upsets.meets(fact(3, source="wms")) == fact(3, source="wms")
    assert upsets.codes == {"TEE"}
