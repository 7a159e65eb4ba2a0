"""How commands speak: exit codes, answers for people or machines, progress on stderr."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
import typer
from rich.console import Console

from evenstock import log
from evenstock.settings import Settings, settings

T = TypeVar("T")

err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
out = Console(highlight=False, soft_wrap=True, emoji=False)  # a sku may be written :NEW:
_json = msgspec.json.Encoder(decimal_format="number")


class Exit(IntEnum):
    """What a script can tell from the exit code (user-experience §3.2)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PROBLEMS = 3  # ran fine, found problems
    NOT_FOUND = 4
    CONFLICT = 5
    FORBIDDEN = 6
    UNAVAILABLE = 7  # safe to try again
    PARTLY = 8
    INTERRUPTED = 130


Data = Annotated[
    Path | None, typer.Option(help="Folder of the embedded database. [EVENSTOCK_DATA]", show_default=False)
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(help="A PostgreSQL (15 or newer) of your own. [EVENSTOCK_DATABASE_URL]", show_default=False),
]
Schema = Annotated[
    str | None, typer.Option(help="Schema of this cell. [EVENSTOCK_SCHEMA]", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Answer as JSON on stdout.")]


def read_settings(**options: object) -> Settings:
    """The settings of this call; the log is set up with them."""
    found = settings(options, os.environ)
    log.configure(found.log_level)
    return found


def say(words: str) -> None:
    """Talk, on stderr."""
    err.print(words, markup=False, soft_wrap=True)


def fail(words: str, code: Exit) -> NoReturn:
    """Say what is wrong and end with that code."""
    err.print(f"✕ {words}", markup=False, soft_wrap=True)
    sys.exit(code)


def instant(text: str, option: str) -> datetime:
    """A time with an offset that was given as an option; ends with the code of wrong usage otherwise."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{option} {text!r} is not a time: write 2026-11-20T14:03:00+01:00.", Exit.USAGE)
    if found.tzinfo is None:
        fail(f"{option} {text!r} has no offset, so it could be any zone's: write {text}+01:00.", Exit.USAGE)
    return found


def answer_json(value: Any) -> None:
    """One JSON object on stdout."""
    sys.stdout.write(_json.encode(value).decode() + "\n")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run the asynchronous part of a command, on the fast loop where there is one."""
    try:
        import uvloop  # noqa: PLC0415 - not on Windows
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)
