"""What somebody upsets in a show, from outside: stores without a line, everything said twice, tills with codes that nobody knows."""

from collections import deque
from typing import Any, Final

import msgspec

from evenstock.estate.actors import POS
from evenstock.estate.facts import Fact
from evenstock.estate.links import Delivery
from evenstock.estate.pace import Pace

REMEMBERED: Final = 200  # facts that are said again at once when repeating begins
AGAIN_AFTER_S: Final = 0.3
CODE: Final = "K-"  # the till's own code of an item, before its sku


class Upsets:
    """What is upset now. World time in µs."""

    def __init__(self, pace: Pace) -> None:
        self.offline: dict[str, bool] = {}  # stores without a line, and whether that is a secret
        self.recoded: str | None = None  # the store whose tills name items by a code of their own
        self.repeats = False
        self.codes: set[str] = set()  # skus that were named like that
        self._pace = pace
        self._kept: dict[str, list[Fact]] = {}
        self._recent: deque[Fact] = deque(maxlen=REMEMBERED)

    def waiting(self, location: str) -> int:
        """Facts that a store keeps for want of a line."""
        return len(self._kept.get(location, ()))

    def meets(self, fact: Fact) -> Fact | None:
        """The fact as it goes out; None when it stays in the shop for now."""
        if fact.location == self.recoded and fact.source == POS and fact.type.startswith("SaleRecorded"):
            fact = self._renamed(fact)
        if fact.location in self.offline:
            self._kept.setdefault(fact.location, []).append(fact)
            return None
        return fact

    def arrived(self, delivery: Delivery) -> None:
        """The hub was told."""
        if delivery.kind == "first":
            self._recent.append(delivery.fact)

    def also(self, delivery: Delivery) -> list[Delivery]:
        """What reaches the hub with a delivery."""
        if not self.repeats or delivery.kind == "again":
            return [delivery]
        return [delivery, self._again(delivery.fact, delivery.at)]

    def said_lately(self, now: int) -> list[Delivery]:
        """The latest facts, once more."""
        return [self._again(fact, now) for fact in self._recent]

    def reconnect(self, store: str, now: int) -> list[Delivery]:
        """The store's line is back: what it kept goes out at once."""
        del self.offline[store]
        return [Delivery(now, fact, late=True) for fact in self._kept.pop(store, [])]

    def _again(self, fact: Fact, at: int) -> Delivery:
        return Delivery(at + int(AGAIN_AFTER_S * self._pace.second), fact, "again")

    def _renamed(self, fact: Fact) -> Fact:
        lines: list[dict[str, Any]] = []
        for line in fact.data["lines"]:
            sku = line["item"]["sku"]
            self.codes.add(sku)
            lines.append(line | {"item": {"id": CODE + sku}})
        return msgspec.structs.replace(fact, data=fact.data | {"lines": lines})
