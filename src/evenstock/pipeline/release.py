"""Held lines whose master has come are booked, in the order in which they happened (D5); held voids take effect."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from itertools import takewhile

from evenstock.core.booking import CountEntry
from evenstock.core.errors import Refusal
from evenstock.core.events import Event, ItemRef
from evenstock.core.intake import Fact, HeldLine, is_void, prepare
from evenstock.core.masters import Masters
from evenstock.core.reading import read_stored
from evenstock.core.voids import VOID_TYPES, came_back
from evenstock.pipeline import voids
from evenstock.pipeline.apply import ATTEMPTS_MAX, Memory
from evenstock.pipeline.draft import Changed, Draft, MissingPositions, finish
from evenstock.postgres import exceptions, ledger, waiting
from evenstock.postgres import masters as stored_masters
from evenstock.postgres.database import Connection
from evenstock.postgres.exceptions import ReleasableLine

LINES_MAX = 1_000  # of one batch
BEGINNING = (datetime(1, 1, 1, tzinfo=UTC), 0, -1)

Cursor = tuple[datetime, int, int]


async def release(db: Connection, memory: Memory, subjects: Sequence[str], now: datetime) -> int:
    """Book what waited for these subjects, batch by batch; return how many lines were booked."""
    waiting_subjects = await stored_masters.waited_for(db, subjects)
    if not waiting_subjects:
        return 0
    await memory.refresh(db)
    booked, cursor = 0, BEGINNING
    while True:
        lines, number, cursor = await _with_patience(db, memory, waiting_subjects, cursor, now)
        booked += number
        if not lines:
            return booked


async def _with_patience(
    db: Connection, memory: Memory, subjects: Sequence[str], cursor: Cursor, now: datetime
) -> tuple[int, int, Cursor]:
    for _ in range(ATTEMPTS_MAX):
        try:
            return await _release_some(db, memory, subjects, cursor, now)
        except Changed:
            await memory.refresh(db)
        except MissingPositions as missing:
            await memory.make_positions(db, missing.keys)
    raise RuntimeError(f"the world changed {ATTEMPTS_MAX} times under one release")


async def _release_some(
    db: Connection, memory: Memory, subjects: Sequence[str], cursor: Cursor, now: datetime
) -> tuple[int, int, Cursor]:
    async with db.transaction():
        head = await ledger.begin(db)
        if head.version != memory.masters.version:
            raise Changed
        rows = _alike(await exceptions.releasable(db, subjects, cursor, LINES_MAX))
        if not rows:
            return 0, 0, cursor
        draft = Draft(head, memory.masters.version)
        draft.sources = {connection_id: id_ for id_, connection_id in memory.masters.connections.items()}
        facts = await _facts(db, memory.masters, rows)
        await _collect(db, draft, memory.masters, facts)
        await finish(db, draft, now)
    last = rows[-1]
    return len(rows), len(draft.settled), (last.occurred_at, last.fact_id, last.line_index)


def _alike(rows: Sequence[ReleasableLine]) -> list[ReleasableLine]:
    """The first of them up to where voids and other lines change over: a void finds its target as an earlier batch left it."""
    return list(takewhile(lambda row: (row.type in VOID_TYPES) == (rows[0].type in VOID_TYPES), rows))


async def _facts(
    db: Connection, masters: Masters, lines: Sequence[ReleasableLine]
) -> list[tuple[Fact, set[int]]]:
    """Each fact with those of its held lines that may be booked now."""
    by_fact: dict[int, list[ReleasableLine]] = {}
    for line in lines:
        by_fact.setdefault(line.fact_id, []).append(line)
    events = {fact_id: read_stored(found[0].body) for fact_id, found in by_fact.items()}
    refs: list[tuple[int, ItemRef]] = []
    names: set[str] = set()
    for fact_id, found in by_fact.items():
        data = events[fact_id].data
        names.update(
            name
            for field in ("location", "from_", "to")
            if isinstance(name := getattr(data, field, None), str)
        )
        if not is_void(events[fact_id]):
            refs += [(found[0].connection_id, data.lines[line.line_index].item) for line in found]  # type: ignore[union-attr]
    await stored_masters.read_missing(db, masters, refs, names)
    facts = []
    for fact_id, found in by_fact.items():
        indexes = {line.line_index for line in found}
        facts.append((_prepared(events[fact_id], found[0], indexes, masters), indexes))
        facts[-1][0].fact_id = fact_id
    return facts


def _prepared(event: Event, line: ReleasableLine, indexes: set[int], masters: Masters) -> Fact:
    """The fact of these lines; a line that turns out not to fit its item stays held, under that cause."""

    def lines(only: Collection[int]) -> Fact:
        return prepare(
            event,
            line.body.encode(),
            connection_id=line.connection_id,
            received_at=line.received_at,
            masters=masters,
            only=only,
        )

    if is_void(event):
        return lines(indexes)
    known_lines = event.data.lines  # type: ignore[union-attr]  # all but voids have lines
    held: list[HeldLine] = []
    good = set(indexes)
    for index in sorted(indexes):
        try:
            lines([index])
        except Refusal as refusal:
            problem = refusal.problem
            item = masters.item(known_lines[index].item, line.connection_id)
            assert item is not None  # noqa: S101 - a line without its item is held, not refused
            subject = f"sku:{item.sku}"  # whoever changes the item tries again
            held.append(HeldLine(index, problem.code, subject, problem.detail, problem.pointer))
            good.discard(index)
    fact = lines(good)
    fact.held += held
    return fact


async def _collect(
    db: Connection, draft: Draft, masters: Masters, facts: Sequence[tuple[Fact, set[int]]]
) -> None:
    if facts[0][0].target is not None:
        await voids.take_up(db, draft, masters, [fact for fact, _ in facts])
    voided = await waiting.voided(db, [fact.fact_id for fact, _ in facts])
    counted = [(fact, count) for fact, _ in facts for count in fact.counts]
    ids = await ledger.new_count_ids(db, len(counted)) if counted else []
    draft.work.counts = [
        CountEntry(count_id, fact, count) for count_id, (fact, count) in zip(ids, counted, strict=True)
    ]
    for fact, indexes in facts:
        if fact.target is None:
            draft.work.add(fact)
            draft.held += [(fact, line) for line in fact.held]
        if fact.order is not None and fact.moves:
            draft.shipped.append(fact)
        draft.unsettled += [(fact.fact_id, index) for index in sorted(indexes)]
        still = {line.index for line in fact.held}
        draft.settled += [(fact.fact_id, index) for index in sorted(indexes - still)]
        void = voided.get(fact.fact_id)
        if void is None and fact.target is None:
            draft.unvoided.append(fact.fact_id)
        if void is not None and void.goods == "came_back":
            draft.work.entries += came_back(void.void_fact_id, void.occurred_at, fact.moves)
