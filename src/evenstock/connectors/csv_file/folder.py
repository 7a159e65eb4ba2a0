"""A shelf that is a folder of this machine, or one that is mounted here."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from stat import S_ISREG

from evenstock.connectors.contract import FileSeen, NotAllowed, World, Writing
from evenstock.connectors.csv_file.settings import Settings


@asynccontextmanager
async def opened(settings: Settings, world: World) -> AsyncIterator["FolderShelf"]:
    """The folder of these settings; made where it is not.

    Raises NotAllowed, OSError.
    """
    if world.folder is None:
        raise NotAllowed("Files are taken by a hub with a data folder only.")
    path = world.folder(settings.folder)
    await asyncio.to_thread(path.mkdir, parents=True, exist_ok=True)
    yield FolderShelf(path)


class FolderShelf:
    """Files by the calls of the operating system, in a thread: a folder may be mounted from far away."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def prepare(self, folders: Sequence[str]) -> None:
        await asyncio.to_thread(self._prepare, folders)

    def _prepare(self, folders: Sequence[str]) -> None:
        for folder in folders:
            (self._path / folder).mkdir(parents=True, exist_ok=True)

    async def seen(self, folder: str = "") -> list[FileSeen]:
        return await asyncio.to_thread(self._seen, folder)

    def _seen(self, folder: str) -> list[FileSeen]:
        found = []
        with os.scandir(self._path / folder) as entries:
            for entry in entries:
                try:
                    about = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # gone while we looked
                if S_ISREG(about.st_mode):
                    found.append(FileSeen(entry.name, about.st_size, about.st_mtime))
        return found

    async def fetch(self, folder: str, name: str, to: Writing) -> None:
        await asyncio.to_thread(self._fetch, folder, name, to)

    def _fetch(self, folder: str, name: str, to: Writing) -> None:
        handle = os.open(self._path / folder / name, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(handle, "rb") as file:
            shutil.copyfileobj(file, to)

    async def move(self, folder: str, name: str, to_folder: str, to_name: str) -> None:
        await asyncio.to_thread((self._path / folder / name).rename, self._path / to_folder / to_name)

    async def put(self, folder: str, name: str, content: bytes) -> None:
        await asyncio.to_thread(self._put, folder, name, content)

    def _put(self, folder: str, name: str, content: bytes) -> None:
        path = self._path / folder / name
        unfinished = path.with_name(f".{name}.part")
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)

    async def remove(self, folder: str, name: str) -> None:
        await asyncio.to_thread((self._path / folder / name).unlink, missing_ok=True)
