"""From the bytes at the door to canonical events, each by itself: a bad event never spoils the others.

What is accepted is kept as canonical JSON (sorted names, no spaces), with everything the sender put into it.
"""

import json
import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from evenstock.core.cards import card_at, masked
from evenstock.core.errors import Problem, Refusal
from evenstock.core.events import EVENT_TYPES, Event, read_custom
from evenstock.core.exact_json import canonical, endless_number, escape, read_array, read_json, repeated_name

BATCH_EVENTS_MAX = 1_000
YEAR_MIN, YEAR_MAX = 1970, 2200
FREE_TEXTS = frozenset({"reason", "condition", "traceparent"})  # of an event: not identifiers
_PATH = re.compile(r"^(?P<words>.*) - at `\$(?P<path>[^`]*)`$", re.DOTALL)
_QUANTITY_WORDS = ("expected a plain decimal", "expected at most")
_TYPE_NAMES = frozenset(str(kind.__struct_config__.tag) for kind in EVENT_TYPES)


class Received(msgspec.Struct, frozen=True, gc=False):
    """An event that has its shape, and its canonical JSON."""

    event: Event
    body: bytes


class Refused(msgspec.Struct, frozen=True):
    """Something that is no event: why, the id it claims to have, and what came."""

    problem: Problem
    id: str | None
    body: bytes


_decimals_as_text = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Event, dec_hook=read_custom)


def pointer_of(path: str) -> str:
    """`.data.lines[0].quantity` as the JSON Pointer /data/lines/0/quantity."""
    return "".join(f"/{part}" for part in re.split(r"[.\[\]]+", path) if part)


def problem_of(error: msgspec.DecodeError, prefix: str = "", code: str = "event.malformed") -> Problem:
    """What msgspec found, with a pointer and in a sentence."""
    match = _PATH.match(str(error))
    words, path = (match["words"], match["path"]) if match else (str(error), "")
    if words.startswith(_QUANTITY_WORDS):
        code = "quantity.pattern"
    elif path == ".type" and code == "event.malformed":
        code = "event.unknown_type"
        words += f"; known are {', '.join(sorted(_TYPE_NAMES))}"
    return Problem(code, f"{words[:1].upper()}{words[1:]}.", prefix + pointer_of(path))


def is_identifier(text: str) -> bool:
    """Printable and in NFC, without control, formatting or private characters (H4); case and width are kept."""
    if text.isascii():
        return text.isprintable()
    if not unicodedata.is_normalized("NFC", text):
        return False
    return all(unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for char in text)


class Reading(msgspec.Struct, frozen=True):
    """What a body held, entry by entry, and whether it was an array."""

    entries: list[Received | Refused]
    is_array: bool

    def prefix(self, index: int) -> str:
        """The JSON Pointer of an entry."""
        return f"/{index}" if self.is_array else ""


def read_events(body: bytes) -> Reading:
    """The events in a request body: one event, or an array of them.

    Raises Refusal where nothing of the body can be used: `json.malformed`, `limit.depth`, `limit.batch`.
    """
    if (many := _read_plain(body)) is not None:
        return Reading(many, is_array=True)
    value = read_json(body)
    if not isinstance(value, list):
        return Reading([_read_event(value, "")], is_array=False)
    if len(value) > BATCH_EVENTS_MAX:
        raise Refusal(
            "limit.batch", f"{len(value):,} events in one request; at most {BATCH_EVENTS_MAX:,} are taken."
        )
    return Reading([_read_event(entry, f"/{index}") for index, entry in enumerate(value)], is_array=True)


def _read_plain(body: bytes) -> list[Received | Refused] | None:
    """All events of an array at once, in half the time; None where one of them needs a look by itself."""
    found = read_array(body)
    if found is None:
        return None
    value, lines = found
    if len(value) > BATCH_EVENTS_MAX or not _is_plain(lines) or card_at(lines) is not None:
        return None
    try:
        events: list[Event] = _decoder.decode_lines(_decimals_as_text.encode_lines(value))
    except msgspec.ValidationError:
        return None
    if not all(event.time is None or YEAR_MIN <= event.time.year <= YEAR_MAX for event in events):
        return None
    return list(map(Received, events, lines.splitlines()))


def read_event(value: object) -> Received | Refused:
    """One event from an already decoded JSON value."""
    return _read_event(value, "")


def with_members(body: bytes, members: dict[str, str]) -> bytes:
    """The canonical JSON of an event, with members beside those it came with."""
    return canonical.encode(json.loads(body, parse_float=Decimal) | members)


