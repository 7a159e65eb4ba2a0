"""How rows travel to PostgreSQL: one JSON document a statement, whatever the number of rows."""

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
