"""An operation of the API: its route, who may call it, what it takes and answers. OpenAPI is made from the same."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from evenstock.core.errors import Refusal
from evenstock.core.exact_json import read_json, repeated_name
from evenstock.core.reading import problem_of
from evenstock.core.tracing.ids import trace_id_of
from evenstock.pipeline.hub import Hub
from evenstock.postgres.keys import ApiKey

PAGE_MAX: Final = 500
PAGE_DEFAULT: Final = 100

JSON = msgspec.json.Encoder(decimal_format="number")
T = TypeVar("T")


class Call(msgspec.Struct, frozen=True):
    """One call of an operation."""

    hub: Hub
    request: Request
    key: ApiKey | None
    body: bytes

    @property
    def trace_id(self) -> str | None:
        """The trace that the caller says this call belongs to."""
        return trace_id_of(self.request.headers.get("traceparent"))

    @property
    def caller(self) -> ApiKey:
        """The key of an operation that needs one."""
        assert self.key is not None  # noqa: S101 - checked before the handler is called
        return self.key


class Parameter(msgspec.Struct, frozen=True):
    """A parameter in the query or the path."""

    name: str
    description: str
    schema: Mapping[str, Any]
    where: Literal["query", "path"] = "query"


class Operation(msgspec.Struct, frozen=True):
    """`answers` maps a status to the type of its JSON body (None: no JSON)."""

    method: Literal["GET", "POST"]
    path: str
    handler: Callable[[Call], Awaitable[Response]]
    summary: str
    scope: str | None
    answers: Mapping[int, Any]
    parameters: tuple[Parameter, ...] = ()
    body: Any = None
    raw_body: bool = False  # read as it came, whatever it is
    refusals: tuple[str, ...] = ()  # codes, besides those that every operation may answer
    description: str = ""
    media_type: str = "text/plain"  # of an answer that is no JSON


def respond(value: object, status: int = 200) -> Response:
    """A value as JSON, decimals as numbers."""
    return Response(JSON.encode(value), status, media_type="application/json")


def read_body(call: Call, kind: type[T]) -> T:
    """The body as a record.

    Raises Refusal: `json.malformed`, `json.repeated_name`, or `request.malformed` with the pointer of what is wrong.
    """
    value = read_json(call.body)
    if (found := repeated_name(value)) is not None:
        raise Refusal("json.repeated_name", f"The name `{found[1]}` stands twice in one object.", found[0])
    try:
        return msgspec.json.decode(JSON.encode(value), type=kind)
    except msgspec.DecodeError as error:
        problem = problem_of(error, code="request.malformed")
        raise Refusal(problem.code, problem.detail, problem.pointer) from None
    except UnicodeEncodeError:
        raise Refusal("json.malformed", "A text holds half a character (a lone surrogate).") from None
    except TypeError:
        raise Refusal("request.malformed", "A number has more digits than anybody means.") from None


def query(call: Call, *known: str) -> dict[str, str]:
    """The query parameters; those that are not known are refused, for they would be ignored silently."""
    given = call.request.query_params
    for name in given:
        if name not in known:
            raise Refusal(
                "request.malformed", f"There is no parameter `{name}` here; there are: {', '.join(known)}."
            )
        if len(given.getlist(name)) > 1:
            raise Refusal("request.malformed", f"The parameter `{name}` stands twice.")
        if not given[name]:
            raise Refusal("request.malformed", f"The parameter `{name}` is empty.")
        if "\x00" in given[name]:
            raise Refusal(
                "request.malformed", f"The parameter `{name}` has a character that it may not have."
            )
    return dict(given)


def instant(text: str, name: str) -> datetime:
    """An RFC 3339 instant in a query, where `+` may have become a space."""
    try:
        found = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or not 1 < found.year < 9999:
        raise Refusal(
            "request.malformed", f"`{name}` is a time with an offset, such as 2026-11-20T14:03:00+01:00."
        )
    return found


def limit_of(given: Mapping[str, str]) -> int:
    """How many rows are wanted.

    Raises Refusal `limit.page`, `request.malformed`.
    """
    text = given.get("limit", str(PAGE_DEFAULT))
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) < 1:
        raise Refusal("request.malformed", "`limit` is a number from 1 to 500.")
    if int(text) > PAGE_MAX:
        raise Refusal("limit.page", f"{int(text):,} rows in one page; at most {PAGE_MAX} are given.")
    return int(text)


LIMIT = Parameter(
    "limit",
    "Rows in a page.",
    {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT},
)
CURSOR = Parameter(
    "cursor", "Where the page before ended: its next_cursor.", {"type": "string", "maxLength": 100}
)
INSTANT = {"type": "string", "format": "date-time"}
TEXT = {"type": "string", "minLength": 1, "maxLength": 128}
