"""A batch of commands about reservations becomes claims, all in one transaction, in the order of their arrival (K7).

    resolve (masters) → lock positions, then reservations → decide (the desk, pure) → number and write → answers

Nothing that is read before the locks is believed after them. What turns out to need other positions, or was made by another
process first, ends in `Again`: the batch is rolled back and done with what was learnt.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from evenstock.core.booking import PositionKey
from evenstock.core.channels import Terms
from evenstock.core.errors import Problem, Refusal
from evenstock.core.events import ItemRef
from evenstock.core.masters import Masters
from evenstock.core.quantity import Quantity, as_number, units
from evenstock.core.reservations import (
    Allocate,
    Answer,
    Asked,
    ClaimBook,
    Command,
    Confirm,
    Desk,
    Expire,
    Identity,
    Locked,
    Refused,
    Release,
    RequestKey,
    Reserve,
    Short,
    Unforeseen,
    candidates,
)
from evenstock.pipeline.alarms import alarm_causes
from evenstock.pipeline.apply import ATTEMPTS_MAX, Memory
from evenstock.pipeline.draft import MissingPositions
from evenstock.postgres import channels, exceptions, promises
from evenstock.postgres import masters as stored_masters
from evenstock.postgres.database import Connection
from evenstock.postgres.stock import LocationNames

IDS_AT_ONCE: Final = 256


class WantedLine(msgspec.Struct, frozen=True):
    """A line as its caller names it."""

    line: str
    item: ItemRef
    quantity: Quantity
    uom: str | None = None
    pickup_at: str | None = None


class WantReserve(msgspec.Struct, frozen=True, kw_only=True):
    """Promise these lines, to this order or under this request's key."""

    connection_id: int
    channel: str | None
    order_ref: str | None
    lines: tuple[WantedLine, ...]
    all_or_nothing: bool = True
    is_promised: bool = False  # by somebody else, to a customer
    expires_in: timedelta | None = None
    request: RequestKey | None = None
    digest: bytes = b""
    trace_id: str | None = None


class WantAllocate(msgspec.Struct, frozen=True):
    reservation_id: int
    location: str | None = None


Wanted = WantReserve | Confirm | WantAllocate | Release | Expire


class Alternative(msgspec.Struct, frozen=True):
    """Where units of a line could be promised, and how many."""

    line: str
    sku: str
    location: str
    available: int | Decimal


class No(msgspec.Struct, frozen=True):
    """A command that was not done, and what could be done instead."""

    problem: Problem
    alternatives: tuple[Alternative, ...] = ()


class Again(Exception):  # noqa: N818 - not an error: the batch is done again
    """The world is not as it looked before the locks."""


class Learnt(msgspec.Struct):
    """What attempts taught about a batch: what else must be locked, and what must be ended first because its time is over."""

    spots: set[PositionKey] = set()
    identities: set[Identity] = set()
    ids: set[int] = set()
    due: set[int] = set()

    def add(self, unforeseen: Unforeseen) -> None:
        self.spots |= unforeseen.spots
        self.identities |= unforeseen.identities
        self.ids |= unforeseen.ids


class Promising:
    """What a lane of promises remembers between batches."""

    def __init__(self, memory: Memory, names: LocationNames) -> None:
        self.memory = memory
        self.names = names
        self._ids: list[int] = []

    async def ids(self, db: Connection, number: int) -> list[int]:
        """Numbers for reservations; those of refused ones are not used again."""
        if len(self._ids) < number:
            self._ids += await promises.new_ids(db, max(number, IDS_AT_ONCE))
        taken, self._ids = self._ids[:number], self._ids[number:]
        return taken


async def promise(
    db: Connection, memory: Promising, wanted: Sequence[Wanted], clock: Callable[[], datetime]
) -> list[Answer | No]:
    """Do commands in one transaction, in their order, and answer each.

    Raises what the database raises; then nothing of the batch was done.
    """
    if memory.memory.masters.version < 0:
        await memory.memory.refresh(db)
    learnt = Learnt()
    for _ in range(ATTEMPTS_MAX):
        masters = memory.memory.masters
        resolved = await _resolve(db, memory, masters, wanted)
        try:
            return await _attempt(db, memory, masters.version, resolved, learnt, clock)
        except Again:
            continue
        except MissingPositions as missing:
            await memory.memory.make_positions(db, missing.keys)
    raise RuntimeError(f"the world changed {ATTEMPTS_MAX} times under one batch of promises")


async def sweep(db: Connection, memory: Promising, clock: Callable[[], datetime]) -> int:
    """End what is over its time; return how many were due. What is due is due without this: it only tidies up."""
    async with db.transaction():
        if not await promises.try_sweeping(db):
            return 0
        found = await promises.due(db, clock())
    if found:
        await promise(db, memory, [Expire(reservation_id) for reservation_id in found], clock)
    return len(found)


