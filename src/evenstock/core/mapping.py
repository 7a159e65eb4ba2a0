"""A mapping says, in TOML, which rows of a source are which events. It is data: no expression language.

`read_mapping` turns the file's content into frozen records, or refuses it in words. `Mapper` turns one row (column name →
text) after another into a canonical event, a counted skip, or a problem. Where rows come from is the reader's business.

What holds: two rows with the same key carry the same event, whatever the order of the file, because every column that the
event reads must stand in a key that counts occurrences. Numbers are exact decimals from the first character to the last.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as Lookup
from datetime import UTC, datetime, tzinfo
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Literal, get_args, get_type_hints
from zoneinfo import ZoneInfo

import msgspec
from msgspec import inspect

from evenstock.core.errors import Meaning, Problem, Refusal
from evenstock.core.events import EVENT_TYPES, Event, ItemRef, Line, read_custom
from evenstock.core.quantity import Quantity, read

KEYS_MAX = 10_000_000  # distinct keys that one run remembers to count occurrences, about 200 bytes each
TIMES_REMEMBERED_MAX = 4_096  # rows of one invoice share their time
SHOWN_MAX = 60  # characters of a value quoted in a problem

MEANINGS = (
    Meaning("mapping.malformed", 422, "The mapping does not have its shape", "Correct the place that the detail names."),
    Meaning("mapping.no_rule", 422, "No rule matches the row", "Add a rule for such rows, or a last rule that skips them."),
    Meaning("mapping.value", 422, "A value that the mapping does not know", "Add it to the field's values, or say otherwise = …"),
    Meaning("mapping.empty", 422, "A value that must be there is empty", "Fill the cell, or say empty = … in the mapping."),
    Meaning("limit.keys", 422, "More distinct keys than one run remembers", "Cut the file between transactions and import the pieces."),
)  # fmt: skip

Row = Lookup[str, str]  # column name → text; a mapping asks for nothing else of its source
Encoding = Literal[
    "utf-8", "utf-16", "ascii", "iso-8859-1", "iso-8859-2", "iso-8859-15", "windows-1250", "windows-1251",
    "windows-1252", "cp437", "cp850", "mac-roman",
]  # fmt: skip


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a mapping file: what it does not know, it refuses."""


class FileForm(_Table, frozen=True, kw_only=True):
    """How the file is written. Gzip is recognised by itself."""

    format: Literal["csv"] = "csv"
    encoding: Encoding = "utf-8"
    delimiter: str = ","
    quote: str = '"'  # empty: nothing is quoted
    trim: bool = True  # blanks around a cell mean nothing


class Numbers(_Table, frozen=True, kw_only=True):
    """How numbers are written: 1.234,5 has decimal = "," and thousands = "."."""

    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""


class When(_Table, frozen=True, kw_only=True):
    """When the fact happened, and how the file writes times."""

    column: str | None = None
    constant: str | None = None
    formats: tuple[str, ...] = ("iso",)  # tried in order
    zone: str = "UTC"  # IANA name; of local times that carry no offset
    ambiguous: Literal["first", "second"] = "first"  # of the hour that autumn has twice
    missing: Literal["reject", "shift"] = "reject"  # the hour that spring leaves out; shift: an hour later


class Value(_Table, frozen=True, kw_only=True):
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


class Key(_Table, frozen=True, kw_only=True):
    """What makes a fact that fact, in the source's own terms: the event's id."""

    parts: tuple[str | Value, ...]  # columns, constants, the time
    occurrence: bool = False  # add "the nth row like this one"
    once: bool = False  # later rows with the same key are the same fact: skip them


class Items(_Table, frozen=True, kw_only=True):
    """How an unknown item of a row is made known first."""

    sku: str  # column
    name: str | None = None  # column
    create: bool = True
    uom: str = "EA"
    scale: int = 0


class Location(_Table, frozen=True, kw_only=True):
    """A location that the import makes known first."""

    id: str
    type: str = "store"
    timezone: str = "UTC"
    region: str | None = None


class Condition(_Table, frozen=True, kw_only=True):
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


class Rule(_Table, frozen=True, kw_only=True):
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


