"""Facts that speak of other facts: voids take effect at their target's instant (C9), returns look for their sale.

Whatever comes first waits for the other (`awaiting`); when both are there, they are booked as if they had come together. A void of
another's sale waits, too, where its source is not right about sales there (D8).
"""

from collections.abc import Sequence
from datetime import datetime

from evenstock.core.booking import CountEntry, Entry
from evenstock.core.events import ReturnReceived, SaleRecorded, TransferReceived, TransferShipped
from evenstock.core.intake import Fact, HeldLine, TransferLeg, prepare, sale_withheld
from evenstock.core.ledger import Move
from evenstock.core.masters import Masters
from evenstock.core.reading import read_stored
from evenstock.core.voids import SALE_TYPE, TRANSFER_TYPES, came_back, negative, refusal, reverse
from evenstock.pipeline.draft import Draft
from evenstock.postgres import exceptions, ledger, masters, waiting
from evenstock.postgres.database import Connection
from evenstock.postgres.exceptions import Cause
from evenstock.postgres.ledger import FactKey, StoredFact
from evenstock.postgres.waiting import Waiting

RETURN_TYPE = ReturnReceived.__struct_config__.tag


async def relate(db: Connection, draft: Draft, known: Masters, counts: Sequence[CountEntry]) -> None:
    """Add to the draft what voids in this batch, and facts that others wait for, change.

    `counts` are the batch's new counts; those that a void in the batch takes away are moved to `born_voided`.
    """
    pointing = [fact for fact in draft.new if fact.target is not None or fact.original is not None]
    if not pointing and not draft.head.waiting:
        draft.work.counts = list(counts)
        return
    own = {(fact.connection_id, fact.key): fact for fact in draft.new}
    awaited = await waiting.waiting_for(db, own) if draft.head.waiting else []
    wanted = {key for fact in pointing if (key := _target_key(fact, known)) is not None and key not in own}
    relation = _Relation(db, draft, known, own, await ledger.stored(db, wanted), counts)
    await relation.load_voided()
    for fact in pointing:
        if fact.target is not None:
            await relation.void(fact)
        else:
            relation.look_for_sale(fact)
    for entry in awaited:
        await relation.meet(entry)
    await relation.forget_returns()
    draft.work.counts = relation.counts


async def take_up(db: Connection, draft: Draft, known: Masters, held: Sequence[Fact]) -> None:
    """Voids that waited for who owns sales to be settled: they take effect now, or wait under what is true now."""
    wanted = {key for void in held if (key := _target_key(void, known)) is not None}
    relation = _Relation(db, draft, known, {}, await ledger.stored(db, wanted), draft.work.counts)
    await relation.load_voided()
    for void in held:
        await relation.void(void)
    await relation.forget_returns()


def _target_key(fact: Fact, known: Masters) -> FactKey | None:
    """The identity of the fact that a void or a return points to; None when its source is not known."""
    reference = fact.target or fact.original
    connection_id = known.connections.get(reference.source) if reference is not None else None
    return None if reference is None or connection_id is None else (connection_id, reference.id)


