"""Everything in one play, put together once: the world, the lines, the hub, the doors."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from evenstock.core.booking import Position, PositionKey
from evenstock.core.channels import HOLD
from evenstock.core.events import Event
from evenstock.core.masters import Item, Location, Masters
from evenstock.estate.box import paper
from evenstock.estate.box.agenda import HOUR, MINUTE, SECOND, Agenda
from evenstock.estate.box.books import Bookkeeper, Erp
from evenstock.estate.box.calendar import Fault, Mishaps, calendar, store_name
from evenstock.estate.box.depot import Warehouse
from evenstock.estate.box.doors import Door
from evenstock.estate.box.exposing import Sender, View
from evenstock.estate.box.hub import Hub
from evenstock.estate.box.lines import Line, every
from evenstock.estate.box.market import Market, market_of
from evenstock.estate.box.measures import Measures
from evenstock.estate.box.orders import Course, Customers, Order
from evenstock.estate.box.places import Place
from evenstock.estate.box.policies import Policy
from evenstock.estate.box.process import Process
from evenstock.estate.box.rules import Rules
from evenstock.estate.box.scenario import DEPOT, Scenario
from evenstock.estate.box.silence import Silence
from evenstock.estate.box.stores import Store
from evenstock.estate.box.support import Support
from evenstock.estate.box.told import Told
from evenstock.estate.box.trace import Trace
from evenstock.estate.box.witness import Witness
from evenstock.estate.truth import Truth

SOURCES: Final = (paper.POS, paper.OFFICE, paper.WMS)


class Parts(NamedTuple):
    """What a play is put together from; a test that plants a bug puts in another part."""

    rules: Rules = Rules()
    hub: type[Hub] = Hub
    process: Callable[["Box"], Process] = Process
    line: type[Line] = Line
    sender: type[Sender] = Sender
    door: type[Door] = Door
    store: type[Store] = Store
    view: type[View] = View
    silence: type[Silence] = Silence
    bookkeeper: type[Bookkeeper] = Bookkeeper


PARTS: Final = Parts()


class Box:
    """One play."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        policy: Policy,
        parts: Parts = PARTS,
        *,
        faults: list[Fault] | None = None,
        keep_trace: bool = False,
    ) -> None:
        self.faults = calendar(scenario, seed) if faults is None else faults
        self.scenario = scenario
        self.seed = seed
        self.policy = policy
        self.rules = parts.rules
        self.agenda = Agenda()
        self.trace = Trace(keep=keep_trace)
        self.witness = Witness(self.trace)
        self.measures = Measures()
        self.truth = Truth()
        self.orders: list[Order] = []
        self.wrong_clocks: set[str] = set()  # stores that had one
        self.morning: list[Told] = []
        self.closes_at = int(scenario.hours * HOUR)
        self.batch_every = policy.batch_minutes * MINUTE
        self.publish_every = int(policy.publish_s * SECOND)
        self.hold = HOLD // timedelta(microseconds=1)
        self._zone = ZoneInfo(scenario.zone)
        self._opens_at = scenario.opens_at
        self._into_minute = scenario.opens_at.second * SECOND + scenario.opens_at.microsecond
        self._hours: dict[int, int] = {}  # minute → hour
        self._name_things()
        self.market: Market = market_of(self)
        self.hub = parts.hub(self._masters(), self._hears, parts.rules)
        self.process = parts.process(self)
        self.course = Course(self)
        self._build_places(parts)
        self._build_channels(parts)
        self.silence = parts.silence(self)
        self.support = Support(self)
        self.erp = Erp(self, scenario.books) if scenario.books is not None else None
        self.bookkeeper = parts.bookkeeper(self, self.erp) if self.erp is not None else None
        self._open_doors()
        self.mishaps = Mishaps(self, self.faults)
        self.customers = [Customers(self, channel) for channel in scenario.channels]

    # Names

    def _name_things(self) -> None:
        self.skus = [f"I{number:04d}" for number in range(self.scenario.items)]
        self.items = {sku: number for number, sku in enumerate(self.skus, 1)}
        self.store_names = [store_name(number) for number in range(1, self.scenario.stores.number + 1)]
        names = [*([DEPOT] if self.scenario.depot is not None else []), *self.store_names]
        self.place_ids = {name: number for number, name in enumerate(names, 1)}
        self.place_names = {number: name for name, number in self.place_ids.items()}
        self.connections = {source: number for number, source in enumerate(SOURCES, 1)}
        self.channels = {channel.id: channel for channel in self.scenario.channels}
        self.channel_ids = {id_: number for number, id_ in enumerate(self.channels, 1)}

    def _masters(self) -> Masters:
        masters = Masters(1)
        missing = {fault.who[0] for fault in self.faults if fault.kind == "unmapped"}
        masters.items_by_sku = {
            sku: Item(item_id, sku) for sku, item_id in self.items.items() if sku not in missing
        }
        masters.locations = {name: Location(id_, name) for name, id_ in self.place_ids.items()}
        masters.connections = dict(self.connections)
        return masters

    # The parts

    def _build_places(self, parts: Parts) -> None:
        upload = every(max(self.scenario.stores.upload_minutes * MINUTE, self.batch_every))
        self.stores = [
            parts.store(self, number, parts.line(self, name, upload))
            for number, name in enumerate(self.store_names)
        ]
        self.places: dict[str, Place] = {store.name: store for store in self.stores}
        what = self.scenario.depot
        if what is not None:
            files = self._next_file if what.files_at else every(self.batch_every)
            self.places[DEPOT] = Warehouse(self, what, parts.line(self, DEPOT, files))
        self.lines = {place.name: place.line for place in self.places.values()}

    def _next_file(self, now: int) -> int:
        """The next full hour at which the depot sends a file."""
        assert self.scenario.depot is not None  # noqa: S101 - only a depot asks
        at = (now // HOUR + 1) * HOUR
        while self.hour(at) not in self.scenario.depot.files_at:
            at += HOUR
        return at

    def _build_channels(self, parts: Parts) -> None:
        self.view = parts.view(self, tuple(self.place_names), self.policy.safety_stock)
        self.doors = {channel.id: parts.door(self, channel) for channel in self.scenario.channels}
        self.senders = {
            channel.id: parts.sender(self, channel, self.view, self.doors[channel.id])
            for channel in self.scenario.channels
        }

    def _open_doors(self) -> None:
        """The morning is counted and known before anything happens, and the channels have been told."""
        for told in self.morning:
            self.process.arrive(self.lines[told.sender], [told])
        self.agenda.run(SECOND)
        for id_, sender in self.senders.items():
            sender.open_with({item_id: max(0, self.view.ats(item_id)) for item_id in self.items.values()})
            self.doors[id_].open_with(sender.acked)

    def _hears(self, key: PositionKey, old: Position, new: Position) -> None:
        self.view.hears(key, old, new)

    def forget(self) -> None:
        """The play is over: let go of all its parts, which know each other by way of the box."""
        self.__dict__.clear()

    # What others ask

    def view_of(self, channel: str) -> View:
        """What a channel sells from."""
        return self.senders[channel].view

    def instant(self, at: int) -> datetime:
        """A time of the scenario on the clock."""
        return self._opens_at + timedelta(0, 0, at)

    def hour(self, at: int) -> int:
        """What hour the clock on the wall shows; asked for every customer, and the same all through a minute."""
        minute = (at + self._into_minute) // MINUTE
        hour = self._hours.get(minute)
        if hour is None:
            hour = self._hours[minute] = self.instant(at).astimezone(self._zone).hour
        return hour

    def read(self, told: Told) -> Event:
        """The event as it comes out of its source's format."""
        if told.local is None:
            return told.event
        return msgspec.structs.replace(told.event, time=self.rules.localise(self.scenario.zone, told.local))

    def wall_clock(self, at: int) -> tuple[str, int]:
        """What the clock on the wall says, and the instant that it is taken for: of an hour that comes twice, the first."""
        local = self.instant(at).astimezone(self._zone)
        return local.replace(tzinfo=None).isoformat(), at - local.fold * HOUR

    def store(self, name: str) -> Store:
        """A store by its name."""
        return self.stores[self.store_names.index(name)]

    def owe_books(self) -> None:
        """The ledger has grown."""
        if self.bookkeeper is not None:
            self.bookkeeper.wake()
