"""/healthz, /readyz, /metrics: whether we live, whether we can work, and how much we do."""

import asyncio
from typing import Final, Literal

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from evenstock.api.operation import Call, Operation, respond
from evenstock.postgres import faults, ledger

READY_WITHIN_S: Final = 2.0


class Health(msgspec.Struct, frozen=True):
    status: Literal["ok"]


class Readiness(msgspec.Struct, frozen=True):
    """`database` and `writer` say which part is not ready."""

    status: Literal["ready", "not_ready"]
    database: bool
    writer: bool
    ledger_seq: int | None


async def get_health(call: Call) -> Response:  # noqa: ARG001 - to live needs nothing
    return respond(Health("ok"))


async def get_readiness(call: Call) -> Response:
    seq = None
    try:
        async with asyncio.timeout(READY_WITHIN_S), call.hub.pool.acquire() as db:
            seq, _ = await ledger.head(db)
    except faults.ANY:
        seq = None
    writes = call.hub.writer.is_running and call.hub.promiser.is_running
    ready = seq is not None and writes
    return respond(
        Readiness("ready" if ready else "not_ready", seq is not None, writes, seq), 200 if ready else 503
    )


async def get_metrics(call: Call) -> Response:  # noqa: ARG001 - the counters are the process's own
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


OPERATIONS = (
    Operation("GET", "/healthz", get_health, "Whether the process lives", None, {200: Health}),
    Operation("GET", "/readyz", get_readiness, "Whether it can work", None, {200: Readiness, 503: Readiness}),
    Operation("GET", "/metrics", get_metrics, "Counters for Prometheus", "metrics:read", {200: None}),
)
