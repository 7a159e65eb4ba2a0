"""The swift reading of JSON takes only what the patient reading takes, and means the same by it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenstock.core import exact_json, reading
from evenstock.core.errors import Refusal

EVENT = (
    b'{"specversion":"1.0","id":"T-1","source":"pos","type":"SaleRecorded.v1","time":"2026-11-20T14:08:12Z",'
    b'"data":{"location":"0107","lines":[{"line":"1","item":{"sku":"A"},"quantity":1.50,"uom":"EA"}]}}'
)
NUMBERS = st.one_of(
    st.integers().map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,25})?", fullmatch=True),
)
NAMES = st.one_of(st.sampled_from(["a", "b", "a:", '"', "\\", "\x00", "é"]), st.text(max_size=3))


def _texts(value: str, *, escaped: bool) -> str:
    return json.dumps(value, ensure_ascii=escaped)


def _objects(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    names = st.builds(_texts, NAMES, escaped=st.booleans())
    pair = st.builds(
        "{}{}:{}{}".format, names, st.sampled_from(["", " "]), st.sampled_from(["", "\n"]), inner
    )
    return st.lists(pair, max_size=4).map(lambda pairs: "{" + ",".join(pairs) + "}")


TEXTS = st.builds(_texts, NAMES, escaped=st.booleans())
DOCUMENTS = st.recursive(
    st.one_of(NUMBERS, TEXTS, st.sampled_from(["true", "null", "NaN", '"\\ud800"'])),
    lambda inner: st.one_of(st.lists(inner, max_size=4).map(lambda found: f"[{', '.join(found)}]"), _objects(inner)),
    max_leaves=12,
)  # fmt: skip


def _seen(value: Any) -> Any:
    """A value that compares, its markers and the kinds of its numbers included."""
    if isinstance(value, dict):
        return [(name, _seen(inner)) for name, inner in value.items()]
    if isinstance(value, list):
        return [[_seen(inner)] for inner in value]
    return (type(value), None if type(value).__module__ == exact_json.__name__ else str(value))


def _outcome(read: Any, body: bytes) -> Any:
    try:
        return _seen(read(body))
    except Refusal as refusal:
        return refusal.problem


@given(DOCUMENTS)
def test_any_document_means_the_same_swiftly_and_patiently(text: str) -> None:
    body = text.encode(errors="surrogatepass")
    assert _outcome(exact_json.read_json, body) == _outcome(exact_json._read_patiently, body)


@given(st.integers(0, len(EVENT)), st.integers(0, 12), st.one_of(st.binary(max_size=3), st.sampled_from([b'"id":1,', b"\\", b'"', b"1e9"])))  # fmt: skip
def test_a_damaged_event_means_the_same_swiftly_and_patiently(at: int, cut: int, put: bytes) -> None:
    body = EVENT[:at] + put + EVENT[at + cut :]
    assert _outcome(exact_json.read_json, body) == _outcome(exact_json._read_patiently, body)


@pytest.mark.parametrize(
    ("body", "is_swift"),
    [
        (EVENT, True),
        (EVENT.replace(b",", b", ").replace(b":", b": "), True),
        (EVENT.replace(b'"uom":"EA"', b'"quantity":2'), False),
        (EVENT.replace(b"T-1", b"T-\\u0031"), False),
    ],
)
def test_what_senders_write_is_read_swiftly_and_doubt_is_not(
    body: bytes, is_swift: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    patiently = exact_json._read_patiently
    asked: list[bytes] = []

    def counted(body: bytes) -> Any:
        asked.append(body)
        return patiently(body)

    monkeypatch.setattr(exact_json, "_read_patiently", counted)
    exact_json.read_json(body)
    assert (asked == []) == is_swift


def test_a_quantity_with_decimals_is_read_exactly_and_one_with_an_exponent_is_refused() -> None:
    (good,) = reading.read_events(EVENT).entries
    assert isinstance(good, reading.Received)
    assert str(good.event.data.lines[0].quantity) == "1.5"  # type: ignore[union-attr]
    assert b'"quantity":1.50' in good.body
    (bad,) = reading.read_events(EVENT.replace(b"1.50", b"1E+2")).entries
    assert isinstance(bad, reading.Refused)
    assert bad.problem.code == "quantity.pattern"


DAMAGES = st.tuples(st.integers(0, len(EVENT)), st.integers(0, 8), st.sampled_from([b"", b"\\", b'"', b"1e9", b"4111111111111111", b",", b"\x7f", b"\xc3\xa9", b"0.5"]))  # fmt: skip
SENT = st.lists(st.one_of(st.none(), DAMAGES), max_size=4)


@given(SENT)
def test_events_mean_the_same_all_at_once_and_each_by_itself(
    damages: list[tuple[int, int, bytes] | None],
) -> None:
    events = [EVENT if d is None else EVENT[: d[0]] + d[2] + EVENT[d[0] + d[1] :] for d in damages]
    body = b"[" + b", ".join(events) + b"]"
    with pytest.MonkeyPatch.context() as patch:
        at_once = _read(body)
        patch.setattr(reading, "_read_plain", lambda _body: None)
        assert at_once == _read(body)


def _read(body: bytes) -> object:
    try:
        return reading.read_events(body)
    except Refusal as refusal:
        return refusal.problem


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"0107", b"4111111111111111"),
        (b"T-1", "é".encode()),
        (b"T-1", b"T-\x7f"),
        (b"2026", b"1969"),
        (b'"A"', b"7"),
        (b'"uom":"EA"', b'"quantity":2'),
    ],
)
def test_one_event_in_doubt_has_all_of_its_batch_read_one_by_one(old: bytes, new: bytes) -> None:
    assert reading._read_plain(b"[" + EVENT + b"," + EVENT + b"]") is not None
    assert reading._read_plain(b"[" + EVENT + b"," + EVENT.replace(old, new) + b"]") is None
