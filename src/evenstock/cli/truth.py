"""verify and why: whether the ledger tells the truth, and what is behind a number."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from evenstock import clock, wiring
from evenstock.cli.explained import explanation_in_words
from evenstock.cli.talk import (
    Data,
    DatabaseUrl,
    Exit,
    Json,
    Schema,
    answer_json,
    err,
    fail,
    instant,
    out,
    read_settings,
    run,
    say,
)
from evenstock.core.availability import Availability
from evenstock.core.errors import Refusal
from evenstock.core.explaining import Explanation
from evenstock.core.words import movement_in_words
from evenstock.pipeline.explain import explain
from evenstock.postgres import ledger, stock
from evenstock.postgres.database import Database
from evenstock.postgres.stock import LocationNames, MovementFilter, MovementRow
from evenstock.postgres.verify import Violation, violations


def register(app: typer.Typer) -> None:
    app.command()(verify)
    app.command()(why)


def verify(
    data: Data = None, database_url: DatabaseUrl = None, schema: Schema = None, as_json: Json = False
) -> None:
    """Check every invariant of the ledger: 0 when all hold, 3 with what is wrong in words."""
    settings = read_settings(data=data, database_url=database_url, schema=schema)
    with wiring.database(settings, say) as database, err.status("checking every invariant of the ledger"):
        proof = run(proved(database))
    if as_json:
        answer_json(proof)
    else:
        out.print(proof.in_words(), markup=False)
    if not proof.ok:
        raise typer.Exit(Exit.PROBLEMS)


class Proof(msgspec.Struct, frozen=True):
    """What `verify` found."""

    ok: bool
    checked: int
    ledger_seq: int
    violations: list[Violation]

    def in_words(self) -> str:
        if self.ok:
            return f"✓ all {self.checked} invariants hold at ledger_seq {self.ledger_seq:,}"
        return "\n".join(f"✕ {violation}" for violation in self.violations)


async def proved(database: Database) -> Proof:
    """Check every invariant of the ledger."""
    async with wiring.session(database, "verify") as db:
        checked = await ledger.invariants(db)
        found = await violations(db)
        return Proof(not found, checked, (await ledger.head(db))[0], found)


def why(
    sku: str,
    channel: Annotated[str | None, typer.Option(help="What this channel should see, and was told.")] = None,
    location: Annotated[str | None, typer.Option(help="Only this location.")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="What was true at this time, such as 2026-11-20T14:03:00+01:00.")
    ] = None,
    known_at: Annotated[int | None, typer.Option(help="What was known at this ledger_seq.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Movements to show, newest first.")] = 20,
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """What is behind a number, in words: its terms, what a channel was told, and the movements."""
    at = instant(as_of, "--as-of") if as_of is not None else None
    settings = read_settings(data=data, database_url=database_url, schema=schema)
    with wiring.database(settings, say) as database:
        found, explanation, rows = run(_why(database, sku, channel, location, at, known_at, limit))
    if found is None:
        fail(f"There is no item {sku}. A sku is compared exactly, case included.", Exit.NOT_FOUND)
    if as_json:
        told = {} if explanation is None else {"explanation": explanation}
        answer_json({"availability": found, **told, "movements": rows})
        return
    if explanation is None:
        _show(found)
    else:
        for line in explanation_in_words(explanation):
            out.print(line, markup=False, soft_wrap=True)
    _show_movements(rows, limit)


async def _why(
    database: Database,
    sku: str,
    channel: str | None,
    location: str | None,
    as_of: datetime | None,
    known_at: int | None,
    limit: int,
) -> tuple[Availability | None, Explanation | None, list[MovementRow]]:
    async with wiring.session(database, "why") as db:
        names = LocationNames()
        if as_of is None and known_at is None:
            found = (await stock.positions_of(db, [sku], names, clock.now())).get(sku)
        else:
            found = await stock.position_then(db, sku, names, as_of=as_of, known_at=known_at, now=clock.now())
        wanted = MovementFilter(sku=sku, location=location, happened_by=as_of, known_at=known_at)
        rows = await stock.movements(db, wanted, None, limit, await ledger.tag(db)) if found else []
        explanation = None
        if found and channel is not None:
            try:
                explanation = await explain(
                    db, names, sku, channel, as_of=as_of, known_at=known_at, now=clock.now()
                )
            except Refusal as refusal:
                fail(
                    f"{refusal.problem.detail} Channels are compared exactly, case included.", Exit.NOT_FOUND
                )
        return found, explanation, rows


def _show(found: Availability) -> None:
    out.print(
        f"{found.sku}: {found.on_hand} on hand, {found.available_to_sell} available to sell"
        f"   as of {found.as_of:%Y-%m-%d %H:%M:%S %Z}, ledger_seq {found.ledger_seq:,}",
        markup=False,
    )
    table = Table(box=None, pad_edge=False)
    for heading in ("location", "on hand", "sellable", "quarantine", "damaged", "in transit"):
        table.add_column(heading, justify="left" if heading == "location" else "right")
    for place in found.locations:
        amounts: list[Any] = [
            place.on_hand,
            place.sellable,
            place.quarantine,
            place.damaged,
            place.in_transit,
        ]
        table.add_row(place.id + ("" if place.observed else " (never counted)"), *map(str, amounts))
    out.print(table)


def _show_movements(rows: list[MovementRow], limit: int) -> None:
    for row in rows:
        out.print(
            f"{row.occurred_at:%Y-%m-%d %H:%M:%S}  {row.location:<12} {movement_in_words(row)}", markup=False
        )
    if len(rows) == limit:
        err.print(f"Only the newest {limit} movements are shown; --limit shows more.")
