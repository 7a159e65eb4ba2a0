"""What became of a file, for people."""

from collections.abc import Iterator

from evenstock.core.errors import MEANINGS
from evenstock.pipeline.imports import DryRun, ImportSummary


def in_words(file: str, connection: str, summary: ImportSummary, seconds: float) -> Iterator[str]:
    """The summary of an import, line by line."""
    yield f"{file} → {connection}: {_rows(summary.rows)} in {seconds:.1f} s, {summary.rows / max(seconds, 0.001):,.0f} rows/s"
    if summary.resumed_after:
        yield _line(summary.resumed_after, "done by an earlier run, before these")
    yield _line(summary.applied, "applied")
    if summary.duplicate:
        yield _line(summary.duplicate, "duplicates: booked before, and once is enough")
    if summary.parked:
        yield _line(summary.parked, "parked: they take effect when the fact they name arrives")
    if summary.zeroed:
        yield _line(summary.zeroed, "not named by the full file: counted as none")
    if summary.absent:
        yield _line(summary.absent, "not named by the full file: kept as they are")
    yield from _causes("held", summary.held)
    yield from _rest(summary)


def dry_run_in_words(file: str, connection: str, found: DryRun) -> Iterator[str]:
    """The first events as they would be sent, then what would become of all rows."""
    for entry in found.events:
        yield entry.body.decode()
    yield f"{file} → {connection}: {_rows(found.summary.rows)}; this was a dry run, nothing was changed"
    yield _line(found.summary.events, f"events, of which the first {len(found.events)} are shown above")
    yield from _rest(found.summary)
    for row, problem in found.problems:
        yield f"  row {row.number} (line {row.line}): {problem.detail}"


def _rest(summary: ImportSummary) -> Iterator[str]:
    for reason, rows in summary.skipped.items():
        yield _line(rows, f"skipped: {reason}")
    yield from _causes("rejected", summary.rejected)


def _causes(what: str, codes: dict[str, int]) -> Iterator[str]:
    for code, rows in codes.items():
        meaning = MEANINGS[code]
        yield _line(rows, f"{what}: {meaning.title} ({code}). {meaning.action}")


def _line(number: int, words: str) -> str:
    return f"{number:>10,}  {words}"


def _rows(number: int) -> str:
    return f"{number:,} {'row' if number == 1 else 'rows'}"
