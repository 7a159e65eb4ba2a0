"""A problem as the document that a door answers with when a request as a whole fails (RFC 9457)."""

from collections.abc import Sequence
from typing import Final

import msgspec

from evenstock.core.errors import Problem

MEDIA_TYPE: Final = "application/problem+json"

# What no honest sender writes; a request of nothing else is refused as a whole.
HOSTILE: Final = frozenset(
    {"json.repeated_name", "identifier.characters", "quantity.pattern", "quantity.too_large"}
)


class ErrorEntry(msgspec.Struct, frozen=True):
    """One thing that is not right, and where."""

    pointer: str
    code: str
    detail: str


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is answered when a request as a whole fails."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    action: str
    retryable: bool
    data_safe: bool
    request_id: str
    pointer: str = ""
    trace_id: str | None = None
    errors: list[ErrorEntry] = []


def document_of(
    problem: Problem, request_id: str, trace_id: str | None = None, errors: Sequence[Problem] = ()
) -> ProblemDocument:
    """The document that says what is wrong, to one request."""
    meaning = problem.meaning
    return ProblemDocument(
        type=f"/docs/e/{problem.code}",
        title=meaning.title,
        status=meaning.status,
        code=problem.code,
        detail=problem.detail,
        action=meaning.action,
        retryable=meaning.retryable,
        data_safe=True,
        request_id=request_id,
        pointer=problem.pointer,
        trace_id=trace_id,
        errors=[ErrorEntry(entry.pointer, entry.code, entry.detail) for entry in errors],
    )


def encoded(document: ProblemDocument, members: bytes = b"{}") -> bytes:
    """A problem as JSON; `members` is a JSON object of what else it tells."""
    body = msgspec.json.encode(document)
    return body if members == b"{}" else body[:-1] + b"," + members[1:]
