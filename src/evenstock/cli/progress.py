"""How far long work is, on stderr: a bar on a terminal, a line every few seconds elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from evenstock.cli.talk import err, say

SPEAK_EVERY_S: Final = 5.0

Show = Callable[[int, int], None]  # rows done, bytes of the file read


@contextmanager
def showing(name: str, size: int) -> Iterator[Show]:
    """Shows work on a file of that many bytes until the end of the block."""
    speed = _Speed()
    if not err.is_terminal:
        yield _Lines(name, size, speed)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows, {task.fields[speed]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(name, total=size, rows=0, speed=0.0)

        def show(rows: int, position: int) -> None:
            bar.update(task, completed=position, rows=rows, speed=speed.of(rows))

        yield show


@contextmanager
def stepping(name: str, steps: int) -> Iterator[Callable[[], None]]:
    """Shows work of so many steps until the end of the block; call it after each."""
    if not err.is_terminal:
        yield _Steps(name, steps)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed} of {task.total}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(name, total=steps)
        yield lambda: bar.advance(task)


class _Steps:
    """A line every few seconds, for logs."""

    def __init__(self, name: str, steps: int) -> None:
        self._name = name
        self._steps = steps
        self._done = 0
        self._spoke_at = time.monotonic()

    def __call__(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._spoke_at >= SPEAK_EVERY_S:
            self._spoke_at = now
            say(f"{self._name}: {self._done} of {self._steps}")


class _Speed:
    """Rows a second since the first report, which may start anywhere in the file."""

    def __init__(self) -> None:
        self.since = time.monotonic()
        self._first: int | None = None

    def of(self, rows: int) -> float:
        if self._first is None:
            self._first, self.since = rows, time.monotonic()
        seconds = time.monotonic() - self.since
        return (rows - self._first) / seconds if seconds > 0 else 0.0


class _Lines:
    """A line every few seconds, for logs."""

    def __init__(self, name: str, size: int, speed: _Speed) -> None:
        self._name = name
        self._size = size
        self._speed = speed
        self._spoke_at = time.monotonic()

    def __call__(self, rows: int, position: int) -> None:
        speed = self._speed.of(rows)
        now = time.monotonic()
        if now - self._spoke_at < SPEAK_EVERY_S or not position:
            return
        self._spoke_at = now
        left_s = (now - self._speed.since) * (self._size - position) / position
        say(
            f"{self._name}: {position / self._size:.0%}, {rows:,} rows, {speed:,.0f} rows/s, about {left_s:.0f} s left"
        )
