"""Online customers, who buy what is shown, and the course of their orders: promise, pay, pick, or disappointment."""

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from evenstock.core.booking import Position, PositionKey
from evenstock.core.reservations import Allocate, Answer, Asked, Confirm, Refused, Release, Reserve
from evenstock.estate.box.agenda import HOUR, MINUTE, SECOND
from evenstock.estate.box.attribution import Why, why_lost, why_refused, why_short
from evenstock.estate.box.demand import Visit
from evenstock.estate.box.scenario import Channel

if TYPE_CHECKING:
    from evenstock.estate.box.box import Box

PAYS_WITHIN: Final = 6 * MINUTE
PICKED_AFTER: Final = (10 * MINUTE, 60 * MINUTE)
PICKED_AGAIN_AFTER: Final = 2 * MINUTE  # once another place is found
ASKS_AGAIN: Final = 5 * MINUTE

End = Literal["shipped", "cancelled", "abandoned", "oversold", "refused"]


class Wish(msgspec.Struct):
    """One unit of an order, a line of its own: what was wanted, and what the hub would have promised just then.

    A line of one unit stands at one place only, so that a short pick can give back exactly what it lacks.
    """

    line: str
    sku: str
    item_id: int
    nth: int  # of the same item in the order
    ats: int
    ended: End | None = None

    @property
    def was_there(self) -> bool:
        """Whether the hub could have promised it when the customer bought it."""
        return self.ats >= self.nth


class Order:
    """An order that a channel took."""

    def __init__(
        self, ref: str, channel: str, accepted_at: int, wishes: list[Wish], luck: tuple[float, ...]
    ) -> None:
        self.ref = ref
        self.channel = channel
        self.accepted_at = accepted_at
        self.wishes = wishes
        self.luck = luck
        self.pickup: int | None = None  # the store where the customer fetches it
        self.reservations: list[int] = []
        self.is_cancelled = False


class Short(NamedTuple):
    """A pick that found the shelf empty."""

    order: Order
    reservation_id: int
    wish: Wish
    location_id: int
    why: Why


