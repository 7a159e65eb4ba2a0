"""The figures of one play: numbers only, small enough to be handed from process to process and kept."""

from collections.abc import Sequence

import msgspec

from evenstock.estate.box.agenda import HOUR, MINUTE, SECOND
from evenstock.estate.box.box import PARTS, Box, Parts
from evenstock.estate.box.play import no_garbage, played
from evenstock.estate.box.policies import Policy
from evenstock.estate.box.referee import Finding
from evenstock.estate.box.scenario import Scenario


class Spread(msgspec.Struct, frozen=True):
    """How a duration is spread, in seconds; None when there was none."""

    p50: float | None
    p95: float | None
    p99: float | None


class Disappointed(msgspec.Struct, frozen=True):
    """Units that a channel promised and did not have, or had and did not show; and why."""

    channel: str
    cause: str
    detail: str
    units: int


class ChannelResult(msgspec.Struct, frozen=True):
    """One channel's day, in units."""

    channel: str
    wanted: int
    accepted: int
    calls: int
    calls_allowed: int  # by the channel's limit, over the day
    lag: Spread  # from the change of a number to the channel's answer


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a play."""

    seed: int
    policy: str
    trace: str  # hash of everything that happened
    findings: tuple[Finding, ...]
    facts: int
    duplicates: int  # deliveries that told nothing new
    wanted: int  # units that customers of channels wanted
    accepted: int  # of them: promised by a channel
    shipped: int
    oversold: tuple[Disappointed, ...]
    lost: tuple[Disappointed, ...]
    sold_out: int  # units that nobody could have sold
    resourced: int
    cancelled: int
    abandoned: int
    walk_in_lines: int
    walk_in_lost: int
    channels: tuple[ChannelResult, ...]
    lag: Spread  # from the fact to the hub
    dark_minutes: float  # of stores without a line
    drift_found: Spread  # from the drift to the count that found it
    drift_hidden: int  # that nobody found
    books_calls: int
    books_backlog: int  # postings that waited, at most

    @property
    def oversold_rate(self) -> float:
        """Of 10,000 units that a channel promised."""
        return _rate(self.oversold, self.accepted)

    @property
    def lost_rate(self) -> float:
        """Of 10,000 units that customers wanted."""
        return _rate(self.lost, self.wanted)


def _rate(disappointed: Sequence[Disappointed], of: int) -> float:
    return 10_000 * sum(entry.units for entry in disappointed) / of if of else 0.0


def result(scenario: Scenario, seed: int, policy: Policy, parts: Parts = PARTS) -> Result:
    """Play a day and put it into figures."""
    with no_garbage():
        box, findings = played(scenario, seed, policy, parts)
        figures = _figures(box, findings)
        box.forget()
    return figures


def _figures(box: Box, findings: tuple[Finding, ...]) -> Result:
    measures, witness = box.measures, box.witness
    return Result(
        seed=box.seed,
        policy=box.policy.name,
        trace=box.trace.end(),
        findings=findings,
        facts=witness.said_number,
        duplicates=witness.repeats,
        wanted=measures.wanted.total(),
        accepted=measures.accepted.total(),
        shipped=measures.shipped,
        oversold=tuple(Disappointed(*why, units) for why, units in sorted(measures.oversold.items())),
        lost=tuple(Disappointed(*why, units) for why, units in sorted(measures.lost.items())),
        sold_out=measures.sold_out,
        resourced=measures.resourced,
        cancelled=measures.cancelled,
        abandoned=measures.abandoned,
        walk_in_lines=measures.walk_in_lines,
        walk_in_lost=measures.walk_in_lost,
        channels=tuple(_channel(box, id_) for id_ in box.channels),
        lag=_spread(witness.lags),
        dark_minutes=round(measures.dark.total() / MINUTE, 1),
        drift_found=_spread(measures.detected),
        drift_hidden=measures.undetected,
        books_calls=box.bookkeeper.calls if box.bookkeeper is not None else 0,
        books_backlog=box.bookkeeper.backlog_max if box.bookkeeper is not None else 0,
    )


def _channel(box: Box, id_: str) -> ChannelResult:
    sender = box.senders[id_]
    return ChannelResult(
        channel=id_,
        wanted=box.measures.wanted[id_],
        accepted=box.measures.accepted[id_],
        calls=sender.calls,
        calls_allowed=int(sender.channel.calls_per_s * box.scenario.hours * HOUR / SECOND),
        lag=_spread(sender.lags),
    )


def _spread(lags: list[int]) -> Spread:
    if not lags:
        return Spread(None, None, None)
    ordered = sorted(lags)
    last = len(ordered) - 1
    p50, p95, p99 = (round(ordered[int(last * part)] / SECOND, 3) for part in (0.5, 0.95, 0.99))
    return Spread(p50, p95, p99)
