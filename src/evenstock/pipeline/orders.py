"""Orders that channels tell us of become promises: each event once, those of one order in the order in which they came (D6, R28).

A round takes what is due, at most one event of each order, makes and confirms what was placed, and gives back what was cancelled.
Whatever dies in between is done again: a promise is made under the event's own key, and giving back what is given back changes
nothing. A cancellation that comes first is parked under its order until that comes; after a day a person is told (S47).
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from evenstock.core.errors import Problem
from evenstock.core.events import OrderCancelled, OrderPlaced
from evenstock.core.names import internal_id
from evenstock.core.reading import read_stored
from evenstock.core.reservations import Answer, Confirm, Release
from evenstock.pipeline.promise import No, Promising, WantedLine, WantReserve, promise
from evenstock.postgres import exceptions, orders
from evenstock.postgres.database import Connection
from evenstock.postgres.exceptions import Cause
from evenstock.postgres.orders import Became, OrderEvent, OrderKey

EVERY_S: Final = 0.25  # between two looks that found nothing
AT_ONCE: Final = 100  # events of one round
AGAIN_AFTER: Final = timedelta(seconds=10)  # of what waits for something to be mended
ORDER_WITHIN: Final = timedelta(hours=24)  # of a cancellation that came first
NEVER: Final = datetime.max.replace(tzinfo=UTC)
CALLER: Final = "order-events"  # who asks, in the memory of requests; no key of the API is called so


class Orders:
    """Turns what events say of orders into promises; one at a time among all processes."""

    def __init__(self, memory: Promising, now: Callable[[], datetime]) -> None:
        self._memory = memory
        self._now = now

    async def round(self, db: Connection) -> bool:
        """Look once; whether there was anything to do."""
        if not await orders.take_turn(db):
            return False
        try:
            found = _first_of_each(await orders.due(db, self._now(), AT_ONCE))
            placed = [event for event in found if event.kind == "placed"]
            cancelled = [event for event in found if event.kind == "cancelled"]
            if placed:
                await self._place(db, placed)
            if cancelled:
                await self._cancel(db, cancelled)
        finally:
            await orders.end_turn(db)
        return bool(found)

    async def _place(self, db: Connection, placed: Sequence[OrderEvent]) -> None:
        read = {each.fact_id: _placed(each) for each in placed}
        answers = await promise(
            db, self._memory, [_wanted(each, read[each.fact_id]) for each in placed], self._now
        )
        made = [
            (each, number)
            for each, answer in zip(placed, answers, strict=True)
            if isinstance(answer, Answer) and (number := internal_id(answer.reservation.id)) is not None
        ]
        if made:
            confirms = [Confirm(number, read[each.fact_id].data.paid) for each, number in made]
            await promise(db, self._memory, confirms, self._now)  # one that has ended meanwhile stays ended
        waits = [
            (each, answer.problem)
            for each, answer in zip(placed, answers, strict=True)
            if isinstance(answer, No)
        ]
        now = self._now()
        async with db.transaction():
            became = [Became(each.fact_id, "done", now, None, number) for each, number in made]
            became += [
                Became(each.fact_id, "waits", now + AGAIN_AFTER, problem.code) for each, problem in waits
            ]
            await orders.settle(db, became, now)
            await orders.wake(db, (each.order for each, _ in made), now)
            await exceptions.open_causes(db, [_waits(each, problem) for each, problem in waits], now)
            await exceptions.close_causes(
                db, [("order.waits", _subject(each.order)) for each, _ in made], now
            )

    async def _cancel(self, db: Connection, cancelled: Sequence[OrderEvent]) -> None:
        found = await orders.reservations_of(db, (each.order for each in cancelled))
        releases = [
            _release(each, number) for each in cancelled if (number := found.get(each.order)) is not None
        ]
        if releases:
            await promise(db, self._memory, releases, self._now)  # what has left is not given back
        now = self._now()
        async with db.transaction():
            unpromised = [each for each in cancelled if each.order not in found]
            whole = [each for each in unpromised if _cancelled(each).data.only is None]
            withdrawn = await orders.withdraw(db, whole, now) if whole else set()
            early = [each for each in unpromised if each.order not in withdrawn]
            late = [each for each in early if now >= each.received_at + ORDER_WITHIN]
            ended = [each for each in cancelled if each not in early]
            became = [Became(each.fact_id, "done", now, None, found.get(each.order)) for each in ended]
            became += [Became(each.fact_id, "parked", _next_look(each, now)) for each in early]
            await orders.settle(db, became, now)
            await exceptions.open_causes(db, map(_early, late), now)
            await exceptions.close_causes(db, _closed(ended, withdrawn), now)


def _first_of_each(events: Iterable[OrderEvent]) -> list[OrderEvent]:
    """At most one event of each order, the first: the next one sees what became of it."""
    first: dict[OrderKey, OrderEvent] = {}
    for event in events:
        first.setdefault(event.order, event)
    return list(first.values())


def _placed(event: OrderEvent) -> OrderPlaced:
    read = read_stored(event.body)
    assert isinstance(read, OrderPlaced)  # noqa: S101 - its kind said so
    return read


def _cancelled(event: OrderEvent) -> OrderCancelled:
    read = read_stored(event.body)
    assert isinstance(read, OrderCancelled)  # noqa: S101 - its kind said so
    return read


def _release(event: OrderEvent, reservation_id: int) -> Release:
    """All of it, or some lines, once under the event's own key."""
    data = _cancelled(event).data
    lines = None if data.only is None else tuple((line.line, line.quantity) for line in data.only)
    return Release(reservation_id, f"{CALLER}:{event.fact_id}", b"", data.reason, lines)


def _wanted(event: OrderEvent, placed: OrderPlaced) -> WantReserve:
    return WantReserve(
        connection_id=event.connection_id,
        channel=event.channel,
        order_ref=event.order_ref,
        lines=tuple(
            WantedLine(line.line, line.item, line.quantity, line.uom, line.pickup_at)
            for line in placed.data.lines
        ),
        all_or_nothing=False,
        is_promised=True,
        request=(CALLER, str(event.fact_id)),
        trace_id=event.trace_id,
    )


def _next_look(event: OrderEvent, now: datetime) -> datetime:
    """At a cancellation without its order: when its time is over, and then only when the order comes."""
    until = event.received_at + ORDER_WITHIN
    return until if now < until else NEVER


def _subject(order: OrderKey) -> str:
    channel, order_ref = order
    return f"order:{channel}:{order_ref}"


def _waits(event: OrderEvent, problem: Problem) -> Cause:
    detail = f"{event.source} sent the order {event.order_ref} of {event.channel}, which cannot be promised yet. {problem.detail}"
    return Cause("order.waits", _subject(event.order), detail, event.connection_id)


def _early(event: OrderEvent) -> Cause:
    detail = f"{event.source} cancelled the order {event.order_ref} of {event.channel}, and that order did not come."
    return Cause("order.cancel_waits", _subject(event.order), detail, event.connection_id)


def _closed(ended: Sequence[OrderEvent], withdrawn: Iterable[OrderKey]) -> list[tuple[str, str]]:
    closes = [("order.cancel_waits", _subject(each.order)) for each in ended]
    return closes + [("order.waits", _subject(order)) for order in withdrawn]
