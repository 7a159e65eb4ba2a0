"""POST /v1/channels:batch and /v1/connections:batch: where we sell, and whom we talk to."""

from typing import Annotated, Any, Literal

import msgspec
from starlette.responses import Response

from evenstock.api.masters import check_distinct, check_number
from evenstock.api.operation import Call, Operation, read_body, respond
from evenstock.connectors.contract import Connector
from evenstock.connectors.found import configured, found
from evenstock.core.channels import HOLD, UNPAID
from evenstock.core.errors import Refusal
from evenstock.core.events import Identifier, Text
from evenstock.core.postings import Books
from evenstock.core.windows import Closed
from evenstock.pipeline.bases import bases
from evenstock.pipeline.hub import Hub
from evenstock.postgres import channels

SECONDS_MAX = 366 * 86_400

Seconds = Annotated[int, msgspec.Meta(ge=1, le=SECONDS_MAX)]


class ChannelInput(msgspec.Struct, frozen=True, kw_only=True):
    """A channel. Reservations are placed on `locations` in their order; each keeps `safety_stock` base units back from it.

    A cart is held for `hold_s`, an order that is not paid for `unpaid_s`; a paid one never expires. The channel's numbers are
    told to `connection` once the ledger has them (`publish_on` hub_commit), once an ERP's books have acknowledged what is behind
    them (erp_confirm), or only computed (never). `confirmed_by` names the connection that keeps those books; the only one needs no name.
    """

    id: Identifier
    name: Text | None = None
    locations: Annotated[list[Identifier], msgspec.Meta(max_length=1_000)] = []
    safety_stock: Annotated[int, msgspec.Meta(ge=0, le=10**12)] = 0
    connection: Identifier | None = None
    hold_s: Seconds = int(HOLD.total_seconds())
    unpaid_s: Seconds = int(UNPAID.total_seconds())
    publish_on: Literal["hub_commit", "erp_confirm", "never"] = "hub_commit"
    confirmed_by: Identifier | None = None


class ChannelBatch(msgspec.Struct, frozen=True):
    channels: list[ChannelInput]


class ConnectionInput(msgspec.Struct, frozen=True, kw_only=True):
    """One configured instance of a connector; secrets only by reference.

    `books`: its system keeps books of our stock, and is sent postings. `works`: locations whose work its system does; it is sent
    commands to pick what is allocated there, and to cancel what is given back. A location is worked by one system. `closed`: times at which nothing is sent. `calls_per_s`: at most
    so many; without it, what its answers teach. `flow`: off, nothing goes out and nothing is lost; observe, it is only looked at;
    shadow, what would be sent is decided and written down, and not sent; live, it is sent. `expect_within_s`: facts are expected of it
    this often, and a person is told when it is silent for longer.
    """

    id: Identifier
    connector: Identifier = "api"
    settings: dict[str, Any] = {}
    books: Books | None = None
    works: Annotated[list[Identifier], msgspec.Meta(max_length=1_000)] = []
    closed: Annotated[list[Closed], msgspec.Meta(max_length=50)] = []
    calls_per_s: Annotated[float, msgspec.Meta(gt=0, le=10_000)] | None = None
    flow: Literal["off", "observe", "shadow", "live"] = "live"
    expect_within_s: Seconds | None = None


class ConnectionBatch(msgspec.Struct, frozen=True):
    connections: list[ConnectionInput]


class Made(msgspec.Struct, frozen=True):
    upserted: int


def works_nowhere(connection: ConnectionInput, fitted: tuple[Connector[Any], Any] | None) -> str | None:
    """Why a connection cannot work at locations, in words; None when it can. `fitted`: its connector and settings that fit it."""
    if fitted is None or fitted[0].command is None:
        able = ", ".join(sorted(name for name, one in found().items() if one.command is not None))
        words = (
            f"The connector `{connection.connector}` takes no commands, so `{connection.id}` works nowhere."
        )
        return f"{words} These do: {able}."
    if not fitted[0].commands(fitted[1]):
        words = (
            f"The settings of `{connection.id}` do not say how its system is commanded, so it works nowhere."
        )
        return f"{words} The README of `{connection.connector}` tells how."
    return None


async def post_channels(call: Call) -> Response:
    return respond(await make_channels(call.hub, read_body(call, ChannelBatch)))


async def make_channels(hub: Hub, batch: ChannelBatch) -> Made:
    """Make or change channels. Raises Refusal."""
    check_number(len(batch.channels))
    check_distinct([channel.id for channel in batch.channels], "channels", "id")
    for index, channel in enumerate(batch.channels):
        check_distinct(channel.locations, f"channels/{index}/locations", "")
    rows = [msgspec.structs.asdict(channel) for channel in batch.channels]
    async with hub.pool.acquire() as db:
        await channels.upsert_channels(db, rows, hub.now(), bases())
    return Made(len(rows))


async def post_connections(call: Call) -> Response:
    return respond(await make_connections(call.hub, read_body(call, ConnectionBatch)))


async def make_connections(hub: Hub, batch: ConnectionBatch) -> Made:
    """Make or change connections. Raises Refusal."""
    check_number(len(batch.connections))
    check_distinct([connection.id for connection in batch.connections], "connections", "id")
    for index, connection in enumerate(batch.connections):
        fitted = configured(connection.connector, connection.settings, f"/connections/{index}")
        if connection.books is not None and (fitted is None or fitted[0].post is None):
            words = f"The connector `{connection.connector}` takes no postings, so `{connection.id}` cannot keep books."
            raise Refusal("connection.settings", words, f"/connections/{index}/books")
        check_distinct(connection.works, f"connections/{index}/works", "")
        if connection.works and (why := works_nowhere(connection, fitted)):
            raise Refusal("connection.works", why, f"/connections/{index}/works")
    rows = [msgspec.structs.asdict(connection) for connection in batch.connections]
    async with hub.pool.acquire() as db:
        await channels.upsert_connections(db, rows, hub.now(), bases())
    hub.connections.forget()
    return Made(len(rows))


OPERATIONS = (
    Operation(
        "POST", "/v1/channels:batch", post_channels, "Make or change channels", "channels:write", {200: Made},
        body=ChannelBatch,
        refusals=("limit.batch", "stock.unknown_location", "connection.unknown", "channel.no_books", "identifier.characters"),
        description="Upserts by id, all or none.",
    ),
    Operation(
        "POST", "/v1/connections:batch", post_connections, "Make or change connections", "connections:write", {200: Made},
        body=ConnectionBatch,
        refusals=("limit.batch", "identifier.characters", "connector.unknown", "connection.settings", "connection.works", "channel.no_books", "stock.unknown_location"),
        description="Upserts by id, all or none. Settings are those of the connector; secrets are references, never the secret.",
    ),
)  # fmt: skip
