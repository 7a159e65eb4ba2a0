"""The operator's limit of calls to one system, kept where every call leaves: telling, asking and looking share it, in all processes."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from evenstock.connectors.contract import NotYet, Reply
from evenstock.outbound import Outbound
from evenstock.patience import left
from evenstock.postgres import lanes
from evenstock.postgres.database import Pool

WAIT_MAX_S: Final = 30.0  # for a turn; who would wait longer comes again


class Paced:
    """A connection's way out, with a turn taken for each call. Without a limit nobody waits."""

    def __init__(self, http: Outbound, pool: Pool, connection: str, now: Callable[[], datetime]) -> None:
        self._http = http
        self._pool = pool
        self._connection = connection
        self._now = now

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 30.0,
    ) -> Reply:
        """One call, when it is its turn. Raises what Outbound raises, and NotYet where that is too far off."""
        now = self._now()
        until = now + timedelta(seconds=min(WAIT_MAX_S, left()))
        async with self._pool.acquire() as db:
            turn = await lanes.take_turn(db, self._connection, now, until)
        if turn.at > now:
            wait_s = (turn.at - now).total_seconds()
            if not turn.is_ours:
                raise NotYet(f"Its limit of calls leaves no turn for {wait_s:.0f} s.", wait_s)
            await asyncio.sleep(wait_s)
        return await self._http.request(method, url, headers=headers, body=body, timeout_s=timeout_s)