def read_stored(body: str | bytes) -> Event:
    """An accepted event, from the canonical JSON that was kept of it."""
    value = json.loads(body, parse_float=Decimal)
    event: Event = _decoder.decode(_decimals_as_text.encode(value))
    return event


def _read_event(value: Any, prefix: str) -> Received | Refused:
    try:
        body = canonical.encode(value)
    except (TypeError, UnicodeEncodeError, RecursionError):
        return _unencodable(value, prefix)
    claimed_id = value.get("id") if isinstance(value, dict) else None
    id_ = claimed_id if isinstance(claimed_id, str) else None
    if card_at(body) is not None:
        detail = "A payment card number stands here. Nothing of the event was kept."
        return Refused(Problem("card.number", detail, _card(value, prefix)), None, masked(body))
    try:
        typed = _decimals_as_text.encode(value) if _may_have_decimals(body) else body
        event = _decoder.decode(typed)
    except msgspec.ValidationError as error:
        return Refused(problem_of(error, prefix), id_, body)
    problem = _misfit(event, value, body, prefix)
    return Received(event, body) if problem is None else Refused(problem, id_, body)


def _may_have_decimals(body: bytes) -> bool:
    """Whether a number in an event's canonical JSON can be other than an integer; one dot is its type's own."""
    return body.count(b".") > 1 or b"E+" in body or b"E-" in body


def _misfit(event: Event, value: Any, body: bytes, prefix: str) -> Problem | None:
    """What is wrong with an event that has its shape."""
    if not _is_plain(body):
        if b"\\u0000" in body and (pointer := _nul(value, prefix)) is not None:
            detail = "A text holds a NUL character, which no database keeps."
            return Problem("identifier.characters", detail, pointer)
        if (pointer := _unfit(event, "")) is not None:
            return Problem(
                "identifier.characters",
                f"`{pointer.rpartition('/')[2]}` has characters that an identifier may not have.",
                prefix + pointer,
            )
    if event.time is not None and not YEAR_MIN <= event.time.year <= YEAR_MAX:
        return Problem(
            "event.time",
            f"The year {event.time.year} is not between {YEAR_MIN} and {YEAR_MAX}.",
            f"{prefix}/time",
        )
    return None


def _is_plain(body: bytes) -> bool:
    """Whether no text in a canonical JSON can hold a character that an identifier may not have."""
    return body.isascii() and b"\\" not in body and b"\x7f" not in body


def _unfit(value: object, pointer: str) -> str | None:
    """The pointer of an identifier with characters that it may not have."""
    found = None
    if isinstance(value, str):
        found = None if is_identifier(value) else pointer
    elif isinstance(value, list):
        entries = ((str(index), inner) for index, inner in enumerate(value))
        found = next(filter(None, (_unfit(inner, f"{pointer}/{name}") for name, inner in entries)), None)
    elif isinstance(value, msgspec.Struct):
        fields = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        named = ((name, getattr(value, field)) for name, field in fields if name not in FREE_TEXTS)
        found = next(filter(None, (_unfit(inner, f"{pointer}/{name}") for name, inner in named)), None)
    return found


def _card(value: object, pointer: str) -> str:
    """Where the card number stands, as near as can be told."""
    named: Iterable[tuple[str, object]] = ()
    if isinstance(value, dict):
        named = value.items()
    elif isinstance(value, list):
        named = ((str(index), inner) for index, inner in enumerate(value))
    for name, inner in named:
        if card_at(canonical.encode({name: inner})) is not None:
            return _card(inner, f"{pointer}/{escape(name)}")
    return pointer


def _nul(value: object, pointer: str) -> str | None:
    """Where a text, or a name, holds a NUL."""
    if isinstance(value, str):
        return pointer if "\0" in value else None
    entries: Iterable[tuple[object, object]] = ()
    if isinstance(value, dict):
        if any("\0" in name for name in value):
            return pointer
        entries = value.items()
    elif isinstance(value, list):
        entries = enumerate(value)
    found = (_nul(inner, f"{pointer}/{escape(str(name))}") for name, inner in entries)
    return next((where for where in found if where is not None), None)


def _unencodable(value: Any, prefix: str) -> Refused:
    if (found := repeated_name(value, prefix)) is not None:
        pointer, name = found
        return Refused(
            Problem("json.repeated_name", f"The name `{name}` stands twice in one object.", pointer),
            None,
            b"",
        )
    if (endless := endless_number(value, prefix)) is not None:
        return Refused(
            Problem("quantity.pattern", "A number has more digits than anybody means.", endless), None, b""
        )
    return Refused(
        Problem("identifier.characters", "A text holds half a character (a lone surrogate).", prefix),
        None,
        b"",
    )
