"""The store from the event loop: its work is done in a thread of its own, one thing after another."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

import msgspec

from evenstock.core.errors import Problem, Refusal
from evenstock.core.intake import prepare
from evenstock.core.masters import Masters
from evenstock.core.reading import Reading, Received, Refused
from evenstock.edge.offset import Offsets
from evenstock.edge.store import Kept, Store

P = ParamSpec("P")
T = TypeVar("T")


class Taken(msgspec.Struct, frozen=True):
    """The results of a request, in order. There is no ledger here, so no number of it."""

    results: list[Kept]
    ledger_seq: None = None


class Keeper:
    """Takes events, and keeps them before it says so."""

    def __init__(self, store: Store, offsets: Offsets, now: Callable[[], datetime]) -> None:
        self.store = store
        self.offsets = offsets
        self.now = now
        self.arrived = asyncio.Event()  # something waits that did not wait before
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    async def do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a method of the store in its thread. It is finished even when nobody waits for it any more."""
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._thread, lambda: work(*args, **kwargs)))

    async def take(self, reading: Reading, origin: str) -> Taken:
        """Keep what was read, each event by itself; durable when this returns.

        Raises Refusal `agent.full`, `agent.cannot_keep`; then none of it is kept.
        """
        now = self.now()
        results = [_refused(entry, reading.prefix(at), now) for at, entry in enumerate(reading.entries)]
        accepted = [
            entry
            for entry, refused in zip(reading.entries, results, strict=True)
            if refused is None and isinstance(entry, Received)
        ]
        if accepted:
            kept = iter(await self.do(self.store.take, accepted, origin, now, self.hub_time(now)))
            results = [
                _located(next(kept), reading.prefix(at)) if refused is None else refused
                for at, refused in enumerate(results)
            ]
            self.arrived.set()
        return Taken([result for result in results if result is not None])

    def hub_time(self, now: datetime) -> datetime:
        """What the hub's clock says, as far as we know."""
        offset = self.offsets.now
        return now if offset is None else now - timedelta(seconds=offset.seconds)

    def close(self) -> None:
        """Finish what was begun, and close the store."""
        self._thread.shutdown()
        self.store.close()


def _refused(entry: Received | Refused, prefix: str, now: datetime) -> Kept | None:
    """Why an event cannot be used; None when it can, as far as can be told without the hub's masters."""
    if isinstance(entry, Refused):
        return _rejected(entry.id, entry.problem, "")
    try:
        prepare(entry.event, entry.body, connection_id=0, received_at=now, masters=Masters())
    except Refusal as refusal:
        return _rejected(entry.event.id, refusal.problem, prefix)
    return None


def _rejected(id_: str | None, problem: Problem, prefix: str) -> Kept:
    return Kept(id_, "rejected", problem.code, problem.detail, prefix + problem.pointer)


def _located(kept: Kept, prefix: str) -> Kept:
    """A result whose pointer starts at what the caller sent."""
    if kept.pointer is None or not prefix:
        return kept
    return msgspec.structs.replace(kept, pointer=prefix + kept.pointer)


def all_hostile(results: Sequence[Kept], codes: frozenset[str]) -> bool:
    """Whether a request held nothing but what no honest sender writes."""
    return bool(results) and all(result.outcome == "rejected" and result.code in codes for result in results)
