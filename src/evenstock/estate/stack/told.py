"""What happened, when, in words: the timeline of a run, kept in memory and told when something is wrong."""

import time
from typing import Final, NamedTuple

LINES_MAX: Final = 200_000


class Noted(NamedTuple):
    """Seconds into the run, and what happened; `about` names orders, skus and places that it touches."""

    at_s: float
    words: str
    about: frozenset[str] = frozenset()
    is_fault: bool = False


class Timeline:
    """Notes of a run."""

    def __init__(self) -> None:
        self.notes: list[Noted] = []
        self._began = time.monotonic()

    def now_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def note(self, words: str, *about: str, is_fault: bool = False) -> None:
        """Something happened now."""
        if len(self.notes) < LINES_MAX:
            self.notes.append(Noted(self.now_s(), words, frozenset(about), is_fault))

    def story(self, *about: str) -> list[str]:
        """What happened to these, and every fault in between, line by line."""
        wanted = set(about)
        return [
            f"{note.at_s:7.2f} s  {'⚡ ' if note.is_fault else ''}{note.words}"
            for note in self.notes
            if note.is_fault or (wanted and wanted <= note.about)
        ]
