"""The hub as a process: what arrives waits a moment and is applied as one batch; it can crash in the middle of one."""

from typing import TYPE_CHECKING, Final, Literal

from evenstock.core.reservations import Answer, Command, Refused
from evenstock.estate.box.agenda import MS
from evenstock.estate.box.hub import Arrived
from evenstock.estate.box.lines import TIMEOUT, Line
from evenstock.estate.box.told import Told

if TYPE_CHECKING:
    from evenstock.estate.box.box import Box

GATHERED: Final = 500 * MS  # while which events become one batch

Crash = Literal["before_commit", "after_commit"]
Waiting = tuple[Line, list[Told], int]


class Process:
    """The door of the hub, its queue, and its life."""

    def __init__(self, box: "Box") -> None:
        self._box = box
        self._inbox: list[Waiting] = []
        self._is_planned = False
        self._crash: Crash | None = None
        self._away = 0
        self.up_at = 0

    @property
    def is_up(self) -> bool:
        return self._box.agenda.now >= self.up_at

    def arrive(self, line: Line, batch: list[Told]) -> None:
        """A request reaches the door; it is answered when its batch is committed."""
        if not self.is_up:
            line.call_back(batch, self.up_at)
            return
        self._inbox.append((line, batch, self._box.agenda.now))
        if not self._is_planned:
            self._is_planned = True
            self._box.agenda.plan(self._box.agenda.now + GATHERED, self._work)

    def _work(self) -> None:
        self._is_planned = False
        waiting, self._inbox = self._inbox, []
        if not waiting:
            return
        crash, self._crash = self._crash, None
        if crash is not None:
            self.up_at = self._box.agenda.now + self._away
        if crash != "before_commit":
            self._apply(waiting, is_acked=crash is None)
        if crash is not None:
            self._lose(waiting)

    def _lose(self, waiting: list[Waiting]) -> None:
        """Nobody was answered: everybody tries again."""
        for line, batch, arrived in waiting:
            self._box.agenda.plan(max(arrived + TIMEOUT, self.up_at), line.again, batch)

    def _apply(self, waiting: list[Waiting], *, is_acked: bool) -> None:
        box = self._box
        flat = [(told, arrived) for _, batch, arrived in waiting for told in batch]
        instants = {at: box.instant(at) for _, _, at in waiting}
        arrived = [Arrived(box.read(told), box.connections[told.key[0]], instants[at]) for told, at in flat]
        outcomes = box.hub.apply(arrived, box.instant(box.agenda.now))
        for (told, at), outcome in zip(flat, outcomes, strict=True):
            box.witness.answered(told, at, outcome, is_acked=is_acked)
            if outcome == "conflict":
                box.support.wake()
        box.owe_books()

    def crash(self, kind: Crash, away: int) -> None:
        """The next batch meets its end before or just after its commit; then the hub is away for a while."""
        self._crash, self._away = kind, away

    # Promises

    def promise(self, command: Command) -> Answer | Refused:
        """Ask for a promise now."""
        return self._box.hub.promise(command, self._box.instant(self._box.agenda.now))

    def expire_at(self, reservation_id: int, at: int) -> None:
        """Sweep a hold when its time is over, or as soon as the hub is back."""
        self._box.agenda.plan(at, self._sweep, reservation_id)

    def _sweep(self, reservation_id: int) -> None:
        if not self.is_up:
            self._box.agenda.plan(self.up_at, self._sweep, reservation_id)
            return
        self._box.hub.expire(reservation_id, self._box.instant(self._box.agenda.now))
