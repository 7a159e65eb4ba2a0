"""The records of a file become events as rows do: each by itself, so that one that cannot be used does not stop the others."""

from typing import Any

from evenstock.core.errors import Problem, Refusal
from evenstock.core.mapping.documents import DocumentMapper
from evenstock.core.mapping.form import DOCUMENTS, Mapping, Row
from evenstock.core.mapping.mapper import Mapped, Mapper, Outcome, Rejected, Skipped
from evenstock.core.mapping.paths import Document
from evenstock.core.reading import Refused, read_event

SKIPPED = "records that the mapping skips"


class RecordMapper:
    """Turns records, as `Document`, into events. It remembers nothing between them."""

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self.locations: list[dict[str, Any]] = []  # documents make no masters known
        self._mapper = DocumentMapper(mapping)

    def outcome_of(self, row: Row) -> Outcome:
        """What a record means."""
        assert isinstance(row, Document)  # noqa: S101 - readers of these formats give nothing else
        try:
            told = self._mapper.of_record(row.value, row.pointer_of(""))
        except Refusal as refusal:
            return Rejected(refusal.problem)
        if not told:
            return Skipped(SKIPPED)
        events = []
        for event in told:
            read = read_event(event | {"source": self.mapping.source})
            if isinstance(read, Refused):
                found = read.problem
                words = f"{found.detail.removesuffix('.')}, at {found.pointer[1:]} of the event."
                return Rejected(Problem(found.code, words, found.pointer))
            events.append(read)
        return Mapped(tuple(events))


RowMapper = Mapper | RecordMapper


def mapper_of(mapping: Mapping) -> RowMapper:
    """What reads the rows of a file in this mapping's format; for one run."""
    return RecordMapper(mapping) if mapping.file.format in DOCUMENTS else Mapper(mapping)
