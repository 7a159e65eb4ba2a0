"""A command that stays for a while: a folder of its own that is gone at the end, and signals that end it in good order."""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from evenstock.cli.talk import Exit, fail
from evenstock.postgres.errors import DatabaseUnfit

LEAVING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last: the terminal was closed


@contextmanager
def own_folder(name: str, wanted: Path | None, home: Path, *, keep: bool) -> Iterator[Path]:
    """A folder for everything, gone at the end with what is in it, and with the parents that had to be made."""
    made: list[Path] = []
    try:
        parent = (wanted.expanduser().absolute() if wanted is not None else home / "x").parent
        for missing in reversed([path for path in (parent, *parent.parents) if not path.exists()]):
            missing.mkdir(mode=0o700)
            made.append(missing)
        if wanted is None:
            folder = Path(tempfile.mkdtemp(prefix=f"evenstock-{name}-", dir=home))
        else:
            folder = wanted.expanduser().absolute()
            if folder.exists() and any(folder.iterdir()):
                fail(
                    f"{folder} is not empty. A {name} begins with an empty folder: choose another with --data.",
                    Exit.USAGE,
                )
            folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise DatabaseUnfit(f"No folder for the {name}: {error}. Choose one with --data DIR.") from error
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder)
            for path in reversed(made):
                with suppress(OSError):  # somebody else has put something there meanwhile
                    path.rmdir()


def _as_interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signature of a handler
    raise KeyboardInterrupt


def deafen() -> None:
    """From here on we are leaving; being told so again changes nothing."""
    for number in LEAVING:
        signal.signal(number, signal.SIG_IGN)


def stop_on_signals() -> asyncio.Event:
    """Set at the first signal, which ends the show as time does; a second one leaves at once."""
    stop = asyncio.Event()
    playing = asyncio.current_task()

    def told() -> None:
        if stop.is_set() and playing is not None:
            playing.cancel()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in LEAVING:
        loop.add_signal_handler(number, told)
    return stop


def interruptible() -> None:
    """Told to leave, this process ends as Ctrl-C ends it."""
    for number in LEAVING:
        signal.signal(number, _as_interrupt)
