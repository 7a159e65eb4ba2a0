"""Having any system do something: one call for each command, made of a template.

A call carries the command's key, the same in each try; the system does once what comes under one key.
"""

from typing import Any

from evenstock.connectors.contract import Command, CommandLine, Failed, Outcome, Unauthorized, World
from evenstock.connectors.http_json.asking import ask, opened
from evenstock.connectors.http_json.settings import CommandCall, Settings
from evenstock.connectors.http_json.template import document_of


async def do(settings: Settings, world: World, command: Command) -> Outcome:
    """Tell the system what to do."""
    call_ = settings.command
    if call_ is None:
        return Unauthorized(
            "The setting `command` is missing, which says how this system is told what to do."
        )
    try:
        secrets = await opened(call_, world)
    except Failed as failed:
        return failed.outcome
    return await ask(call_, world, _values(call_, command), secrets)


def is_commanded(settings: Settings) -> bool:
    return settings.command is not None


def _values(call_: CommandCall, command: Command) -> dict[str, Any]:
    return {
        "kind": call_.kinds.get(command.kind, command.kind),
        "reference": command.reference,
        "reservation": command.reservation,
        "order": command.order_ref or command.reservation,
        "channel": call_.channels.get(command.channel or "", command.channel or ""),
        "location": call_.locations.get(command.location, command.location),
        "number": command.number,
        "key": command.key,
        "trace_id": command.trace_id or "",
        "lines": [_line(call_, line) for line in command.lines],
    }


def _line(call_: CommandCall, line: CommandLine) -> Any:
    values = {
        "line": line.line,
        "sku": line.sku,
        "code": line.code,
        "quantity": line.quantity,
        "uom": line.uom,
        "location": call_.locations.get(line.location, line.location),
    }
    return document_of(call_.line, values, {name: str(value) for name, value in values.items()})
