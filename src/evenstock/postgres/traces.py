"""Reading everything that belongs to one transaction, by what it is asked for and what is related to that."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import msgspec

from evenstock.core.events import CountVoided, FactVoided
from evenstock.core.intake import reference
from evenstock.core.names import command_id, dispatch_id, posting_id, public_id
from evenstock.core.quantity import as_number
from evenstock.core.reading import read_stored
from evenstock.core.tracing.ids import derived
from evenstock.core.tracing.seen import (
    BooksSeen,
    ClaimSeen,
    CommandSeen,
    FactSeen,
    HeldSeen,
    MessageSeen,
    MovementSeen,
    NumberSeen,
    OrderSeen,
    PostingSeen,
    ReservationSeen,
    TrySeen,
)
from evenstock.postgres.database import Connection
from evenstock.postgres.exceptions import public_id as exception_name
from evenstock.postgres.inbox import public_message_id
from evenstock.postgres.queries import load
from evenstock.postgres.told import waits_for

SQL: Final = load("traces")
FOUND_MAX: Final = 200  # facts, reservations or messages of one trace
MOVEMENTS_MAX: Final = 1_000
CLAIMS_MAX: Final = 1_000
NUMBERS_MAX: Final = 500
TRIES_MAX: Final = 2_000
POSTINGS_MAX: Final = 500

Change = tuple[int, int, int]  # item_id, location_id, ledger_seq


class Told(msgspec.Struct, frozen=True):
    """A number that was told: where it stands in the log."""

    channel_id: int
    item_id: int
    version: int
    ledger_seq: int
    trace_id: str | None
    location_id: int | None  # one that it was computed from


class Booked(msgspec.Struct, frozen=True):
    """Facts, the batches that booked them, and the facts that they void."""

    seen: list[FactSeen]
    seqs: set[int]
    targets: list[tuple[str, str]]  # source, key


# What belongs to it ------------------------------------------------------------------------------------------------------


async def facts_of_trace(db: Connection, trace_id: str) -> list[int]:
    return _ids(await db.fetch(SQL.facts_of_trace, trace_id, FOUND_MAX))


async def facts_of_key(db: Connection, key: str, source: str | None) -> list[int]:
    """Facts by the id their source gave them."""
    return _ids(await db.fetch(SQL.facts_of_key, key, source, FOUND_MAX))


async def facts_of_ticket(db: Connection, ticket: str) -> list[int]:
    return _ids(await db.fetch(SQL.facts_of_ticket, ticket, FOUND_MAX))


async def facts_of_movement(db: Connection, ledger_seq: int, ordinal: int) -> list[int]:
    return _ids(await db.fetch(SQL.facts_of_movement, ledger_seq, ordinal))


async def facts_of_posting(db: Connection, posting: int | None, document: str | None) -> list[int]:
    """The facts in a posting, or in the postings with this document."""
    return _ids(await db.fetch(SQL.facts_of_posting, posting, document, FOUND_MAX))


async def facts_of_messages(db: Connection, message_ids: Collection[int]) -> list[int]:
    return _ids(await db.fetch(SQL.facts_of_message, sorted(message_ids), FOUND_MAX))


async def facts_shipped(
    db: Connection, reservation_ids: Collection[int], order_ref: str | None = None
) -> list[int]:
    """What left for these reservations, and for an order without one."""
    return _ids(await db.fetch(SQL.facts_shipped, sorted(reservation_ids), order_ref, FOUND_MAX))


async def facts_related(
    db: Connection, fact_ids: Collection[int], targets: Sequence[tuple[str, str]]
) -> list[int]:
    """The voids of these facts, and the facts `targets` (source, key) that they void."""
    sources, keys = [source for source, _ in targets], [key for _, key in targets]
    return _ids(await db.fetch(SQL.facts_related, sorted(fact_ids), sources, keys, FOUND_MAX))


async def reservations_of_trace(db: Connection, trace_id: str) -> list[int]:
    return _ids(await db.fetch(SQL.reservations_of_trace, trace_id, FOUND_MAX))


async def reservations_of_order(db: Connection, order_ref: str) -> list[int]:
    return _ids(await db.fetch(SQL.reservations_of_order, order_ref, FOUND_MAX))


async def reservations_shipped(db: Connection, fact_ids: Collection[int]) -> list[int]:
    """The reservations whose claims these facts fulfilled."""
    return _ids(await db.fetch(SQL.reservations_shipped, sorted(fact_ids), FOUND_MAX))


async def messages_of_trace(db: Connection, trace_id: str) -> list[int]:
    return _ids(await db.fetch(SQL.messages_of_trace, trace_id, FOUND_MAX))


async def exposure(db: Connection, channel_id: int, item_id: int, version: int) -> Told | None:
    """A number that was told."""
    row = await db.fetchrow(SQL.exposure, channel_id, item_id, version)
    return None if row is None else Told(*row.values())


def _order(row: Any) -> OrderSeen | None:
    if row["order_ref"] is None:
        return None
    open_ = row["order_exception_id"]
    name = None if open_ is None else exception_name(open_)
    return OrderSeen(row["channel"], row["order_ref"], row["order_status"], row["order_code"], name)


def _ids(rows: Iterable[Any]) -> list[int]:
    return [row[0] for row in rows]


# What is stored of it ----------------------------------------------------------------------------------------------------


async def messages(db: Connection, message_ids: Collection[int], tag: str) -> list[MessageSeen]:
    return [
        MessageSeen(
            message_id=row["message_id"],
            id=public_message_id(row["message_id"]),
            connection=row["connection"],
            name=row["name"],
            status=row["status"],
            events=row["keys"],
            detail=row["detail"],
            exception_id=None if row["exception_id"] is None else exception_name(row["exception_id"]),
            received_at=row["received_at"],
            done_at=row["done_at"],
            trace_id=row["trace_id"] or derived(tag, "message", row["message_id"]),
        )
        for row in await db.fetch(SQL.messages, sorted(message_ids))
    ]


async def facts(db: Connection, fact_ids: Collection[int], tag: str) -> Booked:
    """Facts with what waits of them."""
    ids = sorted(fact_ids)
    rows = await db.fetch(SQL.facts, ids)
    held: defaultdict[int, list[Any]] = defaultdict(list)
    for row in await db.fetch(SQL.held, ids):
        held[row["fact_id"]].append(row)
    reused: defaultdict[int, list[Any]] = defaultdict(list)
    for row in await db.fetch(SQL.reused, ids):
        reused[row["fact_id"]].append(row["received_at"])
    seen, targets = [], []
    seqs = {row["ledger_seq"] for row in rows}
    for row in rows:
        event = read_stored(row["body"])
        target = None
        if isinstance(event, FactVoided | CountVoided):
            named = reference(event.data.target, event.source)
            targets.append((named.source, named.id))
            target = named.id
        lines = held[row["fact_id"]]
        seqs |= {line["settled_seq"] for line in lines if line["settled_seq"] is not None}
        names = [line.line for line in getattr(event.data, "lines", ())]
        seen.append(
            FactSeen(
                fact_id=row["fact_id"],
                source=row["source"],
                key=row["key"],
                type=row["type"],
                status=row["status"],
                reason=row["reason"],
                occurred_at=row["occurred_at"],
                time_basis=row["time_basis"],
                received_at=row["received_at"],
                recorded_at=row["recorded_at"],
                trace_id=row["trace_id"] or derived(tag, "fact", row["fact_id"]),
                target=target,
                order=_order(row),
                held=[
                    HeldSeen(
                        line=names[line["line_index"]] if names else "",
                        code=line["code"],
                        exception_id=exception_name(line["exception_id"]),
                        settled_at=line["settled_at"],
                    )
                    for line in lines
                ],
                reused_at=reused[row["fact_id"]],
            )
        )
    return Booked(seen, seqs, targets)


async def movements(db: Connection, booked: Booked) -> tuple[list[MovementSeen], list[Change]]:
    """What facts moved, oldest first, and what that changed."""
    by_id = {fact.fact_id: fact for fact in booked.seen}
    rows = await db.fetch(SQL.movements, sorted(by_id), sorted(booked.seqs), MOVEMENTS_MAX)
    seen = [
        MovementSeen(
            id=f"mov_{row['ledger_seq']}_{row['ordinal']}",
            ledger_seq=row["ledger_seq"],
            fact_id=row["fact_id"],
            sku=row["sku"],
            location=row["location"],
            from_place=row["from_place"],
            to_place=row["to_place"],
            quantity=as_number(row["quantity"], row["scale"]),
            why=row["why"],
            source=by_id[row["fact_id"]].source,
            key=by_id[row["fact_id"]].key,
            type=by_id[row["fact_id"]].type,
            occurred_at=row["occurred_at"],
            recorded_at=row["recorded_at"],
        )
        for row in rows
    ]
    return seen, [(row["item_id"], row["location_id"], row["ledger_seq"]) for row in rows]


async def reservations(db: Connection, reservation_ids: Collection[int], tag: str) -> list[ReservationSeen]:
    return [
        ReservationSeen(
            reservation_id=row["reservation_id"],
            id=public_id(row["reservation_id"]),
            order_ref=row["order_ref"],
            channel=row["channel"],
            trace_id=row["trace_id"] or derived(tag, "reservation", row["reservation_id"]),
        )
        for row in await db.fetch(SQL.reservations, sorted(reservation_ids))
    ]


async def claims(db: Connection, reservation_ids: Collection[int]) -> tuple[list[ClaimSeen], list[Change]]:
    """Every change of these reservations' claims, oldest first, and what that changed."""
    rows = await db.fetch(SQL.claims, sorted(reservation_ids), CLAIMS_MAX)
    seen = [
        ClaimSeen(
            reservation_id=row["reservation_id"],
            ledger_seq=row["ledger_seq"],
            kind=row["kind"],
            sku=row["sku"],
            location=row["location"],
            reserved=as_number(row["reserved"], row["scale"]),
            allocated=as_number(row["allocated"], row["scale"]),
            recorded_at=row["recorded_at"],
        )
        for row in rows
    ]
    return seen, [(row["item_id"], row["location_id"], row["ledger_seq"]) for row in rows]


