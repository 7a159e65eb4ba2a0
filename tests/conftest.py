"""Real PostgreSQL for every test that wants one, and the invariants run after each.

A test that is a coroutine runs on an event loop of its own. `database` is a freshly migrated schema on version 18;
`database_each` is one on every version at hand. What a test leaves behind must hold: every `v_*` view is run after it,
unless it is marked `planted`.
"""

import asyncio
import inspect
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from evenstock.postgres.database import Database, quoted
from evenstock.postgres.embedded import joined
from evenstock.postgres.migrate import migrate
from evenstock.postgres.verify import violations

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
VERSIONS: dict[str, Path | None] = {"18": None} | ({"15": DEBIAN_15} if DEBIAN_15.is_dir() else {})
SMALL_MB = 64  # of shared buffers: several servers share the machine with the tests
NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)

numbers = count(1)
pytest_plugins = ("doors.fixtures",)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--deep", action="store_true", help="run the long tests too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--deep"):
        return
    for item in items:
        if item.get_closest_marker("deep"):
            item.add_marker(pytest.mark.skip(reason="long: only with --deep"))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test to its end, on the loop of its fixtures (`runner`) or else on one of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    runner: Any = pyfuncitem.funcargs.get("runner", asyncio)
    runner.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """A loop for a test and its fixtures."""
    with asyncio.Runner() as runner:
        yield runner


Servers = Callable[[str], str]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The URL of a server by its version, started when first asked for."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="evenstock-tests-")))
        urls: dict[str, str] = {}

        def url(version: str) -> str:
            if version not in urls:
                server = joined(
                    folder / version, say=print, bin_dir=VERSIONS[version], shared_buffers_mb=SMALL_MB
                )
                urls[version] = stack.enter_context(server)
            return urls[version]

        yield url
        for version in urls:  # nobody reads it again, so it need not write what it holds
            os.kill(
                int((folder / version / "postgres/postmaster.pid").read_text().split()[0]), signal.SIGQUIT
            )


@pytest.fixture
def server(servers: Servers) -> str:
    return servers("18")


@pytest.fixture(params=VERSIONS)
def server_each(request: pytest.FixtureRequest, servers: Servers) -> str:
    return servers(request.param)


@pytest.fixture
def database(server: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated schema on version 18, for this test alone."""
    yield from fresh(server, request)


@pytest.fixture(scope="module")
def shared_database(servers: Servers) -> Iterator[Database]:
    """A migrated schema on version 18 for all tests of a module, which keep apart by names; what they leave must hold."""
    database = Database(servers("18"), schema=f"test_{next(numbers)}")
    asyncio.run(made(database))
    yield database
    refuse(asyncio.run(left(database, planted=False)))


@pytest.fixture
def database_each(server_each: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated schema on each version at hand, for this test alone."""
    yield from fresh(server_each, request)


def fresh(url: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    database = Database(url, schema=f"test_{next(numbers)}")
    asyncio.run(made(database))
    yield database
    refuse(asyncio.run(left(database, planted=request.node.get_closest_marker("planted") is not None)))


def refuse(broken: list[str]) -> None:
    if broken:
        pytest.fail("After the test, these invariants do not hold:\n" + "\n".join(broken), pytrace=False)


async def made(database: Database) -> None:
    await migrate(database, NOW)


async def left(database: Database, *, planted: bool) -> list[str]:
    """What the test broke; the schema is gone afterwards."""
    async with owner(database) as connection:
        broken = [] if planted else [str(violation) for violation in await violations(connection)]
        await connection.execute(f"DROP SCHEMA IF EXISTS {quoted(database.schema)} CASCADE")
    return broken


@asynccontextmanager
async def owner(database: Database) -> AsyncIterator[Any]:
    connection = await database.connect(owner=True, application="tests")
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine within a test that is none itself."""
    return asyncio.run
