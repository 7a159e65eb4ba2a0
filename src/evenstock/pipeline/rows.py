"""The rows of a delivered file, one after another, in constant memory: CSV, plain or gzip.

A row that cannot be read is a problem of its own and never the end of the run: after an unclosed quote, reading goes on
with the line below it. What concerns the whole file (its packing, its header) stops the run with a Refusal.
"""

import codecs
import csv
import hashlib
import io
import zlib
from collections import deque
from collections.abc import Collection, Iterator
from typing import BinaryIO

import msgspec

from evenstock.core.errors import Problem, Refusal
from evenstock.core.mapping import FileForm, near

ROW_LENGTH_MAX = 1_000_000  # characters, line breaks within quotes included
COLUMNS_MAX = 2_000
UNPACKED_BYTES_MAX = 64 * 2**30  # of one gzip file
UNPACKED_RATIO_MAX = 100  # unpacked to packed bytes, beyond the first RATIO_FREE_BYTES
RATIO_FREE_BYTES = 16 * 2**20  # so much is unpacked whatever its ratio
CHUNK_BYTES = 64 * 1024
SHOWN_MAX = 10_000  # characters kept of a row that could not be read, for the reject file

_UNDECODABLE = "\udcff"  # stands for bytes that the encoding does not have; no file can contain it itself
codecs.register_error("evenstock_mark", lambda error: (_UNDECODABLE, getattr(error, "end", 0)))


class SourceRow(msgspec.Struct, frozen=True):
    """One row, or why it is none."""

    number: int  # 1 is the first below the header
    line: int  # of the file, where it starts, as an editor counts
    progress: int  # bytes of the file that were read so far, packed ones when it is packed
    cells: tuple[str, ...]  # as they came
    values: dict[str, str]  # column → text; empty when there is a problem
    problem: Problem | None = None


def digest_of(file: BinaryIO) -> str:
    """The sha256 of what is left to read."""
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


class CsvRows:
    """The rows of one CSV file, read as `form` says. `needed` are the columns that its header must have.

    Raises Refusal for what concerns the whole file.
    """

    def __init__(self, file: BinaryIO, form: FileForm, needed: Collection[str], name: str) -> None:
        self._bytes = _Counted(file)
        self._lines = _Lines(_text(self._bytes, form, name))
        self._form = form
        self._reader = csv.reader(
            self._lines,
            delimiter=form.delimiter,
            quotechar=form.quote or None,
            quoting=csv.QUOTE_MINIMAL if form.quote else csv.QUOTE_NONE,
            strict=True,
        )
        self.header = self._read_header(needed, name)

    def __iter__(self) -> Iterator[SourceRow]:
        number = 0
        while (found := self._record()) is not None:
            line, cells, problem = found
            if not cells and problem is None:
                continue  # an empty line
            number += 1
            if problem is None:
                problem = self._misfit(line, cells)
            values = {} if problem else dict(zip(self.header, self._trimmed(cells), strict=True))
            yield SourceRow(number, line, self._bytes.count, tuple(cells), values, problem)

    def _read_header(self, needed: Collection[str], name: str) -> list[str]:
        found = self._record()
        while found is not None and not found[1] and found[2] is None:
            found = self._record()
        if found is None:
            raise Refusal("file.header", f"{name} is empty. Its first line must name the columns.")
        _, cells, problem = found
        if problem is not None:
            raise Refusal("file.header", f"The header of {name} cannot be read. {problem.detail}")
        header = [cell.strip() for cell in cells]
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
            return line, [_shown(first)], Problem("limit.row", detail)
        except csv.Error as error:
            first = self._lines.back_to_second()
            detail = f"The quotes of the row at line {line} do not fit ({error})."
            return line, [_shown(first)], Problem("row.quotes", detail)
        text = self._lines.taken()
        if "\0" in text:
            return (
                line,
                [_shown(cell) for cell in cells],
                Problem("row.nul", f"Line {line} has a NUL character."),
            )
        if _UNDECODABLE in text:
            detail = f"Line {line} has bytes that are no {self._form.encoding} text."
            return line, [_shown(cell) for cell in cells], Problem("row.encoding", detail)
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


def _shown(text: str) -> str:
    plain = text.rstrip("\r\n").replace(_UNDECODABLE, "\ufffd").replace("\0", "\ufffd")
    return plain if len(plain) <= SHOWN_MAX else plain[:SHOWN_MAX] + "…"


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


# Bytes ---------------------------------------------------------------------------------------------------------------


def _text(counted: "_Counted", form: FileForm, name: str) -> io.TextIOBase:
    buffered = io.BufferedReader(counted, CHUNK_BYTES)
    start = buffered.peek(6)[:6]
    raw: BinaryIO = buffered
    if start.startswith(b"\x1f\x8b"):
        raw = io.BufferedReader(_Unpacked(buffered, counted, name), CHUNK_BYTES)
    elif kind := next((kind for magic, kind in _PACKED.items() if start.startswith(magic)), None):
        raise Refusal("file.packing", f"{name} is packed with {kind}. Unpack it, or pack it with gzip.")
    encoding = "utf-8-sig" if form.encoding == "utf-8" else form.encoding
    return io.TextIOWrapper(raw, encoding, errors="evenstock_mark", newline="")


_PACKED = {
    b"PK\x03\x04": "zip",
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf": "7-Zip",
}


class _Counted(io.RawIOBase):
    """A file that knows how much of it was read."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        chunk = self._file.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self.count += len(chunk)
        return len(chunk)


class _Unpacked(io.RawIOBase):
    """Gzip, member after member, unpacked piece by piece under a cap of size and ratio."""

    def __init__(self, packed: BinaryIO, counted: _Counted, name: str) -> None:
        super().__init__()
        self._packed = packed
        self._counted = counted
        self._name = name
        self._member = zlib.decompressobj(wbits=31)
        self._rest = b""
        self._unpacked = 0
        self._inside = False  # of a member

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while True:
            if not self._rest:
                self._rest = self._packed.read(CHUNK_BYTES)
                if not self._rest and self._inside and not self._member.eof:
                    raise Refusal(
                        "file.packing",
                        f"{self._name} ends in the middle. Importing the whole file later books nothing twice.",
                    )
                if not self._rest:
                    return 0
            if chunk := self._piece(len(buffer)):
                buffer[: len(chunk)] = chunk
                return len(chunk)

    def _piece(self, size: int) -> bytes:
        if self._member.eof:
            self._rest = self._rest.lstrip(b"\0")  # padding between members
            if not self._rest:
                return b""
            self._member = zlib.decompressobj(wbits=31)
        self._inside = True
        try:
            chunk = self._member.decompress(self._rest, size)
        except zlib.error as error:
            raise Refusal(
                "file.packing",
                f"{self._name} is damaged: {error}. Importing the whole file later books nothing twice.",
            ) from error
        self._rest = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        self._unpacked += len(chunk)
        allowed = max(RATIO_FREE_BYTES, UNPACKED_RATIO_MAX * self._counted.count)
        if self._unpacked > min(allowed, UNPACKED_BYTES_MAX):
            raise Refusal(
                "limit.unpacked",
                f"{self._name} unpacks to more than {UNPACKED_RATIO_MAX} times its size or {UNPACKED_BYTES_MAX:,} bytes.",
            )
        return chunk
