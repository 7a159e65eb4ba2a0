"""One call that has a system do a command, and what became of it.

The commands of a reservation at a location go strictly one after the other: the next is not claimed before this one is done. One
that may have been done is sent again under the same key, and says so; it delays no other reservation.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from prometheus_client import Histogram

from evenstock.connectors.contract import Command, CommandLine, Connector, Done, World
from evenstock.core.names import public_id
from evenstock.core.quantity import as_number
from evenstock.pipeline.calls import Answer, Told, ended
from evenstock.postgres import commands, troubles
from evenstock.postgres.commands import Claimed
from evenstock.postgres.commands import Told as ToldLine
from evenstock.postgres.database import Connection
from evenstock.postgres.lanes import Connection as LaneConnection
from evenstock.postgres.lanes import Lane

LAG: Final = Histogram(
    "evenstock_command_lag_seconds",
    "From deciding a command to its confirmation.",
    buckets=(0.05, 0.1, 0.5, 1, 5, 10, 60, 600, 3600, 6 * 3600, 24 * 3600),
)


class Instruction(msgspec.Struct, frozen=True):
    """A command that is sent in one call."""

    connection_id: int
    connection: str
    claimed: Claimed
    lines: list[ToldLine]

    def __len__(self) -> int:
        return 1

    @property
    def trace_id(self) -> str:
        return self.claimed.trace_id

    @property
    def retried(self) -> list[bool]:
        """Whether it was tried before."""
        return [self.claimed.tries > 1]

    async def ask(self, connector: Connector[Any], settings: Any, world: World) -> Sequence[Answer]:
        """Send it; its one outcome."""
        assert connector.command is not None  # noqa: S101 - only of such a connector it is claimed
        return [await connector.command(settings, world, self.command)]

    async def settle(self, db: Connection, lane: Lane, answers: Sequence[Answer], told: Told, now: datetime) -> None:  # fmt: skip
        """Write down what became of it, and show a person what needs one."""
        (answer,) = answers
        claimed = self.claimed
        came_to = ended(claimed.command_id, claimed.tries, claimed.first_sent_at, answer, told, now)
        mine = await commands.settle(db, self.connection_id, lane.fence, came_to, now)
        needs_a_person = came_to.outcome == "rejected" or came_to.is_late
        if mine and (needs_a_person or await troubles.are_shown(db, self.connection_id)):
            await troubles.show(db, self.connection_id, self.connection, now)
        if mine and isinstance(answer, Done):
            LAG.observe(max(0.0, (now - claimed.made_at).total_seconds()))

    @property
    def command(self) -> Command:
        """As the connector is told it: the same in every try of a round."""
        claimed = self.claimed
        lines = tuple(
            CommandLine(
                line.line, line.sku, line.code or line.sku, claimed.location, as_number(line.units, line.scale), line.uom
            )
            for line in self.lines
        )  # fmt: skip
        return Command(
            kind=claimed.kind,
            reference=claimed.reference,
            key=f"{claimed.reference}-{claimed.round}",
            reservation=public_id(claimed.reservation_id),
            order_ref=claimed.order_ref,
            channel=claimed.channel,
            location=claimed.location,
            lines=lines,
            number=claimed.number,
            again=claimed.again,
            trace_id=claimed.trace_id,
        )


async def claim(db: Connection, connection: LaneConnection, lane: Lane, now: datetime) -> Instruction | None:
    """The command that a connection is sent next, written down as sent in the caller's transaction."""
    connection_id = connection.connection_id
    retries = lane.retries >= 1
    claimed = await commands.claim(db, connection_id, now, lane.fence, connection.drained_at, retries=retries)
    if claimed is None:
        return None
    lines = await commands.lines(db, claimed.command_id, connection_id)
    return Instruction(connection_id, connection.id, claimed, lines)
