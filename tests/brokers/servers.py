"""Real brokers, each started when a test first asks for it, on a port and in a folder of its own.

They are Debian's (`script/brokers` installs them). Without one its tests are skipped; where `CI` is set that is a failure. Kafka is
librdkafka's mock cluster: it speaks the protocol over TCP, and proves nothing about a real broker's disks.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from doors.killing import free_port

STARTS_WITHIN_S = 60.0
NAMES = ("nats", "mqtt", "rabbitmq", "kafka")
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
Ports = Callable[[str], int]


def program(name: str) -> str:
    """Where a server's program is."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is None:
        words = f"{name} is not installed: run script/brokers"
        if os.environ.get("CI"):
            pytest.fail(words, pytrace=False)
        pytest.skip(words)  # at home, where nobody may install; CI fails above
    return found


@contextmanager
def process(command: list[str], port: int, folder: Path, **environ: str) -> Iterator[int]:
    """A server that listens on a port, until we are done with it, or are killed ourselves."""
    if (setpriv := shutil.which("setpriv")) is not None:
        command = [setpriv, "--pdeathsig", "TERM", *command]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(  # noqa: S603 - Debian's own
            command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | environ, start_new_session=True
        )
    try:
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not listens(port):
            if running.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{command[0]} did not start:\n{(folder / 'log').read_text()[-3_000:]}")
            os.sched_yield()
        yield port
    finally:
        running.terminate()
        running.wait(STARTS_WITHIN_S)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def nats(folder: Path, port: int) -> Iterator[int]:
    command = [
        program("nats-server"),
        "-a",
        "127.0.0.1",
        "-p",
        str(port),
        "-js",
        "-sd",
        str(folder / "jetstream"),
    ]
    with process(command, port, folder) as started:
        yield started


@contextmanager
def mqtt(folder: Path, port: int) -> Iterator[int]:
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
        f"persistence_location {folder}/\nuser {os.environ.get('USER', 'root')}\n"
    )
    with process([program("mosquitto"), "-c", str(config)], port, folder) as started:
        yield started


@contextmanager
def rabbitmq(folder: Path, port: int) -> Iterator[int]:
    program("rabbitmq-server")
    names = free_port()  # where Erlang's own name server is asked: one of ours, that ends with us
    environ = {
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"evenstock{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
    }
    (folder / "plugins").write_text("[].\n")
    try:
        with process([RABBITMQ], port, folder, **environ) as started:
            yield started
    finally:
        subprocess.run(  # noqa: S603 - the one we started, by its port
            [program("epmd"), "-port", str(names), "-kill"], check=False, capture_output=True, timeout=10
        )


@contextmanager
def kafka(_folder: Path, _port: int) -> Iterator[int]:
    from confluent_kafka import Producer  # noqa: PLC0415 - heavy, and for these tests only

    cluster: Any = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 0})
    [broker] = cluster.list_topics(timeout=10).brokers.values()
    yield int(broker.port)
    cluster.flush(1)


SERVERS = {"nats": nats, "mqtt": mqtt, "rabbitmq": rabbitmq, "kafka": kafka}


@contextmanager
def all_of(folder: Path) -> Iterator[Ports]:
    """The port of a broker by its name, started when first asked for."""
    with ExitStack() as stack:
        started: dict[str, int] = {}

        def port(name: str) -> int:
            if name not in started:
                own = folder / name
                own.mkdir()
                started[name] = stack.enter_context(SERVERS[name](own, free_port()))
            return started[name]

        yield port
