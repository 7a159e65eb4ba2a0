"""A line through our hands, of TCP or between sockets of this machine: it can be cut, fall silent, be slow, and lose an answer that was given."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

BLOCK: Final = 65_536
LOOPBACK: Final = "127.0.0.1"
CONNECTS_WITHIN_S: Final = 2.0


class Wire:
    """Carries connections from an address of its own to one of those where it leads, in turn."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.leads_to: list[str] = []  # URLs; `unix:` and a path for a socket of this machine
        self.is_cut = False  # who is on the way is lost, and nobody gets through
        self.delay_s = 0.0  # of each block of bytes, either way
        self.lose_answers = 0  # so many of the next, after the other side has given them
        self.lost = 0
        self.port = 0
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._turn = 0
        self._travellers: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def cut(self) -> None:
        """End what is under way, and let nobody through from now on."""
        self.is_cut = True
        for writer in self._travellers:
            writer.transport.abort()

    def silence(self) -> None:
        """Connections stay, and nothing comes through."""
        self._speaks.clear()

    def heal(self) -> None:
        """Carry everything, at once."""
        self.is_cut = False
        self._speaks.set()
        self.delay_s = 0.0
        self.lose_answers = 0

    async def end(self) -> None:
        """Carry nothing any more."""
        self.cut()
        if self._carrying:
            await asyncio.wait(self._carrying)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        me = asyncio.current_task()
        assert me is not None  # noqa: S101 - we are one
        self._carrying.add(me)
        me.add_done_callback(self._carrying.discard)
        await self._carry(reader, writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = None if self.is_cut else await self._reach()
        if there is None:
            writer.transport.abort()
            return
        there_reader, there_writer = there
        both = {writer, there_writer}
        self._travellers |= both
        ways = {
            asyncio.create_task(self._pass(reader, there_writer, answers=False)),
            asyncio.create_task(self._pass(there_reader, writer, answers=True)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._travellers -= both
            for one in both:
                one.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """The next of those that answer; None when nobody does."""
        for _ in range(len(self.leads_to)):
            self._turn += 1
            at = urlsplit(self.leads_to[self._turn % len(self.leads_to)])
            try:
                async with asyncio.timeout(CONNECTS_WITHIN_S):
                    if at.scheme == "unix":
                        return await asyncio.open_unix_connection(at.path)
                    return await asyncio.open_connection(at.hostname, at.port)
            except OSError:  # nobody there, or in time
                continue
        return None

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        try:
            while data := await reader.read(BLOCK):
                if answers and self.lose_answers:
                    self.lose_answers -= 1
                    self.lost += 1
                    return
                await self._speaks.wait()
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return  # one side has gone, which is what this line is for


@asynccontextmanager
async def laid(name: str, leads_to: Sequence[str] = (), at: Path | None = None) -> AsyncIterator[Wire]:
    """A wire that listens at a port of its own, or at a socket in the file system."""
    wire = Wire(name)
    wire.leads_to = list(leads_to)
    if at is None:
        server = await asyncio.start_server(wire.carry, LOOPBACK, 0)
        wire.port = server.sockets[0].getsockname()[1]
    else:
        server = await asyncio.start_unix_server(wire.carry, at)
    try:
        yield wire
    finally:
        server.close()
        await wire.end()
