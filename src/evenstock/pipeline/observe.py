"""Looking at what systems show: some numbers every minute, what was not looked at for longest first, and all of them now and then.

A system that shows what it confirmed is left alone. One that does not is given time, for it may be a sale that is on its way to us;
then it is told once more; and then a person is: somebody else writes there, and we do not fight.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import structlog
from prometheus_client import Counter

from evenstock.connectors.contract import Connector, Failed, Level, Observed, Target
from evenstock.connectors.found import fitting
from evenstock.core.errors import Refusal
from evenstock.core.quantity import as_number
from evenstock.core.windows import opens_at
from evenstock.pipeline.expose import subject
from evenstock.pipeline.worlds import Worlds
from evenstock.postgres import exceptions, lanes, observed
from evenstock.postgres.database import Connection, Pool
from evenstock.postgres.exceptions import Cause
from evenstock.postgres.observed import Noted

SAMPLE_EVERY: Final = timedelta(minutes=1)
ASKED_EVERY: Final = timedelta(seconds=2)  # while somebody waits for a look
PASS_EVERY: Final = timedelta(hours=6)
SAMPLE_WITHIN_S: Final = 10.0
PASS_WITHIN_S: Final = 1800.0
STRAYS_MAX: Final = 3  # looks in a row; then it is a person's
OVERWRITTEN: Final = "exposure.overwritten"

SEEN = Counter("evenstock_observations", "Numbers looked at, by whether they are what was confirmed.", ["is"])
log = structlog.get_logger()


class Observer:
    """Looks at connections; any number of these share the turns."""

    def __init__(
        self,
        pool: Pool,
        connectors: Mapping[str, Connector[Any]],
        worlds: Worlds,
        now: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._connectors = connectors
        self._worlds = worlds
        self._now = now

    async def look(self) -> int:
        """Look at every connection whose turn it is; how many numbers were seen."""
        samples = [name for name, one in self._connectors.items() if one.observe is not None]
        passes = [name for name, one in self._connectors.items() if one.snapshot and one.publish]
        now = self._now()
        async with self._pool.acquire() as db:
            sooner = now - ASKED_EVERY
            sampled = await observed.take(db, samples, now, now - SAMPLE_EVERY, sooner, whole=False)
            passed = await observed.take(db, passes, now, now - PASS_EVERY, sooner, whole=True)
        looks = [self._quietly(each, self._sample, SAMPLE_WITHIN_S) for each in sampled]
        looks += [self._quietly(each, self._pass, PASS_WITHIN_S) for each in passed]
        return sum(await asyncio.gather(*looks))

    async def _quietly(self, connection_id: int, look: Callable[[lanes.Connection], Any], within_s: float) -> int:  # fmt: skip
        """A look that fails is made again at its next turn: nothing hangs on it."""
        async with self._pool.acquire() as db:
            connection = await lanes.connection(db, connection_id)
        if opens_at(connection.closed, self._now()) > self._now():
            return 0
        try:
            async with asyncio.timeout(within_s):
                return int(await look(connection))
        except (Failed, Refusal, TimeoutError) as error:
            log.warning("look.failed", connection=connection.id, error=repr(error)[:300])
        except Exception:  # a fault of the connector, logged whole
            log.exception("look.failed", connection=connection.id)
        return 0

    async def _sample(self, connection: lanes.Connection) -> int:
        connector = self._connectors[connection.connector]
        assert connector.observe is not None  # noqa: S101 - only such were taken
        settings = fitting(connector, connection.settings)
        async with self._pool.acquire() as db:
            targets = await observed.targets(db, connection.connection_id, connector.exposures_max)
        if not targets:
            return 0
        world = await self._worlds.of(connection.id, connection.settings)
        began = self._now()
        asked = [Target(each.channel, each.sku, each.code or each.sku) for each in targets]
        answers = await connector.observe(settings, world, asked)
        seen = [
            (each.channel_id, each.item_id, units(answer.quantity, each.scale))
            for each, answer in zip(targets, answers, strict=True)
            if isinstance(answer, Observed)
        ]
        return await self._note(connection, seen, began)

    async def _pass(self, connection: lanes.Connection) -> int:
        connector = self._connectors[connection.connector]
        assert connector.snapshot is not None  # noqa: S101 - only such were taken
        settings = fitting(connector, connection.settings)
        world = await self._worlds.of(connection.id, connection.settings)
        total, began = 0, self._now()
        async for levels in connector.snapshot(settings, world):  # any of it may be as old as the question
            total += await self._note(connection, await self._known(connection, levels), began)
        return total

    async def _known(
        self, connection: lanes.Connection, levels: Sequence[Level]
    ) -> list[tuple[int, int, int]]:
        ours = [level for level in levels if level.channel is not None]
        names = [(level.channel or "", level.sku, level.code) for level in ours]
        async with self._pool.acquire() as db:
            places = await observed.named(db, connection.connection_id, names)
        return [
            (channel_id, item_id, units(ours[place].quantity, scale))
            for place, (channel_id, item_id, scale) in sorted(places.items())
        ]

    async def _note(
        self, connection: lanes.Connection, seen: Sequence[tuple[int, int, int]], began: datetime
    ) -> int:
        now = self._now()
        async with self._pool.acquire() as db, db.transaction():
            noted = await observed.note(db, connection.connection_id, seen, began, now)
            await _show(db, connection, noted, now)
        for each in noted:
            SEEN.labels("another" if each.strays else "as confirmed").inc()
        return len(noted)


def units(quantity: int | Decimal, scale: int) -> int:
    """A system's number in the item's smallest unit; what is finer is cut off."""
    return int(quantity * 10**scale)


async def _show(db: Connection, connection: lanes.Connection, noted: Sequence[Noted], now: datetime) -> None:
    strays = [
        Cause(
            OVERWRITTEN,
            subject(each.channel_id, each.item_id),
            f"{connection.id} shows {as_number(each.quantity, each.scale)} of {each.sku} for {each.channel}, "
            f"and had confirmed {as_number(each.acked, each.scale)}: somebody else writes there.",
            connection.connection_id,
            each.item_id,
        )
        for each in noted
        if each.strays >= STRAYS_MAX
    ]
    await exceptions.open_causes(db, strays, now)
    settled = [subject(each.channel_id, each.item_id) for each in noted if each.strays == 0]
    await exceptions.close_causes(db, ((OVERWRITTEN, about) for about in settled), now)