async def numbers(db: Connection, changes: Collection[Change], tag: str) -> list[NumberSeen]:
    """What channels were told because of changes, or were not yet."""
    if not changes:
        return []
    columns = [list(column) for column in zip(*sorted(set(changes)), strict=True)]
    rows = await db.fetch(SQL.numbers, *columns, NUMBERS_MAX)
    tries = await _tries(db, [row for row in rows if row["version"] is not None])
    return [_number(row, tries, tag) for row in rows]


async def _tries(db: Connection, rows: Sequence[Any]) -> dict[tuple[int, int, int], list[TrySeen]]:
    found: defaultdict[tuple[int, int, int], list[TrySeen]] = defaultdict(list)
    names = sorted({(row["channel_id"], row["item_id"], row["version"]) for row in rows})
    columns = [list(column) for column in zip(*names, strict=True)] if names else [[], [], []]
    for row in await db.fetch(SQL.tries, *columns, TRIES_MAX):
        found[row["channel_id"], row["item_id"], row["version"]].append(
            TrySeen(
                number=row["try"],
                started_at=row["started_at"],
                ended_at=row["ended_at"],
                outcome=row["outcome"],
                detail=row["detail"],
                document=row["document"],
            )
        )
    return found


async def postings(
    db: Connection, moved: Collection[tuple[int, int]]
) -> tuple[list[PostingSeen], list[BooksSeen]]:
    """The postings that movements (ledger_seq, ordinal) are in, and the books that have not added them up yet."""
    if not moved:
        return [], []
    columns = [list(column) for column in zip(*sorted(moved), strict=True)]
    rows = await db.fetch(SQL.postings, *columns, POSTINGS_MAX)
    tries: defaultdict[int, list[TrySeen]] = defaultdict(list)
    for row in await db.fetch(SQL.posting_tries, [row["posting_id"] for row in rows], TRIES_MAX):
        tries[row["posting_id"]].append(TrySeen(*list(row.values())[1:]))
    seen = [
        PostingSeen(
            id=posting_id(row["posting_id"]),
            connection=row["connection"],
            reference=row["reference"],
            kind=row["kind"],
            posted_on=row["posted_on"],
            status=row["status"],
            made_at=row["made_at"],
            trace_id=row["trace_id"],
            carries=row["carries"],
            paused=row["paused"],
            refused_detail=row["refused_detail"],
            refused_lines=row["refused_lines"],
            is_carried=row["is_carried"],
            exception_id=None if row["exception_id"] is None else exception_name(row["exception_id"]),
            tries=tries[row["posting_id"]],
        )
        for row in rows
    ]
    behind = await db.fetch(SQL.books_behind, *columns)
    return seen, [
        BooksSeen(connection=row["connection"], every_s=row["every_s"], since=row["since"]) for row in behind
    ]


