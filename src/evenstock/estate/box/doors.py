"""A channel's own side: the stock that its customers see, and an interface that has bad days."""

from typing import TYPE_CHECKING, Final

from evenstock.estate.box.agenda import SECOND
from evenstock.estate.box.exposing import ANSWER_WITHIN, LATENCY, Call, Number, Sender
from evenstock.estate.box.scenario import Channel
from evenstock.estate.chance import stream

if TYPE_CHECKING:
    from evenstock.estate.box.box import Box

BAD_DAYS: Final = ("busy", "lost", "cut", "slow")  # what a call meets in a brownout
BAD_WEIGHTS: Final = (4, 2, 2, 2)
SLOW: Final = (40, 240)  # seconds until a slow call is done


class Door:
    """What a channel believes that it may sell."""

    def __init__(self, box: "Box", channel: Channel) -> None:
        self.channel = channel
        self.told: dict[int, int] = {}
        self.unfetched: dict[int, int] = {}  # sold here, and not known to the hub yet
        self.refuses_until = 0
        self.stale_refused = 0
        self._box = box
        self._versions: dict[int, int] = {}
        self._chance = stream(box.seed, channel.id, "interface")

    def open_with(self, numbers: dict[int, Number]) -> None:
        """What is for sale when the doors open."""
        self.told = {item_id: number.units for item_id, number in numbers.items()}
        self._versions = {item_id: number.version for item_id, number in numbers.items()}

    def shown(self, item_id: int) -> int:
        """What a customer sees."""
        return self.told.get(item_id, 0) - self.unfetched.get(item_id, 0)

    def in_brownout(self) -> bool:
        return self._box.agenda.now < self.refuses_until

    def receive(self, sender: Sender, call: Call) -> None:
        """A call arrives."""
        agenda = self._box.agenda
        fate = self._chance.choices(BAD_DAYS, BAD_WEIGHTS)[0] if self.in_brownout() else "good"
        self._box.trace.note(agenda.now, "call", self.channel.id, fate, len(call.numbers))
        if fate == "busy":
            agenda.plan(agenda.now + LATENCY, sender.busy, call)
            return
        if fate in {"good", "cut"}:
            self._take(call)
        if fate == "good":
            agenda.plan(agenda.now + LATENCY, sender.done, call)
            return
        agenda.plan(call.sent_at + ANSWER_WITHIN, sender.unanswered, call)
        if fate == "slow":
            after = self._chance.randint(*SLOW) * SECOND
            agenda.plan(call.sent_at + after, self._take_late, sender, call)

    def _take_late(self, sender: Sender, call: Call) -> None:
        self._take(call)
        self._box.agenda.plan(self._box.agenda.now + LATENCY, sender.done, call)

    def _take(self, call: Call) -> None:
        for number in call.numbers:
            if self._is_newer(number.item_id, number.version):
                self._versions[number.item_id] = number.version
                self.told[number.item_id] = number.units
                self._note(number)
            else:
                self.stale_refused += 1

    def _note(self, number: Number) -> None:
        sku = self._box.skus[number.item_id - 1]
        self._box.trace.note(self._box.agenda.now, "shows", self.channel.id, sku, number.units)

    def _is_newer(self, item_id: int, version: int) -> bool:
        """An older number than the one that is there is not taken (compare and set)."""
        return version > self._versions.get(item_id, 0)
