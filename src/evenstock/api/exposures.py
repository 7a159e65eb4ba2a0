"""GET /v1/exposures and /v1/exposures/log: what channels should see, and every number they were ever sent."""

from datetime import UTC, datetime, timedelta

import msgspec
from starlette.responses import Response

from evenstock.api.operation import (
    CURSOR,
    INSTANT,
    LIMIT,
    TEXT,
    Call,
    Operation,
    Parameter,
    instant,
    limit_of,
    query,
    respond,
)
from evenstock.api.reading import cursor_of, numbers_of
from evenstock.core.errors import Refusal
from evenstock.postgres import told
from evenstock.postgres.stock import SEQ_MAX
from evenstock.postgres.told import ExposureRow, SentRow

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
CURSOR_TIME_MAX = 200_000_000_000_000_000  # microseconds: no clock of ours shows it


class ExposurePage(msgspec.Struct, frozen=True):
    data: list[ExposureRow]
    next_cursor: str | None


class SentPage(msgspec.Struct, frozen=True):
    data: list[SentRow]
    next_cursor: str | None


async def get_exposures(call: Call) -> Response:
    given = query(call, "channel", "sku", "status", "limit", "cursor")
    limit = limit_of(given)
    status = given.get("status", "all")
    if status not in {"all", "open"}:
        raise Refusal(
            "request.malformed", "`status` is all, or open for those that the channel does not have."
        )
    after = numbers_of(given["cursor"], 3) if "cursor" in given else None
    if after is not None and after[2] >= 2**31:
        raise Refusal("request.malformed", "`cursor` is not one of ours: use next_cursor as it was given.")
    async with call.hub.pool.acquire() as db:
        rows, last = await told.exposures(
            db,
            given.get("channel"),
            given.get("sku"),
            (after[0], after[1], after[2]) if after else None,
            limit,
            owed=status == "open",
        )
    return respond(ExposurePage(rows, cursor_of([str(number) for number in last]) if last else None))


async def get_exposure_log(call: Call) -> Response:
    given = query(call, "channel", "sku", "since", "until", "limit", "cursor")
    limit = limit_of(given)
    if "channel" not in given:
        raise Refusal("request.malformed", "Say whose numbers: `channel` is missing.")
    before = None
    if "until" in given:
        before = (instant(given["until"], "until"), 0, 0)
    if "cursor" in given:
        at, item_id, version = numbers_of(given["cursor"], 3)
        if at > CURSOR_TIME_MAX:
            raise Refusal(
                "request.malformed", "`cursor` is not one of ours: use next_cursor as it was given."
            )
        before = (EPOCH + at * MICROSECOND, item_id, version)
    async with call.hub.pool.acquire() as db:
        await told.terms_at(db, given["channel"], call.hub.names, SEQ_MAX)
        rows, last = await told.sent(
            db,
            given["channel"],
            given.get("sku"),
            instant(given["since"], "since") if "since" in given else None,
            before,
            limit,
        )
    cursor = None if last is None else cursor_of([str((last[0] - EPOCH) // MICROSECOND), *map(str, last[1:])])
    return respond(SentPage(rows, cursor))


OPERATIONS = (
    Operation(
        "GET", "/v1/exposures", get_exposures, "What channels should see, were sent and confirmed", "exposures:read",
        {200: ExposurePage},
        parameters=(
            Parameter("channel", "Only this channel.", TEXT),
            Parameter("sku", "Only this item.", TEXT),
            Parameter("status", "all (default), or open: what the channel does not have.", {"type": "string", "enum": ["all", "open"]}),
            LIMIT,
            CURSOR,
        ),
        refusals=("limit.page",),
        description="One for each channel and item, what changed last first.",
    ),
    Operation(
        "GET", "/v1/exposures/log", get_exposure_log, "Every number ever sent to a channel", "exposures:read", {200: SentPage},
        parameters=(
            Parameter("channel", "Whose numbers; required.", TEXT),
            Parameter("sku", "Only this item.", TEXT),
            Parameter("since", "Sent at or after.", INSTANT),
            Parameter("until", "Sent before: with limit=1 what the channel had been told then.", INSTANT),
            LIMIT,
            CURSOR,
        ),
        refusals=("limit.page", "channel.unknown"),
        description="Newest first, for ever. Each names the ledger_seq it was computed from: explain with it as known_at tells why.",
    ),
)  # fmt: skip
