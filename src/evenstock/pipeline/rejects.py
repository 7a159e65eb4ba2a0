"""The rows of a file that could not be used, as a file of their own, beside what is to be done about them."""

import csv
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from evenstock.core.errors import Problem
from evenstock.core.mapping import FileForm
from evenstock.pipeline.rows import SourceRow

LEAD = ("row", "code", "detail")


class RejectFile:
    """Rejected rows as CSV, written as their source is: row, code, detail, then the cells as they came.

    The file is made when the first row comes, and each row is with the system before the next. `codes` counts what stands
    in it, `first` is the first of each code in words.
    """

    def __init__(self, path: Path, header: Sequence[str], form: FileForm) -> None:
        self.path = path
        self.codes: Counter[str] = Counter()
        self.first: dict[str, str] = {}
        self._header = header
        self._form = form
        self._file: TextIO | None = None

    def keep(self, rows_done: int) -> None:
        """Begin where the run of before stood: what it wrote of later rows comes again."""
        kept = list(self._rows(rows_done)) if rows_done and is_reject_file(self.path, self._form) else []
        if not kept:
            return
        unfinished = self.path.with_name(self.path.name + ".part")
        self._open(unfinished)
        for cells in kept:
            self._write(cells)
        os.replace(unfinished, self.path)  # noqa: PTH105 - the open file goes on under its new name

    def __call__(self, row: SourceRow, problem: Problem) -> None:
        if self._file is None:
            self._open(self.path)
        self._write([str(row.number), problem.code, problem.detail, *row.cells])

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _rows(self, rows_done: int) -> Iterator[list[str]]:
        with self.path.open(encoding=self._form.encoding, errors="replace", newline="") as file:
            reader = csv.reader(file, delimiter=self._form.delimiter, quotechar=self._form.quote or '"')
            for cells in reader:
                if len(cells) >= len(LEAD) and cells[0].isdecimal() and int(cells[0]) <= rows_done:
                    yield cells

    def _open(self, path: Path) -> None:
        form = self._form
        self._file = path.open("w", buffering=1, encoding=form.encoding, errors="replace", newline="")
        self._writer = csv.writer(
            self._file, delimiter=form.delimiter, quotechar=form.quote or '"', lineterminator="\n"
        )
        self._writer.writerow([*LEAD, *self._header])

    def _write(self, cells: Sequence[str]) -> None:
        number, code, detail = cells[: len(LEAD)]
        self._writer.writerow(cells)
        self.codes[code] += 1
        self.first.setdefault(code, f"row {number}: {detail}")


def is_reject_file(path: Path, form: FileForm) -> bool:
    """Whether there is such a file and an import wrote it, so that it may be written again."""
    if not path.is_file():
        return False
    with path.open(encoding=form.encoding, errors="replace", newline="") as file:
        return file.readline().startswith(form.delimiter.join(LEAD))
