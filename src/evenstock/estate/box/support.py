"""The people behind the hub: they read its exceptions, add what is missing, send again what was refused, and err."""

from typing import TYPE_CHECKING, Final

import msgspec

from evenstock.core.masters import Item
from evenstock.estate.box.agenda import MINUTE, SECOND
from evenstock.estate.box.told import Told

if TYPE_CHECKING:
    from evenstock.estate.box.box import Box

LOOKS_EVERY: Final = 15 * MINUTE
REPLAYED_MAX: Final = 2_000  # facts
REPLAYED_AT_ONCE: Final = 100


class Support:
    """One desk."""

    def __init__(self, box: "Box") -> None:
        self._box = box
        self._is_planned = False

    def add_item(self, sku: str) -> None:
        """Head office adds an item to the master, at last."""
        box = self._box
        if not box.process.is_up:
            box.agenda.plan(box.process.up_at + SECOND, self.add_item, sku)
            return
        lines = box.hub.add_item(Item(box.items[sku], sku), box.instant(box.agenda.now))
        box.trace.note(box.agenda.now, "mapped", sku, lines)
        box.owe_books()

    def wake(self) -> None:
        """There is an exception to look at, sooner or later."""
        if not self._is_planned:
            self._is_planned = True
            self._box.agenda.plan(self._box.agenda.now + LOOKS_EVERY, self._look)

    def _look(self) -> None:
        """Facts that were refused under a used key are sent again under a key of their own, if anybody says so."""
        self._is_planned = False
        box, witness = self._box, self._box.witness
        for told in list(witness.clashes.values()):
            subject = f"key:{told.key[0]}:{told.key[1]}"
            if id(told) in witness.mended or ("event.key_reused", subject) not in box.hub.memory.exceptions:
                continue
            witness.mended.add(id(told))
            id_ = f"X{len(witness.mended)}-{told.key[1]}"
            event = msgspec.structs.replace(told.event, id=id_, sequence=None)
            again = Told(event, told.at, told.stamp, told.sender, told.moved, told.seen)
            box.lines[told.sender].send(again)

    def replay(self, name: str) -> None:
        """Somebody sends a store's day once more."""
        said = [record.told for record in self._box.witness.records.values() if record.told.sender == name]
        line = self._box.lines[name]
        for start in range(0, min(len(said), REPLAYED_MAX), REPLAYED_AT_ONCE):
            line.send_again(said[start : start + REPLAYED_AT_ONCE])
