"""A road from a shop to its hub: it can be closed, lead elsewhere, and lose an answer on its way back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from doors.proxy import copy


class Road:
    """Carries connections from an address of its own to wherever it leads."""

    def __init__(self, hub: str | None) -> None:
        self.hub = hub  # None: closed
        self.lose_answers = 0  # so many of the next, after the hub has sent them
        self.lost = 0
        self.url = ""
        self._travellers: set[asyncio.StreamWriter] = set()

    def lead(self, hub: str | None) -> None:
        """Lead there from now on, or nowhere; who is on the way is lost."""
        self.hub = hub
        for writer in self._travellers:
            writer.transport.abort()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.hub is None:
            writer.transport.abort()
            return
        at = urlsplit(self.hub)
        there_reader, there_writer = await asyncio.open_connection(at.hostname, at.port)
        self._travellers |= {writer, there_writer}
        out = asyncio.create_task(copy(reader, there_writer))
        try:
            while data := await there_reader.read(65536):
                if self.lose_answers and b'"results"' in data:
                    self.lose_answers -= 1
                    self.lost += 1
                    break
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            self._travellers -= {writer, there_writer}
            writer.transport.abort()
            there_writer.transport.abort()
            await asyncio.wait({out})


@asynccontextmanager
async def road(hub: str | None) -> AsyncIterator[Road]:
    found = Road(hub)
    server = await asyncio.start_server(found.carry, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
        found.lead(None)
