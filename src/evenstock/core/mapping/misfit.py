"""What does not fit in a mapping: the place and the words, until they become one sentence for its author."""

from collections.abc import Iterable
from difflib import get_close_matches

from evenstock.core.errors import Refusal

Place = list[str | int]  # the steps from the top of the file: ["rule", 0, "event"]


class Misfit(Exception):  # noqa: N818 - told to the reader as a Refusal
    """Something that must be changed in the mapping, where, and why."""

    def __init__(self, place: Place, why: str) -> None:
        super().__init__(why)
        self.place = place
        self.why = why


def malformed(file: str, place: Place, why: str) -> Refusal:
    """`sales.toml: [[rule]] 2, event: there is no event SaleRecoded.v1. Did you mean SaleRecorded.v1?`"""
    words: list[str] = []
    for step in place:
        if isinstance(step, int):
            words[-1] = f"[[{words[-1]}]] {step + 1}" if len(words) == 1 else f"{words[-1]} {step + 1}"
        else:
            words.append(step)
    return Refusal("mapping.malformed", f"{file}: {', '.join(words) or 'the file'}: {why}")


def near(word: str, known: Iterable[str]) -> str:
    """`Did you mean …?`, or what there is, for a word that is none of the known."""
    candidates = list(known)
    folded = {each.casefold(): each for each in candidates}
    close = get_close_matches(word.casefold(), folded, n=1, cutoff=0.85) or get_close_matches(
        word.casefold(), folded, n=3, cutoff=0.6
    )
    if close:
        return f"Did you mean {' or '.join(folded[each] for each in close)}?"
    return f"There is: {', '.join(candidates) or 'nothing'}."
