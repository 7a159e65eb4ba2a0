"""Files: taken when they have their name, each as one unit, archived or set aside with reasons, and never half."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from doors.door import sale
from evenstock.core.errors import Refusal
from evenstock.edge import folder as folders
from evenstock.edge.folder import Folder
from evenstock.edge.keeper import Keeper
from evenstock.edge.offset import Offsets
from evenstock.edge.opening import open_store
from evenstock.edge.store import Limits

NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
OLD = NOW - timedelta(minutes=1)


class Drop:
    """A folder that an agent looks into, on a clock that stands still."""

    def __init__(self, path: Path, keeper: Keeper) -> None:
        self.path = path
        self.keeper = keeper
        self.folder = Folder(path, keeper)

    def put(self, name: str, *values: Any, body: bytes | None = None, changed: datetime = OLD) -> Path:
        """A file: an event a line, or these bytes."""
        file = self.path / name
        lines = b"".join(json.dumps(value).encode() + b"\n" for value in values)
        file.write_bytes(lines if body is None else body)
        os.utime(file, (changed.timestamp(), changed.timestamp()))
        return file

    def kept(self) -> list[str]:
        return [event.id for event in self.keeper.store.next_batch(10_000, 2**30)]

    def there(self, folder: str = ".") -> list[str]:
        return sorted(file.name for file in (self.path / folder).iterdir() if file.is_file())

    def problems(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            (self.path / "quarantine" / f"{name}.problems.json").read_bytes()
        )["problems"]
        return found


@asynccontextmanager
async def drop(tmp_path: Path, limits: Limits = Limits(2**30, disk_free_bytes=0)) -> AsyncIterator[Drop]:  # noqa: B008 - frozen
    (tmp_path / "drop").mkdir(exist_ok=True)
    (tmp_path / "data").mkdir(exist_ok=True)
    keeper = Keeper(open_store(tmp_path / "data", limits, NOW, lambda: "t"), Offsets(), lambda: NOW)
    try:
        yield Drop(tmp_path / "drop", keeper)
    finally:
        keeper.close()


async def test_files_are_taken_in_the_order_of_their_names_and_archived(tmp_path: Path) -> None:
    async with drop(tmp_path) as found:
        found.put("2.jsonl", sale("3", "A"), sale("4", "A"))
        found.put("1.json", body=json.dumps([sale("1", "A"), sale("2", "A")]).encode())
        found.put("3.NDJSON", sale("5", "A"))
        found.put("4.json", sale("6", "A"))
        assert await found.folder.look() == 4
        assert found.kept() == ["1", "2", "3", "4", "5", "6"]
        assert found.there() == []
        assert found.there("archive") == ["1.json", "2.jsonl", "3.NDJSON", "4.json"]
        assert await found.folder.look() == 0


async def test_a_file_without_its_name_or_still_written_to_is_left_alone(tmp_path: Path) -> None:
    async with drop(tmp_path) as found:
        found.put("1.jsonl.part", sale("1", "A"))
        found.put(".2.jsonl", sale("2", "A"))
        found.put("3.txt", sale("3", "A"))
        found.put("4.jsonl", sale("4", "A"), changed=NOW - timedelta(seconds=1))
        (found.path / "5.jsonl").symlink_to(found.put("5", sale("5", "A")))
        (found.path / "6.jsonl").mkdir()
        assert await found.folder.look() == 0
        assert found.kept() == []
        found.put("4.jsonl", sale("4", "A"))
        assert await found.folder.look() == 1
        assert found.kept() == ["4"]


async def test_a_file_of_a_machine_whose_clock_runs_ahead_is_taken(tmp_path: Path) -> None:
    async with drop(tmp_path) as found:
        found.put("1.jsonl", sale("1", "A"), changed=NOW + timedelta(hours=1))
        assert await found.folder.look() == 1


async def test_the_same_file_again_is_the_same_events_and_both_are_archived(tmp_path: Path) -> None:
    async with drop(tmp_path) as found:
        for _ in range(3):
            found.put("1.jsonl", sale("1", "A"), sale("2", "A"))
            await found.folder.look()
        assert found.kept() == ["1", "2"]
        assert found.there("archive") == ["1.2.jsonl", "1.3.jsonl", "1.jsonl"]


async def test_good_events_of_a_file_with_bad_ones_are_kept_and_the_file_is_set_aside_with_reasons(
    tmp_path: Path,
) -> None:
    async with drop(tmp_path) as found:
        body = b"\n".join(
            [
                json.dumps(sale("1", "A")).encode(),
                b'{"id": "2", "half',
                json.dumps(sale("3", "A", 0.1234567)).encode(),
                b"",
                b"[]",
            ]
        )
        found.put("1.jsonl", body=body)
        await found.folder.look()
        assert found.kept() == ["1"]
        assert found.there("quarantine") == ["1.jsonl", "1.jsonl.problems.json"]
        assert (found.path / "quarantine/1.jsonl").read_bytes() == body
        assert [(flaw["entry"], flaw["code"], flaw["id"]) for flaw in found.problems("1.jsonl")] == [
            (2, "json.malformed", None),
            (3, "quantity.pattern", "3"),
            (4, "event.malformed", None),
        ]
        found.put("1.jsonl", sale("1", "A"), sale("2", "A"), sale("3", "A"))
        await found.folder.look()
        assert found.kept() == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("1.json", b"", "json.malformed"),
        ("1.json", b'[{"id": "1"}', "json.malformed"),
        ("1.json", b"[" * 100 + b"]" * 100, "limit.depth"),
        ("1.json", b"[" + b"1," * 1_000 + b"1]", "limit.batch"),
        ("1.jsonl", b"\n \n", "json.malformed"),
        ("1.jsonl", b"1\n" * 31, "limit.file"),
        ("1.jsonl", b"x" * 5_001, "limit.file"),
    ],
)
async def test_a_file_of_which_nothing_can_be_used_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: bytes, code: str
) -> None:
    monkeypatch.setattr(folders, "FILE_EVENTS_MAX", 30)
    monkeypatch.setattr(folders, "FILE_BYTES_MAX", 5_000)
    async with drop(tmp_path) as found:
        found.put(name, body=body)
        await found.folder.look()
        assert found.kept() == []
        assert [flaw["code"] for flaw in found.problems(name)] == [code]
        assert found.there() == []


async def test_at_the_limit_a_file_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [sale(str(number), "A") for number in range(30)]
    size = sum(len(json.dumps(event)) + 1 for event in events)
    monkeypatch.setattr(folders, "FILE_EVENTS_MAX", 30)
    monkeypatch.setattr(folders, "FILE_BYTES_MAX", size)
    async with drop(tmp_path) as found:
        found.put("1.jsonl", *events)
        await found.folder.look()
        assert len(found.kept()) == 30


async def test_without_room_a_file_stays_where_it_is_as_a_whole(tmp_path: Path) -> None:
    async with drop(tmp_path, Limits(2**30, events_waiting=2, disk_free_bytes=0)) as found:
        found.put("1.jsonl", *(sale(str(number), "A") for number in range(3)))
        with pytest.raises(Refusal) as refused:
            await found.folder.look()
        assert refused.value.problem.code == "agent.full"
        assert (found.kept(), found.there()) == ([], ["1.jsonl"])


async def test_the_archive_is_emptied_after_its_time_and_the_quarantine_never(tmp_path: Path) -> None:
    async with drop(tmp_path) as found:
        found.put("1.jsonl", sale("1", "A"))
        found.put("2.jsonl", body=b"x")
        await found.folder.look()
        assert found.folder.forget(datetime(2020, 1, 1, tzinfo=UTC)) == 0
        assert found.folder.forget(datetime(2200, 1, 1, tzinfo=UTC)) == 1
        assert found.there("archive") == []
        assert found.there("quarantine") == ["2.jsonl", "2.jsonl.problems.json"]
