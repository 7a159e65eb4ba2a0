"""A retailer's own past, without names: who bought how much of what, where and when; to be played again under other rules.

Only this is kept of a file: an item is the nth most wanted one, a place the nth busiest, a ticket the number of its units. Keys,
codes, names, prices and customers are not.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec

from evenstock.core.events import Event, ItemRef, ReturnReceived, SaleRecorded, ShipmentConfirmed
from evenstock.core.quantity import Quantity

TICKETS_MAX: Final = 1_000_000
LINES_PER_TICKET_MAX: Final = 50  # the rest of a longer one is left out, and counted
UNITS_PER_LINE_MAX: Final = 10  # a line of more is trade, not retail: counted as so many
DAY_S: Final = 86_400
LEVEL_LEAST: Final = 2

Goods = tuple[int, int]  # item, units


class Ticket(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One purchase."""

    at_s: int  # seconds since the history opens
    place: int
    is_online: bool
    goods: tuple[Goods, ...]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Tickets in the order in which they happened. Items and places are numbers, the most wanted one is 0."""

    opens_at: datetime
    zone: str  # whose clocks the customers lived by
    hours: int
    places: int
    items: int
    tickets: tuple[Ticket, ...]
    returned: float  # units that came back, for each that was bought
    left_out: dict[str, int]  # events, lines and units that are not played again, by reason

    @property
    def units(self) -> int:
        return sum(units for ticket in self.tickets for _, units in ticket.goods)

    def first(self, hours: float) -> "History":
        """Its first hours."""
        tickets = tuple(ticket for ticket in self.tickets if ticket.at_s < hours * 3600)
        return msgspec.structs.replace(self, hours=min(self.hours, math.ceil(hours)), tickets=tickets)

    def levels(self, place: int, cover_days: float) -> dict[int, int]:
        """What a place would hold of each item it sold: enough for so many average days."""
        sold: Counter[int] = Counter()
        for ticket in self.tickets:
            if ticket.place == place:
                for item, units in ticket.goods:
                    sold[item] += units
        days = max(1.0, self.hours / 24)
        return {
            item: max(LEVEL_LEAST, math.ceil(cover_days * units / days))
            for item, units in sorted(sold.items())
        }


class NoHistory(Exception):  # noqa: N818 - told to the reader
    """Why there is nothing to play again, for the reader."""


def history_of(events: Iterable[Event], zone: str) -> History:
    """What customers did, out of canonical events: sales, shipments of orders, and how much came back.

    Raises NoHistory when nothing was sold, or more than TICKETS_MAX tickets.
    """
    reader = _Reader()
    for event in events:
        reader.read(event)
    return reader.history(zone)


class _Reader:
    def __init__(self) -> None:
        self._lines: defaultdict[tuple[datetime, str, str, bool], dict[str, int]] = defaultdict(dict)
        self._sold: Counter[str] = Counter()
        self._visits: Counter[str] = Counter()
        self._returned = 0
        self._left_out: Counter[str] = Counter()

    def read(self, event: Event) -> None:
        if event.time is None:
            self._left_out["events without a time"] += 1
            return
        at = event.time.astimezone(UTC)
        match event:
            case SaleRecorded(data=sale):
                key = (at, sale.location, sale.ticket or event.id, False)
                self._take(key, [(_name(line.item), _whole(line.quantity)) for line in sale.lines])
            case ShipmentConfirmed(data=shipment):
                order = shipment.order_ref or shipment.reservation or event.id
                key = (at, shipment.location, order, True)
                self._take(key, [(_name(line.item), _whole(line.quantity)) for line in shipment.lines])
            case ReturnReceived(data=back):
                self._returned += sum(min(_whole(line.quantity), UNITS_PER_LINE_MAX) for line in back.lines)
            case _:
                self._left_out[f"events of {type(event).__name__}"] += 1

    def _take(self, key: tuple[datetime, str, str, bool], lines: list[tuple[str, int]]) -> None:
        if key not in self._lines:
            if len(self._lines) == TICKETS_MAX:
                raise NoHistory(
                    f"There are more than {TICKETS_MAX:,} tickets. Give a part of them: some weeks of some stores."
                )
            self._visits[key[1]] += 1
        ticket = self._lines[key]
        for item, units in lines:
            if item not in ticket and len(ticket) == LINES_PER_TICKET_MAX:
                self._left_out[f"lines beyond {LINES_PER_TICKET_MAX} of a ticket"] += 1
                continue
            before = ticket.get(item, 0)
            ticket[item] = min(before + units, UNITS_PER_LINE_MAX)
            self._sold[item] += ticket[item] - before
            if (beyond := before + units - ticket[item]) > 0:
                self._left_out[f"units beyond {UNITS_PER_LINE_MAX} of a line"] += beyond

    def history(self, zone: str) -> History:
        if not self._lines:
            raise NoHistory("Nothing in it was sold or shipped, so there is nothing to play again.")
        items = {name: nth for nth, (name, _) in enumerate(_by_weight(self._sold))}
        places = {name: nth for nth, (name, _) in enumerate(_by_weight(self._visits))}
        ordered = sorted(self._lines)
        opens_at = ordered[0][0].replace(minute=0, second=0, microsecond=0)
        tickets = tuple(
            Ticket(
                int((key[0] - opens_at).total_seconds()),
                places[key[1]],
                key[3],
                tuple(sorted((items[name], units) for name, units in self._lines[key].items())),
            )
            for key in ordered
        )
        return History(
            opens_at=opens_at,
            zone=zone,
            hours=tickets[-1].at_s // 3600 + 1,
            places=len(places),
            items=len(items),
            tickets=tickets,
            returned=min(1.0, self._returned / self._sold.total()),
            left_out=dict(self._left_out),
        )


def _by_weight(counter: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counter.items(), key=lambda entry: (-entry[1], entry[0]))


def _name(item: ItemRef) -> str:
    return item.sku or item.gtin or item.id or ""


def _whole(quantity: Quantity) -> int:
    """Whole units, rounded up: half a kilogram is one purchase."""
    return -(-quantity.digits // int(10**quantity.decimals))
