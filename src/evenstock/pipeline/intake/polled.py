"""Systems that are asked what changed: page by page, each kept in one transaction with the place to go on from.

    read the place → ask for a page → keep its messages and move the place → COMMIT

So a place is never ahead of what is durable, and a page that comes again, after a crash or in the overlap of the next pass, is known
by its content, and its facts by their keys.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from evenstock.connectors.contract import (
    Arrived,
    Failed,
    Polled,
    Question,
    Rejected,
    RetryLater,
    Stream,
    World,
)
from evenstock.core import polling
from evenstock.core.pacing import gap_s
from evenstock.core.polling import Place
from evenstock.core.retry import ASKED_MAX_S
from evenstock.core.windows import opens_at
from evenstock.pipeline.connections import Connection
from evenstock.pipeline.inbox import Inbox, fetched
from evenstock.postgres import inbox, polls
from evenstock.postgres.database import Pool
from evenstock.postgres.lanes import CLOCKS_APART
from evenstock.postgres.polls import Overtaken, Stand, Terms

ASK_WITHIN_S: Final = 60.0  # a question that takes longer is cut off
LOOK_EVERY_S: Final = 0.5  # for streams whose turn it is, and connections that opened or were resumed
MESSAGES_MAX: Final = 10_000  # of one page

log = structlog.get_logger()


class Overfull(Exception):  # noqa: N818 - it names what happened
    """A page holds more messages than are kept at once: the connector asks for too much."""


class Poller:
    """Asks one connection, stream by stream, until cancelled."""

    def __init__(
        self,
        pool: Pool,
        keep: Inbox,
        connection: Connection,
        streams: Sequence[Stream],
        now: Callable[[], datetime],
        answered: Callable[[], Any],
    ) -> None:
        self._pool = pool
        self._inbox = keep
        self._connection = connection
        self._streams = streams
        self._now = now
        self._answered = answered
        self._named: dict[str, set[str]] = {stream.name: set() for stream in streams}
        self._stands: dict[str, Stand] = {}  # where streams stand, as long as we know
        self._quiet_until: dict[str, datetime] = {}  # streams for which the system asked us to wait

    async def run(self, world: World) -> None:
        """Ask for each stream when its turn comes. Raises what ends it, as `round` does."""
        while True:
            await self.round(world)
            await asyncio.sleep(LOOK_EVERY_S)

    async def round(self, world: World) -> None:
        """Ask for each stream whose turn it is, to its end.

        Raises the first Failed or TimeoutError, once every stream had its turn; what else the connector or the database raise.
        """
        failed: Exception | None = None
        for stream in self._streams:
            try:
                await self._pass(world, stream)
            except (Failed, TimeoutError) as error:
                failed = failed or error
        if failed is not None:
            raise failed

    async def _pass(self, world: World, stream: Stream) -> None:
        """Ask for a stream to its end, if it is its turn."""
        number, now = self._connection.connection_id, self._now()
        stand = self._stands.get(stream.name)
        if stand is None:
            async with self._pool.acquire() as db:
                stand = await polls.stand(db, number, stream.name, stream.begins or now, now)
            self._stands[stream.name] = stand
        while self._is_due(stream, stand):
            async with self._pool.acquire() as db:
                terms = await polls.terms(db, number)
            if not terms.is_asked or opens_at(terms.closed, self._now()) > self._now():
                return
            del self._stands[stream.name]  # whatever comes of it, unless it is said below
            moved = await self._page(world, stream, stand)
            if moved is None:  # another has the connection now, or we are to wait
                return
            self._stands[stream.name] = moved
            await self._answered()
            await _rest(terms)
            if moved.place.since is None:
                return
            stand = moved

    def _is_due(self, stream: Stream, stand: Stand) -> bool:
        now = self._now()
        if now < self._quiet_until.get(stream.name, now):
            return False
        is_under_way = stand.place.since is not None
        every = timedelta(seconds=stream.every_s)
        if is_under_way or stand.passed_at is None:
            return True
        return now >= stand.passed_at + every or now < stand.passed_at - CLOCKS_APART  # our clock went back

    async def _page(self, world: World, stream: Stream, stand: Stand) -> Stand | None:
        """Ask for one page and keep it; where the stream stands then, None when somebody else moved it."""
        overlap = timedelta(seconds=stream.overlap_s)
        place = polling.begun(stand.place, overlap)
        assert place.since is not None  # noqa: S101 - a pass is under way
        try:
            polled = await self._asked(world, stream, Question(stream.name, place.since, place.after))
        except Failed as failed:
            match failed.outcome:
                case RetryLater(after_s=float(after_s)):  # it is there, and said when
                    wait = timedelta(seconds=min(after_s, ASKED_MAX_S))
                    self._quiet_until[stream.name] = self._now() + wait
                    return None
                case Rejected() if place.after is not None:
                    await self._move(stream, stand, polling.given_up(place), ())
            raise
        after = polling.moved(place, polled.mark, polled.after, self._now())
        named = self._named[stream.name]
        if why := polling.trouble(after, overlap, named):
            await self._move(stream, stand, polling.given_up(after), polled.arrived)
            raise Failed(Rejected(f"{stream.name}: {WHY[why]}"))
        if after.after is not None and polling.is_long(after):
            after = polling.given_up(after)
            log.warning("poll.long", connection=self._connection.id, stream=stream.name, mark=after.mark)
            return await self._move(stream, stand, after, polled.arrived, passed=False)
        if after.after is not None:
            named.add(after.after)
        return await self._move(stream, stand, after, polled.arrived, passed=after.after is None)

    async def _asked(self, world: World, stream: Stream, question: Question) -> Polled:
        connector = self._connection.connector
        assert connector is not None  # noqa: S101 - else nothing is asked
        assert connector.poll is not None  # noqa: S101
        async with asyncio.timeout(ASK_WITHIN_S):
            polled = await connector.poll(self._connection.settings, world, question)
        if len(polled.arrived) > MESSAGES_MAX:
            raise Overfull(
                f"{stream.name}: {len(polled.arrived):,} messages in one page; at most {MESSAGES_MAX:,}."
            )
        if polled.after is not None and not 0 < len(polled.after) <= polling.AFTER_MAX:
            words = f"{stream.name}: the name of its next page has {len(polled.after):,} characters."
            raise Failed(Rejected(words))
        return polled

    async def _move(
        self, stream: Stream, stand: Stand, place: Place, arrived: Sequence[Arrived], *, passed: bool = False
    ) -> Stand | None:
        """Keep what a page brought and move the stream on: both or neither."""
        connection, now = self._connection, self._now()
        arrivals = [fetched(connection, each, now) for each in arrived]
        try:
            async with self._pool.acquire() as db, db.transaction():
                await inbox.keep(db, arrivals)
                number = connection.connection_id
                found = await polls.move(db, number, stream.name, stand, place, now, passed=passed)
        except Overtaken:
            log.warning("poll.overtaken", connection=connection.id, stream=stream.name)
            return None
        if place.after is None:
            self._named[stream.name].clear()
        if arrivals:
            self._inbox.look()
        return found


WHY: Final = {
    "repeats": "its pages come again and again; what they brought is kept, and the next pass begins from there.",
    "endless": f"its answer has more than {polling.PAGES_MAX:,} pages and gets nowhere.",
}


async def _rest(terms: Terms) -> None:
    """Between two questions, as long as the operator says."""
    await asyncio.sleep(gap_s(None, terms.calls_per_s))