async def reservations_of_command(db: Connection, number: int | None, document: str | None) -> list[int]:
    """The reservations that a command is for, by its number or by its system's own number of it."""
    rows = await db.fetch(SQL.reservations_of_command, number, document, FOUND_MAX)
    return [row["reservation_id"] for row in rows]


async def commands(db: Connection, reservation_ids: Collection[int]) -> list[CommandSeen]:
    """What systems were commanded for these reservations."""
    if not reservation_ids:
        return []
    rows = await db.fetch(SQL.commands, sorted(reservation_ids), POSTINGS_MAX)
    ids = [row["command_id"] for row in rows]
    lines: defaultdict[int, list[tuple[str, Any]]] = defaultdict(list)
    for row in await db.fetch(SQL.command_lines, ids):
        lines[row["command_id"]].append((row["sku"], as_number(row["units"], row["scale"])))
    tries: defaultdict[int, list[TrySeen]] = defaultdict(list)
    for row in await db.fetch(SQL.command_tries, ids, TRIES_MAX):
        tries[row["command_id"]].append(TrySeen(*list(row.values())[1:]))
    return [
        CommandSeen(
            id=command_id(row["command_id"]),
            connection=row["connection"],
            reference=row["reference"],
            kind=row["kind"],
            location=row["location"],
            reservation=public_id(row["reservation_id"]),
            lines=lines[row["command_id"]],
            status=row["status"],
            made_at=row["made_at"],
            trace_id=row["trace_id"],
            waits_for=row["waits_for"],
            paused=row["paused"],
            refused_detail=row["refused_detail"],
            exception_id=None if row["exception_id"] is None else exception_name(row["exception_id"]),
            tries=tries[row["command_id"]],
        )
        for row in rows
    ]


