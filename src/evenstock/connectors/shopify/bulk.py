"""All levels of a store as one file: asked for once, written by the store in its own time, fetched in pieces.

It spends no points, however many items there are. A store that is busy with another file for us is read page by page instead.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from evenstock.connectors.calling import call, not_understood
from evenstock.connectors.contract import Failed, Rejected, RetryLater, Unauthorized, World
from evenstock.connectors.shopify import documents
from evenstock.connectors.shopify.documents import BulkLine, BulkOperation
from evenstock.connectors.shopify.shop import Shop

FIRST_LOOK_S: Final = 0.2  # after it was asked for; then twice as long each time
LOOK_EVERY_MAX_S: Final = 10.0
READY_WITHIN_S: Final = 1_200.0
PIECE_BYTES: Final = 4 * 1024 * 1024
PIECES_MAX: Final = 2_500  # 10 GB
LINE_BYTES_MAX: Final = 1024 * 1024
UNDER_WAY: Final = frozenset({"CREATED", "RUNNING", "CANCELING"})
BUSY: Final = frozenset({"OPERATION_IN_PROGRESS", "LIMIT_REACHED"})
_decoder: Final = msgspec.json.Decoder(BulkLine)


async def started(shop: Shop) -> BulkOperation | None:
    """The file that the store begins to write; None when it is busy with another.

    Raises Failed.
    """
    asked = {"query": documents.ALL_LEVELS}
    answer = (await shop.ask(documents.RUN_IN_BULK, asked, documents.RunInBulk)).bulk_operation_run_query
    if any(error.code in BUSY for error in answer.user_errors):
        return None
    if answer.user_errors:
        error = answer.user_errors[0]
        raise Failed(Rejected(error.message, error.code or "rejected"))
    if answer.bulk_operation is None:
        raise not_understood("it names no operation", changes=False)
    return answer.bulk_operation


async def lines(shop: Shop, world: World, begun: BulkOperation) -> AsyncIterator[list[BulkLine]]:
    """The lines of the file, once it is written, as many at a time as stand in a piece.

    Raises Failed.
    """
    ended = await _ended(shop, begun)
    if ended.url is None:  # a file of nothing
        return
    rest = b""
    async for piece in _pieces(world, ended.url):
        *whole, rest = (rest + piece).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            raise not_understood("a line of its file does not end", changes=False)
        yield [_line(line) for line in whole if line]
    if rest.strip():
        yield [_line(rest)]


async def _ended(shop: Shop, begun: BulkOperation) -> BulkOperation:
    """The operation with its file."""
    now, wait = begun, FIRST_LOOK_S
    waited = 0.0
    while now.status in UNDER_WAY and waited < READY_WITHIN_S:
        await asyncio.sleep(wait)
        waited, wait = waited + wait, min(2 * wait, LOOK_EVERY_MAX_S)
        found = (await shop.ask(documents.IN_BULK, {"id": begun.id}, documents.InBulk)).bulk_operation
        if found is None:
            raise not_understood(f"{begun.id} is not there", changes=False)
        now = found
    if now.status in UNDER_WAY:
        raise Failed(RetryLater(f"The store has written at {begun.id} for {waited:.0f} s and is not done."))
    if now.error_code == "ACCESS_DENIED":
        raise Failed(Unauthorized("The store does not let us read all of its levels."))
    if now.status != "COMPLETED":
        raise Failed(
            RetryLater(f"The store gave up writing all levels: {now.status} {now.error_code or ''}".strip())
        )
    return now


async def _pieces(world: World, url: str) -> AsyncIterator[bytes]:
    """The file in pieces; whole where its server gives no pieces. Our token does not go there."""
    start = 0
    for _ in range(PIECES_MAX):
        wanted = {"Range": f"bytes={start}-{start + PIECE_BYTES - 1}"}
        reply = await call(world, "GET", url, changes=False, headers=wanted, takes=(416,), timeout_s=60.0)
        if reply.status == 416:  # the file ended with the piece before
            return
        yield reply.body
        start += len(reply.body)
        total = reply.headers.get("content-range", "").rpartition("/")[2]
        if reply.status != 206 or not reply.body or (total.isdigit() and start >= int(total)):
            return
    raise not_understood("its file does not end", changes=False)


def _line(line: bytes) -> BulkLine:
    try:
        return _decoder.decode(line)
    except msgspec.DecodeError as error:
        raise not_understood(f"a line of its file: {error}", changes=False) from error