# Resolve -------------------------------------------------------------------------------------------------------------


async def _resolve(
    db: Connection, memory: Promising, masters: Masters, wanted: Sequence[Wanted]
) -> list[Command | No]:
    """Names become numbers; what names something that is not there is answered without a transaction."""
    reserves = [entry for entry in wanted if isinstance(entry, WantReserve)]
    refs = [(entry.connection_id, line.item) for entry in reserves for line in entry.lines]
    places = [line.pickup_at for entry in reserves for line in entry.lines if line.pickup_at is not None]
    places += [entry.location for entry in wanted if isinstance(entry, WantAllocate) and entry.location]
    await stored_masters.read_missing(db, masters, refs, places)
    await channels.read_missing(
        db, masters, (entry.channel for entry in reserves if entry.channel is not None)
    )
    ids = iter(await memory.ids(db, len(reserves)))
    resolved: list[Command | No] = []
    for entry in wanted:
        try:
            resolved.append(_resolved(entry, masters, ids))
        except Refusal as refusal:
            resolved.append(No(refusal.problem))
    return resolved


def _resolved(entry: Wanted, masters: Masters, ids: Iterable[int]) -> Command:
    if isinstance(entry, WantReserve):
        return _reserve(entry, masters, next(iter(ids)))
    if isinstance(entry, WantAllocate):
        if entry.location is None:
            return Allocate(entry.reservation_id)
        return Allocate(entry.reservation_id, _location(masters, entry.location, "/location"))
    return entry


def _location(masters: Masters, name: str, pointer: str) -> int:
    found = masters.locations.get(name)
    if found is None:
        raise Refusal("stock.unknown_location", f"There is no location `{name}`.", pointer)
    return found.location_id


def _reserve(entry: WantReserve, masters: Masters, reservation_id: int) -> Reserve:
    channel = None
    if entry.channel is not None and (channel := masters.channels.get(entry.channel)) is None:
        raise Refusal("channel.unknown", f"There is no channel `{entry.channel}`.", "/channel")
    return Reserve(
        reservation_id=reservation_id,
        channel_id=None if channel is None else channel.channel_id,
        channel=entry.channel,
        order_ref=entry.order_ref,
        asked=tuple(
            _asked(line, index, entry, masters, placed=channel is not None)
            for index, line in enumerate(entry.lines)
        ),
        terms=Terms() if channel is None else channel.terms,
        all_or_nothing=entry.all_or_nothing,
        is_promised=entry.is_promised,
        expires_in=entry.expires_in,
        request=entry.request,
        digest=entry.digest,
        trace_id=entry.trace_id,
    )


def _asked(line: WantedLine, index: int, entry: WantReserve, masters: Masters, *, placed: bool) -> Asked:
    pointer = f"/lines/{index}"
    item = masters.item(line.item, entry.connection_id)
    if item is None:
        name = line.item.sku or line.item.gtin or line.item.id
        raise Refusal("stock.unknown_item", f"There is no item `{name}`.", f"{pointer}/item")
    factor = item.factor(line.uom)
    if factor is None:
        raise Refusal("stock.unknown_uom", f"{item.sku} is not kept in {line.uom}.", f"{pointer}/uom")
    try:
        number = units(line.quantity, item.scale, factor)
    except Refusal as refusal:
        raise Refusal(refusal.problem.code, refusal.problem.detail, f"{pointer}/quantity") from None
    if number <= 0:
        raise Refusal("quantity.not_positive", f"{line.quantity} cannot be promised.", f"{pointer}/quantity")
    if line.pickup_at is None and not placed:
        raise Refusal(
            "reservation.no_place",
            "Without a channel, every line says where it is picked up.",
            f"{pointer}/fulfil",
        )
    pickup = (
        None if line.pickup_at is None else _location(masters, line.pickup_at, f"{pointer}/fulfil/pickup_at")
    )
    return Asked(line.line, item.item_id, item.sku, item.scale, number, pickup)


# Decide and write ------------------------------------------------------------------------------------------------------


class _Needs(msgspec.Struct):
    """What must be locked for a batch."""

    spots: set[PositionKey]
    ids: set[int]
    identities: set[Identity]
    requests: list[RequestKey] = []
    releases: list[tuple[int, str]] = []


async def _needs(db: Connection, commands: Sequence[Command], learnt: Learnt) -> _Needs:
    needs = _Needs(set(learnt.spots), learnt.ids | learnt.due, set(learnt.identities))
    for command in commands:
        if isinstance(command, Reserve):
            needs.spots |= candidates(command.asked, command.terms.locations)
            if command.identity is not None:
                needs.identities.add(command.identity)
            if command.request is not None:
                needs.requests.append(command.request)
            continue
        needs.ids.add(command.reservation_id)
        if isinstance(command, Release) and command.lines is not None:
            needs.releases.append((command.reservation_id, command.key))
    if needs.ids:
        await _foresee(db, commands, needs)
    return needs


