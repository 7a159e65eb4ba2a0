"""What the books are told because of it: each posting that its movements are in, each try, their document, and what they still lack."""

from datetime import datetime, timedelta
from typing import Final

from evenstock.core.tracing.seen import BooksSeen, PostingSeen, TrySeen
from evenstock.core.tracing.steps import Missing, Name, State, Step, since
from evenstock.core.tracing.tries import nth, untaken

MADE_WITHIN: Final = timedelta(minutes=1)  # of the movement, or of the end of its period
POSTED_WITHIN: Final = timedelta(minutes=15)  # from making it to its document
LOOKED_UP: Final = "it is looked up there before it is sent again"


def posting_steps(posting: PostingSeen) -> list[Step]:
    what = f"{posting.reference} ({posting.kind} of {posting.posted_on:%Y-%m-%d})"
    if posting.status == "shadow":
        words = f"{posting.connection} would be sent {what}; its flow is shadow."
    elif posting.carries is not None:
        words = f"{posting.connection} is owed {what}: lines that it refused in {posting.carries}."
    else:
        words = f"{posting.connection} is owed {what}."
    steps = [_step(posting, posting.made_at, "computed", words)]
    for one in posting.tries:
        steps += _try(posting, one)
    return steps


def _try(posting: PostingSeen, one: TrySeen) -> list[Step]:
    words = f"{posting.connection} was sent {posting.reference}{nth(one)}."
    sent = _step(posting, one.started_at, "told", words)
    if one.outcome in {"done", "partly"}:
        words = f"{posting.connection} has {posting.reference} as document {one.document}."
        taken = _step(posting, one.ended_at, "acknowledged", words, document=one.document)
        if not posting.refused_lines:
            return [sent, taken]
        words = f"{posting.connection} refused of it {posting.refused_lines}"
        return [sent, taken, _step(posting, one.ended_at, "refused", words, "failed")]
    words = untaken(posting.connection, one, LOOKED_UP)
    return [sent, _step(posting, one.ended_at, "refused", words, "failed")]


def _step(
    posting: PostingSeen,
    at: datetime,
    name: Name,
    words: str,
    state: State = "done",
    document: str | None = None,
) -> Step:
    return Step(
        at=at, step=name, state=state, system=posting.connection, posting=posting.id, trace_id=posting.trace_id,
        document=document, words=words,
    )  # fmt: skip


def posting_missing(posting: PostingSeen, now: datetime) -> list[Missing]:
    """What the books lack of it: all of it, or lines that they refused and that nothing brings again yet."""
    at = posting.made_at

    def missing(words: str, *, is_stuck: bool) -> list[Missing]:
        return [
            Missing(
                system=posting.connection, since=at, state="failed" if is_stuck else "waiting",
                overdue=is_stuck or now - at > POSTED_WITHIN, exception_id=posting.exception_id, words=words,
            )
        ]  # fmt: skip

    if posting.status in {"owed", "unknown"}:
        paused = f": {posting.paused.rstrip('.')}" if posting.paused else ""
        words = f"{posting.reference} is not in the books of {posting.connection}, {since(at, now)}{paused}."
        return missing(words, is_stuck=bool(paused))
    if posting.status == "rejected":
        words = (
            f"{posting.connection} refuses {posting.reference}, {since(at, now)}: {posting.refused_detail}"
        )
        return missing(words, is_stuck=True)
    if posting.status == "partly" and posting.refused_lines and not posting.is_carried:
        words = f"{posting.connection} has {posting.reference} without {posting.refused_lines}"
        return missing(words, is_stuck=True)
    return []


def books_missing(books: BooksSeen, now: datetime) -> Missing:
    """Movements that no posting of these books holds yet."""
    late = now - books.since > timedelta(seconds=books.every_s) + MADE_WITHIN
    words = f"What is owed to the books of {books.connection} is not added up yet, {since(books.since, now)}."
    return Missing(system=books.connection, since=books.since, state="waiting", overdue=late, words=words)
