"""Facts in a few words, the oracle that says what they mean, and a ledger in memory that books them batch by batch.

`replay` is the definition (C4, C7, C9): it looks at a set of facts and knows nothing of arrival, batches or
`evenstock.core.counting`. `ModelLedger` is the batch algorithm (§3) around `counting.rebase`, loading and writing what a
database would. Whatever the histories, the two must agree.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from evenstock.core import counting
from evenstock.core.counting import Correction, Delta, Loaded, NewCount, Rebased, Voided
from evenstock.core.ledger import BUCKETS, ZERO, Count, Place, Scope, Vector, effect, in_scope

Kind = Literal[
    "sale", "return", "receipt", "ship", "receive", "adjust", "dispose", "count", "void", "void_count",
]  # fmt: skip
Outcome = Literal[
    "applied", "duplicate", "parked", "event.key_reused", "void.repeated", "void.of_void", "void.target_kind"
]
Key = tuple[str, str]  # (source, id)
Position = tuple[str, str]  # (item, location)
VOIDS: tuple[Kind, ...] = ("void", "void_count")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """Units of one item; `place` is the bucket it is about, the scope of a count, the target of a disposition."""

    line: str = "1"
    item: str
    quantity: int  # signed for `adjust` only
    place: str = "sellable"
    counted_at: datetime | None = None  # of this line's own scan, else the fact's
    started_at: datetime | None = None


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One fact as its source reports it. Equal content under an equal key is a duplicate (C2)."""

    kind: Kind
    id: str
    source: str = "pos"
    at: datetime  # of a void: when it was decided, which changes nothing (C9)
    location: str = ""  # of a transfer: where it leaves
    to_location: str = ""  # of a transfer: where it arrives
    lines: tuple[Line, ...] = ()
    opening: bool = False
    target: Key | None = None

    @property
    def key(self) -> Key:
        return (self.source, self.id)


class Move(msgspec.Struct, frozen=True):
    """One move of a fact, before anything is known of the ledger."""

    position: Position
    line: str
    from_place: Place
    to_place: Place
    quantity: int

    def reversed(self) -> "Move":
        return msgspec.structs.replace(self, from_place=self.to_place, to_place=self.from_place)


def moves_of(fact: Fact) -> list[Move]:
    """What a delta moves, line by line (C1, C11)."""
    return [move for line in fact.lines for move in _moves_of_line(fact, line)]


def _moves_of_line(fact: Fact, line: Line) -> list[Move]:
    def move(from_place: str, to_place: str, location: str = fact.location) -> Move:
        return msgspec.convert(
            {
                "position": (line.item, location),
                "line": line.line,
                "from_place": from_place,
                "to_place": to_place,
                "quantity": abs(line.quantity),
            },
            Move,
        )

    match fact.kind:
        case "sale":
            moves = [move("sellable", "customer")]
        case "return":
            moves = [move("customer", "quarantine")]
        case "receipt":
            moves = [move("supplier", line.place)]
        case "ship":
            moves = [move(line.place, "transit"), move("transit", "in_transit", fact.to_location)]
        case "receive":
            moves = [move("in_transit", line.place, fact.to_location)]
        case "adjust":
            moves = [move("found", line.place) if line.quantity > 0 else move(line.place, "shrink")]
        case "dispose":
            moves = [move("quarantine", line.place)]
        case "count" | "void" | "void_count":
            moves = []
    return moves


# The oracle


class Truth(msgspec.Struct, frozen=True):
    """What a set of facts means: the balance of every place as of each instant asked, and what each count adjusted."""

    as_of: dict[
        datetime, dict[tuple[Position, str], int]
    ]  # units by place, boundaries below zero when they gave
    adjusted: dict[tuple[str, str, str], int]  # by (source, id, line), standing counts only


class _Counted(msgspec.Struct, frozen=True):
    key: tuple[str, str, str]
    position: Position
    scope: str
    started_at: datetime
    counted_at: datetime
    quantity: int
    opening: bool


