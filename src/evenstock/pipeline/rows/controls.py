"""The sender's own first and last line: no rows, but what they say of them must be so.

A file that ends early, or was cut and glued, is known by them before anything of it is booked.
"""

from collections.abc import Sequence

from evenstock.core.errors import Refusal
from evenstock.core.mapping import Control, FileForm


class Controls:
    """Looks for the lines that a mapping tells of, and holds the file to them.

    Raises Refusal `file.incomplete`.
    """

    def __init__(self, form: FileForm, name: str) -> None:
        self._head = form.head
        self._tail = form.tail
        self._name = name
        self._told: list[tuple[str, int]] = []  # by which line, how many rows
        self._ended = False

    def head(self, text: str, cells: Sequence[str]) -> None:
        """The first line of the file, whatever it is."""
        assert self._head is not None  # noqa: S101 - else there is none to read
        if not text.startswith(self._head.begins):
            raise self._not_whole(f"does not begin with a line that begins with {self._head.begins!r}")
        self._count("first", self._head, text, cells)

    def is_tail(self, text: str, cells: Sequence[str]) -> bool:
        """Whether a line is the sender's last; after it no row may come."""
        if self._tail is None:
            return False
        if self._ended:
            raise self._not_whole(f"goes on after the line that begins with {self._tail.begins!r}")
        if not text.startswith(self._tail.begins):
            return False
        self._ended = True
        self._count("last", self._tail, text, cells)
        return True

    def close(self, rows: int) -> None:
        """All rows were read."""
        if self._tail is not None and not self._ended:
            raise self._not_whole(f"ends without a line that begins with {self._tail.begins!r}")
        for which, told in self._told:
            if told != rows:
                raise self._not_whole(f"has {rows:,} rows, and its {which} line tells of {told:,}")

    def _count(self, which: str, control: Control, text: str, cells: Sequence[str]) -> None:
        if control.count is not None:
            found = cells[control.count - 1].strip() if control.count <= len(cells) else ""
        elif control.first is not None:
            found = text.rstrip("\r\n")[control.first - 1 : control.last].strip()
        else:
            return
        if not (found.isascii() and found.isdigit() and len(found) <= 12):
            raise self._not_whole(
                f"should tell in its {which} line how many rows it has, and tells {found[:40]!r}"
            )
        self._told.append((which, int(found)))

    def _not_whole(self, words: str) -> Refusal:
        return Refusal("file.incomplete", f"{self._name} {words}.")
