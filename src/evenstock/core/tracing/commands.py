"""What is to be done because of it: each command to a system that works at a location, each try, and what is not done yet."""

from datetime import datetime, timedelta
from typing import Final

from evenstock.core.tracing.seen import CommandSeen, TrySeen
from evenstock.core.tracing.steps import Missing, Name, State, Step, since
from evenstock.core.tracing.tries import nth, untaken

DONE_WITHIN: Final = timedelta(minutes=15)  # from deciding it to its confirmation


def command_steps(command: CommandSeen) -> list[Step]:
    if command.status == "shadow":
        words = f"{command.connection} would be commanded to {_what(command)}; its flow was shadow."
    else:
        words = f"{command.connection} is commanded to {_what(command)} ({command.reference})."
    steps = [_step(command, command.made_at, "computed", words)]
    for one in command.tries:
        steps += _try(command, one)
    return steps


def _what(command: CommandSeen) -> str:
    """`pick 2 × TSH-BLK-M at DC1`."""
    lines = ", ".join(f"{quantity} × {sku}" for sku, quantity in command.lines)
    return f"{command.kind} {lines} at {command.location}"


def _try(command: CommandSeen, one: TrySeen) -> list[Step]:
    words = f"{command.connection} was sent {command.reference}{nth(one)}."
    sent = _step(command, one.started_at, "told", words)
    if one.outcome == "done":
        known = f" as {one.document}" if one.document else ""
        words = f"{command.connection} acknowledged {command.reference}{known}: {_what(command)}."
        return [sent, _step(command, one.ended_at, "acknowledged", words, document=one.document)]
    words = untaken(command.connection, one)
    return [sent, _step(command, one.ended_at, "refused", words, "failed")]


def _step(
    command: CommandSeen,
    at: datetime,
    name: Name,
    words: str,
    state: State = "done",
    document: str | None = None,
) -> Step:
    return Step(
        at=at, step=name, state=state, system=command.connection, command=command.id, trace_id=command.trace_id,
        reservation=command.reservation, document=document, words=words,
    )  # fmt: skip


def command_missing(command: CommandSeen, now: datetime) -> list[Missing]:
    """What is not done of it: it waits to be sent, for another, or for a person."""
    if command.status not in {"owed", "unknown", "rejected"}:
        return []
    at = command.made_at
    if command.status == "rejected":
        words = f"{command.connection} refuses to {_what(command)} ({command.reference}), {since(at, now)}: {command.refused_detail}"
    else:
        why = f"; it waits for {command.waits_for}" if command.waits_for else ""
        why += f": {command.paused.rstrip('.')}" if command.paused else ""
        words = f"{command.connection} has not confirmed to {_what(command)} ({command.reference}), {since(at, now)}{why}."
    is_stuck = command.status == "rejected" or command.paused is not None
    return [
        Missing(
            system=command.connection, since=at, state="failed" if is_stuck else "waiting",
            overdue=is_stuck or now - at > DONE_WITHIN, exception_id=command.exception_id, words=words,
        )
    ]  # fmt: skip
