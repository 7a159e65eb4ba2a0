"""What an answer to a batch means, and what to do next.

Delivered: each event has its outcome. Smaller: send fewer, the trouble is in one of them. Refused: the one event that was
sent alone is not taken. Later: a passing reason. Blocked: a person must mend something, and nothing but trying again helps.
An answer is believed only when it is a hub's: a shop's line may end at a hotel's login page.
"""

from collections.abc import Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from evenstock.connectors.contract import Reply

BATCH_MAX: Final = 500  # events in one request; the hub takes 1,000
BATCH_BYTES_MAX: Final = 4 * 1024 * 1024  # in one request, unless one event alone is larger
AGAIN_FIRST_S: Final = 0.5
AGAIN_MAX_S: Final = 60.0
AGAIN_MIN_S: Final = 0.05
BLOCKED_AGAIN_S: Final = 60.0
RETRY_AFTER_MAX_S: Final = 900.0
FAULTS_OF_ONE_MAX: Final = 20  # of the hub over one event by itself, before it is set aside
NOT_A_HUB: Final = (
    "What answers at the hub's address is not a hub: is there a login page or a proxy on the way?"
)
_CONTENT: Final = frozenset({400, 409, 413, 422})
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 507})


class HubResult(msgspec.Struct, frozen=True):
    """What became of one event, by the hub's word."""

    id: str | None
    outcome: str
    code: str | None = None
    detail: str | None = None
    pointer: str | None = None


class _HubAnswer(msgspec.Struct, frozen=True):
    ledger_seq: int
    results: list[HubResult]


class _HubHealth(msgspec.Struct, frozen=True):
    status: str


class _HubProblem(msgspec.Struct, frozen=True):
    code: str
    detail: str
    pointer: str = ""
    action: str = ""


class Delivered(msgspec.Struct, frozen=True):
    ledger_seq: int
    results: list[HubResult]


class Smaller(msgspec.Struct, frozen=True):
    words: str


class Refused(msgspec.Struct, frozen=True):
    code: str
    detail: str
    pointer: str


class Later(msgspec.Struct, frozen=True):
    """`fault` when the hub failed over what was sent, `slow` when it may have been too much at once."""

    words: str
    after_s: float = 0.0
    slow: bool = False
    fault: bool = False


class Blocked(msgspec.Struct, frozen=True):
    words: str


Verdict = Delivered | Smaller | Refused | Later | Blocked


def verdict(reply: Reply, ids: Sequence[str], now: datetime) -> Verdict:
    """What the answer to events of these ids means."""
    if reply.status == 200:
        return _delivered(reply, ids)
    problem = _problem(reply)
    if reply.status in _PASSING:
        words = problem.detail if problem else f"The hub's address answers {reply.status}."
        fault = problem is not None and problem.code == "hub.bug"
        return Later(words, retry_after_s(reply, now), slow=reply.status in {408, 504}, fault=fault)
    if reply.status in _CONTENT and (problem is not None or reply.status == 413):
        return _content(problem, len(ids))
    return Blocked(_blocked(reply, problem))


def greeting(reply: Reply, now: datetime) -> Verdict:
    """What the answer to `GET /healthz` means: delivered, with nothing in it, when a hub is there."""
    if reply.status in _PASSING:
        return Later(f"The hub's address answers {reply.status}.", retry_after_s(reply, now))
    try:
        is_hub = reply.status == 200 and msgspec.json.decode(reply.body, type=_HubHealth).status == "ok"
    except msgspec.DecodeError:
        is_hub = False
    if is_hub:
        return Delivered(0, [])
    return Blocked(NOT_A_HUB if reply.status == 200 else _blocked(reply, None))


def _delivered(reply: Reply, ids: Sequence[str]) -> Verdict:
    try:
        answer = msgspec.json.decode(reply.body, type=_HubAnswer)
    except msgspec.DecodeError:
        answer = None
    if answer is None or [result.id for result in answer.results] != list(ids):
        return Blocked(NOT_A_HUB)
    return Delivered(answer.ledger_seq, answer.results)


def _content(problem: _HubProblem | None, number: int) -> Verdict:
    if number > 1:
        return Smaller(problem.detail if problem else "Too much in one request.")
    if problem is None:
        return Blocked(
            "A server before the hub refuses a single event as too large: raise its limit of bodies to 10 MB."
        )
    if problem.code.startswith("request."):
        return Blocked(f"{problem.detail} {problem.action}")
    return Refused(problem.code, problem.detail, problem.pointer)


def _problem(reply: Reply) -> _HubProblem | None:
    try:
        return msgspec.json.decode(reply.body, type=_HubProblem)
    except msgspec.DecodeError:
        return None


def _blocked(reply: Reply, problem: _HubProblem | None) -> str:
    if problem is not None:
        return f"{problem.detail} {problem.action}".strip()
    if 300 <= reply.status < 400:
        where = reply.headers.get("location", "elsewhere")[:200]
        return f"The hub's address leads to {where}: is --hub right, or is there a login page on the way?"
    return f"The hub's address answers {reply.status}, and not as a hub does: is --hub right, and what is on the way?"


def retry_after_s(reply: Reply, now: datetime) -> float:
    """The seconds that an answer asks us to wait; 0 when it does not say."""
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), RETRY_AFTER_MAX_S)
    date = date_of(text)
    return 0.0 if date is None else min(max(0.0, (date - now).total_seconds()), RETRY_AFTER_MAX_S)


def date_of(text: str) -> datetime | None:
    """An HTTP date; None when it is none."""
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    return found if found.tzinfo is not None else None


def wait_s(failures: int, chance: float, after_s: float = 0.0) -> float:
    """How long to wait after so many failures in a row: full jitter up to a cap; never before the hub asked for.

    `chance` is in [0, 1). A thousand shops whose lines come back at once so do not all knock at once.
    """
    cap = min(AGAIN_MAX_S, AGAIN_FIRST_S * 2.0 ** min(failures - 1, 30))
    return after_s + max(AGAIN_MIN_S, chance * cap)


def next_size(size: int, found: Verdict) -> int:
    """How many events the next request holds: half after trouble with size, twice as many after none."""
    if isinstance(found, Smaller) or (isinstance(found, Later) and (found.slow or found.fault)):
        return max(1, size // 2)
    return min(BATCH_MAX, size * 2) if isinstance(found, Delivered | Refused) else size
