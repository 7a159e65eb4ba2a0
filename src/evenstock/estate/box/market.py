"""Where customers come from: drawn from a seed, or taken from a retailer's own past. What places hold goes with it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from evenstock.estate.box.agenda import MINUTE, SECOND
from evenstock.estate.box.demand import KINDS, LUCKS, STORE_HOURS, WEB_HOURS, Demand, Visit, Wishes, levels
from evenstock.estate.box.history import History, Ticket
from evenstock.estate.box.scenario import Channel
from evenstock.estate.chance import stream

if TYPE_CHECKING:
    from evenstock.estate.box.box import Box

ORDERED: Final = (1, 1, 1, 1, 2)  # kinds of items in an online order


class Visits(Protocol):
    """The customers of one place or channel."""

    def after(self, at: int, until: int) -> Visit | None:
        """The next one, None when there is none before `until`."""
        ...


class Market(Protocol):
    """The customers of an estate."""

    def levels(self, store: int) -> dict[str, int]:
        """What a store carries, and how many units of each a full shelf holds."""
        ...

    def walk_ins(self, store: int, carried: Sequence[str]) -> Visits:
        """Who comes into a store."""
        ...

    def online(self, channel: Channel) -> Visits:
        """Who comes to a channel."""
        ...


def market_of(box: "Box") -> Market:
    """The customers that the scenario says."""
    history = box.scenario.history
    return Drawn(box) if history is None else Recorded(box, history)


class Drawn:
    """Customers as they come by chance, more of them at noon and in the evening."""

    def __init__(self, box: "Box") -> None:
        self._box = box
        self._what = box.scenario.stores
        self._ranks = {sku: rank for rank, sku in enumerate(box.skus)}
        open_hours = STORE_HOURS[self._what.opens : self._what.closes]
        self._open_hours, self._open_weight = len(open_hours), sum(open_hours)

    def levels(self, store: int) -> dict[str, int]:
        skus, what = self._box.skus, self._what
        chance = stream(self._box.seed, self._box.store_names[store], "assortment")
        carried = sorted(chance.sample(range(len(skus)), min(what.items, len(skus))))
        return dict(zip((skus[rank] for rank in carried), levels(carried, what.level), strict=True))

    def walk_ins(self, store: int, carried: Sequence[str]) -> Visits:
        box = self._box
        wishes = Wishes(carried, [self._ranks[sku] for sku in carried], box.scenario.promotion)
        return Demand(box.seed, box.store_names[store], self._in_shops, wishes, KINDS)

    def _in_shops(self, at: int) -> float:
        what, hour = self._what, self._box.hour(at)
        if not what.opens <= hour < what.closes:
            return 0.0
        return what.visits_per_hour * STORE_HOURS[hour] * self._open_hours / self._open_weight

    def online(self, channel: Channel) -> Visits:
        box = self._box
        wishes = Wishes(box.skus, range(len(box.skus)), box.scenario.promotion)
        return Demand(box.seed, channel.id, self._at_home(channel), wishes, ORDERED)

    def _at_home(self, channel: Channel) -> Callable[[int], float]:
        return lambda at: channel.orders_per_hour * WEB_HOURS[self._box.hour(at)]


class Recorded:
    """The customers of a history at their own times; which of them order online, and their luck, comes from the seed."""

    def __init__(self, box: "Box", history: History) -> None:
        self._box = box
        self._history = history
        chance = stream(box.seed, "history", "online")
        part = box.scenario.online
        self.drawn = [(ticket, ticket.is_online or chance.random() < part) for ticket in history.tickets]
        self._online = [ticket for ticket, is_online in self.drawn if is_online]
        self._in_shops: dict[int, list[Ticket]] = {}
        for ticket, is_online in self.drawn:
            if not is_online:
                self._in_shops.setdefault(ticket.place, []).append(ticket)

    def levels(self, store: int) -> dict[str, int]:
        found = self._history.levels(store, self._box.scenario.stores.cover_days)
        return {self._box.skus[item]: units for item, units in found.items()}

    def walk_ins(self, store: int, carried: Sequence[str]) -> Visits:  # noqa: ARG002 - they bought what was there
        name = self._box.store_names[store]
        return Replayed(self._box, name, self._in_shops.get(store, ()))

    def online(self, channel: Channel) -> Visits:
        """Each channel has its share of those who order."""
        ids = list(self._box.channels)
        nth = ids.index(channel.id)
        return Replayed(self._box, channel.id, self._online[nth :: len(ids)])


class Replayed:
    """Tickets, one after the other. Those of one minute are spread over it, for most tills say no more than the minute."""

    def __init__(self, box: "Box", name: str, tickets: Sequence[Ticket]) -> None:
        chance = stream(box.seed, name, "demand")
        visits = []
        for ticket in tickets:
            spread = int(chance.random() * MINUTE) if ticket.at_s % 60 == 0 else 0
            goods = tuple((box.skus[item], units) for item, units in ticket.goods)
            luck = tuple(chance.random() for _ in range(LUCKS))
            visits.append(Visit(max(1, ticket.at_s * SECOND + spread), goods, luck))
        self._visits = sorted(visits, reverse=True)

    def after(self, at: int, until: int) -> Visit | None:  # noqa: ARG002 - they come in order
        if not self._visits or self._visits[-1].at >= until:
            return None
        return self._visits.pop()
