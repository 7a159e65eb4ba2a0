"""Service levels: what is promised of delays, deliveries and promises, and whether measured figures keep it (reliability §6).

Every figure comes from timestamps that are stored anyway; who measured them is no business of these rules.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

Verdict = Literal["kept", "missed", "nothing to judge"]


class Spread(msgspec.Struct, frozen=True):
    """How durations are spread, in seconds; all None when there were none."""

    number: int
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Share(msgspec.Struct, frozen=True):
    """How many of how many."""

    part: int
    of: int

    @property
    def rate(self) -> float | None:
        """Between 0 and 1; None when there was nothing."""
        return self.part / self.of if self.of else None


class Target(msgspec.Struct, frozen=True):
    """One bound: of a quantile in seconds, of a share as a rate at least, or of a count at most."""

    figure: Literal["p95", "p99", "rate", "count"]
    bound: float


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """A service level: its name, what was measured, and what is promised of it."""

    name: str
    words: str
    found: Spread | Share | int
    targets: tuple[Target, ...]
    verdict: Verdict


class Business(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of the business, of which nothing is promised (R203 to R206)."""

    name: str
    words: str
    found: Spread | Share | int


# reliability §6, by its numbers
APPLY_LAG: Final = (Target("p95", 1.0), Target("p99", 5.0))  # 4
PUBLISH_LAG: Final = (Target("p95", 5.0), Target("p99", 30.0))  # 5
TO_ZERO_LAG: Final = (Target("p99", 5.0),)  # 5
FALSE_GRANTS: Final = (Target("count", 0),)  # 8
HONOURED: Final = (Target("rate", 0.99),)  # 8
RECOVERED: Final = (Target("rate", 0.999),)  # 10
TOLD_OF: Final = (Target("rate", 1.0),)  # 10
STALE_EXCEPTIONS: Final = (Target("count", 0),)  # 10
INTEGRITY: Final = (Target("count", 0),)  # 13

RECOVERED_WITHIN_S: Final = 15 * 60.0
TOLD_WITHIN_S: Final = 60.0
EXCEPTION_OLD_S: Final = 24 * 3600.0


def level(name: str, words: str, found: Spread | Share | int, targets: Sequence[Target]) -> Level:
    """Judge a figure by its targets."""
    return Level(
        name=name, words=words, found=found, targets=tuple(targets), verdict=_verdict(found, targets)
    )


def _verdict(found: Spread | Share | int, targets: Sequence[Target]) -> Verdict:
    kept = [_keeps(found, target) for target in targets]
    if None in kept:
        return "nothing to judge"
    return "kept" if all(kept) else "missed"


def _keeps(found: Spread | Share | int, target: Target) -> bool | None:
    """Whether a figure keeps a bound; None when there was nothing to measure."""
    match found, target.figure:
        case Share(), "rate":
            return None if found.rate is None else found.rate >= target.bound
        case int(), "count":
            return found <= target.bound
        case Spread(), "p95" | "p99":
            seconds = found.p95 if target.figure == "p95" else found.p99
            return None if seconds is None else seconds <= target.bound
        case _:
            raise ValueError(f"{target.figure} is no figure of a {type(found).__name__}")
