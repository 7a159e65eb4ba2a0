"""A posting in a trace: what it says while it is owed, taken in part, refused or late, and what is missing then."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from evenstock.core.tracing.postings import (
    MADE_WITHIN,
    POSTED_WITHIN,
    books_missing,
    posting_missing,
    posting_steps,
)
from evenstock.core.tracing.seen import BooksSeen, PostingSeen, TrySeen

AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def posting(status: str, *tries: TrySeen, **more: Any) -> PostingSeen:
    known: dict[str, Any] = {
        "id": "pst_0000000007", "connection": "erp", "reference": "EV-9-7", "kind": "sales", "posted_on": date(2026, 3, 2),
        "made_at": AT, "trace_id": None, "carries": None, "paused": None, "refused_detail": None, "refused_lines": None,
        "is_carried": False, "exception_id": None,
    }  # fmt: skip
    return PostingSeen(**known | more, status=status, tries=list(tries))


def tried(number: int, outcome: str, detail: str | None = None, document: str | None = None) -> TrySeen:
    return TrySeen(number, AT + number * SECOND, AT + (number + 0.5) * SECOND, outcome, detail, document)


def test_a_posting_is_owed_sent_and_has_its_document() -> None:
    found = posting("done", tried(1, "unknown", "cut off"), tried(2, "done", document="4901"))
    assert [(step.step, step.state, step.words) for step in posting_steps(found)] == [
        ("computed", "done", "erp is owed EV-9-7 (sales of 2026-03-02)."),
        ("told", "done", "erp was sent EV-9-7."),
        ("refused", "failed", "erp gave no answer; it is looked up there before it is sent again: cut off"),
        ("told", "done", "erp was sent EV-9-7, try 2."),
        ("acknowledged", "done", "erp has EV-9-7 as document 4901."),
    ]
    assert posting_missing(found, AT + 99 * POSTED_WITHIN) == []


def test_what_is_not_in_the_books_is_late_only_past_its_service_level() -> None:
    for age, late in ((POSTED_WITHIN, False), (POSTED_WITHIN + SECOND, True)):
        (missing,) = posting_missing(posting("unknown"), AT + age)
        assert (missing.state, missing.overdue, missing.since) == ("waiting", late, AT)
    (missing,) = posting_missing(posting("owed", paused="The key is wrong."), AT)
    assert missing.words == "EV-9-7 is not in the books of erp, since 10:00:00: The key is wrong."
    assert (missing.state, missing.overdue) == ("failed", True), "no waiting mends it"


def test_what_the_books_refuse_is_missing_until_it_is_brought_again() -> None:
    refused = posting(
        "rejected", tried(1, "rejected", "Closed."), refused_detail="Closed.", exception_id="exc_1"
    )
    (missing,) = posting_missing(refused, AT)
    assert (missing.state, missing.exception_id) == ("failed", "exc_1")
    assert missing.words == "erp refuses EV-9-7, since 10:00:00: Closed."
    part = {"refused_lines": "CUP: What is that?"}
    partly = posting("partly", tried(1, "partly", document="4902"), **part)
    assert posting_steps(partly)[-1].words == "erp refused of it CUP: What is that?"
    assert posting_missing(partly, AT)[0].words == "erp has EV-9-7 without CUP: What is that?"
    assert posting_missing(posting("partly", **part, is_carried=True), AT) == [], (
        "the other posting is told of"
    )
    carrying = posting("done", carries="EV-9-6")
    assert posting_steps(carrying)[0].words.endswith(
        "(sales of 2026-03-02): lines that it refused in EV-9-6."
    )
    assert posting_missing(posting("shadow"), AT + 2 * POSTED_WITHIN) == [], "it is never sent"


def test_books_are_late_past_their_period() -> None:
    books = BooksSeen(connection="erp", every_s=600, since=AT)
    due = AT + timedelta(seconds=600) + MADE_WITHIN
    assert not books_missing(books, due).overdue
    assert books_missing(books, due + SECOND).overdue
