"""What goes wrong, and when: drawn once from the seed, as a list from which any entry can be left out."""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from evenstock.estate.box.agenda import HOUR, MINUTE, SECOND
from evenstock.estate.box.scenario import Scenario
from evenstock.estate.chance import stream

if TYPE_CHECKING:
    from evenstock.estate.box.box import Box

Kind = Literal[
    "outage", "regional outage", "crash", "brownout", "clone", "reimage", "clock", "unmapped", "replay",
]  # fmt: skip
DAY_HOURS: Final = 24
EVERY_FIFTH: Final = 5
SKEWS: Final = (-26 * HOUR, -3 * MINUTE, -40 * SECOND, 40 * SECOND, 3 * MINUTE, 2 * HOUR)
CRASHES: Final = ("before_commit", "after_commit")


class Fault(msgspec.Struct, frozen=True):
    """One thing that goes wrong, from when until when, for whom."""

    kind: Kind
    begins: int
    ends: int
    who: tuple[str, ...] = ()
    detail: int = 0


def calendar(scenario: Scenario, seed: int) -> list[Fault]:
    """The faults of a day. Those of one kind never depend on those of another."""
    drawn = [
        *_outages(scenario, seed),
        *_regional(scenario, seed),
        *_swizzles(scenario, seed),
        *_others(scenario, seed),
    ]
    return sorted(drawn, key=lambda fault: (fault.begins, fault.kind, fault.who))


def store_name(number: int) -> str:
    return f"s{number:03d}"


def _span(chance: Random, scenario: Scenario, minutes: float) -> tuple[int, int]:
    closes = int(scenario.hours * HOUR)
    begins = int(chance.random() * closes * 0.9)
    return begins, min(closes, begins + MINUTE + int(chance.expovariate(1 / minutes) * MINUTE))


def _outages(scenario: Scenario, seed: int) -> list[Fault]:
    found = []
    rate = scenario.faults.outages_per_store_day * scenario.hours / DAY_HOURS
    for number in range(1, scenario.stores.number + 1):
        chance = stream(seed, store_name(number), "outages")
        left = chance.expovariate(1.0)
        while left < rate:
            found.append(
                Fault(
                    "outage", *_span(chance, scenario, scenario.faults.outage_minutes), (store_name(number),)
                )
            )
            left += chance.expovariate(1.0)
    return found


def _regional(scenario: Scenario, seed: int) -> list[Fault]:
    chance = stream(seed, "region", "outages")
    found = []
    for _ in range(scenario.faults.regional):
        first = int(chance.random() * EVERY_FIFTH)
        who = tuple(store_name(n + 1) for n in range(first, scenario.stores.number, EVERY_FIFTH))
        span = _span(chance, scenario, 2 * scenario.faults.outage_minutes)
        if who:
            found.append(Fault("regional outage", *span, who))
    return found


