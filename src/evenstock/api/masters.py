"""POST /v1/items:batch and /v1/locations:batch: upserts, which also release what waited for them."""

from functools import cache
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

import msgspec
from starlette.responses import Response

from evenstock.api.operation import Call, Operation, read_body, respond
from evenstock.core.errors import Refusal
from evenstock.core.events import Identifier, Text
from evenstock.core.exact_json import escape
from evenstock.core.quantity import Amount, Factor, read, read_factor
from evenstock.core.reading import BATCH_EVENTS_MAX, is_identifier
from evenstock.pipeline.authority import check_author
from evenstock.pipeline.hub import Hub
from evenstock.postgres import masters

BATCH_MAX = BATCH_EVENTS_MAX
FACTOR_MAX = 10**18  # of a numerator or denominator: they are kept as bigint


class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """What one base unit is worth to the retailer: what exceptions count what is at stake with. It moves no stock."""

    amount: Amount
    currency: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}$")]  # ISO 4217


class ItemInput(msgspec.Struct, frozen=True, kw_only=True):
    """An item. `uoms` says how many base units each unit holds: {"CASE": "12"}, {"THIRD": "1/3"}."""

    sku: Identifier
    name: Text | None = None
    base_uom: Identifier = "EA"
    scale: Annotated[int, msgspec.Meta(ge=0, le=6)] = 0
    gtins: Annotated[list[Identifier], msgspec.Meta(max_length=100)] = []
    uoms: dict[Identifier, Annotated[str, msgspec.Meta(max_length=40)] | int] = {}
    codes: dict[Identifier, Identifier] = {}
    value: Worth | None = None


class ItemBatch(msgspec.Struct, frozen=True):
    items: list[ItemInput]


class LocationInput(msgspec.Struct, frozen=True, kw_only=True):
    """A place where stock can be. `count_policy` reads counts that took a while (counting rule C7)."""

    id: Identifier
    name: Text | None = None
    type: Literal["store", "warehouse", "dark_store", "dropship", "van"] = "store"
    timezone: str = "UTC"
    region: Identifier | None = None
    count_policy: Literal["low", "start", "end"] = "low"


class LocationBatch(msgspec.Struct, frozen=True):
    locations: list[LocationInput]


class Upserted(msgspec.Struct, frozen=True):
    """How many were made or changed, and how many held lines were booked because of it."""

    upserted: int
    released: int


async def post_items(call: Call) -> Response:
    batch = read_body(call, ItemBatch)
    check_number(len(batch.items))
    items = [_item(item, index) for index, item in enumerate(batch.items)]
    check_distinct([item.sku for item in batch.items], "items", "sku")
    async with call.hub.pool.acquire() as db:
        await check_author(db, "item_master", call.caller, call.hub.now())
        subjects = await masters.upsert_items(db, items, call.hub.now())
    return respond(Upserted(len(items), await call.hub.writer.release(subjects)))


async def post_locations(call: Call) -> Response:
    batch = read_body(call, LocationBatch)
    async with call.hub.pool.acquire() as db:
        await check_author(db, "location_master", call.caller, call.hub.now())
    return respond(await make_locations(call.hub, batch))


async def make_locations(hub: Hub, batch: LocationBatch) -> Upserted:
    """Make or change locations, and book what waited for them. Raises Refusal."""
    check_number(len(batch.locations))
    check_distinct([location.id for location in batch.locations], "locations", "id")
    for index, location in enumerate(batch.locations):
        check_location(location, f"/locations/{index}")
    async with hub.pool.acquire() as db:
        rows = [msgspec.structs.asdict(location) for location in batch.locations]
        subjects = await masters.upsert_locations(db, rows, hub.now())
    return Upserted(len(rows), await hub.writer.release(subjects))


def check_location(location: LocationInput, pointer: str) -> None:
    """What can be said of a location by itself. Raises Refusal."""
    if location.timezone not in _timezones():
        raise Refusal(
            "request.malformed", f"There is no time zone `{location.timezone}`.", f"{pointer}/timezone"
        )
    _check_identifiers((location.id,), f"{pointer}/id")
    _check_identifiers((location.region,), f"{pointer}/region")
    _check_name(location.name, pointer)


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())


def check_number(number: int) -> None:
    if number > BATCH_MAX:
        raise Refusal("limit.batch", f"{number:,} entries in one request; at most {BATCH_MAX:,} are taken.")


def check_distinct(names: list[str], field: str, name: str) -> None:
    seen: set[str] = set()
    for index, text in enumerate(names):
        if text in seen:
            raise Refusal(
                "request.malformed", f"`{text}` stands twice in this batch.", f"/{field}/{index}/{name}"
            )
        seen.add(text)
        _check_identifiers((text,), f"/{field}/{index}/{name}")


def _check_identifiers(texts: tuple[str | None, ...], pointer: str) -> None:
    for text in texts:
        if text is not None and not is_identifier(text):
            raise Refusal(
                "identifier.characters", f"{text!r} has characters that an identifier may not have.", pointer
            )


def _check_name(name: str | None, pointer: str) -> None:
    if name is not None and "\x00" in name:
        raise Refusal("identifier.characters", "The name holds a NUL character.", f"{pointer}/name")


def _item(item: ItemInput, index: int) -> dict[str, Any]:
    pointer = f"/items/{index}"
    _check_identifiers((item.base_uom, *item.gtins, *item.uoms, *item.codes, *item.codes.values()), pointer)
    _check_name(item.name, pointer)
    return {
        "sku": item.sku,
        "name": item.name,
        "base_uom": item.base_uom,
        "scale": item.scale,
        "gtins": item.gtins,
        "codes": item.codes,
        "value": None if item.value is None else _worth(item.value, pointer),
        "uoms": {uom: _factor(str(text), f"{pointer}/uoms/{escape(uom)}") for uom, text in item.uoms.items()},
    }


def _worth(value: Worth, pointer: str) -> tuple[str, str]:
    try:
        amount = read(value.amount)
    except ValueError as error:
        raise Refusal("request.malformed", f"{error}.", f"{pointer}/value/amount") from None
    if amount.digits < 0:
        raise Refusal("request.malformed", "A unit is worth nothing or more.", f"{pointer}/value/amount")
    return str(amount), value.currency


def _factor(text: str, pointer: str) -> Factor:
    try:
        factor = read_factor(text)
    except ValueError as error:
        raise Refusal("request.malformed", f"{error}.", pointer) from None
    if max(factor.numerator, factor.denominator) > FACTOR_MAX:
        raise Refusal("request.malformed", f"{text} is no factor that a unit can have.", pointer)
    return factor


OPERATIONS = (
    Operation(
        "POST", "/v1/items:batch", post_items, "Make or change items", "items:write", {200: Upserted},
        body=ItemBatch, refusals=("limit.batch", "item.scale_changed", "item.code_taken", "ownership.other", "ownership.disputed", "hub.memory_away"),
        description="Upserts by sku, all or none. Held lines that waited for these items are booked, oldest first.",
    ),
    Operation(
        "POST", "/v1/locations:batch", post_locations, "Make or change locations", "locations:write", {200: Upserted},
        body=LocationBatch, refusals=("limit.batch", "ownership.other", "ownership.disputed", "hub.memory_away"),
        description="Upserts by id, all or none. Held lines that waited for these locations are booked, oldest first.",
    ),
)  # fmt: skip
