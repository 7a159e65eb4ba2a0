"""Files that a partner leaves in a folder: taken when they are whole, booked once, and put away where a person finds them."""

import asyncio
import gzip
import io
import re
import tomllib
import zipfile
from pathlib import Path

import msgspec

from conftest import owner
from doors.delivered import MAPPING, SETTINGS, archived, partner, sales, sold, there
from doors.door import until
from evenstock.cli.config_file import read_configuration
from evenstock.core.mapping import Mapper, read_mapping
from evenstock.pipeline.census import census_of
from evenstock.pipeline.imports import dry_run
from evenstock.pipeline.rows import opened
from evenstock.postgres.database import Database

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "take-files-from-a-folder.md"


async def test_a_file_is_booked_and_archived_and_the_same_again_books_nothing(
    database: Database, tmp_path: Path
) -> None:
    async with partner(database, tmp_path) as one:
        one.leave("monday.csv", sales("T-1", "T-2", "T-3"))
        found = (await one.ended("monday.csv"))["monday.csv"]
        assert (found["status"], found["rows"], found["outcomes"]) == ("done", 3, {"applied": 3})
        assert await one.units() == -3
        assert [path.read_text() for path in archived(one.folder, "monday.csv")] == [
            sales("T-1", "T-2", "T-3")
        ]
        one.leave("monday.csv", sales("T-1", "T-2", "T-3"))
        found = (await one.ended("monday.csv"))["monday.csv"]
        assert (found["status"], found["outcomes"]) == ("done", {"duplicate": 3})
        assert await one.units() == -3
        assert len(archived(one.folder, "monday.csv")) == 2


async def test_a_file_is_taken_when_it_is_whole_and_not_before(database: Database, tmp_path: Path) -> None:
    async with partner(database, tmp_path, ready="marker", pattern="*.csv") as one:
        one.leave("a.csv", sales("T-1"))
        one.leave("note.txt", "not ours")
        one.leave("b.csv", sales("T-2"))
        one.leave("b.csv.done", "")
        await one.ended("b.csv")
        assert await one.units() == -1, "a.csv waits for its marker"
        one.leave("a.csv.done", "")
        await one.ended("a.csv")
        assert sorted(path.name for path in one.folder.iterdir() if path.is_file()) == ["note.txt"]
        await one.configure(ready="still", still_s=1.0, pattern="*.csv")
        growing = one.folder / "c.csv"
        growing.write_text(HEADER_ONLY)
        for number in range(4):
            before = await one.units()
            with growing.open("a") as file:
                file.write(sold(f"C-{number}"))
            assert await one.units() == before
        await one.ended("c.csv")
        assert await one.units() == -6
        assert list(await one.files()) == ["b.csv", "a.csv", "c.csv"]


HEADER_ONLY = sales()


async def test_what_cannot_be_used_is_in_quarantine_with_its_reason_until_a_person_takes_it_out(
    database: Database, tmp_path: Path
) -> None:
    mapping = MAPPING | {"file": {"tail": {"begins": "END", "count": 2}}}
    async with partner(database, tmp_path, mapping=mapping) as one:
        bad: dict[str, str | bytes] = {
            "cut.csv": sales("T-1", "T-2"),
            "counted.csv": sales("T-1", "T-2") + "END,3\n",
            "glued.csv": sales("T-1") + "END,1\n" + sold("T-2"),
            "words.csv": sales("T-1") + "END,many\n",
            "empty.csv": "",
            "columns.csv": "a,b\n1,2\nEND,1\n",
            "packed.csv.gz": gzip.compress(sales("T-1").encode())[:-9],
        }
        for name, content in bad.items():
            one.leave(name, content)
        found = await one.ended(*bad)
        assert {name: file["code"] for name, file in found.items()} == {
            "cut.csv": "file.incomplete",
            "counted.csv": "file.incomplete",
            "glued.csv": "file.incomplete",
            "words.csv": "file.incomplete",
            "empty.csv": "file.header",
            "columns.csv": "file.header",
            "packed.csv.gz": "file.packing",
        }
        assert (await one.door.get("/v1/movements")).body["data"] == [], "nothing of them was booked"
        shown = await one.exceptions("file.quarantined")
        assert len(shown) == len(bad)
        reason = (one.folder / "quarantine" / "counted.csv.reason.txt").read_text()
        assert "has 2 rows, and its last line tells of 3" in reason
        one.leave("cut.csv", sales("T-1"))
        await one.ended("cut.csv")
        both = sorted(path.name for path in (one.folder / "quarantine").glob("cut.csv*"))
        assert both == ["cut.csv", "cut.csv.2", "cut.csv.reason.txt"], "the first is kept"
        one.leave("counted.csv", sales("T-1", "T-2") + "END,2\n")
        assert (await one.ended("counted.csv"))["counted.csv"]["status"] == "done"
        assert await one.units() == -2
        for path in (one.folder / "quarantine").iterdir():
            path.unlink()
        await one.none("file.quarantined")


async def test_rows_that_cannot_be_used_stand_beside_and_the_others_are_booked(
    database: Database, tmp_path: Path
) -> None:
    async with partner(database, tmp_path) as one:
        one.leave("day.csv", sales("T-1") + sold("T-2", qty="two") + sold("T-3", sku="unheard-of"))
        found = (await one.ended("day.csv"))["day.csv"]
        assert found["outcomes"] == {"applied": 1, "rejected": 1, "held": 1}
        rejected = (one.folder / "rejects" / "day.csv.rejects.csv").read_text()
        assert rejected.splitlines()[1].startswith("2,mapping.value") or "two" in rejected
        [shown] = await one.exceptions("import.rejected")
        assert "rejects/day.csv.rejects.csv" in shown["detail"]
        one.leave("day.csv", sales("T-1") + sold("T-2", qty="2") + sold("T-3", sku="unheard-of"))
        await one.none("import.rejected")
        assert await one.units() == -3


