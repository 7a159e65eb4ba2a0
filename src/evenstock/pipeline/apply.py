"""A batch of events becomes facts in the ledger, all in one transaction; a batch of one is no special case.

prepare (masters) → claim keys → relate voids → lock, load, decide, number, write (draft) → answers
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from evenstock.core.booking import CountEntry, PositionKey
from evenstock.core.errors import Problem, Refusal
from evenstock.core.events import Event, ItemRef, same_fact
from evenstock.core.intake import Fact, is_transfer, prepare
from evenstock.core.masters import Masters
from evenstock.core.ordering import is_seen
from evenstock.core.reading import read_stored
from evenstock.core.tracing.ids import derived
from evenstock.pipeline import voids
from evenstock.pipeline.draft import Changed, Done, Draft, MissingPositions, finish
from evenstock.postgres import exceptions, ledger, owners
from evenstock.postgres import masters as stored_masters
from evenstock.postgres.database import Connection
from evenstock.postgres.exceptions import Cause, public_id
from evenstock.postgres.ledger import FactKey, Head

ATTEMPTS_MAX = 8  # of a batch whose world changes under it
BATCHES_AHEAD = 16  # for which positions are made ahead, once some were missing

OutcomeName = Literal["applied", "duplicate", "parked", "held", "rejected"]


class Incoming(msgspec.Struct, frozen=True, gc=False):
    """An event that was received, on its way into the ledger."""

    event: Event
    body: bytes  # canonical JSON
    connection_id: int
    received_at: datetime
    trace_id: str | None = None  # of what it came in, where the event names none


class HeldAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line that waits, and for what."""

    line: str
    code: str
    pointer: str
    detail: str
    exception_id: str


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one event."""

    id: str | None
    outcome: OutcomeName
    trace_id: str | None = None
    code: str | None = None
    detail: str | None = None
    pointer: str | None = None
    exception_id: str | None = None
    held_lines: list[HeldAnswer] = []


class Applied(msgspec.Struct, frozen=True):
    """The results of a batch, in order, and the ledger's newest number then."""

    ledger_seq: int
    results: list[Result]


class Memory:
    """What a writer remembers between batches: masters, and whether positions are new lately."""

    def __init__(self) -> None:
        self.masters = Masters()
        self._batches_ahead = 0

    def forget(self) -> None:
        """Believe nothing any more; after a fault."""
        self.masters = Masters()

    async def refresh(self, db: Connection) -> None:
        """Forget the masters and begin again at their version of now."""
        fresh = Masters(await stored_masters.version(db))
        fresh.connections = await stored_masters.connections(db)
        fresh.claims = await owners.claims(db)
        self.masters = fresh

    async def make_ahead(self, db: Connection, keys: Collection[tuple[int, int]]) -> None:
        """Make positions before a batch locks them, while new ones come; an old estate is spared the question."""
        if self._batches_ahead and keys:
            self._batches_ahead -= 1
            await self.make_positions(db, keys)

    async def make_positions(self, db: Connection, keys: Collection[tuple[int, int]]) -> None:
        """Make positions that are missing; outside of any batch."""
        if await ledger.create_positions(db, sorted(keys)):
            self._batches_ahead = BATCHES_AHEAD


def rejected(id_: str | None, problem: Problem, pointer_prefix: str = "") -> Result:
    """The answer to an event that cannot be used."""
    return Result(id_, "rejected", None, problem.code, problem.detail, pointer_prefix + problem.pointer)


async def apply(db: Connection, memory: Memory, incoming: Sequence[Incoming], now: datetime) -> Applied:
    """Apply a batch, in one transaction, and answer each event.

    Raises what the database raises; then nothing of the batch was done.
    """
    if memory.masters.version < 0:
        await memory.refresh(db)
    for _ in range(ATTEMPTS_MAX):
        try:
            return await _attempt(db, memory, incoming, now)
        except Changed:
            await memory.refresh(db)
        except MissingPositions as missing:
            await memory.make_positions(db, missing.keys)
    raise RuntimeError(f"the world changed {ATTEMPTS_MAX} times under one batch")


class _Prepared(msgspec.Struct):
    """A batch before its transaction: facts by their index, the first of each key, and answers already given."""

    masters: Masters
    facts: dict[int, Fact]
    first: dict[FactKey, int]
    answers: list[Result | None]
    touched: set[PositionKey] = set()

    def unique(self) -> list[Fact]:
        """One fact for each key, in key order."""
        return [self.facts[index] for _, index in sorted(self.first.items())]

    def lockable(self) -> list[PositionKey]:
        """The positions to lock together with the keys, in the global order: all, or none where a fact reaches further
        than its own lines, which is known only once the keys are taken.
        """
        if any(fact.target is not None or fact.order is not None for fact in self.facts.values()):
            return []
        return sorted(self.touched)


