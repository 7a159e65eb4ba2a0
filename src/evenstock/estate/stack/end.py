"""The end of a run: when all is healed and everybody is at home, everything must agree, to the unit."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from evenstock.core.ledger import INDEX
from evenstock.estate.box.referee import STILL_OPEN, Finding
from evenstock.estate.hub import Hub
from evenstock.estate.referee import ASKED_AT_ONCE, TOLD_WITHIN_S, Shown, believed, differences, mistold
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
FINDINGS_MAX: Final = 20  # of one kind
ON_HAND: Final = tuple(INDEX[bucket] for bucket in ("sellable", "quarantine", "damaged"))

Units = dict[tuple[str, str], int]  # sku, location


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
        within_s = TOLD_WITHIN_S if self.findings else SETTLES_WITHIN_S
        self.checked["numbers of channels"], untrue = await mistold(
            self._hub, shown, channels, should, within_s=within_s
        )
        for mistake in untrue:
            self._find("channel", str(mistake), mistake.sku)
        await self._books({spot: sum(vector[index] for index in ON_HAND) for spot, vector in there.items()})
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

    async def _books(self, on_hand: Mapping[Spot, int]) -> None:
        """The ERP has every posting once, and by them what the ledger has."""
        postings = await self._hub.postings("all")
        self.checked["postings"] = len(postings)
        state = await self._house.control(BOOKS, "state", None, "GET")
        kept = {reference: each["answer"] for reference, each in state["kept"].items()}
        for posting in postings:
            if posting.status == "nothing":
                continue
            answer = kept.pop(posting.reference, None)
            if answer is None:
                self._find(
                    "books", f"{posting.reference} is {posting.status} here, and the ERP does not have it."
                )
            elif answer.get("document") != posting.document:
                self._find(
                    "books",
                    f"{posting.reference} is {posting.document} here, {answer.get('document')} in the ERP.",
                )
        for reference in kept:
            self._find("books", f"The ERP has {reference}, and the hub does not.")
        posted = {
            (sku, place): int(Decimal(str(units)))
            for place, items in state["stock"].items()
            for sku, units in items.items()
        }
        for spot in sorted(on_hand.keys() | posted.keys()):
            if on_hand.get(spot, 0) != posted.get(spot, 0):
                words = f"{spot[0]} at {spot[1]}: the ERP has {posted.get(spot, 0)}, the ledger {on_hand.get(spot, 0)}."
                self._find("books", words, *spot)

    async def _verify(self) -> None:
        proof = await asyncio.to_thread(self._house.evenstock, "verify", "--data", str(self._house.data))
        self.checked["invariants"] = proof["checked"]
        for violation in proof["violations"]:
            self._find("invariant", str(violation))
