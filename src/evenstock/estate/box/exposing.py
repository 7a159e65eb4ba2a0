"""What each channel should see, and telling it: changed numbers are gathered, zero first, one at a time for each item.

A number that may or may not have arrived (no answer) is told again under its own version before anything else is told.
"""

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import msgspec

from evenstock.core.booking import Position, PositionKey
from evenstock.core.channels import Terms
from evenstock.core.exposure import rank
from evenstock.core.retry import wait_s
from evenstock.estate.box.agenda import MS, SECOND
from evenstock.estate.box.scenario import Channel
from evenstock.estate.chance import stream

if TYPE_CHECKING:
    from evenstock.estate.box.box import Box
    from evenstock.estate.box.doors import Door

LATENCY: Final = 120 * MS
ANSWER_WITHIN: Final = 30 * SECOND


class View:
    """What a group of locations offers, item by item, kept up with every change of a position."""

    def __init__(self, box: "Box", locations: tuple[int, ...], safety_stock: int) -> None:
        self.safety_stock = safety_stock
        self.locations = locations
        self.dark: set[int] = set()
        self.senders: list[Sender] = []
        self._box = box
        self._inside = frozenset(locations)
        self._sums: defaultdict[int, int] = defaultdict(int)
        self._terms: Terms | None = None
        self._terms_without: dict[int, Terms] = {}

    def ats(self, item_id: int) -> int:
        return self._sums[item_id]

    @property
    def terms(self) -> Terms:
        """From where a promise may be kept now."""
        if self._terms is None:
            lit = tuple(id_ for id_ in self.locations if id_ not in self.dark)
            self._terms = Terms(lit, self.safety_stock)
        return self._terms

    def terms_without(self, location_id: int) -> Terms:
        """The same, but not from one location."""
        found = self._terms_without.get(location_id)
        if found is None:
            left = tuple(id_ for id_ in self.terms.locations if id_ != location_id)
            found = self._terms_without[location_id] = Terms(left, self.safety_stock)
        return found

    def hears(self, key: PositionKey, old: Position, new: Position) -> None:
        """A position changed."""
        if key[1] in self._inside and key[1] not in self.dark:
            offer = self._box.rules.offer
            self._change(key[0], offer(new, self.safety_stock) - offer(old, self.safety_stock))

    def darken(self, location_id: int, *, dark: bool) -> None:
        """A location is taken off the channels, or is back."""
        if dark == (location_id in self.dark):
            return
        self._terms = None
        self._terms_without.clear()
        (self.dark.add if dark else self.dark.discard)(location_id)
        offer, memory = self._box.rules.offer, self._box.hub.memory
        for item_id in self._box.items.values():
            position = memory.positions.get((item_id, location_id))
            if position is not None:
                units = offer(position, self.safety_stock)
                self._change(item_id, -units if dark else units)

    def _change(self, item_id: int, units: int) -> None:
        if units:
            self._sums[item_id] += units
            for sender in self.senders:
                sender.owe(item_id)

    def recomputed(self, item_id: int, where: tuple[int, ...], *, safety_stock: int, with_dark: bool) -> int:
        """What some of its locations offer, from the beginning, or would offer under other terms."""
        positions, offer = self._box.hub.memory.positions, self._box.rules.offer
        return sum(
            offer(position, safety_stock)
            for location_id in where
            if (with_dark or location_id not in self.dark)
            and (position := positions.get((item_id, location_id))) is not None
        )


class Number(msgspec.Struct, frozen=True, gc=False):
    """What a channel is told for one item."""

    item_id: int
    units: int
    version: int


class Call(msgspec.Struct, frozen=True):
    """One request to a channel."""

    fence: int  # rises with every attempt of this sender
    sent_at: int
    numbers: tuple[Number, ...]


