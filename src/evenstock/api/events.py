"""POST /v1/events: canonical facts, one or many; the answer means durable."""

from starlette.responses import Response

from evenstock.api.operation import Call, Operation, respond
from evenstock.core.events import Event
from evenstock.pipeline.apply import Applied
from evenstock.pipeline.receive import receive


async def post_events(call: Call) -> Response:
    hub = call.hub
    applied = await receive(hub.writer, hub.sources, hub.pool, call.caller, call.body, hub.now())
    return respond(applied)


OPERATIONS = (
    Operation(
        "POST",
        "/v1/events",
        post_events,
        "Report facts",
        "events:write",
        {200: Applied},
        body=Event | list[Event],
        refusals=("limit.batch", "hub.overloaded", "hub.stopping", "hub.memory_away"),
        description="One CloudEvents 1.0 event, or an array of up to 1,000. Each gets its own result, in order; a bad one never "
        "spoils the others. `id` is the key: the same again is a duplicate, for ever.",
    ),
)