async def _attempt(db: Connection, memory: Memory, incoming: Sequence[Incoming], now: datetime) -> Applied:
    prepared = await _prepare(db, memory, incoming)
    masters, facts = prepared.masters, prepared.facts
    unique = prepared.unique()
    async with db.transaction():
        claimed = await ledger.claim(db, unique, prepared.lockable())
        head = claimed.head
        if head.version != masters.version:
            raise Changed
        draft = Draft(head, masters.version, claimed.new, locked=claimed.positions)
        draft.sources = {connection_id: id_ for id_, connection_id in masters.connections.items()}
        before = await _before(db, draft, unique) if len(draft.new) < len(unique) else {}
        repeated = _settle_repeated(draft, incoming, prepared, before)
        draft.again = await _renumbered(db, [facts[index] for index in repeated])
        await _collect(db, draft, masters)
        done = await finish(db, draft, max([now, *(entry.received_at for entry in incoming)]))
    answers = prepared.answers
    for index, fact in facts.items():
        if index in repeated:
            answers[index] = _repeated_answer(fact, repeated[index], head, done)
        else:
            answers[index] = _answer(fact, incoming[index], draft, done)
    return Applied(done.ledger_seq, [answer for answer in answers if answer is not None])


async def _prepare(db: Connection, memory: Memory, incoming: Sequence[Incoming]) -> _Prepared:
    """Everything that needs no transaction: masters read, events resolved, positions made."""
    masters = memory.masters
    prepared = _Prepared(masters, {}, {}, [None] * len(incoming))
    unsure = [index for index, entry in enumerate(incoming) if not _resolve(prepared, index, entry)]
    if unsure:
        await stored_masters.read_missing(db, masters, *_named([incoming[index] for index in unsure]))
        for index in unsure:
            _resolve(prepared, index, incoming[index])
    for index, fact in prepared.facts.items():
        prepared.first.setdefault((fact.connection_id, fact.key), index)
    touched = prepared.touched
    for fact in prepared.facts.values():
        touched.update([(move.item_id, move.location_id) for move in fact.moves])
        touched.update([(count.item_id, count.location_id) for count in fact.counts])
    await memory.make_ahead(db, touched)
    return prepared


def _resolve(prepared: _Prepared, index: int, entry: Incoming) -> bool:
    """Prepare one event; False when masters were missing that may only not have been read yet."""
    try:
        fact = _fact(entry, prepared.masters)
    except Refusal as refusal:
        prepared.answers[index] = rejected(entry.event.id, refusal.problem)
        prepared.facts.pop(index, None)
        return True
    prepared.facts[index] = fact
    return not fact.held


def _named(incoming: Sequence[Incoming]) -> tuple[list[tuple[int, ItemRef]], list[str]]:
    """The items and locations that a batch names."""
    refs: list[tuple[int, ItemRef]] = []
    locations: list[str] = []
    for entry in incoming:
        event = entry.event
        data = event.data
        if is_transfer(event):
            locations += (event.data.from_, event.data.to)
        elif (location := getattr(data, "location", None)) is not None:
            locations.append(location)
        else:
            continue
        connection_id = entry.connection_id
        refs += [(connection_id, line.item) for line in data.lines]  # type: ignore[union-attr]  # all but voids have lines
    return refs, locations


def _fact(entry: Incoming, masters: Masters) -> Fact:
    fact = prepare(
        entry.event,
        entry.body,
        connection_id=entry.connection_id,
        received_at=entry.received_at,
        masters=masters,
    )
    fact.trace_id = fact.trace_id or entry.trace_id
    return fact


async def _before(db: Connection, draft: Draft, unique: Sequence[Fact]) -> dict[FactKey, ledger.StoredFact]:
    """What stands under the keys that were taken before this batch."""
    new = {(fact.connection_id, fact.key) for fact in draft.new}
    return await ledger.stored(
        db, [key for fact in unique if (key := (fact.connection_id, fact.key)) not in new]
    )


class _Repeat(msgspec.Struct, frozen=True):
    """An event whose key was taken: by which fact, and whether with the same content."""

    fact_id: int
    trace_id: str | None
    same: bool


