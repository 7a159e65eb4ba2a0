"""GET /v1/postings: what an ERP's books are told of the ledger, from a movement to the document and back; POST :retry."""

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
from evenstock.pipeline.postings import prefix
from evenstock.postgres import masters, postings, troubles
from evenstock.postgres.lanes import Try
from evenstock.postgres.postings import PostingFilter, PostingLineRow, PostingRow
from evenstock.postgres.stock import SEQ_MAX

STATUSES: Final = ("all", "open", "refused")
ORDINALS: Final = 2**31  # of movements under one number of the ledger


class PostingPage(msgspec.Struct, frozen=True):
    data: list[PostingRow]
    next_cursor: str | None


class PostingWhole(PostingRow, frozen=True, kw_only=True):
    """A posting with its lines, the movements behind each, and every try."""

    lines: list[PostingLineRow]
    attempts: list[Try]


class RetryInput(msgspec.Struct, frozen=True):
    """What the books of a connection refused: all of it, or what they refused with this code."""

    connection: Identifier
    code: Identifier | None = None


class Retried(msgspec.Struct, frozen=True):
    postings: int
    lines: int


async def get_postings(call: Call) -> Response:
    given = query(call, "connection", "status", "document", "movement", "sku", "limit", "cursor")
    limit = limit_of(given)
    status = given.get("status", "all")
    if status not in STATUSES:
        raise Refusal("request.malformed", f"`status` is one of {', '.join(STATUSES)}.")
    wanted = PostingFilter(
        given.get("connection"),
        status,
        given.get("document"),
        _movement(given["movement"]) if "movement" in given else None,
        given.get("sku"),
    )
    before = numbers_of(given["cursor"], 1)[0] if "cursor" in given else SEQ_MAX
    async with call.hub.pool.acquire() as db:
        rows = await postings.postings(db, wanted, before, limit)
    last = [str(_number(rows[-1].id))] if len(rows) == limit else None
    return respond(PostingPage(rows, cursor_of(last) if last else None))


async def get_posting(call: Call) -> Response:
    number = _number(call.request.path_params["posting_id"])
    async with call.hub.pool.acquire() as db:
        rows = [] if number is None else await postings.postings(db, PostingFilter(), number + 1, 1)
        if number is None or not rows or rows[0].id != names.posting_id(number):
            raise Refusal("posting.not_found", "There is no such posting.")
        lines, attempts = await postings.inside(db, number)
    return respond(PostingWhole(**msgspec.structs.asdict(rows[0]), lines=lines, attempts=attempts))


async def retry_postings(call: Call) -> Response:
    given = read_body(call, RetryInput)
    async with call.hub.pool.acquire() as db, db.transaction():
        known = await masters.connections(db)
        if given.connection not in known:
            raise Refusal(
                "connection.unknown", f"There is no connection `{given.connection}`.", "/connection"
            )
        now = call.hub.now()
        again = await postings.send_again(db, given.connection, given.code, prefix(call.hub.tag), now)
        await troubles.show(db, known[given.connection], given.connection, now)
    return respond(Retried(len(again.postings), again.lines))


def _movement(text: str) -> tuple[int, int]:
    found = names.numbers_of(text, "mov_", "_", 2)
    if found is None or found[1] >= ORDINALS:
        raise Refusal("request.malformed", "`movement` is the id of one: mov_9412871_3.")
    return found[0], found[1]


def _number(text: str) -> int | None:
    found = names.numbers_of(text, "pst_", "_", 1)
    return None if found is None else found[0]


OPERATIONS = (
    Operation(
        "GET", "/v1/postings", get_postings, "What the books are told", "postings:read", {200: PostingPage},
        parameters=(
            Parameter("connection", "Only to this connection.", TEXT),
            Parameter("status", "all (default), open: not in the books yet, refused: they or lines of them.", {"type": "string", "enum": list(STATUSES)}),
            Parameter("document", "Only those with this number in the books.", TEXT),
            Parameter("movement", "Only those that this movement is in.", TEXT),
            Parameter("sku", "Only those with a line of this item.", TEXT),
            LIMIT,
            CURSOR,
        ),
        refusals=("limit.page",),
        description="Newest first. From a movement to its document by `movement`, and back by `document`.",
    ),
    Operation(
        "GET", "/v1/postings/{posting_id}", get_posting, "One posting", "postings:read", {200: PostingWhole},
        parameters=(Parameter("posting_id", "Its id.", TEXT, where="path"),),
        refusals=("posting.not_found",),
        description="With its lines, the movements that each is the sum of, and every try to bring it into the books.",
    ),
    Operation(
        "POST", "/v1/postings:retry", retry_postings, "Send what the books refused again", "postings:write", {200: Retried},
        body=RetryInput,
        refusals=("connection.unknown",),
        description="Refused postings are sent again; refused lines come in postings of their own. What the books took is never sent again.",
    ),
)  # fmt: skip
