"""A day of a script, driven against a house: what every sender says, what every customer asks, in time, and again until answered."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from evenstock.core.events import Event
from evenstock.core.reservations import Allocate, Command, Confirm, Release, Reserve
from evenstock.estate.box.agenda import SECOND
from evenstock.estate.hub import Hub, HubRefused
from evenstock.estate.stack.script import Added, Asked, Script, Sent
from evenstock.estate.stack.told import Timeline

TICK_S: Final = 0.02
HOLD_S: Final = 5  # of a cart, on the wall's clock: a fault must not outlast it by much
EVENTS_MAX: Final = 500  # of one request
OVERTAKEN: Final = frozenset({
    "reservation.insufficient", "reservation.changed", "reservation.expired", "reservation.ended", "reservation.no_line",
})  # fmt: skip
KEPT: Final = frozenset({"applied", "held", "parked", "duplicate", "kept"})

Key = tuple[str, str]  # source, id


class Day:
    """Everybody's day. `doors` are where senders report; a sender that has none reports to `hub`."""

    def __init__(
        self,
        script: Script,
        hub: Hub,
        doors: dict[str, Hub],
        timeline: Timeline,
        *,
        speed: float,
        now: Callable[[], datetime],
    ) -> None:
        self.script = script
        self.answers: Counter[str] = Counter()
        self.orders: Counter[str] = Counter()
        self.surprises: list[str] = []
        self.reservations: dict[int, str] = {}  # as the hub calls them, by the box's number
        self.requests = 0
        self._hub = hub
        self._doors = doors
        self._timeline = timeline
        self._speed = speed
        self._shift = script.instant(script.ends) - now()  # the whole day is over when it begins here
        self._senders: dict[str, asyncio.Queue[Sent]] = {}
        self._orders: dict[str, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._adding: dict[str, asyncio.Task[None]] = {}  # items that come late, by sku
        self._fault: BaseException | None = None

    @property
    def seconds(self) -> float:
        """How long it lasts, on the wall's clock."""
        return self.script.ends / SECOND / self._speed

    def event(self, event: Event) -> dict[str, Any]:
        """An event as it is sent: at its time of the day that is played, which lies just behind us."""
        found: dict[str, Any] = msgspec.to_builtins(event, enc_hook=str)
        assert event.time is not None  # noqa: S101 - the box's facts know when they happened
        found["time"] = (event.time - self._shift).isoformat()
        return {name: value for name, value in found.items() if value is not None}

    async def live(self) -> None:
        """From the morning to the last answer."""
        began = self._timeline.now_s()
        try:
            for step in self.script.steps:
                wait_s = began + step.at / SECOND / self._speed - self._timeline.now_s()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                self._check()
                await self._take(step)
            await self._finish()
        finally:
            for task in (*self._tasks, *self._orders.values()):
                task.cancel()
            await asyncio.gather(*self._tasks, *self._orders.values(), return_exceptions=True)

    async def again(self) -> list[str]:
        """Everybody sends the whole day once more: whatever is not known by now is told."""
        said: dict[Key, Event] = {}
        for step in self.script.steps:
            for event in step.events if isinstance(step, Sent) else ():
                said.setdefault((event.source, event.id), event)
        events, unknown = list(said.values()), []
        for start in range(0, len(events), EVENTS_MAX):
            batch = events[start : start + EVENTS_MAX]
            found = await self._hub.report([self.event(event) for event in batch])
            for event, answer in zip(batch, found.results, strict=True):
                if answer.outcome != "duplicate" and answer.code != "event.key_reused":
                    unknown.append(
                        f"{event.id} of {event.source} was not known: {answer.outcome} {answer.code or ''}"
                    )
        return unknown

    async def release(self) -> int:
        """Orders that still hold something are given up; how many did."""
        given_up = 0
        for id_ in sorted(set(self.reservations.values())):
            try:
                if (await self._hub.reservation(id_)).status in {"held", "confirmed", "allocated"}:
                    given_up += 1
                await self._hub.command(id_, "release", {"reason": "the day is over"})
            except HubRefused as refused:
                if refused.code not in OVERTAKEN:
                    raise
        return given_up

    # What happens

    async def _take(self, step: Sent | Added | Asked) -> None:
        match step:
            case Added():
                self._adding[step.sku] = self._begun(self._add(step.sku), f"item {step.sku}")
                self._tasks.append(self._adding[step.sku])
            case Sent():
                self._sender(step.sender).put_nowait(step)
            case Asked():
                before = self._orders.get(step.ref)
                self._orders[step.ref] = self._begun(self._ask(step, before), step.ref)

    async def _finish(self) -> None:
        """Until everybody has been answered."""
        waiting = [asyncio.create_task(queue.join()) for queue in self._senders.values()]
        while any(not task.done() for task in (*waiting, *self._orders.values())):
            await asyncio.sleep(TICK_S)
            self._check()
        self._check()

    def _begun(self, doing: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        task = asyncio.create_task(doing, name=name)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._fault = self._fault or fault

    def _check(self) -> None:
        """Somebody who failed fails the day."""
        if self._fault is not None:
            raise self._fault

    async def _add(self, sku: str) -> None:
        await self._hub.add_items([{"sku": sku}])
        self._timeline.note(f"head office adds {sku} to the item master", sku)

    def _sender(self, name: str) -> asyncio.Queue[Sent]:
        queue = self._senders.get(name)
        if queue is None:
            queue = self._senders[name] = asyncio.Queue()
            self._tasks.append(self._begun(self._talk(name, queue), f"sender {name}"))
        return queue

    async def _talk(self, name: str, queue: asyncio.Queue[Sent]) -> None:
        """One sender: one request after the other, each until it is answered."""
        door = self._doors.get(name, self._hub)
        while True:
            sent = await queue.get()
            try:
                found = (await door.report([self.event(event) for event in sent.events])).results
            except HubRefused as refused:
                self.surprises.append(str(refused))
                found = []
            self.requests += 1
            for event, answer in zip(sent.events, found, strict=bool(found)):
                self.answers[answer.outcome] += 1
                self._timeline.note(f"{name} told {_in_words(event)}: {answer.outcome}", *_about(event))
                if answer.outcome not in KEPT:
                    self.surprises.append(
                        f"{event.id}: {answer.outcome} {answer.code or ''} {answer.detail or ''}"
                    )
            queue.task_done()

    async def _ask(self, step: Asked, before: "asyncio.Task[None] | None") -> None:
        """One step of an order, after the steps before it."""
        if before is not None:
            await before
        try:
            self.orders[await self._do(step.ref, step.command)] += 1
        except HubRefused as refused:
            if refused.code not in OVERTAKEN:
                self.surprises.append(str(refused))
            self.orders[str(refused.code)] += 1
            words = f"{step.ref}: {type(step.command).__name__} is refused: {refused.code}"
            self._timeline.note(words, step.ref)

    async def _do(self, ref: str, command: Command) -> str:
        number = command.reservation_id
        if isinstance(command, Reserve):
            await self._known(command)
            held = await self._hub.reserve(self._wish(command))
            self.reservations[number] = held.id
            self._timeline.note(
                f"{ref} reserves {', '.join(each.sku for each in command.asked)}: {held.id}", ref
            )
            return "reserved"
        id_ = self.reservations.get(number)
        if id_ is None:
            return "nothing was promised"
        body: dict[str, Any]
        match command:
            case Confirm(paid=paid):
                verb, body = "confirm", {"paid": paid}
            case Allocate():
                verb, body = "allocate", {}
            case Release(lines=lines):
                verb, body = "release", {"reason": command.reason}
                body |= {} if lines is None else {"lines": [{"line": line} for line, _ in lines]}
            case _:  # its time ends it, here as there
                return "left to its time"
        await self._hub.command(id_, verb, body)
        self._timeline.note(f"{ref}: {verb} {id_}", ref)
        return {"confirm": "confirmed", "allocate": "allocated", "release": "released"}[verb]

    async def _known(self, command: Reserve) -> None:
        """Nobody is shown an item that the hub does not know yet: who wants one that comes late waits until it is there."""
        for each in command.asked:
            if each.sku in self._adding:
                await self._adding[each.sku]

    def _wish(self, command: Reserve) -> dict[str, Any]:
        """As POST /v1/reservations takes it."""
        hold_s = max(HOLD_S, int(command.terms.hold / timedelta(seconds=self._speed)))
        return {
            "channel": command.channel,
            "order_ref": command.order_ref,
            "expires_in_s": hold_s,
            "policy": "all_or_nothing" if command.all_or_nothing else "partial",
            "lines": [
                {"line": each.line, "item": {"sku": each.sku}, "quantity": each.units}
                | (
                    {}
                    if each.pickup is None
                    else {"fulfil": {"pickup_at": self.script.places[each.pickup - 1]}}
                )
                for each in command.asked
            ],
        }


def _about(event: Event) -> Sequence[str]:
    """Items and places of an event."""
    data: Any = event.data
    skus = [line.item.sku for line in getattr(data, "lines", ())]
    places = [getattr(data, name, None) for name in ("location", "from_", "to")]
    return [text for text in (*skus, *places, event.id) if text is not None]


def _in_words(event: Event) -> str:
    data: Any = event.data
    goods = ", ".join(f"{line.quantity} × {line.item.sku}" for line in getattr(data, "lines", ())[:8])
    return f"{type(event).__name__} {event.id}" + (f" ({goods})" if goods else "")