def _settle_repeated(
    draft: Draft,
    incoming: Sequence[Incoming],
    prepared: _Prepared,
    before: dict[FactKey, ledger.StoredFact],
) -> dict[int, _Repeat]:
    """The events whose key is taken: duplicates, or other content under a used key (C2)."""
    repeated: dict[int, _Repeat] = {}
    facts, first = prepared.facts, prepared.first
    if not before and len(first) == len(facts):
        return repeated
    for index, fact in facts.items():
        key = (fact.connection_id, fact.key)
        stands = before.get(key)
        if stands is not None:
            same = stands.body == fact.body.decode() or same_fact(
                read_stored(stands.body), incoming[index].event
            )
            repeated[index] = _Repeat(stands.fact_id, stands.trace_id, same)
        elif first[key] != index:
            winner = facts[first[key]]
            same = winner.body == fact.body or same_fact(incoming[first[key]].event, incoming[index].event)
            repeated[index] = _Repeat(winner.fact_id, winner.trace_id, same)
        else:
            continue
        if not repeated[index].same:
            draft.conflicts.append((key, fact.body.decode()))
    return repeated


async def _renumbered(db: Connection, repeated: Sequence[Fact]) -> list[Fact]:
    """Those that came before and now have a number that did not: an agent that lost its disk numbers them anew."""
    numbered = [
        (fact, fact.sequence, (fact.connection_id, fact.stream, fact.epoch))
        for fact in repeated
        if fact.sequence is not None and fact.stream is not None
    ]
    if not numbered:
        return []
    seen = await exceptions.load_streams(db, sorted({key for _, _, key in numbered}))
    return [fact for fact, number, key in numbered if not is_seen(seen.get(key, ()), number)]


async def _collect(db: Connection, draft: Draft, masters: Masters) -> None:
    """What the new facts of a batch bring, voids and waiting facts included."""
    counted = [(fact, count) for fact in draft.new for count in fact.counts]
    ids = await ledger.new_count_ids(db, len(counted)) if counted else []
    counts = [CountEntry(count_id, fact, count) for count_id, (fact, count) in zip(ids, counted, strict=True)]
    for fact in draft.new:
        draft.work.add(fact)
        if fact.order is not None and fact.moves:
            draft.shipped.append(fact)
        if fact.held:
            draft.held += [(fact, line) for line in fact.held]
        if fact.time_basis == "skewed":
            detail = f"{fact.source} sends times more than 5 minutes ahead of ours; they are booked at the time of receipt."
            draft.opens.append(
                Cause("source.clock_skew", f"source:{fact.source}", detail, fact.connection_id)
            )
    await voids.relate(db, draft, masters, counts)


def _repeated_answer(fact: Fact, repeat: _Repeat, head: Head, done: Done) -> Result:
    trace = repeat.trace_id or derived(head.tag, "fact", repeat.fact_id)
    if repeat.same:
        return Result(fact.key, "duplicate", trace)
    exception_id = done.exception_ids["event.key_reused", f"key:{fact.source}:{fact.key}"]
    return Result(
        fact.key,
        "held",
        trace,
        "event.key_reused",
        "This key was used before with other content. The first stands; nothing of this one was booked.",
        "/id",
        public_id(exception_id),
    )


_IGNORED: dict[str, OutcomeName] = {
    "void.of_void": "rejected",
    "void.target_kind": "rejected",
    "void.repeated": "duplicate",
}


def _answer(fact: Fact, entry: Incoming, draft: Draft, done: Done) -> Result:
    trace = fact.trace_id or derived(draft.head.tag, "fact", fact.fact_id)
    status, reason = draft.statuses.get(fact.fact_id, ("applied", None))
    if status == "parked":
        return Result(fact.key, "parked", trace, None, "It takes effect when the fact it names arrives.")
    if status == "ignored" and reason in _IGNORED:
        problem = Problem(reason, "", "/data/target")
        return Result(fact.key, _IGNORED[reason], trace, reason, problem.meaning.title + ".", problem.pointer)
    held = [
        HeldAnswer(
            "" if fact.target is not None else entry.event.data.lines[line.index].line,  # type: ignore[union-attr]
            line.code,
            line.pointer,
            line.detail,
            public_id(done.exception_ids[line.code, line.subject]),
        )
        for line in fact.held
        if (line.code, line.subject) in done.exception_ids
    ]
    if not held:
        return Result(fact.key, "applied", trace)
    outcome: OutcomeName = "applied" if fact.moves or fact.counts else "held"
    worst = held[0]
    return Result(fact.key, outcome, trace, worst.code, worst.detail, worst.pointer, worst.exception_id, held)
