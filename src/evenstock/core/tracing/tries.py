"""What became of a try that was not taken, in the same words for numbers, postings and commands."""

from typing import Final

from evenstock.core.tracing.seen import TrySeen

AGAIN: Final = "it is sent again under the same key"
_OUTCOMES: Final = {
    "retry": "did not take it and is asked again",
    "rejected": "refused it",
    "unauthorized": "does not accept our credentials",
    "unknown": "gave no answer; {next}",
}


def nth(one: TrySeen) -> str:
    """`, try 2`; nothing for the first."""
    return "" if one.number == 1 else f", try {one.number}"


def untaken(system: str, one: TrySeen, next_: str = AGAIN) -> str:
    """What a system did instead of taking it; `next_` is what follows where it gave no answer."""
    because = f": {one.detail}" if one.detail else "."
    return f"{system} {_OUTCOMES[one.outcome].format(next=next_)}{because}"
