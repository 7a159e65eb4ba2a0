"""The benchmark: an estate of 10,000 items in 20 locations on a database of its own, row by row in one run."""

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import msgspec

from evenstock import clock, wiring
from evenstock.bench import backlog, channels, orders, tickets, webhooks
from evenstock.bench.asking import ask
from evenstock.bench.hub import Running, running
from evenstock.bench.load import Measured
from evenstock.bench.rows import Row
from evenstock.bench.tickets import BATCH, ITEMS, LOCATIONS, Tickets
from evenstock.postgres import bench as database
from evenstock.postgres import masters
from evenstock.postgres.database import Connection, Database
from evenstock.settings import settings

KEY_KINDS: Final[tuple[tickets.KeyKind, ...]] = ("ticket", "random")
BATCH_CONNECTIONS: Final = 8
SINGLE_CONNECTIONS: Final = 32
READ_CONNECTIONS: Final = 8
BATCHES_PER_S_MAX: Final = 120  # prebuilt for each second; more than the hub can take
SINGLES_PER_S_MAX: Final = 15_000
RESERVING_CONNECTIONS: Final = 32
HOT_CONNECTIONS: Final = 64
ORDERS_PER_S_MAX: Final = 15_000
LAST_UNITS: Final = 1_000
OPEN_RESERVATIONS: Final = 200_000

Say = Callable[[str], None]
Run = Callable[..., Any]


class Scope(msgspec.Struct, frozen=True):
    """How much to measure."""

    seconds: float = 8.0  # of each row
    millions: tuple[float, ...] = (1.0, 10.0)  # of movements, for the growth rows


def benchmark(scope: Scope, say: Say, run: Run) -> Iterator[Row]:
    """Measure row by row, and yield each as it is known; `run` runs a coroutine."""
    with tempfile.TemporaryDirectory(prefix="evenstock-bench-") as folder:
        data = Path(folder)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EVENSTOCK_")}
        environment[webhooks.SECRET_NAME] = webhooks.new_secret()
        with wiring.database(settings({"data": data}, {}), say) as db:
            yield from _rows(scope, data, environment, db, say, run)


def _rows(
    scope: Scope, data: Path, environment: dict[str, str], db: Database, say: Say, run: Run
) -> Iterator[Row]:
    with running(data, environment) as hub:
        say("making 10,000 items in 20 locations, each shelf filled")
        hub.send(tickets.masters(hub.key))
        raw, batches = _beside_raw(scope, db, hub, say, run)
        yield raw
        for kind, measured in batches.items():
            rate = measured.requests * BATCH / measured.seconds
            gated = kind == "ticket"
            yield _row(
                f"events in batches of {BATCH}, {kind} keys, across a checkpoint",
                rate,
                measured,
                at_least=12_000 if gated else None,
                aim=30_000 if gated else None,
            )
            yield Row("  of the raw limit", rate / raw.figure, "×", at_least=0.5 if gated else None)
        empty = batches["ticket"].requests * BATCH / batches["ticket"].seconds
        number = int(scope.seconds * SINGLES_PER_S_MAX)
        measured = hub.load(
            Tickets("single").singles(hub.key, number), connections=SINGLE_CONNECTIONS, seconds=scope.seconds
        )
        yield _row(
            "single events, 32 clients",
            measured.requests / measured.seconds,
            measured,
            4_000,
            7_000,
            p99_at_most_ms=50,
        )
        measured = hub.load(
            tickets.questions(hub.key, 20_000),
            connections=READ_CONNECTIONS,
            seconds=scope.seconds,
            repeat=True,
        )
        yield _row(
            "availability of one item over 20 locations",
            measured.requests / measured.seconds,
            measured,
            5_000,
            10_000,
        )
        yield channels.many_at_once(hub, scope.seconds)
        yield from _promises(scope, db, hub, say, run)
        say("taking signed webhooks")
        yield from webhooks.webhooks(hub, db, scope.seconds, environment[webhooks.SECRET_NAME], run)
        for millions in scope.millions:
            say(f"growing the ledger to {millions:g} million movements")
            source = run(ask(db, masters.connections))[tickets.SOURCE]
            run(
                ask(
                    db,
                    database.grow,
                    int(millions * 1_000_000),
                    items=ITEMS,
                    locations=LOCATIONS,
                    connection_id=source,
                    now=clock.now(),
                )
            )
            measured = _batches(hub, scope.seconds, f"at-{millions:g}", "ticket")
            rate = measured.requests * BATCH / measured.seconds
            yield _row(f"events in batches at {millions:g} million movements", rate, measured)
            yield Row("  against the empty ledger", rate / empty, "×", at_least=0.8, aim=0.95)
        yield from channels.told(hub, db, scope.seconds, say, run)
        yield from backlog.drained(hub, db, say, run)
        yield from backlog.beside(
            hub, db, lambda name: _batches(hub, scope.seconds, name, "ticket"), say, run
        )


