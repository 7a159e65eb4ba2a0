"""The agent's door reads as the hub's does, answers only for what is durable, and lets nobody in but tills."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from doors import test_hostile as hostile
from doors.door import Door, event, line, sale, until
from edge.shop import Shop, plan, shop
from evenstock.core.bodies import BODY_BYTES_MAX
from evenstock.core.reading import BATCH_EVENTS_MAX
from evenstock.edge import door as doors
from evenstock.edge.store import Limits


@asynccontextmanager
async def till(tmp_path: Path, **more: Any) -> AsyncIterator[Shop]:
    async with shop(plan(tmp_path / "agent", **more)) as found:
        yield found


async def test_an_event_is_kept_and_the_same_again_is_a_duplicate_after_a_restart_too(tmp_path: Path) -> None:
    async with till(tmp_path) as found:
        answer = await found.door.report(sale("1", "A"))
        assert answer.body == {"results": [{"id": "1", "outcome": "kept"}], "ledger_seq": None}
    async with till(tmp_path) as found:
        answer = await found.door.report(sale("1", "A"), sale("2", "A"), sale("1", "A", 9))
        assert answer.outcomes == ["duplicate", "kept", "held"]
        assert answer.results[2]["code"] == "event.key_reused"
        assert answer.results[2]["pointer"] == "/2/id"
        assert (await found.stands())["waiting"] == 3


async def test_a_bad_event_is_rejected_by_itself_with_its_pointer(tmp_path: Path) -> None:
    twice = sale("2", "A")
    twice["data"]["lines"].append(line("B"))
    moved = event(
        "3", "TransferShipped", {"transfer": "t", "from": "0107", "to": "0107", "lines": [line("A")]}
    )
    async with till(tmp_path) as found:
        answer = await found.door.report(sale("1", "A"), twice, moved, {"id": "4"}, sale("5", "A", "1e3"))
        assert [
            (result["outcome"], result.get("code"), result.get("pointer")) for result in answer.results
        ] == [
            ("kept", None, None),
            ("rejected", "event.repeated_line", "/1/data/lines/1/line"),
            ("rejected", "event.malformed", "/2/data/to"),
            ("rejected", "event.malformed", "/3"),
            ("rejected", "quantity.pattern", "/4/data/lines/0/quantity"),
        ]
        assert (await found.stands())["waiting"] == 1


async def test_whatever_is_hostile_is_refused_with_the_hubs_own_words(door: Door, tmp_path: Path) -> None:
    bodies: dict[str, tuple[bytes, dict[str, str]]] = {
        name: (body, {}) for corpus in (hostile.NAMES, hostile.NOT_JSON) for name, body in corpus.items()
    }
    bodies |= {f"number {n}": (hostile.with_quantity(text), {}) for n, text in hostile.NUMBERS.items()}
    bodies |= {f"deep {n}": (body, {}) for n, body in hostile.DEEP.items() if len(body) < 1_000_000}
    bodies |= {
        f"text {n}": (hostile.GOOD.replace(b'"X"', f'"{text}"'.encode()), {})
        for n, text in hostile.TEXTS.items()
    }
    packed = {"Content-Encoding": "gzip"}
    bodies |= {f"gzip {n}": (body, packed) for n, (_, body) in hostile.NOT_GZIP.items()}
    bodies["media type"] = (hostile.GOOD, {"Content-Type": "text/plain"})
    bodies["encoding"] = (hostile.GOOD, {"Content-Encoding": "br"})
    bodies["too long"] = (b" " * (BODY_BYTES_MAX + 1), {})
    bodies["too many"] = (json.dumps([sale(str(n), "A") for n in range(BATCH_EVENTS_MAX + 1)]).encode(), {})
    async with till(tmp_path) as found:
        for name, (body, headers) in bodies.items():
            there = await door.call("POST", "/v1/events", body, headers)
            here = await found.door.call("POST", "/v1/events", body, headers)
            assert here.status == there.status >= 400, (name, here.raw[:300], there.raw[:300])
            own = ("request_id", "ledger_seq")
            assert without(here.body, *own) == without(there.body, *own), name
        assert (await found.stands())["waiting"] == 0
        assert (await found.door.report(sale("next", "A"))).outcomes == ["kept"]


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


async def test_other_pages_and_methods_are_problems_too(tmp_path: Path) -> None:
    async with till(tmp_path) as found:
        assert (await found.door.get("/v1/nothing")).problem == (404, "request.not_found", "")
        answer = await found.door.call("DELETE", "/v1/events")
        assert answer.problem == (405, "request.method", "")
        assert answer.headers["Allow"] == "POST"
        assert "Server" not in answer.headers


async def test_no_web_page_speaks_to_the_agent(tmp_path: Path) -> None:
    body = json.dumps(sale("1", "A")).encode()
    async with till(tmp_path) as found:
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Host": "evil.example"},
            {"Host": "127.0.0.1.evil.example:80"},
        ):
            answer = await found.door.call("POST", "/v1/events", body, headers)
            assert answer.problem == (403, "auth.browser", "")
            assert (await found.door.call("GET", "/v1/agent", headers=headers)).status == 403
        assert (await found.door.call("POST", "/v1/events", body, {"Host": "localhost:1"})).outcomes == [
            "kept"
        ]


async def test_with_a_local_key_only_who_has_it_is_heard(tmp_path: Path) -> None:
    async with till(tmp_path, local_key="opensesame") as found:
        for stranger, code in (
            (None, "auth.missing"),
            ("opensesam", "auth.unknown_key"),
            ("é", "auth.unknown_key"),
        ):
            door = found.door.with_key(stranger)
            assert (await door.report(sale("1", "A"))).problem == (401, code, "")
            assert (await door.get("/v1/agent")).status == 401
            assert (await door.get("/healthz")).body == {"status": "ok"}
            assert (await door.get("/readyz")).body == {"status": "ready", "store": True}
        assert (await found.door.report(sale("1", "A"))).outcomes == ["kept"]


async def test_a_full_store_refuses_with_what_to_do_and_keeps_what_it_has(tmp_path: Path) -> None:
    async with till(tmp_path, limits=Limits(2**30, events_waiting=2, disk_free_bytes=0)) as found:
        assert (await found.door.report(sale("1", "A"), sale("2", "A"))).outcomes == ["kept", "kept"]
        answer = await found.door.report(sale("3", "A"))
        assert answer.problem == (507, "agent.full", "")
        assert answer.body["retryable"]
        assert "--disk-mb" in answer.body["action"]
        ready = await found.door.get("/readyz")
        assert (ready.status, ready.body) == (503, {"status": "not_ready", "store": False})
        assert (await found.stands())["waiting"] == 2


async def test_a_body_that_does_not_come_is_given_up_and_others_are_served_meanwhile(tmp_path: Path) -> None:
    async with till(tmp_path, body_within_s=0.3) as found:
        host, port = found.door.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(
                b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\n{"
            )
            slow.setblocking(False)
            assert (await found.door.report(sale("1", "A"))).outcomes == ["kept"]
            heard = b""

            async def refused() -> bool:
                nonlocal heard
                await found.door.get("/healthz")
                try:
                    heard += slow.recv(65536)
                except BlockingIOError:
                    return False
                return b"request.slow" in heard

            await until(refused)
            assert heard.startswith(b"HTTP/1.1 408")


async def test_more_than_the_memory_for_bodies_is_refused_until_some_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with till(tmp_path) as found:
        body = json.dumps(sale("1", "A", note="x" * 50_000)).encode()
        monkeypatch.setattr(doors, "BODIES_BYTES_MAX", 10_000)
        answer = await found.door.call("POST", "/v1/events", body)
        assert answer.problem == (503, "agent.busy", "")
        monkeypatch.undo()
        assert (await found.door.call("POST", "/v1/events", body)).outcomes == ["kept"]
