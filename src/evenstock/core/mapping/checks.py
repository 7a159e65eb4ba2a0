"""What must fit together in a mapping: rules can be reached, events have what they need, keys cover what they tell apart."""

from zoneinfo import ZoneInfo

from evenstock.core.errors import Refusal
from evenstock.core.mapping.cells import Cells, operands
from evenstock.core.mapping.form import DOCUMENTS, Control, Mapping, Numbers, Rule, Value, When
from evenstock.core.mapping.misfit import Misfit, Place, near
from evenstock.core.mapping.paths import LINE
from evenstock.core.mapping.shapes import EVENTS, ITEM, NUMBERS, Shape, least_of, shape_of
from evenstock.core.mapping.times import Clockwork, time_pattern


def check(mapping: Mapping) -> None:
    """Raises Misfit at the first place where the parts of a mapping do not fit each other."""
    if len(mapping.file.delimiter) != 1 or len(mapping.file.quote) > 1:
        raise Misfit(["file"], 'delimiter is one character ("\\t" is the tab), and quote is one or none.')
    _check_file(mapping)
    if mapping.numbers.decimal == mapping.numbers.thousands:
        raise Misfit(["numbers"], "decimal and thousands cannot be the same character.")
    _check_time(mapping.time)
    for index, location in enumerate(mapping.location):
        _zone(location.timezone, ["location", index, "timezone"])
    if not mapping.rule:
        raise Misfit(["rule"], "there is no rule. Add [[rule]] with an event.")
    for index, rule in enumerate(mapping.rule):
        place: Place = ["rule", index]
        if not (rule.when or rule.any) and index < len(mapping.rule) - 1:
            raise Misfit(
                place, "it takes every row, so the rules below it are never tried. Move it to the end."
            )
        _check_conditions(rule, place)
        if (rule.skip is None) == (rule.event is None):
            raise Misfit(place, 'a rule has either event = "SaleRecorded.v1" or skip = "the reason".')
        if rule.event is not None:
            _check_event(mapping, rule, rule.event, place)
        if mapping.full is not None and rule.event not in {None, "StockCounted.v1"}:
            raise Misfit(place, "a [full] file states what is there: its events are StockCounted.v1.")


def _check_file(mapping: Mapping) -> None:
    """Each format has words of its own; what stands in a line cannot say what the whole document is."""
    file = mapping.file
    for which, control in (("head", file.head), ("tail", file.tail)):
        if control is not None:
            _check_control(file.format, which, control)
    if len(set(file.header)) < len(file.header) or (file.header and file.format != "csv"):
        raise Misfit(["file", "header"], 'it names the columns of format = "csv", each once.')
    if file.sheet and file.format != "xlsx":
        raise Misfit(["file", "sheet"], 'only format = "xlsx" has sheets.')
    _check_columns(mapping)
    if file.format not in DOCUMENTS:
        if file.records or file.lines is not None:
            raise Misfit(["file"], f"records and lines are for documents: {', '.join(sorted(DOCUMENTS))}.")
        return
    _check_documents(mapping)


def _check_documents(mapping: Mapping) -> None:
    file = mapping.file
    if file.format == "xml" and not file.records:
        raise Misfit(["file"], 'say where the records stand, from the root on: records = "Sales.Ticket".')
    if file.format == "jsonl" and file.records:
        raise Misfit(["file", "records"], "in jsonl each line is a record.")
    if mapping.items is not None or mapping.location:
        raise Misfit(
            ["file"], 'items and location make masters known from rows only: format = "csv", fixed or xlsx.'
        )
    for key in (mapping.key, *(rule.key for rule in mapping.rule if rule.key)):
        if key.occurrence or key.once:
            raise Misfit(["key"], "a document has an id of its own: occurrence and once are for rows.")
    if file.lines is not None:
        _check_lines(mapping)


def _check_columns(mapping: Mapping) -> None:
    columns = mapping.file.columns
    if (mapping.file.format == "fixed") != bool(columns):
        raise Misfit(
            ["file", "columns"], 'it tells where each column of format = "fixed" stands, and of that only.'
        )
    for index, column in enumerate(columns):
        if column.last < column.first:
            raise Misfit(["file", "columns", index], "last comes before first.")
    names = [column.name for column in columns]
    if len(set(names)) < len(names):
        raise Misfit(["file", "columns"], "a name stands twice.")
    for name in mapping.columns if columns else ():
        if name not in names:
            raise Misfit(
                ["file", "columns"],
                f"there is no column {name}, which the mapping reads. {near(name, names)}",
            )


def _check_control(form: str, which: str, control: Control) -> None:
    """Lines are what csv and fixed width have; documents say by themselves where they end."""
    if form not in {"csv", "fixed"}:
        raise Misfit(["file", which], f"{form} has no such line.")
    if form == "csv" and (control.first is not None or control.last is not None):
        raise Misfit(["file", which], "in csv the number of rows is a cell: count = 2.")
    if form == "fixed" and (control.count is not None or (control.first is None) != (control.last is None)):
        raise Misfit(
            ["file", which], "in fixed width the number of rows stands at places: first = 4, last = 12."
        )


