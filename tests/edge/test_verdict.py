"""What an answer means: only a hub is believed, what can pass is tried again, and one bad event does not stop the rest."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenstock.connectors.contract import Reply
from evenstock.core.errors import MEANINGS
from evenstock.core.reading import BATCH_EVENTS_MAX
from evenstock.edge import verdict as verdicts
from evenstock.edge.verdict import (
    AGAIN_MAX_S,
    BATCH_MAX,
    RETRY_AFTER_MAX_S,
    Blocked,
    Delivered,
    Later,
    Refused,
    Smaller,
    next_size,
    verdict,
    wait_s,
)

NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
LOGIN = b"<html>Welcome to the guest network</html>"


def reply(status: int, value: Any = None, **headers: str) -> Reply:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Reply(status, {name.replace("_", "-"): text for name, text in headers.items()}, body)


def problem(code: str) -> dict[str, Any]:
    return {"code": code, "detail": "So it is.", "action": "Do this.", "pointer": "/0/id"}


def test_results_in_order_are_believed() -> None:
    results = [{"id": "1", "outcome": "applied", "trace_id": "x"}, {"id": "2", "outcome": "parked"}]
    found = verdict(reply(200, {"ledger_seq": 7, "results": results}), ["1", "2"], NOW)
    assert isinstance(found, Delivered)
    assert (found.ledger_seq, [result.outcome for result in found.results]) == (7, ["applied", "parked"])


@pytest.mark.parametrize(
    "body",
    [
        LOGIN, b"", b"{}", {"ledger_seq": 1, "results": []}, {"ledger_seq": 1, "results": [{"id": "2", "outcome": "applied"}]},
        {"ledger_seq": 1, "results": [{"id": "1", "outcome": "applied"}] * 2}, {"results": [{"id": "1", "outcome": "kept"}], "ledger_seq": None},
    ],
)  # fmt: skip
def test_what_is_no_hub_is_not_believed(body: Any) -> None:
    found = verdict(reply(200, body), ["1"], NOW)
    assert isinstance(found, Blocked)
    assert "login page" in found.words


@pytest.mark.parametrize("code", sorted(MEANINGS))
def test_every_problem_of_a_hub_has_a_meaning_here(code: str) -> None:
    """What the hub calls retryable, or a fault, is tried again, what is about content is isolated, the rest asks for a person."""
    meaning = MEANINGS[code]
    answer = reply(meaning.status, problem(code))
    one, many = verdict(answer, ["1"], NOW), verdict(answer, ["1", "2"], NOW)
    if meaning.retryable or meaning.status >= 500:
        assert isinstance(one, Later)
        assert isinstance(many, Later)
    elif meaning.status in {400, 409, 413, 422}:
        assert isinstance(many, Smaller)
        assert one == (
            Blocked("So it is. Do this.")
            if code.startswith("request.")
            else Refused(code, "So it is.", "/0/id")
        )
    else:
        assert one == many == Blocked("So it is. Do this.")


@pytest.mark.parametrize("status", [301, 302, 404, 405, 401, 403, 400, 422, 418, 501])
def test_a_stranger_at_the_address_never_has_an_event_rejected(status: int) -> None:
    for ids in (["1"], ["1", "2"]):
        found = verdict(reply(status, LOGIN, location="https://login.example"), ids, NOW)
        assert isinstance(found, Blocked)


def test_a_proxy_with_a_small_limit_is_met_with_smaller_requests_and_then_with_words() -> None:
    assert isinstance(verdict(reply(413, LOGIN), ["1", "2"], NOW), Smaller)
    one = verdict(reply(413, LOGIN), ["1"], NOW)
    assert isinstance(one, Blocked)
    assert "limit" in one.words


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_again_whoever_says_it(status: int) -> None:
    assert isinstance(verdict(reply(status, LOGIN), ["1"], NOW), Later)


def test_retry_after_is_honoured_in_both_forms_and_has_an_end() -> None:
    def after(text: str) -> float:
        return verdicts.retry_after_s(reply(503, b"", retry_after=text), NOW)

    assert after("7") == 7.0
    assert after(format_datetime(NOW.replace(second=30), usegmt=True)) == 30.0
    assert after(format_datetime(NOW.replace(hour=1), usegmt=True)) == 0.0
    assert after("99999999999999999999") == RETRY_AFTER_MAX_S
    assert [after(text) for text in ("", "soon", "-5", "1e9", "Fri, 99 Foo 2026", "²")] == [0.0] * 6
    assert wait_s(1, 0.0, 7.0) >= 7.0


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_waits_spread_up_to_a_cap_and_are_never_nothing(failures: int, chance: float) -> None:
    assert verdicts.AGAIN_MIN_S <= wait_s(failures, chance) <= AGAIN_MAX_S
    assert wait_s(failures, chance) <= wait_s(failures + 1, chance)


@given(st.lists(st.sampled_from(["good", "smaller", "refused", "slow", "busy"]), max_size=60))
def test_a_request_has_at_least_one_event_and_never_more_than_the_hub_takes(heard: list[str]) -> None:
    kinds: dict[str, verdicts.Verdict] = {
        "good": Delivered(1, []), "smaller": Smaller(""), "refused": Refused("", "", ""), "slow": Later("", slow=True),
        "busy": Later(""),
    }  # fmt: skip
    size = BATCH_MAX
    for kind in heard:
        size = next_size(size, kinds[kind])
        assert 1 <= size <= BATCH_MAX <= BATCH_EVENTS_MAX


@given(st.integers(1, BATCH_MAX), st.integers(0, BATCH_MAX - 1))
def test_one_bad_event_among_many_is_found_and_all_others_arrive_in_order(number: int, bad: int) -> None:
    """The forwarder's rule against a hub that refuses any request that holds the bad one."""
    waiting, arrived, refused, size, requests = list(range(number)), [], [], BATCH_MAX, 0
    while waiting:
        batch = waiting[:size]
        requests += 1
        found: verdicts.Verdict = Delivered(1, [])
        if bad in batch:
            found = verdict(reply(422, problem("quantity.too_large")), [str(n) for n in batch], NOW)
        size = next_size(size, found)
        if isinstance(found, Delivered):
            arrived += batch
        elif isinstance(found, Refused):
            refused += batch
        else:
            continue
        waiting = waiting[len(batch) :]
    assert arrived == [n for n in range(number) if n != bad]
    assert refused == [bad] * (bad < number)
    assert requests <= BATCH_MAX.bit_length() ** 2
