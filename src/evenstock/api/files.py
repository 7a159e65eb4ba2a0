"""GET /v1/files: what was delivered as files, and what became of each."""

import msgspec
from starlette.responses import Response

from evenstock.api.operation import CURSOR, LIMIT, TEXT, Call, Operation, Parameter, limit_of, query, respond
from evenstock.api.reading import cursor_of, numbers_of
from evenstock.core.errors import Refusal
from evenstock.postgres import sources
from evenstock.postgres.sources import FileRow

STATUSES = ("reading", "done", "quarantined")


class FilePage(msgspec.Struct, frozen=True):
    data: list[FileRow]
    next_cursor: str | None


async def get_files(call: Call) -> Response:
    given = query(call, "status", "connection", "limit", "cursor")
    limit = limit_of(given)
    if given.get("status", "done") not in STATUSES:
        raise Refusal("request.malformed", f"`status` is one of: {', '.join(STATUSES)}.")
    async with call.hub.pool.acquire() as db:
        rows = await sources.page(
            db,
            before=numbers_of(given["cursor"], 1)[0] if "cursor" in given else None,
            status=given.get("status"),
            connection=given.get("connection"),
            limit=limit,
        )
    last = [str(int(rows[-1].id.removeprefix("fil_")))] if len(rows) == limit else None
    return respond(FilePage(rows, cursor_of(last) if last else None))


OPERATIONS = (
    Operation(
        "GET", "/v1/files", get_files, "What was delivered as files", "messages:read", {200: FilePage},
        parameters=(
            Parameter("status", "reading, done or quarantined.", {"type": "string", "enum": list(STATUSES)}),
            Parameter("connection", "Only of this connection.", TEXT),
            LIMIT,
            CURSOR,
        ),
        refusals=("limit.page",),
        description="Newest first: each with its rows and what became of them, or why it is in quarantine.",
    ),
)  # fmt: skip
