"""What a connector is: code for one vendor or protocol, in a folder of its own.

It translates what a system says into events (`translate`), tells a system what it should know (`publish`, `post`), has it do
something (`command`), and looks at what it shows (`observe`, `snapshot`). It decides nothing else: when to try again, in which
order and how fast is the pipeline's, the same for all. What a try came to is a value, an `Outcome`; an exception out of a
connector is a fault of the connector.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar

import msgspec

from evenstock.core.mapping import Mapping as Rules

JsonObject = dict[str, Any]
SecretRef = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(env|secret):[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$",
        description="Where a secret is, never the secret itself: env:NAME or secret:NAME.",
    ),
]
Settings = TypeVar("Settings", bound=msgspec.Struct)
Told_contra = TypeVar("Told_contra", contravariant=True)
Bucket = Literal["sellable", "quarantine", "damaged", "in_transit"]

# In ------------------------------------------------------------------------------------------------------------------


class Message(msgspec.Struct, frozen=True):
    """Bytes exactly as received, and what came around them; header names in lower case."""

    body: bytes
    received_at: datetime
    headers: Mapping[str, str] = {}
    name: str = ""  # of the file, the topic or the vendor's kind of message, where it has one


class Untranslatable(Exception):  # noqa: N818 - it names what is wrong
    """A message that cannot be read: a code of core/errors, words, and where in the message (JSON Pointer)."""

    def __init__(self, code: str, detail: str, pointer: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.pointer = pointer


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """How a vendor signs its webhooks, and which headers matter; all names in lower case. Unsaid, it is Standard Webhooks.

    `standard`: HMAC-SHA256 over `id.timestamp.body`, so the id and the time are vouched for. `body`: over the body alone;
    then nothing in the headers is, and a message is known by its kind and its content.
    """

    scheme: Literal["standard", "body"] = "standard"
    signature: str = "webhook-signature"
    encoding: Literal["base64", "hex"] = "base64"  # of the signature; `standard` is always base64
    prefix: str = ""  # before the signature in its header: `sha256=`
    id: str = "webhook-id"
    timestamp: str = "webhook-timestamp"  # of `standard`: seconds since 1970
    kind: str = ""  # the vendor's kind of message, given to `translate` as its name
    keep: tuple[str, ...] = ()  # further headers that are kept, and given to `translate`


class HookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every connector that takes webhooks must be told; its own settings extend this."""

    secret: SecretRef  # that the vendor signs with
    previous_secret: SecretRef | None = None  # still good while the vendor changes over


class Translate(Protocol[Told_contra]):
    """From a message to events: CloudEvents as JSON objects without `source`, which is the connection and is put in for it.

    The same message gives the same events with the same `id`, whenever and however often it is asked.

    Raises Untranslatable.
    """

    def __call__(self, settings: Told_contra, message: Message) -> list[JsonObject]: ...


# Out -----------------------------------------------------------------------------------------------------------------


class Basis(msgspec.Struct, frozen=True):
    """What a number that a system is told means there (D9); the hub computes it so that no demand is subtracted twice."""

    buckets: tuple[Bucket, ...] = ("sellable",)
    subtracts_own_orders: bool = False  # the system takes its own open orders off what it is told, by itself
    mode: Literal["set", "delta"] = "set"
    decimals: int = 0  # that the system takes; more are cut off, never rounded up


class Exposure(msgspec.Struct, frozen=True):
    """What one channel should see for one item.

    `version` rises with each number told to this target and never falls; `key` is the same in each try of the same number.
    """

    channel: str
    sku: str
    code: str  # the system's own code of the item, else the sku
    quantity: int | Decimal  # in the item's base unit, to the basis of the connector
    version: int
    key: str
    ledger_seq: int  # the number was computed from the ledger as of this
    computed_at: datetime
    trace_id: str | None = None
    again: bool = False  # an earlier try under this key was cut off and may have been done


class Done(msgspec.Struct, frozen=True, tag=True):
    """The system has it, and said so; `document` is its own number for it."""

    document: str | None = None


class RetryLater(msgspec.Struct, frozen=True, tag=True):
    """It was not done, for a reason that passes; `after_s` where the system names a time."""

    detail: str
    after_s: float | None = None
    cause: Literal["transport", "rate", "busy"] = "transport"


class Rejected(msgspec.Struct, frozen=True, tag=True):
    """The system does not take it, and will not take it as it is."""

    detail: str
    code: str = "rejected"  # the system's own


class Unauthorized(msgspec.Struct, frozen=True, tag=True):
    """Our credentials are not good for this: nothing else will do better until a person mends them."""

    detail: str


