"""A world driven against a real hub: time goes on, links deliver, many senders talk to the hub at once."""

import asyncio
import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from evenstock.estate.actors import POS
from evenstock.estate.cast import (
    COLLECT,
    HERO,
    STORY,
    Cast,
    channel_master,
    connection_master,
    item_master,
    location_master,
)
from evenstock.estate.facts import Fact, NewItem, Timetable, event
from evenstock.estate.hub import BATCH_MAX, Availability, Hub, Trouble
from evenstock.estate.links import Delivery, Link
from evenstock.estate.orders import Order
from evenstock.estate.pace import Pace
from evenstock.estate.plan import Plan
from evenstock.estate.recorded import Recorded
from evenstock.estate.shoppers import Shoppers
from evenstock.estate.tally import Tally
from evenstock.estate.telling import NAMED, delivered_in_words, item_name
from evenstock.estate.upsets import CODE, Upsets
from evenstock.estate.world import Said, World

TICK_S: Final = 0.05
LOOK_S: Final = 0.7  # at the hub's exceptions

HEAR_S: Final = 0.1  # between looks at what the web shop was told
SHOWN: Final = 8  # numbers of the hero that are remembered for whoever watches

Kind = Literal["fact", "again", "odd", "opened", "closed", "note", "promise", "told"]


class News(msgspec.Struct, frozen=True):
    """Something to tell whoever watches."""

    at: datetime
    kind: Kind
    words: str


