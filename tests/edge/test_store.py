"""The store: what was kept is there after a power cut, nothing that waits is ever dropped, and damage loses as little as can be."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doors.door import sale
from evenstock.core.errors import Refusal
from evenstock.core.reading import Received, read_event
from evenstock.edge.opening import NAME, open_store
from evenstock.edge.store import REJECTED_KEPT, Kept, Limits, Outcome, Store

NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
ROOMY = Limits(2**30, disk_free_bytes=0)
EVERYTHING = 10_000, 2**30
TICKETS = 12
tokens = (f"{number:08x}" for number in count(1))


@contextmanager
def opened(folder: Path, limits: Limits = ROOMY, now: datetime = NOW) -> Iterator[Store]:
    store = open_store(folder, limits, now, lambda: next(tokens))
    try:
        yield store
    finally:
        store.close()


def take(store: Store, *events: dict[str, Any], now: datetime = NOW) -> list[Kept]:
    received = [read_event(event) for event in events]
    assert all(isinstance(entry, Received) for entry in received)
    return store.take(received, "http", now, now)  # type: ignore[arg-type]  # just checked


def outcomes(store: Store, *events: dict[str, Any]) -> list[str]:
    return [kept.outcome for kept in take(store, *events)]


def bodies(store: Store) -> list[dict[str, Any]]:
    """What waits, in the order in which it is sent."""
    return [json.loads(event.body) for event in store.next_batch(*EVERYTHING)]


def ids(store: Store) -> list[str]:
    return [body["id"] for body in bodies(store)]


def ticket(number: int, register: str = "3", **members: Any) -> dict[str, Any]:
    event = sale(f"{register}-{number}", "A", **members)
    event["data"]["register"] = register
    return event


def take_until_full(store: Store) -> str:
    """Tickets, one after another; the code of the refusal that ends it."""
    for number in range(1_000):
        try:
            take(store, ticket(number, note="x" * 2_000))
        except Refusal as refusal:
            return refusal.problem.code
    return ""


# Keeping -----------------------------------------------------------------------------------------------------------


def test_the_same_again_is_a_duplicate_and_other_content_under_its_key_is_kept_too(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        other = sale("T", "A", 2)
        assert outcomes(store, sale("T", "A", 1), sale("T", "A", 1)) == ["kept", "duplicate"]
        assert outcomes(store, sale("T", "A", "1.0"), sale("T", "A", source="pos-be")) == [
            "duplicate",
            "kept",
        ]
        (held,) = take(store, other)
        assert (held.outcome, held.code, held.pointer) == ("held", "event.key_reused", "/id")
        assert outcomes(store, other) == ["duplicate"]
        assert ids(store) == ["T", "T", "T"]
        assert store.waiting == 3


def test_numbers_run_by_stream_and_a_tills_own_are_left_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        own = {"sequence": "77", "epoch": "mine"}
        take(store, ticket(1), ticket(2), ticket(1, "4"), ticket(9, "5", **own), ticket(9, "6", sequence=8))
        found = [(body["sequence"], body.get("epoch")) for body in bodies(store)]
        assert found == [
            ("1", store.epoch),
            ("2", store.epoch),
            ("1", store.epoch),
            ("77", "mine"),
            (8, None),
        ]
        take(store, ticket(1, "6", sequence=1), ticket(2, "6", sequence=2), ticket(3, "6", sequence=1))
        found = [(body["sequence"], body.get("epoch")) for body in bodies(store)[5:]]
        assert found == [(1, None), (2, None), (1, f"{store.epoch}-1")]


def test_an_event_without_a_time_gets_the_hubs_and_says_so_and_one_with_a_time_keeps_it(
    tmp_path: Path,
) -> None:
    timeless = {name: value for name, value in ticket(1).items() if name != "time"}
    with opened(tmp_path) as store:
        entry = read_event(timeless)
        assert isinstance(entry, Received)
        for minute in (0, 5):
            store.take([entry], "http", NOW, NOW.replace(minute=minute))
        take(store, ticket(2))
        first, second = bodies(store)
        assert (first["time"], first["timebasis"]) == (NOW.isoformat(), "agent")
        assert (second["time"], "timebasis" in second) == (ticket(2)["time"], False)


def test_what_is_sent_holds_everything_that_came_exactly(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        sent = ticket(1, note={"price": "€ 9,99", "deep": [1, [None, True]]}, traceparent="x")
        sent["data"]["lines"][0]["quantity"] = "0.250"
        take(store, sent)
        (body,) = bodies(store)
        assert {name: body[name] for name in sent} == sent
        assert body.keys() - sent.keys() == {"sequence", "epoch"}


def test_outcomes_are_written_down_and_settled_events_wait_no_more(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        take(store, *(ticket(number) for number in range(4)))
        batch = store.next_batch(3, 2**30)
        store.settle([Outcome(batch[0].n, "applied", ledger_seq=7), Outcome(batch[2].n, "held", "x")], NOW)
        assert ids(store) == ["3-1", "3-3"]
        assert store.waiting == 2
        assert outcomes(store, ticket(0), ticket(2)) == ["duplicate", "duplicate"]
        store.settle([Outcome(batch[0].n, "rejected")], NOW)
        assert store.waiting == 2


def test_a_batch_is_the_oldest_within_its_sizes_without_the_sources_that_are_barred(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        large = ticket(2, note="x" * 5_000)
        take(store, ticket(1), large, ticket(3), sale("be", "A", source="pos-be"))
        assert [event.id for event in store.next_batch(2, 2**30)] == ["3-1", "3-2"]
        assert [event.id for event in store.next_batch(9, 1_000)] == ["3-1"]
        assert [event.id for event in store.next_batch(9, 2**30, ["pos-nl"])] == ["be"]
        store.settle([Outcome(1, "applied")], NOW)
        assert [event.id for event in store.next_batch(9, 1)] == ["3-2"]


# Power -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cut() -> Iterator[tuple[Path, list[int]]]:
    """A store as it lies on the disk after tickets, and how long its log was when each was acknowledged."""
    with tempfile.TemporaryDirectory(prefix="evenstock-edge-") as folder:
        live, image = Path(folder) / "live", Path(folder) / "image"
        live.mkdir()
        with opened(live) as store:
            log = live / f"{NAME}-wal"
            sizes = []
            for number in range(TICKETS):
                take(store, ticket(number, note="x" * 3_000))
                sizes.append(log.stat().st_size)
            image.mkdir()
            for part in (NAME, f"{NAME}-wal"):
                shutil.copy(live / part, image / part)
        yield image, sizes


@given(st.data())
def test_after_a_power_cut_at_any_byte_all_that_was_acknowledged_is_there_and_nothing_by_halves(
    cut: tuple[Path, list[int]], data: st.DataObject
) -> None:
    image, sizes = cut
    kept = data.draw(st.integers(0, sizes[-1]), label="bytes of the log that reached the disk")
    torn = data.draw(st.binary(max_size=200), label="rubbish behind them")
    with tempfile.TemporaryDirectory(prefix="evenstock-edge-") as folder:
        shutil.copy(image / NAME, folder)
        log = (image / f"{NAME}-wal").read_bytes()
        (Path(folder) / f"{NAME}-wal").write_bytes(log[:kept] + torn)
        with opened(Path(folder)) as store:
            found = ids(store)
            acknowledged = sum(size <= kept for size in sizes)
            assert found == [f"3-{number}" for number in range(len(found))]
            assert len(found) >= acknowledged
            assert outcomes(store, ticket(99), ticket(99)) == ["kept", "duplicate"]


# A past that may be forgotten ----------------------------------------------------------------------------------------


def test_a_store_that_is_opened_again_goes_on_counting(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        epoch = store.epoch
        take(store, ticket(1))
    with opened(tmp_path, now=NOW + timedelta(hours=24)) as store:
        take(store, ticket(2))
        assert [(body["sequence"], body["epoch"]) for body in bodies(store)] == [("1", epoch), ("2", epoch)]


@pytest.mark.parametrize("how", ["copied", "old", "clock set back", "lost"])
def test_where_the_past_may_be_forgotten_counting_begins_anew_in_a_new_epoch(
    tmp_path: Path, how: str
) -> None:
    (tmp_path / "a").mkdir()
    with opened(tmp_path / "a") as store:
        epoch = store.epoch
        take(store, ticket(1), ticket(2))
    folder, now = tmp_path / "a", NOW
    if how == "copied":
        folder = tmp_path / "b"
        shutil.copytree(tmp_path / "a", folder)
    elif how == "lost":
        (folder / NAME).unlink()
    else:
        now = NOW + (timedelta(days=200) if how == "old" else timedelta(hours=-1))
    with opened(folder, now=now) as store:
        assert store.epoch != epoch
        take(store, ticket(3))
        assert (bodies(store)[-1]["sequence"], bodies(store)[-1]["epoch"]) == ("1", store.epoch)
        assert store.waiting == (1 if how == "lost" else 3)


# Room --------------------------------------------------------------------------------------------------------------


def test_past_the_number_that_may_wait_nothing_is_taken_and_nothing_is_dropped(tmp_path: Path) -> None:
    with opened(tmp_path, Limits(2**30, events_waiting=3, disk_free_bytes=0)) as store:
        take(store, ticket(1), ticket(2))
        with pytest.raises(Refusal) as refused:
            take(store, ticket(3), ticket(4))
        assert refused.value.problem.code == "agent.full"
        assert (ids(store), store.waiting) == (["3-1", "3-2"], 2)
        assert outcomes(store, ticket(3)) == ["kept"]
        assert not store.can_take(NOW)
        assert outcomes(store, ticket(1), ticket(3)) == ["duplicate"] * 2
        assert [body["sequence"] for body in bodies(store)] == ["1", "2", "3"]


def test_past_its_part_of_the_disk_nothing_is_taken_until_something_was_forwarded(tmp_path: Path) -> None:
    with opened(tmp_path, Limits(400_000, disk_free_bytes=0)) as store:
        assert take_until_full(store) == "agent.full"
        found = ids(store)
        assert found == [f"3-{number}" for number in range(len(found))]
        assert len(found) > 50
        assert not store.can_take(NOW)
        store.settle([Outcome(event.n, "applied") for event in store.next_batch(10, 2**30)], NOW)
        assert outcomes(store, ticket(2_000)) == ["kept"]  # what was kept for proof went before its time
        assert ids(store) == [*found[10:], "3-2000"]


def test_a_disk_with_no_room_left_is_said_and_what_is_there_stays(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        take(store, ticket(1))
        pages = store._db.execute("pragma page_count").fetchone()[0]
        store._db.execute(f"pragma max_page_count = {pages}").fetchall()
        with pytest.raises(Refusal) as refused:
            take(store, *(ticket(number, note="x" * 5_000) for number in range(2, 9)))
        assert refused.value.problem.code == "agent.full"
        assert ids(store) == ["3-1"]
    with opened(tmp_path, Limits(2**30, disk_free_bytes=2**60)) as store:
        with pytest.raises(Refusal) as refused:
            take(store, ticket(2))
        assert refused.value.problem.code == "agent.full"
        assert "MB left" in refused.value.problem.detail
        assert ids(store) == ["3-1"]


def test_proofs_go_after_their_time_the_rejected_later_and_what_waits_never(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        take(store, ticket(1), ticket(2), ticket(3))
        store.settle([Outcome(1, "applied"), Outcome(2, "rejected")], NOW)
        soon = NOW + timedelta(days=30)
        assert store.forget(NOW, NOW) == 0
        assert store.forget(soon, soon - REJECTED_KEPT) == 1
        assert outcomes(store, ticket(2), ticket(1)) == ["duplicate", "kept"]
        later = NOW + REJECTED_KEPT + timedelta(days=1)
        assert store.forget(later, later - REJECTED_KEPT) == 1
        assert ids(store) == ["3-3", "3-1"]


# Damage ------------------------------------------------------------------------------------------------------------


def test_a_damaged_store_is_set_aside_and_what_can_be_read_of_it_is_still_sent(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        epoch = store.epoch
        take(store, *(ticket(number, note="x" * 2_000) for number in range(200)))
        store.settle([Outcome(1, "applied")], NOW)
    path = tmp_path / NAME
    body = bytearray(path.read_bytes())
    middle = len(body) // 2 // 4096 * 4096
    body[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(body)
    with opened(tmp_path) as store:
        found = ids(store)
        assert len(found) > 150
        assert set(found) <= {f"3-{number}" for number in range(1, 200)}
        assert found == sorted(found, key=lambda id_: int(id_[2:]))
        assert {found[0], found[-1]} == {"3-1", "3-199"}
        assert store.epoch != epoch
        take(store, ticket(500))
        assert bodies(store)[-1]["sequence"] == "1"
    assert len(list(tmp_path.glob(f"{NAME}.damaged-*"))) == 1


@pytest.mark.parametrize("rubbish", [b"no database " * 1_000, b"SQLite format 3\0" + b"\0" * 5_000])
def test_a_file_that_is_no_store_is_set_aside_as_it_is(tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / NAME).write_bytes(rubbish)
    with opened(tmp_path) as store:
        assert outcomes(store, ticket(1)) == ["kept"]
    (aside,) = tmp_path.glob(f"{NAME}.damaged-*")
    assert aside.read_bytes() == rubbish


def test_a_store_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        take(store, ticket(1))
        store._db.execute("pragma user_version = 2")
    with pytest.raises(OSError, match=r"newer evenstock \(schema 2\)"):
        open_store(tmp_path, ROOMY, NOW, lambda: "x")
    assert list(tmp_path.glob("*.damaged-*")) == []


def test_a_folder_that_cannot_be_written_is_no_damage(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        take(store, ticket(1))
    with pytest.raises(FileNotFoundError):
        open_store(tmp_path / "nowhere", ROOMY, NOW, lambda: "x")
    with opened(tmp_path) as store:
        assert ids(store) == ["3-1"]