def _check_lines(mapping: Mapping) -> None:
    """An event is of the whole record: only its lines are read from lines, and each rule has its own key."""
    if (mapping.time.column or "").startswith(LINE):
        raise Misfit(["time"], "a record has one time; name a column that does not stand in a line.")
    keys: list[tuple[tuple[str | Value, ...], str]] = []
    for index, rule in enumerate(mapping.rule):
        if rule.event is None or rule.event not in EVENTS:
            continue
        parts = (rule.key or mapping.key).parts
        other = next((name for found, name in keys if found == parts), None)
        if other is not None:
            raise Misfit(
                ["rule", index],
                f"its event would have the key of rule {other!r}. Give it a key of its own, with a constant that tells them apart.",
            )
        keys.append((parts, rule.name))
        if not shape_of(rule.event).line:
            raise Misfit(["rule", index, "event"], f"{rule.event} has no lines.")
        read = [value.column for (table, _), value in mapping.values_of(rule).items() if table == "fields"]
        for column in (*read, *(part if isinstance(part, str) else part.column for part in parts)):
            if column is not None and column.startswith(LINE):
                words = f"{column} stands in a line, and the event is of the whole record. Use it in line, when or any."
                raise Misfit(["rule", index], words)


def _check_conditions(rule: Rule, place: Place) -> None:
    for which, conditions in (("when", rule.when), ("any", rule.any)):
        for number, condition in enumerate(conditions):
            if not operands(condition):
                raise Misfit(
                    [*place, which, number],
                    f"it names the column {condition.column} and asks nothing of it. "
                    "Add one of: equals, one_of, starts_with, empty, negative, positive, zero, or not_….",
                )


def _check_time(time: When) -> None:
    if (time.column is None) == (time.constant is None):
        raise Misfit(["time"], "name either a column or a constant.")
    for form in time.formats:
        time_pattern(form)
    _zone(time.zone, ["time", "zone"])
    if time.constant is not None:
        try:
            Clockwork(time).read(time.constant, "constant")
        except Refusal as error:
            raise Misfit(["time"], error.problem.detail) from error


def _zone(name: str, place: Place) -> None:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise Misfit(place, f"there is no time zone {name}. Use an IANA name: Europe/London.") from error


def _check_event(mapping: Mapping, rule: Rule, event: str, place: Place) -> None:
    if event not in EVENTS:
        raise Misfit([*place, "event"], f"there is no event {event}. {near(event, EVENTS)}")
    shape = shape_of(event)
    values = mapping.values_of(rule)
    known = {"fields": shape.fields, "line": shape.line}
    for (table, name), value in values.items():
        own = name in getattr(rule, table)
        where: Place = [*place, table, name] if own else [table, name]
        if name not in known[table]:
            if own:
                raise Misfit(
                    where, f"{event} has no such field in its {table}. {near(name, sorted(known[table]))}"
                )
            continue  # what all rules share need not fit each of them
        _check_value(name, value, where)
        _check_constant(mapping, event, name, value, where)
    for table, required in (("fields", shape.fields_required), ("line", shape.line_required)):
        if lacking := [name for name in sorted(required) if (table, name) not in values]:
            raise Misfit([*place, table], f"{event} needs {', '.join(lacking)}. Say where it comes from.")
    if shape.line and sum(("line", name) in values for name in ITEM) != 1:
        raise Misfit([*place, "line"], "say which item, by exactly one of sku, gtin and id.")
    _check_key(mapping, rule, shape, place)


def _check_value(name: str, value: Value, where: Place) -> None:
    if (value.column is not None) + (value.constant is not None) + value.time != 1:
        raise Misfit(where, "name exactly one of column, constant and time = true.")
    if (value.absolute or value.negate) and name not in NUMBERS:
        raise Misfit(where, f"absolute and negate are for {' and '.join(sorted(NUMBERS))}.")
    if value.column is None and (value.values or value.otherwise or value.empty):
        raise Misfit(where, "values, otherwise and empty are for a column.")
    if value.otherwise is not None and value.values is None:
        raise Misfit(where, "otherwise is for a field with values; for an empty cell say empty.")


def _check_constant(mapping: Mapping, event: str, name: str, value: Value, where: Place) -> None:
    if value.constant is None:
        return
    try:
        Cells(Numbers(), Clockwork(mapping.time)).constant(name, value, least_of(event))
    except Refusal as refusal:
        raise Misfit(where, refusal.problem.detail) from refusal


def _check_key(mapping: Mapping, rule: Rule, shape: Shape, place: Place) -> None:
    key = rule.key or mapping.key
    where: Place = [*place, "key"] if rule.key else ["key"]
    if not key.parts:
        raise Misfit(where, "parts names no column. Name those that make a fact that fact.")
    if key.occurrence and key.once:
        raise Misfit(where, "occurrence keeps like rows apart and once takes them for one. Choose.")
    parts = [Value(column=part) if isinstance(part, str) else part for part in key.parts]
    for index, part in enumerate(parts):
        if (part.column is not None) + (part.constant is not None) + part.time != 1:
            raise Misfit([*where, "parts", index], "name a column, a constant or time = true.")
    if not (key.occurrence or key.once):
        return
    covered = {part.column for part in parts}
    if any(part.time for part in parts):
        covered.add(mapping.time.column)
    known = {"fields": shape.fields, "line": shape.line}
    used = [value.column for (table, name), value in mapping.values_of(rule).items() if name in known[table]]
    for column in (mapping.time.column, *used):
        if column is not None and column not in covered:
            raise Misfit(
                where,
                f"rule {rule.name!r} reads the column {column}, which the key does not name: rows that differ only there "
                "would change keys with their order. Add it to parts"
                + (", as { time = true }." if column == mapping.time.column else "."),
            )
