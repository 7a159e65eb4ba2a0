"""Releases what waits for the books: a number is told once its channel's books acknowledged every movement behind it (D7).

A number is that of one moment of the ledger, so it goes out whole: promises are not in the books and are not waited for, but one that
was made after a movement waits with it. Of the numbers that wait, the newest that nothing blocks is released, so that an item that is
always selling is told too, as far as its books have come. A look is one transaction under the row of `expose`.
"""

from collections.abc import Callable
from datetime import datetime
from itertools import groupby
from typing import Final

from evenstock.pipeline.expose import calm
from evenstock.postgres import confirmations, exposures
from evenstock.postgres.confirmations import Released
from evenstock.postgres.database import Connection

RELEASED_MAX: Final = 500  # channels and items of one look


async def confirm(db: Connection, clock: Callable[[], datetime]) -> int:
    """Look once; return how many numbers were released. Nothing that waits costs one small query."""
    if not await confirmations.are_waiting(db):
        return 0
    async with db.transaction():
        turn = await exposures.take_turn(db)
        return 0 if turn is None else await _look(db, *turn, clock())


async def _look(db: Connection, ledger_seq: int, revision: int, now: datetime) -> int:
    keys = await confirmations.to_look_at(db, RELEASED_MAX)
    if not keys:
        return 0
    blocks = await confirmations.blocked(db, keys)
    found = await confirmations.released(db, blocks)
    new = [each for each in found if not each.is_told]
    for (seq, computed_at), each in groupby(new, _moment):
        numbers = [one.number for one in each]
        await calm(db, await exposures.intend(db, numbers, seq, revision + 1, computed_at), now)
    await confirmations.settle(db, blocks, found)
    if new:
        await exposures.end_turn(db, ledger_seq, revision + 1)
    return len(new)


def _moment(each: Released) -> tuple[int, datetime]:
    return each.ledger_seq, each.computed_at
