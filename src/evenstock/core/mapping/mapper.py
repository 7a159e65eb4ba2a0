"""One row after another becomes an event that the hub's own reader took, a counted skip, or a problem.

What holds: two rows with the same key carry the same event, whatever the order of the file, because every column that the
event reads must stand in a key that counts occurrences.
"""

from typing import Any

import msgspec

from evenstock.core.errors import Problem, Refusal
from evenstock.core.mapping.form import Items, Key, Location, Mapping, Row, Rule
from evenstock.core.mapping.plan import Plan, Plans
from evenstock.core.mapping.problems import SHOWN_MAX, problem
from evenstock.core.reading import Received, Refused, is_identifier, read_event

KEYS_MAX = 10_000_000  # distinct keys that one run remembers to count occurrences, about 200 bytes each
NAME_MAX = 2_000  # characters kept of an item's name
SAME_FACT = "the same fact as an earlier row"


class Mapped(msgspec.Struct, frozen=True):
    """The events of a row, and the item to make known before them."""

    events: tuple[Received, ...]
    item: dict[str, Any] | None = None  # as `/v1/items:batch` takes it


class Skipped(msgspec.Struct, frozen=True):
    """The row is no stock event, and the mapping says so."""

    reason: str


class Rejected(msgspec.Struct, frozen=True):
    """The row could not be understood; the problem's pointer names the column, or the place in the event."""

    problem: Problem


Outcome = Mapped | Skipped | Rejected


class Mapper:
    """Turns the rows of one run into events, in the order of the file.

    It remembers one number per distinct key where the mapping counts occurrences (up to KEYS_MAX), so one Mapper serves
    one run over one file, and a run that continues shows it the earlier rows again.
    """

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self.locations = [
            _without_none(each) for each in mapping.location
        ]  # as `/v1/locations:batch` takes them
        self._plans = Plans(mapping)
        self._seen: dict[str, int] = {}

    def outcome_of(self, row: Row) -> Outcome:
        """What a row means: by the first rule that holds for it."""
        try:
            plan = self._plans.plan_for(row)
            if plan is not None:
                return Skipped(plan.rule.skip) if plan.rule.skip is not None else self._mapped(plan, row)
        except Refusal as refusal:
            return Rejected(refusal.problem)
        return Rejected(Problem("mapping.no_rule", f"No rule of the mapping takes this row: {shown(row)}."))

    def _mapped(self, plan: Plan, row: Row) -> Outcome:
        at = self._plans.instant(row)
        data = plan.data.read(row, at)
        if (line := plan.line_of(row, at, "1")) is not None:
            data["lines"] = [line]
        item = _item(self.mapping.items, plan.rule, row)
        key = plan.key_of(row, at)
        nth = self._nth(plan.key, key)
        if plan.key.once and nth > 1:
            return Skipped(SAME_FACT)
        read = read_event(
            {
                "specversion": "1.0",
                "id": f"{key}/{nth}" if plan.key.occurrence else key,
                "source": self.mapping.source,
                "type": plan.rule.event,
                "time": at.text,
                "data": data,
            }
        )
        return Rejected(_of_the_event(read)) if isinstance(read, Refused) else Mapped((read,), item)

    def _nth(self, key: Key, text: str) -> int:
        if not (key.occurrence or key.once):
            return 1
        nth = self._seen.get(text, 0) + 1
        if nth == 1 and len(self._seen) >= KEYS_MAX:
            raise Refusal("limit.keys", f"The file has more than {KEYS_MAX:,} distinct keys.")
        self._seen[text] = nth
        return nth


def _item(items: Items | None, rule: Rule, row: Row) -> dict[str, Any] | None:
    """The row's item as `/v1/items:batch` takes it."""
    if items is None or not items.create or not (sku := row.get(items.sku)):
        return None
    if not is_identifier(sku):
        raise problem(
            "identifier.characters", items.sku, sku, "has characters that an identifier may not have"
        )
    item: dict[str, Any] = {"sku": sku, "base_uom": items.uom, "scale": items.scale}
    if items.name and rule.names_items and (name := row.get(items.name)):
        item["name"] = name[:NAME_MAX]
    return item


def _of_the_event(refused: Refused) -> Problem:
    """What the hub would answer; here the row is still at hand."""
    found = refused.problem
    return Problem(
        found.code, f"{found.detail.removesuffix('.')}, at {found.pointer[1:]} of the event.", found.pointer
    )


def _without_none(location: Location) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(location).items() if value is not None}


def shown(row: Row) -> str:
    text = ", ".join(f"{name}={_plain(row, name)}" for name in row)
    return text if len(text) <= 3 * SHOWN_MAX else text[: 3 * SHOWN_MAX] + "…"


def _plain(row: Row, name: str) -> str:
    """A value as it is shown: what is no text, as the lines of a document, is there and left out."""
    try:
        return row[name]
    except Refusal:
        return "…"
