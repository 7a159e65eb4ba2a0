"""Measures service levels and business figures from stored timestamps; `core/levels` says what is promised."""

from datetime import datetime
from typing import Final

import msgspec

from evenstock.core.levels import (
    APPLY_LAG,
    EXCEPTION_OLD_S,
    FALSE_GRANTS,
    HONOURED,
    INTEGRITY,
    PUBLISH_LAG,
    RECOVERED,
    RECOVERED_WITHIN_S,
    STALE_EXCEPTIONS,
    TO_ZERO_LAG,
    TOLD_OF,
    TOLD_WITHIN_S,
    Business,
    Level,
    Share,
    Spread,
    level,
)
from evenstock.postgres.database import Connection, Record
from evenstock.postgres.queries import load
from evenstock.postgres.verify import violations

SQL: Final = load("levels")
ANY_QUANTITY: Final = 2**62


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured between two instants, and what waits now."""

    since: datetime
    until: datetime
    levels: list[Level]
    business: list[Business]
    tries: dict[str, int]  # to tell channels, by outcome


async def measure(db: Connection, since: datetime, until: datetime) -> Levels:
    """All figures over [since, until), by when we knew."""
    broken = await violations(db)
    async with db.transaction(isolation="repeatable_read", readonly=True):
        tries = {row["outcome"]: row["number"] for row in await db.fetch(SQL.outcomes, since, until)}
        return Levels(
            since=since,
            until=until,
            levels=await _levels(db, since, until, len(broken)),
            business=await _business(db, since, until),
            tries=tries,
        )


async def publish_lag(
    db: Connection, since: datetime, until: datetime, *, up_to: int = ANY_QUANTITY, channel: str | None = None
) -> Spread:
    """From the change of a number to the channel's acknowledgement; of numbers up to so many, of a channel or of all."""
    return await _spread(db, SQL.publish_lag, since, until, up_to, channel)


async def _levels(db: Connection, since: datetime, until: datetime, broken: int) -> list[Level]:
    span = (since, until)
    made = await _row(db, SQL.reservations, *span)
    ended = made["fulfilled"] + made["shorted"]
    recovered = await _row(db, SQL.recovered, *span, RECOVERED_WITHIN_S)
    dead = await _row(db, SQL.dead, *span, TOLD_WITHIN_S)
    exceptions = await _row(db, SQL.exceptions, *span, EXCEPTION_OLD_S)
    false = await _row(db, SQL.false_grants, *span)
    return [
        level("apply lag", "from receipt to the ledger", await _spread(db, SQL.apply_lag, *span), APPLY_LAG),
        level("publish lag", "from the change of a number to the channel's acknowledgement", await publish_lag(db, *span), PUBLISH_LAG),
        level("publish lag to zero", "the same, of numbers that say sold out", await publish_lag(db, *span, up_to=0), TO_ZERO_LAG),
        level("false grants", "promises of more than there was, by our fault", false["number"], FALSE_GRANTS),
        level("promises honoured", "of reservations made and shipped or shorted: shipped", Share(made["fulfilled"], ended), HONOURED),
        level("recovery", "of numbers whose telling failed: confirmed within 15 minutes", Share(recovered["recovered"], recovered["failed"]), RECOVERED),
        level("dead letters shown", "of messages given up: under an exception within 60 seconds", Share(dead["told"], dead["dead"]), TOLD_OF),
        level("old exceptions", "open for more than 24 hours, and nobody owns them", exceptions["old"], STALE_EXCEPTIONS),
        level("integrity", "invariants that do not hold now", broken, INTEGRITY),
    ]  # fmt: skip


async def _business(db: Connection, since: datetime, until: datetime) -> list[Business]:
    span = (since, until)
    made = await _row(db, SQL.reservations, *span)
    counted = await _row(db, SQL.counted, *span)
    backlog = await _row(db, SQL.backlog, until)
    exceptions = await _row(db, SQL.exceptions, *span, EXCEPTION_OLD_S)
    grants = await _row(db, SQL.grants, *span)
    failed = await _row(db, SQL.failed, *span)
    posted = await _row(db, SQL.posted, *span)

    def of(name: str, words: str, found: Spread | Share | int) -> Business:
        return Business(name=name, words=words, found=found)

    return [
        of("shop to hub", "from the sale in the shop to the ledger, offline stores included", await _spread(db, SQL.source_lag, *span)),
        of("message to event", "from a vendor's message to the fact", await _spread(db, SQL.translate_lag, *span)),
        of("promise to shipment", "from the reservation to what left for it", await _spread(db, SQL.ship_time, *span)),
        of("orders fulfilled", "of reservations made: fulfilled", Share(made["fulfilled"], made["made"])),
        of("oversold", "of reservations made: shorted", Share(made["shorted"], made["made"])),
        of("cancelled", "of reservations made: released", Share(made["released"], made["made"])),
        of("expired", "of reservations made: expired", Share(made["expired"], made["made"])),
        of("grants", "claims granted", grants["grants"]),
        of("posted", "of what is owed to the books: they have it", Share(posted["done"], posted["owed"])),
        of("ledger to books", "from a posting's making to its confirmation", await _spread(db, SQL.posting_lag, *span)),
        of("inventory accuracy", "of counted lines: the books were right", Share(counted["exact"], counted["lines"])),
        of("drift found after", "at most, since the count before", await _spread(db, SQL.drift_found, *span)),
        of("failed", "events, messages and files that could not be used", failed["number"]),
        of("exceptions opened", "causes put before a person", exceptions["opened"]),
        of("exceptions open", "now", exceptions["open"]),
        of("resolution", "from an exception's opening to its close", await _spread(db, SQL.resolution, *span)),
        of("to tell", "numbers that channels have not got yet, now", backlog["to_tell"]),
        of("to translate", "messages that wait, now", backlog["to_translate"]),
        of("held lines", "that wait for a master, now", backlog["held"]),
        of("parked", "facts that wait for another, now", backlog["parked"]),
    ]  # fmt: skip


async def _row(db: Connection, sql: str, *arguments: object) -> Record:
    row = await db.fetchrow(sql, *arguments)
    assert row is not None  # noqa: S101 - an aggregate always has one
    return row


async def _spread(db: Connection, sql: str, *arguments: object) -> Spread:
    row = await _row(db, sql, *arguments)
    quantiles = row["quantiles"]
    if quantiles is None:
        return Spread(0)
    return Spread(row["number"], *(round(float(value), 3) for value in quantiles))