class Drive:
    """One world, one hub. `now` is the wall's clock; `tell` hears what happens."""

    def __init__(
        self,
        hub: Hub,
        seed: int,
        plan: Plan,
        *,
        speed: int,
        now: Callable[[], datetime],
        tell: Callable[[News], None],
        recorded: Recorded,
    ) -> None:
        self.hub = hub
        self.plan = plan
        self.morning = 0  # facts told before the show
        self.world = World(seed, plan.cast, plan)
        self.tally = Tally()
        self.opened: Counter[str] = Counter()  # exceptions by code
        self.closed: Counter[str] = Counter()
        self.open: dict[int, Trouble] = {}
        self.hero: Availability | None = None
        self.recorded = recorded
        self.shown: deque[int] = deque(maxlen=SHOWN)  # what customers of click-and-collect saw of the hero
        self.pace = Pace(speed)
        self.upsets = Upsets(self.pace)
        self.shoppers = Shoppers(hub, self.world, self.pace, self.wait_s, self._tell_order)
        self._seed = seed
        self._now = now
        self._tell = tell
        self._timetable = Timetable(now(), speed)
        self._links: dict[str, Link] = {}
        self._under_way: list[tuple[tuple[int, int, str, str], Delivery]] = []
        self._senders: dict[str, asyncio.Queue[Delivery]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._added: set[str] = set(plan.cast.skus)
        self._newest_seen = 0

    @property
    def cast(self) -> Cast:
        return self.plan.cast

    def world_time(self) -> int:
        return self._timetable.at(self._now())

    def wait_s(self, at: int) -> float:
        """How long it is to a world time, in seconds of the wall's clock."""
        return (at - self.world_time()) / self.pace.second

    async def reaches(self, at: int) -> None:
        """Wait for a world time, whatever the speed is meanwhile."""
        while await self.pace.wait(self.wait_s(at)):
            pass

    def waiting(self, location: str) -> int:
        """Facts of a sender that are on their way, or held back by a line that is cut."""
        queue = self._senders.get(location)
        return (
            self.upsets.waiting(location)
            + sum(delivery.fact.location == location for _, delivery in self._under_way)
            + (queue.qsize() if queue else 0)
        )

    async def open_doors(self, books: Sequence[dict[str, Any]] = ()) -> None:
        """Tell the hub the masters, who keeps books from the first fact on, and the morning so far."""
        await self.hub.add_locations(location_master(self.cast))
        await self.hub.add_items(item_master(self.cast.skus))
        await self.hub.add_connections(books)
        self._timetable = Timetable(self._now(), self.pace.speed)
        morning = self._carry(self.world.until(0))
        known = [delivery for delivery in morning if delivery.at <= 0]
        for delivery in morning:
            if delivery.at > 0:
                heapq.heappush(self._under_way, (delivery.order, delivery))
        known.sort(key=lambda delivery: delivery.order)
        for start in range(0, len(known), BATCH_MAX):
            await self._send(known[start : start + BATCH_MAX], quietly=True)
        self.morning = len(known)
        await self.hub.add_channels(connection_master(), channel_master(self.cast))
        told_in = self._now() - self._timetable.opens_at
        self._timetable = msgspec.structs.replace(self._timetable, still=told_in)

    async def go(self, stop: asyncio.Event) -> None:
        """Let the world live until told to stop."""
        self._tasks.append(asyncio.create_task(self._watch(), name="watch"))
        self._tasks.append(asyncio.create_task(self._listen(), name="listen"))
        while not stop.is_set():
            self._check()
            await self._pass_on(self.world_time())
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TICK_S)

    async def drain(self) -> None:
        """Close the world; every line comes back, everything that is still on its way arrives."""
        await self._pass_on(self.world_time())
        await self.shoppers.close()
        for said in self.world.close():
            if isinstance(said, NewItem):
                await self._add_item(said)
            elif isinstance(said, Fact):
                self._put_under_way(said)
        await self._pass_on(max((delivery.at for _, delivery in self._under_way), default=0))
        arrived = asyncio.create_task(self._arrived())
        while not arrived.done():
            await asyncio.wait((arrived, *self._tasks), return_when=asyncio.FIRST_COMPLETED)
            self._check()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._look()

    async def _arrived(self) -> None:
        """Until every sender has been answered."""
        for queue in self._senders.values():
            await queue.join()

    async def _pass_on(self, at: int) -> None:
        for said in self.world.until(at):
            match said:
                case NewItem():
                    await self._add_item(said)
                case Order():
                    self.shoppers.enter(said)
                case Fact():
                    self._put_under_way(said)
        while self._under_way and self._under_way[0][1].at <= at:
            _, delivery = heapq.heappop(self._under_way)
            self.upsets.arrived(delivery)
            self._sender(delivery.fact.location).put_nowait(delivery)

    def _put_under_way(self, fact: Fact) -> None:
        going = self.upsets.meets(fact)
        if going is not None:
            self._deliver(each for delivery in self._carry([going]) for each in self.upsets.also(delivery))

    def _deliver(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            heapq.heappush(self._under_way, (delivery.order, delivery))

    # From outside

    def announce(self, words: str) -> None:
        """Tell whoever watches."""
        self._tell(News(self._now(), "note", words))

    def change_speed(self, speed: int) -> None:
        """The world lives so many times faster than a real shop from now on; what has happened stays when it was."""
        self._timetable = self._timetable.at_speed(speed, self._now())
        self.pace.change(speed)

    def say_again(self) -> None:
        """The latest facts are sent once more."""
        self._deliver(self.upsets.said_lately(self.world_time()))

    def reconnect(self, store: str) -> int:
        """A store that lost its line has it again; how many facts it kept."""
        kept = self.upsets.reconnect(store, self.world_time())
        self._deliver(kept)
        return len(kept)

    async def map_codes(self) -> int:
        """The tills' codes become known; how many lines had waited for them."""
        skus = sorted(self.upsets.codes)
        rows = [row | {"codes": {POS: CODE + row["sku"]}} for row in item_master(skus)]
        released = await self.hub.add_items(rows) if rows else 0
        self.tally.released += released
        return released

    def flash_sale(self, store: str, sku: str, orders: int) -> None:
        """So many customers at once want one unit each, to be picked up there."""
        for _ in range(orders):
            self.world.collect.order(self.world_time(), store, [(sku, 1)])

    # Under way

    def _carry(self, said: Sequence[Said]) -> list[Delivery]:
        carried = []
        for fact in said:
            if isinstance(fact, Fact):
                link = self._links.get(fact.link)
                if link is None:
                    link = self._links[fact.link] = Link(self._seed, fact.link, self.plan, self.pace)
                carried += link.carry(fact)
        return carried

    async def _add_item(self, new: NewItem) -> None:
        released = await self.hub.add_items(item_master([new.sku]))
        self._added.add(new.sku)
        self.tally.released += released
        words = f"head office added {new.sku} to the item master: {released} held lines are booked, each at its own time"
        self._tell(News(self._now(), "note", words))

    def _sender(self, location: str) -> asyncio.Queue[Delivery]:
        queue = self._senders.get(location)
        if queue is None:
            queue = self._senders[location] = asyncio.Queue()
            self._tasks.append(asyncio.create_task(self._talk(queue), name=f"sender {location}"))
        return queue

    async def _talk(self, queue: asyncio.Queue[Delivery]) -> None:
        """One sender: whatever waits is one request."""
        while True:
            waiting = [await queue.get()]
            while len(waiting) < BATCH_MAX and not queue.empty():
                waiting.append(queue.get_nowait())
            await self._send(waiting)
            for _ in waiting:
                queue.task_done()

    async def _send(self, deliveries: list[Delivery], *, quietly: bool = False) -> None:
        answers = await self.hub.report([event(delivery.fact, self._timetable) for delivery in deliveries])
        self.tally.answered(deliveries, answers)
        if quietly:
            return
        late = [delivery for delivery in deliveries if delivery.late]
        if len(late) > 1:
            link = (
                late[0].fact.link
                if len({delivery.fact.link for delivery in late}) == 1
                else late[0].fact.location
            )
            span = self._now() - self._timetable.instant(min(delivery.fact.at for delivery in late))
            words = f"{link} is back: {len(late)} facts at once, the oldest {_ago(span.total_seconds())} old"
            self._tell(News(self._now(), "note", words))
        for delivery, answer in zip(deliveries, answers.results, strict=True):
            self._tell_one(delivery, answer.outcome)

    def _tell_one(self, delivery: Delivery, outcome: str) -> None:
        words = delivered_in_words(delivery, outcome)
        if delivery.late:
            words += (
                f" — late: it happened at {self._timetable.instant(delivery.fact.at).astimezone():%H:%M:%S}"
            )
        odd = (
            delivery.late
            or outcome in {"held", "parked", "rejected"}
            or delivery.fact.type.startswith("FactVoided")
        )
        kind: Kind = "again" if outcome == "duplicate" else "odd" if odd else "fact"
        if kind == "fact" and self._is_about_shelf(delivery.fact):
            kind = "promise"
        self._tell(News(self._now(), kind, words))

    def _is_about_shelf(self, fact: Fact) -> bool:
        """Whether it is about an item of the story on a shelf that the web shop promises from, too."""
        return fact.location in self.cast.collect_stores and any(
            item_name(line) in STORY for line in fact.data.get("lines", ())[:NAMED]
        )

    def _tell_order(self, order: Order, words: str) -> None:
        story = order.channel == COLLECT and any(sku in STORY for sku, _ in order.basket)
        self._tell(News(self._now(), "promise" if story else "fact", words))

    async def _listen(self) -> None:
        """What the web shop is told, as it is told."""
        while True:
            self.hear()
            await asyncio.sleep(HEAR_S)

    def hear(self) -> None:
        """The lines that came since; of the story's items they are news."""
        for told, before in self.recorded.read():
            if told.channel == COLLECT and told.sku in STORY:
                if told.sku == HERO:
                    self.shown.append(told.quantity)
                was = "" if before is None else f" (was {before})"
                self._tell(News(self._now(), "told", f"{COLLECT} is told: {told.sku} {told.quantity}{was}"))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._look()

    async def _look(self) -> None:
        """What opened and closed since the last look, and how the hero stands."""
        newest = await self.hub.exceptions(closed_too=True)
        still = {trouble.number for trouble in await self.hub.exceptions(closed_too=False)}
        for trouble in reversed(newest):
            if trouble.number > self._newest_seen:
                self.opened[trouble.code] += 1
                self.open[trouble.number] = trouble
                self._tell(News(trouble.opened_at, "opened", trouble.words))
        self._newest_seen = max(self._newest_seen, *(trouble.number for trouble in newest), 0)
        for number in sorted(self.open.keys() - still):
            trouble = self.open.pop(number)
            self.closed[trouble.code] += 1
            self._tell(News(self._now(), "closed", trouble.words))
        self.hero = await self.hub.availability(HERO)

    def _check(self) -> None:
        """A sender that failed fails the drive."""
        self.shoppers.check()
        for task in self._tasks:
            if task.done() and not task.cancelled() and (fault := task.exception()) is not None:
                raise fault

    def skus(self) -> set[str]:
        """Every item that the hub was told of."""
        return set(self._added)


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
