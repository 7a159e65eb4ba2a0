"""What an estate is made of: numbers only, so that a scenario can be written down, compared, and made smaller."""

from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from evenstock.estate.box.history import History

DEPOT: Final = "dc"


class Stores(msgspec.Struct, frozen=True, kw_only=True):
    """Stores, all alike but for chance."""

    number: int
    items: int  # that each carries, out of the estate's
    level: float = 6  # units of an item that a shelf is meant to hold, on average
    visits_per_hour: float = 20.0  # on average over the opening hours
    registers: int = 2
    upload_minutes: int = 0  # 0: every ticket by itself
    opens: int = 9  # o'clock
    closes: int = 21
    returns: float = 0.08  # part of the tickets of which a unit comes back
    mistakes: float = 0.002  # part of the tickets that are rung up by mistake and voided
    misscans: float = 0.002  # part of the tickets that name another item than the one that left
    shrink_per_hour: float = 0.5  # units that vanish unseen
    counts_per_hour: float = 1.0  # sheets
    count_lines: int = 8
    wrong_records: float = 0.3  # part of the records that are wrong in the morning
    cover_days: float = 7.0  # of a history: how many average days a full shelf lasts
    delivered_at: int | None = (
        None  # o'clock, local: when shelves less than half full are filled; None: by the depot
    )


class Depot(msgspec.Struct, frozen=True, kw_only=True):
    """The warehouse: receives, refills stores, ships orders; it speaks at once, or in files at night."""

    level: float = 20  # units of an item for each ten stores, on average
    receipts_per_hour: float = 2.0
    transfers_per_hour: float = 0.5  # to each store
    counts_per_hour: float = 1.0  # sheets
    count_lines: int = 8
    short: float = 0.05  # part of the transfers in which a unit is missing
    files_at: tuple[int, ...] = ()  # o'clock, local: when a file goes; none: every fact by itself
    naive_times: bool = False  # the files say what the clock on the wall says


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """Where we sell online, with a stock of its own making that customers see."""

    id: str
    kind: Literal["web", "marketplace"] = "web"
    orders_per_hour: float = 20.0
    feed_minutes: int = 0  # its orders reach us this late at most; 0: at checkout
    calls_per_s: float = 10.0
    numbers_per_call: int = 100
    pickups: float = 0.0  # part of the orders that customers fetch in a store that they choose
    abandoned: float = 0.08
    cancelled: float = 0.03


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """The ERP: takes postings in order, closes at night, and refuses some at first."""

    closes: int | None = None  # o'clock, local; None: never
    opens: int = 5
    refused: float = 0.002
    postings_per_call: int = 200
    calls_per_s: float = 2.0


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """How badly things go; parts are of what travels, rates per hour of the estate."""

    lost: float = 0.01
    repeated: float = 0.02
    overtaken: float = 0.02
    outages_per_store_day: float = 0.3
    outage_minutes: float = 25.0  # on average
    regional: int = 0  # outages of every fifth store at once
    swizzles: int = 0  # half of the stores go one by one and come back in another order
    crashes: int = 0  # of the hub, in the middle of a batch
    brownouts: int = 0  # of a channel's interface
    clones: int = 0  # a register that takes another's name
    reimaged: int = 0  # registers installed anew: their numbers begin again
    skewed: int = 0  # registers whose clock is wrong
    unmapped: int = 0  # items that sell before they are in the master
    replays: int = 0  # sources that send the last hours again


class Promotion(msgspec.Struct, frozen=True):
    """Some items are wanted far more for a while."""

    begins: float  # hours after the scenario opens
    hours: float
    items: int
    factor: float


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """An estate and the day it has."""

    name: str
    words: str
    items: int
    stores: Stores
    depot: Depot | None = None
    channels: tuple[Channel, ...] = ()
    books: Books | None = None
    faults: Faults = Faults()
    promotion: Promotion | None = None
    history: History | None = None  # the customers, in place of those that are drawn
    online: float = 0.0  # of a history: part of the tickets that are ordered online
    hours: float = 12.0
    opens_at: datetime = datetime(2026, 11, 27, 7, tzinfo=UTC)  # eight o'clock on a Friday in November
    zone: str = "Europe/Amsterdam"
    settle_hours: float = 8.0  # within which all must agree after the last fault
