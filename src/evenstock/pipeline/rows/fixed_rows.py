"""The rows of a file of fixed width: a line each, its columns known by their places."""

from collections.abc import Iterator
from typing import BinaryIO

from evenstock.core.errors import Problem
from evenstock.core.mapping import FileForm
from evenstock.pipeline.rows.controls import Controls
from evenstock.pipeline.rows.source import ROW_LENGTH_MAX, UNDECODABLE, SourceRow, shown, text_of
from evenstock.pipeline.rows.unpacked import Counted


class FixedRows:
    """The rows of one file, read as `form` says; what a line is too short for is empty."""

    def __init__(self, file: BinaryIO, form: FileForm, name: str) -> None:
        self._bytes = Counted(file)
        self._text = text_of(self._bytes, form.encoding, name)
        self._form = form
        self._controls = Controls(form, name)
        self.header = ["line"]

    def __iter__(self) -> Iterator[SourceRow]:
        number = 0
        expects_head = self._form.head is not None
        for line, (text, problem) in enumerate(self._lines(), 1):
            if not text.strip() and problem is None:
                continue
            if expects_head:
                self._controls.head(text, ())
                expects_head = False
                continue
            if problem is None and self._controls.is_tail(text, ()):
                continue
            number += 1
            values = {} if problem else self._values(text)
            yield SourceRow(number, line, self._bytes.count, (shown(text),), values, problem)
        if expects_head:
            self._controls.head("", ())
        self._controls.close(number)

    def _values(self, text: str) -> dict[str, str]:
        cut = {column.name: text[column.first - 1 : column.last] for column in self._form.columns}
        return {name: cell.strip() for name, cell in cut.items()} if self._form.trim else cut

    def _lines(self) -> Iterator[tuple[str, Problem | None]]:
        while text := self._text.readline(ROW_LENGTH_MAX + 1):
            problem = None
            if len(text) > ROW_LENGTH_MAX:
                problem = Problem("limit.row", f"A line has more than {ROW_LENGTH_MAX:,} characters.")
                rest = text
                while rest and not rest.endswith(("\n", "\r")):
                    rest = self._text.readline(ROW_LENGTH_MAX)
            elif UNDECODABLE in text:
                problem = Problem("row.encoding", f"A line has bytes that are no {self._form.encoding} text.")
            elif "\0" in text:
                problem = Problem("row.nul", "A line has a NUL character.")
            yield text.rstrip("\r\n"), problem
