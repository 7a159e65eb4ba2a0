"""Trace ids, 32 hex digits as W3C writes them: those that a sender gave, and those that we derive from what came in.

A derived one is the ledger's tag and 16 digits of our own number; its first digit says what the number is of. So it can be
found again without an index (ADR 0004).
"""

import re
from typing import Final, Literal

Origin = Literal["fact", "reservation", "message"]

_FIRST: Final[dict[Origin, int]] = {"fact": 0, "reservation": 8, "message": 12}
_SHIFT: Final = 60  # bits below the first digit
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")


def trace_id_of(traceparent: str | None) -> str | None:
    """The trace id of a W3C traceparent; a malformed one is as good as none."""
    if traceparent is None or (match := _TRACEPARENT.fullmatch(traceparent)) is None:
        return None
    return None if set(match[1]) == {"0"} else match[1]


def traceparent(trace_id: str, span: str) -> str:
    """What is handed on: the trace, and 16 hex digits that name this one call."""
    return f"00-{trace_id}-{span}-01"


def is_trace_id(text: str) -> bool:
    return _TRACE_ID.fullmatch(text) is not None


def derived(tag: str, origin: Origin, number: int) -> str:
    """The trace id of something whose sender gave none."""
    return f"{tag}{_FIRST[origin] << _SHIFT | number:016x}"


def read_derived(tag: str, trace_id: str) -> tuple[Origin, int] | None:
    """What a derived trace id is of; None when it is not one of this ledger's."""
    if not trace_id.startswith(tag) or len(trace_id) != len(tag) + 16:
        return None
    number = int(trace_id[len(tag) :], 16)
    for origin, first in _FIRST.items():
        if number >> _SHIFT == first:
            return origin, number & ((1 << _SHIFT) - 1)
    return None
