"""Who saw everything: what was said, when the hub took it, what it answered. The hub never looks here."""

from collections import defaultdict
from typing import Final

from evenstock.estate.box.agenda import MINUTE
from evenstock.estate.box.hub import TAKEN, Outcome
from evenstock.estate.box.told import Spot, Told
from evenstock.estate.box.trace import Trace

LATE: Final = MINUTE  # from there on a fact explains why a number was wrong

Key = tuple[str, str]


class Record:
    """What stands under a key, and what became of it on its way."""

    __slots__ = ("acked", "arrived", "outcome", "told")

    def __init__(self, told: Told) -> None:
        self.told = told  # the first that the hub kept; until then the first that was said
        self.arrived: int | None = None
        self.acked = False
        self.outcome: Outcome | None = None  # of that first time


class Witness:
    """The records of one play."""

    def __init__(self, trace: Trace) -> None:
        self.records: dict[Key, Record] = {}
        self.behind: defaultdict[str, int] = defaultdict(int)  # how many of them, by sender
        self.clashes: dict[int, Told] = {}  # refused under a name that another fact has
        self.mended: set[int] = set()  # of those: said again under a name of their own
        self.said_number = 0
        self.pending: dict[int, Told] = {}  # said, and not known to the hub
        self._leaving: defaultdict[Spot, dict[int, tuple[int, int]]] = defaultdict(
            dict
        )  # of those, what left: when, and how many units
        self.late: dict[Spot, list[tuple[int, int]]] = {}  # outflows known late: happened, arrived
        self.repeats = 0
        self.lags: list[int] = []
        self.surprises: list[str] = []
        self._trace = trace

    def said(self, told: Told) -> None:
        """Somebody reports a fact."""
        self.said_number += 1
        number = id(told)
        self.pending[number] = told
        for moved in told.moved:
            if moved.from_place == "sellable":
                self._leaving[moved.spot][number] = (told.at, moved.units)
        self.behind[told.sender] += 1
        if told.key not in self.records:
            self.records[told.key] = Record(told)

    def answered(self, told: Told, arrived: int, outcome: Outcome, *, is_acked: bool) -> None:
        """The hub has decided about a fact that arrived then."""
        self._trace.note(arrived, outcome, *told.key)
        record = self.records[told.key]
        if self.pending.pop(id(told), None) is not None:
            self.behind[told.sender] -= 1
            for moved in told.moved:
                if moved.from_place == "sellable":
                    self._leaving[moved.spot].pop(id(told), None)
        if outcome not in TAKEN:
            if outcome == "conflict":
                self.clashes[id(told)] = told
            else:
                self.surprises.append(f"{told.key[1]} was {outcome}")
            return
        if record.arrived is None:
            record.told = told
            record.arrived = arrived
            record.outcome = outcome
            self._first(told, arrived)
        else:
            self.repeats += 1
        record.acked |= is_acked

    def unknown_yet(self, spot: Spot) -> list[tuple[int, int]]:
        """Outflows of a spot that the hub cannot know: when, and how many units."""
        return list(self._leaving.get(spot, {}).values())

    def is_behind(self, place: str) -> bool:
        """Whether somebody there has said what the hub does not know."""
        return self.behind[place] > 0

    def _first(self, told: Told, arrived: int) -> None:
        lag = arrived - told.at
        self.lags.append(lag)
        if lag > LATE:
            for moved in told.moved:
                if moved.from_place == "sellable":
                    self.late.setdefault(moved.spot, []).append((told.at, arrived))
