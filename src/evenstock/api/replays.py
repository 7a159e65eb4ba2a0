"""/v1/replays: plan, then run, with pause, cancel and a kill switch; and editing a dead letter."""

from base64 import b64decode, b64encode
from datetime import datetime
from typing import Annotated

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
from evenstock.core.events import Identifier, Text
from evenstock.core.reading import BATCH_EVENTS_MAX
from evenstock.core.replaying import RATE_DEFAULT_PER_S, Command, Rules, Step, Verb, Wanted
from evenstock.pipeline import replay
from evenstock.pipeline.replay import Edited
from evenstock.postgres import replays
from evenstock.postgres.inbox import public_message_id
from evenstock.postgres.replays import Replay, Switch


class ReplayPage(msgspec.Struct, frozen=True):
    data: list[Replay]
    next_cursor: str | None


class PlanInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be done again: from which step, what of it, narrowed as you like, by which rules and how fast."""

    step: Step
    verb: Verb = "failed"
    rules: Rules = "current"
    reason: Text = ""
    rate_per_s: int = RATE_DEFAULT_PER_S
    connection: Identifier | None = None
    channel: Identifier | None = None
    exception: str | None = None
    messages: Annotated[list[str], msgspec.Meta(max_length=BATCH_EVENTS_MAX)] | None = None


class SwitchInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Text | None = None


class EditInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body as it should have been: as text, or in base64 where it is no text."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    body: str | None = None
    body_base64: str | None = None


class MessageTold(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message with its bytes: as text where they are UTF-8, else in base64; neither when they are gone."""

    id: str
    connection: str
    name: str
    status: str
    received_at: datetime
    body: str | None = None
    body_base64: str | None = None
    edited_from: str | None = None
    edited_by: str | None = None
    edit_reason: str | None = None
    replaced_by: str | None = None


async def post_replays(call: Call) -> Response:
    body = read_body(call, PlanInput)
    for field in ("reason", "connection", "channel"):
        if "\0" in (getattr(body, field) or ""):
            raise Refusal("identifier.characters", "The text holds a NUL character.", f"/{field}")
    wanted = Wanted(
        step=body.step,
        verb=body.verb,
        rules=body.rules,
        reason=body.reason,
        rate_per_s=body.rate_per_s,
        connection=body.connection,
        channel=body.channel,
        exception_id=None if body.exception is None else _number(body.exception, "exc_", "/exception"),
        messages=None
        if body.messages is None
        else [_number(text, "msg_", f"/messages/{index}") for index, text in enumerate(body.messages)],
    )
    async with call.hub.pool.acquire() as db:
        return respond(await replay.plan(db, wanted, call.caller.name, call.hub.now()), 201)


async def get_replays(call: Call) -> Response:
    given = query(call, "limit", "cursor")
    limit = limit_of(given)
    before = numbers_of(given["cursor"], 1)[0] if "cursor" in given else None
    async with call.hub.pool.acquire() as db:
        rows = await replays.page(db, before, limit)
    last = [str(int(rows[-1].id.removeprefix("rpl_")))] if len(rows) == limit else None
    return respond(ReplayPage(rows, cursor_of(last) if last else None))


async def get_replay(call: Call) -> Response:
    query(call)
    async with call.hub.pool.acquire() as db:
        return respond(await replay.show(db, _id(call)))


async def run_replay(call: Call) -> Response:
    return await _command(call, "run")


async def pause_replay(call: Call) -> Response:
    return await _command(call, "pause")


async def cancel_replay(call: Call) -> Response:
    return await _command(call, "cancel")


async def _command(call: Call, what: Command) -> Response:
    async with call.hub.pool.acquire() as db:
        return respond(await replay.command(db, _id(call), what, call.hub.now()))


async def stop_replays(call: Call) -> Response:
    return await _switch(call, stopped=True)


async def allow_replays(call: Call) -> Response:
    return await _switch(call, stopped=False)


async def _switch(call: Call, *, stopped: bool) -> Response:
    body = read_body(call, SwitchInput) if call.body.strip() else SwitchInput()
    if "\0" in (body.reason or ""):
        raise Refusal("identifier.characters", "The reason holds a NUL character.", "/reason")
    async with call.hub.pool.acquire() as db:
        found = await replay.stop_all(db, call.caller.name, body.reason, call.hub.now(), stopped=stopped)
    return respond(found)


