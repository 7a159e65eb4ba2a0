"""What the web shop was told, as it reads it itself, and the referee who knows what it must have been told."""

import json
from pathlib import Path
from typing import Any

import pytest

from evenstock.core.ledger import Vector
from evenstock.estate.hub import Exposure, Hub
from evenstock.estate.recorded import Recorded
from evenstock.estate.referee import Mistold, mistold
from evenstock.estate.truth import Spot

CHANNEL: dict[str, Any] = {"id": "web", "locations": ["A", "B"], "safety_stock": 2}
BOOKS: dict[Spot, Vector] = {
    ("TEE", "A"): (5, 9, 9, 9),
    ("TEE", "B"): (1, 0, 0, 0),  # less than it keeps back
    ("TEE", "C"): (50, 0, 0, 0),  # where it does not sell from
    ("MUG", "A"): (2, 0, 0, 0),
}


class SaysSo(Hub):
    """A hub that means what it is given."""

    def __init__(self, **intended: int) -> None:
        self._intended = intended

    async def exposures(self, channel: str) -> list[Exposure]:
        assert channel == "web"
        return [Exposure(sku, units) for sku, units in self._intended.items()]


def line(sku: str, quantity: int, version: int) -> bytes:
    more = {"key": "k", "ledger_seq": 1, "code": sku}
    told = {"channel": "web", "sku": sku, "quantity": quantity, "version": version, **more}
    return json.dumps(told).encode() + b"\n"


def put(file: Path, *lines: bytes) -> None:
    file.write_bytes(b"".join(lines))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "told.jsonl"


def test_numbers_are_read_as_they_come_each_whole_and_once(file: Path) -> None:
    recorded = Recorded(file)
    assert recorded.read() == []
    put(file, line("TEE", 5, 1), line("TEE", 4, 2)[:20])
    assert [(told.quantity, before) for told, before in recorded.read()] == [(5, None)]
    put(file, line("TEE", 5, 1), line("TEE", 4, 2), line("MUG", 1, 1))
    assert [(told.sku, told.quantity, before) for told, before in recorded.read()] == [
        ("TEE", 4, 5), ("MUG", 1, None),
    ]  # fmt: skip
    assert recorded.read() == []
    assert (recorded.lines, recorded.backwards) == (3, [])


def test_a_number_that_comes_after_a_newer_one_is_noticed(file: Path) -> None:
    recorded = Recorded(file)
    put(file, line("TEE", 5, 2), line("TEE", 6, 1))
    recorded.read()
    assert recorded.backwards == ["web TEE: version 1 after 2"]


async def test_the_referee_is_content_when_the_last_numbers_are_the_truth(file: Path) -> None:
    put(file, line("TEE", 9, 1), line("TEE", 3, 2), line("MUG", 0, 1))
    assert await mistold(SaysSo(TEE=3, MUG=0), Recorded(file).shown, [CHANNEL], BOOKS, within_s=0.0) == (
        2,
        [],
    )


@pytest.mark.parametrize(
    ("told", "intended"),
    [
        ({"TEE": 4, "MUG": 0}, {"TEE": 3, "MUG": 0}),  # what was told is not what is meant
        ({"TEE": 4, "MUG": 0}, {"TEE": 4, "MUG": 0}),  # both are not the truth
        ({"MUG": 0}, {"TEE": 3, "MUG": 0}),  # never told
        ({"TEE": 3, "MUG": 0}, {"MUG": 0}),  # told, and not meant
    ],
)
async def test_the_referee_finds_a_number_that_is_not_what_it_must_be(
    file: Path, told: dict[str, int], intended: dict[str, int]
) -> None:
    put(file, *(line(sku, quantity, 1) for sku, quantity in told.items()))
    _, wrong = await mistold(SaysSo(**intended), Recorded(file).shown, [CHANNEL], BOOKS, within_s=0.0)
    assert wrong == [Mistold("web", "TEE", 3, intended.get("TEE"), told.get("TEE"))]
