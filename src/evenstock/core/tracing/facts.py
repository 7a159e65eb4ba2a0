"""What the hub itself did: messages read, facts booked or held, movements, claims; each as steps, and what is missing."""

from datetime import datetime, timedelta
from typing import Final

from evenstock.core.tracing.seen import (
    ClaimSeen,
    FactSeen,
    HeldSeen,
    MessageSeen,
    MovementSeen,
    OrderSeen,
    ReservationSeen,
)
from evenstock.core.tracing.steps import Missing, Name, State, Step, since
from evenstock.core.words import LATE_AFTER, duration, movement_sentence

HUB: Final = "evenstock"
BOOKED_WITHIN: Final = timedelta(seconds=5)  # from receipt to the ledger (service level 4)


# Messages ----------------------------------------------------------------------------------------------------------------


def message_steps(message: MessageSeen) -> list[Step]:
    def step(
        at: datetime, name: Name, words: str, state: State = "done", exception_id: str | None = None
    ) -> Step:
        return Step(
            at=at, step=name, state=state, system=message.connection, message=message.id, trace_id=message.trace_id,
            exception_id=exception_id, words=words,
        )  # fmt: skip

    kind = f" ({message.name})" if message.name else ""
    steps = [step(message.received_at, "received", f"{message.connection} sent {message.id}{kind}.")]
    if message.done_at is not None and message.status == "translated":
        made = ", ".join(message.events) or "nothing about stock"
        steps.append(step(message.done_at, "translated", f"{message.id} says: {made}."))
    if message.done_at is not None and message.status == "dead":
        words = f"{message.id} could not be read: {message.detail}"
        steps.append(step(message.done_at, "translated", words, "failed", message.exception_id))
    return steps


def message_missing(message: MessageSeen, now: datetime) -> list[Missing]:
    at = message.done_at or message.received_at
    if message.status == "received":
        words = f"{message.id} is not read yet, {since(at, now)}."
        return [Missing(system=HUB, since=at, state="waiting", overdue=now - at > BOOKED_WITHIN, words=words)]
    if message.status == "dead":
        words = f"{message.id} waits for a person, {since(at, now)}."
        return [
            Missing(
                system=HUB,
                since=at,
                state="failed",
                overdue=True,
                words=words,
                exception_id=message.exception_id,
            )
        ]
    return []


# Facts -------------------------------------------------------------------------------------------------------------------


def fact_steps(fact: FactSeen) -> list[Step]:
    def step(
        at: datetime, name: Name, words: str, state: State = "done", exception_id: str | None = None
    ) -> Step:
        return Step(
            at=at, step=name, state=state, system=fact.source, event=fact.key, trace_id=fact.trace_id,
            exception_id=exception_id, words=words,
        )  # fmt: skip

    late = fact.received_at - fact.occurred_at
    when = f", {duration(late)} after it happened" if late > LATE_AFTER else ""
    steps = [step(fact.received_at, "received", f"{fact.source} reported {fact.key} ({fact.type}){when}.")]
    if fact.time_basis == "source":
        steps.append(
            step(fact.occurred_at, "happened", f"{fact.key} happened, by the clock of {fact.source}.")
        )
    for held in fact.held:
        words = f"{_held(fact, held)} was held: {held.code}."
        state: State = "waiting" if held.settled_at is None else "done"
        steps.append(step(fact.recorded_at, "held", words, state, held.exception_id))
    if fact.status == "parked":
        steps.append(
            step(fact.recorded_at, "parked", f"{fact.key} was kept until {fact.target} comes.", "waiting")
        )
    if fact.status == "ignored":
        steps.append(step(fact.recorded_at, "ignored", f"{fact.key} changed nothing: {fact.reason}."))
    if fact.order is not None and (said := _order_words(fact, fact.order)):
        waiting: State = "done" if fact.order.status == "done" else "waiting"
        steps.append(step(fact.recorded_at, said[0], said[1], waiting, fact.order.exception_id))
    words = f"{fact.key} came again with other content; the first stands."
    return steps + [step(at, "reused", words, "failed") for at in fact.reused_at]


