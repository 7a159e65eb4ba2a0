"""The rows of a sheet of an Excel workbook (.xlsx), as text: numbers exactly as they are stored, times as ISO writes them."""

import zipfile
from collections.abc import Collection, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, BinaryIO, Final

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from evenstock.core.errors import Problem, Refusal
from evenstock.core.mapping import FileForm, near
from evenstock.pipeline.rows.source import COLUMNS_MAX, ROW_LENGTH_MAX, SourceRow
from evenstock.pipeline.rows.unpacked import RATIO_FREE_BYTES, UNPACKED_RATIO_MAX, Counted

WORKBOOK_BYTES_MAX: Final = 2 * 2**30  # unpacked


class XlsxRows:
    """The rows of one sheet. `needed` are the columns that its first row must name.

    Raises Refusal for what concerns the whole file.
    """

    def __init__(self, file: BinaryIO, form: FileForm, needed: Collection[str], name: str) -> None:
        self._bytes = Counted(file)
        self._form = form
        self._rows = self._sheet(file, name)
        self._line = 0
        first = next((cells for cells in self._cells() if any(cells)), None)
        if first is None:
            raise Refusal("file.header", f"{name} is empty. Its first row must name the columns.")
        self.header = [cell.strip() for cell in first]
        for column in needed:
            if self.header.count(column) != 1:
                hint = near(column, [each for each in dict.fromkeys(self.header) if each][:20])
                words = f"{name} has {self.header.count(column)} columns {column}, which the mapping names. {hint}"
                raise Refusal("file.header", words)

    def __iter__(self) -> Iterator[SourceRow]:
        number = 0
        for cells in self._cells():
            if not any(cells):
                continue
            number += 1
            width = len(self.header)
            padded = tuple(cells[:width] + [""] * (width - len(cells)))
            problem = None
            if any(cells[width:]):
                words = f"The row at line {self._line} has {len(cells)} columns, the header {width}."
                problem = Problem("row.columns", words)
            elif sum(map(len, cells)) > ROW_LENGTH_MAX:
                words = f"The row at line {self._line} has more than {ROW_LENGTH_MAX:,} characters."
                problem = Problem("limit.row", words)
            values = {} if problem else dict(zip(self.header, padded, strict=True))
            yield SourceRow(number, self._line, self._bytes.count, padded, values, problem)

    def _cells(self) -> Iterator[list[str]]:
        for row in self._rows:
            self._line += 1
            cells = [text_of_cell(value) for value in row[:COLUMNS_MAX]]
            yield [cell.strip() for cell in cells] if self._form.trim else cells

    def _sheet(self, file: BinaryIO, name: str) -> Iterator[tuple[Any, ...]]:
        try:
            with zipfile.ZipFile(file) as packed:
                size = sum(each.file_size for each in packed.infolist())
            allowed = min(max(RATIO_FREE_BYTES, UNPACKED_RATIO_MAX * file.seek(0, 2)), WORKBOOK_BYTES_MAX)
            if size > allowed:
                raise Refusal("limit.unpacked", f"{name} unpacks to {size:,} bytes; at most {allowed:,}.")
            file.seek(0)
            book = load_workbook(self._bytes, read_only=True, data_only=True, keep_links=False)
        except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, OSError) as error:
            raise Refusal("file.malformed", f"{name} is no workbook that we read: {error}.") from None
        if self._form.sheet and self._form.sheet not in book.sheetnames:
            hint = near(self._form.sheet, book.sheetnames)
            raise Refusal("file.header", f"{name} has no sheet {self._form.sheet}. {hint}")
        sheet = book[self._form.sheet or book.sheetnames[0]]
        return iter(sheet.iter_rows(values_only=True))


def text_of_cell(value: object) -> str:
    """What a cell holds, as a mapping reads it."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            return str(value)
