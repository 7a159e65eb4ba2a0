"""The recorder: a line for each number, durable, once."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evenstock.connectors.contract import Done, Exposure, World
from evenstock.connectors.recorder import Settings, connector, publish
from evenstock.pipeline.files import BLOCK, Folder, folder_name

AT = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)


def told(key: str, quantity: int | Decimal = 1, *, again: bool = False) -> Exposure:
    return Exposure("web", "TEE", "TEE", quantity, 1, key, 9, AT, "ab" * 16, again)


def lines(folder: Folder) -> list[dict[str, Any]]:
    text = (folder.path / "web.jsonl").read_bytes()
    return [json.loads(line, parse_float=Decimal) for line in text.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path, "rec")


async def write(folder: Folder, *exposures: Exposure) -> None:
    answers = await publish(Settings("web.jsonl"), World(None, folder), exposures)
    assert answers == [Done(exposure.key) for exposure in exposures]


async def test_a_number_is_a_line_with_all_that_is_known_of_it(folder: Folder) -> None:
    await write(folder, told("k-1", Decimal("2.75")), told("k-2", 0))
    first, second = lines(folder)
    assert first == {
        "channel": "web", "sku": "TEE", "code": "TEE", "quantity": Decimal("2.75"), "version": 1, "key": "k-1",
        "ledger_seq": 9, "computed_at": "2026-11-20T14:03:00Z", "trace_id": "ab" * 16,
    }  # fmt: skip
    assert second["quantity"] == 0


async def test_a_try_that_was_cut_off_after_its_line_was_written_writes_no_second(folder: Folder) -> None:
    await write(folder, told("k-1"))
    await write(folder, told("k-1", again=True), told("k-2", again=True), told("k-3"))
    assert [line["key"] for line in lines(folder)] == ["k-1", "k-2", "k-3"]


async def test_a_key_is_not_mistaken_for_one_that_begins_like_it(folder: Folder) -> None:
    await write(folder, told("k-10"))
    await write(folder, told("k-1", again=True))
    assert [line["key"] for line in lines(folder)] == ["k-10", "k-1"]


@pytest.mark.parametrize("torn", [b'{"channel":"we', b"x" * (BLOCK + 7), b"\x00" * 30])
async def test_what_a_crash_left_of_a_line_is_taken_away(folder: Folder, torn: bytes) -> None:
    await write(folder, told("k-1"))
    with (folder.path / "web.jsonl").open("ab") as file:
        file.write(torn)
    await write(folder, told("k-2"))
    assert [line["key"] for line in lines(folder)] == ["k-1", "k-2"]


async def test_a_line_that_a_crash_cut_does_not_count_as_written(folder: Folder) -> None:
    await write(folder, told("k-1"))
    path = folder.path / "web.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    await write(folder, told("k-1", again=True))
    assert [line["key"] for line in lines(folder)] == ["k-1"]


@pytest.mark.parametrize(
    "path", ["", "..", "../x", "/etc/passwd", "a/b", "a\0b", ".hidden", "x" * 129, "a b", "é"]
)
def test_a_path_is_a_plain_file_name(path: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"path": path}, connector.settings)


async def test_a_folder_never_leaves_the_data_folder(tmp_path: Path) -> None:
    for name in ("..", ".", "../../x", "/etc", "a/b", "x" * 128, "é" * 128, "a.b"):
        path = Folder(tmp_path, name).path
        assert path.parent == tmp_path / "connections"
        assert path.resolve().parent == (tmp_path / "connections").resolve()
        await Folder(tmp_path, name).append("f", [b"1"])
    for name in ("", "..", "a/b", "a\0"):
        with pytest.raises(ValueError, match="not the name of a file"):
            await Folder(tmp_path, "rec").append(name, [b"1"])


def test_no_two_connections_share_a_folder() -> None:
    names = [f"{'é' * 60}{number}" for number in range(5)] + ["a/b", "a%2Fb", "a.b", "A", "a"]
    assert len({folder_name(name) for name in names}) == len(names)


async def test_files_are_for_their_owner_only(folder: Folder) -> None:
    await write(folder, told("k-1"))
    assert (folder.path / "web.jsonl").stat().st_mode & 0o077 == 0
