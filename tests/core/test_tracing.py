"""Trace ids: what is derived is found again, what is not ours is not, and what is no traceparent is as good as none."""

from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as some

from evenstock.core.reservations.claims import Kind
from evenstock.core.tracing.facts import claim_step
from evenstock.core.tracing.ids import derived, is_trace_id, read_derived, trace_id_of, traceparent
from evenstock.core.tracing.seen import ClaimSeen, ReservationSeen

TAG = "9f2c4a1700aa4b7e"
ORIGINS = some.sampled_from(("fact", "reservation", "message"))


@given(origin=ORIGINS, number=some.integers(1, 2**59))
def test_a_derived_trace_id_says_what_it_is_of(origin: str, number: int) -> None:
    found = derived(TAG, origin, number)  # type: ignore[arg-type]  # one of them
    assert is_trace_id(found)
    assert read_derived(TAG, found) == (origin, number)
    assert read_derived("0" * 16, found) is None
    assert trace_id_of(traceparent(found, "00f067aa0ba902b7")) == found


@given(some.text(alphabet="0123456789abcdef", min_size=32, max_size=32))
def test_an_id_of_somebody_else_is_of_nothing_of_ours(text: str) -> None:
    assert read_derived(TAG, text) is None or text.startswith(TAG)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "00",
        "00-0-0-0",
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{'A' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'1' * 15}-01",
    ],
)
def test_what_is_no_traceparent_is_as_good_as_none(text: str | None) -> None:
    assert trace_id_of(text) is None


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_change_of_a_promise_has_words(kind: str) -> None:
    claim = ClaimSeen(
        reservation_id=1, ledger_seq=1, kind=kind, sku="TEE", location="0107", reserved=2, allocated=0,
        recorded_at=datetime(2026, 3, 4, tzinfo=UTC),
    )  # fmt: skip
    whom = ReservationSeen(reservation_id=1, id="rsv_1", order_ref="ORD-1", channel="web", trace_id="t")
    words = claim_step(claim, whom).words
    assert all(each in words for each in ("2 of TEE", "0107", "ORD-1"))
