"""Who calls: keys are looked up once and remembered for a few seconds, so that a revocation holds everywhere soon."""

import asyncio
from typing import Final

from starlette.requests import Request

from evenstock.core.errors import Refusal
from evenstock.postgres import keys
from evenstock.postgres.database import Pool
from evenstock.postgres.keys import ApiKey

REMEMBERED_S: Final = 4.0
REMEMBERED_MAX: Final = 10_000


class Keys:
    """Keys by their text, for as long as they may be believed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[str, tuple[ApiKey, float]] = {}

    async def caller(self, request: Request, scope: str) -> ApiKey:
        """The key of a request, allowed to do this.

        Raises Refusal `auth.missing`, `auth.unknown_key`, `auth.scope`.
        """
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not text:
            raise Refusal("auth.missing", "The request has no Authorization: Bearer header.")
        key = await self._find(text.strip())
        if key is None:
            raise Refusal(
                "auth.unknown_key", "The key in the Authorization header is not known, or was revoked."
            )
        if not key.may(scope):
            raise Refusal("auth.scope", f"The key `{key.name}` has no scope {scope}.")
        return key

    async def _find(self, text: str) -> ApiKey | None:
        now = asyncio.get_running_loop().time()
        known = self._known.get(text)
        if known is not None and known[1] > now:
            return known[0]
        async with self._pool.acquire() as db:
            key = await keys.find(db, text)
        self._known.pop(text, None)
        if key is not None:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            self._known[text] = (key, now + REMEMBERED_S)
        return key