class Mapping(_Table, frozen=True, kw_only=True):
    """A whole mapping file."""

    connection: str  # the `source` of every event
    file: FileForm = FileForm()
    numbers: Numbers = Numbers()
    time: When
    key: Key
    items: Items | None = None
    location: tuple[Location, ...] = ()
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
                named |= dict.fromkeys(value.column for value in _values(self, rule).values() if value.column)
        if self.items:
            named |= dict.fromkeys(filter(None, (self.items.sku, self.items.name)))
        return list(named)


class Mapped(msgspec.Struct, frozen=True):
    """The events of a row, in CloudEvents form, and the item to make known before them, as `/v1/items:batch` takes it."""

    events: tuple[dict[str, Any], ...]
    item: dict[str, Any] | None = None


class Skipped(msgspec.Struct, frozen=True):
    """The row is no stock event, and the mapping says so."""

    reason: str


class Rejected(msgspec.Struct, frozen=True):
    """The row could not be understood; the problem's pointer names the column."""

    problem: Problem


Outcome = Mapped | Skipped | Rejected
SAME_FACT = "the same fact as an earlier row"


# Reading the mapping -------------------------------------------------------------------------------------------------

_ITEM = frozenset(field.name for field in msgspec.structs.fields(ItemRef))  # the ways to name an item
_NUMBERS = frozenset({"quantity", "delta"})
_TIMES = frozenset({"counted_at", "started_at"})
_EVENTS = {str(kind.__struct_config__.tag): kind for kind in EVENT_TYPES}


class _Shape(msgspec.Struct, frozen=True):
    """What an event's data and its line may and must carry, read off the event's own type."""

    fields: frozenset[str]
    fields_required: frozenset[str]
    line: frozenset[str] = frozenset()
    line_required: frozenset[str] = frozenset()


def _shape(event: str) -> _Shape:
    data = get_type_hints(_EVENTS[event])["data"]
    fields = [field for field in msgspec.structs.fields(data) if field.name != "lines"]
    names = frozenset(field.encode_name for field in fields)
    required = frozenset(field.encode_name for field in fields if field.required)
    if "lines" not in data.__struct_fields__:
        return _Shape(names, required)
    line: type[Line] = get_args(get_type_hints(data)["lines"])[0]
    parts = [field for field in msgspec.structs.fields(line) if field.name != "item"]
    return _Shape(
        names,
        required,
        frozenset(field.encode_name for field in parts) | _ITEM,
        frozenset(field.encode_name for field in parts if field.required) - {"line"},
    )


