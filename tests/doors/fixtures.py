"""A door for each test: a hub over a database of its own, served on a real port by the test's own event loop."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from doors.door import Door, opened
from evenstock.postgres.database import Database


@pytest.fixture
def door(runner: asyncio.Runner, database: Database) -> Iterator[Door]:
    """The API with a key that may do everything."""
    stack = AsyncExitStack()
    yield runner.run(stack.enter_async_context(opened(database)))
    runner.run(stack.aclose())
