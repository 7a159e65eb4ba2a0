"""A program that runs beside us, in a process of its own: started, heard, hit, and stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

STARTS_WITHIN_S: Final = 120.0
STOPS_WITHIN_S: Final = 30.0
LOOK_EVERY_S: Final = 0.03
LISTENING: Final = "listening on "
LINES_SHOWN: Final = 8


class NotStarted(Exception):  # noqa: N818 - it names what happened
    """A program did not come up; the message says which, and what it said last."""


class Program:
    """One of our own commands. What it says goes into a file, one for all its lives."""

    def __init__(
        self, name: str, arguments: list[str], log: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.arguments = arguments
        self.environ = dict(os.environ if environ is None else environ)
        self._log = log
        self._said_before = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._is_frozen = False

    @property
    def pid(self) -> int:
        """Of its process; 0 while there is none."""
        return 0 if self._process is None or self._process.poll() is not None else self._process.pid

    def start(self, more: Mapping[str, str] | None = None) -> None:
        """Begin a life; `more` is added to its environment, for this life only."""
        with self._log.open("ab") as output:
            self._said_before = output.tell()
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-m", "evenstock", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environ | dict(more or {}),
                start_new_session=True,
            )

    def address(self) -> str:
        """Wait until it listens; then where. Raises NotStarted."""
        give_up = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < give_up:
            for line in self.said():
                before, found, url = line.partition(LISTENING)
                if found and not before.strip(" :abcdefghijklmnopqrstuvwxyz_-"):
                    return url
            if not self.pid:
                break
            time.sleep(LOOK_EVERY_S)
        last = "\n".join(self.said()[-LINES_SHOWN:])
        raise NotStarted(f"{self.name} did not start. It said:\n{last}")

    def said(self) -> list[str]:
        """What it has said in this life."""
        with self._log.open("rb") as log:
            log.seek(self._said_before)
            return log.read().decode(errors="replace").splitlines()

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None and self.pid:
            self._process.kill()
            self._process.wait()
        self._is_frozen = False

    def freeze(self) -> None:
        """Let time stand still for it."""
        self._signal(signal.SIGSTOP)
        self._is_frozen = True

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)
        self._is_frozen = False

    def stop(self) -> None:
        """Let it finish what it accepted, and go."""
        if self._process is None or not self.pid:
            return
        if self._is_frozen:
            self.thaw()
        self._process.terminate()
        try:
            self._process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self.pid:
            os.kill(self.pid, number)
