"""A wire between the hub and its database that can be cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec

from evenstock.postgres.database import Database
from evenstock.postgres.embedded import DOOR


class Wire:
    """Carries sessions from a socket of its own to the server's."""

    def __init__(self, folder: Path, server: Path) -> None:
        self._door = folder / DOOR
        self._server = server
        self._sessions: set[asyncio.StreamWriter] = set()
        self._listening: asyncio.Server | None = None
        self.lose_next_reply_to_commit = False
        self.replies_lost = 0

    async def connect(self) -> None:
        self._listening = await asyncio.start_unix_server(self._carry, self._door)

    async def connect_to(self, server: Path) -> None:
        """Lead to another server, as an address that moved does."""
        self._server = server
        await self.connect()

    def cut(self) -> None:
        """End every session and take no more: the database is away."""
        assert self._listening is not None
        self._listening.close()
        self._door.unlink(missing_ok=True)
        for writer in self._sessions:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(self._server)
        self._sessions |= {writer, there_writer}
        back = asyncio.create_task(copy(there_reader, writer))
        try:
            while data := await reader.read(65536):
                if self.lose_next_reply_to_commit and b"COMMIT;" in data:
                    self.lose_next_reply_to_commit = False
                    back.cancel()
                    await asyncio.wait({back})
                    there_writer.write(data)
                    await there_reader.read(1)  # it has committed; nobody will be told
                    self.replies_lost += 1
                    break
                there_writer.write(data)
                await there_writer.drain()
        except ConnectionError:
            pass
        finally:
            self._sessions -= {writer, there_writer}
            writer.transport.abort()
            there_writer.close()
            await asyncio.wait({back})


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.transport.abort()


@asynccontextmanager
async def wired(database: Database, folder: Path) -> AsyncIterator[tuple[Database, Wire]]:
    """The same database over a wire."""
    host = parse_qs(urlsplit(database.url).query)["host"][0]
    wire = Wire(folder, Path(host) / DOOR)
    await wire.connect()
    try:
        yield msgspec.structs.replace(database, url=database.url.replace(host, str(folder))), wire
    finally:
        wire.cut()


@asynccontextmanager
async def slow_line(url: str, *, latency_s: float, bytes_per_s: float) -> AsyncIterator[str]:
    """The same address over a line on which all takes its time, each way."""
    there = urlsplit(url)
    open_ends: set[asyncio.StreamWriter] = set()

    async def crawl(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(4096):
                await asyncio.sleep(latency_s + len(data) / bytes_per_s)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        writer.transport.abort()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(there.hostname, there.port)
        open_ends.update((writer, there_writer))
        await asyncio.gather(crawl(reader, there_writer), crawl(there_reader, writer))
        open_ends.difference_update((writer, there_writer))

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in open_ends:
            writer.transport.abort()
