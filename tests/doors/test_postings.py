"""Postings at the door: a running hub keeps an ERP's books, and each movement is found from there and back."""

import json
from pathlib import Path
from typing import Any

from connectors.sandboxed import Peer, served
from doors.door import Door, opened, until
from evenstock import clock
from evenstock.connectors.erp_rest.sandbox import ErpSandbox
from evenstock.pipeline.vault import Vault
from evenstock.postgres.database import Database


async def set_up(door: Door, erp: Peer, **more: Any) -> None:
    connection = {
        "id": "erp", "connector": "erp_rest", "settings": {"url": erp.url, "token": "env:ERP"}, "books": {"per": "ticket"},
    } | more  # fmt: skip
    for path, body in (
        ("/v1/items:batch", {"items": [{"sku": "TEE"}, {"sku": "NEW"}]}),
        ("/v1/locations:batch", {"locations": [{"id": "A"}]}),
        ("/v1/connections:batch", {"connections": [connection]}),
    ):
        answer = await door.post(path, body)
        assert answer.status == 200, answer.raw
    await erp.control("stock", [{"item": "TEE", "location": "A", "quantity": 0}])


async def receive(door: Door, id_: str, *skus: str) -> None:
    lines = [{"line": str(n), "item": {"sku": sku}, "quantity": 2} for n, sku in enumerate(skus, 1)]
    event = {
        "specversion": "1.0",
        "id": id_,
        "source": "pos",
        "type": "GoodsReceived.v1",
        "data": {"location": "A", "lines": lines},
    }
    assert (await door.post("/v1/events", event)).outcomes == ["applied"]


async def postings(door: Door, query: str = "") -> list[dict[str, Any]]:
    answer = await door.get(f"/v1/postings{query}")
    assert answer.status == 200, answer.raw
    found: list[dict[str, Any]] = answer.body["data"]
    return found


async def test_the_books_are_kept_while_it_serves_and_every_movement_is_found_there(
    database: Database, tmp_path: Path
) -> None:
    async with served(ErpSandbox(clock.now)) as erp:
        allowed = [erp.url.removeprefix("http://")]
        vault = Vault(None, {"ERP": "sandbox"})
        async with opened(database, data=tmp_path, vault=vault, outbound_allow=allowed) as door:
            await set_up(door, erp)
            await receive(door, "R-1", "TEE", "NEW")

            async def partly() -> bool:
                return [each["status"] for each in await postings(door)] == ["partly"]

            await until(partly)
            (movement, _) = (await door.get("/v1/movements?sku=TEE")).body["data"] + [None]
            (posting,) = await postings(door, f"?movement={movement['id']}")
            (same,) = await postings(door, f"?document={posting['document']}")
            assert same == posting
            whole = (await door.get(f"/v1/postings/{posting['id']}")).body
            assert whole["lines"][0]["movements"] == [movement["id"]]
            assert whole["lines"][1]["refused_code"] == "unknown_item"
            assert whole["attempts"][0]["document"] == posting["document"]

            await erp.control("stock", [{"item": "NEW", "location": "A", "quantity": 0}])
            again = await door.post("/v1/postings:retry", {"connection": "erp"})
            assert again.body == {"postings": 0, "lines": 1}

            async def all_there() -> bool:
                return bool(erp.sandbox.state.stock["A"].get("NEW") == 2)

            await until(all_there)

            async def calm() -> bool:
                return bool((await door.get("/v1/exceptions")).body["data"] == [])

            await until(calm)
            assert erp.sandbox.state.stock["A"]["TEE"] == 2, "what was taken did not come again"


async def test_a_web_shop_is_told_when_the_hub_or_when_the_erp_has_it(
    database: Database, tmp_path: Path
) -> None:
    async with served(ErpSandbox(clock.now)) as erp:
        allowed = [erp.url.removeprefix("http://")]
        vault = Vault(None, {"ERP": "sandbox"})
        async with opened(database, data=tmp_path, vault=vault, outbound_allow=allowed) as door:
            await set_up(door, erp)
            recorder = {"id": "web", "connector": "recorder", "settings": {"path": "web.jsonl"}}
            assert (await door.post("/v1/connections:batch", {"connections": [recorder]})).status == 200
            shops = [
                {"id": "eager", "locations": ["A"], "connection": "web"},
                {"id": "patient", "locations": ["A"], "connection": "web", "publish_on": "erp_confirm"},
            ]
            assert (await door.post("/v1/channels:batch", {"channels": shops})).status == 200
            await erp.faults(rates={"503": 1.0}, retry_after_s=0)
            await receive(door, "R-1", "TEE")
            await until(lambda: _are_told(tmp_path, {"eager": 2}))

            async def waits() -> bool:
                (row,) = (await door.get("/v1/exposures?channel=patient&status=open")).body["data"] or [{}]
                return bool((row.get("waits_for") or {}).get("posting"))

            await until(waits)
            (row,) = (await door.get("/v1/exposures?channel=patient")).body["data"]
            (posting,) = await postings(door)
            assert (row["status"], row["intended"], row["sent"]) == ("withheld", 2, None)
            assert (row["waits_for"]["connection"], row["waits_for"]["posting"]) == ("erp", posting["id"])
            why = (await door.get("/v1/availability/TEE/explain?channel=patient")).body["sentence"]
            assert f"It waits for erp's confirmation of posting {posting['id']}, since" in why
            assert erp.sandbox.state.posted == 0
            await erp.faults(rates={})
            await until(lambda: _are_told(tmp_path, {"eager": 2, "patient": 2}))

            refused = await door.post("/v1/connections:batch", {"connections": [{"id": "erp"}]})
            assert refused.problem == (422, "channel.no_books", "/connections/0/books")


async def _are_told(data: Path, wanted: dict[str, int]) -> bool:
    file = data / "connections" / "web" / "web.jsonl"
    told = [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []
    return {line["channel"]: line["quantity"] for line in told} == wanted


async def test_what_cannot_be_asked_is_refused(door: Door) -> None:
    for query in ("status=no", "movement=mov_1", "movement=mov_1_9999999999", "cursor=x", "documents=1"):
        assert (await door.get(f"/v1/postings?{query}")).status == 422
    for id_ in ("pst_0000000001", "pst_x", "1"):
        assert (await door.get(f"/v1/postings/{id_}")).body["code"] == "posting.not_found"
    answer = await door.post("/v1/postings:retry", {"connection": "nobody"})
    assert answer.body["code"] == "connection.unknown"


async def test_only_a_system_that_takes_postings_can_keep_books(door: Door) -> None:
    connection = {"id": "shelf", "connector": "recorder", "books": {"per": "ticket"}}
    answer = await door.post("/v1/connections:batch", {"connections": [connection]})
    assert (answer.status, answer.body["pointer"]) == (422, "/connections/0/books")
    wrong = {"id": "shelf", "connector": "erp_rest", "books": {"per": "store"}}
    answer = await door.post("/v1/connections:batch", {"connections": [wrong]})
    assert (answer.status, answer.body["code"]) == (422, "request.malformed")
