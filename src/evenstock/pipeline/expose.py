"""What each channel should now see: computed for items that changed, written where it differs, whatever came in between.

What changed is read from the ledger's own order, from where the last look ended (D16), so nothing is marked and no fact pays for
channels. A look is one transaction under one row's lock: whoever has it computes, a process that dies leaves it undone and
the next one does it. Ten sales between two looks are one number.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from evenstock.core.availability import PositionRow
from evenstock.core.exposure import Terms, number, rank
from evenstock.postgres import confirmations, exceptions, exposures
from evenstock.postgres.database import Connection
from evenstock.postgres.exposures import ChannelTerms, ExposureKey, Intended, Look, Seen
from evenstock.postgres.stock import LocationNames

REFRESHED_MAX: Final = 500  # items of a channel computed anew in one look
TROUBLES: Final = ("exposure.rejected", "exposure.delayed")  # that end when the system has the number


async def expose(db: Connection, names: LocationNames, clock: Callable[[], datetime]) -> int:
    """Look once; return how many numbers changed. Nothing to do costs one small query."""
    if not await exposures.is_behind(db):
        return 0
    async with db.transaction():
        turn = await exposures.take_turn(db)
        return 0 if turn is None else await _look(db, names, *turn, clock())


async def _look(db: Connection, names: LocationNames, after: int, revision: int, now: datetime) -> int:
    channels, first_seq = await exposures.terms_now(db, names)
    after = max(after, first_seq - 1)  # before the first channel nobody was to be told anything
    if changed := [channel.channel_id for channel in channels if channel.ledger_seq > after]:
        await exposures.begin_refreshes(db, changed)
        await confirmations.look_again(db, changed)
    refreshed = await exposures.to_refresh(db, REFRESHED_MAX)
    seen = await exposures.look(
        db,
        after,
        sorted({item_id for _, item_id in refreshed}),
        [channel.channel_id for channel in channels if channel.terms.own_orders_back],
        {location_id for channel in channels for location_id in channel.location_ids},
    )
    if seen.terms_seq > max(channel.ledger_seq for channel in channels):
        return 0  # terms changed under the look: the next one sees them
    known = await names.read(db, set())
    before = await exposures.known(db, [item.item_id for item in seen.items])
    numbers = _changed(channels, seen, known, before)
    if numbers:
        revision += 1
        waiting = {channel.channel_id for channel in channels if channel.waits}
        if waits := [each for each in numbers if each.channel_id in waiting]:
            await confirmations.wait(db, waits, seen.ledger_seq, revision, now)
        if told := [each for each in numbers if each.channel_id not in waiting]:
            await calm(db, await exposures.intend(db, told, seen.ledger_seq, revision, now), now)
    await _refreshed(db, refreshed)
    await exposures.end_turn(db, seen.upto, revision)
    return len(numbers)


def _changed(
    channels: list[ChannelTerms],
    seen: Look,
    names: Mapping[int, str],
    before: Mapping[ExposureKey, tuple[int | None, int | None]],
) -> list[Intended]:
    """The numbers that differ from what channels were last meant to see."""
    changed = []
    for item in seen.items:
        rows = _rows(item, names)
        same: dict[
            Terms, int
        ] = {}  # numbers of channels with the same terms are the same, but for their own orders
        for channel in channels:
            key = (channel.channel_id, item.item_id)
            last = before.get(key)
            if last is None and not any(row.location in channel.terms.locations for row in rows):
                continue
            if item.own:
                units = number(channel.terms, item.scale, _with_own(item, rows, channel.channel_id))
            elif (known := same.get(channel.terms)) is not None:
                units = known
            else:
                units = same[channel.terms] = number(channel.terms, item.scale, rows)
            if last != (units, channel.connection_id):
                changed.append(
                    Intended(
                        *key,
                        channel.connection_id,
                        units,
                        item.because,
                        item.trace_id,
                        rank(units, item.scale),
                    )
                )
    return changed


def _rows(item: Seen, names: Mapping[int, str]) -> list[PositionRow]:
    if item.columns is None:
        return []
    return [
        PositionRow(names[location_id], (s, q, d, t), reserved, allocated)
        for location_id, s, q, d, t, reserved, allocated in zip(*item.columns, strict=True)
    ]


def _with_own(item: Seen, rows: list[PositionRow], channel_id: int) -> list[PositionRow]:
    """The same positions, with what a channel's own orders claim there."""
    assert item.columns is not None  # noqa: S101 - what is claimed lies somewhere
    return [
        PositionRow(
            row.location,
            row.buckets,
            row.reserved,
            row.allocated,
            own=item.own.get((channel_id, location_id), 0),
        )
        for location_id, row in zip(item.columns[0], rows, strict=True)
    ]


async def calm(db: Connection, told: list[ExposureKey], now: datetime) -> None:
    """Numbers that the system has already need nobody any more."""
    if told:
        await exceptions.close_causes(db, ((code, subject(*key)) for code in TROUBLES for key in told), now)


def subject(channel_id: int, item_id: int) -> str:
    """What an exception about an exposure is about."""
    return f"exposure:{channel_id}:{item_id}"


async def _refreshed(db: Connection, done: list[ExposureKey]) -> None:
    """Go on behind the last item; a channel of which nothing is left is done."""
    last: dict[int, list[int]] = {}
    for channel_id, item_id in done:
        last.setdefault(channel_id, []).append(item_id)
    for channel_id in await exposures.refreshing(db):
        items = last.get(channel_id, [])
        if len(items) < REFRESHED_MAX:
            await exposures.end_refresh(db, channel_id)
        else:
            await exposures.advance_refresh(db, channel_id, items[-1])
