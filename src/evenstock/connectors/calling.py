"""One call over HTTP, and what it means when it fails: the same for every connector.

`changes` says whether the call may change something over there. What was cut off then may have been done: Unknown. A call that
only asks can be made again: RetryLater.
"""

from collections.abc import Collection, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from evenstock.connectors.contract import (
    Failed,
    Failure,
    NotAllowed,
    NotSent,
    NotYet,
    Rejected,
    Reply,
    ReplyCut,
    RetryLater,
    Unauthorized,
    Unknown,
    World,
)
from evenstock.core.errors import Refusal
from evenstock.core.exact_json import read_json

DETAIL_MAX: Final = 300  # characters of a system's words in an outcome
WAIT_MAX_S: Final = 24 * 3600.0  # a longer wait in a header is a mistake


async def call(  # noqa: PLR0913 - the parts of a request
    world: World,
    method: str,
    url: str,
    *,
    changes: bool,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    takes: Collection[int] = (),
    timeout_s: float = 8.0,
) -> Reply:
    """The reply, if its status is of success or one of those that the caller `takes`.

    Raises Failed.
    """
    if world.http is None:
        raise Failed(Unauthorized("This process has no way out to other systems."))
    try:
        reply = await world.http.request(
            method, url, headers=_traced(world, headers or {}), body=body, timeout_s=timeout_s
        )
    except NotAllowed as error:
        raise Failed(Unauthorized(_cut(str(error)))) from error
    except NotYet as error:
        raise Failed(RetryLater(_cut(str(error)), error.after_s, "busy")) from error
    except NotSent as error:
        raise Failed(RetryLater(_cut(str(error)))) from error
    except ReplyCut as error:
        raise Failed(_unsure(_cut(str(error)), changes=changes)) from error
    if 200 <= reply.status < 300 or reply.status in takes:
        return reply
    raise Failed(meaning(reply, changes=changes))


def _traced(world: World, headers: Mapping[str, str]) -> Mapping[str, str]:
    return headers if world.traceparent is None else {**headers, "traceparent": world.traceparent}


def json_of(reply: Reply, *, changes: bool) -> Any:
    """The body as JSON: numbers as int or Decimal, exactly. A page for people, with whatever status, is no answer.

    Raises Failed.
    """
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        words = f"The answer ({reply.status}) is {kind or 'of no kind'}, not JSON: {_head(reply)}"
        raise Failed(_unsure(_cut(words), changes=changes))
    try:
        return read_json(reply.body)
    except Refusal as refusal:
        words = f"The answer ({reply.status}) cannot be read: {refusal.problem.detail}"
        raise Failed(_unsure(_cut(words), changes=changes)) from refusal


def not_understood(what: str, *, changes: bool) -> Failed:
    """An answer that is JSON and lacks what must be there."""
    return Failed(_unsure(f"The answer is not as agreed: {_cut(what)}", changes=changes))


async def secret(world: World, reference: str) -> str:
    """The secret behind a reference. One that is not there may be put there. Raises Failed, with words that do not tell it."""
    if world.secrets is None:
        raise Failed(Unauthorized("This process has no way to open secrets."))
    try:
        return await world.secrets.open(reference)
    except Refusal as refusal:
        raise Failed(RetryLater(_cut(refusal.problem.detail))) from refusal


async def keep_secret(world: World, reference: str, value: str) -> None:
    """Put another secret behind a reference. Raises Failed, with words that do not tell it."""
    if world.secrets is None:
        raise Failed(Unauthorized("This process has no way to keep secrets."))
    try:
        await world.secrets.keep(reference, value)
    except Refusal as refusal:
        raise Failed(RetryLater(_cut(refusal.problem.detail))) from refusal


def wait_of(reply: Reply) -> float | None:
    """How long the system asks us to wait, in seconds: `Retry-After` in both of its forms, by the system's own clock."""
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return min(float(text), WAIT_MAX_S)
    try:
        until = parsedate_to_datetime(text)
        its_now = parsedate_to_datetime(reply.headers.get("date", ""))
        return min(max(0.0, (until - its_now).total_seconds()), WAIT_MAX_S)
    except (ValueError, TypeError):
        return None


def meaning(reply: Reply, *, changes: bool) -> Failure:
    """What a reply that is none of success means by its status."""
    words = _cut(f"The system answered {reply.status}. {_head(reply)}".strip())
    if reply.status == 429:
        return RetryLater(words, wait_of(reply), "rate")
    if reply.status == 503:
        return RetryLater(words, wait_of(reply), "busy")
    if reply.status in {401, 403}:
        return Unauthorized(words)
    if reply.status in {408, 425}:
        return RetryLater(words, wait_of(reply))
    if reply.status >= 500:
        return _unsure(words, changes=changes)
    return Rejected(words, str(reply.status))


def _unsure(words: str, *, changes: bool) -> Failure:
    return Unknown(words) if changes else RetryLater(words)


def _head(reply: Reply) -> str:
    """The first words of a body, on one line."""
    return " ".join(reply.body[:DETAIL_MAX].decode("utf-8", "replace").split())


def _cut(words: str) -> str:
    return words if len(words) <= DETAIL_MAX else words[: DETAIL_MAX - 1] + "…"
