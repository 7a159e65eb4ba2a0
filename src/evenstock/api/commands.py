"""GET /v1/commands: what the systems that work at locations are told to do, and how far it has come; POST :retry."""

from typing import Final

import msgspec
from starlette.responses import Response

from evenstock.api.operation import (
    CURSOR,
    LIMIT,
    TEXT,
    Call,
    Operation,
    Parameter,
    limit_of,
    query,
    read_body,
    respond,
)
from evenstock.api.reading import cursor_of, numbers_of
from evenstock.core import names
from evenstock.core.errors import Refusal
from evenstock.core.events import Identifier
from evenstock.postgres import commands, masters, troubles
from evenstock.postgres.commands import CommandFilter, CommandLineRow, CommandRow
from evenstock.postgres.lanes import Try
from evenstock.postgres.stock import SEQ_MAX

STATUSES: Final = ("all", "open", "refused")


class CommandPage(msgspec.Struct, frozen=True):
    data: list[CommandRow]
    next_cursor: str | None


class CommandWhole(CommandRow, frozen=True, kw_only=True):
    """A command with its lines and every try."""

    lines: list[CommandLineRow]
    attempts: list[Try]


class RetryCommands(msgspec.Struct, frozen=True):
    """What a connection's system refused to do: all of it, or what it refused with this code."""

    connection: Identifier
    code: Identifier | None = None


class RetriedCommands(msgspec.Struct, frozen=True):
    commands: int


async def get_commands(call: Call) -> Response:
    given = query(
        call, "connection", "status", "reservation", "order", "location", "document", "limit", "cursor"
    )
    limit = limit_of(given)
    status = given.get("status", "all")
    if status not in STATUSES:
        raise Refusal("request.malformed", f"`status` is one of {', '.join(STATUSES)}.")
    wanted = CommandFilter(
        given.get("connection"),
        status,
        _reservation(given["reservation"]) if "reservation" in given else None,
        given.get("order"),
        given.get("location"),
        given.get("document"),
    )
    before = numbers_of(given["cursor"], 1)[0] if "cursor" in given else SEQ_MAX
    async with call.hub.pool.acquire() as db:
        rows = await commands.commands(db, wanted, before, limit)
    last = [str(_number(rows[-1].id))] if len(rows) == limit else None
    return respond(CommandPage(rows, cursor_of(last) if last else None))


async def get_command(call: Call) -> Response:
    number = _number(call.request.path_params["command_id"])
    async with call.hub.pool.acquire() as db:
        rows = [] if number is None else await commands.commands(db, CommandFilter(), number + 1, 1)
        if number is None or not rows or rows[0].id != names.command_id(number):
            raise Refusal("command.not_found", "There is no such command.")
        lines, attempts = await commands.inside(db, number)
    return respond(CommandWhole(**msgspec.structs.asdict(rows[0]), lines=lines, attempts=attempts))


async def retry_commands(call: Call) -> Response:
    given = read_body(call, RetryCommands)
    async with call.hub.pool.acquire() as db, db.transaction():
        known = await masters.connections(db)
        if given.connection not in known:
            raise Refusal(
                "connection.unknown", f"There is no connection `{given.connection}`.", "/connection"
            )
        now = call.hub.now()
        again = await commands.send_again(db, given.connection, given.code, now)
        await troubles.show(db, known[given.connection], given.connection, now)
    return respond(RetriedCommands(len(again)))


def _reservation(text: str) -> int:
    found = names.internal_id(text)
    if found is None:
        raise Refusal("request.malformed", "`reservation` is the id of one: rsv_0000000042.")
    return found


def _number(text: str) -> int | None:
    found = names.numbers_of(text, "cmd_", "_", 1)
    return None if found is None else found[0]


OPERATIONS = (
    Operation(
        "GET", "/v1/commands", get_commands, "What systems are told to do", "commands:read", {200: CommandPage},
        parameters=(
            Parameter("connection", "Only to this connection.", TEXT),
            Parameter("status", "all (default), open: not done yet, refused: by their system.", {"type": "string", "enum": list(STATUSES)}),
            Parameter("reservation", "Only for this reservation.", TEXT),
            Parameter("order", "Only for reservations of this order_ref.", TEXT),
            Parameter("location", "Only at this location.", TEXT),
            Parameter("document", "Only those that their system knows by this number.", TEXT),
            LIMIT,
            CURSOR,
        ),
        refusals=("limit.page",),
        description="Newest first. `waits_for` names the command of the same reservation and location that must be done before.",
    ),
    Operation(
        "GET", "/v1/commands/{command_id}", get_command, "One command", "commands:read", {200: CommandWhole},
        parameters=(Parameter("command_id", "Its id.", TEXT, where="path"),),
        refusals=("command.not_found",),
        description="With its lines, and every try to have it done.",
    ),
    Operation(
        "POST", "/v1/commands:retry", retry_commands, "Send what a system refused again", "commands:write", {200: RetriedCommands},
        body=RetryCommands,
        refusals=("connection.unknown",),
        description="Refused commands are sent again, each before what waits behind it. What was done is never sent again.",
    ),
)  # fmt: skip
