"""The records of a JSON file: a document with a list of them, or a document a line."""

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import msgspec

from evenstock.core.errors import Problem, Refusal
from evenstock.core.exact_json import read_json, repeated_name
from evenstock.core.mapping import Document, FileForm, found_at, pointer_to
from evenstock.pipeline.rows.source import ROW_LENGTH_MAX, SourceRow, shown
from evenstock.pipeline.rows.unpacked import Counted, unpacked

DOCUMENT_BYTES_MAX: Final = 64 * 2**20  # of a JSON document, which is read as a whole
HEADER: Final = ["record"]


class JsonRows:
    """The records of one document."""

    def __init__(self, file: BinaryIO, form: FileForm, name: str) -> None:
        self._bytes = Counted(file)
        self._stream = unpacked(self._bytes, name)
        self._form = form
        self._name = name
        self.header = HEADER

    def __iter__(self) -> Iterator[SourceRow]:
        body = self._stream.read(DOCUMENT_BYTES_MAX + 1)
        if len(body) > DOCUMENT_BYTES_MAX:
            words = f"{self._name} is a JSON document of more than {DOCUMENT_BYTES_MAX:,} bytes. A document a line (jsonl) has no such limit."
            raise Refusal("limit.file", words)
        value = read_whole(body, self._name)
        records, base = found_at(value, self._form.records), pointer_to(self._form.records)
        if isinstance(records, dict):
            yield row_of(1, 1, self._bytes.count, records, base, self._form)
        elif isinstance(records, list):
            for index, record in enumerate(records):
                at = f"{base}/{index}"
                yield row_of(index + 1, index + 1, self._bytes.count, record, at, self._form)
        else:
            where = self._form.records or "the document"
            raise Refusal("file.malformed", f"In {self._name}, {where} is no record and no list of records.")


class JsonLines:
    """The documents of a file, one a line; each is a record."""

    def __init__(self, file: BinaryIO, form: FileForm, name: str) -> None:
        self._bytes = Counted(file)
        self._stream: io.BufferedReader = unpacked(self._bytes, name)
        self._form = form
        self.header = HEADER

    def __iter__(self) -> Iterator[SourceRow]:
        number = 0
        for line, text in enumerate(self._lines(), 1):
            if not text.strip():
                continue
            number += 1
            try:
                record = _read_line(text, line)
            except Refusal as refusal:
                cell = shown(text.decode("utf-8", "replace"))
                yield SourceRow(number, line, self._bytes.count, (cell,), {}, refusal.problem)
                continue
            yield row_of(number, line, self._bytes.count, record, "", self._form)

    def _lines(self) -> Iterator[bytes]:
        while text := self._stream.readline(ROW_LENGTH_MAX + 1):
            rest = text
            while len(text) > ROW_LENGTH_MAX and rest and not rest.endswith(b"\n"):
                rest = self._stream.readline(ROW_LENGTH_MAX)
            yield text


def read_whole(body: bytes, name: str) -> Any:
    """A JSON value without names that stand twice.

    Raises Refusal `json.malformed`, `json.repeated_name`, `limit.depth`.
    """
    try:
        value = read_json(body.removeprefix(b"\xef\xbb\xbf"))
    except Refusal as refusal:
        problem = refusal.problem
        raise Refusal(problem.code, f"{name}: {problem.detail}", problem.pointer) from None
    if (found := repeated_name(value)) is not None:
        words = f"{name}: the name `{found[1]}` stands twice in one object, at {found[0] or 'the top'}."
        raise Refusal("json.repeated_name", words)
    return value


def _read_line(text: bytes, line: int) -> Any:
    if len(text) > ROW_LENGTH_MAX:
        raise Refusal("limit.row", f"Line {line} has more than {ROW_LENGTH_MAX:,} bytes.")
    return read_whole(text, f"line {line}")


def row_of(number: int, line: int, progress: int, record: Any, pointer: str, form: FileForm) -> SourceRow:
    """A record as a row; its cell is the record as JSON."""
    cell = shown(msgspec.json.encode(record).decode())
    if not isinstance(record, dict):
        problem = Problem("message.shape", "A record is an object.", pointer)
        return SourceRow(number, line, progress, (cell,), {}, problem)
    return SourceRow(number, line, progress, (cell,), Document(record, pointer, trim=form.trim))