async def get_message(call: Call) -> Response:
    query(call)
    async with call.hub.pool.acquire() as db, db.transaction():
        found = await replay.stored(db, _message(call))
    text = _text(found.body)
    return respond(
        MessageTold(
            id=public_message_id(found.message_id),
            connection=found.connection,
            name=found.name,
            status=found.status,
            received_at=found.received_at,
            body=text,
            body_base64=None if text is not None or found.body is None else b64encode(found.body).decode(),
            edited_from=None if found.edited_from is None else public_message_id(found.edited_from),
            edited_by=found.edited_by,
            edit_reason=found.edit_reason,
            replaced_by=None if found.replaced_by is None else public_message_id(found.replaced_by),
        )
    )


async def edit_message(call: Call) -> Response:
    given = read_body(call, EditInput)
    if (given.body is None) == (given.body_base64 is None):
        raise Refusal("request.malformed", "Say body or body_base64, one of them.", "/body")
    if "\0" in given.reason:
        raise Refusal("identifier.characters", "The reason holds a NUL character.", "/reason")
    try:
        body = (
            b64decode(given.body_base64 or "", validate=True) if given.body is None else given.body.encode()
        )
    except ValueError:
        raise Refusal("request.malformed", "This is no base64.", "/body_base64") from None
    async with call.hub.pool.acquire() as db:
        edited = await replay.edit(db, _message(call), body, given.reason, call.caller.name, call.hub.now())
    call.hub.translator.wake()
    return respond(edited)


def _text(body: bytes | None) -> str | None:
    try:
        return None if body is None else body.decode()
    except UnicodeDecodeError:
        return None


def _number(text: str, prefix: str, pointer: str) -> int:
    found = names.numbers_of(text, prefix, "_", 1)
    if found is None:
        raise Refusal("request.malformed", f"`{text[:40]}` is no id that begins with {prefix}.", pointer)
    return found[0]


def _id(call: Call) -> int:
    found = names.numbers_of(call.request.path_params["id"], "rpl_", "_", 1)
    if found is None:
        raise Refusal("replay.not_found", "There is no replay of this id.")
    return found[0]


def _message(call: Call) -> int:
    found = names.numbers_of(call.request.path_params["id"], "msg_", "_", 1)
    if found is None:
        raise Refusal("message.not_found", "There is no message of this id.")
    return found[0]


ID = Parameter("id", "rpl_…", TEXT, "path")
MESSAGE = Parameter("id", "msg_…", TEXT, "path")
OPERATIONS = (
    Operation(
        "POST", "/v1/replays", post_replays, "Plan a replay", "replays:write", {201: Replay}, body=PlanInput,
        refusals=("replay.too_many", "identifier.characters"),
        description="From a step (translate: messages; apply: held lines; dispatch: numbers told; post: what the books lack; observe: what channels show), what failed, is missing, or all. Answers "
        "how many, the oldest, the effect on each target, the rate and the time it takes. Nothing is done until it is run, and then exactly this.",
    ),
    Operation(
        "GET", "/v1/replays", get_replays, "Replays", "replays:read", {200: ReplayPage}, parameters=(LIMIT, CURSOR), refusals=("limit.page",),
        description="Newest first, with how far each is.",
    ),
    Operation(
        "GET", "/v1/replays/{id}", get_replay, "A replay", "replays:read", {200: Replay}, parameters=(ID,), refusals=("replay.not_found",),
        description="How far it is, and the first items that came to nothing, with why.",
    ),
    *(
        Operation(
            "POST", f"/v1/replays/{{id}}:{name}", handler, summary, "replays:write", {200: Replay}, parameters=(ID,),
            refusals=("replay.not_found", "replay.status", *more), description="The same again is the same.",
        )
        for name, handler, summary, more in (
            ("run", run_replay, "Run it, or go on", ("replay.stopped",)),
            ("pause", pause_replay, "Ask nothing more for now", ()),
            ("cancel", cancel_replay, "Ask nothing more, ever", ()),
        )
    ),
    Operation(
        "POST", "/v1/replays:stop", stop_replays, "Stop all replays", "replays:write", {200: Switch}, body=SwitchInput,
        refusals=("identifier.characters",), description="The kill switch: none begins or goes on, whatever its status, until they are allowed again.",
    ),
    Operation(
        "POST", "/v1/replays:allow", allow_replays, "Let replays go on", "replays:write", {200: Switch}, body=SwitchInput,
        refusals=("identifier.characters",),
    ),
    Operation(
        "GET", "/v1/messages/{id}", get_message, "A message with its bytes", "messages:read", {200: MessageTold}, parameters=(MESSAGE,),
        refusals=("message.not_found",),
    ),
    Operation(
        "POST", "/v1/messages/{id}:edit", edit_message, "Replay a dead letter with another body", "messages:write", {200: Edited},
        parameters=(MESSAGE,), body=EditInput, refusals=("message.not_found", "message.not_dead", "identifier.characters"),
        description="The edited body is translated as a message of its own; the one that was received is kept beside it for ever.",
    ),
)  # fmt: skip
