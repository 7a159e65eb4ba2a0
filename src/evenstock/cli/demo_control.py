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
VERBS: Final = ("break", "mend", "speed", "challenge", "found")


class Heard(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked for."""

    what: Name = "-"
    at: Name | None = None
    times: int | None = None


class Ear(msgspec.Struct, frozen=True):
    """Where a demo listens."""

    url: str
    key: str
    pid: int


@asynccontextmanager
async def listening(steering: Steering, folder: Path, pid: int) -> AsyncIterator[None]:
    """Hear commands as long as this lasts."""
    key = secrets.token_urlsafe(24)

    def route(verb: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if "Origin" in request.headers or not hmac.compare_digest(given.encode(), key.encode()):
                return _json({"detail": "The key is not this demo's."}, 401)
            try:
                heard = msgspec.json.decode(await request.read() or b"{}", type=Heard)
                return _json(await _done(steering, verb, heard))
            except (Misled, msgspec.ValidationError, msgspec.DecodeError) as error:
                return _json({"detail": str(error)}, 422)

        return answer

    app = web.Application(client_max_size=BODY_BYTES_MAX)
    for verb in VERBS:
        app.router.add_post(f"/{verb}", route(verb))
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


async def _done(steering: Steering, verb: str, heard: Heard) -> Any:
    """What a command does, as its answer. Raises Misled."""
    match verb:
        case "break":
            return {"words": await steering.break_(heard.what, heard.at)}
        case "mend":
            return {"words": await steering.mend(heard.what)}
        case "speed":
            return {"speed": steering.speed(heard.times)}
        case "challenge":
            return await steering.begin()
        case _:
            return await steering.guess(heard.what, heard.at)


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
