"""One call made of a template, and its reply read by rules."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from evenstock.connectors.calling import DETAIL_MAX, call, meaning, secret, wait_of
from evenstock.connectors.contract import (
    Done,
    Failed,
    Outcome,
    Rejected,
    Reply,
    RetryLater,
    Unauthorized,
    Unknown,
    World,
)
from evenstock.connectors.http_json.settings import Asking, Call, Calling, CommandCall, Means, Rule
from evenstock.connectors.http_json.template import document_of, text_of
from evenstock.core.errors import Refusal
from evenstock.core.exact_json import read_json
from evenstock.core.mapping.paths import ABSENT, found_at

EVERY_STATUS: Final = range(100, 600)
_encoder: Final = msgspec.json.Encoder(decimal_format="number")


async def opened(call_: Asking, world: World) -> dict[str, str]:
    """The headers of a call that are secrets. Raises Failed."""
    return {name: await secret(world, reference) for name, reference in call_.secret_headers.items()}


async def ask(
    call_: Call | CommandCall, world: World, values: Mapping[str, Any], secrets: Mapping[str, str]
) -> Outcome:
    """Make the call with its names filled in; `values` holds the key, the same in each try."""
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
            headers={"Accept": "application/json", **headers, **secrets, call_.key_header: texts["key"]},
            body=body,
            takes=EVERY_STATUS,
            timeout_s=call_.timeout_s,
        )
    except Failed as failed:
        return failed.outcome
    return outcome_of(call_, reply)


def outcome_of(call_: Calling, reply: Reply) -> Outcome:
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


def _outcome(means: Means | None, call_: Calling, reply: Reply, answer: Any) -> Outcome:
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
