"""Everything in one play, put together once: the world, the lines, the hub, the doors."""

from datetime import datetime, timedelta
from functools import cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from evenstock.core.booking import Position, PositionKey
from evenstock.core.channels import HOLD
from evenstock.core.events import Event
from evenstock.core.masters import Item, Location, Masters
from evenstock.estate.box import paper
from evenstock.estate.box.agenda import HOUR, MINUTE, SECOND, Agenda
from evenstock.estate.box.doors import Door
from evenstock.estate.box.exposing import Sender, View
from evenstock.estate.box.hub import Hub
from evenstock.estate.box.lines import Line
from evenstock.estate.box.measures import Measures
from evenstock.estate.box.orders import Course, Customers, Order
from evenstock.estate.box.places import Place
from evenstock.estate.box.policies import Policy
from evenstock.estate.box.process import Process
from evenstock.estate.box.rules import Rules
from evenstock.estate.box.scenario import Scenario
from evenstock.estate.box.stores import Store
from evenstock.estate.box.told import Told
from evenstock.estate.box.trace import Trace
from evenstock.estate.box.witness import Witness
from evenstock.estate.truth import Truth

SOURCES: Final = (paper.POS, paper.OFFICE, paper.WMS)


class Parts(NamedTuple):
    """What a play is put together from; a test that plants a bug puts in another part."""

    rules: Rules = Rules()
    hub: type[Hub] = Hub
    process: type[Process] = Process
    line: type[Line] = Line
    sender: type[Sender] = Sender
    door: type[Door] = Door
    store: type[Store] = Store


PARTS: Final = Parts()


class Box:
    """One play."""

    def __init__(
        self, scenario: Scenario, seed: int, policy: Policy, parts: Parts = PARTS, *, keep_trace: bool = False
    ) -> None:
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
        self.morning: list[Told] = []
        self.closes_at = int(scenario.hours * HOUR)
        self.batch_every = policy.batch_minutes * MINUTE
        self.publish_every = int(policy.publish_s * SECOND)
        self.hold = HOLD // timedelta(microseconds=1)
        self._zone = ZoneInfo(scenario.zone)
        self.hour = cache(self._hour)
        self._name_things()
        self.hub = parts.hub(self._masters(), self._hears, parts.rules)
        self.process = parts.process(self)
        self.course = Course(self)
        self._build_places(parts)
        self._build_channels(parts)
        self._open_books()
        self.customers = [Customers(self, channel) for channel in scenario.channels]

    # Names

    def _name_things(self) -> None:
        self.skus = [f"I{number:04d}" for number in range(self.scenario.items)]
        self.items = {sku: number for number, sku in enumerate(self.skus, 1)}
        self.store_names = [f"s{number:03d}" for number in range(1, self.scenario.stores.number + 1)]
        names = self.store_names
        self.place_ids = {name: number for number, name in enumerate(names, 1)}
        self.place_names = {number: name for name, number in self.place_ids.items()}
        self.connections = {source: number for number, source in enumerate(SOURCES, 1)}
        self.channels = {channel.id: channel for channel in self.scenario.channels}
        self.channel_ids = {id_: number for number, id_ in enumerate(self.channels, 1)}

    def _masters(self) -> Masters:
        masters = Masters(1)
        masters.items_by_sku = {sku: Item(item_id, sku) for sku, item_id in self.items.items()}
        masters.locations = {name: Location(id_, name) for name, id_ in self.place_ids.items()}
        masters.connections = dict(self.connections)
        return masters

    # The parts

    def _build_places(self, parts: Parts) -> None:
        upload = max(self.scenario.stores.upload_minutes * MINUTE, self.batch_every)
        self.stores = [parts.store(self, name, parts.line(self, name, upload)) for name in self.store_names]
        self.places: dict[str, Place] = {store.name: store for store in self.stores}
        self.lines = {place.name: place.line for place in self.places.values()}

    def _build_channels(self, parts: Parts) -> None:
        self.view = View(self, tuple(self.place_names), self.policy.safety_stock)
        self.doors = {channel.id: parts.door(self, channel) for channel in self.scenario.channels}
        self.senders = {
            channel.id: parts.sender(self, channel, self.view, self.doors[channel.id])
            for channel in self.scenario.channels
        }

    def _open_books(self) -> None:
        """The morning is counted and known before anything happens, and the channels have been told."""
        for told in self.morning:
            self.process.arrive(self.lines[told.sender], [told])
        self.agenda.run(SECOND)
        for id_, sender in self.senders.items():
            sender.open_with({item_id: max(0, self.view.ats(item_id)) for item_id in self.items.values()})
            self.doors[id_].open_with(sender.acked)

    def _hears(self, key: PositionKey, old: Position, new: Position) -> None:
        self.view.hears(key, old, new)

    # What others ask

    def view_of(self, channel: str) -> View:
        """What a channel sells from."""
        return self.senders[channel].view

    def instant(self, at: int) -> datetime:
        """A time of the scenario on the clock."""
        return self.scenario.opens_at + timedelta(microseconds=at)

    def _hour(self, at: int) -> int:
        return self.instant(at).astimezone(self._zone).hour

    def read(self, told: Told) -> Event:
        """The event as it comes out of its source's format."""
        return told.event
