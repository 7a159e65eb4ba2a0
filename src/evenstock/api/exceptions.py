"""/v1/exceptions: what needs a person, found by any business key; and what people do about it."""

from datetime import datetime
from typing import Annotated, get_args

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
from evenstock.core.errors import MEANINGS, Refusal
from evenstock.core.events import Text
from evenstock.pipeline.attend import Attended, attend, show
from evenstock.postgres import attention
from evenstock.postgres.attention import Change, ExceptionRow, Filter, State

STATES: tuple[str, ...] = get_args(State)
OWNER_MAX = 128

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=OWNER_MAX)]


class ExceptionPage(msgspec.Struct, frozen=True):
    data: list[ExceptionRow]
    next_cursor: str | None


class Attention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person decides; what is not named stays, null takes it away."""

    owner: Name | msgspec.UnsetType | None = msgspec.UNSET
    waiting_for: Text | msgspec.UnsetType | None = msgspec.UNSET
    ignored_until: datetime | msgspec.UnsetType | None = msgspec.UNSET
    note: Text | None = None


async def get_exceptions(call: Call) -> Response:
    given = query(call, "status", "state", "code", "owner", "q", "limit", "cursor")
    limit = limit_of(given)
    status, state = given.get("status", "open"), given.get("state")
    if status not in {"open", "all"}:
        raise Refusal("request.malformed", "`status` is open or all.")
    if state is not None and state not in STATES:
        raise Refusal("request.malformed", f"`state` is one of: {', '.join(STATES)}.")
    if "code" in given and given["code"] not in MEANINGS:
        raise Refusal("request.malformed", f"There is no code `{given['code']}`.")
    before = numbers_of(given["cursor"], 1)[0] if "cursor" in given else None
    async with call.hub.pool.acquire() as db:
        wanted = Filter(
            closed_too=status == "all" or state == "resolved",
            code=given.get("code"),
            state=state,  # type: ignore[arg-type]  # one of them
            owner=given.get("owner"),
            ids=await attention.find(db, given["q"]) if "q" in given else None,
        )
        rows = await attention.exceptions(db, wanted, before, limit, call.hub.now())
    last = [str(int(rows[-1].id.removeprefix("exc_")))] if len(rows) == limit else None
    return respond(ExceptionPage(rows, cursor_of(last) if last else None))


async def get_exception(call: Call) -> Response:
    query(call)
    async with call.hub.pool.acquire() as db:
        return respond(await show(db, _id(call), call.hub.now()))


async def attend_exception(call: Call) -> Response:
    body = read_body(call, Attention)
    for field in ("owner", "waiting_for", "note"):
        value = getattr(body, field)
        if isinstance(value, str) and "\0" in value:
            raise Refusal("identifier.characters", "The text holds a NUL character.", f"/{field}")
    if isinstance(body.ignored_until, datetime) and body.ignored_until.tzinfo is None:
        raise Refusal("request.malformed", "The time has no offset.", "/ignored_until")
    change = Change(owner=body.owner, waiting_for=body.waiting_for, ignored_until=body.ignored_until)
    async with call.hub.pool.acquire() as db:
        found = await attend(db, _id(call), change, body.note, call.caller.name, call.hub.now())
    return respond(found)


def _id(call: Call) -> int:
    found = names.numbers_of(call.request.path_params["id"], "exc_", "_", 1)
    if found is None:
        raise Refusal("exception.not_found", "There is no exception of this id.")
    return found[0]


ID = Parameter("id", "exc_…", TEXT, "path")
OPERATIONS = (
    Operation(
        "GET", "/v1/exceptions", get_exceptions, "What needs a person", "exceptions:read", {200: ExceptionPage},
        parameters=(
            Parameter("status", "open (default) or all.", {"type": "string", "enum": ["open", "all"]}),
            Parameter("state", "Only of this state.", {"type": "string", "enum": list(STATES)}),
            Parameter("code", "Only this cause.", TEXT),
            Parameter("owner", "Only of this owner.", TEXT),
            Parameter("q", "Only about this: an item, barcode, location, connection, event, ticket, order, msg_… or exc_….", TEXT),
            LIMIT,
            CURSOR,
        ),
        refusals=("limit.page",),
        description="One for each cause, with its state, what waits under it, the units at stake, whether data is safe, and what happens next "
        "by itself. They close by facts, never by a click: adding the missing item or location books what waited.",
    ),
    Operation(
        "GET", "/v1/exceptions/{id}", get_exception, "One of them, with what was said and done", "exceptions:read", {200: Attended},
        parameters=(ID,), refusals=("exception.not_found",),
    ),
    Operation(
        "POST", "/v1/exceptions/{id}:attend", attend_exception, "Own it, wait, ignore it until a time, or note something", "exceptions:write",
        {200: Attended}, parameters=(ID,), body=Attention,
        refusals=("exception.not_found", "exception.resolved", "identifier.characters"),
        description="What is not named stays as it is; null takes it away. Each is kept with the name of the key and the time.",
    ),
)  # fmt: skip