class Unknown(msgspec.Struct, frozen=True, tag=True):
    """It may have been done or not: the answer was cut off, or the system itself does not know yet (`busy`: it is at it)."""

    detail: str
    cause: Literal["transport", "busy"] = "transport"


Outcome = Done | RetryLater | Rejected | Unauthorized | Unknown


Failure = RetryLater | Rejected | Unauthorized | Unknown


class Failed(Exception):  # noqa: N818 - it names what happened
    """Asking a system came to something else than an answer; what it came to is the outcome."""

    def __init__(self, outcome: Failure) -> None:
        super().__init__(outcome.detail)
        self.outcome = outcome


class Publish(Protocol[Told_contra]):
    """Tell a system some numbers; one outcome for each, in their order.

    There is one call at a time for each connection, and a call that takes longer than 10 seconds is cut off and its numbers
    are sent again, the same under the same keys.
    """

    def __call__(
        self, settings: Told_contra, world: "World", exposures: Sequence[Exposure]
    ) -> Awaitable[list[Outcome]]: ...


# To the books --------------------------------------------------------------------------------------------------------


class PostingLine(msgspec.Struct, frozen=True):
    """What a posting adds to the stock of one item at one location; below zero it takes away."""

    line: str  # unique in its posting
    sku: str
    code: str  # the system's own code of the item, else the sku
    location: str
    quantity: int | Decimal  # in `uom`, the item's base unit
    uom: str = "EA"


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """Movements of the ledger, added up for the books. It never changes once it is made; `reference` is ours for ever."""

    kind: Literal["sales", "returns", "receipts", "transfers", "adjustments"]
    reference: str  # by which the system finds it again
    key: str  # the same in each try
    posted_on: date
    lines: tuple[PostingLine, ...]
    ledger_from: int  # it holds what the ledger took up after this number,
    ledger_to: int  # up to and with this
    again: bool = False  # an earlier try was cut off and may have been done: look it up before anything else
    trace_id: str | None = None


class RefusedLine(msgspec.Struct, frozen=True):
    """A line that the system does not take, and why."""

    line: str
    detail: str
    code: str = "rejected"  # the system's own


class PartlyDone(msgspec.Struct, frozen=True, tag=True):
    """The system has it under this number, but for these lines."""

    document: str
    refused: tuple[RefusedLine, ...]


class Post(Protocol[Told_contra]):
    """Put one posting into a system's books. Done and PartlyDone carry the system's number of the document.

    There is one call at a time for each connection; after Unknown the same posting comes again, and says so.
    """

    def __call__(
        self, settings: Told_contra, world: "World", posting: Posting
    ) -> Awaitable[Outcome | PartlyDone]: ...


# To whoever does the work --------------------------------------------------------------------------------------------


class CommandLine(msgspec.Struct, frozen=True):
    """How many units of an item a command is about."""

    line: str  # of the reservation; unique in its command
    sku: str
    code: str  # the system's own code of the item, else the sku
    location: str
    quantity: int | Decimal  # above zero, in `uom`, the item's base unit
    uom: str = "EA"


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Work at a location that another system does: pick these units for an order, or pick so many of them no more.

    It never changes once it is made. The commands of a reservation at a location come strictly in the order of their `number`:
    a cancel follows its pick, and neither is ever left out.
    """

    kind: Literal["pick", "cancel"]
    reference: str  # ours for ever, by which the system finds it again
    key: str  # the same in each try
    reservation: str
    order_ref: str | None
    channel: str | None
    location: str
    lines: tuple[CommandLine, ...]
    number: int  # 1, 2, 3 … in the reservation, over all locations
    again: bool = False  # an earlier try was cut off and may have been done
    trace_id: str | None = None


class Do(Protocol[Told_contra]):
    """Have a system do something. Done carries its own number for it, where it has one.

    There is one call at a time for each connection, cut off after 10 seconds; after Unknown the same command comes again under its
    key, says so, and nothing else of that reservation at that location comes before.
    """

    def __call__(self, settings: Told_contra, world: "World", command: Command) -> Awaitable[Outcome]: ...


# Looking -------------------------------------------------------------------------------------------------------------


class Target(msgspec.Struct, frozen=True):
    """Where a number is shown: one item in one channel, as in an exposure."""

    channel: str
    sku: str
    code: str


class Observed(msgspec.Struct, frozen=True, tag=True):
    """What a system shows at this moment, to the basis of the connector: equal to what it was told if nothing else happened."""

    quantity: int | Decimal


class Observe(Protocol[Told_contra]):
    """Read back what a system shows for some targets; one answer for each, in their order."""

    def __call__(
        self, settings: Told_contra, world: "World", targets: Sequence[Target]
    ) -> Awaitable[list[Observed | Failure]]: ...


class Level(msgspec.Struct, frozen=True):
    """One line of a system's own statement of its stock; `code` is its own of the item.

    It speaks of a channel, to the basis of the connector, or of what is on hand at a location.
    """

    sku: str
    code: str
    quantity: int | Decimal
    channel: str | None = None
    location: str | None = None


class Snapshot(Protocol[Told_contra]):
    """All that a system shows, page by page, to the end. Raises Failed where it cannot be read to the end."""

    def __call__(self, settings: Told_contra, world: "World") -> AsyncIterator[list[Level]]: ...


# Files ---------------------------------------------------------------------------------------------------------------


class FileSeen(msgspec.Struct, frozen=True):
    """A file as its shelf lists it; `changed` is the shelf's own time, in seconds, and compared with nothing else."""

    name: str
    size: int  # bytes
    changed: float


