"""GET /v1/connections, and what a person says of one: pause, drain, resume."""

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from starlette.responses import Response

from evenstock.api.operation import TEXT, Call, Operation, Parameter, query, read_body, respond
from evenstock.core.errors import Refusal
from evenstock.postgres import channels
from evenstock.postgres.channels import Standing

WORDS: Final = {
    "paused": "Nothing is sent. What the connection is owed is kept: of numbers the newest, of postings and commands every one.",
    "draining": "What was owed until now is still sent; what comes later is kept until you resume.",
    "running": "What was kept is sent now: of numbers the newest, of postings and commands every one, in their order.",
}
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]


class ConnectionList(msgspec.Struct, frozen=True):
    data: list[Standing]


class Handle(msgspec.Struct, frozen=True):
    """Why, for those who look later."""

    reason: Reason | None = None


class Handled(msgspec.Struct, frozen=True):
    """How the connection is handled from now on, and what that does to its data."""

    id: str
    handling: Literal["running", "draining", "paused"]
    since: datetime
    words: str


async def get_connections(call: Call) -> Response:
    query(call)
    async with call.hub.pool.acquire() as db:
        return respond(ConnectionList(await channels.standing(db)))


async def pause_connection(call: Call) -> Response:
    return await _handle(call, "paused")


async def drain_connection(call: Call) -> Response:
    return await _handle(call, "draining")


async def resume_connection(call: Call) -> Response:
    return await _handle(call, "running")


async def _handle(call: Call, handling: Literal["running", "draining", "paused"]) -> Response:
    given = read_body(call, Handle)
    id_, now = call.request.path_params["id"], call.hub.now()
    async with call.hub.pool.acquire() as db:
        if not await channels.handle(db, id_, handling, now, given.reason):
            raise Refusal("connection.not_found", f"There is no connection `{id_[:128]}`.")
    return respond(Handled(id_, handling, now, WORDS[handling]))


def _verb(verb: str, handler: object, summary: str, handling: str) -> Operation:
    return Operation(
        "POST", f"/v1/connections/{{id}}:{verb}", handler, summary, "connections:write", {200: Handled},  # type: ignore[arg-type]  # one of the above
        parameters=(Parameter("id", "The connection's.", TEXT, where="path"),),
        body=Handle,
        refusals=("connection.not_found",),
        description=WORDS[handling],
    )  # fmt: skip


OPERATIONS = (
    Operation(
        "GET", "/v1/connections", get_connections, "Connections and how they stand", "connections:read", {200: ConnectionList},
        description="What a person said, what its own answers taught, since when it has not answered, and how much it is owed.",
    ),
    _verb("pause", pause_connection, "Send nothing, keep everything", "paused"),
    _verb("drain", drain_connection, "Send what is owed by now, and no more", "draining"),
    _verb("resume", resume_connection, "Go on", "running"),
)  # fmt: skip
