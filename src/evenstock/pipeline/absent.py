"""Items that a full file does not name: counted as none where that is configured and can be believed, else kept and shown.

What was booked of the file stands as counts of its instant, so what has no count of that instant was not in it. That holds however
often the file is read, and wherever a run of it was cut off.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from evenstock.core.events import IDENTIFIER_MAX
from evenstock.core.reading import Received, Refused, read_event
from evenstock.pipeline.apply import Result
from evenstock.pipeline.census import Census, Stated
from evenstock.postgres import exceptions, sources
from evenstock.postgres.database import Pool
from evenstock.postgres.exceptions import Cause

KEPT: Final = "file.absent_kept"
AT_ONCE: Final = 500  # counts of nothing in one batch

Submit = Callable[[Sequence[Received]], Awaitable[Sequence[Result]]]


class Absent(msgspec.Struct, frozen=True):
    """How many items a full file did not name: counted as none, or kept as they are."""

    zeroed: int = 0
    kept: int = 0


class Source(msgspec.Struct, frozen=True):
    """Whose file it is, and what people call it."""

    connection_id: int
    connection: str
    file: str


async def settle(
    pool: Pool, source: Source, census: Census, submit: Submit, now: Callable[[], datetime]
) -> Absent:
    """Look at what each location has that the file does not name, once the file is booked."""
    zeroed = kept = 0
    for stated, at in sorted(census.stated.items()):
        async with pool.acquire() as db:
            counted, absent = await sources.absent(db, *stated, at)
            held = await sources.held_at(db, source.connection_id, at)
        why = _doubt(census, len(absent), counted, held)
        if census.full.absent == "zero" and not why:
            for start in range(0, len(absent), AT_ONCE):
                skus = absent[start : start + AT_ONCE]
                await submit([_nothing(source.connection, stated, at, sku) for sku in skus])
            zeroed += len(absent)
        else:
            kept += len(absent)
        subject = f"full:{source.connection_id}:{stated[0]}:{stated[1]}"
        async with pool.acquire() as db, db.transaction():
            if census.full.absent == "zero" and absent and why:
                words = f"{source.file} does not name {len(absent):,} items that are at {stated[0]}; they are kept as they are: {why}"
                cause = Cause(KEPT, subject, words, source.connection_id)
                await exceptions.open_causes(db, [cause], now())
            else:
                await exceptions.close_causes(db, [(KEPT, subject)], now())
    return Absent(zeroed, kept)


def _doubt(census: Census, absent: int, counted: int, held: int) -> str:
    """Why what is absent is not believed to be gone; nothing where it is."""
    if census.unusable:
        return f"{census.unusable:,} of its rows could not be used, and any may be theirs."
    if held:
        return f"{held:,} of its lines wait for a person, and any may be theirs."
    if absent * 100 > census.full.absent_max * (absent + counted):
        return f"it names {counted:,}, and more than {census.full.absent_max} % would be gone. Is it whole?"
    return ""


def _nothing(connection: str, stated: Stated, at: datetime, sku: str) -> Received:
    """A count of nothing, known by what it is about."""
    location, bucket = stated
    key = f"absent/{at.isoformat()}/{location}/{bucket}/{sku}"
    if len(key) > IDENTIFIER_MAX:
        key = f"absent/{hashlib.sha256(key.encode()).hexdigest()}"
    line = {"line": "1", "item": {"sku": sku}, "bucket": bucket, "quantity": 0}
    data = {"location": location, "counted_at": at.isoformat(), "lines": [line]}
    given = {
        "specversion": "1.0",
        "id": key,
        "source": connection,
        "type": "StockCounted.v1",
        "time": at.isoformat(),
        "data": data,
    }
    read = read_event(given)
    if isinstance(read, Refused):
        raise TypeError(f"A count of nothing is refused: {read.problem.detail}")
    return read
