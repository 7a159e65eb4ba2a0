"""GET /v1/streams/availability: changes as they come, as server-sent events, resumed where they were cut off."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from evenstock.api.operation import TEXT, Call, Operation, Parameter, query
from evenstock.core.errors import Refusal
from evenstock.pipeline.feed import HEARTBEAT_S
from evenstock.postgres import feeds, told

MEDIA_TYPE: Final = "text/event-stream"
WRITE_WITHIN_S: Final = 30.0  # a client that reads nothing for so long is gone
LAST_EVENT_ID_MAX: Final = 200  # characters


class EventStream(Response):
    """Events as they come, until there are no more, the client leaves, or it reads nothing any more."""

    media_type = MEDIA_TYPE

    def __init__(self, events: AsyncIterator[bytes]) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            sending.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for text in self._events:
            async with asyncio.timeout(WRITE_WITHIN_S):
                await send({"type": "http.response.body", "body": text, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def stream_availability(call: Call) -> Response:
    given = query(call, "channel", "sku")
    hub = call.hub
    channel = given.get("channel")
    feed = hub.stock_feed if channel is None else hub.exposure_feed
    if channel is not None:
        async with hub.pool.acquire() as db:
            await told.terms_at(db, channel, hub.names)
    events = await feed.follow(
        channel, given.get("sku"), _last_event_id(call.request), heartbeat_s=HEARTBEAT_S
    )
    return EventStream(_while_allowed(events, call))


def _last_event_id(request: Request) -> str | None:
    text = request.headers.get("last-event-id")
    if text is not None and len(text) > LAST_EVENT_ID_MAX:
        raise Refusal(
            "request.malformed", "`Last-Event-ID` is not one of ours: send the last `id` as it came."
        )
    return text or None


async def _while_allowed(events: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
    """The events for as long as the key is good; that is asked between two events, when some time has passed."""
    loop = asyncio.get_running_loop()
    asked = loop.time()
    async for text in events:
        yield text
        if loop.time() - asked >= HEARTBEAT_S:
            asked = loop.time()
            async with call.hub.pool.acquire() as db:
                if not await feeds.key_is_good(db, call.caller.key_id):
                    return


OPERATIONS = (
    Operation(
        "GET", "/v1/streams/availability", stream_availability, "Changes as they come", "availability:read", {200: None},
        parameters=(
            Parameter("channel", "What this channel should see; without it, how items stand over all locations.", TEXT),
            Parameter("sku", "Only this item.", TEXT),
        ),
        refusals=("channel.unknown", "limit.streams", "hub.stopping"),
        media_type=MEDIA_TYPE,
        description="Server-sent events: `availability.changed` with an opaque id, `heartbeat` every 15 seconds without a change, `reset` when "
        "what came since Last-Event-ID cannot be told, `cut` when the client reads too slowly. Resume with Last-Event-ID: the newest "
        "state of every item that changed since comes first.",
    ),
)  # fmt: skip
