"""A command in a trace: what it says while it is owed, refused or done, and what is missing then."""

from datetime import UTC, datetime, timedelta
from typing import Any

from evenstock.core.tracing.commands import DONE_WITHIN, command_missing, command_steps
from evenstock.core.tracing.seen import CommandSeen, TrySeen

AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def command(status: str, *tries: TrySeen, **more: Any) -> CommandSeen:
    known: dict[str, Any] = {
        "id": "cmd_0000000007", "connection": "wms", "reference": "EV-9-C7", "kind": "pick", "location": "DC1",
        "reservation": "rsv_0000000001", "lines": [("TSH", 2), ("CUP", 1)], "made_at": AT, "trace_id": "ab" * 16,
        "waits_for": None, "paused": None, "refused_detail": None, "exception_id": None,
    }  # fmt: skip
    return CommandSeen(**known | more, status=status, tries=list(tries))


def tried(number: int, outcome: str, detail: str | None = None, document: str | None = None) -> TrySeen:
    return TrySeen(number, AT + number * SECOND, AT + (number + 0.5) * SECOND, outcome, detail, document)


def test_a_command_is_decided_sent_and_acknowledged_under_the_systems_own_number() -> None:
    found = command("done", tried(1, "unknown", "cut off"), tried(2, "done", document="WMS-123"))
    assert [(step.step, step.state, step.words) for step in command_steps(found)] == [
        ("computed", "done", "wms is commanded to pick 2 × TSH, 1 × CUP at DC1 (EV-9-C7)."),
        ("told", "done", "wms was sent EV-9-C7."),
        ("refused", "failed", "wms gave no answer; it is sent again under the same key: cut off"),
        ("told", "done", "wms was sent EV-9-C7, try 2."),
        ("acknowledged", "done", "wms acknowledged EV-9-C7 as WMS-123: pick 2 × TSH, 1 × CUP at DC1."),
    ]
    assert command_missing(found, AT + 99 * DONE_WITHIN) == []


def test_what_is_not_done_is_late_past_its_time_and_says_what_it_waits_for() -> None:
    for age, late in ((DONE_WITHIN, False), (DONE_WITHIN + SECOND, True)):
        (missing,) = command_missing(command("unknown"), AT + age)
        assert (missing.state, missing.overdue, missing.since) == ("waiting", late, AT)
    (missing,) = command_missing(command("owed", waits_for="EV-9-C6", paused="The key is wrong."), AT)
    assert missing.words == (
        "wms has not confirmed to pick 2 × TSH, 1 × CUP at DC1 (EV-9-C7), since 10:00:00; it waits for EV-9-C6: The key is wrong."
    )
    assert (missing.state, missing.overdue) == ("failed", True), "no waiting mends it"


def test_what_is_refused_needs_a_person_and_what_was_only_written_down_nobody() -> None:
    refused = command(
        "rejected", tried(1, "rejected", "Closed."), refused_detail="Closed.", exception_id="exc_1"
    )
    (missing,) = command_missing(refused, AT)
    assert (missing.state, missing.exception_id) == ("failed", "exc_1")
    assert missing.words == "wms refuses to pick 2 × TSH, 1 × CUP at DC1 (EV-9-C7), since 10:00:00: Closed."
    (step,) = command_steps(command("shadow", kind="cancel", lines=[("TSH", 2)]))
    assert step.words == "wms would be commanded to cancel 2 × TSH at DC1; its flow was shadow."
    assert command_missing(command("shadow"), AT) == []
