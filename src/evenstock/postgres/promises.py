"""Reservations and claims in PostgreSQL: found, locked, and written as the desk decided."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from evenstock.core.booking import Booking, Position, PositionKey
from evenstock.core.reservations import (
    Asked,
    Claim,
    ClaimBook,
    Identity,
    ReleaseRow,
    RequestKey,
    Reservation,
    Shipped,
)
from evenstock.postgres import commands, faults, ledger
from evenstock.postgres.channels import terms
from evenstock.postgres.database import Connection, Record
from evenstock.postgres.queries import load
from evenstock.postgres.rows import document, tuples

SQL: Final = load("promises")
DUE_MAX: Final = 500  # of one sweep, and of one look at positions where there was too little
OFFERS_MAX: Final = 5  # locations named as alternatives for an item

_asked = msgspec.json.Decoder(tuple[Asked, ...])
_unclaimed = msgspec.json.Decoder(list[tuple[int, str, int, int, int]])


async def only_by_key(db: Connection) -> None:
    """Plan this session's queries by their keys, however small the tables are now."""
    await db.execute(SQL.only_by_key)


class Begun(msgspec.Struct, frozen=True):
    """A batch that has begun: its head, and its positions, locked."""

    batch_id: int
    ledger_seq: int
    version: int
    positions: dict[PositionKey, Position]


async def begin(db: Connection, spots: Iterable[PositionKey]) -> Begun:
    """Begin a batch and lock its positions, in the global order."""
    keys = sorted(spots)
    head, *locked = await db.fetch(SQL.begin, [key[0] for key in keys], [key[1] for key in keys])
    positions = {
        (item, location): Position((s, q, d, t), reserved, allocated)
        for _, _, _, item, location, s, q, d, t, reserved, allocated in locked
    }
    return Begun(head["batch_id"], head["ledger_seq"], head["version"], positions)


async def new_ids(db: Connection, number: int) -> list[int]:
    return [row["reservation_id"] for row in await db.fetch(SQL.new_ids, number)]


async def spots_of(db: Connection, reservation_ids: Iterable[int]) -> dict[int, set[PositionKey]]:
    """Where each of these reservations claims, or did."""
    found: dict[int, set[PositionKey]] = {}
    for reservation_id, item_id, location_id in await db.fetch(SQL.spots_of, sorted(reservation_ids)):
        found.setdefault(reservation_id, set()).add((item_id, location_id))
    return found


async def ids_of_orders(
    db: Connection, order_refs: Iterable[str], reservation_ids: Iterable[int]
) -> set[int]:
    """The reservations of these orders, and of those that these reservations are for; ended ones too."""
    rows = await db.fetch(SQL.ids_of_orders, sorted(order_refs), sorted(reservation_ids))
    return {row["reservation_id"] for row in rows}


class Found(msgspec.Struct, frozen=True):
    """Reservations, locked, and what left for the orders that were asked for before anybody had promised it."""

    reservations: list[Reservation]
    unclaimed: list[Shipped]


async def lock(
    db: Connection,
    reservation_ids: Iterable[int],
    identities: Sequence[Identity] = (),
    requests: Sequence[RequestKey] = (),
) -> Found:
    """Lock reservations by number, open identity and request, after their positions; with their claims."""
    first, *rows = await db.fetch(
        SQL.lock_reservations,
        sorted(reservation_ids),
        [identity[0] for identity in identities],
        [identity[1] for identity in identities],
        [request[0] for request in requests],
        [request[1] for request in requests],
    )
    unclaimed = first["unclaimed"]
    return Found(
        await _with_claims(db, rows),
        [] if unclaimed is None else [Shipped(*row) for row in _unclaimed.decode(unclaimed)],
    )


async def find(db: Connection, reservation_id: int) -> Reservation | None:
    """A reservation as it is, for whoever asks."""
    found = await _with_claims(db, await db.fetch(SQL.reservation, reservation_id))
    return found[0] if found else None


