"""POST /v1/events: canonical facts, one or many; the answer means durable."""

from starlette.responses import Response

from evenstock.api import problems
from evenstock.api.operation import JSON, Call, Operation, respond
from evenstock.core.errors import Problem
from evenstock.core.events import Event
from evenstock.core.problems import HOSTILE
from evenstock.pipeline.apply import Applied
from evenstock.pipeline.receive import receive


async def post_events(call: Call) -> Response:
    hub = call.hub
    await hub.clocks.hear(call.caller, call.request.headers)
    applied = await receive(
        hub.writer, hub.sources, hub.pool, call.caller, call.body, hub.now(), call.trace_id
    )
    if applied.results and all(
        result.outcome == "rejected" and result.code in HOSTILE for result in applied.results
    ):
        return _refuse(call, applied)
    return respond(applied)


def _refuse(call: Call, applied: Applied) -> Response:
    """Nothing of the request can be used: a problem, with the result of each event beside it."""
    found = [
        Problem(result.code or "", result.detail or "", result.pointer or "") for result in applied.results
    ]
    members = {"ledger_seq": applied.ledger_seq, "results": applied.results}
    return problems.answer(call.request, found[0], found, JSON.encode(members))


OPERATIONS = (
    Operation(
        "POST",
        "/v1/events",
        post_events,
        "Report facts",
        "events:write",
        {200: Applied},
        body=Event | list[Event],
        refusals=("limit.batch", *sorted(HOSTILE), "hub.overloaded", "hub.stopping", "hub.memory_away"),
        description="One CloudEvents 1.0 event, or an array of up to 1,000. Each gets its own result, in order; a bad one never "
        "spoils the others. `id` is the key: the same again is a duplicate, for ever.",
    ),
)
