"""A channel behind a slow line, two seconds each way and 10 kB a second (fault F12): it is told, and nobody else waits for it."""

import asyncio
import json
import time
from pathlib import Path

from connectors.sandboxed import served
from doors.door import opened, sale, until
from doors.proxy import slow_line
from doors.test_takeover import shows, stands
from evenstock import clock
from evenstock.connectors.shopify.sandbox import ShopifySandbox
from evenstock.pipeline.vault import Vault
from evenstock.postgres.database import Database

LATENCY_S = 2.0
SALES = 12
SESSIONS_MAX = 40  # of the database, for a hub


async def test_a_slow_channel_is_told_and_keeps_no_other_waiting(database: Database, tmp_path: Path) -> None:
    recorded = tmp_path / "connections" / "rec" / "app.jsonl"
    vault = Vault(None, {"SHOP_TOKEN": "sandbox", "SHOP_SECRET": "hush"})

    def app_shows() -> int | None:
        lines = recorded.read_bytes().splitlines() if recorded.exists() else []
        return int(json.loads(lines[-1])["quantity"]) if lines else None

    async with (
        served(ShopifySandbox(clock.now)) as web,
        slow_line(web.url, latency_s=LATENCY_S, bytes_per_s=10_000) as line,
        opened(database, data=tmp_path, vault=vault, outbound_allow=[line.removeprefix("http://")]) as door,
    ):
        await web.control("stock", [{"sku": "TSH", "location": "Amsterdam", "available": 0}])
        for path, body in (
            ("connections", {"connections": [{"id": "rec", "connector": "recorder", "settings": {"path": "app.jsonl"}}]}),
            ("locations", {"locations": [{"id": "0107"}]}),
            ("channels", {"channels": [{"id": "app", "locations": ["0107"], "connection": "rec"}]}),
        ):  # fmt: skip
            assert (await door.post(f"/v1/{path}:batch", body)).status == 200
        await stands(door, line)
        slowest = 0.0
        for number in range(SALES):
            began = time.monotonic()
            assert (await door.report(sale(f"S-{number}", "TSH", 1))).outcomes == ["applied"]

            async def told(left: int = 9 - number) -> bool:
                await asyncio.sleep(0.01)  # leave the processor to the hub
                return app_shows() == max(left, 0)

            await until(told)
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < LATENCY_S, "the other channel did not wait for the slow one"
        sessions = (await door.get("/healthz")).status, await used(database)
        assert sessions[0] == 200
        assert sessions[1] < SESSIONS_MAX

        async def agrees() -> bool:
            await asyncio.sleep(0.05)
            return shows(web) == 0

        await until(agrees)


async def used(database: Database) -> int:
    db = await database.connect(application="tests")
    try:
        return int(
            await db.fetchval(
                "select count(*) from pg_stat_activity where application_name like 'evenstock %'"
            )
        )
    finally:
        await db.close()
