"""The lane of promises as a task: it ends when it is told to, whatever it is doing."""

import asyncio

from evenstock import clock
from evenstock.pipeline.promiser import Promiser
from evenstock.postgres.database import Database
from evenstock.postgres.stock import LocationNames

STOP_WITHIN_S = 10.0


async def test_it_stops_in_the_middle_of_a_sweep(database: Database) -> None:
    """It sweeps all the time, so it is told to stop while it does; once that word was lost and it waited for ever."""
    for turns in range(0, 400, 10):
        promiser = Promiser(database, LocationNames(), clock.now, sweep_every_s=0.0)
        await promiser.start()
        for _ in range(turns):  # of the loop, so that the word meets every part of a sweep
            await asyncio.sleep(0)
        async with asyncio.timeout(STOP_WITHIN_S):
            await promiser.stop()
        assert not promiser.is_running
