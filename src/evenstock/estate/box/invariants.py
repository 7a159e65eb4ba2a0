"""What must hold in the hub at any time, over what changed since the last look (reliability §2)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from evenstock.core.booking import Movement, Position, PositionKey
from evenstock.core.ledger import add_effect, effect
from evenstock.estate.box.memory import Memory

if TYPE_CHECKING:
    from evenstock.estate.box.box import Box

SWEPT_WITHIN: Final = timedelta(minutes=1)

Breach = tuple[str, str]  # which check, in words


class Fold:
    """What the movements of a position add up to, as far as they have been read."""

    __slots__ = ("adjusted", "read", "total")

    def __init__(self) -> None:
        self.read = 0
        self.total = [0, 0, 0, 0]
        self.adjusted: dict[int, int] = {}  # by count


class Looks:
    """Looks at one play again and again; each entry of a log is read once, until everything is read anew."""

    def __init__(self, box: "Box") -> None:
        self._box = box
        self._claims = 0
        self._claimed: list[PositionKey] = []  # where there were claims
        self._versions: dict[tuple[str, int], int] = {}
        self._folds: defaultdict[PositionKey, Fold] = defaultdict(Fold)
        self._offered: defaultdict[int, dict[int, int]] = defaultdict(dict)  # item → location → units

    def anew(self) -> None:
        """Forget what was read: the next look reads all that there is."""
        memory = self._box.hub.memory
        memory.touched = dict.fromkeys(memory.positions)
        self._folds.clear()
        self._offered.clear()

    def at(self, now: datetime) -> Iterator[Breach]:
        """Breaches that are there now."""
        memory = self._box.hub.memory
        touched, memory.touched = memory.touched, {}
        for key in touched:
            yield from self._position(memory, key, memory.position(key))
        yield from self._grants(memory)
        yield from self._claims_are_sums(memory, touched)
        yield from self._holds(memory, now)
        yield from self._versions_rise()
        yield from self._offers(touched)

    def _position(self, memory: Memory, key: PositionKey, position: Position) -> list[Breach]:
        fold = self._folds[key]
        found = self._read(memory.movements[key], key, fold)
        vector = position.vector
        if tuple(fold.total) != vector:
            found.append(("fold", f"{self._name(key)} says {vector}, its movements {tuple(fold.total)}."))
        for count in memory.counts[key]:
            if count.adjusted != fold.adjusted.get(count.count_id, 0):
                words = f"A count at {self._name(key)} adjusted {count.adjusted}, its movements did not."
                found.append(("count", words))
        return found + self._state(memory, key, position)

    def _read(self, movements: list[Movement], key: PositionKey, fold: Fold) -> list[Breach]:
        found = []
        for movement in movements[fold.read :]:
            if movement.quantity <= 0:
                words = f"A movement of {movement.quantity} units at {self._name(key)}."
                found.append(("movement", words))
            add_effect(fold.total, movement.from_place, movement.to_place, movement.quantity)  # type: ignore[arg-type]
            if movement.count_id is not None:
                change = effect(movement.from_place, movement.to_place, movement.quantity)  # type: ignore[arg-type]
                fold.adjusted[movement.count_id] = fold.adjusted.get(movement.count_id, 0) + change[0]
        fold.read = len(movements)
        return found

    def _state(self, memory: Memory, key: PositionKey, position: Position) -> list[Breach]:
        """Exceptions of state are open exactly while their state lasts."""
        found = []
        claimed = position.reserved + position.allocated
        has = {
            "stock.negative": min(position.vector[:3]) < 0,
            "stock.in_transit_negative": position.vector[3] < 0,
            "stock.overcommitted": claimed > max(0, position.vector[0]),
        }
        subject = f"position:{key[0]}@{key[1]}"
        for code, should in has.items():
            is_open = (code, subject) in memory.exceptions
            if is_open != should:
                found.append(
                    ("exception", f"{code} at {self._name(key)} is {'' if is_open else 'not '}open.")
                )
        if position.reserved < 0 or position.allocated < 0:
            found.append(("claims", f"{self._name(key)} has claims below zero."))
        return found

    def _grants(self, memory: Memory) -> Iterator[Breach]:
        """Nothing was promised beyond what was there, by the numbers that stand on the promise itself, and truly."""
        entries = memory.claims[self._claims :]
        self._claims = len(memory.claims)
        for entry in entries:
            if entry.kind != "grant":
                continue
            assert entry.seen is not None  # noqa: S101 - grants carry what they saw
            sellable, reserved, allocated, safety = entry.seen
            if reserved + allocated + entry.reserved + entry.allocated > max(0, sellable - safety):
                where = self._name((entry.item_id, entry.location_id))
                yield "grant", f"Promised {entry.reserved} at {where} with {entry.seen} there."
            if safety < self._box.policy.safety_stock:
                yield "grant", "A promise kept back less than the policy says."

    def _claims_are_sums(self, memory: Memory, touched: Iterable[PositionKey]) -> Iterator[Breach]:
        sums: dict[tuple[int, int], list[int]] = {}
        for reservation in memory.reservations.values():
            if reservation.has_ended and not reservation.open:
                continue
            for claim in reservation.claims:
                if claim.open:
                    sums.setdefault(claim.spot, [0, 0])[claim.allocated] += claim.open
        for key in dict.fromkeys((*touched, *sums, *self._claimed)):
            position, claims = memory.position(key), sums.get(key)
            if (position.reserved, position.allocated) != (tuple(claims) if claims else (0, 0)):
                yield (
                    "claims",
                    f"{self._name(key)} counts {position.reserved} reserved, {position.allocated} allocated; its claims {claims}.",
                )
        self._claimed = list(sums)

    def _holds(self, memory: Memory, now: datetime) -> Iterator[Breach]:
        if not self._box.process.is_up:
            return
        for reservation in memory.reservations.values():
            expires_at = reservation.expires_at
            if not reservation.has_ended and expires_at is not None and expires_at + SWEPT_WITHIN < now:
                yield "hold", f"{reservation.order_ref} is held beyond {expires_at}."

    def _versions_rise(self) -> Iterator[Breach]:
        for id_, sender in self._box.senders.items():
            for item_id, number in sender.acked.items():
                before = self._versions.get((id_, item_id), 0)
                if number.version < before or number.units < 0:
                    yield "version", f"{id_} went back from version {before} to {number.version}."
                self._versions[id_, item_id] = number.version

    def _offers(self, touched: Iterable[PositionKey]) -> Iterator[Breach]:
        """What is offered is what a fresh look at the positions gives."""
        box, view, safety = self._box, self._box.view, self._box.policy.safety_stock
        positions = box.hub.memory.positions
        for key in touched:
            position = positions[key]
            units = position.vector[0] - position.reserved - position.allocated - safety
            self._offered[key[0]][key[1]] = max(0, units)
        for item_id in dict.fromkeys(item_id for item_id, _ in touched):
            offered = self._offered[item_id]
            should = sum(offered.values()) - sum(offered.get(location_id, 0) for location_id in view.dark)
            if view.ats(item_id) != should:
                yield (
                    "availability",
                    f"{box.skus[item_id - 1]} offers {view.ats(item_id)}, its positions {should}.",
                )

    def _name(self, key: tuple[int, int]) -> str:
        return f"{self._box.skus[key[0] - 1]} at {self._box.place_names[key[1]]}"
