"""Telling any system its numbers: one call for each, made of a template.

A call says the number to set, and carries the number's key, the same in each try, so what may have been done is safe to do again.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from evenstock.connectors.contract import Exposure, Failed, Outcome, RetryLater, Unauthorized, World
from evenstock.connectors.http_json.asking import ask, opened
from evenstock.connectors.http_json.settings import Call, Settings

EXPOSURES_MAX: Final = 20  # in one call of the hub, which lasts 10 s
WITHIN_S: Final = 9.0  # for all of them; what is left comes again


async def publish(settings: Settings, world: World, exposures: Sequence[Exposure]) -> list[Outcome]:
    """Tell the system; one outcome for each number. Once it cannot be had, the rest is not tried."""
    if settings.call is None:
        words = "The setting `call` is missing, which says how this system is told numbers."
        return [Unauthorized(words)] * len(exposures)
    outcomes: list[Outcome] = []
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + WITHIN_S
    try:
        secrets = await opened(settings.call, world)
    except Failed as failed:
        return [failed.outcome] * len(exposures)
    for exposure in exposures:
        if loop.time() + settings.call.timeout_s > ends_at:
            late = RetryLater(
                "The system answers slowly: these numbers come with the next call.", 0.0, "busy"
            )
            return outcomes + [late] * (len(exposures) - len(outcomes))
        values = _values(settings.call, exposure)
        outcome = await ask(settings.call, world, values, secrets)
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
