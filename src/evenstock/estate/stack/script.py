"""What everybody does on one day: a play in the box, written down as it meets the hub, to be done again at a real one.

The box decides who comes, who buys, what is counted and lost, and which messages are repeated, overtaken or kept while a line
is down; here stands what reaches the hub's door, and in which order each sender says it.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from evenstock.core.events import Event
from evenstock.core.reservations import Answer, Command, Refused
from evenstock.estate.box.agenda import HOUR
from evenstock.estate.box.box import PARTS, Box
from evenstock.estate.box.oracle import Vector, books
from evenstock.estate.box.play import played
from evenstock.estate.box.process import Process, Waiting
from evenstock.estate.box.scenario import Channel, Scenario
from evenstock.estate.box.told import Spot


class Sent(NamedTuple):
    """A sender says something: one request."""

    at: int  # µs of the scenario
    sender: str
    events: tuple[Event, ...]


class Added(NamedTuple):
    """Head office adds an item."""

    at: int
    sku: str


class Asked(NamedTuple):
    """A customer's order: one step of it."""

    at: int
    ref: str  # of the order; its steps follow each other
    reservation: int  # in the box
    command: Command


Step = Sent | Added | Asked


class Script(NamedTuple):
    """A day, written down."""

    scenario: Scenario
    seed: int
    steps: list[Step]
    skus: list[str]
    late_skus: frozenset[str]  # not in the master in the morning
    places: list[str]
    channels: tuple[Channel, ...]
    facts: int  # different ones
    should: dict[Spot, Vector]  # what the books must say at the end
    ends: int

    def instant(self, at: int) -> datetime:
        """A time of the scenario on its own clock."""
        return self.scenario.opens_at + timedelta(microseconds=at)


class Wrong(Exception):  # noqa: N818 - it names what happened
    """The play itself was not right, so nothing can be learned from it."""


def write(scenario: Scenario, seed: int) -> Script:
    """Play a day in the box, and write it down. Raises Wrong.

    Registers with a wrong clock are left out: how a clock that is ahead is dealt with depends on the hub's own time, and clocks of
    whole machines are set wrong instead.
    """
    scenario = msgspec.structs.replace(
        scenario, faults=msgspec.structs.replace(scenario.faults, skewed=0, crashes=0)
    )
    notes = _Notes()
    box, findings = played(scenario, seed, parts=PARTS._replace(process=notes.process))
    if findings:
        raise Wrong(f"{findings[0].check}: {findings[0].words}")
    late = {fault.who[0]: fault.ends for fault in box.faults if fault.kind == "unmapped"}
    steps = notes.steps + [Added(ends, sku) for sku, ends in late.items()]
    steps.sort(key=lambda step: step.at)
    kept = [record.told for record in box.witness.records.values()]
    return Script(
        scenario=scenario,
        seed=seed,
        steps=steps,
        skus=list(box.skus),
        late_skus=frozenset(late),
        places=list(box.place_ids),
        channels=scenario.channels,
        facts=len(kept),
        should=books(kept, lambda told: told.stamp),
        ends=max(steps[-1].at, int(scenario.hours * HOUR)),
    )


class _Notes:
    """Takes down what reaches the hub."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def process(self, box: Box) -> Process:
        return _Noted(box, self.steps)


class _Noted(Process):
    """The hub's process in the box, with somebody who writes."""

    def __init__(self, box: Box, steps: list[Step]) -> None:
        super().__init__(box)
        self._steps = steps
        self._refs: dict[int, str] = {}

    def _apply(self, waiting: list[Waiting], *, is_acked: bool) -> None:
        for line, batch, arrived in waiting:
            self._steps.append(Sent(arrived, line.name, tuple(map(self._box.read, batch))))
        super()._apply(waiting, is_acked=is_acked)

    def promise(self, command: Command) -> Answer | Refused:
        number = command.reservation_id
        ref = getattr(command, "order_ref", None) or self._refs.get(number, "")
        self._refs[number] = ref
        self._steps.append(Asked(self._box.agenda.now, ref, number, command))
        return super().promise(command)


def without(script: Script, keys: Iterable[tuple[str, str]]) -> Script:
    """The same day, in which somebody loses these facts on the way to the hub."""
    gone = set(keys)
    steps: list[Step] = [
        step._replace(events=tuple(e for e in step.events if (e.source, e.id) not in gone))
        if isinstance(step, Sent)
        else step
        for step in script.steps
    ]
    return script._replace(steps=[step for step in steps if not isinstance(step, Sent) or step.events])
