"""DOOR for tills: the hub's `POST /v1/events` at a local address, with the same answers, but that `kept` is not yet `applied`."""

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from evenstock.core.bodies import check_head, check_size, unpack
from evenstock.core.errors import MEANINGS, Problem, Refusal
from evenstock.core.problems import HOSTILE, MEDIA_TYPE, document_of, encoded
from evenstock.core.reading import read_events
from evenstock.core.tracing.ids import trace_id_of
from evenstock.edge.keeper import Keeper, all_hostile
from evenstock.edge.report import Report
from evenstock.settings import LOOPBACK

BODY_WITHIN_S: Final = 30.0
BODIES_BYTES_MAX: Final = 64 * 1024 * 1024  # of all requests that are being read
RETRY_AFTER_S: Final = 1
STOP_WITHIN_S: Final = 10.0
REQUEST_ID: Final = web.RequestKey("id", str)

log = structlog.get_logger()
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Door:
    """What tills may ask of the agent."""

    def __init__(
        self,
        keeper: Keeper,
        report: Callable[[], Report],
        local_key: str | None,
        *,
        body_within_s: float = BODY_WITHIN_S,
    ) -> None:
        self._keeper = keeper
        self._report = report
        self._local_key = local_key
        self._body_within_s = body_within_s
        self._reading = 0  # bytes of bodies in memory

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._answered])
        app.on_response_prepare.append(_unsigned)
        app.router.add_post("/v1/events", self._events)
        app.router.add_get("/v1/agent", self._agent)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._ready)
        return app

    async def _events(self, request: web.Request) -> web.Response:
        self._admit(request)
        body = await self._body(request)
        reading = read_events(body)
        taken = await self._keeper.take(reading, "http")
        if all_hostile(taken.results, HOSTILE):
            found = [Problem(r.code or "", r.detail or "", r.pointer or "") for r in taken.results]
            return _problem(request, found[0], found, msgspec.json.encode(taken))
        return _json(taken)

    async def _agent(self, request: web.Request) -> web.Response:
        self._admit(request)
        return _json(await asyncio.to_thread(self._report))

    async def _health(self, request: web.Request) -> web.Response:  # noqa: ARG002 - to live needs nothing
        return _json({"status": "ok"})

    async def _ready(self, request: web.Request) -> web.Response:  # noqa: ARG002 - the same for everyone
        """Ready to take tickets: a hub that is away does not matter, a full disk does."""
        can = await self._keeper.do(self._keeper.store.can_take, self._keeper.now())
        return _json({"status": "ready" if can else "not_ready", "store": can}, 200 if can else 503)

    def _admit(self, request: web.Request) -> None:
        """Tills, and no web pages: one that is open on this machine could speak to us behind its user's back.

        Raises Refusal `auth.browser`, `auth.missing`, `auth.unknown_key`.
        """
        if "Origin" in request.headers:
            raise Refusal("auth.browser", "The request has an Origin header, as those of web pages have.")
        if self._local_key is None:
            host = request.host.rsplit(":", 1)[0].strip("[]")
            if host.lower() not in LOOPBACK:
                raise Refusal("auth.browser", f"The request asks for {host[:100]}, and we are local.")
            return
        kind, _, text = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not text:
            raise Refusal("auth.missing", "The request has no Authorization: Bearer header.")
        if not hmac.compare_digest(text.strip().encode(), self._local_key.encode()):
            raise Refusal("auth.unknown_key", "The key in the Authorization header is not this agent's.")

    async def _body(self, request: web.Request) -> bytes:
        """The body, unpacked.

        Raises Refusal `request.media_type`, `request.encoding`, `request.slow`, `limit.body`, `json.malformed`, `agent.busy`.
        """
        told = request.headers
        packed = check_head(
            told.get("Content-Type", ""), told.get("Content-Encoding", ""), told.get("Content-Length", "0")
        )
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._body_within_s):
                async for chunk in request.content.iter_any():
                    size += len(chunk)
                    self._reading += len(chunk)
                    check_size(size)
                    if self._reading > BODIES_BYTES_MAX:
                        raise Refusal("agent.busy", "More is sent at once than the agent has memory for.")
                    chunks.append(chunk)
        except TimeoutError:
            raise Refusal(
                "request.slow", f"The body did not arrive within {self._body_within_s:g} s."
            ) from None
        except (web.RequestPayloadError, ConnectionError):
            raise Refusal("json.malformed", "The connection ended before the body did.") from None
        finally:
            self._reading -= size
        body = b"".join(chunks)
        return unpack(body) if packed else body

    @web.middleware
    async def _answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A request id on every answer, and what is refused as a problem."""
        request[REQUEST_ID] = f"req_{secrets.token_hex(8)}"
        try:
            response = await handler(request)
        except Refusal as refusal:
            response = _problem(request, refusal.problem)
        except web.HTTPException as error:
            code = "request.method" if error.status == 405 else "request.not_found"
            words = f"{request.method} {request.path[:200]}: {MEANINGS[code].title.lower()}."
            response = _problem(request, Problem(code, words))
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
        except Exception as error:
            log.error(  # noqa: TRY400 - the exception is told as a member
                "request.failed", request_id=request[REQUEST_ID], path=request.path, exc_info=error
            )
            words = "Something of ours went wrong; the log has it under the request id."
            response = _problem(request, Problem("hub.bug", words))
        response.headers["X-Request-Id"] = request[REQUEST_ID]
        return response


async def _unsigned(request: web.Request, response: web.StreamResponse) -> None:  # noqa: ARG001 - for every one
    """What serves is nobody's business."""
    response.headers.pop("Server", None)


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def _problem(
    request: web.Request, problem: Problem, errors: list[Problem] | None = None, members: bytes = b"{}"
) -> web.Response:
    trace_id = trace_id_of(request.headers.get("traceparent"))
    document = document_of(problem, request[REQUEST_ID], trace_id, errors or ())
    headers = {}
    if document.status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if document.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="evenstock"'
    body = encoded(document, members)
    return web.Response(body=body, status=document.status, headers=headers, content_type=MEDIA_TYPE)
