"""A trace: what happened because of one transaction, step by step in time, and what has not happened yet (R197).

Each room of the hub adds its own steps, from what it has stored. Whoever tells another system something adds a list to `Seen`
and its steps here.
"""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from evenstock.core.tracing.commands import command_missing, command_steps
from evenstock.core.tracing.facts import (
    claim_step,
    fact_missing,
    fact_steps,
    message_missing,
    message_steps,
    movement_step,
)
from evenstock.core.tracing.numbers import number_missing, number_steps, once
from evenstock.core.tracing.postings import books_missing, posting_missing, posting_steps
from evenstock.core.tracing.seen import Seen
from evenstock.core.tracing.steps import ORDER, Missing, State, Step


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The story of a transaction. `trace_ids` are all ids that it goes by: an order has one for each of its parts."""

    trace_id: str | None
    trace_ids: list[str]
    status: State
    waiting_for: list[str]
    happened_at: datetime | None
    received_at: datetime | None
    steps: list[Step]
    missing: list[Missing]
    more: bool  # there is more to it than one answer holds


def told(seen: Seen, trace_ids: Iterable[str], now: datetime) -> Trace:
    """The story of all that was seen, as of `now`. `trace_ids`: what was asked for, the first of which names it."""
    steps: list[Step] = []
    missing: list[Missing] = []
    for message in seen.messages:
        steps += message_steps(message)
        missing += message_missing(message, now)
    for fact in seen.facts:
        steps += fact_steps(fact)
        missing += fact_missing(fact, now)
    trace_of = {fact.fact_id: fact.trace_id for fact in seen.facts}
    steps += [movement_step(movement, trace_of.get(movement.fact_id)) for movement in seen.movements]
    reservations = {each.reservation_id: each for each in seen.reservations}
    steps += [claim_step(claim, reservations[claim.reservation_id]) for claim in seen.claims]
    for number in once(seen.numbers):
        steps += number_steps(number)
        missing += number_missing(number, now)
    for posting in seen.postings:
        steps += posting_steps(posting)
        missing += posting_missing(posting, now)
    missing += [books_missing(books, now) for books in seen.books]
    for command in seen.commands:
        steps += command_steps(command)
        missing += command_missing(command, now)
    steps.sort(key=lambda step: (step.at, ORDER[step.step]))
    ids = [*trace_ids]
    ids += [each.trace_id for each in seen.messages]
    ids += [each.trace_id for each in seen.facts]
    ids += [each.trace_id for each in seen.reservations]
    received = [each.received_at for each in seen.messages] + [each.received_at for each in seen.facts]
    state: State = "waiting" if missing else "done"
    return Trace(
        trace_id=ids[0] if ids else None,
        trace_ids=list(dict.fromkeys(ids)),
        status="failed" if any(each.state == "failed" for each in missing) else state,
        waiting_for=sorted({each.system for each in missing}),
        happened_at=min((fact.occurred_at for fact in seen.facts), default=None),
        received_at=min(received, default=None),
        steps=steps,
        missing=sorted(missing, key=lambda each: (each.since, each.system)),
        more=seen.is_cut,
    )
