"""One day, played: a scenario, a seed and a policy in, what came of it out."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from evenstock.estate.box.agenda import HOUR
from evenstock.estate.box.box import PARTS, Box, Parts
from evenstock.estate.box.calendar import Fault
from evenstock.estate.box.policies import POLICIES, Policy
from evenstock.estate.box.referee import Finding, Referee
from evenstock.estate.box.scenario import Scenario

PLAIN: Final = POLICIES["hub"]


class Played(msgspec.Struct, frozen=True):
    """What came of a play."""

    seed: int
    policy: str
    trace: str  # hash of everything that happened
    facts: int
    findings: tuple[Finding, ...]


def play(scenario: Scenario, seed: int, policy: Policy = PLAIN, parts: Parts = PARTS) -> Played:
    """Play a day and judge it."""
    with no_garbage():
        box, findings = played(scenario, seed, policy, parts)
        made = Played(seed, policy.name, box.trace.end(), box.witness.said_number, findings)
        box.forget()
    return made


def played(
    scenario: Scenario,
    seed: int,
    policy: Policy = PLAIN,
    parts: Parts = PARTS,
    *,
    faults: list[Fault] | None = None,
    keep_trace: bool = False,
) -> tuple[Box, tuple[Finding, ...]]:
    """The same, with everything that was in it; `faults` in place of those of the seed's calendar."""
    with no_garbage():
        box = Box(scenario, seed, policy, parts, faults=faults, keep_trace=keep_trace)
        referee = Referee(box)
        box.agenda.run(box.closes_at)
        box.agenda.run(box.closes_at + int(scenario.settle_hours * HOUR))
        referee.too_late()
        referee.judge()
    return box, tuple(referee.findings)


@contextmanager
def no_garbage() -> Iterator[None]:
    """A play keeps what it makes; looking for garbage among millions of records would take half of the time.

    Who is done with a box inside lets it forget: then its records go one by one, and nobody has to look for them.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
