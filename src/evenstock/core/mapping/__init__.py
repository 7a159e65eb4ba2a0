"""A mapping says, in TOML, which rows of a source are which events. It is data: no expression language.

`read_mapping` turns the file's content into frozen records, or refuses it in words. `Mapper` turns one row (column name →
text) after another into an event, a counted skip, or a problem; `DocumentMapper` turns a JSON document into events. Where
rows and documents come from is the reader's business.

    form      the tables of the file            reading   content → form, or a sentence that says what does not fit
    shapes    what each event must carry        checks    what must fit together
    times     how times are written             cells     cell → value, and conditions
    plan      rules made ready to run           paths     column → place in a document
    mapper    row → event                       documents document → events
    records   record of a file → events
"""

from evenstock.core.mapping.documents import DocumentMapper
from evenstock.core.mapping.form import Control, FileForm, Full, Mapping, Row
from evenstock.core.mapping.mapper import SAME_FACT, Mapped, Mapper, Outcome, Rejected, Skipped
from evenstock.core.mapping.misfit import near
from evenstock.core.mapping.paths import Document, found_at, pointer_to, steps_of
from evenstock.core.mapping.reading import read_mapping
from evenstock.core.mapping.records import RecordMapper, RowMapper, mapper_of

__all__ = [
    "SAME_FACT",
    "Control",
    "Document",
    "DocumentMapper",
    "FileForm",
    "Full",
    "Mapped",
    "Mapper",
    "Mapping",
    "Outcome",
    "RecordMapper",
    "Rejected",
    "Row",
    "RowMapper",
    "Skipped",
    "found_at",
    "mapper_of",
    "near",
    "pointer_to",
    "read_mapping",
    "steps_of",
]
