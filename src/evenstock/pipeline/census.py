"""What a full file speaks of, read before anything of it is booked: which buckets of which locations, as of which instant."""

from datetime import datetime
from typing import BinaryIO

import msgspec

from evenstock.core.errors import Refusal
from evenstock.core.events import StockCounted
from evenstock.core.mapping import Full, Mapped, Mapping, Rejected, mapper_of
from evenstock.pipeline.rows import opened

Stated = tuple[str, str]  # location, bucket or on_hand


class Census(msgspec.Struct, frozen=True):
    """What a full file states, as of when; and how many of its rows say nothing that can be used."""

    full: Full
    stated: dict[Stated, datetime]
    unusable: int


def census_of(file: BinaryIO, mapping: Mapping, name: str) -> Census | None:
    """The census of a file, read to its end and left at its beginning; None for one that is not full.

    Raises Refusal `file.instants` when it speaks of a location as of two instants; what concerns the whole file.
    """
    if mapping.full is None:
        return None
    stated: dict[Stated, datetime] = {}
    unusable = 0
    mapper = mapper_of(mapping)
    for row in opened(file, mapping, name):
        outcome = Rejected(row.problem) if row.problem else mapper.outcome_of(row.values)
        if isinstance(outcome, Rejected):
            unusable += 1
        elif isinstance(outcome, Mapped):
            for entry in outcome.events:
                if isinstance(entry.event, StockCounted):
                    _add(stated, entry.event, f"{name}, row {row.number}")
    file.seek(0)
    return Census(mapping.full, stated, unusable)


def _add(stated: dict[Stated, datetime], event: StockCounted, where: str) -> None:
    sheet = event.data
    for line in sheet.lines:
        at = line.counted_at or sheet.counted_at or event.time
        assert at is not None  # noqa: S101 - a mapping gives every event its time
        before = stated.setdefault((sheet.location, line.bucket), at)
        if before != at:
            words = f"{where}: {sheet.location} is stated as of {at.isoformat()}, and above as of {before.isoformat()}."
            raise Refusal("file.instants", words)
