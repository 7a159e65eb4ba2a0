"""GET /v1/traces: what happened because of one transaction, step by step, and what has not happened yet."""

import msgspec
from starlette.responses import Response

from evenstock.api.operation import TEXT, Call, Operation, Parameter, query, respond
from evenstock.core.errors import Refusal
from evenstock.core.tracing.story import Trace
from evenstock.pipeline.trace import Wanted, anything, trace

WAYS = tuple(field.name for field in msgspec.structs.fields(Wanted) if field.name != "source")


async def get_traces(call: Call) -> Response:
    given = query(call, "id", *WAYS, "source")
    source = given.pop("source", None)
    if len(given) != 1 or (source is not None and "event" not in given):
        raise Refusal(
            "request.malformed",
            f"Say one of: id, {', '.join(WAYS)}; and with event, if you like, its source.",
        )
    async with call.hub.pool.acquire() as db:
        if "id" in given:
            found = await anything(db, given["id"], call.hub.tag, call.hub.now())
        else:
            wanted = Wanted(**given, source=source)
            found = await trace(db, wanted, call.hub.tag, call.hub.now())
    return respond(found)


OPERATIONS = (
    Operation(
        "GET", "/v1/traces", get_traces, "What happened because of it", "traces:read", {200: Trace},
        parameters=(
            Parameter("id", "Whatever you have: any of those below.", TEXT),
            Parameter("trace_id", "A W3C trace id, as sent or as answered: 32 hex digits.", TEXT),
            Parameter("event", "The id of an event, by its source.", TEXT),
            Parameter("source", "The connection that sent the event.", TEXT),
            Parameter("ticket", "The number on a customer's receipt.", TEXT),
            Parameter("order", "An order_ref: its reservations and what was shipped for them.", TEXT),
            Parameter("reservation", "rsv_…", TEXT),
            Parameter("movement", "mov_…, a line of the ledger.", TEXT),
            Parameter("dispatch", "The key under which a channel was told a number.", TEXT),
            Parameter("message", "msg_…, a vendor's message.", TEXT),
            Parameter("posting", "pst_…, or the reference that the books know it by.", TEXT),
            Parameter("command", "cmd_…, or the reference that the system that works knows it by.", TEXT),
            Parameter("document", "Another system's own number: the tickets behind a document of the books, the order behind a command.", TEXT),
        ),
        refusals=("trace.not_found", "trace.ambiguous"),
        description="One of the parameters. Steps in time order with the stored times, from the message or event through movements, claims, "
        "numbers told, postings and commands to each system's answer and what it shows; `missing` says what has not happened, by whom and since when.",
    ),
)  # fmt: skip
