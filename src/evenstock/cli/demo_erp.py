"""The demo's ERP: a sandbox inside the demo's own process, which keeps the books of all that is sold."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import msgspec
import uvicorn

from evenstock import clock
from evenstock.address import url_of
from evenstock.connectors.erp_rest.sandbox import TOKEN, ErpSandbox
from evenstock.connectors.sandbox import application, server
from evenstock.estate.cast import BOOKS, WAREHOUSE

EVERY_S: Final = 1
CLOSED_S: Final = 2.0
SECRET: Final = {"DEMO_ERP_TOKEN": TOKEN}  # for the hub's environment


class _Quiet(uvicorn.Server):
    """Leaves signals to the demo."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Erp:
    """One ERP, at a listener of its own."""

    def __init__(self, listener: socket.socket) -> None:
        self.url = url_of(listener)
        self.sandbox = ErpSandbox(clock.now)
        self._listener = listener
        self._is_closed = False

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """It answers as long as this lasts."""
        serving = _Quiet(server(application(self.sandbox)).config)
        task = asyncio.create_task(serving.serve([self._listener]), name="the ERP")
        door = asyncio.create_task(self._keep_closed(), name="the ERP's maintenance")
        try:
            yield
        finally:
            door.cancel()
            serving.should_exit = True
            await asyncio.wait((task, door))

    def knows(self, skus: list[str]) -> None:
        """Items that its master has."""
        self.sandbox.controls["stock"]([{"item": sku, "location": WAREHOUSE, "quantity": 0} for sku in skus])

    def close(self) -> None:
        """Maintenance, from now on until somebody opens it."""
        self._is_closed = True
        self._maintain(CLOSED_S)

    def open(self) -> None:
        """Documents are taken again."""
        self._is_closed = False
        self._maintain(0.0)

    async def _keep_closed(self) -> None:
        """An ERP that is away says for how long, and nobody knows when somebody mends it: a little, again and again."""
        while True:
            if self._is_closed:
                self._maintain(CLOSED_S)
            await asyncio.sleep(CLOSED_S / 2)

    def _maintain(self, seconds: float) -> None:
        self.sandbox.controls["maintenance"]({"for_s": seconds})

    async def state(self) -> dict[str, Any]:
        """All that it remembers."""
        found: dict[str, Any] = msgspec.to_builtins(self.sandbox.state)
        return found

    def connection(self) -> dict[str, Any]:
        """As POST /v1/connections:batch takes it."""
        return {
            "id": BOOKS,
            "connector": "erp_rest",
            "settings": {"url": self.url, "token": f"env:{next(iter(SECRET))}"},
            "books": {"per": "store", "every_s": EVERY_S},
        }
