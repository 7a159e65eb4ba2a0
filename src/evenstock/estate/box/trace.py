"""Everything that happened, as one hash; and, when asked for, kept to be told."""

import hashlib
from typing import Any, Final

NOTES_AT_ONCE: Final = 4_096

Note = tuple[Any, ...]  # time, kind, what more there is to say: strings and numbers only


class Trace:
    """The notes of one play. Two plays with the same hash went the same way, note by note."""

    def __init__(self, *, keep: bool = False) -> None:
        self.kept: list[Note] | None = [] if keep else None
        self._hash = hashlib.sha256()
        self._notes: list[Note] = []
        self.number = 0

    def note(self, *note: Any) -> None:
        self._notes.append(note)
        if len(self._notes) >= NOTES_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        self._hash.update(repr(self._notes).encode())
        self.number += len(self._notes)
        if self.kept is not None:
            self.kept += self._notes
        self._notes.clear()

    def end(self) -> str:
        """The hash of all notes."""
        self._flush()
        return self._hash.hexdigest()
