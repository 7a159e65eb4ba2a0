"""Kill -9 of a server and of its database, and what is needed to see what came of it."""

import asyncio
import os
import signal
import socket
from contextlib import closing
from pathlib import Path

import aiohttp

from doors.door import Door

AWAY = (aiohttp.ClientError, ConnectionError, TimeoutError)


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def processes_of(postmaster: int) -> list[int]:
    """The server and everything it started."""
    found = [postmaster]
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == postmaster:
            found.append(int(status.parent.name))
    return found


def kill_database(data: Path) -> None:
    postmaster = int((data / "postgres/postmaster.pid").read_text().split()[0])
    for process in processes_of(postmaster):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue


def stop_database(data: Path) -> None:
    """A fast shutdown: sessions are ended in the middle of what they do, nothing is left to recover."""
    postmaster = int((data / "postgres/postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGINT)


async def ready(door: Door) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if (await door.get("/readyz")).status == 200:
                    return
            except AWAY:
                await asyncio.to_thread(os.sched_yield)
