"""Why a number is what it is: its terms, what is behind them, and what the channel was told; now, and as it was."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote

from evenstock.core.availability import PositionRow
from evenstock.core.explaining import Explanation, Promise, sentence, term
from evenstock.core.exposure import Terms, explained
from evenstock.core.quantity import as_number
from evenstock.postgres import stock, told
from evenstock.postgres.database import Connection
from evenstock.postgres.stock import LocationNames, Stand
from evenstock.postgres.told import Says

_FACTS = (
    "on_hand",
    "quarantine",
    "damaged",
    "in_transit",
    "overcommitted",
)  # terms that movements are behind


async def explain(
    db: Connection,
    names: LocationNames,
    sku: str,
    channel: str | None,
    *,
    as_of: datetime | None = None,
    known_at: int | None = None,
    now: datetime,
) -> Explanation | None:
    """The explanation of what a channel should see of an item, or without one of what may be promised; None: no such item.

    Positions, claims and terms are those of that time, all in one snapshot. Raises Refusal `channel.unknown`.
    """
    is_now = as_of is None and known_at is None
    async with db.transaction(isolation="repeatable_read", readonly=True):
        if is_now:
            stand = (await stock.stands_of(db, [sku], names, now)).get(sku)
        else:
            stand = await stock.stand_then(db, sku, names, as_of=as_of, known_at=known_at, now=now)
        if stand is None:
            return None
        until = await stock.claims_seq(db, as_of, known_at)
        terms, rows = Terms(frozenset(row.location for row in stand.rows)), stand.rows
        if channel is not None:
            terms, rows = await _of_channel(db, names, channel, stand, until)
        found = explained(terms, stand.scale, rows)
        units = sum(each.units for each in found)
        says = None if channel is None else await _says(db, channel, stand, units, is_now=is_now)
        promises = await told.promises_then(
            db, sku, stand.scale, terms.locations, until, now if is_now else None
        )
    intended = as_number(units, stand.scale)
    terms_said = [
        term(each, stand.scale, _behind(each.label, promises), _link(each.label, stand)) for each in found
    ]
    exposure = None if says is None else says.exposure
    return Explanation(
        sku=sku,
        as_of=stand.as_of,
        ledger_seq=stand.ledger_seq,
        intended=intended,
        terms=terms_said,
        sentence=sentence(channel, intended, terms_said, exposure),
        channel=channel,
        exposure=exposure,
        because=None if says is None else says.because,
        trace_id=None if says is None else says.trace_id,
    )


async def _of_channel(
    db: Connection, names: LocationNames, channel: str, stand: Stand, until: int
) -> tuple[Terms, list[PositionRow]]:
    """The channel's terms then, and positions with what its own orders claim; before its first terms it sells nothing."""
    then = await told.terms_at(db, channel, names, until)
    terms = then.terms or Terms()
    if not terms.own_orders_back:
        return terms, stand.rows
    own = await told.own_then(db, stand.sku, then.channel_id, names, until)
    return terms, [
        PositionRow(
            row.location, row.buckets, row.reserved, row.allocated,
            own=min(own.get(row.location, 0), row.reserved + row.allocated),
        )
        for row in stand.rows
    ]  # fmt: skip


async def _says(db: Connection, channel: str, stand: Stand, units: int, *, is_now: bool) -> Says | None:
    if is_now:
        return (await told.exposures_of(db, channel, [stand.sku])).get(stand.sku)
    return await told.told_at(db, channel, stand.sku, units, stand.as_of)


def _behind(label: str, promises: Mapping[str, list[Promise]]) -> list[Promise]:
    return promises.get(label, [])


def _link(label: str, stand: Stand) -> str | None:
    if label not in _FACTS:
        return None
    return f"/v1/movements?sku={quote(stand.sku, safe='')}&known_at={stand.ledger_seq}"