def replay(facts: Iterable[Fact], instants: Sequence[datetime]) -> Truth:
    """C4: replay the facts that stand, by instant, deltas before counts, counts by key; a count sets its scope."""
    stands = _standing(facts)
    moves = [(fact.at, move) for fact in stands for move in moves_of(fact)]
    counts = [count for fact in stands if fact.kind == "count" for count in _counted(fact)]
    places: Counter[tuple[Position, str]] = Counter()
    adjusted: dict[tuple[str, str, str], int] = {}
    as_of: dict[datetime, dict[tuple[Position, str], int]] = {}
    for instant in sorted({*instants, *(at for at, _ in moves), *(count.counted_at for count in counts)}):
        for at, move in moves:
            if at == instant:
                places[move.position, move.from_place] -= move.quantity
                places[move.position, move.to_place] += move.quantity
        for count in sorted(counts, key=lambda count: count.key):
            if count.counted_at == instant:
                adjusted[count.key] = _set(places, count, count.quantity + _left_during(count, moves))
        as_of[instant] = {place: units for place, units in places.items() if units}
    return Truth(as_of, adjusted)


def _standing(facts: Iterable[Fact]) -> list[Fact]:
    """C9: a void that fits its target takes it out of the set; a void can be no target."""
    known = {fact.key: fact for fact in facts}
    gone = {
        void.target
        for void in known.values()
        if void.target in known
        and (
            (void.kind == "void_count" and known[void.target].kind == "count")
            or (void.kind == "void" and known[void.target].kind not in {"count", *VOIDS})
        )
    }
    return [fact for fact in known.values() if fact.kind not in VOIDS and fact.key not in gone]


def _counted(fact: Fact) -> list[_Counted]:
    return [
        _Counted(
            key=(*fact.key, line.line),
            position=(line.item, fact.location),
            scope=line.place,
            started_at=line.started_at or line.counted_at or fact.at,
            counted_at=line.counted_at or fact.at,
            quantity=line.quantity,
            opening=fact.opening,
        )
        for line in fact.lines
    ]


def _buckets(scope: str) -> tuple[str, ...]:
    return ("sellable", "quarantine", "damaged") if scope == "on_hand" else (scope,)


def _left_during(count: _Counted, moves: Sequence[tuple[datetime, Move]]) -> int:
    """C7: what left the scope inside (S, E] is taken to have left after the count; what came in was counted already."""
    scope = _buckets(count.scope)
    return -sum(
        move.quantity
        for at, move in moves
        if count.started_at < at <= count.counted_at
        and move.position == count.position
        and move.from_place in scope
        and move.to_place not in scope
    )


def _set(places: Counter[tuple[Position, str]], count: _Counted, value: int) -> int:
    """Sets a count's scope to a value; on_hand by way of sellable. The adjustment is what was missing before (C4, C8)."""
    adjustment = value - sum(places[count.position, bucket] for bucket in _buckets(count.scope))
    bucket = "sellable" if count.scope == "on_hand" else count.scope
    boundary = "opening" if count.opening else "found" if adjustment > 0 else "shrink"
    places[count.position, bucket] += adjustment
    places[count.position, boundary] -= adjustment
    return adjustment


# The ledger


class Movement(msgspec.Struct, frozen=True):
    """One row of the ledger."""

    seq: int  # of its batch: the order of knowing
    position: Position
    at: datetime
    from_place: Place
    to_place: Place
    quantity: int
    fact_id: int
    line: str
    count_id: int | None = None
    reverses: int | None = None  # the fact whose movement this takes back

    @property
    def effect(self) -> Vector:
        return effect(self.from_place, self.to_place, self.quantity)


class CountRow(msgspec.Struct, frozen=True):
    """A count as the ledger keeps it."""

    count: Count
    position: Position
    fact_id: int
    standing: bool


