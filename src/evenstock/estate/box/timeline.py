"""A play told to people: the notes of its trace in the words of a shop, those about one item or order if asked."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from evenstock.estate.box.trace import Note

Told = Callable[..., str]


def _call(channel: str, fate: str, number: int) -> str:
    fates = {
        "good": "took",
        "busy": "is busy and refused",
        "lost": "never heard of",
        "cut": "took, without an answer,",
        "slow": "keeps waiting for",
    }
    return f"{channel} {fates[fate]} {number} numbers"


_WORDS: Final[dict[str, Told]] = {
    "sold": lambda store, *goods: f"store {store} sold {_goods(goods)}",
    "drift": lambda place, sku, units: (
        f"unseen: {abs(units)} × {sku} {'turned up' if units > 0 else 'vanished'} at {place}"
    ),
    "ordered": lambda channel, ref, *skus: f"{channel} took the order {ref}: {', '.join(skus)}",
    "reserve": lambda ref, answer: f"the hub {'promised' if answer == 'yes' else 'could not promise'} {ref}",
    "picked": lambda place, ref, sku: f"{place} picked {sku} for {ref}",
    "short": lambda place, ref, sku, cause, detail: f"{place} found no {sku} for {ref} ({cause}: {detail})",
    "oversold": lambda ref, sku, cause, detail: f"{ref} was told that there is no {sku} ({cause}: {detail})",
    "counted": lambda place, *goods: f"{place} counted {_goods(goods)}",
    "shows": lambda channel, sku, units: f"{channel} shows {units} × {sku}",
    "call": _call,
    "fault": lambda kind, *who: f"{kind} begins: {', '.join(who) or 'the hub'}",
    "back": lambda name: f"{name} has its line back",
    "dark": lambda name: f"{name} was silent for too long and is taken off the channels",
    "lit": lambda name: f"{name} has caught up and is back on the channels",
    "mapped": lambda sku, lines: f"{sku} was added to the item master; {lines} lines that waited are booked",
    "post": lambda number: f"{number} postings went to the ERP",
    "applied": lambda _, key: f"the hub booked {key}",
    "duplicate": lambda _, key: f"the hub knew {key} already",
    "held": lambda _, key: f"the hub holds {key}: its item is not known",
    "parked": lambda _, key: f"{key} waits for the fact it names",
    "conflict": lambda _, key: f"the hub refused {key}: another fact has that key",
    "ignored": lambda _, key: f"{key} has no effect",
    "rejected": lambda _, key: f"the hub rejected {key}",
}


def _goods(goods: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{units} × {sku}" for sku, units in goods)


def in_words(note: Note) -> str:
    """What a note says, without its time."""
    kind, rest = note[1], note[2:]
    return _WORDS[kind](*rest)


def lines(notes: Iterable[Note], instant: Callable[[int], datetime], about: str = "") -> Iterator[str]:
    """`14:02:11 store s017 sold 1 × I0004`, in the order of time; only notes that mention `about`, and faults."""
    for note in sorted(notes, key=lambda note: note[0]):
        if not about or note[1] == "fault" or _mentions(note, about):
            yield f"{instant(note[0]):%H:%M:%S} {in_words(note)}"


def _mentions(note: tuple[Any, ...], about: str) -> bool:
    return any(about == part or (isinstance(part, tuple) and about in part) for part in note[2:])
