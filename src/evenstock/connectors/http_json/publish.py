"""Telling any system its numbers: one call for each, made of a template, and its reply read by rules.

A call says the number to set, and carries the number's key, the same in each try, so what may have been done is safe to do again.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

from evenstock.connectors.calling import DETAIL_MAX, call, meaning, secret, wait_of
from evenstock.connectors.contract import (
    Done,
    Exposure,
    Failed,
    Outcome,
    Rejected,
    Reply,
    RetryLater,
    Unauthorized,
    Unknown,
    World,
)
from evenstock.connectors.http_json.settings import Call, Means, Rule, Settings
from evenstock.connectors.http_json.template import document_of, text_of
from evenstock.core.errors import Refusal
from evenstock.core.exact_json import read_json
from evenstock.core.mapping.paths import ABSENT, found_at

EXPOSURES_MAX: Final = 20  # in one call of the hub, which lasts 10 s
WITHIN_S: Final = 9.0  # for all of them; what is left comes again
EVERY_STATUS: Final = range(100, 600)
_encoder: Final = msgspec.json.Encoder(decimal_format="number")


async def publish(settings: Settings, world: World, exposures: Sequence[Exposure]) -> list[Outcome]:
    """Tell the system; one outcome for each number. Once it cannot be had, the rest is not tried."""
    if settings.call is None:
        words = "The setting `call` is missing, which says how this system is told numbers."
        return [Unauthorized(words)] * len(exposures)
    outcomes: list[Outcome] = []
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + WITHIN_S
    try:
        secrets = {name: await secret(world, ref) for name, ref in settings.call.secret_headers.items()}
    except Failed as failed:
        return [failed.outcome] * len(exposures)
    for exposure in exposures:
        if loop.time() + settings.call.timeout_s > ends_at:
            late = RetryLater(
                "The system answers slowly: these numbers come with the next call.", 0.0, "busy"
            )
            return outcomes + [late] * (len(exposures) - len(outcomes))
        outcome = await _told(settings.call, world, exposure, secrets)
        outcomes.append(outcome)
        if _ends(outcome):
            not_tried = RetryLater("It was not tried: the number before it came to nothing.", cause="busy")
            return outcomes + [not_tried] * (len(exposures) - len(outcomes))
    return outcomes


def _ends(outcome: Outcome) -> bool:
    """Whether the next number would fare no better."""
    match outcome:
        case Unauthorized():
            return True
        case RetryLater(cause=cause):
            return cause in {"transport", "rate"}
        case _:
            return False


async def _told(call_: Call, world: World, exposure: Exposure, secrets: dict[str, str]) -> Outcome:
    values = _values(call_, exposure)
    texts = {name: str(value) for name, value in values.items()}
    quoted = {name: quote(text, safe="") for name, text in texts.items()}
    headers = {name: text_of(each, texts) for name, each in call_.headers.items()}
    body = b""
    if call_.body is not None:
        headers.setdefault("Content-Type", "application/json")
        body = _encoder.encode(document_of(call_.body, values, texts))
    try:
        reply = await call(
            world,
            call_.method,
            text_of(call_.url, quoted),
            changes=True,
            headers={"Accept": "application/json", **headers, **secrets, call_.key_header: exposure.key},
            body=body,
            takes=EVERY_STATUS,
            timeout_s=call_.timeout_s,
        )
    except Failed as failed:
        return failed.outcome
    return outcome_of(call_, reply)


def outcome_of(call_: Call, reply: Reply) -> Outcome:
    """What a reply means: the first rule that fits it, else its status. A page for people is no answer, whatever its status says."""
    try:
        answer = read_json(reply.body)
    except Refusal:
        answer = ABSENT
    is_success = 200 <= reply.status < 300
    is_page = "html" in reply.headers.get("content-type", "")
    if is_success and (is_page or (call_.outcome and reply.body and answer is ABSENT)):
        return Unknown(f"The answer ({reply.status}) is not what was agreed, but a text for people or none.")
    rule = next((rule for rule in call_.outcome if _fits(rule, reply, answer)), None)
    means = "done" if rule is None and is_success else None if rule is None else rule.means
    return _outcome(means, call_, reply, answer)


def _outcome(means: Means | None, call_: Call, reply: Reply, answer: Any) -> Outcome:
    """None: what its status says."""
    words = _said(answer, call_.detail)
    told = words or f"The system answered {reply.status}."
    by_status = meaning(reply, changes=True)
    found: dict[Means | None, Outcome] = {
        "done": Done(_said(answer, call_.document) or None),
        "retry": RetryLater(told, wait_of(reply), "busy"),
        "unauthorized": Unauthorized(told),
        "unknown": Unknown(told),
        "rejected": Rejected(told, _said(answer, call_.code) or str(reply.status)),
        None: by_status,
    }
    if means is None and isinstance(by_status, Rejected) and words:
        return found["rejected"]
    return found[means]


def _fits(rule: Rule, reply: Reply, answer: Any) -> bool:
    if rule.status and reply.status not in rule.status:
        return False
    if not rule.field:
        return True
    found = ABSENT if answer is ABSENT else found_at(answer, rule.field)
    if rule.equals is None:
        return found is not ABSENT and found is not None
    return type(found) is type(rule.equals) and found == rule.equals


def _said(answer: Any, path: str) -> str:
    """What stands at a path of an answer, as words; nothing where nothing is said."""
    found = found_at(answer, path) if path and answer is not ABSENT else ABSENT
    return str(found)[:DETAIL_MAX] if isinstance(found, str | int) and not isinstance(found, bool) else ""


def _values(call_: Call, exposure: Exposure) -> dict[str, Any]:
    return {
        "channel": call_.channels.get(exposure.channel, exposure.channel),
        "sku": exposure.sku,
        "code": exposure.code,
        "quantity": exposure.quantity,
        "version": exposure.version,
        "key": exposure.key,
        "ledger_seq": exposure.ledger_seq,
        "computed_at": exposure.computed_at.isoformat(),
        "trace_id": exposure.trace_id or "",
    }
