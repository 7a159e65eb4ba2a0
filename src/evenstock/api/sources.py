"""GET /v1/sources: when each source was last heard, and whether that is as often as expected."""

import msgspec
from starlette.responses import Response

from evenstock.api.operation import Call, Operation, query, respond
from evenstock.postgres import freshness
from evenstock.postgres.freshness import SourceRow


class SourceList(msgspec.Struct, frozen=True):
    data: list[SourceRow]


async def get_sources(call: Call) -> Response:
    query(call)
    async with call.hub.pool.acquire() as db:
        return respond(SourceList(await freshness.every_source(db, call.hub.now())))


OPERATIONS = (
    Operation(
        "GET", "/v1/sources", get_sources, "How fresh each source is", "messages:read", {200: SourceList},
        description="By connection: when facts of it last came (`heard_at`, duplicates included), the latest time they told of "
        "(`watermark`), and its state: fresh, waiting, silent, or unwatched where nothing is expected of it. `streams` "
        "are those that we ask for by ourselves: what changed before `read_until`, by the system's own clock, was brought.",
    ),
)  # fmt: skip