def _swizzles(scenario: Scenario, seed: int) -> list[Fault]:
    """Half of the stores lose their line one by one, and come back in another order."""
    chance = stream(seed, "region", "swizzle")
    found = []
    for _ in range(scenario.faults.swizzles):
        who = chance.sample(range(1, scenario.stores.number + 1), (scenario.stores.number + 1) // 2)
        begins, ends = _span(chance, scenario, scenario.faults.outage_minutes)
        step = (ends - begins) // (2 * len(who) + 1)
        back = chance.sample(range(len(who)), len(who))
        found += [
            Fault("outage", begins + turn * step, ends - back[turn] * step, (store_name(number),))
            for turn, number in enumerate(who)
        ]
    return found


def _others(scenario: Scenario, seed: int) -> list[Fault]:
    faults = scenario.faults
    found = []
    stores = scenario.stores.number
    for kind, number, minutes in (
        ("crash", faults.crashes, 2.0),
        ("brownout", faults.brownouts if scenario.channels else 0, 15.0),
        ("clone", faults.clones if scenario.stores.registers > 1 else 0, 60.0),
        ("reimage", faults.reimaged, 1.0),
        ("clock", faults.skewed, 90.0),
        ("unmapped", faults.unmapped, 90.0),
        ("replay", faults.replays, 1.0),
    ):
        chance = stream(seed, "calendar", kind)
        for turn in range(number):
            begins, ends = _span(chance, scenario, minutes)
            store = store_name(1 + int(chance.random() * stores))
            luck = int(chance.random() * 1_000_000)
            who: tuple[str, ...] = (store,)
            if kind == "crash":
                luck = turn % len(CRASHES)
            elif kind == "brownout":
                who = (scenario.channels[luck % len(scenario.channels)].id,)
            elif kind == "unmapped":
                begins, who = 0, (f"I{luck % scenario.items:04d}",)
            found.append(Fault(kind, begins, ends, who, luck))  # type: ignore[arg-type]  # one of the kinds
    return found


Action = Callable[[Fault], None]


class Mishaps:
    """Makes the faults of a calendar happen."""

    def __init__(self, box: "Box", faults: list[Fault]) -> None:
        self._box = box
        self._cut: dict[str, int] = {}  # outages that last, by store
        for fault in faults:
            begin, end = self._actions(fault)
            box.agenda.plan(fault.begins, begin, fault)
            if end is not None:
                box.agenda.plan(fault.ends, end, fault)

    def _actions(self, fault: Fault) -> tuple[Action, Action | None]:  # noqa: PLR0911 - one for each kind
        """What a fault does when it begins and when it ends."""
        match fault.kind:
            case "outage" | "regional outage":
                return self._cut_off, self._reconnect
            case "crash":
                return self._crash, None
            case "brownout":
                return self._brown_out, None
            case "clone":
                return self._clone, self._unmask
            case "reimage":
                return self._reimage, None
            case "clock":
                return self._skew, self._set_clock
            case "unmapped":
                return self._note, self._map
            case "replay":
                return self._replay, None

    def _note(self, fault: Fault) -> None:
        self._box.trace.note(self._box.agenda.now, "fault", fault.kind, *fault.who)

    def _cut_off(self, fault: Fault) -> None:
        self._note(fault)
        for name in fault.who:
            self._cut[name] = self._cut.get(name, 0) + 1
            self._box.lines[name].cut()
            self._box.silence.fell_silent(name)

    def _reconnect(self, fault: Fault) -> None:
        for name in fault.who:
            self._cut[name] -= 1
            if not self._cut[name]:
                self._box.trace.note(self._box.agenda.now, "back", name)
                self._box.lines[name].restore()
                self._box.silence.is_back(name)

    def _crash(self, fault: Fault) -> None:
        self._note(fault)
        self._box.process.crash(CRASHES[fault.detail], fault.ends - fault.begins)

    def _brown_out(self, fault: Fault) -> None:
        self._note(fault)
        door = self._box.doors[fault.who[0]]
        door.refuses_until = max(door.refuses_until, fault.ends)

    def _clone(self, fault: Fault) -> None:
        self._note(fault)
        self._box.store(fault.who[0]).clone()

    def _unmask(self, fault: Fault) -> None:
        self._box.store(fault.who[0]).unmask()

    def _reimage(self, fault: Fault) -> None:
        self._note(fault)
        registers = self._box.store(fault.who[0]).registers
        registers[fault.detail % len(registers)].install()

    def _skew(self, fault: Fault) -> None:
        self._note(fault)
        self._box.wrong_clocks.add(fault.who[0])
        registers = self._box.store(fault.who[0]).registers
        registers[fault.detail % len(registers)].clock_error = SKEWS[fault.detail % len(SKEWS)]

    def _set_clock(self, fault: Fault) -> None:
        registers = self._box.store(fault.who[0]).registers
        registers[fault.detail % len(registers)].clock_error = 0

    def _map(self, fault: Fault) -> None:
        self._box.support.add_item(fault.who[0])

    def _replay(self, fault: Fault) -> None:
        self._note(fault)
        self._box.support.replay(fault.who[0])
