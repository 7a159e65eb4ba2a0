"""How facts travel: at once or by the batch, in order or not, twice, late, and after an outage all together."""

from typing import TYPE_CHECKING, Final

from evenstock.estate.box.agenda import MINUTE, MS, SECOND
from evenstock.estate.box.told import Told
from evenstock.estate.chance import stream

if TYPE_CHECKING:
    from evenstock.estate.box.box import Box

LATENCY: Final = 150 * MS
TIMEOUT: Final = 10 * SECOND  # without an answer, a sender tries again
OVERTAKEN: Final = (5.0, 90.0)  # seconds
REPEATED: Final = (1.0, 300.0)  # seconds
CALLBACK: Final = 20 * SECOND  # spread of senders that come back to a hub that was away


class Line:
    """One sender's way to the hub."""

    def __init__(self, box: "Box", name: str, upload_every: int = 0) -> None:
        self.name = name
        self._box = box
        self._every = upload_every
        self._chance = stream(box.seed, name, "line")
        self._noise = box.scenario.faults
        self.kept: list[Told] = []  # what the hub cannot know yet
        self._is_planned = False
        self._last = 0
        self.cut_since: int | None = None

    def send(self, told: Told) -> None:
        """Somebody has something to report."""
        self._box.witness.said(told)
        if self.cut_since is not None:
            self.kept.append(told)
        elif self._every:
            self.kept.append(told)
            self._plan_upload()
        else:
            self._carry([told])

    def _plan_upload(self) -> None:
        if not self._is_planned:
            self._is_planned = True
            now = self._box.agenda.now
            self._box.agenda.plan((now // self._every + 1) * self._every, self._upload)

    def _upload(self) -> None:
        self._is_planned = False
        if self.cut_since is None and self.kept:
            batch, self.kept = self.kept, []
            self._carry(batch)

    # Outages

    def cut(self) -> None:
        """The line is cut; what is reported now is kept in the shop."""
        if self.cut_since is None:
            self.cut_since = self._box.agenda.now

    def restore(self) -> None:
        """The line is back; what was kept goes out at once."""
        if self.cut_since is not None:
            self.cut_since = None
            self._come_back()

    def _come_back(self) -> None:
        self._upload()

    # Under way

    def _carry(self, batch: list[Told]) -> None:
        chance, noise, agenda = self._chance, self._noise, self._box.agenda
        luck = chance.random()
        latency = int(chance.expovariate(1 / LATENCY))
        if luck < noise.lost:
            agenda.plan(agenda.now + TIMEOUT, self.again, batch)
            return
        arrives = self._last = max(self._last, agenda.now + latency)
        luck -= noise.lost
        if luck < noise.overtaken:
            arrives += int(chance.uniform(*OVERTAKEN) * SECOND)
        agenda.plan(arrives, self._box.process.arrive, self, batch)
        luck -= noise.overtaken
        if 0 <= luck < noise.repeated:
            later = arrives + int(chance.uniform(*REPEATED) * SECOND)
            agenda.plan(later, self._box.process.arrive, self, batch)

    def again(self, batch: list[Told]) -> None:
        """There was no answer, or none that says that it is safe: the same once more."""
        if self.cut_since is not None:
            self.kept = [*batch, *self.kept]
        else:
            self._carry(batch)

    def call_back(self, batch: list[Told], up_at: int) -> None:
        """The hub is away: come back when it is there, not all at once."""
        self._box.agenda.plan(up_at + int(self._chance.random() * CALLBACK), self.again, batch)

    def send_again(self, batch: list[Told]) -> None:
        """Old facts once more, because somebody pressed the wrong button."""
        self._box.agenda.plan(self._box.agenda.now + int(self._chance.random() * MINUTE), self.again, batch)
