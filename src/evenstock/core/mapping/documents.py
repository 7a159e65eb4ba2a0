"""A JSON document becomes events: a record is a row, and its lines, where it has some, are gathered by the rule that takes them.

The same document gives the same events, whenever it is asked. Whether the events are good is for the hub's own reader to say.
"""

from typing import Any, Final

from evenstock.core.errors import Refusal
from evenstock.core.mapping.form import Mapping
from evenstock.core.mapping.mapper import shown
from evenstock.core.mapping.paths import ABSENT, Document, found_at, pointer_to
from evenstock.core.mapping.plan import Plan, Plans
from evenstock.core.mapping.times import Instant

RECORDS_MAX: Final = 1_000  # in one document
LINES_MAX: Final = 1_000  # in one record


class DocumentMapper:
    """Turns documents into events, by a mapping whose format is `json`. It remembers nothing between them."""

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self._plans = Plans(mapping)

    def events_of(self, value: Any) -> list[dict[str, Any]]:
        """The events of a document, as JSON objects without `source`; none where the mapping skips all of it.

        Raises Refusal, whose pointer leads into the document.
        """
        file = self.mapping.file
        base = pointer_to(file.records)
        found = found_at(value, file.records)
        if found is ABSENT or not isinstance(found, dict | list):
            raise Refusal(
                "message.shape",
                f"{file.records or 'The document'} is no record and no list of records.",
                base,
            )
        if isinstance(found, dict):
            return self.of_record(found, base)
        if len(found) > RECORDS_MAX:
            raise Refusal(
                "limit.batch", f"{len(found):,} records in one message; at most {RECORDS_MAX:,}.", base
            )
        return [
            event for index, each in enumerate(found) for event in self.of_record(each, f"{base}/{index}")
        ]

    def of_record(self, record: Any, pointer: str) -> list[dict[str, Any]]:
        """The events of one record, which stands at this pointer.

        Raises Refusal.
        """
        if not isinstance(record, dict):
            raise Refusal("message.shape", "A record is an object.", pointer)
        file = self.mapping.file
        if file.lines is None:
            row = Document(record, pointer, trim=file.trim)
            plan = self._plan(row)
            return [] if plan is None else [self._event(plan, row, [(row, "1")])]
        lines = found_at(record, file.lines)
        at = pointer + pointer_to(file.lines)
        if not isinstance(lines, list):
            raise Refusal("message.shape", f"{file.lines} is no list of lines.", at)
        if len(lines) > LINES_MAX:
            raise Refusal("limit.batch", f"{len(lines):,} lines in one record; at most {LINES_MAX:,}.", at)
        return self._gathered(record, pointer, lines, at)

    def _gathered(self, record: Any, pointer: str, lines: list[Any], at: str) -> list[dict[str, Any]]:
        """One event for each rule that takes lines of a record, in the order of the first of each."""
        trim = self.mapping.file.trim
        taken: dict[str, tuple[Plan, list[tuple[Document, str]]]] = {}
        for index, line in enumerate(lines):
            if not isinstance(line, dict):
                raise Refusal("message.shape", "A line is an object.", f"{at}/{index}")
            row = Document(record, pointer, trim=trim, line=line, line_pointer=f"{at}/{index}")
            plan = self._plan(row)
            if plan is not None:
                taken.setdefault(plan.rule.name, (plan, []))[1].append((row, str(index + 1)))
        return [self._event(plan, rows[0][0], rows) for plan, rows in taken.values()]

    def _plan(self, row: Document) -> Plan | None:
        """The rule that takes a row; None when it is skipped."""
        try:
            plan = self._plans.plan_for(row)
        except Refusal as refusal:
            raise _located(refusal, row) from None
        if plan is None:
            raise Refusal(
                "mapping.no_rule", f"No rule of the mapping takes this: {shown(row)}.", row.pointer_of("")
            )
        return plan if plan.rule.skip is None else None

    def _event(self, plan: Plan, head: Document, rows: list[tuple[Document, str]]) -> dict[str, Any]:
        row = head
        try:
            at = self._plans.instant(head)
            data = plan.data.read(head, at)
            lines = []
            for row, number in rows:
                if (line := plan.line_of(row, at, number)) is not None:
                    lines.append(line)
            if lines:
                data["lines"] = lines
            return _event(plan, plan.key_of(head, at), at, data)
        except Refusal as refusal:
            raise _located(refusal, row) from None


def _event(plan: Plan, key: str, at: Instant, data: dict[str, Any]) -> dict[str, Any]:
    return {"specversion": "1.0", "id": key, "type": plan.rule.event, "time": at.text, "data": data}


def _located(refusal: Refusal, row: Document) -> Refusal:
    """The same, pointing into the document instead of at a column."""
    problem = refusal.problem
    if problem.code == "message.shape":
        return refusal
    column = problem.pointer.removeprefix("/").replace("~1", "/").replace("~0", "~")
    return Refusal(problem.code, problem.detail, row.pointer_of(column) if column else row.pointer_of(""))
