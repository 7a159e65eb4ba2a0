"""One server of each kind for the session, and a peer of its own for each test."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers.servers import Ports, all_of


@pytest.fixture(scope="session")
def ports() -> Iterator[Ports]:
    with tempfile.TemporaryDirectory(prefix="evenstock-brokers-") as folder, all_of(Path(folder)) as found:
        yield found
