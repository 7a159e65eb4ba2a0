"""Files of a connection: in a folder of its own under the data folder, appended to durably, one line after the other."""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from evenstock.connectors.contract import NotAllowed, NotSent
from evenstock.patience import is_over

FOLDER: Final = "connections"
DELIVERED: Final = "files"  # where others leave files, by the names in settings
NAME_BYTES_MAX: Final = 120  # of a folder; a longer name is shortened and told apart by its hash
BLOCK: Final = 64 * 1024


class Folder:
    """The files of one connection."""

    def __init__(self, data: Path, connection: str) -> None:
        self.path = data / FOLDER / folder_name(connection)

    async def append(self, name: str, lines: Sequence[bytes]) -> None:
        """Add whole lines; durable when it returns. What a crash left of a line is taken away first. Raises NotSent."""
        await asyncio.to_thread(self._append, name, b"".join(line + b"\n" for line in lines))

    async def holds(self, name: str, fragments: Sequence[bytes]) -> set[bytes]:
        """Which of these stand in a whole line of the file."""
        return await asyncio.to_thread(self._holds, name, fragments)

    def _append(self, name: str, text: bytes) -> None:
        with self._opened(name) as file:
            if is_over():
                raise NotSent("It is too late for this call: another may have it by now.")
            size = file.seek(0, os.SEEK_END)
            whole = _whole(file, size)
            if whole < size:
                file.truncate(whole)
            file.seek(whole)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def _holds(self, name: str, fragments: Sequence[bytes]) -> set[bytes]:
        try:
            file = (self.path / _plain(name)).open("rb")
        except FileNotFoundError:
            return set()
        with file:
            return {
                fragment
                for line in file
                if line.endswith(b"\n")
                for fragment in fragments
                if fragment in line
            }

    @contextmanager
    def _opened(self, name: str) -> Iterator[BinaryIO]:
        """The file, for us alone; when it is new, its name in the folder is durable too."""
        path = self.path / _plain(name)
        is_new = not path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        if is_new:
            for folder in (self.path, self.path.parent, self.path.parent.parent):
                _flush_folder(folder)


class Folders:
    """Which folders connections may take files from: those below `DELIVERED` in the data folder, and what the operator named."""

    def __init__(self, data: Path, allowed: Sequence[Path] = ()) -> None:
        self._own = data / DELIVERED
        self._allowed = [path.resolve() for path in allowed]

    def folder(self, name: str) -> Path:
        """The folder of this name: absolute, or below our own.

        Raises NotAllowed.
        """
        if "\0" in name:
            raise NotAllowed("The name of a folder holds no NUL.")
        path = (self._own / name).resolve()
        own = self._own.resolve()
        is_own = path != own and path.is_relative_to(own)
        if not is_own and not any(path.is_relative_to(root) for root in self._allowed):
            raise NotAllowed(
                f"Files are taken from folders in {self._own}, and not from {name}. For another: --folders-allow {name}."
            )
        return path


def folder_name(connection: str) -> str:
    """A connection's id as the name of a folder: never a path, never too long, and no two alike."""
    name = quote(connection, safe="").replace(".", "%2E")
    if len(name) <= NAME_BYTES_MAX:
        return name
    return f"{name[: NAME_BYTES_MAX - 20]}-{hashlib.sha256(connection.encode()).hexdigest()[:16]}"


def _plain(name: str) -> str:
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        raise ValueError(f"{name!r} is not the name of a file.")
    return name


def _whole(file: BinaryIO, size: int) -> int:
    """Where the last whole line ends."""
    end = size
    while end > 0:
        start = max(0, end - BLOCK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _flush_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
