"""How fresh a source is, to the second."""

from datetime import UTC, datetime, timedelta

from evenstock.core.freshness import in_words, state_of
from evenstock.core.ordering import stream_in_words

NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def test_a_source_is_silent_a_second_past_what_is_expected_and_not_before() -> None:
    said = NOW - 9 * HOUR
    assert state_of(NOW - HOUR, said, 3600, NOW) == "fresh"
    assert state_of(NOW - HOUR - SECOND, said, 3600, NOW) == "silent"
    assert state_of(None, NOW - HOUR, 3600, NOW) == "waiting"
    assert state_of(None, NOW - HOUR - SECOND, 3600, NOW) == "silent"


def test_silence_before_something_was_expected_does_not_count() -> None:
    assert state_of(NOW - 90 * HOUR, NOW - HOUR, 3600, NOW) == "fresh"
    assert state_of(NOW - 90 * HOUR, None, None, NOW) == "unwatched"


def test_spans_and_streams_are_told_as_people_call_them() -> None:
    spans = {0: "0 s", 40: "40 s", 60: "1 min", 1_500: "25 min", 5_430: "1 h 30 min", 273_600: "3 d 4 h"}
    assert {seconds: in_words(timedelta(seconds=seconds)) for seconds in spans} == spans
    assert stream_in_words("0107/3") == "register 3 of store 0107"
    assert stream_in_words("nl/0107/3") == "register 3 of store nl/0107"
    assert stream_in_words("0107/") == "store 0107"
    assert stream_in_words("voids") == "stream voids"
