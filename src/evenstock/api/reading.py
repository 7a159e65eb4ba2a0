"""GET /v1/movements: lines of the ledger by cursor, newest first."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

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
from evenstock.core.errors import Refusal
from evenstock.postgres import stock
from evenstock.postgres.stock import MovementFilter, MovementRow

CURSOR_MAX = (2**62, 2**31 - 1, 2**62)  # of its first, second and third number


class MovementPage(msgspec.Struct, frozen=True):
    data: list[MovementRow]
    next_cursor: str | None


async def get_movements(call: Call) -> Response:
    given = query(call, "sku", "location", "why", "since", "until", "known_at", "limit", "cursor")
    limit = limit_of(given)
    wanted = MovementFilter(
        sku=given.get("sku"),
        location=given.get("location"),
        why=given.get("why"),
        since=instant(given["since"], "since") if "since" in given else None,
        until=instant(given["until"], "until") if "until" in given else None,
        known_at=_number(given["known_at"], "known_at") if "known_at" in given else None,
    )
    after = numbers_of(given["cursor"], 2) if "cursor" in given else None
    async with call.hub.pool.acquire() as db:
        rows = await stock.movements(db, wanted, (after[0], after[1]) if after else None, limit, call.hub.tag)
    last = rows[-1].id.split("_")[1:] if len(rows) == limit else None
    return respond(MovementPage(rows, cursor_of(last) if last else None))


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Refusal("request.malformed", f"`{name}` is a ledger_seq, a whole number.")
    return int(text)


def cursor_of(numbers: list[str]) -> str:
    """Numbers as an opaque cursor."""
    return urlsafe_b64encode(".".join(numbers).encode()).decode().rstrip("=")


def numbers_of(cursor: str, count: int) -> list[int]:
    """The numbers of a cursor that was given out.

    Raises Refusal `request.malformed`.
    """
    try:
        parts = (
            urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode("ascii").split(".")
        )
        numbers = [int(part) for part in parts if part.isdigit() and len(part) < 20]
    except (ValueError, UnicodeError):
        numbers = []
    if len(numbers) != count or any(number > most for number, most in zip(numbers, CURSOR_MAX, strict=False)):
        raise Refusal("request.malformed", "`cursor` is not one of ours: use next_cursor as it was given.")
    return numbers


OPERATIONS = (
    Operation(
        "GET", "/v1/movements", get_movements, "Lines of the ledger", "movements:read", {200: MovementPage},
        parameters=(
            Parameter("sku", "Only this item.", TEXT),
            Parameter("location", "Only this location.", TEXT),
            Parameter("why", "Only of this kind: sale, return, receipt, count, …", TEXT),
            Parameter("since", "Happened at or after.", INSTANT),
            Parameter("until", "Happened before.", INSTANT),
            Parameter("known_at", "As known at this ledger_seq.", {"type": "integer", "minimum": 0}),
            LIMIT,
            CURSOR,
        ),
        refusals=("limit.page",),
        description="Newest knowledge first. Each line names its two places, the fact behind it, when it happened and when we knew.",
    ),
)  # fmt: skip