class Customers:
    """Those of one channel."""

    def __init__(self, box: "Box", channel: Channel) -> None:
        self.box = box
        self.channel = channel
        self._demand = box.market.online(channel)
        self._number = 0
        self._asks_first = channel.kind == "web" and box.policy.reserves
        self._shelves = Shelves(box)
        self._expect(0)

    def _expect(self, after: int) -> None:
        visit = self._demand.after(after, self.box.closes_at)
        if visit is not None:
            self.box.agenda.plan(visit.at, self._browse, visit)

    def _browse(self, visit: Visit) -> None:
        self._expect(visit.at)
        box, view = self.box, self.box.view_of(self.channel.id)
        pickup = self._pickup(visit)
        wishes = []
        box.measures.wanted[self.channel.id] += sum(units for _, units in visit.basket)
        for number, (sku, units) in enumerate(visit.basket, 1):
            item_id = box.items[sku]
            if self._shown(item_id, pickup) >= units:
                ats = view.ats(item_id) if pickup is None else self._shelves.offer(item_id, pickup)
                wishes += [Wish(f"{number}.{nth}", sku, item_id, nth, ats) for nth in range(1, units + 1)]
            else:
                self._lose(sku, units, pickup)
        if not wishes:
            return
        self._number += 1
        order = Order(f"{self.channel.id}-{self._number}", self.channel.id, visit.at, wishes, visit.luck)
        order.pickup = pickup
        if self._asks_first and box.process.is_up:
            self._check_out(order)
        else:
            self._take(order)

    def _pickup(self, visit: Visit) -> int | None:
        """The store where the customer wants to fetch it."""
        if visit.luck[5] >= self.channel.pickups:
            return None
        names = self.box.store_names
        return self.box.place_ids[names[int(visit.luck[6] * len(names))]]

    def _shown(self, item_id: int, pickup: int | None) -> int:
        """What the customer sees."""
        door = self.box.doors[self.channel.id]
        return door.shown(item_id) if pickup is None else self._shelves.shown(item_id, pickup)

    def _lose(self, sku: str, units: int, pickup: int | None) -> None:
        why = why_lost(self.box, self.channel.id, sku, units, pickup)
        if why is None:
            self.box.measures.sold_out += units
        else:
            self.box.measures.lost[self.channel.id, *why] += units

    # At checkout, with the hub

    def _check_out(self, order: Order) -> None:
        box = self.box
        answer = box.course.reserve(order, order.ref, order.wishes)
        if isinstance(answer, Refused):
            short = {entry.asked.line for entry in answer.short}
            for wish in order.wishes:
                if wish.line in short:
                    self._lose(wish.sku, 1, order.pickup)
            return
        self._count(order)
        if order.luck[0] < self.channel.abandoned:
            box.measures.abandoned += len(order.wishes)
            for wish in order.wishes:
                wish.ended = "abandoned"
            return
        box.agenda.plan(order.accepted_at + MINUTE + int(order.luck[1] * PAYS_WITHIN), box.course.pay, order)

    def _count(self, order: Order) -> None:
        self.box.orders.append(order)
        self.box.measures.accepted[order.channel] += len(order.wishes)
        goods = [wish.sku for wish in order.wishes]
        self.box.trace.note(order.accepted_at, "ordered", order.channel, order.ref, *goods)

    # Taken first, reported later

    def _take(self, order: Order) -> None:
        """The channel sells by itself; the hub hears of it when the channel's orders are fetched."""
        box = self.box
        self._count(order)
        door = box.doors[order.channel]
        for wish in order.wishes if order.pickup is None else ():
            door.unfetched[wish.item_id] = door.unfetched.get(wish.item_id, 0) + 1
        every = self.channel.feed_minutes * MINUTE or SECOND
        every = max(every, box.batch_every)
        box.agenda.plan((box.agenda.now // every + 1) * every, self._fetch, order)

    def _fetch(self, order: Order) -> None:
        box, door = self.box, self.box.doors[order.channel]
        if door.in_brownout() or not box.process.is_up:
            box.agenda.plan(max(door.refuses_until, box.process.up_at) + SECOND, self._fetch, order)
            return
        for wish in order.wishes if order.pickup is None else ():
            door.unfetched[wish.item_id] -= 1
        box.course.take_in(order)


class Shelves:
    """What a channel says of one store: what the hub offers there, or what its last batch said."""

    def __init__(self, box: "Box") -> None:
        self._box = box
        self._copied: dict[PositionKey, Position] = {}
        self._copied_at = -1

    def shown(self, item_id: int, location_id: int) -> int:
        box = self._box
        if not box.batch_every:
            return self.offer(item_id, location_id)
        at = box.agenda.now // box.batch_every
        if at != self._copied_at:
            self._copied_at, self._copied = at, dict(box.hub.memory.positions)
        return self._offered(self._copied.get((item_id, location_id)), location_id)

    def offer(self, item_id: int, location_id: int) -> int:
        """What the hub offers now."""
        return self._offered(self._box.hub.memory.positions.get((item_id, location_id)), location_id)

    def _offered(self, position: Position | None, location_id: int) -> int:
        view = self._box.view
        if position is None or location_id in view.dark:
            return 0
        return self._box.rules.offer(position, view.safety_stock)


class Course:
    """What becomes of orders."""

    def __init__(self, box: "Box") -> None:
        self.box = box

    def reserve(
        self, order: Order, ref: str, wishes: list[Wish], *, without: int | None = None, whole: bool = True
    ) -> Answer | Refused:
        """Ask the hub to promise some lines."""
        box = self.box
        view = box.view_of(order.channel)
        terms = view.terms if without is None else view.terms_without(without)
        reservation_id = box.hub.new_reservation_id()
        command = Reserve(
            reservation_id=reservation_id,
            channel_id=box.channel_ids[order.channel],
            channel=order.channel,
            order_ref=ref,
            asked=tuple(
                Asked(wish.line, wish.item_id, wish.sku, 0, 1, pickup=order.pickup) for wish in wishes
            ),
            terms=terms,
            all_or_nothing=whole,
        )
        answer = box.process.promise(command)
        box.trace.note(box.agenda.now, "reserve", ref, "no" if isinstance(answer, Refused) else "yes")
        if isinstance(answer, Answer):
            order.reservations.append(reservation_id)
            box.process.expire_at(reservation_id, box.agenda.now + box.hold)
        return answer

    def take_in(self, order: Order) -> None:
        """An order that a channel has taken already: promise what there is, and say sorry for the rest."""
        answer = self.reserve(order, order.ref, order.wishes)
        if isinstance(answer, Refused):
            answer = self.reserve(order, order.ref, order.wishes, whole=False)
        granted = set() if isinstance(answer, Refused) else self._granted(order.reservations[-1])
        for wish in order.wishes:
            if wish.line not in granted:
                self._disappoint(order, wish, why_refused(self.box, order, wish))
        if granted:
            self._go_on(order)

    def _granted(self, reservation_id: int) -> set[str]:
        return {claim.line for claim in self.box.hub.memory.reservations[reservation_id].claims}

    def pay(self, order: Order) -> None:
        """The cart becomes an order."""
        if not self.box.process.is_up:
            self.box.agenda.plan(self.box.process.up_at + SECOND, self.pay, order)
            return
        self._go_on(order)

    def _go_on(self, order: Order) -> None:
        box = self.box
        reservation_id = order.reservations[-1]
        answer = box.process.promise(Confirm(reservation_id))
        if isinstance(answer, Refused):
            self._end_open(order, "refused")
            return
        box.process.promise(Allocate(reservation_id))
        luck = order.luck
        if luck[2] < box.channels[order.channel].cancelled and len(order.reservations) == 1:
            box.agenda.plan(box.agenda.now + int(luck[3] * HOUR), self._cancel, order)
        first, last = PICKED_AFTER
        self._plan_picks(order, reservation_id, first + int(luck[4] * (last - first)))

    def _plan_picks(self, order: Order, reservation_id: int, after: int) -> None:
        for claim in self.box.hub.memory.reservations[reservation_id].claims:
            if claim.open:
                self.box.agenda.plan(
                    self.box.agenda.now + after, self._pick, order, reservation_id, claim.claim_no
                )

    def _end_open(self, order: Order, how: End) -> None:
        for wish in order.wishes:
            if wish.ended is None:
                wish.ended = how

    def _cancel(self, order: Order) -> None:
        """The customer does not want it any more, if nothing has left."""
        if any(wish.ended == "shipped" for wish in order.wishes):
            return
        order.is_cancelled = True
        self.box.measures.cancelled += len(order.wishes)
        self._end_open(order, "cancelled")
        self._release(order)

    def _release(self, order: Order) -> None:
        if not self.box.process.is_up:
            self.box.agenda.plan(self.box.process.up_at + SECOND, self._release, order)
            return
        for reservation_id in order.reservations:
            self.box.process.promise(Release(reservation_id, key="cancelled", reason="cancelled"))

    # At the shelf

    def _pick(self, order: Order, reservation_id: int, claim_no: int) -> None:
        if order.is_cancelled:
            return
        box = self.box
        claim = next(
            claim
            for claim in box.hub.memory.reservations[reservation_id].claims
            if claim.claim_no == claim_no
        )
        wish = next(wish for wish in order.wishes if wish.line == claim.line)
        place = box.places[box.place_names[claim.location_id]]
        if place.units(wish.sku):
            wish.ended = "shipped"
            box.measures.shipped += 1
            place.ship((wish.sku, 1), box.hub.memory.reservations[reservation_id].order_ref or "")
            box.trace.note(box.agenda.now, "picked", place.name, order.ref, wish.sku)
            return
        why = why_short(box, order, wish, place.name)
        box.trace.note(box.agenda.now, "short", place.name, order.ref, wish.sku, *why)
        place.count([wish.sku])
        self._find_elsewhere(Short(order, reservation_id, wish, claim.location_id, why))

    def _find_elsewhere(self, short: Short) -> None:
        """Give the claim back, and look for another place."""
        box, order, wish = self.box, short.order, short.wish
        place = box.places[box.place_names[short.location_id]]
        if not box.process.is_up or place.line.cut_since is not None:
            box.agenda.plan(box.agenda.now + ASKS_AGAIN, self._find_elsewhere, short)
            return
        lines = ((wish.line, None),)
        box.process.promise(
            Release(short.reservation_id, key=f"short-{wish.line}", reason="short pick", lines=lines)
        )
        if order.is_cancelled:
            return
        if order.pickup is not None:  # the customer stands in this store
            self._disappoint(order, wish, short.why)
            return
        ref = f"{order.ref}/{len(order.reservations) + 1}"
        answer = self.reserve(order, ref, [wish], without=short.location_id)
        if isinstance(answer, Refused):
            self._disappoint(order, wish, short.why)
            return
        box.measures.resourced += 1
        again = order.reservations[-1]
        box.process.promise(Confirm(again))
        box.process.promise(Allocate(again))
        self._plan_picks(order, again, PICKED_AGAIN_AFTER)

    def _disappoint(self, order: Order, wish: Wish, why: Why) -> None:
        wish.ended = "oversold"
        self.box.measures.oversold[order.channel, *why] += 1
        self.box.trace.note(self.box.agenda.now, "oversold", order.ref, wish.sku, *why)
