"""GET /v1/messages, POST /v1/messages:translate: what vendors sent, what became of it, and another try for dead letters."""

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
from evenstock.core.errors import Refusal
from evenstock.core.names import DIGITS_MAX
from evenstock.core.reading import BATCH_EVENTS_MAX
from evenstock.postgres import inbox
from evenstock.postgres.inbox import MessageRow

STATUSES = ("received", "translated", "dead")


class MessagePage(msgspec.Struct, frozen=True):
    data: list[MessageRow]
    next_cursor: str | None


class Again(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters: by their ids, by the exception they stand under, or all of a connection."""

    ids: list[str] | None = None
    exception: str | None = None
    connection: str | None = None


class Asked(msgspec.Struct, frozen=True):
    """How many dead letters wait once more; at most 1,000 in one call."""

    asked: int


async def get_messages(call: Call) -> Response:
    given = query(call, "status", "connection", "exception", "limit", "cursor")
    limit = limit_of(given)
    if given.get("status", "dead") not in STATUSES:
        raise Refusal("request.malformed", f"`status` is one of: {', '.join(STATUSES)}.")
    async with call.hub.pool.acquire() as db:
        rows = await inbox.page(
            db,
            before=numbers_of(given["cursor"], 1)[0] if "cursor" in given else None,
            status=given.get("status"),
            connection=given.get("connection"),
            exception_id=_number(given["exception"], "exc_", "exception") if "exception" in given else None,
            limit=limit,
        )
    last = [str(int(rows[-1].id.removeprefix("msg_")))] if len(rows) == limit else None
    return respond(MessagePage(rows, cursor_of(last) if last else None))


async def translate_messages(call: Call) -> Response:
    wanted = read_body(call, Again)
    if wanted.ids is None and wanted.exception is None and wanted.connection is None:
        raise Refusal("request.malformed", "Say which dead letters: ids, exception or connection.")
    if len(wanted.ids or ()) > BATCH_EVENTS_MAX:
        raise Refusal(
            "limit.batch",
            f"{len(wanted.ids or ()):,} ids in one request; at most {BATCH_EVENTS_MAX:,}.",
            "/ids",
        )
    if "\0" in (wanted.connection or ""):
        raise Refusal("identifier.characters", "A connection's id holds no NUL.", "/connection")
    ids = None
    if wanted.ids is not None:
        ids = [_number(text, "msg_", f"/ids/{index}") for index, text in enumerate(wanted.ids)]
    exception_id = None if wanted.exception is None else _number(wanted.exception, "exc_", "/exception")
    async with call.hub.pool.acquire() as db:
        asked = await inbox.ask_again(
            db, message_ids=ids, exception_id=exception_id, connection=wanted.connection, limit=BATCH_EVENTS_MAX,
            now=call.hub.now(),
        )  # fmt: skip
    call.hub.translator.wake()
    return respond(Asked(asked))


def _number(text: str, prefix: str, where: str) -> int:
    digits = text.removeprefix(prefix)
    if not text.startswith(prefix) or not (digits.isascii() and digits.isdigit()) or len(digits) > DIGITS_MAX:
        raise Refusal(
            "request.malformed",
            f"`{text[:40]}` is no id that begins with {prefix}.",
            where if where[0] == "/" else "",
        )
    return int(digits)


OPERATIONS = (
    Operation(
        "GET", "/v1/messages", get_messages, "What vendors sent", "messages:read", {200: MessagePage},
        parameters=(
            Parameter("status", "received, translated or dead.", {"type": "string", "enum": list(STATUSES)}),
            Parameter("connection", "Only of this connection.", TEXT),
            Parameter("exception", "Only those that this exception shows.", TEXT),
            LIMIT,
            CURSOR,
        ),
        refusals=("limit.page",),
        description="Newest first: each with the ids of the events that came of it, or why none did and where in the message.",
    ),
    Operation(
        "POST", "/v1/messages:translate", translate_messages, "Translate dead letters again", "messages:write", {200: Asked},
        body=Again, refusals=("limit.batch",),
        description="After the mapping, the connector or the masters were mended. What was booked stays booked once.",
    ),
)  # fmt: skip
