"""One row after another becomes an event that the hub's own reader took, a counted skip, or a problem.

What holds: two rows with the same key carry the same event, whatever the order of the file, because every column that the
event reads must stand in a key that counts occurrences.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from evenstock.core.errors import Problem, Refusal
from evenstock.core.mapping.cells import Cells, Read, Test
from evenstock.core.mapping.form import Items, Key, Location, Mapping, Numbers, Row, Rule, Value
from evenstock.core.mapping.problems import SHOWN_MAX, problem
from evenstock.core.mapping.shapes import ITEM, least_of, shape_of
from evenstock.core.mapping.times import Clockwork, Instant
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


class _Field(msgspec.Struct, frozen=True):
    """One field of an event that depends on the row."""

    name: str
    read: Read
    column: str
    required: bool


class _Part(msgspec.Struct, frozen=True):
    """A part of an event: what is the same for every row, and what is read."""

    constants: dict[str, Any]
    fields: tuple[_Field, ...]

    def read(self, row: Row, at: Instant) -> dict[str, Any]:
        found = self.constants.copy()
        for field in self.fields:
            value = field.read(row, at)
            if value is not None:
                found[field.name] = value
            elif field.required:
                raise problem("mapping.empty", field.column, "", f"is empty, and {field.name} must be there")
        return found


class _Plan(msgspec.Struct, frozen=True):
    """One rule, made ready to run."""

    rule: Rule
    all: tuple[Test, ...]
    any: tuple[Test, ...]
    key: Key
    key_parts: tuple[Callable[[Row, Instant], str], ...]
    data: _Part
    line: _Part
    item: _Part | None  # None: the event has no lines

    def holds(self, row: Row) -> bool:
        for test in self.all:
            if not test(row):
                return False
        return not self.any or any(test(row) for test in self.any)


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
        self._clock = Clockwork(mapping.time)
        self._cells = Cells(mapping.numbers, self._clock)
        self._constants = Cells(
            Numbers(), self._clock
        )  # the mapping writes numbers plainly, whatever the file does
        self._seen: dict[str, int] = {}
        self._plans = [self._planned(rule) for rule in mapping.rule]

    def outcome_of(self, row: Row) -> Outcome:
        """What a row means: by the first rule that holds for it."""
        try:
            for plan in self._plans:
                if plan.holds(row):
                    return Skipped(plan.rule.skip) if plan.rule.skip is not None else self._mapped(plan, row)
        except Refusal as refusal:
            return Rejected(refusal.problem)
        return Rejected(Problem("mapping.no_rule", f"No rule of the mapping takes this row: {_shown(row)}."))

    def _mapped(self, plan: _Plan, row: Row) -> Outcome:
        time = self.mapping.time
        if time.column is not None:
            at = self._clock.read(row.get(time.column, ""), time.column)
        else:
            at = self._clock.read(time.constant or "", "constant")
        data = plan.data.read(row, at)
        if plan.item is not None:
            line = plan.line.read(row, at)
            line["item"] = plan.item.read(row, at)
            line.setdefault("line", "1")
            data["lines"] = [line]
        item = _item(self.mapping.items, plan.rule, row)
        key = "/".join([read_part(row, at) for read_part in plan.key_parts])
        nth = self._nth(plan.key, key)
        if plan.key.once and nth > 1:
            return Skipped(SAME_FACT)
        read = read_event(
            {
                "specversion": "1.0",
                "id": f"{key}/{nth}" if plan.key.occurrence else key,
                "source": self.mapping.connection,
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

    def _planned(self, rule: Rule) -> _Plan:
        key = rule.key or self.mapping.key
        nothing = _Part({}, ())
        data, line, item = nothing, nothing, None
        if rule.event is not None:
            shape = shape_of(rule.event)
            data = self._part(rule, rule.event, "fields", shape.fields, shape.fields_required)
            if shape.line:
                line = self._part(rule, rule.event, "line", shape.line - ITEM, shape.line_required)
                item = self._part(rule, rule.event, "line", ITEM, ITEM)
        return _Plan(
            rule,
            tuple(self._cells.test(condition) for condition in rule.when),
            tuple(self._cells.test(condition) for condition in rule.any),
            key,
            tuple(_key_part(part) for part in key.parts),
            data,
            line,
            item,
        )

    def _part(
        self, rule: Rule, event: str, table: str, known: frozenset[str], required: frozenset[str]
    ) -> _Part:
        values = {
            name: value
            for (where, name), value in self.mapping.values_of(rule).items()
            if where == table and name in known
        }
        least = least_of(event)
        fields = (
            _Field(name, self._cells.reading(name, value, least), value.column or "", name in required)
            for name, value in values.items()
            if value.constant is None
        )
        constants = {
            name: self._constants.constant(name, value, least)
            for name, value in values.items()
            if value.constant is not None
        }
        return _Part(constants, tuple(fields))


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


def _key_part(part: str | Value) -> Callable[[Row, Instant], str]:
    """A part of the key; a slash within it is escaped, so that a/b + c and a + b/c stay two keys."""
    if isinstance(part, str):
        return lambda row, _: _escaped(row.get(part, ""))
    if part.time:
        return lambda _, at: at.utc
    if part.constant is not None:
        constant = str(part.constant)
        return lambda _, __: constant
    column = part.column or ""
    return lambda row, _: part.prefix + _escaped(row.get(column, ""))


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("/", "%2F") if "/" in text or "%" in text else text


def _without_none(location: Location) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(location).items() if value is not None}


def _shown(row: Row) -> str:
    text = ", ".join(f"{name}={value}" for name, value in row.items())
    return text if len(text) <= 3 * SHOWN_MAX else text[: 3 * SHOWN_MAX] + "…"