def _number(row: Any, tries: dict[tuple[int, int, int], list[TrySeen]], tag: str) -> NumberSeen:
    def units(name: str) -> Any:
        return None if row[name] is None else as_number(row[name], row["scale"])

    seen = NumberSeen(
        channel=row["channel"],
        sku=row["sku"],
        connection=row["connection"],
        since_seq=row["since_seq"],
        since_at=row["since_at"],
        publish_on=row["publish_on"],
        paused=row["paused"],
        computed_until=row["computed_until"],
        intended=units("intended"),
        intended_seq=row["intended_seq"],
        intended_at=row["intended_at"],
        is_due=row["is_due"],
        waits_for=waits_for(row),
        acked_version=row["acked_version"],
    )
    if row["version"] is None:
        return seen
    key = (row["channel_id"], row["item_id"], row["version"])
    return msgspec.structs.replace(
        seen,
        dispatch=dispatch_id(tag, *key),
        version=row["version"],
        quantity=units("quantity"),
        before=units("before"),
        ledger_seq=row["ledger_seq"],
        computed_at=row["computed_at"],
        sent_at=row["sent_at"],
        trace_id=row["trace_id"],
        tries=tries.get(key, []),
        is_refused=row["is_refused"],
        observed=units("observed"),
        observed_at=row["observed_at"],
        strays=row["strays"],
        exception_id=None if row["exception_id"] is None else exception_name(row["exception_id"]),
    )
