"""Reading what channels should see, were sent and confirmed; now, and as it was."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from evenstock.core.availability import Exposed, Number, WaitsFor
from evenstock.core.errors import Refusal
from evenstock.core.explaining import Promise
from evenstock.core.exposure import Terms
from evenstock.core.names import posting_id, public_id
from evenstock.core.quantity import as_number
from evenstock.postgres.database import Connection
from evenstock.postgres.exposures import terms_of
from evenstock.postgres.queries import load
from evenstock.postgres.stock import SEQ_MAX, LocationNames

SQL: Final = load("told")
PROMISES_MAX: Final = 20  # named behind a term
END_OF_TIME: Final = datetime(9999, 1, 1, tzinfo=UTC)


class TermsThen(msgspec.Struct, frozen=True):
    """A channel's terms at a time; None when it had none yet."""

    channel_id: int
    terms: Terms | None


class Says(msgspec.Struct, frozen=True):
    """What was told, and why it was that number."""

    exposure: Exposed
    because: str
    trace_id: str | None


async def terms_at(
    db: Connection, channel: str, names: LocationNames, ledger_seq: int = SEQ_MAX
) -> TermsThen:
    """A channel's terms at a number of the ledger.

    Raises Refusal `channel.unknown`.
    """
    row = await db.fetchrow(SQL.terms_at, channel, ledger_seq)
    if row is None:
        raise Refusal("channel.unknown", f"There is no channel `{channel}`.")
    if row["location_ids"] is None:
        return TermsThen(row["channel_id"], None)
    known = await names.read(db, set(row["location_ids"]))
    return TermsThen(row["channel_id"], terms_of(row, known))


async def exposures_of(db: Connection, channel: str, skus: Sequence[str]) -> dict[str, Says]:
    """What a channel should see of these items and was told, by sku."""
    return {
        row["sku"]: Says(_exposed(row), row["because"], row["trace_id"])
        for row in await db.fetch(SQL.exposures_of, channel, list(skus))
    }


async def told_at(db: Connection, channel: str, sku: str, intended: int, at: datetime) -> Says | None:
    """What a channel had been told at an instant, when it should have seen `intended` units; None when nothing."""
    row = await db.fetchrow(SQL.told_at, channel, sku, at)
    if row is None:
        return None
    scale = row["scale"]
    acked = None if row["acked"] is None else as_number(row["acked"], scale)
    status = {"unknown": "unknown", "rejected": "refused"}.get(row["outcome"] or "unknown", "owed")
    if row["acked_version"] == row["version"]:
        status = "told" if row["acked"] == intended else "owed"
    exposure = Exposed(
        status=status,
        intended=as_number(intended, scale),
        version=row["version"],
        sent=as_number(row["quantity"], scale),
        sent_version=row["version"],
        sent_at=row["sent_at"],
        acked=acked,
        acked_version=row["acked_version"],
        acked_at=row["acked_at"],
    )
    return Says(exposure, row["because"], row["trace_id"])


async def own_then(
    db: Connection, sku: str, channel_id: int, names: LocationNames, ledger_seq: int
) -> dict[str, int]:
    """What orders of a channel claimed of an item at a number of the ledger, in units by location."""
    rows = await db.fetch(SQL.own_then, sku, ledger_seq, channel_id)
    known = await names.read(db, {row["location_id"] for row in rows})
    return {known[row["location_id"]]: row["units"] for row in rows}


async def promises_then(
    db: Connection, sku: str, scale: int, locations: Iterable[str], ledger_seq: int, due: datetime | None
) -> Mapping[str, list[Promise]]:
    """The first reservations behind what was `reserved` and `allocated` there; those over their time at `due` are left out."""
    rows = await db.fetch(SQL.promises_then, sku, ledger_seq, due, PROMISES_MAX, sorted(locations))
    found: dict[str, list[Promise]] = {"reserved": [], "allocated": []}
    for row in rows:
        for kind, promises in found.items():
            if row[kind]:
                promises.append(
                    Promise(
                        public_id(row["reservation_id"]),
                        row["order_ref"],
                        row["channel"],
                        row["location"],
                        as_number(row[kind], scale),
                    )
                )
    return found


