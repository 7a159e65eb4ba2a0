"""From the cells of a row to the values of an event, exactly: numbers stay decimals from the first character to the last."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import msgspec

from evenstock.core.mapping.form import Condition, Numbers, Row, Value
from evenstock.core.mapping.problems import problem
from evenstock.core.mapping.shapes import NUMBERS, TIMES
from evenstock.core.mapping.times import Clockwork, Instant
from evenstock.core.quantity import Quantity, read

CELLS_REMEMBERED_MAX = 4_096  # by field: most rows sell one or two

Read = Callable[[Row, Instant], Any]  # the JSON value of one field; None: it is left out
Test = Callable[[Row], bool]


def operands(condition: Condition) -> dict[str, Any]:
    """What a condition asks, by name."""
    asked = msgspec.structs.asdict(condition)
    return {name: operand for name, operand in asked.items() if name != "column" and operand is not None}


class Cells:
    """Makes, once for a run, the functions that read and test the cells of its rows."""

    def __init__(self, numbers: Numbers, clock: Clockwork) -> None:
        self._numbers = numbers
        self._clock = clock
        self._quantity = lru_cache(maxsize=CELLS_REMEMBERED_MAX)(self._read_quantity)

    def constant(self, name: str, value: Value, least: int) -> Any:
        """The JSON value of a field that is the same for every row."""
        if name in NUMBERS or name in TIMES:
            return self._conversion(name, "constant", value, least)(str(value.constant))
        return value.constant

    def reading(self, name: str, value: Value, least: int) -> Read:
        """Reads a field that depends on the row."""
        if value.time:
            return lambda _, at: at.text
        column = value.column or name
        convert = self._conversion(name, column, value, least)
        if value.values is None and value.empty is None:
            return lambda row, _: convert(text) if (text := row.get(column, "")) else None

        def reading(row: Row, _: Instant) -> Any:
            text = row.get(column, "")
            if not text:
                return None if value.empty is None else convert(value.empty)
            if value.values is not None:
                meant = value.values.get(text, value.otherwise)
                if meant is None:
                    raise problem("mapping.value", column, text, f"is none of: {', '.join(value.values)}")
                text = meant
            return convert(text)

        return reading

    def test(self, condition: Condition) -> Test:
        """Whether all that a condition asks is so."""
        tests = tuple(self._tests(condition))
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def _conversion(self, name: str, column: str, value: Value, least: int) -> Callable[[str], Any]:
        if name in NUMBERS:
            bound = least if name == "quantity" else None
            return lru_cache(maxsize=CELLS_REMEMBERED_MAX)(
                lambda text: self._number(column, text, value, bound)
            )
        if name in TIMES:
            return lambda text: self._clock.read(text, column).text
        prefix = value.prefix
        return (lambda text: prefix + text) if prefix else str

    def _read_quantity(self, column: str, text: str) -> Quantity:
        try:
            return read(_plain_number(text, self._numbers.decimal, self._numbers.thousands))
        except ValueError as error:
            raise problem("quantity.pattern", column, text, f"is no number: {error}") from error

    def _number(self, column: str, text: str, value: Value, least: int | None) -> int | str:
        """A quantity as the event carries it: an integer, or a text, never a float."""
        quantity = self._quantity(column, text)
        digits = abs(quantity.digits) if value.absolute else quantity.digits
        digits = -digits if value.negate else digits
        if least is not None and digits < least:
            raise problem(
                "quantity.not_positive", column, text,
                "must be above zero here; the event says the direction" if least else "cannot be counted: it is below zero",
            )  # fmt: skip
        return digits if quantity.decimals == 0 else str(Quantity(digits, quantity.decimals))

    def _tests(self, condition: Condition) -> Iterator[Test]:
        """One test for each thing that a condition asks."""
        for name, operand in operands(condition).items():
            plain = name.removeprefix("not_")
            yield self._test(condition.column, plain, operand, wanted=plain == name)

    def _test(self, column: str, name: str, operand: Any, *, wanted: bool) -> Test:
        match name:
            case "equals":
                return lambda row: (row.get(column, "") == operand) is wanted
            case "one_of":
                members = frozenset(operand)
                return lambda row: (row.get(column, "") in members) is wanted
            case "starts_with":
                return lambda row: row.get(column, "").startswith(operand) is wanted
            case "empty":
                return lambda row: (not row.get(column, "")) is (operand is wanted)
            case _:
                sign = {"negative": -1, "zero": 0, "positive": 1}[name]
                return lambda row: (self._sign(column, row.get(column, "")) == sign) is (operand is wanted)

    def _sign(self, column: str, text: str) -> int | None:
        if not text:
            return None
        digits = self._quantity(column, text).digits
        return (digits > 0) - (digits < 0)


def _plain_number(text: str, decimal: str, thousands: str) -> str:
    """1.234,50 as 1234.50. Thousands stand in threes or are none: 1.5 is not fifteen."""
    if thousands:
        whole, point, part = text.partition(decimal)
        groups = whole.removeprefix("-").split(thousands)
        if len(groups) > 1 and 1 <= len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:]):
            text = whole.replace(thousands, "") + point + part
    if decimal != "." and "." not in text:
        text = text.replace(decimal, ".")
    elif decimal != ".":
        return "the other decimal point"  # no number, whatever it was
    return text
