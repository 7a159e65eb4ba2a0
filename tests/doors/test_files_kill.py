"""kill -9 in the middle of a file, and of one file after another: nothing is lost, nothing is booked twice."""

import json
import signal
from pathlib import Path

from doors.delivered import SETTINGS, Partner, archived, sales
from doors.door import Process, evenstock, knocking, until
from doors.killing import free_port, ready

FILES = 2
ROWS = 3_000  # of each
KILLS = 2


async def test_a_file_whose_reader_is_killed_again_and_again_is_booked_once_and_whole(data: Path) -> None:
    serve = ("--data", str(data), "--port", str(free_port()), "--log-level", "error")
    process = await Process.start(*serve)
    _, made, _ = await evenstock(
        "keys", "create", "--name", "all", "--scope", "*", "--json", "--data", str(data)
    )
    async with knocking(process.url, json.loads(made)["key"]) as door:
        await door.know("A")
        one = Partner(door, data / "files" / "pos")
        for number in range(FILES):
            one.leave(f"{number}.csv", sales(*(f"T-{number}-{row}" for row in range(ROWS))))
        assert (await one.configure(**SETTINGS)).status == 200
        killed_within = 0
        for _ in range(KILLS):
            before = await one.units()

            async def goes_on(before: int = before) -> bool:
                return bool(await one.units() < before)

            await until(goes_on)
            killed_within += bool(list((one.folder / "working").glob("*.csv")))
            await process.end(signal.SIGKILL)
            process = await Process.start(*serve)
            await ready(door)
        found = await one.ended(*(f"{number}.csv" for number in range(FILES)))
        assert killed_within == KILLS, "each time a file was being read"
        assert await one.units() == -FILES * ROWS
        assert {file["status"] for file in found.values()} == {"done"}
        assert any(file["outcomes"].get("resumed_after") for file in found.values()), (
            "one went on in its middle"
        )
        for number in range(FILES):
            assert len(archived(one.folder, f"{number}.csv")) == 1
    assert await process.end() == 0
    code, said, _ = await evenstock("verify", "--data", str(data))
    assert code == 0, said
