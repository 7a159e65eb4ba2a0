"""Commands at the door: the calls of "Have a warehouse pick", as they stand on the page, reach a system that works."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from connectors.sandboxed import Peer, served
from doors.door import Answer, Door, opened, until
from evenstock import clock
from evenstock.cli.app import app
from evenstock.connectors.http_json.sandbox import JsonSandbox
from evenstock.pipeline.vault import Vault
from evenstock.postgres.database import Database

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "have-a-warehouse-pick.md").read_text(
    encoding="utf-8"
)
CALL = re.compile(r"^\$ hub '?localhost:8080(?P<path>/[^\s']+)'?(?:\s+-d '(?P<body>[^']*)')?$", re.MULTILINE)
WORKS = {"id": "wms", "connector": "recorder", "settings": {}, "works": ["0107"]}


def cli(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


async def configure(folder: Path, database: Database, store: Peer) -> None:
    """The configuration of the page, with the sandbox for the warehouse."""
    (text,) = re.findall(r"```toml\n# evenstock.toml\n(.+?)```", PAGE, re.DOTALL)
    file = folder / "evenstock.toml"
    file.write_text(text.replace("https://wms.example", store.url))
    at = ("--database-url", database.url, "--schema", database.schema, "--data", str(folder))
    commands = re.findall(r"^\$ evenstock (check|apply|model)$", PAGE, re.MULTILINE)
    assert commands == ["check", "apply", "model"]
    assert "2 connections" not in cli("check", "--file", str(file))
    await asyncio.to_thread(cli, "apply", "--yes", "--file", str(file), *at)
    shown = re.search(r"`(works {7}wms +at DC1)`", PAGE)
    assert shown is not None
    assert shown[1] in cli("model", "--file", str(file))
    again = await asyncio.to_thread(cli, "apply", "--plan", "--file", str(file), *at)
    assert "Nothing to do" in again


async def test_who_follows_the_page_has_the_warehouse_pick_and_sees_it_in_the_orders_story(
    database: Database, tmp_path: Path
) -> None:
    calls = list(CALL.finditer(PAGE))
    assert len(calls) == 11
    async with served(JsonSandbox(clock.now)) as store:
        vault = Vault(None, {"WMS_AUTHORIZATION": "Bearer sandbox"})
        allowed = [store.url.removeprefix("http://")]
        async with opened(database, data=tmp_path, vault=vault, outbound_allow=allowed) as door:
            await configure(tmp_path, database, store)
            await store.control("items", [{"store": "DC1", "code": "TSH-BLK-M"}])

            async def do() -> Answer:
                call = calls.pop(0)
                return await _do(door, call["path"], call["body"])

            assert (await do()).status == 200
            assert (await do()).outcomes == ["applied"]
            assert [(await do()).status for _ in range(3)] == [201, 200, 200]
            path = calls[0]["path"]
            await until(lambda: _are_done(door, path, 1))
            (picked,) = (await do()).body["data"]
            assert (picked["kind"], picked["status"], picked["document"]) == ("pick", "done", "W-1")
            assert (await do()).status == 200
            await until(lambda: _are_done(door, path, 2))
            assert [row["kind"] for row in (await do()).body["data"]] == ["cancel", "pick"]
            whole = (await do()).body
            assert whole["lines"] == [{"line": "1", "sku": "TSH-BLK-M", "quantity": 2}]
            assert [attempt["outcome"] for attempt in whole["attempts"]] == ["done"]
            story = (await do()).body
            words = [
                step["words"].replace(whole["reference"], "EV-9f2c4a1700aa4b7e-C1") for step in story["steps"]
            ]
            (told,) = re.findall(r"```\n(wms is commanded.+?)```", PAGE, re.DOTALL)
            assert [line for line in told.splitlines() if line not in words] == []
            assert (story["status"], (await do()).body) == ("done", {"commands": 0})
            work = [(each.do, each.lines) for each in store.sandbox.state.work]
            assert work == [("pick", {"TSH-BLK-M": 2}), ("cancel", {"TSH-BLK-M": 1})]
    assert calls == []


async def _do(door: Door, path: str, body: str | None = None) -> Answer:
    address, _, query = path.partition("?")
    given = dict(pair.split("=") for pair in query.split("&")) if query else {}
    return await door.get(address, **given) if body is None else await door.post(address, json.loads(body))


async def _are_done(door: Door, path: str, number: int) -> bool:
    rows = (await _do(door, path)).body["data"]
    return [row["status"] for row in rows] == ["done"] * number


async def connect(door: Door, *connections: dict[str, Any]) -> Answer:
    return await door.post("/v1/connections:batch", {"connections": list(connections)})


async def test_what_is_refused_is_shown_and_retried_at_the_door(database: Database, tmp_path: Path) -> None:
    command = {"url": "", "body": {"do": "{kind}", "order": "{order}", "lines": "{lines}"},
               "headers": {"Authorization": "Bearer sandbox"}, "code": "error.code", "detail": "error.message"}  # fmt: skip
    async with served(JsonSandbox(clock.now)) as store:
        command["url"] = f"{store.url}/tasks/{{location}}"
        allowed = [store.url.removeprefix("http://")]
        async with opened(database, data=tmp_path, outbound_allow=allowed) as door:
            await door.know("A")
            settings = {"command": command}
            assert (
                await connect(door, WORKS | {"connector": "http_json", "settings": settings})
            ).status == 200
            await door.report(
                {"id": "R-1", "source": "pos", "type": "GoodsReceived.v1",
                 "data": {"location": "0107", "lines": [{"line": "1", "item": {"sku": "A"}, "quantity": 5}]}}
            )  # fmt: skip
            lines = [{"line": "1", "item": {"sku": "A"}, "quantity": 2, "fulfil": {"pickup_at": "0107"}}]
            made = await door.post("/v1/reservations", {"order_ref": "O-1", "lines": lines})
            id_ = made.body["id"]
            assert (await door.post(f"/v1/reservations/{id_}:allocate", {})).status == 200

            async def shown() -> bool:
                rows = (await door.get("/v1/exceptions", code="command.rejected")).body["data"]
                return [(row["units"], row["detail"]) for row in rows] == [
                    (2, "wms does not do 1 commands: There is no A at 0107.")
                ]

            await until(shown)
            (row,) = (await door.get("/v1/commands", status="refused", reservation=id_)).body["data"]
            assert (row["refused_code"], row["location"]) == ("unknown_item", "0107")
            await store.control("items", [{"store": "0107", "code": "A"}])
            assert (await door.post("/v1/commands:retry", {"connection": "wms", "code": "other"})).body == {
                "commands": 0
            }
            assert (await door.post("/v1/commands:retry", {"connection": "wms"})).body == {"commands": 1}
            await until(lambda: _are_done(door, "/v1/commands?location=0107", 1))

            async def calm() -> bool:
                return bool((await door.get("/v1/exceptions")).body["data"] == [])

            await until(calm)
            (standing,) = [
                each for each in (await door.get("/v1/connections")).body["data"] if each["id"] == "wms"
            ]
            assert standing["commands_owed"] == 0


async def test_what_cannot_be_asked_is_refused(door: Door) -> None:
    for query in ("status=no", "reservation=1", "cursor=x", "orders=1"):
        assert (await door.get(f"/v1/commands?{query}")).status == 422
    for id_ in ("cmd_0000000001", "cmd_x", "1"):
        assert (await door.get(f"/v1/commands/{id_}")).body["code"] == "command.not_found"
    answer = await door.post("/v1/commands:retry", {"connection": "nobody"})
    assert answer.problem == (422, "connection.unknown", "/connection")


async def test_a_location_is_worked_by_one_system_that_takes_commands(door: Door) -> None:
    await door.know("A", locations=("0107", "0042"))
    at = "/connections/0/works"
    answer = await connect(
        door,
        WORKS
        | {
            "connector": "shopify",
            "settings": {"address": "https://x.example", "secret": "env:S", "token": "env:T"},
        },
    )
    assert answer.problem == (422, "connection.works", at), answer.raw
    assert "These do: " in answer.body["detail"]
    mute = {"connector": "http_json", "settings": {"call": {"url": "https://x.example/"}}}
    assert (await connect(door, WORKS | mute)).problem == (422, "connection.works", at)
    answer = await connect(door, WORKS | {"works": ["0107", "0108"]})
    assert answer.problem == (422, "stock.unknown_location", f"{at}/1")
    assert (await connect(door, WORKS)).status == 200
    answer = await connect(door, WORKS | {"id": "app"})
    assert answer.problem == (422, "connection.works", f"{at}/0")
    assert "is done by `wms` already" in answer.body["detail"]
    assert (await connect(door, WORKS | {"works": ["0042"]}, WORKS | {"id": "app"})).status == 200
