"""What an outage costs: how fast a connection catches up, and what a long queue does to everybody else."""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from evenstock import clock
from evenstock.bench.asking import ask
from evenstock.bench.channels import make
from evenstock.bench.hub import Running
from evenstock.bench.load import Measured
from evenstock.bench.rows import Row
from evenstock.bench.tickets import BATCH, ITEMS, LOCATIONS
from evenstock.postgres import bench as database
from evenstock.postgres.database import Database

SHOP: Final = "bench-shop"  # that was away
CHANNELS: Final = 10  # times 10,000 items is what it is owed
BOOKS: Final = "bench-books"  # that stay away
POSTINGS: Final = 1_000_000
PERIOD_S: Final = 3_600  # of the books: none is made while we measure, only the backlog is there
LOOK_EVERY_S: Final = 0.2
WITHIN_S: Final = 900.0

Say = Callable[[str], None]
Run = Callable[..., Any]


def drained(hub: Running, db: Database, say: Say, run: Run) -> Iterator[Row]:
    """A shop is away while all its numbers change, and comes back: one connection, one call at a time."""
    say(f"an outage: the numbers of {CHANNELS} channels wait for one connection")
    hub.post("/v1/connections:batch", {"connections": [{"id": SHOP, "connector": "recorder"}]})
    hub.post(f"/v1/connections/{SHOP}:pause", {"reason": "an outage"})
    make(hub, SHOP, [f"{SHOP}-{number}" for number in range(CHANNELS)])
    began = time.monotonic()
    numbers = _await(lambda: run(ask(db, database.owed)), lambda owed: owed > 0)
    yield Row(f"numbers computed anew, {CHANNELS} channels", numbers / (time.monotonic() - began))
    hub.post(f"/v1/connections/{SHOP}:resume", {"reason": "it is back"})
    began = time.monotonic()
    _await(lambda: run(ask(db, database.owed)), lambda owed: owed == 0)
    seconds = time.monotonic() - began
    yield Row(
        f"drain of {numbers:,} numbers after an outage, one connection",
        numbers / seconds,
        note=f"all told after {seconds:,.0f} s",
    )


def beside(
    hub: Running, db: Database, batches: Callable[[str], Measured], say: Say, run: Run
) -> Iterator[Row]:
    """Events in batches while an ERP is away and a million postings wait for it, against none that wait."""
    settings = {"url": "http://127.0.0.1:9", "token": "env:BENCH_BOOKS_TOKEN"}
    books = {
        "id": BOOKS,
        "connector": "erp_rest",
        "settings": settings,
        "books": {"per": "store", "every_s": PERIOD_S},
    }
    hub.post("/v1/connections:batch", {"connections": [books]})
    hub.post(f"/v1/connections/{BOOKS}:pause", {"reason": "an outage"})
    run(ask(db, database.checkpoint))
    without = _rate(batches("without-backlog"))
    say(f"an outage: {POSTINGS:,} postings wait for an ERP")
    run(ask(db, database.owe_postings, BOOKS, POSTINGS, items=ITEMS, locations=LOCATIONS, now=clock.now()))
    with_ = _rate(batches("with-backlog"))
    yield Row(f"events in batches beside a backlog of {POSTINGS:,} postings", with_)
    yield Row("  against none", with_ / without, "×", at_least=0.8, aim=0.95)


def _rate(measured: Measured) -> float:
    if measured.failed:
        raise RuntimeError(f"the hub refused what the benchmark sent: {measured.first_failure}")
    return measured.requests * BATCH / measured.seconds


def _await(look: Callable[[], int], is_it: Callable[[int], bool]) -> int:
    """Look until it is so; what was seen."""
    began = time.monotonic()
    while not is_it(seen := look()):
        if time.monotonic() - began > WITHIN_S:
            raise RuntimeError(f"the hub did not come to an end of it within {WITHIN_S:g} s")
        time.sleep(LOOK_EVERY_S)
    return seen