class _Relation:
    """The facts of one batch and what they point to."""

    def __init__(
        self,
        db: Connection,
        draft: Draft,
        known: Masters,
        own: dict[FactKey, Fact],
        stored: dict[FactKey, StoredFact],
        counts: Sequence[CountEntry],
    ) -> None:
        self.db = db
        self.draft = draft
        self.masters = known
        self.own = own
        self.stored = stored
        self.counts = list(counts)
        self.voided: set[int] = set()
        self.returns: set[int] = set()  # returns that a void in this batch takes back

    async def load_voided(self) -> None:
        self.voided = set(await waiting.voided(self.db, [fact.fact_id for fact in self.stored.values()]))

    def look_for_sale(self, fact: Fact) -> None:
        """A return whose sale is not known is flagged until the sale arrives; its units are in quarantine anyway (D5)."""
        key = _target_key(fact, self.masters)
        if key in self.own or key in self.stored:
            return
        sale = fact.original.id if fact.original is not None else ""
        detail = f"The return {fact.key} names the sale {sale}, which is not known."
        self.draft.opens.append(
            Cause("return.without_sale", f"return:{fact.fact_id}", detail, fact.connection_id)
        )
        if key is not None:
            self.draft.parked.append(Waiting(key, "return", fact.fact_id))

    async def meet(self, entry: Waiting) -> None:
        """The fact that somebody waited for is in this batch."""
        target = self.own[entry.awaited]
        self.draft.found.append(entry)
        if entry.kind == "return":
            self.draft.closes.append(("return.without_sale", f"return:{entry.fact_id}"))
            return
        event = read_stored(entry.body)
        assert entry.received_at is not None  # noqa: S101 - it comes from the table
        void = prepare(
            event,
            entry.body.encode(),
            connection_id=entry.connection_id,
            received_at=entry.received_at,
            masters=self.masters,
        )
        void.fact_id = entry.fact_id
        self.draft.statuses[void.fact_id] = ("applied", None)
        self.draft.closes.append(("void.without_target", f"void:{void.fact_id}"))
        await self._take_effect(void, target, None)

    async def void(self, fact: Fact) -> None:
        """A void in this batch: it finds its target in the batch, in the ledger, or waits for it."""
        key = _target_key(fact, self.masters)
        if key is None or (key not in self.own and key not in self.stored):
            self._park(fact, key)
            return
        await self._take_effect(fact, self.own.get(key), self.stored.get(key))

    def _park(self, fact: Fact, key: FactKey | None) -> None:
        if key is None:
            self._ignore(fact, "void.target_kind")
            return
        self.draft.statuses[fact.fact_id] = ("parked", None)
        self.draft.parked.append(Waiting(key, "void", fact.fact_id))

    def _ignore(self, fact: Fact, reason: str) -> None:
        self.draft.statuses[fact.fact_id] = ("ignored", reason)

    async def _take_effect(self, void: Fact, own: Fact | None, stored: StoredFact | None) -> None:
        target_id, target_type = (own.fact_id, own.type) if own is not None else (stored.fact_id, stored.type)  # type: ignore[union-attr]
        if reason := refusal(void.goods, target_type, is_voided=target_id in self.voided):
            self._ignore(void, reason)
            return
        if await self._is_not_its_to_say(void, own, stored):
            return
        assert void.goods is not None  # noqa: S101 - only voids come here
        self.voided.add(target_id)
        await self._forget_rivals(void)
        self.draft.voids.append((target_id, void.fact_id, void.goods))
        if stored is not None:  # what another writer books of it, or takes of it, meanwhile
            self.draft.unvoided.append(target_id)
            self.draft.unsettled += await exceptions.unsettled_lines(self.db, target_id)
        if target_type == RETURN_TYPE:
            self.returns.add(target_id)
        if void.goods != "came_back":
            self.draft.dropped.append(target_id)
            self.draft.held = [(fact, line) for fact, line in self.draft.held if fact.fact_id != target_id]
        if void.goods == "count":
            await self._void_counts(void, target_id, own)
            return
        moves = (
            [(move, own.occurred_at) for move in own.moves]
            if own
            else await ledger.own_moves(self.db, target_id)
        )
        if void.goods == "came_back":
            self.draft.work.entries += came_back(void.fact_id, void.occurred_at, [move for move, _ in moves])
            return
        self.draft.work.entries += [Entry(void.fact_id, reverse(move), at, target_id) for move, at in moves]
        if own is not None:
            self.draft.work.legs += [negative(leg) for leg in own.legs]
        elif stored is not None and stored.type in TRANSFER_TYPES:
            self.draft.work.legs += [negative(leg) for leg in await self._legs(stored, moves)]

    async def _is_not_its_to_say(self, void: Fact, own: Fact | None, stored: StoredFact | None) -> bool:
        """Whether a void of another's sale waits, because its source is not right about sales there (D8)."""
        target = own or stored
        assert target is not None  # noqa: S101 - it was found
        if not self.masters.claims or target.type != SALE_TYPE or target.connection_id == void.connection_id:
            return False
        sale = read_stored(target.body)
        assert isinstance(sale, SaleRecorded)  # noqa: S101 - its type said so
        await masters.read_missing(self.db, self.masters, [], [sale.data.location])
        here = self.masters.locations.get(sale.data.location)
        why = sale_withheld(self.masters, here, void.source) if here is not None else None
        if why is None:
            return False
        self.draft.statuses[void.fact_id] = ("held", None)
        void.held = [HeldLine(0, why.code, why.subject, why.detail, "/data/target")]
        self.draft.held.append((void, void.held[0]))
        return True

    async def _forget_rivals(self, void: Fact) -> None:
        """Other voids of the same fact that waited to be allowed are late now."""
        if not self.masters.claims or void.target is None:
            return
        for fact_id in await exceptions.held_voids(self.db, void.target.source, void.target.id):
            if fact_id != void.fact_id:
                self.draft.statuses[fact_id] = ("ignored", "void.repeated")
                self.draft.dropped.append(fact_id)

    async def _void_counts(self, void: Fact, target_id: int, own: Fact | None) -> None:
        if own is None:
            self.draft.work.voided += await ledger.counts_of(self.db, target_id, void.fact_id)
            return
        self.draft.born_voided += [entry for entry in self.counts if entry.fact.fact_id == target_id]
        self.counts = [entry for entry in self.counts if entry.fact.fact_id != target_id]

    async def _legs(self, stored: StoredFact, moves: Sequence[tuple[Move, datetime]]) -> list[TransferLeg]:
        """What the booked lines of a transfer's fact added to its sums."""
        event = read_stored(stored.body)
        assert isinstance(event, TransferShipped | TransferReceived)  # noqa: S101 - its type said so
        await masters.read_missing(self.db, self.masters, [], [event.data.from_, event.data.to])
        here, there = (self.masters.locations[name].location_id for name in (event.data.from_, event.data.to))
        return [
            TransferLeg(
                event.data.transfer,
                move.item_id,
                here,
                there,
                shipped=move.quantity if move.why == "transfer_in" else 0,
                received=move.quantity if move.why == "transfer_arrival" else 0,
            )
            for move, _ in moves
            if move.why in {"transfer_in", "transfer_arrival"}
        ]

    async def forget_returns(self) -> None:
        """A return that was voided looks for its sale no more."""
        if not self.returns:
            return
        subjects = {f"return:{fact_id}" for fact_id in self.returns}
        self.draft.opens = [cause for cause in self.draft.opens if cause.subject not in subjects]
        self.draft.parked = [
            entry for entry in self.draft.parked if entry.kind == "void" or entry.fact_id not in self.returns
        ]
        self.draft.closes += [("return.without_sale", subject) for subject in sorted(subjects)]
        found = {(entry.awaited, entry.fact_id) for entry in self.draft.found}
        for entry in await waiting.returns_waiting(self.db, sorted(self.returns)):
            if (entry.awaited, entry.fact_id) not in found:
                self.draft.found.append(entry)
