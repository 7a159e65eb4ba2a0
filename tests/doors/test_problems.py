"""What is refused says why, stably; limits hold at the limit and one past it."""

import json
from collections.abc import AsyncIterator

from doors.door import Door, sale
from evenstock.core.bodies import BODY_BYTES_MAX
from evenstock.core.exact_json import DEPTH_MAX


async def test_a_problem_has_what_the_design_says(door: Door) -> None:
    trace = "77ab4a17c0de4a1f8f0a6d1c2b3e4f50"
    answer = await door.call(
        "GET", "/v1/availability/NOBODY", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    )
    found = answer.body
    assert found.pop("request_id").startswith("req_")
    assert found == {
        "type": "/docs/e/item.not_found", "title": "No such item", "status": 404, "code": "item.not_found",
        "detail": "There is no item with the sku NOBODY.", "action": "Check the sku: it is compared exactly, case included.",
        "retryable": False, "data_safe": True, "trace_id": trace,
    }  # fmt: skip


async def test_a_broken_traceparent_is_as_good_as_none(door: Door) -> None:
    for text in ("", "x", "--", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "-" * 500):
        answer = await door.call("GET", "/v1/availability/NOBODY", headers={"traceparent": text})
        assert answer.status == 404
        assert "trace_id" not in answer.body


async def test_the_router_answers_with_problems_too(door: Door) -> None:
    assert (await door.get("/v1/nothing")).problem == (404, "request.not_found", "")
    assert (await door.get("/")).problem == (404, "request.not_found", "")
    answer = await door.call("DELETE", "/v1/events")
    assert answer.problem == (405, "request.method", "")
    assert answer.headers["Allow"] == "POST"
    assert (await door.call("POST", "/v1/movements", b"{}")).problem == (405, "request.method", "")


async def test_what_curl_sends_unasked_is_told_how_to_send_it(door: Door) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await door.call("POST", "/v1/events", json.dumps(sale("1", "A")).encode(), form)
    assert answer.problem == (415, "request.media_type", "")
    assert "-H 'Content-Type: application/json'" in answer.body["action"]


async def test_other_media_types_and_encodings_are_refused(door: Door) -> None:
    for media_type in (
        "text/plain",
        "application/xml",
        "application/jsonx",
        "multipart/form-data; boundary=x",
        "x",
    ):
        answer = await door.call("POST", "/v1/events", b"{}", {"Content-Type": media_type})
        assert answer.problem == (415, "request.media_type", "")
    for encoding in ("br", "deflate", "zstd", "gzip, gzip", "x"):
        answer = await door.call("POST", "/v1/events", b"{}", {"Content-Encoding": encoding})
        assert answer.problem == (415, "request.encoding", "")


async def test_a_body_has_at_most_ten_megabytes(door: Door) -> None:
    await door.know("A")
    body = json.dumps(sale("1", "A")).encode()
    fits = await door.call("POST", "/v1/events", body + b" " * (BODY_BYTES_MAX - len(body)))
    assert fits.outcomes == ["applied"]
    over = await door.call("POST", "/v1/events", body + b" " * (BODY_BYTES_MAX - len(body) + 1))
    assert over.problem == (413, "limit.body", "")


async def test_a_body_of_unknown_length_is_measured_as_it_comes(door: Door) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(BODY_BYTES_MAX // 1_000_000 + 2):
            yield b" " * 1_000_000

    headers = {"Authorization": f"Bearer {door.key}", "Content-Type": "application/json"}
    async with door.session.post(door.url + "/v1/events", data=chunks(), headers=headers) as response:
        assert response.status == 413


async def test_json_nests_at_most_32_levels(door: Door) -> None:
    await door.know("A")
    event = json.dumps(sale("1", "A"))[:-1].encode() + b', "deep": '

    def nested(levels: int) -> bytes:
        return event + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"

    assert (await door.call("POST", "/v1/events", nested(DEPTH_MAX))).outcomes == ["applied"]
    assert (await door.call("POST", "/v1/events", nested(DEPTH_MAX + 1))).problem == (400, "limit.depth", "")
    quoted = json.dumps(sale("2", "A") | {"text": "[" * 1000}).encode()
    assert (await door.call("POST", "/v1/events", quoted)).outcomes == ["applied"]
