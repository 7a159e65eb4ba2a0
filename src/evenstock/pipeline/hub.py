"""The hub as its doors see it: what they may ask of it, and the parts that do it."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from evenstock.pipeline.clocks import Clocks
from evenstock.pipeline.connections import Connections
from evenstock.pipeline.feed import Feed
from evenstock.pipeline.inbox import Inbox
from evenstock.pipeline.promiser import Promiser
from evenstock.pipeline.reads import Reader
from evenstock.pipeline.receive import Sources
from evenstock.pipeline.translate import Translator
from evenstock.pipeline.writer import Writer
from evenstock.postgres.database import Pool
from evenstock.postgres.stock import LocationNames


class Hub(msgspec.Struct, frozen=True):
    """Built once, in wiring."""

    pool: Pool
    writer: Writer
    promiser: Promiser
    reader: Reader
    sources: Sources
    clocks: Clocks
    stock_feed: Feed
    exposure_feed: Feed
    names: LocationNames
    inbox: Inbox
    translator: Translator
    connections: Connections
    tag: str
    now: Callable[[], datetime]
