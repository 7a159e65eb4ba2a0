"""Where a demo may leave things, and a demo as people start it."""

import os
import subprocess
import sys
from pathlib import Path

WITHIN_S = 60


class Place:
    """Where a demo may leave things: a home and a folder for temporary things of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.temporary = home / "t"
        self.temporary.mkdir()

    def start(self, *options: str) -> "subprocess.Popen[str]":
        environ = {
            name: value for name, value in os.environ.items() if not name.startswith(("EVENSTOCK_", "XDG_"))
        }
        environ |= {
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "EVENSTOCK_DATABASE_URL": "postgresql://nobody@nowhere/none",
        }
        return subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "evenstock", "demo", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ,
        )  # fmt: skip

    def memory_mb(self) -> float:
        """What those processes have of the memory, what they share counted once."""
        found = 0
        for line in self._processes():
            rollup = Path("/proc") / line.split()[0] / "smaps_rollup"
            try:
                found += next(
                    int(row.split()[1]) for row in rollup.read_text().splitlines() if row.startswith("Pss:")
                )
            except OSError:
                continue  # it has just ended
        return found / 1024

    def left(self) -> list[str]:
        """Files in the home, and processes that were told of it or work in it."""
        return [*(str(path) for path in self.home.rglob("*") if path != self.temporary), *self._processes()]

    def _processes(self) -> list[str]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes().decode(errors="replace")
                folder = str((process / "cwd").readlink())
            except OSError:
                continue  # it has just ended, or is not ours to see
            if str(self.home) in command or folder.startswith(str(self.home)):
                found.append(f"{process.name} {command}")
        return found


def finished(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=WITHIN_S)
    except subprocess.TimeoutExpired:
        process.terminate()
        out, err = process.communicate()
    return process.returncode, out, err
