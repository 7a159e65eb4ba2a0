"""A door for each test: a hub over a database of its own, served on a real port by the test's own event loop."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from doors.door import Door, opened
from evenstock.postgres.database import Database
from evenstock.postgres.embedded import joined


@pytest.fixture
def door(runner: asyncio.Runner, database: Database) -> Iterator[Door]:
    """The API with a key that may do everything."""
    stack = AsyncExitStack()
    yield runner.run(stack.enter_async_context(opened(database)))
    runner.run(stack.aclose())


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder; its database is stopped however the test ends."""
    with tempfile.TemporaryDirectory(prefix="evenstock-kill-") as folder:
        yield Path(folder) / "data"
        with joined(Path(folder) / "data", print):
            pass
