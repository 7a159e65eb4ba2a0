"""What a sandbox does wrong when told to: the ways in which systems of a retail estate really misbehave."""

from random import Random
from typing import Annotated, Final

import msgspec

KINDS: Final[dict[str, str]] = {
    "429": "too many requests: nothing is done, `Retry-After` names a time",
    "429-bare": "too many requests: nothing is done, no time is named",
    "503": "busy: nothing is done, `Retry-After` names a time",
    "maintenance": "closed for work: a page for people with status 503, and `Retry-After`",
    "500": "an error, and nothing was done",
    "500-after": "an error is reported, and it was done",
    "html": "a page for people with status 200, and nothing was done",
    "html-after": "the same, and it was done",
    "cut": "the reply breaks off, and nothing was done",
    "cut-after": "the reply breaks off, and it was done",
    "slow": "it is done, and the reply comes late",
    "no-effect": "success is reported, and nothing was done",
    "hook-lost": "a webhook is not sent",
    "hook-twice": "a webhook is sent twice",
}
OF_HOOKS: Final = ("hook-lost", "hook-twice")
NEXT_MAX: Final = 1_000


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The faults of a sandbox, as they are set. `next` strike first, one a request; then chance decides, by `rates`.

    `on`: only requests whose operation holds this text; of the others none is struck.
    """

    rates: dict[str, Annotated[float, msgspec.Meta(ge=0, le=1)]] = {}
    next: Annotated[list[str], msgspec.Meta(max_length=NEXT_MAX)] = []
    on: str = ""
    slow_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 2.0
    retry_after_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 1
    seed: int | None = None  # begin the sequence of chances anew


class UnknownFault(Exception):  # noqa: N818 - it names what is wrong
    """A fault that this sandbox does not know; the message names those that it does."""


class Striker:
    """Decides which request meets which fault: the same seed, faults and requests give the same."""

    def __init__(self, seed: int, kinds: dict[str, str]) -> None:
        self.kinds = kinds
        self.faults = Faults()
        self._chance = Random(seed)  # noqa: S311 - no secret hangs on it
        self._next: list[str] = []

    def set(self, faults: Faults) -> None:
        """Use these from now on.

        Raises UnknownFault.
        """
        for name in (*faults.rates, *faults.next):
            if name not in self.kinds:
                raise UnknownFault(f"There is no fault {name!r}. There are: {', '.join(self.kinds)}.")
        for hooks in (True, False):
            if sum(rate for name, rate in faults.rates.items() if (name in OF_HOOKS) == hooks) > 1 + 1e-9:
                raise UnknownFault("The rates add up to more than 1: one request meets one fault at most.")
        self.faults = faults
        self._next = list(faults.next)
        if faults.seed is not None:
            self._chance.seed(faults.seed)

    def strikes(self, operation: str, *, hook: bool = False) -> str | None:
        """The fault that this request (or webhook) meets, if any."""
        if self.faults.on not in operation:
            return None
        if self._next and (self._next[0] in OF_HOOKS) == hook:
            return self._next.pop(0)
        drawn = self._chance.random()
        for name, rate in sorted(self.faults.rates.items()):
            if (name in OF_HOOKS) == hook:
                if drawn < rate:
                    return name
                drawn -= rate
        return None

    @property
    def waiting(self) -> list[str]:
        """Those of `next` that have not struck yet."""
        return list(self._next)