async def _with_claims(db: Connection, rows: Sequence[Record]) -> list[Reservation]:
    if not rows:
        return []
    claims: dict[int, list[Claim]] = {row["reservation_id"]: [] for row in rows}
    for row in await db.fetch(SQL.claims_of, list(claims)):
        reservation_id, *claim = row.values()
        claims[reservation_id].append(msgspec.structs.replace(Claim(*claim), is_new=False))
    return [
        Reservation(
            reservation_id=row["reservation_id"],
            channel_id=row["channel_id"],
            channel=row["channel"],
            order_ref=row["order_ref"],
            status=row["status"],
            all_or_nothing=row["all_or_nothing"],
            asked=_asked.decode(row["asked"]),
            terms=terms(row),
            expires_at=row["expires_at"],
            reason=row["reason"],
            created_at=row["created_at"],
            trace_id=row["trace_id"],
            claims=claims[row["reservation_id"]],
        )
        for row in rows
    ]


async def requests(db: Connection, keys: Sequence[RequestKey]) -> dict[RequestKey, tuple[bytes, int]]:
    """What was granted under these keys: digest of the request, and the reservation."""
    if not keys:
        return {}
    rows = await db.fetch(SQL.requests, [key[0] for key in keys], [key[1] for key in keys])
    return {(row["caller"], row["key"]): (row["request_sha256"], row["reservation_id"]) for row in rows}


async def releases(db: Connection, keys: Sequence[tuple[int, str]]) -> list[ReleaseRow]:
    """What was released under these keys of these reservations."""
    if not keys:
        return []
    rows = await db.fetch(SQL.releases, [key[0] for key in keys], [key[1] for key in keys])
    return [ReleaseRow(*row.values()) for row in rows]


async def unclaimed(db: Connection, order_refs: Iterable[str], ledger_seq: int) -> list[Shipped]:
    """Units that left for these orders before this batch, and before anybody had promised them."""
    return [Shipped(*row) for row in await db.fetch(SQL.unclaimed, sorted(order_refs), ledger_seq)]


async def unclaimed_facts(db: Connection, fact_ids: Iterable[int]) -> set[int]:
    """Which of these shipments have units that nobody promised."""
    return {row["fact_id"] for row in await db.fetch(SQL.unclaimed_facts, sorted(fact_ids))}


async def shipments_of(db: Connection, fact_ids: Iterable[int]) -> list[Shipped]:
    """What these facts shipped and was not taken back, by claim."""
    return [Shipped(*row.values()) for row in await db.fetch(SQL.shipments_of, sorted(fact_ids))]


async def due(db: Connection, now: datetime) -> list[int]:
    """Reservations whose time is over, oldest first."""
    return [row["reservation_id"] for row in await db.fetch(SQL.due, now, DUE_MAX)]


async def due_at(db: Connection, spots: Iterable[PositionKey], now: datetime) -> set[int]:
    """Reservations whose time is over and that still claim at these positions."""
    keys = sorted(spots)
    rows = await db.fetch(SQL.due_at, [key[0] for key in keys], [key[1] for key in keys], now, DUE_MAX)
    return {row["reservation_id"] for row in rows}


async def offers(db: Connection, item_ids: Iterable[int]) -> dict[int, list[tuple[int, int]]]:
    """Where there is something of these items: (location_id, units), most first."""
    found: dict[int, list[tuple[int, int]]] = {}
    for item_id, location_id, offer in await db.fetch(SQL.offers, sorted(item_ids), OFFERS_MAX):
        found.setdefault(item_id, []).append((location_id, offer))
    return found


async def try_sweeping(db: Connection) -> bool:
    """Whether this transaction is the one that sweeps."""
    return bool(await db.fetchval(SQL.try_sweeping))


