"""The smallest scenario that still fails: faults, actors and hours are left out as long as the same check fails."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from evenstock.estate.box.agenda import HOUR
from evenstock.estate.box.box import PARTS, Parts
from evenstock.estate.box.calendar import Fault, calendar
from evenstock.estate.box.play import played
from evenstock.estate.box.policies import Policy
from evenstock.estate.box.referee import Finding
from evenstock.estate.box.scenario import Faults, Scenario, Stores
from evenstock.estate.box.timeline import lines

PLAYS_MAX: Final = 200
LINES_MAX: Final = 60  # of a story that is told whole
ABOUT: Final = re.compile(r"\bI[0-9]{4}\b|\b[A-Z]-[\w-]+")

QUIET: Final = Faults(
    lost=0.0, repeated=0.0, overtaken=0.0, outages_per_store_day=0.0, regional=0, swizzles=0, crashes=0, brownouts=0,
    clones=0, reimaged=0, skewed=0, unmapped=0, replays=0,
)  # fmt: skip


class Case(msgspec.Struct, frozen=True):
    """A scenario with its faults named one by one, and what fails in it."""

    scenario: Scenario
    seed: int
    policy: Policy
    faults: tuple[Fault, ...]
    finding: Finding


def case(scenario: Scenario, seed: int, policy: Policy, parts: Parts = PARTS) -> Case | None:
    """What a play fails with first; None when it does not."""
    faults = calendar(scenario, seed)
    finding = _fails(scenario, seed, policy, faults, parts)
    return None if finding is None else Case(scenario, seed, policy, tuple(faults), finding)


def _fails(
    scenario: Scenario,
    seed: int,
    policy: Policy,
    faults: Sequence[Fault],
    parts: Parts,
    check: str | None = None,
) -> Finding | None:
    _, findings = played(scenario, seed, policy, parts, faults=list(faults))
    return next((found for found in findings if check in {None, found.check}), None)


def smallest(
    found: Case, parts: Parts = PARTS, *, enough: Callable[[int], bool] = lambda plays: plays >= PLAYS_MAX
) -> Case:
    """Leave out whatever can be left out while the same check fails, until nothing can or `enough` plays were played."""
    plays, kept = 0, found
    smaller = _smaller(kept)
    while not enough(plays) and (step := next(smaller, None)) is not None:
        plays += 1
        scenario, faults = step
        finding = _fails(scenario, kept.seed, kept.policy, faults, parts, kept.finding.check)
        if finding is not None:
            kept = Case(scenario, kept.seed, kept.policy, tuple(faults), finding)
            smaller = _smaller(kept)
    return kept


def retold(found: Case, parts: Parts = PARTS) -> list[str]:
    """What happened in a case, line by line; where that is long, only what is about the item or the fact that is wrong."""
    box, _ = played(
        found.scenario, found.seed, found.policy, parts, faults=list(found.faults), keep_trace=True
    )
    box.trace.end()
    notes = box.trace.kept or []
    about = ABOUT.search(found.finding.words) if len(notes) > LINES_MAX else None
    return list(lines(notes, box.instant, about[0] if about else ""))


def _smaller(case: Case) -> Iterator[tuple[Scenario, Sequence[Fault]]]:
    """Scenarios with less in them, the boldest cuts first."""
    scenario, faults = case.scenario, case.faults
    half = len(faults) // 2
    if faults:
        yield scenario, ()
    if half:
        yield scenario, faults[:half]
        yield scenario, faults[half:]
    for changed in _without(scenario):
        yield changed, _still_there(changed, faults)
    if len(faults) > 1:
        for index in range(len(faults)):
            yield scenario, [*faults[:index], *faults[index + 1 :]]


def _without(scenario: Scenario) -> Iterator[Scenario]:
    """Fewer actors, less time, calmer lines."""

    def changed(**changes: object) -> Scenario:
        return msgspec.structs.replace(scenario, **changes)

    if scenario.faults != QUIET:
        yield changed(faults=QUIET)
    for stores in _fewer(scenario.stores):
        yield changed(stores=stores)
    if scenario.hours > 1:
        yield changed(hours=scenario.hours / 2)
    if scenario.books is not None:
        yield changed(books=None)
    if scenario.depot is not None:
        yield changed(depot=None)
    for channel in scenario.channels:
        yield changed(channels=tuple(other for other in scenario.channels if other is not channel))


def _fewer(stores: Stores) -> Iterator[Stores]:
    """Fewer stores, and less that happens in them."""
    if stores.number > 1:
        yield msgspec.structs.replace(stores, number=stores.number // 2)
        yield msgspec.structs.replace(stores, number=stores.number - 1)
    for name in ("returns", "mistakes", "misscans", "shrink_per_hour", "counts_per_hour", "wrong_records"):
        if getattr(stores, name):
            yield msgspec.structs.replace(stores, **{name: 0.0})


def _still_there(scenario: Scenario, faults: Sequence[Fault]) -> list[Fault]:
    """The faults of whoever is left."""
    known = {f"s{number:03d}" for number in range(1, scenario.stores.number + 1)}
    known |= {channel.id for channel in scenario.channels}
    known |= {f"I{number:04d}" for number in range(scenario.items)}
    closes = int(scenario.hours * HOUR)
    kept = []
    for fault in faults:
        who = tuple(name for name in fault.who if name in known)
        if fault.begins < closes and (who or fault.kind == "crash"):
            kept.append(msgspec.structs.replace(fault, who=who, ends=min(fault.ends, closes)))
    return kept
