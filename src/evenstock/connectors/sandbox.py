"""Serving a sandbox: a connector's own imitation of its system, which keeps stock, and misbehaves when told to.

A sandbox decides what an answer is; here it is served, struck by faults, controlled, remembered, and its webhooks are sent.
Below `/sandbox/` it is controlled; everything else is the system's own interface.
"""

import asyncio
import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, cast
from urllib.parse import parse_qs

import aiohttp
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from evenstock.connectors.faults import KINDS, Faults, Striker, UnknownFault

BODY_BYTES_MAX: Final = 10 * 1024 * 1024
LOG_MAX: Final = 1_000  # requests that a sandbox remembers
HOOK_WITHIN_S: Final = 5.0
REDELIVER: Final = "redeliver"  # the control that sends webhooks again which nobody took
PAGE: Final = b"<!DOCTYPE html><html><body><h1>We will be back soon</h1></body></html>"
HTML: Final = {"content-type": "text/html; charset=utf-8"}
_encoder: Final = msgspec.json.Encoder(decimal_format="number")


class Asked(msgspec.Struct, frozen=True):
    """A request of the system's own interface; its path as it was sent, header names in lower case. `fault` is one of the sandbox's own kinds."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    body: bytes
    fault: str | None = None


class Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    headers: Mapping[str, str] = {}


class Webhook(msgspec.Struct, frozen=True):
    """What the system tells a hub by itself."""

    url: str
    topic: str
    headers: Mapping[str, str]
    body: bytes


class Controlled(msgspec.Struct, frozen=True):
    """What a control answers, and the webhooks that follow from it."""

    answer: Any
    hooks: Sequence[Webhook] = ()


class Misused(Exception):  # noqa: N818 - it names what happened
    """A control was given what it cannot use; the message says what, and what to send instead."""


class Sandbox(Protocol):
    """One system. `state` is all that it remembers: a mutable record that JSON can hold."""

    name: str
    state: msgspec.Struct
    kinds: Mapping[str, str]  # faults of its own, beyond those that every sandbox knows
    controls: Mapping[str, Callable[[Any], Controlled]]  # by name: POST /sandbox/NAME with JSON

    def operation(self, asked: Asked) -> str:
        """What is asked for, in a word; faults may be limited to some."""
        ...

    def answer(self, asked: Asked) -> Answer:
        """Do it, at once and wholly, and answer."""
        ...


def answer_json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, _encoder.encode(value), {"content-type": "application/json"} | dict(headers or {}))


def application(
    sandbox: Sandbox, *, seed: int = 0, keep: Path | None = None, faults: Faults | None = None
) -> Starlette:
    """A sandbox as a web application; what it remembers is kept in the file `keep`, if one is given.

    Raises UnknownFault.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # a reply that breaks off is meant
    striker = Striker(seed, KINDS | dict(sandbox.kinds))
    striker.set(faults or Faults())
    served = _Served(sandbox, striker, keep)
    return Starlette(
        routes=[
            Route("/sandbox/faults", served.faults, methods=["GET", "PUT"]),
            Route("/sandbox/state", served.state, methods=["GET"]),
            Route("/sandbox/log", served.log, methods=["GET"]),
            Route("/sandbox/{control}", served.control, methods=["POST"]),
            Mount("/", cast("ASGIApp", served.interface)),
        ]
    )


