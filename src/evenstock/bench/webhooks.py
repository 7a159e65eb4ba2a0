"""What webhooks cost: how fast a vendor is answered, and how fast what it told is in the ledger."""

import base64
import random
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from evenstock import clock
from evenstock.bench.asking import ask
from evenstock.bench.hub import Running
from evenstock.bench.load import request
from evenstock.bench.rows import Row
from evenstock.bench.tickets import ITEMS, LOCATIONS, location, sku
from evenstock.connectors.contract import Hook
from evenstock.connectors.signing import SECRET_PREFIX, sign
from evenstock.postgres import bench as database
from evenstock.postgres.database import Database

CONNECTION: Final = "bench-hooks"
SECRET_NAME: Final = "BENCH_HOOK_SECRET"  # noqa: S105 - the name of a variable
VENDOR_CONNECTIONS: Final = 16
PER_S_MAX: Final = 3_000  # prebuilt for each second
ANSWER_P99_MS: Final = 250
LOOK_EVERY_S: Final = 0.1
MAPPING: Final[dict[str, Any]] = {
    "file": {"format": "json", "lines": "lines"},
    "time": {"column": "at"},
    "key": {"parts": ["ticket"]},
    "fields": {"location": {"column": "store"}},
    "line": {"sku": {"column": "line.sku"}, "quantity": {"column": "line.quantity"}},
    "rule": [{"name": "sold", "event": "SaleRecorded.v1"}],
}

Run = Callable[..., Any]


def new_secret() -> str:
    """A key to sign with, as Standard Webhooks writes them."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


def webhooks(hub: Running, db: Database, seconds: float, secret: str, run: Run) -> Iterator[Row]:
    """Signed webhooks from many connections; then how long until all are translated and in the ledger."""
    connection = {
        "id": CONNECTION, "connector": "http_json", "settings": {"mapping": MAPPING, "secret": f"env:{SECRET_NAME}"},
    }  # fmt: skip
    hub.post("/v1/connections:batch", {"connections": [connection]})
    began = time.monotonic()
    measured = hub.load(
        _signed(secret, int(seconds * PER_S_MAX)), connections=VENDOR_CONNECTIONS, seconds=seconds
    )
    if measured.failed:
        raise RuntimeError(f"the hub refused a webhook of the benchmark: {measured.first_failure}")
    yield Row(
        f"webhooks in, signed, {VENDOR_CONNECTIONS} connections",
        measured.requests / measured.seconds,
        p50_ms=measured.p50_ms,
        p99_ms=measured.p99_ms,
        p99_at_most_ms=ANSWER_P99_MS,
        load_share=measured.processor_s / measured.seconds,
        note="the prebuilt requests ran out; the figure is too low" if measured.exhausted else "",
    )
    while run(ask(db, database.untranslated)):
        time.sleep(LOOK_EVERY_S)
    taken = time.monotonic() - began
    translated = run(ask(db, database.messages))
    yield Row("  translated and in the ledger, from the first to the last", translated / taken)


def _signed(secret: str, number: int) -> Iterator[bytes]:
    chosen = random.Random("hooks")  # noqa: S311 - a reproducible load, not a secret
    hook, now = Hook(), clock.now()
    for index in range(number):
        ticket = f"H-{index:08d}"
        line = {"sku": sku(chosen.randrange(ITEMS)), "quantity": 1}
        body = msgspec.json.encode(
            {"ticket": ticket, "store": location(chosen.randrange(LOCATIONS)), "at": "2026-11-20T14:08:12Z", "lines": [line]}
        )  # fmt: skip
        yield request("POST", f"/v1/hooks/{CONNECTION}", None, body, sign(hook, secret, ticket, now, body))
