"""The rows of a CSV file, one after another, in constant memory.

A row that cannot be read is a problem of its own and never the end of the run: after an unclosed quote, reading goes on
with the line below it. What concerns the whole file (its packing, its header, its count of rows) stops the run with a Refusal.
"""

import csv
import io
from collections import deque
from collections.abc import Collection, Iterator
from typing import BinaryIO

from evenstock.core.errors import Problem, Refusal
from evenstock.core.mapping import FileForm, near
from evenstock.pipeline.rows.controls import Controls
from evenstock.pipeline.rows.source import (
    COLUMNS_MAX,
    ROW_LENGTH_MAX,
    UNDECODABLE,
    SourceRow,
    shown,
    text_of,
)
from evenstock.pipeline.rows.unpacked import Counted


class CsvRows:
    """The rows of one CSV file, read as `form` says. `needed` are the columns that its header must have.

    Raises Refusal for what concerns the whole file.
    """

    def __init__(self, file: BinaryIO, form: FileForm, needed: Collection[str], name: str) -> None:
        self._bytes = Counted(file)
        self._lines = _Lines(text_of(self._bytes, form.encoding, name))
        self._name = name
        self._form = form
        self._reader = csv.reader(
            self._lines,
            delimiter=form.delimiter,
            quotechar=form.quote or None,
            quoting=csv.QUOTE_MINIMAL if form.quote else csv.QUOTE_NONE,
            strict=True,
        )
        self._controls = Controls(form, name)
        self.header = self._read_header(needed, name)

    def __iter__(self) -> Iterator[SourceRow]:
        number = 0
        while (found := self._filled()) is not None:
            line, cells, problem = found
            if self._controls.is_tail(self._lines.taken(), cells):
                continue
            number += 1
            if problem is None:
                problem = self._misfit(line, cells)
            values = {} if problem else dict(zip(self.header, self._trimmed(cells), strict=True))
            yield SourceRow(number, line, self._bytes.count, tuple(cells), values, problem)
        self._controls.close(number)

    def _filled(self) -> tuple[int, list[str], Problem | None] | None:
        """The next record that is not an empty line."""
        found = self._record()
        while found is not None and not found[1] and found[2] is None:
            found = self._record()
        return found

    def _read_header(self, needed: Collection[str], name: str) -> list[str]:
        if self._form.head is not None:
            first = self._filled()
            self._controls.head(self._lines.taken() if first else "", first[1] if first else [])
        header = list(self._form.header) or self._named(name)
        if len(header) > COLUMNS_MAX:
            raise Refusal("file.header", f"{name} has {len(header):,} columns; at most {COLUMNS_MAX:,}.")
        for column in needed:
            if column not in header:
                hint = near(column, list(dict.fromkeys(header))[:20])
                delimiter = (
                    f" The whole line is one column: is the delimiter really {self._form.delimiter!r}?"
                    if len(header) == 1
                    else ""
                )
                raise Refusal(
                    "file.header",
                    f"{name} has no column {column}, which the mapping names. {hint}{delimiter}",
                )
            if header.count(column) > 1:
                raise Refusal("file.header", f"{name} has the column {column} more than once.")
        return header

    def _named(self, name: str) -> list[str]:
        """The columns as the file's own line names them."""
        found = self._filled()
        if found is None:
            raise Refusal("file.header", f"{name} is empty. Its first line must name the columns.")
        _, cells, problem = found
        if problem is not None:
            raise Refusal("file.header", f"The header of {name} cannot be read. {problem.detail}")
        return [cell.strip() for cell in cells]

    def _record(self) -> tuple[int, list[str], Problem | None] | None:
        """The next row's first line number, cells and problem; None at the end of the file."""
        self._lines.begin()
        line = self._lines.number + 1
        try:
            cells = next(self._reader)
        except StopIteration:
            return None
        except _TooLongError:
            first = self._lines.back_to_second()
            detail = f"The row at line {line} has more than {ROW_LENGTH_MAX:,} characters, or a quote is not closed."
            return line, [shown(first)], Problem("limit.row", detail)
        except csv.Error as error:
            first = self._lines.back_to_second()
            detail = f"The quotes of the row at line {line} do not fit ({error})."
            return line, [shown(first)], Problem("row.quotes", detail)
        text = self._lines.taken()
        if "\0" in text:
            return (
                line,
                [shown(cell) for cell in cells],
                Problem("row.nul", f"Line {line} has a NUL character."),
            )
        if UNDECODABLE in text:
            detail = f"Line {line} has bytes that are no {self._form.encoding} text."
            return line, [shown(cell) for cell in cells], Problem("row.encoding", detail)
        return line, cells, None

    def _misfit(self, line: int, cells: list[str]) -> Problem | None:
        if len(cells) > COLUMNS_MAX:
            return Problem(
                "limit.row", f"The row at line {line} has {len(cells):,} columns; at most {COLUMNS_MAX:,}."
            )
        if len(cells) != len(self.header):
            return Problem(
                "row.columns",
                f"The row at line {line} has {len(cells)} columns, the header {len(self.header)}.",
            )
        return None

    def _trimmed(self, cells: list[str]) -> list[str]:
        return [cell.strip() for cell in cells] if self._form.trim else cells


class _TooLongError(Exception):
    """The row does not end within ROW_LENGTH_MAX."""


class _Lines:
    """The lines of a text, with their ends, of which those of the current row can be given back."""

    def __init__(self, text: io.TextIOBase) -> None:
        self._text = text
        self._given_back: deque[str] = deque()
        self._row: list[str] = []
        self._length = 0
        self.number = 0

    def begin(self) -> None:
        self._row.clear()
        self._length = 0

    def taken(self) -> str:
        return self._row[0] if len(self._row) == 1 else "".join(self._row)

    def back_to_second(self) -> str:
        """Give back all lines of the row but its first, which is returned."""
        first, *rest = self._row
        self._given_back.extendleft(reversed(rest))
        self.number -= len(rest)
        return first

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._given_back.popleft() if self._given_back else self._text.readline(ROW_LENGTH_MAX + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._row.append(line)
        self._length += len(line)
        if self._length > ROW_LENGTH_MAX:
            self._drop_the_rest_of(line)
            raise _TooLongError
        return line

    def _drop_the_rest_of(self, line: str) -> None:
        while len(line) > ROW_LENGTH_MAX and not line.endswith(("\n", "\r")):
            line = self._text.readline(ROW_LENGTH_MAX + 1)
