"""Policies beside each other: oversell against lost sales, with what chance alone may do to the figures."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean, stdev
from typing import Final

import msgspec

from evenstock.estate.box.policies import Policy
from evenstock.estate.box.referee import Finding
from evenstock.estate.box.results import ChannelResult, Disappointed, Result
from evenstock.estate.box.scenario import Scenario

# Student's t at 97.5 %, by degrees of freedom; beyond them the normal law is near enough.
T_QUANTILES: Final = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110,
    2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
NORMAL_QUANTILE: Final = 1.960


class Estimate(msgspec.Struct, frozen=True):
    """A mean over seeds and its interval at 95 %; without an interval when there was one seed only."""

    mean: float
    low: float | None = None
    high: float | None = None


class Cause(msgspec.Struct, frozen=True):
    """A part of a rate: of one channel, for one reason."""

    channel: str
    cause: str
    detail: str
    rate: float


class ChannelMeans(msgspec.Struct, frozen=True, kw_only=True):
    """One channel under one policy: means over seeds, in units a day."""

    channel: str
    wanted: float
    accepted: float
    calls: float
    calls_part: float  # of those that its limit allows
    lag_p95_s: float


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One policy over all seeds. Rates are units of 10,000: promised ones for oversold, wanted ones for lost."""

    policy: str
    words: str
    oversold: Estimate
    lost: Estimate
    oversold_by: tuple[Cause, ...]
    lost_by: tuple[Cause, ...]
    oversold_change: (
        Estimate  # against the first policy, seed by seed: the same customers, so chance counts for less
    )
    lost_change: Estimate
    shipped: Estimate  # of 10,000 wanted units
    channel_lag_p95_s: Estimate
    source_lag_p95_s: Estimate
    calls: Estimate
    resourced: Estimate
    channels: tuple[ChannelMeans, ...]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulation found."""

    estate: str
    words: str
    hours: float
    seeds: tuple[int, ...]
    policies: tuple[Compared, ...]
    facts: int
    findings: tuple[tuple[int, str, Finding], ...]  # seed, policy
    results: tuple[Result, ...]


def compare(scenario: Scenario, policies: Sequence[Policy], results: Sequence[Result]) -> Comparison:
    """The figures of many plays, in an order that does not depend on who finished first."""
    names = [policy.name for policy in policies]
    ordered = sorted(results, key=lambda found: (found.seed, names.index(found.policy)))
    of = {name: [found for found in ordered if found.policy == name] for name in names}
    return Comparison(
        estate=scenario.name,
        words=scenario.words,
        hours=scenario.hours,
        seeds=tuple(dict.fromkeys(found.seed for found in ordered)),
        policies=tuple(_compared(policy, of[policy.name], of[names[0]]) for policy in policies),
        facts=sum(found.facts for found in ordered),
        findings=tuple(
            (found.seed, found.policy, finding) for found in ordered for finding in found.findings
        ),
        results=tuple(ordered),
    )


def _compared(policy: Policy, results: Sequence[Result], first: Sequence[Result]) -> Compared:
    def over(figure: Callable[[Result], float]) -> Estimate:
        return estimate([figure(found) for found in results])

    def against(figure: Callable[[Result], float]) -> Estimate:
        pairs = zip(results, first, strict=True)
        return estimate([figure(found) - figure(other) for found, other in pairs], least=-math.inf)

    number = len(results[0].channels)
    return Compared(
        policy=policy.name,
        words=policy.words,
        oversold=over(lambda found: found.oversold_rate),
        lost=over(lambda found: found.lost_rate),
        oversold_by=_causes(results, lambda found: (found.oversold, found.accepted)),
        lost_by=_causes(results, lambda found: (found.lost, found.wanted)),
        oversold_change=against(lambda found: found.oversold_rate),
        lost_change=against(lambda found: found.lost_rate),
        shipped=over(lambda found: 10_000 * found.shipped / found.wanted if found.wanted else 0.0),
        channel_lag_p95_s=over(
            lambda found: max((each.lag.p95 or 0.0 for each in found.channels), default=0.0)
        ),
        source_lag_p95_s=over(lambda found: found.lag.p95 or 0.0),
        calls=over(lambda found: sum(each.calls for each in found.channels)),
        resourced=over(lambda found: found.resourced),
        channels=tuple(_channel([found.channels[nth] for found in results]) for nth in range(number)),
    )


def _channel(days: Sequence[ChannelResult]) -> ChannelMeans:
    return ChannelMeans(
        channel=days[0].channel,
        wanted=fmean(day.wanted for day in days),
        accepted=fmean(day.accepted for day in days),
        calls=fmean(day.calls for day in days),
        calls_part=fmean(day.calls / day.calls_allowed if day.calls_allowed else 0.0 for day in days),
        lag_p95_s=fmean(day.lag.p95 or 0.0 for day in days),
    )


def _causes(
    results: Sequence[Result], part: Callable[[Result], tuple[tuple[Disappointed, ...], int]]
) -> tuple[Cause, ...]:
    """The mean rate of each cause, the greatest first; they add up to the whole."""
    sums: dict[tuple[str, str, str], float] = {}
    for found in results:
        entries, of = part(found)
        for entry in entries:
            key = (entry.channel, entry.cause, entry.detail)
            sums[key] = sums.get(key, 0.0) + 10_000 * entry.units / of
    means = [Cause(*key, total / len(results)) for key, total in sums.items()]
    return tuple(sorted(means, key=lambda cause: (-cause.rate, cause.channel, cause.cause, cause.detail)))


def by_cause(causes: Sequence[Cause]) -> dict[str, float]:
    """Rates by cause alone, over all channels, the greatest first."""
    sums: dict[str, float] = {}
    for cause in causes:
        sums[cause.cause] = sums.get(cause.cause, 0.0) + cause.rate
    return dict(sorted(sums.items(), key=lambda entry: (-entry[1], entry[0])))


def estimate(values: Sequence[float], *, least: float = 0.0) -> Estimate:
    """Mean and interval at 95 % (Student), cut off at the least value that there can be."""
    mean = fmean(values)
    if len(values) < 2:
        return Estimate(mean)
    freedom = len(values) - 1
    quantile = T_QUANTILES[freedom - 1] if freedom <= len(T_QUANTILES) else NORMAL_QUANTILE
    half = quantile * stdev(values) / math.sqrt(len(values))
    return Estimate(mean, max(least, mean - half), mean + half)