def server(app: Starlette) -> uvicorn.Server:
    """What serves it on a listener, until a signal comes or `should_exit` is set."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            loop="none",
            ws="none",
            timeout_graceful_shutdown=1,
        )
    )


def remembered(keep: Path, kind: type[Any]) -> Any | None:
    """What a sandbox kept in a file; None if there is no such file.

    Raises Misused when the file is of another make.
    """
    try:
        return msgspec.json.decode(keep.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Misused(f"{keep} is not the state of this sandbox: {error}. Name another file.") from error


class _Served:
    """A sandbox while it is served."""

    def __init__(self, sandbox: Sandbox, striker: Striker, keep: Path | None) -> None:
        self._sandbox = sandbox
        self._striker = striker
        self._keep = keep
        self._log: list[dict[str, Any]] = []
        self._undelivered: list[Webhook] = []  # as a vendor keeps them, to send them again

    # the system's own interface

    async def interface(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        asked = Asked(
            request.method,
            scope["raw_path"].decode("ascii"),
            parse_qs(request.url.query),
            {name.lower(): value for name, value in request.headers.items()},
            body,
        )
        operation = self._sandbox.operation(asked)
        fault = self._striker.strikes(operation)
        answer = self._struck(asked, fault)
        self._log = [
            *self._log[-LOG_MAX:],
            {
                "operation": operation,
                "fault": fault,
                "status": answer.status,
                "body": body.decode("utf-8", "replace"),
            },
        ]
        if fault == "slow":
            await asyncio.sleep(self._striker.faults.slow_s)
        await (_break_off(send, answer) if fault in {"cut", "cut-after"} else _send(send, answer))

    def _struck(self, asked: Asked, fault: str | None) -> Answer:
        """The answer under a fault; what a fault prevents has not happened."""
        prevented = _prevented(self._striker.faults.retry_after_s)
        if fault in prevented:
            return prevented[fault]
        before = copy.deepcopy(self._sandbox.state) if fault == "no-effect" else None
        own = fault if fault in self._sandbox.kinds else None
        answer = self._sandbox.answer(msgspec.structs.replace(asked, fault=own))
        if before is not None:
            self._sandbox.state = before
        self._save()
        if fault == "500-after":
            return answer_json({"errors": "Internal error"}, 500)
        return Answer(200, PAGE, HTML) if fault == "html-after" else answer

    # the control

    async def faults(self, request: Request) -> Response:
        if request.method == "PUT":
            try:
                self._striker.set(msgspec.json.decode(await request.body(), type=Faults))
            except (msgspec.DecodeError, UnknownFault) as error:
                return _json({"detail": str(error)}, 422)
        now = msgspec.to_builtins(self._striker.faults) | {"next": self._striker.waiting}
        return _json(now | {"kinds": self._striker.kinds})

    async def state(self, request: Request) -> Response:  # noqa: ARG002 - the signature of an endpoint
        return _json(self._sandbox.state)

    async def log(self, request: Request) -> Response:  # noqa: ARG002 - the signature of an endpoint
        return _json(self._log)

    async def control(self, request: Request) -> Response:
        name = request.path_params["control"]
        if name == REDELIVER:
            waiting, self._undelivered = self._undelivered, []
            sent = [report for hook in waiting for report in await self._tell(hook)]
            return _json({"webhooks": sent, "undelivered": len(self._undelivered)})
        if (control := self._sandbox.controls.get(name)) is None:
            names = ", ".join(("faults", "state", "log", REDELIVER, *self._sandbox.controls))
            return _json({"detail": f"This sandbox has no control {name!r}. There are: {names}."}, 404)
        try:
            done = control(msgspec.json.decode(await request.body() or b"{}"))
        except (msgspec.DecodeError, msgspec.ValidationError, Misused) as error:
            return _json({"detail": str(error)}, 422)
        self._save()
        sent = [report for hook in done.hooks for report in await self._tell(hook)]
        return _json(msgspec.to_builtins(done.answer) | {"webhooks": sent})

    async def _tell(self, hook: Webhook) -> list[dict[str, Any]]:
        """Send a webhook, and say what became of it: a status, or why there is none."""
        fault = self._striker.strikes(f"webhook {hook.topic}", hook=True)
        times = {"hook-lost": 0, "hook-twice": 2}.get(fault or "", 1)
        timeout = aiohttp.ClientTimeout(total=HOOK_WITHIN_S)
        reports = []
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            for _ in range(times):
                report: dict[str, Any] = {"topic": hook.topic}
                try:
                    async with session.post(hook.url, data=hook.body, headers=hook.headers) as reply:
                        report["status"] = reply.status
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    report["error"] = str(error) or type(error).__name__
                reports.append(report)
        if not any(200 <= report.get("status", 0) < 300 for report in reports):
            self._undelivered.append(hook)
        return reports

    def _save(self) -> None:
        """Keep the state, wholly or as it was."""
        if self._keep is None:
            return
        beside = self._keep.with_name(self._keep.name + ".new")
        beside.write_bytes(_encoder.encode(self._sandbox.state))
        beside.replace(self._keep)


def _prevented(retry_after_s: int) -> dict[str | None, Answer]:
    """The answers of faults under which nothing is done."""
    again = {"retry-after": str(retry_after_s)}
    return {
        "429": answer_json({"errors": "Too many requests"}, 429, again),
        "429-bare": answer_json({"errors": "Too many requests"}, 429),
        "503": answer_json({"errors": "Busy"}, 503, again),
        "maintenance": Answer(503, PAGE, HTML | again),
        "500": answer_json({"errors": "Internal error"}, 500),
        "html": Answer(200, PAGE, HTML),
        "cut": Answer(200, b""),
    }


async def _send(send: Send, answer: Answer) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": _headers(answer, len(answer.body)),
        }
    )
    await send({"type": "http.response.body", "body": answer.body})


async def _break_off(send: Send, answer: Answer) -> None:
    """A head that promises more than comes: the server then ends the connection."""
    promised = len(answer.body) + 100
    await send({"type": "http.response.start", "status": 200, "headers": _headers(answer, promised)})
    await send(
        {"type": "http.response.body", "body": answer.body[: len(answer.body) // 2], "more_body": True}
    )


def _headers(answer: Answer, length: int) -> list[tuple[bytes, bytes]]:
    headers = {**answer.headers, "content-length": str(length)}
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _json(value: Any, status: int = 200) -> Response:
    return Response(_encoder.encode(value), status, media_type="application/json")