def _beside_raw(
    scope: Scope, db: Database, hub: Running, say: Say, run: Run
) -> tuple[Row, dict[tickets.KeyKind, Measured]]:
    """Batches between two halves of the raw limit, so that a machine that changes its pace does so to both."""
    say("the raw limit of the database, and batches between its halves")
    before = run(ask(db, _raw, scope.seconds / 2))
    measured: dict[tickets.KeyKind, Measured] = {}
    for kind in KEY_KINDS:
        run(ask(db, database.checkpoint))
        measured[kind] = _batches(hub, scope.seconds, f"{kind}-keys", kind)
    after = run(ask(db, _raw, scope.seconds / 2))
    raw = Row(
        "raw limit: one statement a batch, no rules, no HTTP",
        (before + after) / 2,
        note=f"the measure for the next rows; before them {before:,.0f}/s, after {after:,.0f}/s",
    )
    return raw, measured


def _promises(scope: Scope, db: Database, hub: Running, say: Say, run: Run) -> Iterator[Row]:
    """Reservations: one hot item, the last units of one, random items, and at once again beside very many that are open."""
    number = int(scope.seconds * ORDERS_PER_S_MAX)

    def rate(requests: Iterator[bytes], clients: int) -> tuple[float, Measured]:
        measured = hub.load(requests, connections=clients, seconds=scope.seconds)
        return measured.requests / measured.seconds, measured

    hot, measured = rate(orders.hot_orders(hub.key, "hot", number), HOT_CONNECTIONS)
    yield _row("reservations, one hot item, 64 clients", hot, measured, 3_000, 9_000, p99_at_most_ms=100)
    hub.send(orders.last_units(hub.key, LAST_UNITS))
    requests = orders.hot_orders(hub.key, "last", 2 * LAST_UNITS, orders.HOT)
    measured = hub.load(requests, connections=HOT_CONNECTIONS, seconds=3600.0, warm_up_s=0.0)
    granted = measured.requests - measured.failed
    yield Row("  of the last 1,000 units, granted to 2,000 orders", granted, " units", at_least=LAST_UNITS)
    if granted > LAST_UNITS:
        raise RuntimeError(f"{granted:,} units were granted where {LAST_UNITS:,} were")
    few, measured = rate(orders.orders(hub.key, "random", number), RESERVING_CONNECTIONS)
    yield _row("reservations, random items, 32 clients", few, measured, 3_000, 5_000)
    say(f"opening {OPEN_RESERVATIONS:,} reservations")
    run(
        ask(
            db,
            database.open_reservations,
            OPEN_RESERVATIONS,
            items=ITEMS,
            locations=LOCATIONS,
            now=clock.now(),
        )
    )
    many, measured = rate(orders.orders(hub.key, "beside", number), RESERVING_CONNECTIONS)
    yield _row(f"reservations beside {OPEN_RESERVATIONS:,} open ones", many, measured)
    yield Row("  against few open ones", many / few, "×", at_least=0.8, aim=0.95)


def _batches(hub: Running, seconds: float, name: str, keys: tickets.KeyKind) -> Measured:
    requests = Tickets(name, keys).batches(hub.key, int(seconds * BATCHES_PER_S_MAX))
    return hub.load(requests, connections=BATCH_CONNECTIONS, seconds=seconds)


def _row(
    name: str,
    figure: float,
    measured: Measured,
    at_least: float | None = None,
    aim: float | None = None,
    *,
    p99_at_most_ms: float | None = None,
) -> Row:
    note = f"{measured.failed:,} refused: {measured.first_failure[:200]}" if measured.failed else ""
    if measured.exhausted:
        note += "the prebuilt requests ran out; the figure is too low"
    return Row(
        name,
        figure,
        at_least=at_least,
        aim=aim,
        p50_ms=measured.p50_ms,
        p99_ms=measured.p99_ms,
        p99_at_most_ms=p99_at_most_ms,
        load_share=measured.processor_s / measured.seconds,
        note=note,
    )


async def _raw(connection: Connection, seconds: float) -> float:
    """Events a second at the raw limit, over one connection."""
    chosen = random.Random("raw")  # noqa: S311 - a reproducible load, not a secret
    try:
        await database.raw_start(connection, ITEMS, LOCATIONS)
        await database.checkpoint(connection)
        done, spent = 0, 0.0
        while spent < seconds:
            rows = [_raw_row(chosen, done * BATCH + number) for number in range(BATCH)]
            document = msgspec.json.encode(rows).decode()
            start = perf_counter()
            await database.raw_batch(connection, document, done, clock.now())
            spent += perf_counter() - start
            done += 1
        return done * BATCH / spent
    finally:
        await database.raw_end(connection)


def _raw_row(chosen: random.Random, number: int) -> dict[str, object]:
    place = chosen.randrange(LOCATIONS)
    return {
        "n": number,
        "k": f"T-{place:04d}-{chosen.randrange(4)}-raw-{number:08d}",
        "i": 1 + chosen.randrange(ITEMS),
        "l": 1 + place,
        "q": 1 + number % 3,
        "o": "2026-11-20T14:08:12Z",
    }
