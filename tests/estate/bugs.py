"""Bugs to plant in the estate in a box: each takes the parts of a play and hands them back with one of them broken.

Production code knows nothing of this; what is broken is a rule handed to the hub, or a part of the box in its place.
"""

from collections.abc import Callable
from typing import Any

from evenstock.estate.box.box import PARTS, Parts
from evenstock.estate.box.hub import Hub
from evenstock.estate.box.lines import Line
from evenstock.estate.box.memory import FactKey, Kept

Plant = Callable[[], Parts]


def no_dedupe() -> Parts:
    """A fact that comes again is booked again."""

    class Forgetful(Hub):
        def _standing(self, batch: Any, key: FactKey) -> Kept | None:
            del batch, key
            return None

    return PARTS._replace(hub=Forgetful)


def buffered_fact_lost() -> Parts:
    """The shop's buffer loses its first ticket when the line comes back."""

    class Leaky(Line):
        def _come_back(self) -> None:
            for told in self.kept[:1]:
                self._box.witness.pending.pop(id(told))
            del self.kept[:1]
            super()._come_back()

    return PARTS._replace(line=Leaky)


def hold_never_ends() -> Parts:
    """A cart that is not paid holds its units for ever."""

    class Patient(Hub):
        def expire(self, reservation_id: int, now: Any) -> None:
            del reservation_id, now

    return PARTS._replace(hub=Patient)


BUGS: tuple[Plant, ...] = (no_dedupe, buffered_fact_lost, hold_never_ends)