async def write(
    db: Connection,
    book: ClaimBook,
    *,
    batch_id: int,
    ledger_seq: int | None = None,
    remembered: Sequence[tuple[RequestKey, bytes, int]] = (),
    released: Sequence[ReleaseRow] = (),
) -> int | None:
    """Write what was decided in the ledger's order: as `ledger_seq` if the batch has its number, else as the next.

    What systems that work at locations are to do because of it is written with it. Returns the number; None when another process was first with what must be there once.
    """
    touched = list(book.touched.values())
    made = [found for found in touched if found.is_new]
    if ledger_seq is None and (released or len(made) < len(touched)):
        ledger_seq = (await ledger.write(db, batch_id, book.now, Booking())).ledger_seq
    if len(made) < len(touched) and not await _change(db, [found for found in touched if not found.is_new]):
        return None
    row = await db.fetchrow(
        SQL.make,
        ledger_seq,
        batch_id,
        book.now,
        document([_reservation(found) for found in made]),
        document([_claim(found, claim) for found in touched for claim in found.claims if claim.is_new]),
        document(book.entries),
        _counters(book.changes()),
        tuples(("c", "k", "h", "r"), ((*key, digest, id_) for key, digest, id_ in remembered)),
    )
    assert row is not None  # noqa: S101 - it counts
    ledger_seq, *first = row
    if released:
        rows = ((r.reservation_id, r.key, r.line, r.digest, r.requested, r.released) for r in released)
        await db.execute(SQL.write_releases, ledger_seq, tuples(("r", "k", "l", "h", "q", "g"), rows))
    if book.shipments:
        await _write_shipments(db, ledger_seq, book.shipments)
    if first != [len(made), len(remembered)]:
        return None
    await commands.owe(db, book, ledger_seq)
    return ledger_seq


async def _change(db: Connection, changed: Sequence[Reservation]) -> bool:
    """False when a reservation that had ended is to go on, and its order has another one meanwhile."""
    names = ("r", "s", "e", "w")
    claims = [_claim(found, claim) for found in changed for claim in found.claims if not claim.is_new]
    ended = tuples(names, (_status(found) for found in changed if found.has_ended))
    going_on = tuples(names, (_status(found) for found in changed if not found.has_ended))
    try:
        await db.execute(SQL.change, ended, going_on, document(claims))
    except faults.TAKEN:
        return False
    return True


async def _write_shipments(db: Connection, ledger_seq: int, shipments: Sequence[Shipped]) -> None:
    rows = (
        (number, s.fact_id, s.order_ref, s.item_id, s.location_id, s.reservation_id, s.claim_no, s.units)
        for number, s in enumerate(shipments)
    )
    await db.execute(SQL.write_shipments, ledger_seq, tuples(("n", "a", "o", "i", "l", "r", "c", "u"), rows))


def _status(found: Reservation) -> tuple[Any, ...]:
    return (found.reservation_id, found.status, found.expires_at, found.reason)


def _reservation(found: Reservation) -> dict[str, Any]:
    return {
        "r": found.reservation_id, "c": found.channel_id, "o": found.order_ref, "s": found.status, "a": found.all_or_nothing,
        "q": msgspec.json.encode(found.asked).decode(), "e": found.expires_at, "w": found.reason, "t": found.created_at,
        "i": found.trace_id,
    }  # fmt: skip


def _claim(found: Reservation, claim: Claim) -> dict[str, Any]:
    return {
        "r": found.reservation_id, "n": claim.claim_no, "k": claim.line, "i": claim.item_id, "l": claim.location_id,
        "g": claim.granted, "s": claim.shipped, "x": claim.released, "c": claim.closed, "a": claim.allocated, "e": found.expires_at,
    }  # fmt: skip


def _counters(changes: Mapping[PositionKey, tuple[int, int]]) -> str:
    return tuples(
        ("i", "l", "d", "a"), ((*key, *change) for key, change in changes.items() if change != (0, 0))
    )
