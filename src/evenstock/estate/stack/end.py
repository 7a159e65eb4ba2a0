"""The end of a run: when all is healed and everybody is at home, everything must agree, to the unit."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from evenstock.core.ledger import Vector
from evenstock.estate.box.referee import STILL_OPEN, Finding
from evenstock.estate.hub import Hub
from evenstock.estate.referee import (
    ASKED_AT_ONCE,
    Shown,
    believed,
    differences,
    misposted,
    mistold,
)
from evenstock.estate.stack.day import Day
from evenstock.estate.stack.house import BOOKS, House
from evenstock.estate.stack.told import Timeline
from evenstock.estate.truth import Spot

SETTLES_WITHIN_S: Final = (
    150.0  # after the last fault: a lease of a dead process, and the longest wait between two tries
)
LOOKS_EVERY_S: Final = 0.2
MAY_STAY: Final = STILL_OPEN | {
    "transfer.short",
    "void.before_count",
    "source.clock_off",
}  # they tell of what is, or was till the last ticket
HURRIED_S: Final = 2.0  # where something is wrong already, nobody waits for what follows from it
FINDINGS_MAX: Final = 20  # of one kind


class Judge:
    """Of one run."""

    def __init__(self, house: House, hub: Hub, day: Day, timeline: Timeline) -> None:
        self.findings: list[Finding] = []
        self.first_about: tuple[str, ...] = ()  # names that the first finding is about
        self.checked: Counter[str] = Counter()  # how many things of a kind were looked at
        self._house = house
        self._hub = hub
        self._day = day
        self._timeline = timeline

    async def comes_to_rest(self, what: str, left: Callable[[], Awaitable[int]]) -> None:
        """Wait until nothing is left; within a bound, for a system that never recovers has not recovered."""
        give_up = self._timeline.now_s() + SETTLES_WITHIN_S
        while number := await left():
            if self._timeline.now_s() > give_up:
                self._find(
                    "liveness",
                    f"{number:,} {what}, {SETTLES_WITHIN_S:.0f} s after the last fault was healed.",
                )
                return
            await asyncio.sleep(LOOKS_EVERY_S)

    async def judge(self, shown: Shown, channels: Sequence[dict[str, Any]]) -> None:
        """Look at everything."""
        should, skus = self._day.script.should, set(self._day.script.skus)
        for words in self._day.surprises:
            self._find("answer", words)
        for words in await self._day.again():
            self._find("lost", words)
        self.checked["facts sent again"] = self._day.script.facts
        there = await believed(self._hub, skus)
        self.checked["positions"] = len(should)
        for wrong in differences(should, there):
            self._find("position", str(wrong), wrong.sku, wrong.location)
        await self._claims(skus)
        within_s = HURRIED_S if self.findings else SETTLES_WITHIN_S
        self.checked["numbers of channels"], untrue = await mistold(
            self._hub, shown, channels, should, within_s=within_s
        )
        for mistake in untrue:
            self._find("channel", str(mistake), mistake.sku)
        await self._books(there)
        for trouble in await self._hub.exceptions(closed_too=False):
            if trouble.code not in MAY_STAY:
                self._find("open", f"{trouble.code} is still open: {trouble.words}")
        await self._verify()

    def _find(self, check: str, words: str, *about: str) -> None:
        if not self.findings:
            self.first_about = about
        if sum(finding.check == check for finding in self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(check, words, round(self._timeline.now_s() * 1_000_000)))

    async def _claims(self, skus: set[str]) -> None:
        """Nothing is promised any more."""
        turn = asyncio.Semaphore(ASKED_AT_ONCE)

        async def ask(sku: str) -> None:
            async with turn:
                found = await self._hub.availability(sku)
            if found.reserved or found.allocated:
                self._find(
                    "claim",
                    f"{sku}: {found.reserved} units are still reserved, {found.allocated} allocated.",
                    sku,
                )

        await asyncio.gather(*(ask(sku) for sku in sorted(skus)))

    async def _books(self, there: Mapping[Spot, Vector]) -> None:
        """The ERP has every posting once, and by them what the ledger has."""

        async def state() -> Any:
            return await self._house.control(BOOKS, "state", None, "GET")

        self.checked["postings"], wrong = await misposted(self._hub, state, there)
        for words, about in wrong:
            self._find("books", words, *about)

    async def _verify(self) -> None:
        proof = await asyncio.to_thread(self._house.evenstock, "verify", "--data", str(self._house.data))
        self.checked["invariants"] = proof["checked"]
        for violation in proof["violations"]:
            self._find("invariant", str(violation))
