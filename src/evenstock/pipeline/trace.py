"""What happened because of one transaction: found by whatever it is known by, followed to what is related, told in steps.

find (what is asked for) → follow (message ↔ fact ↔ reservation ↔ void) → read what is stored → tell (pure)
"""

from datetime import datetime
from typing import Final

import msgspec

from evenstock.core.errors import Refusal
from evenstock.core.names import internal_id, numbers_of
from evenstock.core.tracing.ids import is_trace_id, read_derived
from evenstock.core.tracing.seen import Seen
from evenstock.core.tracing.story import Trace, told
from evenstock.pipeline.postings import prefix
from evenstock.postgres import traces
from evenstock.postgres.database import Connection
from evenstock.postgres.traces import FOUND_MAX, MOVEMENTS_MAX, NUMBERS_MAX, POSTINGS_MAX, Change

INTEGER_MAX: Final = 2**31 - 1


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a transaction is known by: exactly one of these, `source` beside `event`."""

    trace_id: str | None = None
    event: str | None = None
    source: str | None = None
    ticket: str | None = None
    order: str | None = None
    reservation: str | None = None
    movement: str | None = None
    dispatch: str | None = None
    message: str | None = None
    posting: str | None = None
    command: str | None = None
    document: str | None = None


class _Found(msgspec.Struct):
    """What belongs to it, by our own numbers."""

    trace_ids: list[str] = []
    facts: set[int] = set()
    reservations: set[int] = set()
    messages: set[int] = set()
    changes: list[Change] = []

    def __bool__(self) -> bool:
        return bool(self.facts or self.reservations or self.messages or self.changes)


async def trace(db: Connection, wanted: Wanted, tag: str, now: datetime) -> Trace:
    """The story of a transaction, in one snapshot.

    Raises Refusal `trace.not_found`, `trace.ambiguous`.
    """
    async with db.transaction(isolation="repeatable_read", readonly=True):
        found = await _find(db, wanted, tag)
        if not found:
            name = next(text for text in msgspec.structs.astuple(wanted) if text is not None)
            raise Refusal("trace.not_found", f"Nothing here goes by `{name}`.")
        return await _tell(db, found, tag, now)


async def anything(db: Connection, text: str, tag: str, now: datetime) -> Trace:
    """The story behind whatever somebody holds in their hand: any id of ours, a trace id, an event, a ticket, an order.

    Raises Refusal `trace.not_found`, `trace.ambiguous`.
    """
    tries = [Wanted(event=text), Wanted(ticket=text), Wanted(order=text)]
    if is_trace_id(text):
        tries.insert(0, Wanted(trace_id=text))
    tries += [
        Wanted(reservation=text),
        Wanted(message=text),
        Wanted(movement=text),
        Wanted(dispatch=text),
        Wanted(posting=text),
        Wanted(command=text),
        Wanted(document=text),
    ]
    for wanted in tries:
        try:
            return await trace(db, wanted, tag, now)
        except Refusal as refusal:
            if refusal.problem.code != "trace.not_found":
                raise
    raise Refusal("trace.not_found", f"Nothing here goes by `{text}`.")


# Find --------------------------------------------------------------------------------------------------------------------


async def _find(db: Connection, wanted: Wanted, tag: str) -> _Found:  # noqa: C901, PLR0911 - one for each way
    if wanted.trace_id is not None:
        return await _by_trace(db, wanted.trace_id, tag)
    if wanted.event is not None:
        return _Found(facts=set(await _one_source(db, wanted.event, wanted.source)))
    if wanted.ticket is not None:
        return _Found(facts=set(await traces.facts_of_ticket(db, wanted.ticket)))
    if wanted.order is not None:
        reservations = set(await traces.reservations_of_order(db, wanted.order))
        return _Found(
            facts=set(await traces.facts_shipped(db, reservations, wanted.order)), reservations=reservations
        )
    if wanted.reservation is not None:
        number = internal_id(wanted.reservation)
        return await _kept(db, _Found(reservations=set() if number is None else {number}), tag)
    if wanted.message is not None:
        message = numbers_of(wanted.message, "msg_", "_", 1)
        return await _kept(db, _Found(messages=set(message or ())), tag)
    if wanted.movement is not None:
        place = numbers_of(wanted.movement, "mov_", "_", 2)
        if place is None or place[1] > INTEGER_MAX:
            return _Found()
        return _Found(facts=set(await traces.facts_of_movement(db, place[0], place[1])))
    if wanted.posting is not None:
        number = _posting(wanted.posting, tag)
        return _Found(facts=set() if number is None else set(await traces.facts_of_posting(db, number, None)))
    if wanted.document is not None:
        return _Found(
            facts=set(await traces.facts_of_posting(db, None, wanted.document)),
            reservations=set(await traces.reservations_of_command(db, None, wanted.document)),
        )
    if wanted.command is not None:
        number = _command(wanted.command, tag)
        return _Found(
            reservations=set()
            if number is None
            else set(await traces.reservations_of_command(db, number, None))
        )
    return await _by_dispatch(db, wanted.dispatch or "", tag)


def _posting(text: str, tag: str) -> int | None:
    """The number of a posting by its id, or by the reference that the books know it by."""
    found = numbers_of(text, "pst_", "_", 1) or numbers_of(text, prefix(tag), "-", 1)
    return None if found is None else found[0]


def _command(text: str, tag: str) -> int | None:
    """The number of a command by its id, or by the reference that its system knows it by."""
    found = numbers_of(text, "cmd_", "_", 1) or numbers_of(text, f"{prefix(tag)}C", "-", 1)
    return None if found is None else found[0]


async def _one_source(db: Connection, key: str, source: str | None) -> list[int]:
    ids = await traces.facts_of_key(db, key, source)
    if len(ids) > 1:
        names = [fact.source for fact in (await traces.facts(db, ids, "")).seen]
        raise Refusal("trace.ambiguous", f"`{key}` is an event of {', '.join(names)}.")
    return ids


async def _by_trace(db: Connection, trace_id: str, tag: str) -> _Found:
    """All under an id that a sender gave, or what a derived one is of."""
    found = _Found(
        facts=set(await traces.facts_of_trace(db, trace_id)),
        reservations=set(await traces.reservations_of_trace(db, trace_id)),
        messages=set(await traces.messages_of_trace(db, trace_id)),
    )
    origin = read_derived(tag, trace_id)
    if origin is not None:
        kind, number = origin
        {"fact": found.facts, "reservation": found.reservations, "message": found.messages}[kind].add(number)
    found = await _kept(db, found, tag)
    found.trace_ids = [trace_id]
    return found


async def _by_dispatch(db: Connection, dispatch: str, tag: str) -> _Found:
    """What a number was told because of: the newest change that it counts in; else only the number itself."""
    place = numbers_of(dispatch, f"{tag}-", "-", 3)
    if place is None or max(place[0], place[1]) > INTEGER_MAX:
        return _Found()
    number = await traces.exposure(db, *place)
    if number is None:
        return _Found()
    if number.trace_id is not None and (found := await _by_trace(db, number.trace_id, tag)):
        return found
    if number.location_id is None:
        return _Found()
    return _Found(changes=[(number.item_id, number.location_id, number.ledger_seq)])


async def _kept(db: Connection, found: _Found, tag: str) -> _Found:
    """Only what is really there: a number in an id may be of nothing."""
    booked = await traces.facts(db, found.facts, tag) if found.facts else None
    return _Found(
        facts=set() if booked is None else {fact.fact_id for fact in booked.seen},
        reservations={each.reservation_id for each in await traces.reservations(db, found.reservations, tag)},
        messages={each.message_id for each in await traces.messages(db, found.messages, tag)},
    )


# Follow and tell -----------------------------------------------------------------------------------------------------------


async def _follow(db: Connection, found: _Found, tag: str) -> None:
    """What is related: facts of messages, messages of facts, voids, and what shipped under which reservation."""
    if found.messages:
        found.facts |= set(await traces.facts_of_messages(db, found.messages))
    if found.reservations:
        found.facts |= set(await traces.facts_shipped(db, found.reservations))
    if found.facts:
        booked = await traces.facts(db, found.facts, tag)
        found.facts |= set(await traces.facts_related(db, found.facts, booked.targets))
        found.reservations |= set(await traces.reservations_shipped(db, found.facts))
        found.messages |= await _messages_of(db, [fact.trace_id for fact in booked.seen], tag)


async def _messages_of(db: Connection, trace_ids: list[str], tag: str) -> set[int]:
    """The messages of these traces; a fact that came by a message is of its trace."""
    found = set()
    for trace_id in dict.fromkeys(trace_ids):
        origin = read_derived(tag, trace_id)
        if origin is None:
            found |= set(await traces.messages_of_trace(db, trace_id))
        elif origin[0] == "message":
            found.add(origin[1])
    return found


async def _tell(db: Connection, found: _Found, tag: str, now: datetime) -> Trace:
    await _follow(db, found, tag)
    booked = await traces.facts(db, found.facts, tag)
    movements, moved = await traces.movements(db, booked)
    claims, claimed = await traces.claims(db, found.reservations)
    numbers = await traces.numbers(db, [*found.changes, *moved, *claimed], tag)
    places = [numbers_of(each.id, "mov_", "_", 2) for each in movements]
    postings, books = await traces.postings(db, [(place[0], place[1]) for place in places if place])
    commands = await traces.commands(db, found.reservations)
    seen = Seen(
        messages=await traces.messages(db, found.messages, tag),
        facts=booked.seen,
        movements=movements,
        reservations=await traces.reservations(db, found.reservations, tag),
        claims=claims,
        numbers=numbers,
        postings=postings,
        books=books,
        commands=commands,
        is_cut=max(len(found.facts), len(found.reservations), len(found.messages)) >= FOUND_MAX
        or max(len(movements), len(claims)) >= MOVEMENTS_MAX
        or len(numbers) >= NUMBERS_MAX
        or max(len(postings), len(commands)) >= POSTINGS_MAX,
    )
    return told(seen, found.trace_ids, now)
