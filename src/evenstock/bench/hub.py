"""A hub to measure: a process of its own on a database of its own, and the load against it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from evenstock.bench.load import Measured, Plan, framed, request

START_WITHIN_S = 60.0


class Running(msgspec.Struct, frozen=True):
    """A hub that listens."""

    port: int
    pid: int
    data: Path
    key: str

    def load(
        self,
        requests: Iterable[bytes],
        *,
        connections: int,
        seconds: float,
        repeat: bool = False,
        warm_up_s: float = 1.0,
    ) -> Measured:
        """Send prebuilt requests from a process of their own."""
        with tempfile.NamedTemporaryFile(dir=self.data) as file:
            for entry in framed(iter(requests)):
                file.write(entry)
            file.flush()
            plan = Plan("127.0.0.1", self.port, connections, seconds, file.name, repeat, warm_up_s)
            loaded = subprocess.run(
                [sys.executable, "-m", "evenstock.bench.load"],
                input=msgspec.json.encode(plan),
                stdout=subprocess.PIPE,
                check=True,
            )
        return msgspec.json.decode(loaded.stdout, type=Measured)

    def send(self, requests: Iterable[bytes]) -> None:
        """Send requests one after the other, each to be answered well."""
        measured = self.load(requests, connections=1, seconds=3600.0, warm_up_s=0.0)
        if measured.failed:
            raise RuntimeError(f"the hub refused what the benchmark needs: {measured.first_failure}")

    def post(self, path: str, body: object) -> None:
        """Send one request, to be answered well."""
        self.send(iter([request("POST", path, self.key, msgspec.json.encode(body))]))

    def processor_s(self) -> float:
        """What the hub's process has used of the processor."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(data: Path, environment: dict[str, str]) -> Iterator[Running]:
    """Start a hub on a data folder, with a key for everything; stop it at the end."""
    key = _evenstock(
        ["keys", "create", "--name", "bench", "--scope", "*", "--json", "--data", str(data)], environment
    )["key"]
    process = subprocess.Popen(  # noqa: S603 - our own program
        [
            sys.executable,
            "-c",
            "from evenstock.cli import main; main()",
            "serve",
            "--port",
            "0",
            "--data",
            str(data),
            "--log-level",
            "error",
        ],
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )
    try:
        yield Running(_port(process), process.pid, data, key)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stderr is not None  # noqa: S101 - piped
    for line in process.stderr:
        if "listening on http://" in line:
            port = int(line.rsplit(":", 1)[1])
            _await_ready(port)
            return port
    raise RuntimeError("the hub did not start")


def _await_ready(port: int) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            if answer.status == 200:
                return
    raise RuntimeError("the hub did not become ready")


def _evenstock(arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", "from evenstock.cli import main; main()", *arguments],
        stdout=subprocess.PIPE,
        env=environment,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
