"""Sequence numbers of a stream: which were seen, and which are missing (S49).

Facts are applied all the same; a gap is shown, never waited for. What was seen is kept as ranges
`[first, last, first, last, …]`, in order and apart, so that numbers may come in any order, and twice.
"""

from collections.abc import Iterable, Sequence

RANGES_MAX = 1_000  # of one stream; beyond it the oldest gaps are taken as never to be filled


def merge(seen: Sequence[int], numbers: Iterable[int]) -> list[int]:
    """The ranges after these numbers came too."""
    numbers = list(numbers)
    if seen and len(numbers) == 1 and numbers[0] == seen[-1] + 1:  # the next one, as nearly always
        return [*seen[:-1], numbers[0]]
    spans = sorted([*zip(seen[::2], seen[1::2], strict=True), *((number, number) for number in numbers)])
    merged: list[int] = []
    for first, last in spans:
        if merged and first <= merged[-1] + 1:
            merged[-1] = max(merged[-1], last)
        else:
            merged += (first, last)
    excess = len(merged) // 2 - RANGES_MAX
    return [merged[0], *merged[2 * excess + 1 :]] if excess > 0 else merged


def is_seen(seen: Sequence[int], number: int) -> bool:
    """Whether a number is within the ranges."""
    return any(first <= number <= last for first, last in zip(seen[::2], seen[1::2], strict=True))


def gaps(seen: Sequence[int]) -> list[tuple[int, int]]:
    """The missing numbers as (first, last), oldest first."""
    return [(last + 1, first - 1) for last, first in zip(seen[1:-1:2], seen[2::2], strict=True)]


def stream_in_words(stream: str) -> str:
    """A stream as people call it: `0107/3` is register 3 of store 0107."""
    location, slash, register = stream.rpartition("/")
    if not slash or not location:
        return f"stream {stream}"
    return f"register {register} of store {location}" if register else f"store {location}"


def in_words(missing: Sequence[tuple[int, int]]) -> str:
    """`4411 to 4422, 4430`; at most three spans are named."""
    named = [str(first) if first == last else f"{first} to {last}" for first, last in missing[:3]]
    rest = len(missing) - len(named)
    return ", ".join(named) + (f" and {rest:,} more" if rest else "")