class Writing(Protocol):
    """What a file's bytes are written to, piece by piece; it may refuse to take more."""

    def write(self, piece: bytes, /) -> int: ...


class Shelf(Protocol):
    """Where another system leaves files for us: one folder, and folders in it. Names are plain, never a path.

    Each call may raise OSError; then nothing is known of what it was to do.
    """

    def prepare(self, folders: Sequence[str]) -> Awaitable[None]:
        """Make these folders where they are not."""
        ...

    def seen(self, folder: str = "") -> Awaitable[list[FileSeen]]:
        """The regular files in a folder."""
        ...

    def fetch(self, folder: str, name: str, to: Writing) -> Awaitable[None]:
        """Write what a file holds to another, piece by piece."""
        ...

    def move(self, folder: str, name: str, to_folder: str, to_name: str) -> Awaitable[None]:
        """Move a file; what it would replace must be asked for first. Raises FileNotFoundError when it is gone."""
        ...

    def put(self, folder: str, name: str, content: bytes) -> Awaitable[None]:
        """Write a whole file, under its name only once it is whole."""
        ...

    def remove(self, folder: str, name: str) -> Awaitable[None]:
        """Remove a file; one that is gone is removed."""
        ...


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How files are left on a shelf, and what their rows mean."""

    mapping: Rules
    pattern: str = "*"  # of names, as a shell reads it
    ready: Literal["still", "marker", "rename"] = "still"
    still_s: float = 10.0  # of `still`: size and time unchanged for so long
    marker: str = ".done"  # of `marker`: the ending of the file that says that NAME is whole


OpenShelf = Callable[[Settings, "World"], AbstractAsyncContextManager[Shelf]]


# Brokers -------------------------------------------------------------------------------------------------------------


class Arrived(msgspec.Struct, frozen=True):
    """A message as a broker or a poll gave it. The same kind with the same body is the same message, however often it comes."""

    body: bytes
    name: str = ""  # the topic, the subject, the vendor's kind of message
    id: str = ""  # what the sender calls it, for people
    headers: Mapping[str, str] = {}


Keep = Callable[[Sequence[Arrived]], Awaitable[None]]


class Listen(Protocol[Told_contra]):
    """Take what a broker has for us, until cancelled: `keep` returns once it is durable, and only then is it acknowledged.

    `keep` of nothing says that the broker is there and has nothing; it is said at least every 30 seconds. What `keep` raises is
    passed on, and nothing of it is acknowledged. Raises Failed, OSError, NotSent when the broker cannot be had; it is called again.
    """

    def __call__(self, settings: Told_contra, world: "World", keep: Keep) -> Awaitable[None]: ...


# Polling -------------------------------------------------------------------------------------------------------------


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a system is asked for again and again, in the order in which it changed."""

    name: str
    every_s: float = 300.0  # from the end of a pass to the next
    overlap_s: float = 600.0  # asked for again in each pass: what the system shows later than it dates it
    begins: datetime | None = None  # nothing older is asked for; unsaid: when it is asked for the first time


class Question(msgspec.Struct, frozen=True):
    """What changed in a stream since an instant of the system's own clock; `after` says where the page begins, None the first."""

    stream: str
    since: datetime
    after: str | None = None


class Polled(msgspec.Struct, frozen=True):
    """One page of an answer.

    `mark`: whatever changed before was brought, with this page; by the system's own clock, None where the page does not say.
    `after`: where the next page begins, None after the last one.
    """

    arrived: Sequence[Arrived]
    mark: datetime | None = None
    after: str | None = None


class Poll(Protocol[Told_contra]):
    """Ask a system for one page of what changed.

    What it brings is kept in one transaction with the place to go on from; pages come again after a crash, and in each overlap. A
    call that takes longer than 60 seconds is cut off. Raises Failed; after Rejected the next pass begins anew, from the mark.
    """

    def __call__(self, settings: Told_contra, world: "World", question: Question) -> Awaitable[Polled]: ...