class Sender:
    """Tells one channel what it should see."""

    def __init__(self, box: "Box", channel: Channel, view: View, door: "Door") -> None:
        self.channel = channel
        self.view = view
        self.calls = 0
        self.busy_until = 0  # by the channel's limit
        self.owed: dict[int, int] = {}  # item → since when
        self.acked: dict[int, Number] = {}
        self.lags: list[int] = []
        self._box = box
        self._door = door
        self._versions: dict[int, int] = {}
        self._flying: dict[int, int] = {}  # item → fence of the attempt under way
        self._unknown: dict[int, Number] = {}  # told, without an answer
        self._fence = 0
        self._failures = 0  # in a row
        self._chance = stream(box.seed, channel.id, "retries")
        self._planned_for: int | None = None
        self._gap = int(SECOND / channel.calls_per_s)
        view.senders.append(self)

    def open_with(self, numbers: dict[int, int]) -> None:
        """What the channel has been told before the doors open."""
        self.owed.clear()
        self.acked = {item_id: Number(item_id, units, 1) for item_id, units in numbers.items()}
        self._versions = dict.fromkeys(numbers, 1)

    def owe(self, item_id: int) -> None:
        """The number of an item changed."""
        if item_id not in self.owed:
            self.owed[item_id] = self._box.agenda.now
        self._gather()

    def _gather(self) -> None:
        """Tell it with what else changes meanwhile: a moment later, or with the next batch."""
        now, every = self._box.agenda.now, self._box.batch_every
        at = (now // every + 1) * every if every else now + self._box.publish_every
        if self._planned_for is None or at < self._planned_for:
            self._wake(at)

    def _wake(self, at: int) -> None:
        at = max(at, self.busy_until)
        if self._planned_for is None or at < self._planned_for:
            self._planned_for = at
            self._box.agenda.plan(at, self._send, at)

    def _send(self, planned_for: int) -> None:
        if planned_for != self._planned_for:
            return  # something made it hurry meanwhile
        self._planned_for = None
        now = self._box.agenda.now
        if not self._box.process.is_up:
            self._wake(max(self._box.process.up_at, now + self._gap))
            return
        offered = {
            item_id: max(0, self.view.ats(item_id)) for item_id in self.owed if item_id not in self._flying
        }
        ready = list(offered)
        if len(ready) > 1:  # zero first; of one rank the oldest
            ready.sort(key=lambda item_id: rank(offered[item_id], 0))
        numbers: list[Number] = []
        for item_id in ready:
            if len(numbers) == self.channel.numbers_per_call:
                break
            number = self._number(item_id, offered[item_id])
            if number is None:
                del self.owed[item_id]
            else:
                numbers.append(number)
        if numbers:
            self._call(now, tuple(numbers))
        if len(ready) > self.channel.numbers_per_call:
            self._wake(now + self._gap)

    def _number(self, item_id: int, units: int) -> Number | None:
        """What is told next; None when the channel has it already."""
        unresolved = self._unknown.get(item_id)
        if unresolved is not None:
            return unresolved
        acked = self.acked.get(item_id)
        if acked is not None and acked.units == units:
            return None
        version = self._versions[item_id] = self._versions.get(item_id, 0) + 1
        return Number(item_id, units, version)

    def _call(self, now: int, numbers: tuple[Number, ...]) -> None:
        self._fence += 1
        self.calls += 1
        self.busy_until = now + self._gap
        call = Call(self._fence, now, numbers)
        for number in numbers:
            self._flying[number.item_id] = self._fence
        self._box.agenda.plan(now + LATENCY, self._door.receive, self, call)

    # Outcomes

    def done(self, call: Call) -> None:
        """The channel has these numbers, and said so."""
        now = self._box.agenda.now
        self._failures = 0
        for number in call.numbers:
            if not self._is_current(call, number):
                continue
            self._land(number)
            self._unknown.pop(number.item_id, None)
            self.acked[number.item_id] = number
            since = self.owed.get(number.item_id)
            if since is not None:
                self.lags.append(now - since)
            if max(0, self.view.ats(number.item_id)) == number.units:
                self.owed.pop(number.item_id, None)
            else:
                self._owe_again(number)
        if self.owed:
            self._gather()

    def busy(self, call: Call) -> None:
        """It was not done; later it will be."""
        for number in call.numbers:
            if self._is_current(call, number):
                self._land(number)
        self._try_later()

    def unanswered(self, call: Call) -> None:
        """No answer in time: it may have been done or not."""
        for number in call.numbers:
            if self._is_current(call, number):
                self._land(number)
                self._unknown[number.item_id] = number
        self._try_later()

    def _try_later(self) -> None:
        self._failures += 1
        self._wake(self._box.agenda.now + int(wait_s(self._failures, self._chance.random()) * SECOND))

    def _is_current(self, call: Call, number: Number) -> bool:
        """Whether an outcome belongs to the attempt under way; a late one changes nothing."""
        return self._flying.get(number.item_id) == call.fence

    def _land(self, number: Number) -> None:
        del self._flying[number.item_id]

    def _owe_again(self, number: Number) -> None:
        self.owed[number.item_id] = self._box.agenda.now
