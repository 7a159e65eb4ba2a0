"""GET /v1/availability/{sku}: how much there is, where, and what may be promised; now, then, and as known then; and why."""

from typing import Annotated

import msgspec
from starlette.responses import Response

from evenstock.api.masters import check_number
from evenstock.api.operation import (
    INSTANT,
    TEXT,
    Call,
    Operation,
    Parameter,
    instant,
    query,
    read_body,
    respond,
)
from evenstock.core.availability import Availability, of_channel, of_location
from evenstock.core.errors import Refusal
from evenstock.core.explaining import Explanation
from evenstock.core.exposure import Terms
from evenstock.core.reading import BATCH_EVENTS_MAX
from evenstock.pipeline.explain import explain
from evenstock.postgres import ledger, stock, told
from evenstock.postgres.database import Connection

SKUS_MAX = BATCH_EVENTS_MAX  # of one query
SKU_CHARACTERS_MAX = 1_000  # beyond it nobody's sku is meant


class AvailabilityQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Items that are asked for together, as they are now; at one location, or for one channel."""

    skus: list[Annotated[str, msgspec.Meta(min_length=1, max_length=SKU_CHARACTERS_MAX)]]
    channel: str | None = None
    location: str | None = None


class Availabilities(msgspec.Struct, frozen=True):
    """The items in the order in which they were asked for, all as of one ledger_seq; those that nobody knows by themselves."""

    data: list[Availability]
    unknown: list[str]


async def get_availability(call: Call) -> Response:
    sku = _sku(call)
    given = query(call, "channel", "location", "as_of", "known_at")
    if "channel" in given and "location" in given:
        raise Refusal("request.malformed", "Ask for a `channel` or for a `location`, not for both.")
    if "as_of" in given or "known_at" in given:
        async with call.hub.pool.acquire() as db:
            found = await _then(db, call, sku, given)
    else:
        found = await call.hub.reader.availability(sku)
        if found is not None and "channel" in given:
            async with call.hub.pool.acquire() as db:
                (found,) = await _of_channel(db, call, given["channel"], [found])
    if found is None:
        raise _no_item(sku)
    return respond(of_location(found, given["location"]) if "location" in given else found)


async def query_availability(call: Call) -> Response:
    wanted = read_body(call, AvailabilityQuery)
    check_number(len(wanted.skus))
    if wanted.channel is not None and wanted.location is not None:
        raise Refusal("request.malformed", "Ask for a channel or for a location, not for both.", "/location")
    names = [sku for sku in dict.fromkeys(wanted.skus) if "\x00" not in sku]
    async with call.hub.pool.acquire() as db:
        known = await stock.positions_of(db, names, call.hub.names, call.hub.now())
        found = [known[sku] for sku in wanted.skus if sku in known]
        if wanted.channel is not None:
            found = await _of_channel(db, call, wanted.channel, found)
    if wanted.location is not None:
        found = [of_location(each, wanted.location) for each in found]
    return respond(Availabilities(found, [sku for sku in dict.fromkeys(wanted.skus) if sku not in known]))


async def explain_availability(call: Call) -> Response:
    sku = _sku(call)
    given = query(call, "channel", "as_of", "known_at")
    as_of = instant(given["as_of"], "as_of") if "as_of" in given else None
    hub = call.hub
    async with hub.pool.acquire() as db:
        known_at = await _known_at(db, given["known_at"]) if "known_at" in given else None
        found = await explain(
            db, hub.names, sku, given.get("channel"), as_of=as_of, known_at=known_at, now=hub.now()
        )
    if found is None:
        raise _no_item(sku)
    return respond(found)


def _sku(call: Call) -> str:
    sku: str = call.request.path_params["sku"]
    if "\x00" in sku:
        raise Refusal("item.not_found", "There is no item with this sku.")
    return sku


def _no_item(sku: str) -> Refusal:
    return Refusal("item.not_found", f"There is no item with the sku {sku}.")


async def _of_channel(
    db: Connection, call: Call, channel: str, found: list[Availability]
) -> list[Availability]:
    """The same answers for a channel, by its terms as they are, with what it was told."""
    terms = (await told.terms_at(db, channel, call.hub.names)).terms or Terms()
    says = await told.exposures_of(db, channel, [each.sku for each in found])
    exposures = {sku: each.exposure for sku, each in says.items()}
    return [
        of_channel(each, channel, terms.locations, terms.safety_stock, exposures.get(each.sku))
        for each in found
    ]


async def _then(db: Connection, call: Call, sku: str, given: dict[str, str]) -> Availability | None:
    """The answer as of then and as known then; for a channel, by the terms that it had then."""
    hub = call.hub
    as_of = instant(given["as_of"], "as_of") if "as_of" in given else None
    known_at = await _known_at(db, given["known_at"]) if "known_at" in given else None
    found = await stock.position_then(db, sku, hub.names, as_of=as_of, known_at=known_at, now=hub.now())
    if found is None or "channel" not in given:
        return found
    until = await stock.claims_seq(db, as_of, known_at)
    terms = (await told.terms_at(db, given["channel"], hub.names, until)).terms or Terms()
    return of_channel(found, given["channel"], terms.locations, terms.safety_stock, None)


async def _known_at(db: Connection, text: str) -> int:
    """A number of the ledger; a time stands for the last one committed then, a later one for the newest (C13)."""
    newest, _ = await ledger.head(db)
    if text.isascii() and text.isdigit() and len(text) < 19:
        return min(int(text), newest)
    return await stock.seq_at(db, instant(text, "known_at"))


SKU = Parameter("sku", "The item, percent-encoded.", {"type": "string", "minLength": 1}, "path")
CHANNEL = Parameter("channel", "For this channel: from its locations, less what it keeps back.", TEXT)
AS_OF = Parameter("as_of", "What was true at this instant (when things happened).", INSTANT)
KNOWN_AT = Parameter(
    "known_at", "What was known at this ledger_seq, or at this instant.", {"type": "string", "maxLength": 40}
)

OPERATIONS = (
    # before the item: a sku may hold slashes
    Operation(
        "GET", "/v1/availability/{sku}/explain", explain_availability, "Why a number is what it is", "availability:read",
        {200: Explanation}, parameters=(SKU, CHANNEL, AS_OF, KNOWN_AT), refusals=("item.not_found", "channel.unknown"),
        description="The terms of a number with their locations and what is behind them; they add up to it, always. With the sentence in "
        "plain words and what the channel was told.",
    ),
    Operation(
        "GET", "/v1/availability/{sku}", get_availability, "How an item stands", "availability:read", {200: Availability},
        parameters=(SKU, CHANNEL, Parameter("location", "Only this location.", TEXT), AS_OF, KNOWN_AT),
        refusals=("item.not_found", "channel.unknown"),
        description="Buckets and claims per location and in total. Every answer names its ledger_seq; asking with it as known_at "
        "gives the same answer for ever.",
    ),
    Operation(
        "POST", "/v1/availability:query", query_availability, "How many items stand", "availability:read", {200: Availabilities},
        body=AvailabilityQuery, refusals=("limit.batch", "channel.unknown"),
        description="Up to 1,000 items as of one ledger_seq, in the order in which they are asked for.",
    ),
)  # fmt: skip
