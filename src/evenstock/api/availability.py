"""GET /v1/availability/{sku}: how much there is, where, and what may be promised; now, then, and as known then."""

from starlette.responses import Response

from evenstock.api.operation import INSTANT, TEXT, Call, Operation, Parameter, instant, query, respond
from evenstock.core.availability import Availability, of_location
from evenstock.core.errors import Refusal
from evenstock.postgres import ledger, stock
from evenstock.postgres.database import Connection


async def get_availability(call: Call) -> Response:
    sku = call.request.path_params["sku"]
    given = query(call, "location", "as_of", "known_at")
    if "\x00" in sku:
        raise Refusal("item.not_found", "There is no item with this sku.")
    if "as_of" in given or "known_at" in given:
        found = await _then(call, sku, given)
    else:
        found = await call.hub.reader.availability(sku)
    if found is None:
        raise Refusal("item.not_found", f"There is no item with the sku {sku}.")
    if "location" in given:
        found = of_location(found, given["location"])
    return respond(found)


async def _then(call: Call, sku: str, given: dict[str, str]) -> Availability | None:
    as_of = instant(given["as_of"], "as_of") if "as_of" in given else None
    hub = call.hub
    async with hub.pool.acquire() as db:
        known_at = await _known_at(db, given["known_at"]) if "known_at" in given else None
        return await stock.position_then(db, sku, hub.names, as_of=as_of, known_at=known_at, now=hub.now())


async def _known_at(db: Connection, text: str) -> int:
    """A number of the ledger; a time stands for the last one committed then, a later one for the newest (C13)."""
    newest, _ = await ledger.head(db)
    if text.isascii() and text.isdigit() and len(text) < 19:
        return min(int(text), newest)
    return await stock.seq_at(db, instant(text, "known_at"))


OPERATIONS = (
    Operation(
        "GET", "/v1/availability/{sku}", get_availability, "How an item stands", "availability:read", {200: Availability},
        parameters=(
            Parameter("sku", "The item, percent-encoded.", {"type": "string", "minLength": 1}, "path"),
            Parameter("location", "Only this location.", TEXT),
            Parameter("as_of", "What was true at this instant (when things happened).", INSTANT),
            Parameter("known_at", "What was known at this ledger_seq, or at this instant.", {"type": "string", "maxLength": 40}),
        ),
        refusals=("item.not_found",),
        description="Buckets and claims per location and in total. Every answer names its ledger_seq; asking with it as known_at "
        "gives the same answer for ever.",
    ),
)  # fmt: skip
