"""A retailer's own file, read for `simulate --history`: by a mapping, or as the anonymous history that an earlier run wrote."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from evenstock.cli.importing import file_at, mapping_of
from evenstock.cli.talk import Exit, fail, say
from evenstock.core.errors import Refusal
from evenstock.core.events import Event
from evenstock.core.mapping import Mapped, Mapper, Skipped
from evenstock.estate.box.history import History, NoHistory, history_of
from evenstock.pipeline.rows import Rows, opened

HISTORY_BYTES_MAX: Final = 512 * 2**20  # of an anonymous history


def read_history(file: Path, mapping: Path | None) -> History:
    """What customers did, without their names."""
    if mapping is None:
        return _anonymous(file)
    rules, _ = mapping_of(mapping)
    rejected: list[str] = []
    try:
        with file_at(file) as stream:
            events = _events(opened(stream, rules, file.name), Mapper(rules), rejected)
            found = history_of(events, rules.time.zone)
    except (Refusal, NoHistory) as wrong:
        fail(f"{file}: {wrong}", Exit.USAGE)
    if rejected:
        say(f"{len(rejected):,} rows could not be read and are left out; the first: {rejected[0]}")
    for what, number in found.left_out.items():
        say(f"{number:,} {what} are left out")
    return found


def _events(rows: Rows, mapper: Mapper, rejected: list[str]) -> Iterator[Event]:
    for row in rows:
        problem = row.problem
        if problem is None:
            outcome = mapper.outcome_of(row.values)
            if isinstance(outcome, Mapped):
                yield from (received.event for received in outcome.events)
                continue
            if isinstance(outcome, Skipped):
                continue
            problem = outcome.problem
        rejected.append(f"row {row.number}: {problem.detail}")


def _anonymous(file: Path) -> History:
    """What an earlier run wrote into its folder."""
    with file_at(file) as stream:
        content = stream.read(HISTORY_BYTES_MAX + 1)
    if len(content) > HISTORY_BYTES_MAX:
        fail(f"{file} is larger than {HISTORY_BYTES_MAX:,} bytes, which no history is.", Exit.USAGE)
    try:
        return msgspec.json.decode(content, type=History)
    except msgspec.DecodeError as error:
        fail(
            f"{file} is no history that `simulate --out` wrote ({error}). For any other file say with --mapping what its rows mean.",
            Exit.USAGE,
        )
