"""Looking at what any system shows: one question for each number, and where in its answer the number stands."""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from urllib.parse import quote

from evenstock.connectors.calling import call, json_of
from evenstock.connectors.contract import Failed, Failure, Observed, Rejected, RetryLater, Target, World
from evenstock.connectors.http_json.asking import opened
from evenstock.connectors.http_json.publish import WITHIN_S
from evenstock.connectors.http_json.settings import Look, Settings
from evenstock.connectors.http_json.template import text_of
from evenstock.core.mapping.paths import found_at


async def observe(settings: Settings, world: World, targets: Sequence[Target]) -> list[Observed | Failure]:
    """What the system shows for each; those that are not asked in time are asked another time."""
    look = settings.look
    if look is None:
        return [Rejected("The setting `look` is missing, which says how this system is asked.")] * len(
            targets
        )
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + WITHIN_S
    try:
        secrets = await opened(look, world)
    except Failed as failed:
        return [failed.outcome] * len(targets)
    seen: list[Observed | Failure] = []
    for target in targets:
        if loop.time() + look.timeout_s > ends_at:
            late = RetryLater("The system answers slowly: it is asked another time.", 0.0, "busy")
            return seen + [late] * (len(targets) - len(seen))
        try:
            seen.append(await _shown(look, world, target, secrets))
        except Failed as failed:
            seen.append(failed.outcome)
            if isinstance(failed.outcome, RetryLater):  # the next one would fare no better
                return seen + [failed.outcome] * (len(targets) - len(seen))
    return seen


async def _shown(look: Look, world: World, target: Target, secrets: Mapping[str, str]) -> Observed:
    texts = {
        "channel": look.channels.get(target.channel, target.channel), "sku": target.sku, "code": target.code,
    }  # fmt: skip
    quoted = {name: quote(text, safe="") for name, text in texts.items()}
    headers = {name: text_of(each, texts) for name, each in look.headers.items()}
    reply = await call(
        world,
        "GET",
        text_of(look.url, quoted),
        changes=False,
        headers={"Accept": "application/json", **headers, **secrets},
        timeout_s=look.timeout_s,
    )
    found = found_at(json_of(reply, changes=False), look.quantity)
    if isinstance(found, bool) or not isinstance(found, int | Decimal):
        raise Failed(Rejected(f"Its answer has no number at {look.quantity}.", "quantity"))
    return Observed(found)
