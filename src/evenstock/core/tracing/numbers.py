"""What channels were told because of it: each number, each try, the channel's answer, what it shows, and what it still lacks."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from evenstock.core.availability import WaitsFor
from evenstock.core.tracing.seen import NumberSeen, TrySeen
from evenstock.core.tracing.steps import Missing, Name, State, Step, since
from evenstock.core.tracing.tries import nth, untaken

ACKNOWLEDGED_WITHIN: Final = timedelta(
    seconds=30
)  # from the commit to the channel's answer (service level 5)


def once(numbers: Iterable[NumberSeen]) -> list[NumberSeen]:
    """A number that counts several changes in is told once; the first of them is what it is measured from."""
    found: dict[tuple[str, str, int | None], NumberSeen] = {}
    for number in sorted(numbers, key=lambda each: each.since_seq):
        found.setdefault((number.channel, number.sku, number.version), number)
    return list(found.values())


def number_steps(number: NumberSeen) -> list[Step]:
    if number.computed_at is None or number.sent_at is None:
        return []
    what = f"{number.quantity} of {number.sku}"
    had = "it was told nothing before" if number.before is None else f"it was told {number.before} before"
    words = f"{number.channel} should see {what}; {had}."
    steps = [_step(number, number.computed_at, "computed", words)]
    if not number.tries:
        steps.append(_step(number, number.sent_at, "told", f"{number.channel} was told {what}.", "waiting"))
    for one in number.tries:
        steps += _try(number, one, what)
    if number.observed_at is not None and _is_looked_at(number):
        strays = number.observed != number.quantity
        had = f", and had confirmed {number.quantity}" if strays else ""
        words = f"{number.channel} shows {number.observed} of {number.sku}{had}."
        steps.append(_step(number, number.observed_at, "observed", words, "failed" if strays else "done"))
    return steps


def _is_looked_at(number: NumberSeen) -> bool:
    """Whether the last look at the channel was at this number: after it was confirmed, and no newer one was."""
    confirmed = max((one.ended_at for one in number.tries if one.outcome == "done"), default=None)
    return (
        confirmed is not None
        and number.observed_at is not None
        and number.observed_at >= confirmed
        and number.acked_version == number.version
    )


def _try(number: NumberSeen, one: TrySeen, what: str) -> list[Step]:
    sent = _step(number, one.started_at, "told", f"{number.channel} was told {what}{nth(one)}.")
    if one.outcome == "done":
        words = f"{number.channel} confirmed {what}."
        return [sent, _step(number, one.ended_at, "acknowledged", words, document=one.document)]
    words = untaken(number.channel, one)
    return [sent, _step(number, one.ended_at, "refused", words, "failed")]


def _step(
    number: NumberSeen,
    at: datetime,
    name: Name,
    words: str,
    state: State = "done",
    document: str | None = None,
) -> Step:
    return Step(
        at=at, step=name, state=state, system=number.channel, dispatch=number.dispatch, trace_id=number.trace_id,
        ledger_seq=number.ledger_seq, document=document, words=words,
    )  # fmt: skip


def number_missing(number: NumberSeen, now: datetime) -> list[Missing]:
    """What the channel lacks of it. A newer number that it confirmed counts this one in; one that is not sent on purpose is not missing."""
    late = now - number.since_at > ACKNOWLEDGED_WITHIN
    paused = f": {number.paused.rstrip('.')}" if number.paused else ""

    def missing(at: datetime, words: str, *, is_stuck: bool = False) -> list[Missing]:
        return [
            Missing(
                system=number.channel,
                since=at,
                state="failed" if is_stuck else "waiting",
                overdue=late,
                words=words,
            )
        ]

    if number.computed_until < number.since_seq:
        words = f"What {number.channel} should see of {number.sku} is not computed yet, {since(number.since_at, now)}."
        return missing(number.since_at, words)
    if number.version is not None and number.sent_at is not None:
        if (
            any(one.outcome == "done" for one in number.tries)
            or (number.acked_version or 0) >= number.version
        ):
            return _strayed(number, now)
        if number.is_refused and number.tries:
            at = number.tries[-1].ended_at
            return missing(at, f"{number.channel} refuses {number.sku}, {since(at, now)}.", is_stuck=True)
        words = (
            f"{number.sku} is not yet acknowledged by {number.channel}, {since(number.sent_at, now)}{paused}."
        )
        return missing(number.sent_at, words, is_stuck=bool(paused))
    is_owed = (
        number.is_due and number.intended_at is not None and (number.intended_seq or 0) >= number.since_seq
    )
    if not is_owed or number.intended_at is None or number.connection is None or number.publish_on == "never":
        return []
    words = f"{number.channel} is not yet told {number.intended} of {number.sku}, {since(number.intended_at, now)}{paused}."
    return (
        missing(number.intended_at, words, is_stuck=bool(paused))
        if number.waits_for is None
        else [_waiting(number, number.waits_for, now)]
    )


def _strayed(number: NumberSeen, now: datetime) -> list[Missing]:
    """A channel that shows another number than it confirmed: told once more by itself, then a person's."""
    if number.observed_at is None or not _is_looked_at(number) or number.observed == number.quantity:
        return []
    words = f"{number.channel} shows {number.observed} of {number.sku}, not {number.quantity}, {since(number.observed_at, now)}."
    is_stuck = number.exception_id is not None
    return [
        Missing(
            system=number.channel, since=number.observed_at, state="failed" if is_stuck else "waiting", overdue=is_stuck,
            exception_id=number.exception_id, words=words,
        )
    ]  # fmt: skip


def _waiting(number: NumberSeen, waits: WaitsFor, now: datetime) -> Missing:
    """It waits on purpose, and for as long as the books take: only what they refused is overdue."""
    return Missing(
        system=number.channel,
        since=waits.since,
        state="failed" if waits.refused else "waiting",
        overdue=waits.refused is not None,
        words=f"{number.channel} is not yet told {number.intended} of {number.sku}: it {waits.words(since(waits.since, now))}",
    )