async def _foresee(db: Connection, commands: Sequence[Command], needs: _Needs) -> None:
    """Where reservations claim, and where claims may be moved."""
    spots = await promises.spots_of(db, needs.ids)
    needs.spots = needs.spots.union(*spots.values())
    for command in commands:
        if isinstance(command, Allocate) and command.location_id is not None:
            there = command.location_id
            needs.spots |= {(item_id, there) for item_id, _ in spots.get(command.reservation_id, ())}


async def _attempt(
    db: Connection,
    memory: Promising,
    version: int,
    resolved: Sequence[Command | No],
    learnt: Learnt,
    clock: Callable[[], datetime],
) -> list[Answer | No]:
    commands = [entry for entry in resolved if not isinstance(entry, No)]
    if not commands:
        return [entry for entry in resolved if isinstance(entry, No)]
    needs = await _needs(db, commands, learnt)
    names = await memory.names.read(db, {location_id for _, location_id in needs.spots})
    async with db.transaction():
        begun = await promises.begin(db, needs.spots)
        if begun.version != version:
            await memory.memory.refresh(db)
            raise Again
        now = clock()
        found = await promises.lock(db, needs.ids, sorted(needs.identities, key=_order), needs.requests)
        book = ClaimBook(now, Locked(begun.positions, needs.spots, found.reservations, needs.identities))
        desk = Desk(
            book,
            names=names,
            requests=await promises.requests(db, needs.requests),
            releases=await promises.releases(db, needs.releases),
            unclaimed=found.unclaimed,
        )
        decided = _decide(desk, resolved, learnt)
        if desk.short and (due := await promises.due_at(db, desk.short, book.now) - learnt.due):
            learnt.due |= due
            raise Again
        if (
            nowhere := book.nowhere()
        ):  # what a customer was promised elsewhere, of an item that was never here
            raise MissingPositions(nowhere)
        if book.touched or desk.remembered:
            place = await promises.write(
                db, book, batch_id=begun.batch_id, remembered=desk.remembered, released=desk.released
            )
            if place is None:
                raise Again
            if place > begun.ledger_seq + 1:  # others have written since this batch began
                await _recheck(db, needs, found, place)
            await _follow(db, desk)
        return await _answers(db, memory, decided)


async def _recheck(db: Connection, needs: _Needs, found: promises.Found, place: int) -> None:
    """With the ledger's order held: nothing was shipped meanwhile for an order that is reserved here."""
    order_refs = {order_ref for _, order_ref in needs.identities}
    if order_refs and await promises.unclaimed(db, order_refs, place) != found.unclaimed:
        raise Again


def _order(identity: Identity) -> tuple[int, str]:
    return (identity[0] or 0, identity[1])


def _decide(desk: Desk, resolved: Sequence[Command | No], learnt: Learnt) -> list[Answer | Refused | No]:
    """Decide all, or learn from all what is lacking."""
    decided: list[Answer | Refused | No] = []
    is_lacking = False
    for entry in [*map(Expire, sorted(learnt.due)), *resolved]:
        try:
            decided.append(entry if isinstance(entry, No) else desk.do(entry))
        except Unforeseen as unforeseen:
            learnt.add(unforeseen)
            is_lacking = True
    if is_lacking:
        raise Again
    return decided[len(learnt.due) :]


async def _follow(db: Connection, desk: Desk) -> None:
    """Exceptions of state that begin or end with what was decided."""
    book = desk.book
    opens, closes = alarm_causes(book.alarms())
    if book.shipments:
        facts = {shipped.fact_id for shipped in book.shipments}
        closes += [
            ("stock.shipped_without_claim", f"shipment:{fact_id}")
            for fact_id in sorted(facts - await promises.unclaimed_facts(db, facts))
        ]
    await exceptions.open_causes(db, opens, book.now)
    await exceptions.close_causes(db, closes, book.now)


async def _answers(
    db: Connection, memory: Promising, decided: Sequence[Answer | Refused | No]
) -> list[Answer | No]:
    lacking = {
        short.asked.item_id for entry in decided if isinstance(entry, Refused) for short in entry.short
    }
    offers = await promises.offers(db, lacking) if lacking else {}
    places = {location_id for found in offers.values() for location_id, _ in found}
    names = await memory.names.read(db, places)
    return [
        No(entry.problem, tuple(_alternatives(entry.short, offers, names)))
        if isinstance(entry, Refused)
        else entry
        for entry in decided
    ]


def _alternatives(
    short: Sequence[Short], offers: Mapping[int, Sequence[tuple[int, int]]], names: Mapping[int, str]
) -> Iterable[Alternative]:
    for entry in short:
        asked = entry.asked
        for location_id, offer in offers.get(asked.item_id, ()):
            yield Alternative(asked.line, asked.sku, names[location_id], as_number(offer, asked.scale))
