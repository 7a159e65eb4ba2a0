"""Errors as problem+json (RFC 9457): a stable code, where it stands, whether data is safe, and what to do."""

import secrets
from collections.abc import Collection, Sequence
from itertools import count

import structlog
from starlette.requests import Request
from starlette.responses import Response

from evenstock.core.errors import MEANINGS, Problem, Refusal
from evenstock.core.problems import MEDIA_TYPE, document_of, encoded
from evenstock.core.tracing.ids import trace_id_of
from evenstock.postgres import faults

log = structlog.get_logger()

RETRY_AFTER_S = 1
_PROCESS = secrets.token_hex(6)
_number = count(1)


def request_id(request: Request) -> str:
    """The id of this request, given at the first question."""
    found: str | None = request.scope.get("evenstock.request_id")
    if found is None:
        found = request.scope["evenstock.request_id"] = f"req_{_PROCESS}{next(_number):08x}"
    return found


def answer(
    request: Request, problem: Problem, errors: Sequence[Problem] = (), members: bytes = b"{}"
) -> Response:
    """The response that says what is wrong; `members` is a JSON object of what else it tells."""
    meaning = problem.meaning
    trace_id = trace_id_of(request.headers.get("traceparent"))
    document = document_of(problem, request_id(request), trace_id, errors)
    headers = {"X-Request-Id": document.request_id}
    if meaning.status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if meaning.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="evenstock"'
    return Response(encoded(document, members), meaning.status, headers, MEDIA_TYPE)


def of(request: Request, error: Exception) -> Response:
    """What a request is told that ended in an error; a fault of the database, or of ours, stands in the log by the request id."""
    if isinstance(error, Refusal):
        return answer(request, error.problem)
    if isinstance(error, faults.ANY):
        log.warning(
            "request.failed", request_id=request_id(request), path=request.url.path, error=repr(error)[:500]
        )
        return answer(request, Problem("hub.memory_away", "The database did not answer this request."))
    log.error("request.failed", request_id=request_id(request), path=request.url.path, exc_info=error)
    return answer(
        request, Problem("hub.bug", "Something of ours went wrong; the log has it under the request id.")
    )


def no_operation(request: Request, methods: Collection[str]) -> Response:
    """There is nothing at this path, or only `methods`."""
    code = "request.method" if methods else "request.not_found"
    response = answer(
        request, Problem(code, f"{request.method} {request.url.path}: {MEANINGS[code].title.lower()}.")
    )
    if methods:
        response.headers["Allow"] = ", ".join(sorted(methods))
    return response