def _held(fact: FactSeen, held: HeldSeen) -> str:
    return f"Line {held.line} of {fact.key}" if held.line else fact.key


def _order_words(fact: FactSeen, order: OrderSeen) -> tuple[Name, str] | None:
    """What became of it where no promise says so: the step, and words for it."""
    match order.status:
        case "waits":
            return (
                "held",
                f"The order {order.order_ref} of {order.channel} cannot be promised yet: {order.code}.",
            )
        case "parked":
            return (
                "parked",
                f"{fact.key} was kept until the order {order.order_ref} of {order.channel} comes.",
            )
        case "done" if order.code is not None:
            return "ignored", f"{fact.key} promised nothing: {order.code}."
        case _:
            return None


def fact_missing(fact: FactSeen, now: datetime) -> list[Missing]:
    at = fact.recorded_at
    missing = [
        Missing(
            system=HUB, since=at, state="failed", overdue=True, exception_id=held.exception_id,
            words=f"{_held(fact, held)} is not booked, {since(at, now)}: {held.code}.",
        )
        for held in fact.held
        if held.settled_at is None
    ]  # fmt: skip
    if fact.order is not None and fact.order.status != "done":
        missing.append(_order_missing(fact, fact.order, now))
    if fact.status == "parked":
        words = f"{fact.source} has not sent {fact.target}, for which {fact.key} waits {since(at, now)}."
        missing.append(Missing(system=fact.source, since=at, state="waiting", overdue=False, words=words))
    return missing


def _order_missing(fact: FactSeen, order: OrderSeen, now: datetime) -> Missing:
    """An order that is not promised, or a cancellation whose order is not there."""
    at = fact.recorded_at
    if order.status == "parked":
        words = f"{fact.source} has not sent the order {order.order_ref}, for which {fact.key} waits {since(at, now)}."
        return Missing(
            system=fact.source, since=at, state="waiting", overdue=order.exception_id is not None, words=words,
            exception_id=order.exception_id,
        )  # fmt: skip
    words = f"The order {order.order_ref} is not promised, {since(at, now)}."
    return Missing(
        system=HUB, since=at, state="failed" if order.status == "waits" else "waiting",
        overdue=now - at > BOOKED_WITHIN, words=words, exception_id=order.exception_id,
    )  # fmt: skip


def movement_step(movement: MovementSeen, trace_id: str | None) -> Step:
    return Step(
        at=movement.recorded_at, step="booked", state="done", system=movement.source, event=movement.key,
        movement=movement.id, trace_id=trace_id, ledger_seq=movement.ledger_seq,
        words=f"{movement.sku} at {movement.location}: {movement_sentence(movement)}.",
    )  # fmt: skip


# Promises ----------------------------------------------------------------------------------------------------------------

_CLAIMS: Final = {
    "grant": "{units} of {sku} at {location} promised to {whom}.",
    "accept": "{units} of {sku} at {location} taken over for {whom}: more than there was, and promised elsewhere.",
    "allocate": "{units} of {sku} tied to work at {location} for {whom}.",
    "move": "The promise of {units} of {sku} to {whom} moved: {location}.",
    "release": "{units} of {sku} at {location} given back by {whom}.",
    "expire": "{units} of {sku} at {location} are free again: the time of {whom} was over.",
    "ship": "{units} of {sku} left {location} for {whom}.",
    "unship": "{units} of {sku} at {location} promised to {whom} again: the shipment was a mistake.",
}


def claim_step(claim: ClaimSeen, reservation: ReservationSeen) -> Step:
    units = abs(claim.reserved) or abs(claim.allocated)
    whom = reservation.order_ref or reservation.id
    return Step(
        at=claim.recorded_at, step="promised", state="done", system=reservation.channel, reservation=reservation.id,
        trace_id=reservation.trace_id, ledger_seq=claim.ledger_seq,
        words=_CLAIMS[claim.kind].format(units=units, sku=claim.sku, location=claim.location, whom=whom),
    )  # fmt: skip