# What a connector is handed ------------------------------------------------------------------------------------------


class Reply(msgspec.Struct, frozen=True):
    """What an HTTP server answered; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NotSent(Exception):  # noqa: N818 - it names what happened
    """No request left us: no name, no connection, no time. Doing it again cannot do it twice."""


class NotAllowed(NotSent):
    """No request left us, and none will: the operator does not allow this address. A person must mend the settings."""


class NotYet(NotSent):
    """No request left us: the operator's limit of calls to this system leaves no turn before `after_s` seconds."""

    def __init__(self, words: str, after_s: float) -> None:
        super().__init__(words)
        self.after_s = after_s


class ReplyCut(Exception):  # noqa: N818 - it names what happened
    """The request left and no whole answer came: it may have been done."""


class Http(Protocol):
    """The one guarded way out. It follows no redirect and keeps to the addresses and sizes that the operator allows.

    A reply of any status is a reply. Raises NotSent, NotAllowed, NotYet, ReplyCut.
    """

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = ...,
        body: bytes = b"",
        timeout_s: float = 30.0,
    ) -> Awaitable[Reply]: ...


class Files(Protocol):
    """A folder of this connection's own, under the data folder; names are plain, never a path."""

    def append(self, name: str, lines: Sequence[bytes]) -> Awaitable[None]:
        """Add whole lines; durable when it returns. What a crash left of a line is taken away first."""
        ...

    def holds(self, name: str, fragments: Sequence[bytes]) -> Awaitable[set[bytes]]:
        """Which of these stand in a whole line of the file."""
        ...


class Secrets(Protocol):
    """What opens the references in settings. Nothing it returns may be printed, logged or put into an outcome."""

    def open(self, reference: str) -> Awaitable[str]:
        """The secret behind `env:NAME` or `secret:NAME`.

        Raises Refusal of a code `secret.…`.
        """
        ...

    def keep(self, reference: str, value: str) -> Awaitable[None]:
        """Put another secret behind a `secret:NAME`; durable when it returns. For credentials that their system replaces.

        Raises Refusal of a code `secret.…`.
        """
        ...


class World(msgspec.Struct, frozen=True):
    """What a connector may reach. `memory` is what it may remember from call to call of one connection, until it is gone.

    `traceparent` is of what is told in this call (W3C), and goes out with every request of it.
    """

    http: Http | None
    files: Files
    secrets: Secrets | None = None
    memory: dict[str, Any] = msgspec.field(default_factory=dict)
    traceparent: str | None = None
    folder: Callable[[str], Path] | None = None  # a folder of ours by the name in settings; raises NotAllowed
    addresses: Callable[[str, int], Awaitable[Sequence[str]]] | None = (
        None  # of a host that may be called; raises NotAllowed
    )


# The connector ---------------------------------------------------------------------------------------------------------


class Connector(msgspec.Struct, Generic[Settings], frozen=True, kw_only=True):
    """A connector: what it can do is what it is given.

    `settings` is a record; what it does not know is refused with words when a connection is made. Secrets are held in
    settings by reference only (`env:NAME`, `secret:NAME`).
    """

    name: str
    summary: str  # one sentence, shown where connectors are chosen
    settings: type[Settings]
    translate: Translate[Settings] | None = None
    # takes webhooks: `translate` reads them, and `settings` extends HookSettings; what its settings decide, a function tells
    hook: Hook | Callable[[Settings], Hook | None] | None = None
    publish: Publish[Settings] | None = None
    basis: Basis | None = None  # required where `publish` is
    post: Post[Settings] | None = None
    command: Do[Settings] | None = None
    commands: Callable[[Settings], bool] = bool  # whether settings say how it is commanded
    observe: Observe[Settings] | None = None
    snapshot: Snapshot[Settings] | None = None
    delivery: Callable[[Settings], Delivery] | None = None  # takes files
    shelf: OpenShelf[Settings] | None = None  # required where `delivery` is
    listen: Listen[Settings] | None = None  # takes messages from a broker; `translate` reads them
    listens: Callable[[Settings], bool] = bool  # whether settings say that there is something to listen to
    poll: Poll[Settings] | None = None  # asks for what changed; `translate` reads what it brings
    streams: Callable[[Settings], Sequence[Stream]] | None = (
        None  # required where `poll` is; none: it is not asked
    )
    exposures_max: int = 100  # that one call of `publish` or `observe` takes

    def hook_of(self, settings: Settings) -> Hook | None:
        """How the webhooks of a connection with these settings are signed; None where it takes none."""
        return self.hook(settings) if callable(self.hook) else self.hook
