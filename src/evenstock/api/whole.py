"""Answers leave in one piece: a response's head waits for its body, which comes in the same turn of the loop.

uvicorn writes them apart, a system call and a packet each; on small answers that is a good part of what they cost.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD = b"HTTP/1.1 "


class WholeAnswers(HttpToolsProtocol):
    """uvicorn's protocol over a transport that joins head and body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(_Joining(transport, self.loop))  # type: ignore[arg-type]  # it acts like the transport it wraps


class _Joining:
    """A transport that keeps a head back until its body is written, or the loop turns."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(HEAD):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
