"""Numbers that wait for the books in PostgreSQL: which they are, what blocks them, and which of them are released."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from evenstock.postgres.database import Connection
from evenstock.postgres.exposures import ExposureKey, Intended
from evenstock.postgres.queries import load
from evenstock.postgres.rows import document, tuples

SQL: Final = load("confirmations")
WAITING_MAX: Final = 64  # numbers of a channel and an item; then the newest takes the place of the last


class Block(msgspec.Struct, frozen=True):
    """What a channel waits for about an item: the first movement that its books have not acknowledged, if there is one."""

    channel_id: int
    item_id: int
    publish_on: str
    ledger_seq: int | None
    posting_id: int | None  # that holds the movement; None: it is not made yet
    line: int | None

    @property
    def key(self) -> ExposureKey:
        return self.channel_id, self.item_id


class Released(msgspec.Struct, frozen=True):
    """A number with nothing before it, and its place in the ledger."""

    number: Intended
    ledger_seq: int
    computed_at: datetime
    is_told: bool  # it is what the exposure is already


async def wait(
    db: Connection, numbers: Sequence[Intended], ledger_seq: int, revision: int, now: datetime
) -> None:
    """Keep new numbers until the books have what is behind them."""
    await db.execute(SQL.wait, document(numbers), ledger_seq, now, revision, WAITING_MAX)


async def hold_back(db: Connection, channel_id: int) -> None:
    """What the channel was not told yet waits for the books."""
    await db.execute(SQL.hold_back, channel_id)


async def look_again(db: Connection, channel_ids: Sequence[int]) -> None:
    """What these channels wait for may be something else now."""
    await db.execute(SQL.look_again, list(channel_ids))


async def are_waiting(db: Connection) -> bool:
    """Whether any number waits: cheap, for it is asked many times a second."""
    return bool(await db.fetchval(SQL.waiting))


async def to_look_at(db: Connection, limit: int) -> list[ExposureKey]:
    """What may be released, or waits for nobody knows what; what waits longest first."""
    return [(row["channel_id"], row["item_id"]) for row in await db.fetch(SQL.to_look_at, limit)]


async def blocked(db: Connection, keys: Sequence[ExposureKey]) -> list[Block]:
    """What each of these waits for now."""
    rows = await db.fetch(SQL.blocked, [key[0] for key in keys], [key[1] for key in keys])
    return [Block(*row.values()) for row in rows]


async def released(db: Connection, blocks: Sequence[Block]) -> list[Released]:
    """The newest number of each that nothing blocks, in the ledger's order."""
    said = [
        (each.channel_id, each.item_id, each.ledger_seq, each.publish_on == "erp_confirm") for each in blocks
    ]
    return [
        Released(
            Intended(
                row["channel_id"],
                row["item_id"],
                row["connection_id"],
                row["units"],
                row["because"],
                row["trace_id"],
                row["rank"],
            ),
            row["ledger_seq"],
            row["computed_at"],
            row["is_told"],
        )
        for row in await db.fetch(SQL.released, tuples(("c", "i", "s", "w"), said))
    ]


async def settle(db: Connection, blocks: Sequence[Block], gone: Sequence[Released]) -> None:
    """Forget what was released and what came before it, and note what the rest waits for."""
    await db.execute(
        SQL.drop_released,
        [each.number.channel_id for each in gone],
        [each.number.item_id for each in gone],
        [each.ledger_seq for each in gone],
    )
    said = [(each.channel_id, each.item_id, each.ledger_seq, each.posting_id, each.line) for each in blocks]
    await db.execute(SQL.note, tuples(("c", "i", "s", "p", "l"), said))
    await db.execute(SQL.end_waits, [each.channel_id for each in blocks], [each.item_id for each in blocks])
