"""A door for each test: a hub over a database of its own, served on a real port by the test's own event loop."""

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from doors.door import Door, opened
from evenstock.postgres.database import Database


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A coroutine test runs on the loop that its door lives on."""
    runner: Any = pyfuncitem.funcargs.get("runner")
    if runner is None or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    runner.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def door(runner: asyncio.Runner, database: Database) -> Iterator[Door]:
    """The API with a key that may do everything."""
    stack = AsyncExitStack()
    yield runner.run(stack.enter_async_context(opened(database)))
    runner.run(stack.aclose())
