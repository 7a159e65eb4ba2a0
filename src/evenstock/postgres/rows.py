"""How rows travel to PostgreSQL: as one text a statement, whatever their number; the driver asks every element of a list
what it is, which costs more than the element.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()


def document(rows: Sequence[Any]) -> str:
    """Rows as a JSON array, for json_to_recordset."""
    return _encoder.encode(rows).decode()


def tuples(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows of values as a JSON array of objects with these names."""
    return document([dict(zip(names, row, strict=True)) for row in rows])


def integers(numbers: Iterable[int]) -> str:
    """Numbers as PostgreSQL writes an array, for `$1::text::integer[]`."""
    return "{" + ",".join(map(str, numbers)) + "}"


def lines(bodies: Iterable[bytes]) -> str:
    """Canonical JSON documents, which hold no line break, one a line, for `string_to_table($1, chr(10))`."""
    return b"\n".join(bodies).decode()
