"""The demo's ear: commands in another terminal reach a running demo at a local address that only its owner's key opens."""

import hmac
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web

from evenstock.estate.steering import Misled, Steering

FILE: Final = "demo.json"  # below the demo's folder: where it listens, and the key; for its owner alone
BODY_BYTES_MAX: Final = 4_096
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Do = Callable[[Any], Awaitable[Any]]


class Heard(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked for."""

    what: Name = "-"
    at: Name | None = None


class Ear(msgspec.Struct, frozen=True):
    """Where a demo listens."""

    url: str
    key: str
    pid: int


@asynccontextmanager
async def listening(steering: Steering, folder: Path, pid: int) -> AsyncIterator[None]:
    """Hear commands as long as this lasts."""
    key = secrets.token_urlsafe(24)

    def route(do: Do) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if "Origin" in request.headers or not hmac.compare_digest(given.encode(), key.encode()):
                return _json({"detail": "The key is not this demo's."}, 401)
            try:
                heard = msgspec.json.decode(await request.read() or b"{}", type=Heard)
                return _json(await do(heard))
            except (Misled, msgspec.ValidationError, msgspec.DecodeError) as error:
                return _json({"detail": str(error)}, 422)

        return answer

    async def break_(heard: Heard) -> Any:
        return {"words": await steering.break_(heard.what, heard.at)}

    async def mend(heard: Heard) -> Any:
        return {"words": await steering.mend(heard.what)}

    async def begin(heard: Heard) -> Any:  # noqa: ARG001 - it takes nothing
        return await steering.begin()

    async def found(heard: Heard) -> Any:
        return await steering.guess(heard.what, heard.at)

    app = web.Application(client_max_size=BODY_BYTES_MAX)
    for name, do in (("break", break_), ("mend", mend), ("challenge", begin), ("found", found)):
        app.router.add_post(f"/{name}", route(do))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        file = folder / FILE
        file.touch(0o600)
        file.write_bytes(msgspec.json.encode(Ear(f"http://127.0.0.1:{port}", key, pid)))
        yield
    finally:
        (folder / FILE).unlink(missing_ok=True)
        await runner.cleanup()


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
