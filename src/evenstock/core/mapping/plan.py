"""The rules of a mapping, made ready to run: what each asks of a row, and what it reads from it."""

from collections.abc import Callable
from typing import Any

import msgspec

from evenstock.core.mapping.cells import Cells, Read, Test
from evenstock.core.mapping.form import Key, Mapping, Numbers, Row, Rule, Value
from evenstock.core.mapping.problems import problem
from evenstock.core.mapping.shapes import ITEM, least_of, shape_of
from evenstock.core.mapping.times import Clockwork, Instant


class Field(msgspec.Struct, frozen=True):
    """One field of an event that depends on the row."""

    name: str
    read: Read
    column: str
    required: bool


class Part(msgspec.Struct, frozen=True):
    """A part of an event: what is the same for every row, and what is read."""

    constants: dict[str, Any]
    fields: tuple[Field, ...]

    def read(self, row: Row, at: Instant) -> dict[str, Any]:
        found = self.constants.copy()
        for field in self.fields:
            value = field.read(row, at)
            if value is not None:
                found[field.name] = value
            elif field.required:
                raise problem("mapping.empty", field.column, "", f"is empty, and {field.name} must be there")
        return found


class Plan(msgspec.Struct, frozen=True):
    """One rule, made ready to run."""

    rule: Rule
    all: tuple[Test, ...]
    any: tuple[Test, ...]
    key: Key
    key_parts: tuple[Callable[[Row, Instant], str], ...]
    data: Part
    line: Part
    item: Part | None  # None: the event has no lines

    def holds(self, row: Row) -> bool:
        for test in self.all:
            if not test(row):
                return False
        return not self.any or any(test(row) for test in self.any)

    def line_of(self, row: Row, at: Instant, number: str) -> dict[str, Any] | None:
        """The row's line, called `number` unless the mapping says otherwise; None where the event has no lines."""
        if self.item is None:
            return None
        line = self.line.read(row, at)
        line["item"] = self.item.read(row, at)
        line.setdefault("line", number)
        return line

    def key_of(self, row: Row, at: Instant) -> str:
        return "/".join([read_part(row, at) for read_part in self.key_parts])


class Plans:
    """All rules of a mapping, from the top, and its clock."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._clock = Clockwork(mapping.time)
        self._cells = Cells(mapping.numbers, self._clock)
        self._constants = Cells(
            Numbers(), self._clock
        )  # the mapping writes numbers plainly, whatever the file does
        self._plans = [self._planned(rule) for rule in mapping.rule]

    def plan_for(self, row: Row) -> Plan | None:
        """The first rule that holds for a row."""
        for plan in self._plans:
            if plan.holds(row):
                return plan
        return None

    def instant(self, row: Row) -> Instant:
        """When the row's fact happened."""
        time = self._mapping.time
        if time.column is not None:
            return self._clock.read(row.get(time.column, ""), time.column)
        return self._clock.read(time.constant or "", "constant")

    def _planned(self, rule: Rule) -> Plan:
        key = rule.key or self._mapping.key
        nothing = Part({}, ())
        data, line, item = nothing, nothing, None
        if rule.event is not None:
            shape = shape_of(rule.event)
            data = self._part(rule, rule.event, "fields", shape.fields, shape.fields_required)
            if shape.line:
                line = self._part(rule, rule.event, "line", shape.line - ITEM, shape.line_required)
                item = self._part(rule, rule.event, "line", ITEM, ITEM)
        return Plan(
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
    ) -> Part:
        values = {
            name: value
            for (where, name), value in self._mapping.values_of(rule).items()
            if where == table and name in known
        }
        least = least_of(event)
        fields = (
            Field(name, self._cells.reading(name, value, least), value.column or "", name in required)
            for name, value in values.items()
            if value.constant is None
        )
        constants = {
            name: self._constants.constant(name, value, least)
            for name, value in values.items()
            if value.constant is not None
        }
        return Part(constants, tuple(fields))


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