async def test_gzip_and_zip_are_read_and_what_unpacks_to_too_much_is_not(
    database: Database, tmp_path: Path
) -> None:
    def zipped(**files: bytes) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return buffer.getvalue()

    async with partner(database, tmp_path) as one:
        one.leave("a.csv.gz", gzip.compress(sales("T-1").encode()))
        one.leave("b.zip", zipped(day=sales("T-2").encode()))
        one.leave("c.zip", zipped(day=sales("T-3").encode(), night=sales("T-4").encode()))
        one.leave("d.zip", zipped(day=sales("T-5").encode() + b" " * 40_000_000))
        one.leave("e.zip", zipped(day=sales("T-6").encode())[:-30])
        found = await one.ended("a.csv.gz", "b.zip", "c.zip", "d.zip", "e.zip")
        assert {name: file["code"] for name, file in found.items()} == {
            "a.csv.gz": None,
            "b.zip": None,
            "c.zip": "file.packing",
            "d.zip": "limit.unpacked",
            "e.zip": "file.packing",
        }
        assert await one.units() == -2


async def test_files_are_taken_from_folders_of_ours_only(database: Database, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.csv").write_text(sales("T-1"))
    async with partner(database, tmp_path / "data", configured=False) as one:
        (one.folder.parent).mkdir(parents=True, exist_ok=True)
        (one.folder.parent / "link").symlink_to(outside)
        for folder in (str(outside), "../../outside", "link", "."):
            async with owner(database) as db:
                await db.execute("delete from sources")
            assert (await one.configure(folder=folder)).status == 200

            async def refused() -> bool:
                async with owner(database) as db:
                    detail = await db.fetchval("select detail from sources")
                return detail is not None and "--folders-allow" in detail

            await until(refused)
        assert (outside / "a.csv").exists()
        await one.configure(ready="rename")
        one.folder.mkdir(exist_ok=True)
        (one.folder / "b.csv").symlink_to(outside / "a.csv")
        one.leave("c.csv", sales("T-2"))
        await one.ended("c.csv")
        assert list(await one.files()) == ["c.csv"], "a link is no file"


async def test_a_folder_that_cannot_be_read_is_told_after_a_while_and_closes_by_itself(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "pos").write_text("in the way")
    async with partner(database, tmp_path) as one:

        async def told() -> bool:
            return bool(await one.exceptions("source.unreachable"))

        await until(told)
        (tmp_path / "files" / "pos").unlink()
        await one.none("source.unreachable")
        one.leave("a.csv", sales("T-1"))
        await one.ended("a.csv")


async def test_two_hubs_take_each_file_once(database: Database, tmp_path: Path) -> None:
    async with partner(database, tmp_path) as one, partner(database, tmp_path, configured=False):
        names = [f"{number}.csv" for number in range(8)]
        for number, name in enumerate(names):
            one.leave(name, sales(*(f"T-{number}-{each}" for each in range(10))))
        found = await one.ended(*names)
        assert {file["outcomes"].get("applied") for file in found.values()} == {10}
        assert await one.units() == -80


def test_the_how_to_is_a_configuration_that_passes_and_its_mapping_reads_what_it_tells_of(
    tmp_path: Path,
) -> None:
    blocks = re.findall(r"```toml\n(.+?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    config, mapping, server, full = blocks
    (tmp_path / "mappings" / "partner").mkdir(parents=True)
    (tmp_path / "mappings" / "partner" / "sales.toml").write_text(mapping)
    (tmp_path / "evenstock.toml").write_text(config + server)
    found, mistakes = read_configuration(tmp_path / "evenstock.toml")
    assert (found.ids, mistakes) == (["partner", "warehouse"], [])
    rules = read_mapping(tomllib.loads(mapping), "sales")
    content = b"ticket;line;store;sold_at;article;pieces\n1;1;0107;2026-01-20 14:08;A;2\nEND;1\n"
    ran = dry_run(
        opened(io.BytesIO(content), rules, "it"), Mapper(msgspec.structs.replace(rules, source="x"))
    )
    assert (ran.summary.events, ran.summary.rejected) == (1, {})
    stated = read_mapping(tomllib.loads(mapping) | tomllib.loads(full) | {"connection": "x"}, "stock")
    census = census_of(io.BytesIO(content), stated, "it")
    assert census is not None
    assert (list(census.stated), census.unusable) == ([("0107", "on_hand")], 0)


async def test_a_mapping_of_another_connection_and_a_path_in_a_name_are_refused(
    database: Database, tmp_path: Path
) -> None:
    async with partner(database, tmp_path, configured=False) as one:
        for wrong in ({"mapping": MAPPING | {"connection": "other"}}, {"pattern": "../*"}, {"ready": "soon"}):
            answer = await one.configure(**wrong)
            assert (answer.status, answer.body["code"]) == (422, "connection.settings"), wrong
        assert SETTINGS["ready"] == "rename"
        await until(there(tmp_path))
        await asyncio.sleep(0)
        assert not one.folder.exists()