class ExposureRow(Exposed, frozen=True, kw_only=True):
    """What one channel should see for one item, and how far that has come."""

    channel: str
    sku: str
    connection: str | None
    ledger_seq: int
    computed_at: datetime
    because: str
    trace_id: str | None
    tries: int
    due_at: datetime | None
    observed: Number | None  # that the system showed when it was last looked at
    observed_at: datetime | None


class SentRow(msgspec.Struct, frozen=True):
    """A number that was sent, and what became of it; `outcome` is null while nobody knows yet."""

    channel: str
    sku: str
    connection: str | None
    quantity: Number
    version: int
    ledger_seq: int
    computed_at: datetime
    because: str
    trace_id: str | None
    sent_at: datetime
    outcome: str | None
    detail: str | None
    ended_at: datetime | None
    tries: int


Cursor = tuple[int, int, int]


async def exposures(
    db: Connection,
    channel: str | None,
    sku: str | None,
    after: Cursor | None,
    limit: int,
    *,
    owed: bool,
) -> tuple[list[ExposureRow], Cursor | None]:
    """What channels should see, what changed last first; and where the page ends, when it is full."""
    rows = await db.fetch(SQL.exposures, *(after or (SEQ_MAX, 0, 0)), channel, sku, owed, limit)
    found = [
        ExposureRow(
            **msgspec.structs.asdict(_exposed(row)),
            channel=row["channel"],
            sku=row["sku"],
            connection=row["connection"],
            ledger_seq=row["ledger_seq"],
            computed_at=row["computed_at"],
            because=row["because"],
            trace_id=row["trace_id"],
            tries=row["tries"],
            due_at=row["due_at"],
            observed=None if row["observed"] is None else as_number(row["observed"], row["scale"]),
            observed_at=row["observed_at"],
        )
        for row in rows
    ]
    last = (rows[-1]["revision"], rows[-1]["channel_id"], rows[-1]["item_id"]) if len(rows) == limit else None
    return found, last


async def sent(
    db: Connection,
    channel: str,
    sku: str | None,
    since: datetime | None,
    before: tuple[datetime, int, int] | None,
    limit: int,
) -> tuple[list[SentRow], tuple[datetime, int, int] | None]:
    """Numbers sent to a channel, newest first, from behind the cursor; and where the page ends, when it is full."""
    rows = await db.fetch(SQL.log, channel, *(before or (END_OF_TIME, 0, 0)), since, sku, limit)
    found = [
        SentRow(
            row["channel"], row["sku"], row["connection"], as_number(row["quantity"], row["scale"]), row["version"],
            row["ledger_seq"], row["computed_at"], row["because"], row["trace_id"], row["sent_at"], row["outcome"],
            row["detail"], row["ended_at"], row["tries"] or 0,
        )
        for row in rows
    ]  # fmt: skip
    last = (rows[-1]["sent_at"], rows[-1]["item_id"], rows[-1]["version"]) if len(rows) == limit else None
    return found, last


def _exposed(row: Any) -> Exposed:
    def number(units: int | None) -> Number | None:
        return None if units is None else as_number(units, row["scale"])

    return Exposed(
        status=row["status"],
        intended=as_number(row["intended"], row["scale"]),
        version=row["version"],
        sent=number(row["sent"]),
        sent_version=row["sent_version"],
        sent_at=row["sent_at"],
        acked=number(row["acked"]),
        acked_version=row["acked_version"],
        acked_at=row["acked_at"],
        waits_for=waits_for(row),
    )


def waits_for(row: Any) -> WaitsFor | None:
    """What a row says about waiting for the books."""
    if row["waits_since"] is None or row["waits_for"] is None:
        return None
    posting = None if row["waits_posting"] is None else posting_id(row["waits_posting"])
    return WaitsFor(row["waits_for"], row["waits_since"], posting, row["waits_detail"])
