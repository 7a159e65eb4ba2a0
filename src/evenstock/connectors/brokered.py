"""What connectors to brokers have in common: what a message means, what a number or command looks like as one, and where a broker is.

A message is events as `/v1/events` takes them (one, or a list), without `source`; or what a mapping makes of it.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from evenstock.connectors.contract import (
    Command,
    Exposure,
    Failed,
    JsonObject,
    Message,
    NotAllowed,
    NotSent,
    Outcome,
    Rejected,
    RetryLater,
    SecretRef,
    Unauthorized,
    Unknown,
    Untranslatable,
    World,
)
from evenstock.connectors.reading import json_of, untranslatable
from evenstock.core.errors import Refusal
from evenstock.core.mapping import DocumentMapper, read_mapping

MESSAGES_MAX: Final = 200  # that are kept at once
HEARD_EVERY_S: Final = 10.0  # that a broker with nothing for us is there
CONNECT_WITHIN_S: Final = 10.0
DETAIL_MAX: Final = 300  # characters of a broker's words

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_encoder: Final = msgspec.json.Encoder(decimal_format="number")


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """What every connection to a broker must be told; its own settings extend this."""

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
    user: str | None = None
    password: SecretRef | None = None
    mapping: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        _split(self.url)
        try:
            mapper = self.mapper
        except Refusal as refusal:
            raise ValueError(refusal.problem.detail) from None
        if mapper is not None and mapper.mapping.file.format != "json":
            raise ValueError('mapping: say format = "json" under [file]')

    @cached_property
    def mapper(self) -> DocumentMapper | None:
        return None if self.mapping is None else DocumentMapper(read_mapping(self.mapping, "mapping"))


class Broker(msgspec.Struct, frozen=True):
    """Where a broker is, judged; and who we are there."""

    host: str
    port: int
    address: str
    tls: bool
    user: str | None
    password: str | None


def _split(url: str) -> SplitResult:
    found = urlsplit(url)
    if not found.hostname or found.username or found.password or found.path.strip("/"):
        raise ValueError("url: write scheme://host:port; user and password are settings of their own")
    _ = found.port  # raises ValueError when it is none
    return found


async def broker(settings: BrokerSettings, world: World, port: int, tls: Sequence[str]) -> Broker:
    """Where a broker is: `port` unless the URL names one; `tls` are the schemes that say so.

    Raises NotAllowed, OSError, Refusal of a code `secret.…`.
    """
    if world.addresses is None or world.secrets is None:
        raise NotAllowed("Brokers are reached by a running hub only.")
    found = _split(settings.url)
    host, port = found.hostname or "", found.port or port
    addresses = await world.addresses(host, port)
    password = None if settings.password is None else await world.secrets.open(settings.password)
    return Broker(host, port, addresses[0], found.scheme in tls, settings.user, password)


def translate(settings: BrokerSettings, message: Message) -> list[JsonObject]:
    """The events of a message."""
    document = json_of(message)
    if settings.mapper is not None:
        try:
            return settings.mapper.events_of(document)
        except Refusal as refusal:
            raise untranslatable(refusal) from None
    events = document if isinstance(document, list) else [document]
    for index, event in enumerate(events):
        if not isinstance(event, dict):
            where = f"/{index}" if isinstance(document, list) else ""
            raise Untranslatable("message.shape", "An event is an object.", where)
    return [{name: value for name, value in event.items() if name != "source"} for event in events]


class Outgoing(msgspec.Struct, frozen=True):
    """A message to a broker. Those of one `place` and `thing` stay in order: a channel's item, a location's reservation."""

    place: str
    thing: str
    key: str  # the same in each try
    body: bytes
    is_state: bool  # a later one stands instead of it


def number_of(exposure: Exposure, thing: str) -> Outgoing:
    """A number as it goes to a broker; `thing` is how the item is named there."""
    return Outgoing(exposure.channel, thing, exposure.key, body_of(exposure), is_state=True)


def command_of(command: Command) -> Outgoing:
    """A command as it goes to a broker. Whoever reads it does once what comes under one key."""
    told = msgspec.structs.asdict(command)
    del told["again"]
    return Outgoing(command.location, command.reservation, command.key, _encoder.encode(told), is_state=False)


def nowhere(setting: str) -> Outcome:
    """A connection that was not told where something goes."""
    return Rejected(f"The connection does not say where `{setting}` go.", "settings")


def body_of(exposure: Exposure) -> bytes:
    """A number as a message. Of two for one channel and sku the one with the higher version holds."""
    told = {
        "channel": exposure.channel,
        "sku": exposure.sku,
        "code": exposure.code,
        "quantity": exposure.quantity,
        "version": exposure.version,
        "key": exposure.key,
        "ledger_seq": exposure.ledger_seq,
        "computed_at": exposure.computed_at,
        "trace_id": exposure.trace_id,
    }
    return _encoder.encode(told)


def not_sent(error: Exception) -> Outcome:
    """What it means that a broker could not be had, before anything was sent."""
    if isinstance(error, NotAllowed):
        return Unauthorized(str(error)[:DETAIL_MAX])
    if isinstance(error, Refusal):
        return Unauthorized(error.problem.detail)
    return RetryLater(f"The broker cannot be reached: {words(error)}")


def cut_off(error: Exception) -> Outcome:
    """What it means that a broker did not confirm what was sent."""
    return Unknown(f"The broker did not confirm: {words(error)}")


def lost(error: Exception) -> Failed:
    """A broker that cannot be had, or went away while it was listened to."""
    return Failed(RetryLater(f"The broker cannot be had: {words(error)}"))


def words(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:DETAIL_MAX]


UNREACHED: Final = (NotSent, OSError, TimeoutError, Refusal)
