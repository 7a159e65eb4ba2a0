"""/v1/reservations: hold, confirm, allocate, release; atomic over lines, with alternatives where there is too little."""

import hashlib
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
from starlette.responses import Response

from evenstock.api import problems
from evenstock.api.operation import JSON, TEXT, Call, Operation, Parameter, query, read_body, respond
from evenstock.core.errors import Refusal
from evenstock.core.events import IDENTIFIER_MAX, Identifier, ItemRef, Text
from evenstock.core.names import internal_id
from evenstock.core.quantity import Amount, Quantity, read
from evenstock.core.reading import is_identifier
from evenstock.core.reservations import Confirm, Release, ReservationTold, told
from evenstock.core.tracing.ids import derived
from evenstock.pipeline.promise import No, WantAllocate, Wanted, WantedLine, WantReserve
from evenstock.postgres import promises

LINES_MAX: Final = 500
EXPIRES_IN_MAX_S: Final = 366 * 86_400


class Fulfil(msgspec.Struct, frozen=True):
    """Where the line is to be handed over."""

    pickup_at: Identifier | None = None


class LineInput(msgspec.Struct, frozen=True, kw_only=True):
    line: Identifier
    item: ItemRef
    quantity: Amount
    uom: Identifier | None = None
    fulfil: Fulfil = Fulfil()


class ReservationInput(msgspec.Struct, frozen=True, kw_only=True):
    """What to promise. Known by its order_ref (and channel), or by the Idempotency-Key of the request."""

    lines: Annotated[list[LineInput], msgspec.Meta(min_length=1, max_length=LINES_MAX)]
    channel: Identifier | None = None
    order_ref: Identifier | None = None
    expires_in_s: Annotated[int, msgspec.Meta(ge=1, le=EXPIRES_IN_MAX_S)] | None = None
    policy: Literal["all_or_nothing", "partial"] = "all_or_nothing"


class ConfirmInput(msgspec.Struct, frozen=True):
    """An order that is paid never expires; one that is not expires as its channel says."""

    paid: bool = True


class AllocateInput(msgspec.Struct, frozen=True):
    """All of it at this location; without one, where each line is placed."""

    location: Identifier | None = None


class ReleaseLine(msgspec.Struct, frozen=True):
    """All of a line, or so many base units of it."""

    line: Identifier
    quantity: Amount | None = None


class ReleaseInput(msgspec.Struct, frozen=True):
    """Everything, or some lines. The same release again is the same release: another needs its own Idempotency-Key."""

    reason: Text | None = None
    lines: Annotated[list[ReleaseLine], msgspec.Meta(min_length=1, max_length=LINES_MAX)] | None = None


async def post_reservations(call: Call) -> Response:
    body = read_body(call, ReservationInput)
    key = _idempotency_key(call)
    if body.order_ref is None and key is None:
        raise Refusal(
            "idempotency.required", "The request has neither order_ref nor Idempotency-Key.", "/order_ref"
        )
    lines = tuple(_line(line, index) for index, line in enumerate(body.lines))
    _check_names(body)
    return await _answer(
        call,
        WantReserve(
            connection_id=min(call.caller.connection_ids, default=0),
            channel=body.channel,
            order_ref=body.order_ref,
            lines=lines,
            all_or_nothing=body.policy == "all_or_nothing",
            expires_in=None if body.expires_in_s is None else timedelta(seconds=body.expires_in_s),
            request=None if key is None else (call.caller.key_id, key),
            digest=_digest(body) if key is not None else b"",
            trace_id=call.trace_id,
        ),
    )


async def confirm_reservation(call: Call) -> Response:
    body = read_body(call, ConfirmInput) if call.body.strip() else ConfirmInput()
    return await _answer(call, Confirm(_id(call), body.paid))


async def allocate_reservation(call: Call) -> Response:
    body = read_body(call, AllocateInput) if call.body.strip() else AllocateInput()
    return await _answer(call, WantAllocate(_id(call), body.location))


async def release_reservation(call: Call) -> Response:
    body = read_body(call, ReleaseInput) if call.body.strip() else ReleaseInput()
    if body.reason is not None and "\x00" in body.reason:
        raise Refusal("identifier.characters", "The reason holds a NUL character.", "/reason")
    lines = None
    if body.lines is not None:
        if len({line.line for line in body.lines}) < len(body.lines):
            raise Refusal("request.malformed", "A line stands twice.", "/lines")
        lines = tuple(
            (line.line, None if line.quantity is None else _quantity(line.quantity, index))
            for index, line in enumerate(body.lines)
        )
    digest = _digest(body)
    key = _idempotency_key(call)
    return await _answer(
        call,
        Release(_id(call), f"key:{key}" if key else f"same:{digest.hex()}", digest, body.reason, lines),
    )


async def get_reservation(call: Call) -> Response:
    query(call)
    hub = call.hub
    async with hub.pool.acquire() as db:
        found = await promises.find(db, _id(call))
        if found is None:
            raise Refusal(
                "reservation.not_found", f"There is no reservation {call.request.path_params['id']}."
            )
        names = await hub.names.read(db, {claim.location_id for claim in found.claims})
    return respond(_traced(call, told(found, names, hub.now())))


