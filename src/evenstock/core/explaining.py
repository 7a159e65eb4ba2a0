"""A number in words: the terms that make it, what is behind them, and what the channel was told."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from evenstock.core.availability import Exposed, Number
from evenstock.core.exposure import Term
from evenstock.core.quantity import as_number

_WORDS = {
    "on_hand": "on hand", "quarantine": "in quarantine", "damaged": "damaged", "sellable": "sellable",
    "in_transit": "on the way", "elsewhere": "where it does not sell from", "reserved": "reserved", "allocated": "allocated",
    "own_orders": "for its own orders, which it takes off by itself", "overcommitted": "promised beyond what there is",
    "safety_stock": "safety stock", "rounding": "cut off by rounding",
}  # fmt: skip


class Part(msgspec.Struct, frozen=True):
    """A term at one location."""

    location: str
    quantity: Number


class Promise(msgspec.Struct, frozen=True):
    """A reservation behind a term."""

    reservation: str
    order_ref: str | None
    channel: str | None
    location: str
    quantity: Number


class ExplainedTerm(msgspec.Struct, frozen=True, omit_defaults=True):
    """One term of a number, in the item's base unit: where, and what is behind it."""

    label: str
    quantity: Number
    parts: list[Part] = []
    promises: list[Promise] = []  # the first of them
    link: str | None = None  # to the facts behind it


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A number and its terms, which add up to it, always.

    `intended` is what the channel should see, to its own basis; without a channel, what may be promised over all locations.
    """

    sku: str
    as_of: datetime
    ledger_seq: int
    intended: Number
    terms: list[ExplainedTerm]
    sentence: str
    channel: str | None = None
    exposure: Exposed | None = None
    because: str | None = None
    trace_id: str | None = None


def term(found: Term, scale: int, promises: Sequence[Promise], link: str | None) -> ExplainedTerm:
    """A term as it is answered."""
    return ExplainedTerm(
        found.label,
        as_number(found.units, scale),
        [Part(location, as_number(units, scale)) for location, units in found.parts],
        list(promises),
        link,
    )


def sentence(
    channel: str | None, intended: Number, terms: Sequence[ExplainedTerm], exposure: Exposed | None
) -> str:
    """The whole of it in plain words."""
    first, *others = terms
    made = [f"{first.quantity} {_WORDS[first.label]}"]
    made += [
        f"{'plus' if each.quantity > 0 else 'less'} {abs(each.quantity)} {_WORDS[each.label]}"
        for each in others
    ]
    who = "may be promised" if channel is None else f"is what {channel} should see"
    words = f"{intended} {who}: {', '.join(made)}."
    return words if channel is None else f"{words} {_told(intended, exposure)}"


def _told(intended: Number, exposure: Exposed | None) -> str:  # noqa: PLR0911 - one return for each state
    if exposure is None:
        return "It was told nothing yet."
    if exposure.waits_for is not None:
        waits = f"It {exposure.waits_for.words(f'since {_time(exposure.waits_for.since)}')}"
        said = (
            "It was told nothing yet."
            if exposure.sent_at is None
            else f"It was told {exposure.sent} at {_time(exposure.sent_at)}."
        )
        return f"{waits} {said}"
    if exposure.status == "withheld":
        return "Nobody is told: the channel has no connection that takes numbers, or publishes never."
    if exposure.status == "refused":
        return f"It refused {exposure.sent}, which it was told at {_time(exposure.sent_at)}."
    if exposure.sent_at is None:
        return "It was told nothing yet; the number is on its way."
    said = f"It was told {exposure.sent} at {_time(exposure.sent_at)}"
    if exposure.status == "unknown":
        return f"{said}, and nobody knows whether that arrived; it is sent again."
    if exposure.acked == intended:
        return f"It was told so at {_time(exposure.acked_at)} and confirmed it."
    if exposure.acked_version == exposure.sent_version:
        return f"{said} and confirmed it; the new number is on its way."
    return f"{said} and has not confirmed it yet."


def _time(at: datetime | None) -> str:
    return "an unknown time" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
