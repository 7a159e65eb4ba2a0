"""Where a column stands in a JSON document: `store.code`, `lines.0.sku`, or a JSON Pointer (`/a.b/c`) where names have dots."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from evenstock.core.errors import Refusal
from evenstock.core.exact_json import escape

LINE: Final = "line."  # begins the columns that stand in a line of the document
PATHS_REMEMBERED_MAX: Final = 4_096
ABSENT: Final = object()


@lru_cache(maxsize=PATHS_REMEMBERED_MAX)
def steps_of(path: str) -> tuple[str, ...]:
    """The names on the way; none for the document itself."""
    if path.startswith("/"):
        return tuple(step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/"))
    return tuple(path.split(".")) if path else ()


def found_at(value: Any, path: str) -> Any:
    """What stands there; ABSENT where nothing does."""
    for step in steps_of(path):
        if isinstance(value, dict):
            value = value.get(step, ABSENT)
        elif isinstance(value, list) and step.isascii() and step.isdigit() and len(step) < 9:
            value = value[int(step)] if int(step) < len(value) else ABSENT
        else:
            return ABSENT
    return value


def pointer_to(path: str) -> str:
    """A path as a JSON Pointer."""
    return "".join(f"/{escape(step)}" for step in steps_of(path))


class Document(Mapping[str, str]):
    """A JSON object as a row: what its paths lead to, as text. Nothing and null are empty; numbers are exact.

    With a `line`, columns that begin with `line.` stand in it.
    """

    def __init__(
        self, value: Any, pointer: str, *, trim: bool, line: Any = None, line_pointer: str = ""
    ) -> None:
        self._value = value
        self._pointer = pointer
        self._trim = trim
        self._line = line
        self._line_pointer = line_pointer

    @property
    def value(self) -> Any:
        """The object itself."""
        return self._value

    def __getitem__(self, column: str) -> str:
        value = self._at(column)
        if value is ABSENT:
            raise KeyError(column)
        return self._text(value, column)

    def pointer_of(self, column: str) -> str:
        """Where the column stands in the message."""
        if column.startswith(LINE) and self._line_pointer:
            return self._line_pointer + pointer_to(column.removeprefix(LINE))
        return self._pointer + pointer_to(column)

    def _at(self, column: str) -> Any:
        if column.startswith(LINE) and self._line_pointer:
            return found_at(self._line, column.removeprefix(LINE))
        return found_at(self._value, column)

    def _text(self, value: Any, column: str) -> str:
        if isinstance(value, str):
            return value.strip() if self._trim else value
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | Decimal):
            return str(value)
        kind = "a list" if isinstance(value, list) else "an object"
        raise Refusal(
            "message.shape", f"{column} is {kind}; a text or a number belongs here.", self.pointer_of(column)
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._value if isinstance(self._value, dict) else ())

    def __len__(self) -> int:
        return len(self._value) if isinstance(self._value, dict) else 0
