"""The store agent put together: store → keeper → door, folder and forwarder, until it is told to stop."""

import asyncio
import fcntl
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import structlog
from aiohttp import web

from evenstock.address import url_of
from evenstock.edge.door import BODY_WITHIN_S, STOP_WITHIN_S, Door
from evenstock.edge.folder import QUARANTINE, Folder
from evenstock.edge.forward import Forwarder
from evenstock.edge.keeper import Keeper
from evenstock.edge.line import Line
from evenstock.edge.offset import Offsets
from evenstock.edge.opening import open_store
from evenstock.edge.report import LOCK, Report, report
from evenstock.edge.store import FORGET_AT_ONCE, REJECTED_KEPT, Limits

KEEP_HOUSE_EVERY_S: Final = 600.0
IDLE_S: Final = 75.0  # of a till's connection between two tickets
CONNECTIONS_WAITING_MAX: Final = 128

log = structlog.get_logger()


class FolderTaken(Exception):  # noqa: N818 - it names what is wrong
    """The folder cannot be used, or another agent has it; the message says so, and what to do."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent is to do, all of it checked."""

    data: Path
    hub: str
    key: str | Path  # or the file that holds it, read anew for each request
    name: str
    local_key: str | None
    folder: Path | None
    limits: Limits
    keep: timedelta
    body_within_s: float = BODY_WITHIN_S


class World(msgspec.Struct, frozen=True):
    """What is not the agent's own: the time, and chance."""

    now: Callable[[], datetime]
    chance: Callable[[], float]  # in [0, 1)
    token: Callable[[], str] = lambda: secrets.token_hex(4)


@contextmanager
def claimed(data: Path) -> Iterator[None]:
    """The folder, for one agent at a time.

    Raises FolderTaken.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise FolderTaken(
            f"The folder {data} cannot be used: {(error.strerror or str(error)).lower()}. Choose another: --data DIR."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise FolderTaken(
            f"Another agent runs on {data}. Stop it first, or give this one a folder of its own: --data DIR."
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


@asynccontextmanager
async def running(plan: Plan, world: World, listener: socket.socket) -> AsyncIterator[Keeper]:
    """An agent at work; on the way out it answers what it was asked, and finishes the request it has under way.

    Raises OSError where the store cannot be opened.
    """
    store = await asyncio.to_thread(open_store, plan.data, plan.limits, world.now(), world.token)
    keeper = Keeper(store, Offsets(), world.now)
    folder = None if plan.folder is None else Folder(plan.folder, keeper)
    try:
        async with Line.to(plan.hub, plan.key, plan.name) as line:
            forwarder = Forwarder(keeper, line, world.chance)
            door = Door(keeper, lambda: look(plan), plan.local_key, body_within_s=plan.body_within_s)
            async with _listening(door, listener):
                forwarding = asyncio.create_task(forwarder.run())
                others = [asyncio.create_task(_keep_house(plan, keeper, folder))]
                if folder is not None:
                    others.append(asyncio.create_task(folder.run()))
                try:
                    yield keeper
                finally:
                    await _ended(forwarder, forwarding, others)
    finally:
        await asyncio.to_thread(keeper.close)


def look(plan: Plan) -> Report:
    """How this agent stands."""
    return report(plan.data, None if plan.folder is None else plan.folder / QUARANTINE)


@asynccontextmanager
async def _listening(door: Door, listener: socket.socket) -> AsyncIterator[None]:
    runner = web.AppRunner(
        door.app(),
        handle_signals=False,
        access_log=None,
        keepalive_timeout=IDLE_S,
        auto_decompress=False,
        shutdown_timeout=STOP_WITHIN_S,
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listener, backlog=CONNECTIONS_WAITING_MAX).start()
        yield
    finally:
        await runner.cleanup()


async def _ended(
    forwarder: Forwarder, forwarding: "asyncio.Task[None]", others: list["asyncio.Task[None]"]
) -> None:
    forwarder.stop()
    for task in others:
        task.cancel()
    _, late = await asyncio.wait([forwarding, *others], timeout=STOP_WITHIN_S)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)


async def _keep_house(plan: Plan, keeper: Keeper, folder: Folder | None) -> None:
    """Signs of life, and what was kept for proof long enough goes."""
    while True:
        now = keeper.now()
        try:
            await keeper.do(keeper.store.live, now)
            forgotten = FORGET_AT_ONCE
            while forgotten == FORGET_AT_ONCE:
                forgotten = await keeper.do(keeper.store.forget, now - plan.keep, now - REJECTED_KEPT)
            if folder is not None:
                await asyncio.to_thread(folder.forget, now - plan.keep)
        except Exception as error:
            log.warning("house.not_kept", exc_info=error)
        await asyncio.sleep(KEEP_HOUSE_EVERY_S)


async def run(plan: Plan, world: World, listener: socket.socket, say: Callable[[str], None]) -> None:
    """Run until SIGTERM or SIGINT; then leave cleanly."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    async with running(plan, world, listener) as keeper:
        say(f"{keeper.store.waiting:,} events wait for {plan.hub}")
        say(f"listening on {url_of(listener)}")
        await told.wait()
