"""The API put together: operations with their paths, errors as problems, a request id on every answer."""

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from evenstock.api import (
    availability,
    bodies,
    channels,
    commands,
    connections,
    events,
    exceptions,
    exposures,
    files,
    health,
    hooks,
    masters,
    messages,
    owners,
    postings,
    problems,
    reading,
    replays,
    reservations,
    sources,
    streams,
    traces,
)
from evenstock.api.auth import Keys
from evenstock.api.openapi import document
from evenstock.api.operation import Call, Operation
from evenstock.api.routing import Api, Endpoint
from evenstock.core.tracing.ids import trace_id_of, traceparent
from evenstock.pipeline.hub import Hub

OPERATIONS: Sequence[Operation] = (
    *events.OPERATIONS,
    *hooks.OPERATIONS,
    *files.OPERATIONS,
    *sources.OPERATIONS,
    *messages.OPERATIONS,
    *masters.OPERATIONS,
    *channels.OPERATIONS,
    *connections.OPERATIONS,
    *owners.OPERATIONS,
    *reservations.OPERATIONS,
    *availability.OPERATIONS,
    *exposures.OPERATIONS,
    *postings.OPERATIONS,
    *commands.OPERATIONS,
    *streams.OPERATIONS,
    *reading.OPERATIONS,
    *exceptions.OPERATIONS,
    *replays.OPERATIONS,
    *traces.OPERATIONS,
    *health.OPERATIONS,
)


def build(hub: Hub, *, body_within_s: float = bodies.BODY_WITHIN_S) -> Api:
    """The application over a running hub."""
    keys = Keys(hub.pool)
    described = msgspec.json.encode(document(OPERATIONS))

    async def openapi(request: Request) -> Response:  # noqa: ARG001 - the same for everyone
        return Response(described, media_type="application/json")

    endpoints = [
        (operation.method, _path(operation), _endpoint(operation, hub, keys, body_within_s))
        for operation in OPERATIONS
    ]
    return Api([*endpoints, ("GET", "/openapi.json", openapi)])


def _path(operation: Operation) -> str:
    """A path as it is matched; a sku may hold slashes, percent-encoded or not."""
    return operation.path.replace("{sku}", "{sku:path}")


def _endpoint(operation: Operation, hub: Hub, keys: Keys, body_within_s: float) -> Endpoint:
    reads_body = operation.body is not None
    scope = operation.scope

    async def endpoint(request: Request) -> Response:
        key = await keys.caller(request, scope) if scope is not None else None
        body = b""
        if reads_body:
            body = await bodies.read(request, within_s=body_within_s)
        elif operation.raw_body:
            body = await bodies.read_raw(request, within_s=body_within_s)
        response = await operation.handler(Call(hub, request, key, body))
        number = problems.request_id(request)
        response.headers["X-Request-Id"] = number
        if (trace_id := trace_id_of(request.headers.get("traceparent"))) is not None:
            response.headers["traceparent"] = traceparent(trace_id, number[-16:])
        return response

    return endpoint
