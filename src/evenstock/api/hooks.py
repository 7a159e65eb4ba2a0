"""POST /v1/hooks/{connection}: a vendor's webhook; a 2xx means that it is verified and durable, and what it says comes later."""

import msgspec
from starlette.responses import Response

from evenstock.api.operation import TEXT, Call, Operation, Parameter, respond
from evenstock.core.tracing.ids import derived
from evenstock.postgres.inbox import public_message_id


class Taken(msgspec.Struct, frozen=True):
    """Under which id the message is kept, whether it was there before, and the trace of all that comes of it."""

    id: str
    duplicate: bool
    trace_id: str


async def post_hook(call: Call) -> Response:
    headers = {name.lower(): value for name, value in call.request.headers.items()}
    kept = await call.hub.inbox.receive(call.request.path_params["connection"], headers, call.body)
    trace_id = kept.trace_id or derived(call.hub.tag, "message", kept.message_id)
    return respond(Taken(public_message_id(kept.message_id), kept.duplicate, trace_id), 202)


OPERATIONS = (
    Operation(
        "POST", "/v1/hooks/{connection}", post_hook, "A vendor's webhook", None, {202: Taken},
        parameters=(Parameter("connection", "The connection whose secret signed it.", TEXT, "path"),),
        raw_body=True,
        refusals=(
            "hook.unknown", "hook.signature", "hook.stale", "secret.unknown", "secret.unusable", "hub.overloaded", "hub.stopping",
            "limit.body", "request.encoding", "request.slow", "json.malformed",
        ),
        description="Verified over the raw bytes with the connection's secret, by the scheme of its connector (Standard Webhooks "
        "unless it says otherwise), kept once, and answered when durable. No key: the signature is the key.",
    ),
)  # fmt: skip
