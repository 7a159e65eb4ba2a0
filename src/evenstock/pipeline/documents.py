"""One call that brings a posting into the books, and what became of it.

A posting that may be there already is looked up by its reference before it is sent again, under the same key. It holds up no other:
postings add up, whatever their order.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from prometheus_client import Histogram

from evenstock.connectors.contract import (
    Connector,
    Done,
    PartlyDone,
    Posting,
    PostingLine,
    World,
)
from evenstock.core.quantity import as_number
from evenstock.pipeline.calls import Answer, Told, ended
from evenstock.postgres import postings, troubles
from evenstock.postgres.database import Connection
from evenstock.postgres.lanes import Connection as LaneConnection
from evenstock.postgres.lanes import Lane
from evenstock.postgres.postings import Claimed
from evenstock.postgres.postings import Told as ToldLine

LAG = Histogram(
    "evenstock_posting_lag_seconds",
    "From making a posting to its document.",
    buckets=(0.05, 0.1, 0.5, 1, 5, 10, 60, 600, 3600, 6 * 3600, 24 * 3600),
)


class Document(msgspec.Struct, frozen=True):
    """A posting that is sent in one call."""

    connection_id: int
    connection: str
    claimed: Claimed
    lines: list[ToldLine]

    def __len__(self) -> int:
        return 1

    @property
    def trace_id(self) -> str | None:
        return self.claimed.trace_id

    @property
    def retried(self) -> list[bool]:
        """Whether it was tried before."""
        return [self.claimed.tries > 1]

    async def ask(self, connector: Connector[Any], settings: Any, world: World) -> Sequence[Answer]:
        """Send it; its one outcome."""
        assert connector.post is not None  # noqa: S101 - only of such a connector it is claimed
        return [await connector.post(settings, world, self.posting)]

    async def settle(self, db: Connection, lane: Lane, answers: Sequence[Answer], told: Told, now: datetime) -> None:  # fmt: skip
        """Write down what became of it, and show a person what needs one."""
        (answer,) = answers
        claimed = self.claimed
        came_to = ended(claimed.posting_id, claimed.tries, claimed.first_sent_at, answer, told, now)
        refused = (
            [(int(line.line), line.code, line.detail) for line in answer.refused]
            if isinstance(answer, PartlyDone)
            else []
        )
        mine = await postings.settle(db, self.connection_id, lane.fence, came_to, refused, now)
        needs_a_person = came_to.outcome in {"rejected", "partly"} or came_to.is_late
        if mine and (needs_a_person or await troubles.are_shown(db, self.connection_id)):
            await troubles.show(db, self.connection_id, self.connection, now)
        if mine and isinstance(answer, Done | PartlyDone):
            LAG.observe(max(0.0, (now - self.claimed.made_at).total_seconds()))

    @property
    def posting(self) -> Posting:
        """As the connector is told it: the same in every try of a round."""
        claimed = self.claimed
        lines = tuple(
            PostingLine(
                str(line.line), line.sku, line.code or line.sku, line.location,
                as_number(line.units, line.scale), line.uom,
            )
            for line in self.lines
        )  # fmt: skip
        return Posting(
            kind=claimed.kind,
            reference=claimed.reference,
            key=f"{claimed.reference}-{claimed.round}",
            posted_on=claimed.posted_on,
            lines=lines,
            ledger_from=claimed.ledger_from,
            ledger_to=claimed.ledger_to,
            again=claimed.again,
            trace_id=claimed.trace_id,
        )


async def claim(db: Connection, connection: LaneConnection, lane: Lane, now: datetime) -> Document | None:
    """The posting that a connection is sent next, written down as sent in the caller's transaction."""
    connection_id = connection.connection_id
    retries = lane.retries >= 1
    claimed = await postings.claim(db, connection_id, now, lane.fence, connection.drained_at, retries=retries)
    if claimed is None:
        return None
    lines = await postings.lines(db, claimed.posting_id, connection_id)
    return Document(connection_id, connection.id, claimed, lines)
