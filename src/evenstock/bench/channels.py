"""What channels cost: many items asked for at once, and how long a sale takes to be confirmed by a channel."""

import http.client
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from evenstock.bench.asking import ask
from evenstock.bench.hub import Running
from evenstock.bench.load import request
from evenstock.bench.rows import Row
from evenstock.bench.tickets import ITEMS, LOCATIONS, Tickets, location, sku
from evenstock.postgres import bench as database
from evenstock.postgres.database import Database

ITEMS_ASKED: Final = 500
READ_CONNECTIONS: Final = 8
EVENTS_PER_S: Final = 500
POSTS_PER_S: Final = 20
TOLD_WITHIN_S: Final = 300.0  # all there is, once, before the measuring begins
LOOK_EVERY_S: Final = 0.2
CONNECTION: Final = "bench-recorder"
CHANNEL: Final = "bench-web"

Run = Callable[..., Any]


def many_at_once(hub: Running, seconds: float) -> Row:
    """Queries for 500 random items, each over all locations."""
    measured = hub.load(_queries(hub.key, 200), connections=READ_CONNECTIONS, seconds=seconds, repeat=True)
    return Row(
        f"availability of {ITEMS_ASKED} items over {LOCATIONS} locations",
        measured.requests / measured.seconds,
        at_least=40,
        aim=150,
        p50_ms=measured.p50_ms,
        p99_ms=measured.p99_ms,
        load_share=measured.processor_s / measured.seconds,
        note=f"{measured.failed:,} refused: {measured.first_failure[:200]}" if measured.failed else "",
    )


def told(hub: Running, db: Database, seconds: float, say: Callable[[str], None], run: Run) -> Iterator[Row]:
    """Sales at a steady pace, and how long each takes from its commit to the recorder's acknowledgement."""
    say("making a channel over all locations, and telling it every item once")
    began = time.monotonic()
    hub.post("/v1/connections:batch", {"connections": [{"id": CONNECTION, "connector": "recorder"}]})
    make(hub, CONNECTION, [CHANNEL])
    while run(ask(db, database.is_owed)):
        if time.monotonic() - began > TOLD_WITHIN_S:
            raise RuntimeError(f"the channel was not told within {TOLD_WITHIN_S:g} s")
        time.sleep(LOOK_EVERY_S)
    yield Row(f"numbers of a new channel, {ITEMS:,} items, told", ITEMS / (time.monotonic() - began))
    since = run(ask(db, database.head))
    sent = _paced(hub, seconds)
    while run(ask(db, database.is_owed)):
        time.sleep(LOOK_EVERY_S)
    events, p50, p99 = run(ask(db, database.lag, since, CHANNEL))
    if events < sent:
        raise RuntimeError(f"of {sent:,} sales only {events:,} were told")
    name = f"commit to the recorder's acknowledgement, {EVENTS_PER_S} events/s"
    note = "p50 and p99 from an event's commit; aim: p99 300 ms"
    yield Row(name, sent / seconds, p50_ms=p50, p99_ms=p99, p99_at_most_ms=1_000, note=note)


def make(hub: Running, connection: str, names: Sequence[str]) -> None:
    """Channels over all locations."""
    places = [location(number) for number in range(LOCATIONS)]
    channels = [{"id": name, "locations": places, "connection": connection} for name in names]
    hub.post("/v1/channels:batch", {"channels": channels})


def _queries(key: str, number: int) -> Iterator[bytes]:
    chosen = random.Random("queries")  # noqa: S311 - a reproducible load, not a secret
    for _ in range(number):
        skus = [sku(chosen.randrange(ITEMS)) for _ in range(ITEMS_ASKED)]
        yield request("POST", "/v1/availability:query", key, msgspec.json.encode({"skus": skus}))


def _paced(hub: Running, seconds: float) -> int:
    """Send sales at EVENTS_PER_S, some at a time; how many were sent."""
    tickets = Tickets("paced")
    door = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=30)
    headers = {"Authorization": f"Bearer {hub.key}", "Content-Type": "application/json"}
    each = EVENTS_PER_S // POSTS_PER_S
    posts = int(seconds * POSTS_PER_S)
    bodies = [b"[" + b",".join(next(tickets) for _ in range(each)) + b"]" for _ in range(posts)]
    began = time.monotonic()
    for number, body in enumerate(bodies):
        time.sleep(max(0.0, began + number / POSTS_PER_S - time.monotonic()))
        door.request("POST", "/v1/events", body, headers)
        answer = door.getresponse()
        if answer.status != 200 or b"rejected" in answer.read():
            raise RuntimeError(f"the hub refused what the benchmark sent: {answer.status}")
    door.close()
    return posts * each
