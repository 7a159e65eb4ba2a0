"""Streams of changes: read once for all who follow, handed to each by itself; who cannot keep up is cut, and resumes.

A follower that comes back names the last change it saw. What came after it is read for it alone, as the newest state of each
item; then it follows live.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

import structlog
from prometheus_client import Gauge

from evenstock.core.errors import MEANINGS, Refusal
from evenstock.postgres import faults
from evenstock.postgres.database import Pool
from evenstock.postgres.feeds import Change, Place, Source, place_id, place_of

POLL_S: Final = 0.1
AGAIN_S: Final = 1.0  # after a fault of the database
HEARTBEAT_S: Final = 15.0
WAITING_MAX: Final = 2_000  # changes kept for one that reads slowly
FOLLOWERS_MAX: Final = 500  # of one feed, in one process
RETRY_MS: Final = 2_000  # before a cut follower comes back

FOLLOWERS = Gauge("evenstock_stream_followers", "Who follows a stream now.", ["kind"])

log = structlog.get_logger()


class Follower:
    """One who follows: what it wants, and what waits for it."""

    def __init__(self, channel: str | None, sku: str | None) -> None:
        self.channel = channel
        self.sku = sku
        self.waiting: deque[Change] = deque()
        self.woken = asyncio.Event()
        self.is_cut = False
        self.is_over = False

    def offer(self, change: Change) -> None:
        """Keep a change for it, if it is one that it wants."""
        if (self.channel is not None and change.channel != self.channel) or (
            self.sku is not None and change.sku != self.sku
        ):
            return
        if len(self.waiting) >= WAITING_MAX:
            self.is_cut = True
            self.waiting.clear()
        if not self.is_cut:
            self.waiting.append(change)
        self.woken.set()


class Feed:
    """The changes of one source, for all who follow in this process. Reads nothing while nobody does."""

    def __init__(self, pool: Pool, source: Source, *, poll_s: float = POLL_S) -> None:
        self._pool = pool
        self._source = source
        self._poll_s = poll_s
        self._followers: set[Follower] = set()
        self._place: Place = (0, 0, 0)
        self._task: asyncio.Task[None] | None = None
        self._joining = asyncio.Lock()
        self._is_closed = False

    def close(self) -> None:
        """End all streams; whoever follows comes back to another process."""
        self._is_closed = True
        for follower in self._followers:
            follower.is_over = True
            follower.woken.set()
        if self._task is not None:
            self._task.cancel()

    async def follow(
        self, channel: str | None, sku: str | None, last: str | None, *, heartbeat_s: float = HEARTBEAT_S
    ) -> AsyncIterator[bytes]:
        """Server-sent events, for ever: what came after `last`, then what comes.

        Raises Refusal `limit.streams`, `hub.stopping`.
        """
        if self._is_closed:
            raise Refusal("hub.stopping", "The hub is stopping and takes nothing more.")
        if len(self._followers) >= FOLLOWERS_MAX:
            raise Refusal("limit.streams", f"{FOLLOWERS_MAX} streams are open here.")
        follower = Follower(channel, sku)
        upto = await self._join(follower)
        return self._events(follower, last, upto, heartbeat_s)

    async def _join(self, follower: Follower) -> Place:
        """From here on changes are kept for it; the place from which on they are."""
        async with self._joining:
            if self._task is None:
                async with self._pool.acquire() as db:
                    self._place = await self._source.head(db)
                self._task = asyncio.create_task(self._run(), name="feed")
            self._followers.add(follower)
        FOLLOWERS.labels(self._source.kind).set(len(self._followers))
        return self._place

    async def _run(self) -> None:
        while True:
            try:
                async with self._pool.acquire() as db:
                    head = await self._source.head(db)
                    if not self._source.reaches(self._place, head):
                        self._cut_all(head)
                    while self._place < head:
                        changes, self._place = await self._source.page(db, self._place, head, None, None)
                        for follower in self._followers:
                            for change in changes:
                                follower.offer(change)
            except faults.ANY as error:
                log.warning("feed.failed", error=repr(error)[:300])
                await asyncio.sleep(AGAIN_S)
            await asyncio.sleep(self._poll_s)
            async with self._joining:
                if not self._followers:
                    self._task = None
                    return

    def _cut_all(self, head: Place) -> None:
        """The database went back in time, or far ahead: whoever follows comes back, and is told to ask for all."""
        for follower in self._followers:
            follower.is_over = True
            follower.woken.set()
        self._place = head

    async def _events(
        self, follower: Follower, last: str | None, upto: Place, heartbeat_s: float
    ) -> AsyncIterator[bytes]:
        try:
            after = upto if last is None else place_of(self._source.kind, last)
            if after is None or not self._source.reaches(after, upto):
                yield _event(
                    "reset",
                    b'{"detail":"What came since cannot be told. Ask for all, then follow from here."}',
                )
                after = upto
            yield f"retry: {RETRY_MS}\nid: {place_id(self._source.kind, after)}\n\n".encode()
            while after < upto:
                async with self._pool.acquire() as db:
                    missed, after = await self._source.page(db, after, upto, follower.channel, follower.sku)
                for change in missed:
                    yield self._said(change)
            async for text in self._live(follower, heartbeat_s):
                yield text
        finally:
            self._followers.discard(follower)
            FOLLOWERS.labels(self._source.kind).set(len(self._followers))

    async def _live(self, follower: Follower, heartbeat_s: float) -> AsyncIterator[bytes]:
        while not follower.is_over:
            follower.woken.clear()
            if follower.is_cut:
                meaning = MEANINGS["limit.slow_reader"]
                yield _event("cut", f'{{"code":"{meaning.code}","detail":"{meaning.action}"}}'.encode())
                return
            if follower.waiting:
                said = [self._said(follower.waiting.popleft()) for _ in range(len(follower.waiting))]
                yield b"".join(said)
                continue
            try:
                async with asyncio.timeout(heartbeat_s):
                    await follower.woken.wait()
            except TimeoutError:
                yield b": nothing changed\n" + _event("heartbeat", b"{}")

    def _said(self, change: Change) -> bytes:
        return b"id: %s\n" % place_id(self._source.kind, change.place).encode() + _event(
            "availability.changed", change.document
        )


def _event(name: str, document: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), document)
