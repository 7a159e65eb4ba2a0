"""The web shop's customers at the hub's door: each wants a promise, and does with it what he means to.

reserve → pay (confirm) → put aside (allocate) → hand over, which the house reports as a fact
        → or leave, and the hold runs out
        → or think better of it (release)
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from evenstock.estate.cast import COLLECT
from evenstock.estate.facts import lines
from evenstock.estate.hub import Hub, HubRefused, Reservation
from evenstock.estate.orders import HOLD, Order
from evenstock.estate.pace import Pace

TOO_LATE: Final = frozenset({"reservation.expired", "reservation.ended", "reservation.insufficient"})
SWEPT_S: Final = 0.1  # after its time, a hold is looked at

Tell = Callable[[Order, str], None]


class Floor(Protocol):
    """Where the goods are."""

    def hand_over(self, order: Order, reservation: str) -> bool: ...


class Shoppers:
    """All customers under way. `wait_s` says how long it is to a world time; once the shop closes nobody waits."""

    def __init__(
        self, hub: Hub, floor: Floor, pace: Pace, wait_s: Callable[[int], float], tell: Tell
    ) -> None:
        self.counts: Counter[str] = Counter()  # orders, by what became of them
        self.open = 0
        self._hub = hub
        self._floor = floor
        self._pace = pace
        self._wait_s = wait_s
        self._is_closing = False
        self._tell = tell
        self._tasks: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None

    def enter(self, order: Order) -> None:
        """Somebody comes."""
        task = asyncio.create_task(self._serve(order), name=order.ref)
        self._tasks.add(task)
        self.open += 1
        task.add_done_callback(self._gone)

    def check(self) -> None:
        """Raise what went wrong with anybody."""
        if self._fault is not None:
            raise self._fault

    async def close(self) -> None:
        """The shop closes: every order comes to its end at once."""
        self._is_closing = True
        self._pace.wake()
        while self._tasks:
            await asyncio.wait(self._tasks)
        self.check()

    def _gone(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self.open -= 1
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._fault = self._fault or fault

    async def _serve(self, order: Order) -> None:
        end = await self._played(order)
        self.counts[end] += 1

    async def _played(self, order: Order) -> str:
        try:
            held = await self._hub.reserve(self._wish(order))
        except HubRefused as refused:
            if refused.code != "reservation.insufficient":
                raise
            self._tell(
                order, f"{order.ref} wanted {order.goods} from {order.location}: not enough left to promise"
            )
            return "turned_away"
        self._tell(order, f"web customer reserved {order.goods} at {order.location}, {order.ref}")
        if order.end == "left":
            return await self._left(order, held)
        try:
            return await self._pays(order, held)
        except HubRefused as refused:
            if refused.code not in TOO_LATE:
                raise
            self._tell(
                order, f"{order.ref} was too late for {order.goods}: promised to somebody else meanwhile"
            )
            return "too_late"

    def _wish(self, order: Order) -> dict[str, Any]:
        """As POST /v1/reservations takes it."""
        where = {"fulfil": {"pickup_at": order.location}} if order.channel == COLLECT else {}
        return {
            "channel": order.channel,
            "order_ref": order.ref,
            "expires_in_s": max(1, HOLD // self._pace.second),
            "lines": lines(order.basket, **where),
        }

    async def _pays(self, order: Order, held: Reservation) -> str:
        await self._sleep_until(order.pays_at)
        await self._hub.command(held.id, "confirm", {"paid": True})
        await self._sleep_until(order.aside_at)
        if order.end == "cancelled":
            await self._hub.command(held.id, "release", {"reason": "the customer thought better of it"})
            self._tell(
                order, f"{order.ref} was cancelled: {order.goods} at {order.location} may be sold again"
            )
            return "cancelled"
        await self._hub.command(held.id, "allocate", {"location": order.location})
        self._tell(order, f"{order.ref} is paid: {order.location} is to put {order.goods} aside")
        await self._sleep_until(order.ends_at)
        if self._floor.hand_over(order, held.id):
            return "handed_over"
        await self._hub.command(held.id, "release", {"reason": "it was not on the shelf"})
        self._tell(
            order,
            f"{order.location} looked for {order.goods} for {order.ref} in vain: somebody took it off the shelf",
        )
        return "not_there"

    async def _left(self, order: Order, held: Reservation) -> str:
        assert held.expires_at is not None  # noqa: S101 - a hold has an end
        await self._sleep_until(order.at + HOLD)
        while (await self._hub.reservation(held.id)).status == "held":
            if self._is_closing:
                return await self._cleared(held)
            await self._pace.wait(SWEPT_S)
        self._tell(
            order,
            f"{order.ref} was never paid, its hold ran out: {order.goods} at {order.location} may be sold again",
        )
        return "ran_out"

    async def _cleared(self, held: Reservation) -> str:
        """The cart is emptied, unless its time ended in this very moment."""
        with suppress_codes("reservation.ended", "reservation.expired"):
            await self._hub.command(held.id, "release", {"reason": "the shop closes"})
        return "cleared"

    async def _sleep_until(self, at: int) -> None:
        """By the speed there is then; nobody waits any more once the shop closes."""
        while not self._is_closing and await self._pace.wait(self._wait_s(at)):
            pass


@contextmanager
def suppress_codes(*codes: str) -> Iterator[None]:
    """Refusals with these codes are as good as an answer."""
    try:
        yield
    except HubRefused as refused:
        if refused.code not in codes:
            raise
