"""The tables of a mapping file, as frozen records: what may stand in it, and what holds where it says nothing."""

from collections.abc import Mapping as Lookup
from typing import Annotated, Literal

import msgspec

from evenstock.core.events import Identifier
from evenstock.core.quantity import DECIMALS_MAX

Row = Lookup[str, str]  # column name → text; a mapping asks for nothing else of its source
Encoding = Literal[
    "utf-8", "utf-16", "ascii", "iso-8859-1", "iso-8859-2", "iso-8859-15", "windows-1250", "windows-1251",
    "windows-1252", "cp437", "cp850", "mac-roman",
]  # fmt: skip
DOCUMENTS = frozenset({"json", "jsonl", "xml"})  # formats whose records may hold records


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a mapping file: what it does not know, it refuses."""


class Control(Table, frozen=True, kw_only=True):
    """The sender's own first or last line: known by how it begins; it may say how many rows there are."""

    begins: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None  # the cell, from 1, that holds the number of rows
    first: Annotated[int, msgspec.Meta(ge=1)] | None = None  # of fixed width: the characters that hold it
    last: int | None = None


class Column(Table, frozen=True, kw_only=True):
    """A column of a file of fixed width, by the places of its characters."""

    name: str
    first: Annotated[int, msgspec.Meta(ge=1)]  # from 1
    last: int


class FileForm(Table, frozen=True, kw_only=True):
    """How the file is written. Gzip and zip are recognised by themselves. In JSON, columns are paths into a record."""

    format: Literal["csv", "fixed", "xlsx", "json", "jsonl", "xml"] = "csv"
    records: str = ""  # of JSON and XML: where the record, or the list of records, stands; empty: at the top
    lines: str | None = (
        None  # of JSON and XML: where in a record its lines stand; their columns begin with `line.`
    )
    encoding: Encoding = "utf-8"
    delimiter: str = ","
    quote: str = '"'  # empty: nothing is quoted
    trim: bool = True  # blanks around a cell mean nothing
    header: tuple[str, ...] = ()  # of CSV: the names of the columns, where no line of the file names them
    columns: tuple[Column, ...] = ()  # of fixed width
    sheet: str = ""  # of a workbook; empty: the first
    head: Control | None = None
    tail: Control | None = None


class Numbers(Table, frozen=True, kw_only=True):
    """How numbers are written: 1.234,5 has decimal = "," and thousands = "."."""

    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""


class When(Table, frozen=True, kw_only=True):
    """When the fact happened, and how the file writes times."""

    column: str | None = None
    constant: str | None = None
    formats: tuple[str, ...] = ("iso",)  # tried in order
    zone: str = "UTC"  # IANA name; of local times that carry no offset
    ambiguous: Literal["first", "second"] = "first"  # of the hour that autumn has twice
    missing: Literal["reject", "shift"] = "reject"  # the hour that spring leaves out; shift: an hour later


class Value(Table, frozen=True, kw_only=True):
    """Where a field comes from: a column, a constant, or the row's time; and what is done to it."""

    column: str | None = None
    constant: str | int | bool | None = None
    time: bool = False
    values: dict[str, str] | None = None  # what the source's words mean
    otherwise: str | None = None  # for a word that `values` lacks; without it the row is rejected
    empty: str | None = None  # for an empty cell; without it an optional field is left out
    absolute: bool = False  # a number without its sign
    negate: bool = False  # a number with the other sign
    prefix: str = ""


class Key(Table, frozen=True, kw_only=True):
    """What makes a fact that fact, in the source's own terms: the event's id."""

    parts: tuple[str | Value, ...]  # columns, constants, the time
    occurrence: bool = False  # add "the nth row like this one"
    once: bool = False  # later rows with the same key are the same fact: skip them


class Items(Table, frozen=True, kw_only=True):
    """How an unknown item of a row is made known first."""

    sku: str  # column
    name: str | None = None  # column
    create: bool = True
    uom: Identifier = "EA"
    scale: Annotated[int, msgspec.Meta(ge=0, le=DECIMALS_MAX)] = 0  # decimals that are kept


class Location(Table, frozen=True, kw_only=True):
    """A location that the import makes known first."""

    id: Identifier
    type: Literal["store", "warehouse", "dark_store", "dropship", "van"] = "store"
    timezone: str = "UTC"
    region: Identifier | None = None


class Full(Table, frozen=True, kw_only=True):
    """The file states all that there is at each location that it speaks of, at one instant: what it does not name is not there."""

    absent: Literal["keep", "zero"] = (
        "keep"  # what becomes of items that it does not name; zero: counted as none
    )
    absent_max: Annotated[int, msgspec.Meta(ge=0, le=100)] = (
        10  # per cent of a location's items; where more are absent, the file is not believed and all are kept
    )


class Condition(Table, frozen=True, kw_only=True):
    """Something about one column; several of them must all hold. A number that is empty has no sign."""

    column: str
    equals: str | None = None
    not_equals: str | None = None
    one_of: tuple[str, ...] | None = None
    not_one_of: tuple[str, ...] | None = None
    starts_with: str | None = None
    not_starts_with: str | None = None
    empty: bool | None = None
    not_empty: bool | None = None
    negative: bool | None = None
    not_negative: bool | None = None
    positive: bool | None = None
    not_positive: bool | None = None
    zero: bool | None = None
    not_zero: bool | None = None


class Rule(Table, frozen=True, kw_only=True):
    """Rows for which all of `when` and one of `any` hold are this event, or are skipped. The first rule that holds wins."""

    name: str
    when: tuple[Condition, ...] = ()
    any: tuple[Condition, ...] = ()
    skip: str | None = None  # the reason that is counted
    event: str | None = None
    fields: dict[str, Value] = {}
    line: dict[str, Value] = {}
    key: Key | None = None  # instead of the mapping's
    names_items: bool = True  # false: the column of names says something else in these rows


class Mapping(Table, frozen=True, kw_only=True):
    """A whole mapping file."""

    source: Identifier = msgspec.field(
        name="connection", default=""
    )  # of every event; empty: a connector knows it
    file: FileForm = FileForm()
    numbers: Numbers = Numbers()
    time: When
    key: Key
    items: Items | None = None
    location: tuple[Location, ...] = ()
    full: Full | None = None
    fields: dict[str, Value] = {}  # of every event
    line: dict[str, Value] = {}  # of every event's line
    rule: tuple[Rule, ...]

    @property
    def columns(self) -> list[str]:
        """The columns that a source must have, each once, in the order the mapping names them."""
        named: dict[str, None] = {}
        if self.time.column:
            named[self.time.column] = None
        for rule in self.rule:
            key = rule.key or self.key
            named |= dict.fromkeys(each.column for each in (*rule.when, *rule.any))
            if rule.event:
                named |= dict.fromkeys(part for part in key.parts if isinstance(part, str))
                named |= dict.fromkeys(
                    part.column for part in key.parts if isinstance(part, Value) and part.column
                )
                named |= dict.fromkeys(
                    value.column for value in self.values_of(rule).values() if value.column
                )
        if self.items:
            named |= dict.fromkeys(filter(None, (self.items.sku, self.items.name)))
        return list(named)

    def values_of(self, rule: Rule) -> dict[tuple[str, str], Value]:
        """The fields of a rule's event, by table and name: its own, else the mapping's."""
        fields = {("fields", name): value for name, value in (self.fields | rule.fields).items()}
        return fields | {("line", name): value for name, value in (self.line | rule.line).items()}