class Balance(msgspec.Struct, frozen=True):
    """One row of positions."""

    buckets: Vector = ZERO
    last_counted_at: datetime | None = None


class _Work(msgspec.Struct):
    """What a batch brings to one position."""

    deltas: list[tuple[Delta, Movement]] = []
    new: list[Count] = []
    voided: list[Voided] = []


class ModelLedger:
    """Facts, positions, movements and counts as a database keeps them, changed by `apply` alone."""

    def __init__(self) -> None:
        self.seq = 0
        self.facts: dict[Key, tuple[int, Fact]] = {}
        self.parked: defaultdict[Key, list[Fact]] = defaultdict(list)  # voids, by the key they wait for
        self.voided: dict[Key, Key] = {}  # target -> the void that stands
        self.positions: defaultdict[Position, Balance] = defaultdict(Balance)
        self.movements: list[Movement] = []
        self.counts: dict[int, CountRow] = {}

    # Claim, resolve, split, load, decide, write (§3)

    def apply(self, batch: Sequence[Fact]) -> list[Outcome]:
        """Books a batch as one transaction, and says what became of each fact."""
        self.seq += 1
        outcomes: list[Outcome] = [self._claim(fact) for fact in batch]
        work: defaultdict[Position, _Work] = defaultdict(_Work)
        voids: list[tuple[Fact, Fact]] = []
        for index, fact in enumerate(batch):
            if outcomes[index] != "applied":
                continue
            if fact.kind in VOIDS:
                outcomes[index] = self._resolve(fact, voids)
            else:
                self._add_moves(work, fact)
            for parked in self._unpark(fact.key):
                self._resolve(parked, voids)
        for void, target in voids:
            self._take_back(work, void, target)
        for index, fact in enumerate(batch):
            if outcomes[index] == "applied" and fact.kind == "count":
                self._add_counts(work, fact)
        decided = {position: self._decide(position, todo) for position, todo in sorted(work.items())}
        for position, rebased in decided.items():
            self._write(position, work[position], rebased)
        return outcomes

    def _claim(self, fact: Fact) -> Outcome:
        """C2: a key belongs to its first content."""
        if fact.key in self.facts:
            return "duplicate" if self.facts[fact.key][1] == fact else "event.key_reused"
        self.facts[fact.key] = (len(self.facts) + 1, fact)
        return "applied"

    def _resolve(self, void: Fact, voids: list[tuple[Fact, Fact]]) -> Outcome:
        """C9: what a void does once its target is known; until then it waits."""
        assert void.target is not None
        if void.target not in self.facts:
            self.parked[void.target].append(void)
            return "parked"
        target = self.facts[void.target][1]
        if target.kind in VOIDS:
            return "void.of_void"
        if (void.kind == "void_count") != (target.kind == "count"):
            return "void.target_kind"
        if target.key in self.voided:
            return "void.repeated"
        self.voided[target.key] = void.key
        voids.append((void, target))
        return "applied"

    def _unpark(self, key: Key) -> list[Fact]:
        return self.parked.pop(key, [])

    def _add_moves(self, work: defaultdict[Position, _Work], fact: Fact) -> None:
        fact_id = self.facts[fact.key][0]
        for move in moves_of(fact):
            self._add(work, fact_id, fact.at, move)

    def _add(
        self,
        work: defaultdict[Position, _Work],
        fact_id: int,
        at: datetime,
        move: Move,
        reverses: int | None = None,
    ) -> None:
        delta = Delta(at, fact_id, move.from_place, move.to_place, move.quantity, reverses is not None)
        movement = Movement(
            self.seq, move.position, at, move.from_place, move.to_place, move.quantity, fact_id, move.line,
            reverses=reverses,
        )  # fmt: skip
        work[move.position].deltas.append((delta, movement))

    def _take_back(self, work: defaultdict[Position, _Work], void: Fact, target: Fact) -> None:
        """C9: at the original's instant, exactly; a count by its adjustment, and one that was never booked by nothing."""
        void_id, target_id = self.facts[void.key][0], self.facts[target.key][0]
        for move in moves_of(target):
            self._add(work, void_id, self._instant_of(void, target), move.reversed(), reverses=target_id)
        for count_id, row in self.counts.items():
            if row.fact_id == target_id:
                self.counts[count_id] = msgspec.structs.replace(row, standing=False)
                work[row.position].voided.append(Voided(row.count, void_id))

    def _instant_of(self, void: Fact, target: Fact) -> datetime:  # noqa: ARG002 - a seam
        return target.at

    def _add_counts(self, work: defaultdict[Position, _Work], fact: Fact) -> None:
        fact_id = self.facts[fact.key][0]
        for counted in _counted(fact):
            count = Count(
                count_id=len(self.counts) + 1,
                key=counted.key,
                scope=msgspec.convert(counted.scope, Scope),
                started_at=counted.started_at,
                counted_at=counted.counted_at,
                quantity=counted.quantity,
                opening=counted.opening,
            )
            stands = fact.key not in self.voided
            self.counts[count.count_id] = CountRow(count, counted.position, fact_id, stands)
            if stands:
                work[counted.position].new.append(count)

    def _decide(self, position: Position, work: _Work) -> Rebased:
        mark = self.positions[position].last_counted_at
        deltas = [delta for delta, _ in work.deltas]
        if not work.new and not work.voided and not any(counting.is_late(delta.at, mark) for delta in deltas):
            return Rebased(_total(movement.effect for _, movement in work.deltas), {}, [])
        touched = [
            *(delta.at for delta in deltas),
            *(count.counted_at for count in work.new),
            *(void.count.counted_at for void in work.voided),
        ]
        return counting.rebase(
            deltas=deltas,
            new=[
                NewCount(count, self.counts[count.count_id].fact_id, self._load(position, count))
                for count in work.new
            ],
            voided=work.voided,
            standing=self._standing_from(position, min(touched), work.new),
        )

    def _standing_from(self, position: Position, lowest: datetime, new: Sequence[Count]) -> list[Count]:
        return [
            row.count
            for row in self.counts.values()
            if row.position == position
            and row.standing
            and row.count.counted_at >= lowest
            and row.count not in new
        ]

    def _load(self, position: Position, count: Count) -> Loaded:
        known = [movement for movement in self.movements if movement.position == position]
        after = _total(movement.effect for movement in known if movement.at > count.counted_at)
        kept = sum(
            counting.outflow(
                movement.from_place,
                movement.to_place,
                movement.quantity,
                count.scope,
                reversal=movement.reverses is not None,
            )
            for movement in known
            if count.started_at < movement.at <= count.counted_at and movement.count_id is None
        )
        return Loaded(_minus(self.positions[position].buckets, after), kept)

    def _write(self, position: Position, work: _Work, rebased: Rebased) -> None:
        self.movements += [movement for _, movement in work.deltas]
        self.movements += [self._movement_of(position, correction) for correction in rebased.corrections]
        for count_id, difference in rebased.adjusted.items():
            row = self.counts[count_id]
            count = msgspec.structs.replace(row.count, adjusted=row.count.adjusted + difference)
            self.counts[count_id] = msgspec.structs.replace(row, count=count)
        before = self.positions[position]
        self.positions[position] = Balance(
            _total([before.buckets, rebased.change]), self._mark(before.last_counted_at, work.new)
        )

    def _movement_of(self, position: Position, correction: Correction) -> Movement:
        return Movement(
            self.seq, position, correction.at, correction.from_place, correction.to_place, correction.quantity,
            correction.fact_id, "", correction.count_id,
        )  # fmt: skip

    def _mark(self, mark: datetime | None, new: Sequence[Count]) -> datetime | None:
        """Never below a standing count; a voided one may leave it too high (§2)."""
        instants = [count.counted_at for count in new]
        return max([*instants, mark] if mark else instants, default=None)

    # Questions

    def known(self) -> list[Fact]:
        return [fact for _, fact in self.facts.values()]

    def places(self, at: datetime | None = None, seq: int | None = None) -> dict[tuple[Position, str], int]:
        """Units by place: as of an instant, as known at a batch; without them, now. Boundaries that gave are below zero."""
        places: Counter[tuple[Position, str]] = Counter()
        for movement in self.movements:
            if (at is None or movement.at <= at) and (seq is None or movement.seq <= seq):
                places[movement.position, movement.from_place] -= movement.quantity
                places[movement.position, movement.to_place] += movement.quantity
        return {place: units for place, units in places.items() if units}

    def buckets(self) -> dict[tuple[Position, str], int]:
        """The running balances, read from positions."""
        return {
            (position, bucket): units
            for position, balance in self.positions.items()
            for bucket, units in zip(BUCKETS, balance.buckets, strict=True)
            if units
        }

    def adjusted(self) -> dict[tuple[str, str, str], int]:
        return {row.count.key: row.count.adjusted for row in self.counts.values() if row.standing}

    def is_observed(self, position: Position, at: datetime) -> bool:
        """C8: whether a count or a receipt of the position lies at or before an instant."""
        counted = any(
            row.position == position and row.standing and row.count.counted_at <= at
            for row in self.counts.values()
        )
        return counted or any(
            fact.kind in {"receipt", "receive"}
            and fact.at <= at
            and fact.key not in self.voided
            and any(move.position == position for move in moves_of(fact))
            for fact in self.known()
        )

    def conflicts(self) -> set[tuple[Position, str, datetime]]:
        """C5: scopes that counts of one instant hold to different quantities."""
        said: defaultdict[tuple[Position, str, datetime], set[int]] = defaultdict(set)
        for row in self.counts.values():
            if row.standing:
                said[row.position, row.count.scope, row.count.counted_at].add(row.count.quantity)
        return {place for place, quantities in said.items() if len(quantities) > 1}

    def net(self) -> dict[tuple[object, ...], int]:
        """Units by (fact or count, line, place, instant): what must not depend on arrival (§5).

        Reversals go by what they take back, since of two voids of one target either may stand.
        """
        keys = {fact_id: key for key, (fact_id, _) in self.facts.items()}
        net: Counter[tuple[object, ...]] = Counter()
        for movement in self.movements:
            owner: tuple[object, ...]
            if movement.count_id is not None:
                owner = ("count", self.counts[movement.count_id].count.key)
            elif movement.reverses is not None:
                owner = ("void of", keys[movement.reverses], movement.line)
            else:
                owner = ("fact", keys[movement.fact_id], movement.line)
            net[*owner, movement.position, movement.from_place, movement.at] -= movement.quantity
            net[*owner, movement.position, movement.to_place, movement.at] += movement.quantity
        return {place: units for place, units in net.items() if units}


def in_buckets(places: Mapping[tuple[Position, str], int]) -> dict[tuple[Position, str], int]:
    """Of units by place, those that are stock."""
    return {place: units for place, units in places.items() if place[1] in BUCKETS}


def at_position(places: Mapping[tuple[Position, str], int], position: Position) -> Vector:
    sellable, quarantine, damaged, in_transit = (places.get((position, bucket), 0) for bucket in BUCKETS)
    return (sellable, quarantine, damaged, in_transit)


def in_scope_at(places: Mapping[tuple[Position, str], int], row: CountRow) -> int:
    """What a count sees of units by place."""
    return in_scope(at_position(places, row.position), row.count.scope)


def _total(vectors: Iterable[Vector]) -> Vector:
    total = [0, 0, 0, 0]
    for vector in vectors:
        for index, units in enumerate(vector):
            total[index] += units
    return (total[0], total[1], total[2], total[3])


def _minus(one: Vector, other: Vector) -> Vector:
    return (one[0] - other[0], one[1] - other[1], one[2] - other[2], one[3] - other[3])
