"""What we show at a store's door: a token that stays, one that is good for a day, or one that is good for an hour and renews itself.

One that renews itself comes with the means to renew it, good for once. Both are kept behind `refresh_token` before either is used, so that
all processes show the same token, and a crash at any moment leaves something that is good.
"""

import asyncio
from typing import Any, Final

import msgspec

from evenstock.connectors.calling import call, json_of, keep_secret, not_understood, secret
from evenstock.connectors.contract import Failed, Unauthorized, World
from evenstock.connectors.shopify.settings import Settings

_TOKEN: Final = "token"  # noqa: S105 - the name under which it is remembered
_TURN: Final = "token turn"
_encoder: Final = msgspec.json.Encoder()


class _Grant(msgspec.Struct, frozen=True):
    """What is kept: a token, and what renews it."""

    refresh_token: str
    access_token: str = ""


async def current(settings: Settings, world: World) -> str:
    """The token to show.

    Raises Failed.
    """
    if settings.token is not None:
        return await secret(world, settings.token)
    known = world.memory.get(_TOKEN) or await another(settings, world, "")
    return str(known)


async def another(settings: Settings, world: World, refused: str) -> str | None:
    """Another token than the one that was refused; None where there is only that one.

    Raises Failed.
    """
    if settings.token is not None:
        return None
    async with world.memory.setdefault(_TURN, asyncio.Lock()):
        known: str | None = world.memory.get(_TOKEN)
        if known is None or known == refused:
            renewed = settings.refresh_token is not None
            known = await (_renewed(settings, world, refused) if renewed else _fetched(settings, world))
            world.memory[_TOKEN] = known
        return known


async def _fetched(settings: Settings, world: World) -> str:
    """A token for an app of the store's own (client credentials), good for a day."""
    answer = await _granted(settings, world, {"grant_type": "client_credentials"})
    return _text(answer, "access_token")


async def _renewed(settings: Settings, world: World, refused: str) -> str:
    """The token that is kept, if it is another one; else a new one, kept before it is shown to anybody."""
    reference = settings.refresh_token or ""
    grant = _grant_of(await secret(world, reference))
    if grant.access_token and grant.access_token != refused:
        return grant.access_token
    asked = {"grant_type": "refresh_token", "refresh_token": grant.refresh_token}
    answer = await _granted(settings, world, asked)
    new = _Grant(_text(answer, "refresh_token"), _text(answer, "access_token"))
    await keep_secret(world, reference, _encoder.encode(new).decode())
    return new.access_token


def _grant_of(kept: str) -> _Grant:
    """What is kept; what an operator put there first is the refresh token alone."""
    try:
        return msgspec.json.decode(kept, type=_Grant)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return _Grant(kept.strip())


async def _granted(settings: Settings, world: World, asked: dict[str, str]) -> Any:
    credentials = {"client_id": settings.client_id, "client_secret": await secret(world, settings.secret)}
    reply = await call(
        world,
        "POST",
        f"{settings.url}/admin/oauth/access_token",
        changes=False,
        headers={"Content-Type": "application/json"},
        body=_encoder.encode(asked | credentials),
        takes=(400, 401),
    )
    if reply.status in {400, 401}:
        what = "refresh_token" if "refresh_token" in asked else "client_id and secret"
        raise Failed(Unauthorized(f"The store gives no token for this {what}."))
    return json_of(reply, changes=False)


def _text(answer: Any, name: str) -> str:
    match answer:
        case {**members} if isinstance(members.get(name), str) and members[name]:
            return str(members[name])
        case _:
            raise not_understood(f"`{name}` is missing", changes=False)
