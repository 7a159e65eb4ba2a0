"""The rows of a delivered file, one after another, by the format that its mapping names.

source    what every reader gives         unpacked  gzip and zip, under a cap
csv_rows  cells between delimiters        controls  the sender's own first and last line
fixed_rows, xlsx_rows, json_rows, xml_rows
"""

from typing import BinaryIO

from evenstock.core.mapping import Mapping
from evenstock.pipeline.rows.csv_rows import CsvRows
from evenstock.pipeline.rows.fixed_rows import FixedRows
from evenstock.pipeline.rows.json_rows import JsonLines, JsonRows
from evenstock.pipeline.rows.source import ROW_LENGTH_MAX, Rows, SourceRow, digest_of
from evenstock.pipeline.rows.unpacked import RATIO_FREE_BYTES
from evenstock.pipeline.rows.xlsx_rows import XlsxRows
from evenstock.pipeline.rows.xml_rows import XmlRows

__all__ = [
    "RATIO_FREE_BYTES",
    "ROW_LENGTH_MAX",
    "CsvRows",
    "Rows",
    "SourceRow",
    "count_of",
    "digest_of",
    "opened",
]


def opened(file: BinaryIO, mapping: Mapping, name: str) -> Rows:
    """The rows of a file, as its mapping says.

    Raises Refusal for what concerns the whole file.
    """
    form = mapping.file
    match form.format:
        case "csv":
            return CsvRows(file, form, mapping.columns, name)
        case "fixed":
            return FixedRows(file, form, name)
        case "xlsx":
            return XlsxRows(file, form, mapping.columns, name)
        case "json":
            return JsonRows(file, form, name)
        case "jsonl":
            return JsonLines(file, form, name)
        case "xml":
            return XmlRows(file, form, name)


def count_of(file: BinaryIO, mapping: Mapping, name: str) -> int:
    """How many rows a file has, read to its end and left at its beginning: whether it is whole is known before it is booked.

    Raises Refusal for what concerns the whole file.
    """
    rows = 0
    for _ in opened(file, mapping, name):
        rows += 1
    file.seek(0)
    return rows
