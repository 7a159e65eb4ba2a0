"""What was found of a transaction, as it is stored: the evidence that a trace is told from. Times are those of the records."""

from datetime import date, datetime
from decimal import Decimal

import msgspec

from evenstock.core.availability import WaitsFor

Number = int | Decimal


class MessageSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A vendor's message, and what became of it."""

    message_id: int
    id: str
    connection: str
    name: str
    status: str
    events: list[str]
    detail: str | None
    exception_id: str | None
    received_at: datetime
    done_at: datetime | None
    trace_id: str


class HeldSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A line that waits for a master, or waited; a void has none."""

    line: str
    code: str
    exception_id: str
    settled_at: datetime | None


class OrderSeen(msgspec.Struct, frozen=True):
    """What became of what a fact says of an order."""

    channel: str
    order_ref: str
    status: str
    code: str | None
    exception_id: str | None


class FactSeen(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted fact."""

    fact_id: int
    source: str
    key: str
    type: str
    status: str
    reason: str | None
    occurred_at: datetime
    time_basis: str
    received_at: datetime
    recorded_at: datetime
    trace_id: str
    target: str | None = None  # of a void
    order: OrderSeen | None = None
    held: list[HeldSeen] = []
    reused_at: list[datetime] = []  # when other contents came under its key


class MovementSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the ledger."""

    id: str
    ledger_seq: int
    fact_id: int
    sku: str
    location: str
    from_place: str
    to_place: str
    quantity: Number
    why: str
    source: str
    key: str
    type: str
    occurred_at: datetime
    recorded_at: datetime


class ReservationSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A reservation."""

    reservation_id: int
    id: str
    order_ref: str | None
    channel: str | None
    trace_id: str


class ClaimSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a claim; `reserved` and `allocated` are signed."""

    reservation_id: int
    ledger_seq: int
    kind: str
    sku: str
    location: str
    reserved: Number
    allocated: Number
    recorded_at: datetime


class TrySeen(msgspec.Struct, frozen=True):
    """A try to tell a number or to send a posting or command, and what became of it."""

    number: int
    started_at: datetime
    ended_at: datetime
    outcome: str
    detail: str | None
    document: str | None


class NumberSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A change that concerns a channel (`since_seq`), and the first number told to it that counts the change in, if there is one."""

    channel: str
    sku: str
    connection: str | None
    since_seq: int
    since_at: datetime  # when the change was recorded
    publish_on: str
    paused: str | None  # why its connection is told nothing
    computed_until: int  # the ledger was looked at until here
    # what it should see now
    intended: Number | None
    intended_seq: int | None
    intended_at: datetime | None
    is_due: bool
    waits_for: WaitsFor | None = None
    # the first number told that counts it in
    dispatch: str | None = None
    version: int | None = None
    quantity: Number | None = None
    before: Number | None = None
    ledger_seq: int | None = None
    computed_at: datetime | None = None
    sent_at: datetime | None = None
    trace_id: str | None = None
    tries: list[TrySeen] = []
    acked_version: int | None = None  # of it or of a newer one
    is_refused: bool = False
    # what the channel's system showed when it was last looked at
    observed: Number | None = None
    observed_at: datetime | None = None
    strays: int = 0  # looks in a row at which that was not what it had confirmed
    exception_id: str | None = None  # that tells of it


class PostingSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A posting that movements are in, or that brings refused lines of theirs again."""

    id: str
    connection: str
    reference: str
    kind: str
    posted_on: date
    status: str
    made_at: datetime
    trace_id: str | None
    carries: str | None  # the reference of the posting whose refused lines it brings
    paused: str | None  # why its connection is sent nothing
    refused_detail: str | None
    refused_lines: str | None  # of these movements, in words
    is_carried: bool  # another posting brings them
    exception_id: str | None
    tries: list[TrySeen] = []


class BooksSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Books of which no posting holds a movement yet, the first since then; they are added up every `every_s` seconds."""

    connection: str
    every_s: int
    since: datetime


class CommandSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A command for one of the reservations."""

    id: str
    connection: str
    reference: str
    kind: str
    location: str
    reservation: str
    lines: list[tuple[str, Number]]  # sku and quantity
    status: str
    made_at: datetime
    trace_id: str
    waits_for: str | None  # the reference of the command that must be done before
    paused: str | None  # why its connection is sent nothing
    refused_detail: str | None
    exception_id: str | None
    tries: list[TrySeen] = []


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """All that was found."""

    messages: list[MessageSeen] = []
    facts: list[FactSeen] = []
    movements: list[MovementSeen] = []
    reservations: list[ReservationSeen] = []
    claims: list[ClaimSeen] = []
    numbers: list[NumberSeen] = []
    postings: list[PostingSeen] = []
    books: list[BooksSeen] = []
    commands: list[CommandSeen] = []
    is_cut: bool = False  # there is more than was read