async def _answer(call: Call, wanted: Wanted) -> Response:
    found = await call.hub.promiser.submit(wanted)
    if isinstance(found, No):
        members = (
            JSON.encode({"alternatives": found.alternatives})
            if found.problem.meaning.status == 409
            else b"{}"
        )
        return problems.answer(call.request, found.problem, members=members)
    return respond(_traced(call, found.reservation), 201 if found.is_new else 200)


def _traced(call: Call, found: ReservationTold) -> ReservationTold:
    """With the trace id that follows from its number, where its caller gave none."""
    number = internal_id(found.id)
    if found.trace_id is not None or number is None:
        return found
    return msgspec.structs.replace(found, trace_id=derived(call.hub.tag, "reservation", number))


def _id(call: Call) -> int:
    text = call.request.path_params["id"]
    found = internal_id(text)
    if found is None:
        raise Refusal("reservation.not_found", "There is no reservation with this id.")
    return found


def _idempotency_key(call: Call) -> str | None:
    key = call.request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= IDENTIFIER_MAX and is_identifier(key)):
        raise Refusal(
            "request.malformed", f"An Idempotency-Key has 1 to {IDENTIFIER_MAX} printable characters."
        )
    return key


def _digest(body: Any) -> bytes:
    """What must be the same for two requests to be one."""
    return hashlib.sha256(msgspec.json.encode(body, order="deterministic")).digest()


def _check_names(body: ReservationInput) -> None:
    seen: set[str] = set()
    for index, line in enumerate(body.lines):
        if line.line in seen:
            raise Refusal(
                "event.repeated_line", f"The line id `{line.line}` stands twice.", f"/lines/{index}/line"
            )
        seen.add(line.line)
        if not is_identifier(line.line):
            raise Refusal(
                "identifier.characters",
                "The line id has characters that it may not have.",
                f"/lines/{index}/line",
            )
    if body.order_ref is not None and not is_identifier(body.order_ref):
        raise Refusal(
            "identifier.characters", "The order_ref has characters that it may not have.", "/order_ref"
        )


def _line(line: LineInput, index: int) -> WantedLine:
    ref = line.item
    if (ref.sku is None) + (ref.gtin is None) + (ref.id is None) != 2:
        raise Refusal(
            "request.malformed",
            "An item is named by exactly one of sku, gtin and id.",
            f"/lines/{index}/item",
        )
    if not is_identifier(ref.sku or ref.gtin or ref.id or ""):
        raise Refusal(
            "identifier.characters", "The item has characters that it may not have.", f"/lines/{index}/item"
        )
    return WantedLine(line.line, ref, _quantity(line.quantity, index), line.uom, line.fulfil.pickup_at)


def _quantity(amount: str | int, index: int) -> Quantity:
    try:
        found = read(amount)
    except ValueError as error:
        raise Refusal("quantity.pattern", f"{error}.", f"/lines/{index}/quantity") from None
    if found.digits <= 0:
        raise Refusal(
            "quantity.not_positive", f"{found} is not a quantity to promise.", f"/lines/{index}/quantity"
        )
    return found


ID = Parameter("id", "rsv_…, as it was answered.", TEXT, "path")
REFUSALS: Final = ("reservation.not_found", "reservation.ended", "hub.overloaded", "hub.stopping")
OPERATIONS = (
    Operation(
        "POST", "/v1/reservations", post_reservations, "Reserve", "reservations:write", {200: ReservationTold, 201: ReservationTold},
        body=ReservationInput,
        parameters=(),
        refusals=(
            "reservation.insufficient", "reservation.changed", "reservation.no_place", "channel.unknown", "stock.unknown_item",
            "stock.unknown_location", "stock.unknown_uom", "stock.too_precise", "quantity.not_positive", "quantity.too_large",
            "event.repeated_line", "identifier.characters", "idempotency.required", "idempotency.key_reused", "hub.overloaded",
            "hub.stopping",
        ),
        description="Promises units of all lines or of none (policy `partial`: as many as there are). The same order_ref again "
        "answers the same reservation; after its end it makes a new one. Where there is too little, `alternatives` names where more is.",
    ),
    Operation(
        "GET", "/v1/reservations/{id}", get_reservation, "A reservation", "reservations:read", {200: ReservationTold},
        parameters=(ID,), refusals=("reservation.not_found",),
    ),
    Operation(
        "POST", "/v1/reservations/{id}:confirm", confirm_reservation, "The cart became an order", "reservations:write",
        {200: ReservationTold}, parameters=(ID,), body=ConfirmInput, refusals=("reservation.expired", *REFUSALS),
        description="A confirmed order that is paid never expires. What has expired is promised again if it is still there.",
    ),
    Operation(
        "POST", "/v1/reservations/{id}:allocate", allocate_reservation, "Tie it to work at a location", "reservations:write",
        {200: ReservationTold}, parameters=(ID,), body=AllocateInput,
        refusals=("reservation.expired", "reservation.insufficient", "stock.unknown_location", *REFUSALS),
    ),
    Operation(
        "POST", "/v1/reservations/{id}:release", release_reservation, "Give it back", "reservations:write", {200: ReservationTold},
        parameters=(ID,), body=ReleaseInput,
        refusals=(
            "reservation.no_line", "idempotency.key_reused", "quantity.pattern", "quantity.not_positive", "stock.too_precise",
            "quantity.too_large", "identifier.characters", *REFUSALS,
        ),
        description="Whole, by line, or partly. More than there is releases what there is and tells the excess.",
    ),
)  # fmt: skip