def read_mapping(content: object, file: str) -> Mapping:
    """The mapping that a TOML file's content means. Raises Refusal `mapping.malformed`, naming file, place and remedy."""
    try:
        _refuse_unknown(content, inspect.type_info(Mapping), [])
        mapping = msgspec.convert(content, Mapping)
        _check(mapping)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        steps = [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]`]+", path)]
        raise _malformed(file, steps, f"{what[:1].lower()}{what[1:]}.") from error
    except _Misfit as error:
        raise _malformed(file, error.place, error.why) from error
    return mapping


class _Misfit(Exception):  # noqa: N818 - told to the reader as a Refusal
    def __init__(self, place: list[str | int], why: str) -> None:
        super().__init__(why)
        self.place = place
        self.why = why


def _malformed(file: str, place: list[str | int], why: str) -> Refusal:
    words: list[str] = []
    for step in place:
        if isinstance(step, int):
            words[-1] = f"[[{words[-1]}]] {step + 1}" if len(words) == 1 else f"{words[-1]} {step + 1}"
        else:
            words.append(step)
    return Refusal("mapping.malformed", f"{file}: {', '.join([*words, ''])[:-2] or 'the file'}: {why}")


def near(word: str, known: Iterable[str]) -> str:
    """`Did you mean …?`, or what there is, for a word that is none of the known."""
    candidates = list(known)
    folded = {each.casefold(): each for each in candidates}
    close = get_close_matches(word.casefold(), folded, n=1, cutoff=0.85) or get_close_matches(
        word.casefold(), folded, n=3, cutoff=0.6
    )
    if close:
        return f"Did you mean {' or '.join(folded[each] for each in close)}?"
    return f"There is: {', '.join(candidates) or 'nothing'}."


def _refuse_unknown(content: object, info: inspect.Type, place: list[str | int]) -> None:
    for value, kind, step in _parts_of(content, info, place):
        _refuse_unknown(value, kind, step)
    if isinstance(content, float) and isinstance(info, inspect.StrType):
        raise _Misfit(place, f'write "{content}" as a text, so that it stays exact.')


def _parts_of(
    content: object, info: inspect.Type, place: list[str | int]
) -> Iterator[tuple[object, inspect.Type, list[str | int]]]:
    """What stands inside a part of the file, with the type it should have and its place."""
    match info, content:
        case inspect.StructType(), dict():
            fields = {field.encode_name: field.type for field in info.fields}
            for name, value in content.items():
                if name not in fields:
                    raise _Misfit(place, f"there is no key {name} here. {near(name, fields)}")
                yield value, fields[name], [*place, name]
        case inspect.VarTupleType(), list():
            yield from ((value, info.item_type, [*place, index]) for index, value in enumerate(content))
        case inspect.DictType(), dict():
            yield from ((value, info.value_type, [*place, name]) for name, value in content.items())
        case inspect.UnionType(), _:
            yield from ((content, each, place) for each in info.types)
        case _:
            pass


def _values(mapping: Mapping, rule: Rule) -> dict[tuple[str, str], Value]:
    """The fields of a rule's event, by table and name: its own, else the mapping's."""
    fields = {("fields", name): value for name, value in (mapping.fields | rule.fields).items()}
    return fields | {("line", name): value for name, value in (mapping.line | rule.line).items()}


def _check(mapping: Mapping) -> None:
    if len(mapping.file.delimiter) != 1 or len(mapping.file.quote) > 1:
        raise _Misfit(["file"], 'delimiter is one character ("\\t" is the tab), and quote is one or none.')
    if mapping.numbers.decimal == mapping.numbers.thousands:
        raise _Misfit(["numbers"], "decimal and thousands cannot be the same character.")
    _check_time(mapping.time)
    if not mapping.rule:
        raise _Misfit(["rule"], "there is no rule. Add [[rule]] with an event.")
    for index, rule in enumerate(mapping.rule):
        place: list[str | int] = ["rule", index]
        if not (rule.when or rule.any) and index < len(mapping.rule) - 1:
            raise _Misfit(
                place, "it takes every row, so the rules below it are never tried. Move it to the end."
            )
        _check_conditions(rule, place)
        if (rule.skip is None) == (rule.event is None):
            raise _Misfit(place, 'a rule has either event = "SaleRecorded.v1" or skip = "the reason".')
        if rule.event is not None:
            _check_event(mapping, rule, rule.event, place)


def _check_conditions(rule: Rule, place: list[str | int]) -> None:
    for which, conditions in (("when", rule.when), ("any", rule.any)):
        for number, condition in enumerate(conditions):
            if not _operands(condition):
                raise _Misfit(
                    [*place, which, number],
                    f"it names the column {condition.column} and asks nothing of it. "
                    "Add one of: equals, one_of, starts_with, empty, negative, positive, zero, or not_….",
                )


def _check_time(time: When) -> None:
    if (time.column is None) == (time.constant is None):
        raise _Misfit(["time"], "name either a column or a constant.")
    for form in time.formats:
        _time_pattern(form)
    try:
        ZoneInfo(time.zone)
    except (KeyError, ValueError, OSError) as error:
        raise _Misfit(
            ["time", "zone"], f"there is no time zone {time.zone}. Use an IANA name: Europe/London."
        ) from error
    if time.constant is not None:
        try:
            Clockwork(time).read(time.constant, "constant")
        except Refusal as error:
            raise _Misfit(["time"], error.problem.detail) from error


def _check_event(mapping: Mapping, rule: Rule, event: str, place: list[str | int]) -> None:
    if event not in _EVENTS:
        raise _Misfit([*place, "event"], f"there is no event {event}. {near(event, _EVENTS)}")
    shape = _shape(event)
    values = _values(mapping, rule)
    known = {"fields": shape.fields, "line": shape.line}
    for (table, name), value in values.items():
        own = name in getattr(rule, table)
        where: list[str | int] = [*place, table, name] if own else [table, name]
        if name not in known[table]:
            if own:
                raise _Misfit(
                    where, f"{event} has no such field in its {table}. {near(name, sorted(known[table]))}"
                )
            continue  # what all rules share need not fit each of them
        _check_value(name, value, where)
    for table, required in (("fields", shape.fields_required), ("line", shape.line_required)):
        if lacking := [name for name in sorted(required) if (table, name) not in values]:
            raise _Misfit([*place, table], f"{event} needs {', '.join(lacking)}. Say where it comes from.")
    if shape.line and sum(("line", name) in values for name in _ITEM) != 1:
        raise _Misfit([*place, "line"], "say which item, by exactly one of sku, gtin and id.")
    _check_key(mapping, rule, shape, place)


def _check_value(name: str, value: Value, where: list[str | int]) -> None:
    if (value.column is not None) + (value.constant is not None) + value.time != 1:
        raise _Misfit(where, "name exactly one of column, constant and time = true.")
    if (value.absolute or value.negate) and name not in _NUMBERS:
        raise _Misfit(where, f"absolute and negate are for {' and '.join(sorted(_NUMBERS))}.")
    if value.column is None and (value.values or value.otherwise or value.empty):
        raise _Misfit(where, "values, otherwise and empty are for a column.")
    if name in _NUMBERS and value.constant is not None:
        try:
            read(value.constant)
        except ValueError as error:
            raise _Misfit(where, f"{error}.") from error
    if value.otherwise is not None and value.values is None:
        raise _Misfit(where, "otherwise is for a field with values; for an empty cell say empty.")


def _check_key(mapping: Mapping, rule: Rule, shape: _Shape, place: list[str | int]) -> None:
    key = rule.key or mapping.key
    where: list[str | int] = [*place, "key"] if rule.key else ["key"]
    if not key.parts:
        raise _Misfit(where, "parts names no column. Name those that make a fact that fact.")
    if key.occurrence and key.once:
        raise _Misfit(where, "occurrence keeps like rows apart and once takes them for one. Choose.")
    parts = [Value(column=part) if isinstance(part, str) else part for part in key.parts]
    for index, part in enumerate(parts):
        if (part.column is not None) + (part.constant is not None) + part.time != 1:
            raise _Misfit([*where, "parts", index], "name a column, a constant or time = true.")
    if not (key.occurrence or key.once):
        return
    covered = {part.column for part in parts}
    if any(part.time for part in parts):
        covered.add(mapping.time.column)
    known = {"fields": shape.fields, "line": shape.line}
    used = [value.column for (table, name), value in _values(mapping, rule).items() if name in known[table]]
    for column in (mapping.time.column, *used):
        if column is not None and column not in covered:
            raise _Misfit(
                where,
                f"rule {rule.name!r} reads the column {column}, which the key does not name: rows that differ only there "
                "would change keys with their order. Add it to parts"
                + (", as { time = true }." if column == mapping.time.column else "."),
            )


# Times ---------------------------------------------------------------------------------------------------------------

_TOKENS = {
    "YYYY": r"(?P<year>[0-9]{4})", "MM": r"(?P<month>[0-9]{2})", "DD": r"(?P<day>[0-9]{2})",
    "HH": r"(?P<hour>[0-9]{2})", "mm": r"(?P<minute>[0-9]{2})", "ss": r"(?P<second>[0-9]{2})",
    "M": r"(?P<month>[0-9]{1,2})", "D": r"(?P<day>[0-9]{1,2})", "H": r"(?P<hour>[0-9]{1,2})",
}  # fmt: skip


@lru_cache(maxsize=64)
def _time_pattern(form: str) -> re.Pattern[str] | None:
    """What `MM-DD-YYYY HH:mm` matches; None for `iso`."""
    if form == "iso":
        return None
    known = "It is made of YYYY, MM, DD, HH, mm and ss (M, D, H without leading zero), or is iso."
    pattern = ""
    for token in re.findall(r"YYYY|MM|DD|HH|mm|ss|M|D|H|[A-Za-z]+|.", form):
        if token in _TOKENS:
            if _TOKENS[token].split(">")[0] in pattern:
                hint = " Minutes are mm." if token in {"MM", "M"} else ""
                raise _Misfit(["time", "formats"], f"{form!r} has {token} twice.{hint} {known}")
            pattern += _TOKENS[token]
        elif token.isalpha() and token != "T":  # noqa: S105 - a part of a time
            raise _Misfit(["time", "formats"], f"{token!r} in {form!r} is no part of a time. {known}")
        else:
            pattern += re.escape(token)
    if lacking := [part for part in ("year", "month", "day") if f"<{part}>" not in pattern]:
        raise _Misfit(["time", "formats"], f"{form!r} has no {lacking[0]}. {known}")
    return re.compile(pattern)


class Instant(msgspec.Struct, frozen=True):
    """A time as the event says it, with the place's offset, and as the key says it, in UTC."""

    text: str
    utc: str


class Clockwork:
    """Reads the times of one mapping; local time becomes an instant by the rules of its zone."""

    def __init__(self, time: When) -> None:
        self._time = time
        self._zone: tzinfo = ZoneInfo(time.zone)
        self._patterns = [_time_pattern(form) for form in time.formats]
        self.read: Callable[[str, str], Instant] = lru_cache(maxsize=TIMES_REMEMBERED_MAX)(self._read)

    def _read(self, text: str, column: str) -> Instant:
        try:
            naive = next(self._candidates(text), None)
        except ValueError as error:
            raise _problem("event.time", column, text, f"is no time: {error}") from error
        if naive is None:
            forms = " or ".join(self._time.formats)
            raise _problem("event.time", column, text, f"is not written as {forms}")
        local = naive if naive.tzinfo else self._localised(naive, text, column)
        utc = local.astimezone(UTC)
        return Instant(local.isoformat(), utc.isoformat().replace("+00:00", "Z"))

    def _candidates(self, text: str) -> Iterator[datetime]:
        for pattern in self._patterns:
            if pattern is None:
                try:
                    yield datetime.fromisoformat(text)
                except ValueError:
                    continue
            elif found := pattern.fullmatch(text):
                yield datetime(**{name: int(digits) for name, digits in found.groupdict().items()})  # type: ignore[arg-type]  # noqa: DTZ001 - localised next

    def _localised(self, naive: datetime, text: str, column: str) -> datetime:
        fold = 1 if self._time.ambiguous == "second" else 0
        local = naive.replace(tzinfo=self._zone, fold=fold)
        back = local.replace(fold=0).astimezone(UTC).astimezone(self._zone)
        if back.replace(tzinfo=None) == naive:
            return local
        if self._time.missing == "shift":
            return back
        raise _problem(
            "event.time", column, text,
            f"does not exist in {self._time.zone}: clocks went forward over it. "
            'Correct it, or say missing = "shift" under [time]',
        )  # fmt: skip


# From rows to events -------------------------------------------------------------------------------------------------

_Read = Callable[[Row, Instant], Any]  # the JSON value of one field; None: it is left out
_Test = Callable[[Row], bool]


def _problem(code: str, column: str, text: str, why: str) -> Refusal:
    shown = text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "…"
    return Refusal(code, f"{column} {shown!r} {why}.", "/" + column.replace("~", "~0").replace("/", "~1"))


class _Field(msgspec.Struct, frozen=True):
    """One field of an event, made ready to read."""

    name: str
    read: _Read
    column: str
    required: bool


class _Plan(msgspec.Struct, frozen=True):
    """One rule, made ready to run."""

    rule: Rule
    all: tuple[_Test, ...]
    any: tuple[_Test, ...]
    key: Key
    key_parts: tuple[Callable[[Row, Instant], str], ...]
    fields: tuple[_Field, ...]
    line: tuple[_Field, ...]
    item: tuple[_Field, ...]

    def holds(self, row: Row) -> bool:
        return all(test(row) for test in self.all) and (not self.any or any(test(row) for test in self.any))


class Mapper:
    """Turns the rows of one run into events, in the order of the file.

    It remembers one number per distinct key where the mapping counts occurrences (up to KEYS_MAX), so one Mapper serves
    one run over one file, and a run that continues shows it the earlier rows again.
    """

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self.locations = [
            _without_none(each) for each in mapping.location
        ]  # as `/v1/locations:batch` takes them
        self._clock = Clockwork(mapping.time)
        self._seen: dict[str, int] = {}
        self._plans = [self._planned(rule) for rule in mapping.rule]

    def outcome_of(self, row: Row) -> Outcome:
        """What a row means: by the first rule that holds for it."""
        try:
            for plan in self._plans:
                if plan.holds(row):
                    return Skipped(plan.rule.skip) if plan.rule.skip is not None else self._mapped(plan, row)
        except Refusal as refusal:
            return Rejected(refusal.problem)
        return Rejected(Problem("mapping.no_rule", f"No rule of the mapping takes this row: {_shown(row)}."))

    def _mapped(self, plan: _Plan, row: Row) -> Outcome:
        time = self.mapping.time
        if time.column is not None:
            at = self._clock.read(row.get(time.column, ""), time.column)
        else:
            at = self._clock.read(time.constant or "", "constant")
        data = _read_fields(plan.fields, row, at)
        if plan.item:
            line = _read_fields(plan.line, row, at)
            item = _read_fields(plan.item, row, at)
            data["lines"] = [{"line": line.pop("line", "1"), "item": item, **line}]
        key = "/".join(read_part(row, at) for read_part in plan.key_parts)
        nth = self._nth(plan.key, key)
        if plan.key.once and nth > 1:
            return Skipped(SAME_FACT)
        event = {
            "specversion": "1.0",
            "id": f"{key}/{nth}" if plan.key.occurrence else key,
            "source": self.mapping.connection,
            "type": plan.rule.event,
            "time": at.text,
            "data": data,
        }
        _refuse_misshapen(event)
        return Mapped((event,), self._item(plan.rule, row))

    def _nth(self, key: Key, text: str) -> int:
        if not (key.occurrence or key.once):
            return 1
        nth = self._seen.get(text, 0) + 1
        if nth == 1 and len(self._seen) >= KEYS_MAX:
            raise Refusal("limit.keys", f"The file has more than {KEYS_MAX:,} distinct keys.")
        self._seen[text] = nth
        return nth

    def _item(self, rule: Rule, row: Row) -> dict[str, Any] | None:
        """The row's item as `/v1/items:batch` takes it."""
        items = self.mapping.items
        if items is None or not items.create or not row.get(items.sku):
            return None
        item: dict[str, Any] = {"sku": row[items.sku], "base_uom": items.uom, "scale": items.scale}
        name = row.get(items.name) if items.name and rule.names_items else None
        return item | {"name": name} if name else item

    def _planned(self, rule: Rule) -> _Plan:
        key = rule.key or self.mapping.key
        return _Plan(
            rule,
            tuple(test for condition in rule.when for test in self._tests(condition)),
            tuple(_all_of(tuple(self._tests(condition))) for condition in rule.any),
            key,
            tuple(_key_part(part) for part in key.parts),
            tuple(self._fields(rule, "fields")),
            tuple(field for field in self._fields(rule, "line") if field.name not in _ITEM),
            tuple(field for field in self._fields(rule, "line") if field.name in _ITEM),
        )

    def _fields(self, rule: Rule, table: str) -> Iterator[_Field]:
        if rule.event is None:
            return
        shape = _shape(rule.event)
        known, required = (
            (shape.fields, shape.fields_required)
            if table == "fields"
            else (shape.line, shape.line_required | _ITEM)
        )
        for (where, name), value in _values(self.mapping, rule).items():
            if where == table and name in known:
                least = 0 if rule.event == "StockCounted.v1" else 1
                yield _Field(name, self._reading(name, value, least), value.column or "", name in required)

    def _reading(self, name: str, value: Value, least: int) -> _Read:
        if value.time:
            return lambda _, at: at.text
        column = value.column or name
        convert = self._conversion(name, column, value, least)
        if value.constant is not None:
            constant = convert(str(value.constant)) if name in _NUMBERS else value.constant
            return lambda _, __: constant

        def reading(row: Row, _: Instant) -> Any:
            text = row.get(column, "")
            if not text:
                return None if value.empty is None else convert(value.empty)
            if value.values is not None:
                meant = value.values.get(text, value.otherwise)
                if meant is None:
                    raise _problem("mapping.value", column, text, f"is none of: {', '.join(value.values)}")
                text = meant
            return convert(text)

        return reading

    def _conversion(self, name: str, column: str, value: Value, least: int) -> Callable[[str], Any]:
        if name in _NUMBERS:
            bound = least if name == "quantity" else None
            return lambda text: self._number(column, text, value, bound)
        if name in _TIMES:
            return lambda text: self._clock.read(text, column).text
        return lambda text: value.prefix + text

    def _quantity(self, column: str, text: str) -> Quantity:
        numbers = self.mapping.numbers
        try:
            return read(_plain_number(text, numbers.decimal, numbers.thousands))
        except ValueError as error:
            raise _problem("quantity.pattern", column, text, f"is no number: {error}") from error

    def _number(self, column: str, text: str, value: Value, least: int | None) -> int | str:
        """A quantity as the event carries it: an integer, or a text, never a float."""
        quantity = self._quantity(column, text)
        digits = abs(quantity.digits) if value.absolute else quantity.digits
        digits = -digits if value.negate else digits
        if least is not None and digits < least:
            raise _problem(
                "quantity.not_positive", column, text,
                "must be above zero here; the event says the direction" if least else "cannot be counted: it is below zero",
            )  # fmt: skip
        return digits if quantity.decimals == 0 else str(Quantity(digits, quantity.decimals))

    def _tests(self, condition: Condition) -> Iterator[_Test]:
        """One test for each thing that a condition asks."""
        for name, operand in _operands(condition).items():
            plain = name.removeprefix("not_")
            yield self._test(condition.column, plain, operand, wanted=plain == name)

    def _test(self, column: str, name: str, operand: Any, *, wanted: bool) -> _Test:
        match name:
            case "equals":
                return lambda row: (row.get(column, "") == operand) is wanted
            case "one_of":
                members = frozenset(operand)
                return lambda row: (row.get(column, "") in members) is wanted
            case "starts_with":
                return lambda row: row.get(column, "").startswith(operand) is wanted
            case "empty":
                return lambda row: (not row.get(column, "")) is (operand is wanted)
            case _:
                sign = {"negative": -1, "zero": 0, "positive": 1}[name]
                return lambda row: (self._sign(column, row.get(column, "")) == sign) is (operand is wanted)

    def _sign(self, column: str, text: str) -> int | None:
        if not text:
            return None
        digits = self._quantity(column, text).digits
        return (digits > 0) - (digits < 0)


def _operands(condition: Condition) -> dict[str, Any]:
    asked = msgspec.structs.asdict(condition)
    return {name: operand for name, operand in asked.items() if name != "column" and operand is not None}


def _all_of(tests: tuple[_Test, ...]) -> _Test:
    return lambda row: all(test(row) for test in tests)


def _key_part(part: str | Value) -> Callable[[Row, Instant], str]:
    """A part of the key; a slash within it is escaped, so that a/b + c and a + b/c stay two keys."""
    if isinstance(part, str):
        return lambda row, _: _escaped(row.get(part, ""))
    if part.time:
        return lambda _, at: at.utc
    if part.constant is not None:
        constant = str(part.constant)
        return lambda _, __: constant
    column = part.column or ""
    return lambda row, _: part.prefix + _escaped(row.get(column, ""))


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("/", "%2F") if "/" in text or "%" in text else text


def _read_fields(fields: tuple[_Field, ...], row: Row, at: Instant) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields:
        value = field.read(row, at)
        if value is not None:
            found[field.name] = value
        elif field.required:
            raise _problem("mapping.empty", field.column, "", f"is empty, and {field.name} must be there")
    return found


def _plain_number(text: str, decimal: str, thousands: str) -> str:
    """1.234,50 as 1234.50. Thousands stand in threes or are none: 1.5 is not fifteen."""
    if thousands:
        whole, point, part = text.partition(decimal)
        groups = whole.removeprefix("-").split(thousands)
        if len(groups) > 1 and 1 <= len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:]):
            text = whole.replace(thousands, "") + point + part
    if decimal != "." and "." not in text:
        text = text.replace(decimal, ".")
    elif decimal != ".":
        return "the other decimal point"  # no number, whatever it was
    return text


def _refuse_misshapen(event: dict[str, Any]) -> None:
    """The hub would refuse it too; here the row is still at hand."""
    try:
        msgspec.convert(event, Event, dec_hook=read_custom)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        pointer = "".join(f"/{step}" for step in re.findall(r"[^.\[\]`]+", path))
        raise Refusal(
            "event.malformed", f"{what[:1].lower()}{what[1:]}, at {pointer[1:]} of the event.", pointer
        ) from error


def _without_none(location: Location) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(location).items() if value is not None}


def _shown(row: Row) -> str:
    text = ", ".join(f"{name}={value}" for name, value in row.items())
    return text if len(text) <= 3 * SHOWN_MAX else text[: 3 * SHOWN_MAX] + "…"
