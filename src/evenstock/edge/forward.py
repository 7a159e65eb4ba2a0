"""What was taken goes to the hub: the oldest first, one request at a time, until each event has an outcome.

Nothing overtakes within a stream, for nothing overtakes at all, but for sources that the key may not speak for: theirs wait
while the others go. A request whose answer was cut off is sent again; the hub knows the keys.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import structlog

from evenstock.connectors.contract import NotSent, Reply, ReplyCut
from evenstock.core.errors import Refusal
from evenstock.edge import verdict as verdicts
from evenstock.edge.keeper import Keeper
from evenstock.edge.line import Line, NoKey
from evenstock.edge.store import Outcome, Waiting
from evenstock.edge.verdict import Blocked, Delivered, Later, Refused, Smaller, Verdict

CONTACT_EVERY_S: Final = 60.0  # the hub is greeted when there is nothing to send
TELL_EVERY_S: Final = 5.0  # the store is told of the contact, at most
SOURCE_REFUSED: Final = "auth.source"

log = structlog.get_logger()


class Forwarder:
    """Forwards what waits, for as long as it runs."""

    def __init__(self, keeper: Keeper, line: Line, chance: Callable[[], float]) -> None:
        self._keeper = keeper
        self._line = line
        self._chance = chance
        self._size = verdicts.BATCH_MAX
        self._failures = 0
        self._faults_of_one = 0
        self._barred: dict[
            str, float
        ] = {}  # sources that our key may not speak for, and until when they wait
        self._trouble: str | None = ""  # that was written down last; not known yet
        self._kind = ""  # of what was logged last
        self._answered_s: float | None = None
        self._told_s: float | None = None
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Until told to stop; a request that is under way is finished."""
        while not self._stop.is_set():
            try:
                pause = await self.step()
            except Refusal as refusal:  # our own disk
                pause = await self._fail(refusal.problem.detail)
            except Exception as error:
                log.error("forwarding.failed", exc_info=error)  # noqa: TRY400 - it is told as a member
                pause = await self._fail(f"A fault of ours: {error!r:.200}. Report it with the log.")
            if pause is None:
                await self._until_something()
            elif pause:
                await _within(pause, self._stop)

    def stop(self) -> None:
        self._stop.set()
        self._keeper.arrived.set()

    async def step(self) -> float | None:
        """One request, if anything waits; the seconds to wait before the next, None when there is nothing to do."""
        keeper = self._keeper
        keeper.arrived.clear()
        now_s = asyncio.get_running_loop().time()
        self._barred = {source: until for source, until in self._barred.items() if until > now_s}
        batch = await keeper.do(
            keeper.store.next_batch, self._size, verdicts.BATCH_BYTES_MAX, sorted(self._barred)
        )
        if not batch and self._answered_s is not None and now_s - self._answered_s < CONTACT_EVERY_S:
            return None
        sent = keeper.now()
        try:
            if batch:
                reply = await self._line.report([event.body for event in batch], keeper.offsets.now)
                found = verdicts.verdict(reply, [event.id for event in batch], keeper.now())
            else:
                reply = await self._line.greet()
                found = verdicts.greeting(reply, keeper.now())
        except NoKey as error:
            return await self._block(str(error))
        except ReplyCut as error:
            self._size = max(1, self._size // 2)
            return await self._fail(str(error))
        except NotSent as error:
            return await self._fail(str(error))
        if not isinstance(found, Blocked | Later):
            await self._heard(sent, reply)
        return await self._follow(found, batch)

    async def _heard(self, sent: datetime, reply: Reply) -> None:
        """A hub answered: what its clock says, and when."""
        keeper = self._keeper
        received = keeper.now()
        date = verdicts.date_of(reply.headers.get("date", ""))
        if date is not None:
            keeper.offsets.hear(sent, date, received)
        self._answered_s = asyncio.get_running_loop().time()
        if self._told_s is None or self._answered_s - self._told_s >= TELL_EVERY_S:
            self._told_s = self._answered_s
            await keeper.do(keeper.store.tell, received, keeper.offsets.now)

    async def _follow(self, found: Verdict, batch: Sequence[Waiting]) -> float | None:
        self._size = verdicts.next_size(self._size, found)
        pause: float | None = 0.0
        match found:
            case Delivered() if not batch:
                await self._well()
                pause = None
            case Delivered():
                await self._delivered(found, batch)
            case Smaller():
                log.info("batch.split", events=len(batch), words=found.words)
            case Refused():
                await self._set_aside(batch[0], found)
            case Later():
                self._faults_of_one += found.fault and len(batch) == 1
                if self._faults_of_one < verdicts.FAULTS_OF_ONE_MAX:
                    pause = await self._fail(found.words, found.after_s)
                else:
                    await self._set_aside(batch[0], Refused("hub.bug", found.words, ""))
            case Blocked():
                pause = await self._block(found.words)
        return pause

    async def _delivered(self, found: Delivered, batch: Sequence[Waiting]) -> None:
        barred = {
            event.source
            for event, result in zip(batch, found.results, strict=True)
            if result.code == SOURCE_REFUSED
        }
        outcomes = [
            Outcome(
                event.n,
                result.outcome,
                result.code,
                result.detail,
                (result.pointer or "").removeprefix(f"/{at}") or None,
                found.ledger_seq,
            )
            for at, (event, result) in enumerate(zip(batch, found.results, strict=True))
            if event.source not in barred
        ]
        if outcomes:
            await self._keeper.do(self._keeper.store.settle, outcomes, self._keeper.now())
        rejected = [outcome for outcome in outcomes if outcome.outcome == "rejected"]
        log.info("batch.forwarded", events=len(outcomes), rejected=len(rejected), ledger_seq=found.ledger_seq)
        if barred:
            until = asyncio.get_running_loop().time() + verdicts.BLOCKED_AGAIN_S
            self._barred |= dict.fromkeys(barred, until)
        await self._well()

    async def _set_aside(self, event: Waiting, why: Refused) -> None:
        """One event that the hub does not take: kept and shown, and the next goes."""
        outcome = Outcome(event.n, "rejected", why.code, why.detail, why.pointer.removeprefix("/0"))
        await self._keeper.do(self._keeper.store.settle, [outcome], self._keeper.now())
        log.warning("event.rejected", source=event.source, id=event.id, code=why.code, detail=why.detail)
        await self._well()

    async def _well(self) -> None:
        self._failures = self._faults_of_one = 0
        if not self._barred:
            await self._complain(None, blocked=False)
            return
        names = ", ".join(sorted(self._barred))
        words = f"The key may not speak for {names}; what they report waits. Give the agent a key that may: evenstock keys create."
        await self._complain(words, blocked=True)

    async def _fail(self, words: str, after_s: float = 0.0) -> float:
        """For a reason that passes: try again later, and later each time."""
        self._failures += 1
        await self._complain(words, blocked=False)
        return verdicts.wait_s(self._failures, self._chance(), after_s)

    async def _block(self, words: str) -> float:
        """A person must mend it: say so, and see now and then whether it is mended."""
        await self._complain(words, blocked=True)
        return verdicts.BLOCKED_AGAIN_S * (0.5 + self._chance() / 2)

    async def _complain(self, words: str | None, *, blocked: bool) -> None:
        """Say it once, in the log and in the store, for `status`."""
        if words == self._trouble:
            return
        kind = "hub.answers" if words is None else "hub.blocked" if blocked else "hub.away"
        if kind != self._kind:
            log.log(logging.INFO if words is None else logging.WARNING, kind, words=words)
            self._kind = kind
        try:
            await self._keeper.do(self._keeper.store.complain, words, self._keeper.now(), blocked=blocked)
        except Refusal as refusal:
            log.warning("store.cannot_say", words=refusal.problem.detail)
            return
        self._trouble = words

    async def _until_something(self) -> None:
        """Until a ticket comes, it is time to greet the hub, or a barred source may try again."""
        now_s = asyncio.get_running_loop().time()
        until = min([(self._answered_s or now_s) + CONTACT_EVERY_S, *self._barred.values()])
        await _within(until - now_s, self._keeper.arrived)


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Until it is set, or so long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
