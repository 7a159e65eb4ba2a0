"""JSON as it is meant: exact numbers, no name twice in an object, bounded depth; and its canonical form, by which it is kept.

Most bodies are read swiftly. One that the swift decoder might not take as it is meant is read again, patiently, and what
cannot be used stands in the value as a marker, so that its neighbours can.
"""

import json
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from evenstock.core.errors import Refusal

DEPTH_MAX: Final = 32
NUMBER_CHARACTERS_MAX: Final = 40  # of a number in a body that has one which Python does not take
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))

T = TypeVar("T")


class _Endless:
    """Stands for a number with more digits than anybody means."""


class _Repeated:
    """Stands for a JSON object in which a name stands twice."""

    def __init__(self, name: str) -> None:
        self.name = name


canonical: Final = msgspec.json.Encoder(
    order="deterministic", decimal_format="number"
)  # sorted names, no spaces


def _object(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        return _Repeated(next(name for name in names if names.count(name) > 1))
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _bounded(text: str) -> object:
    """A number of a length that somebody may mean, else a marker."""
    try:
        return Decimal(text) if len(text) <= NUMBER_CHARACTERS_MAX else _Endless()
    except ArithmeticError:
        return _Endless()


_json = json.JSONDecoder(object_pairs_hook=_object, parse_float=Decimal, parse_constant=_no_constant)
_bounded_json = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_bounded, parse_float=_bounded, parse_constant=_no_constant
)
_swift_json = msgspec.json.Decoder(float_hook=Decimal)


def _nests_deeper(body: bytes, levels: int) -> bool:
    """Whether brackets nest deeper than `levels`; brackets inside strings can only make it look deeper."""
    brackets = body.translate(None, _NOT_BRACKETS)
    for _ in range(levels):
        if not brackets:
            return False
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return bool(brackets)


def _depth(body: bytes) -> int:
    """The exact depth, strings left out; only for bodies that look too deep."""
    return _deepest(re.sub(rb'"(?:[^"\\]|\\.)*"', b"", body))


def _deepest(body: bytes) -> int:
    depth = deepest = 0
    for byte in body:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def read_json(body: bytes) -> Any:
    """Any JSON value: numbers as int or Decimal, exactly.

    Raises Refusal `json.malformed` or `limit.depth`. Objects with a repeated name come as a marker that no decoder
    takes for an object; `repeated_name` finds it.
    """
    if _nests_deeper(body, DEPTH_MAX) and _depth(body) > DEPTH_MAX:
        raise Refusal("limit.depth", f"The JSON nests deeper than {DEPTH_MAX} levels.")
    try:
        value = _swift_json.decode(body)
        if _is_whole(canonical.encode(value), body):
            return value
    except (msgspec.DecodeError, ArithmeticError, ValueError):
        pass  # the patient decoder tells what is wrong, or takes it
    return _read_patiently(body)


def read_array(body: bytes) -> tuple[list[Any], bytes] | None:
    """The entries of a JSON array and their canonical forms, one a line; None where the body is to be read otherwise."""
    if not body.startswith(b"[") or _nests_deeper(body, DEPTH_MAX):
        return None
    try:
        value = _swift_json.decode(body)
        lines = canonical.encode_lines(value)
    except (msgspec.DecodeError, ArithmeticError, ValueError):
        return None
    return (value, lines) if _is_whole(lines, body) else None


def _is_whole(encoded: bytes, body: bytes) -> bool:
    """Whether the swift decoder, which keeps the last of names that stand twice, has lost nothing of a body.

    Without escapes every quote opens or closes a text, so a lost name is missing from what the value encodes to.
    """
    return b"\\" not in body and encoded.count(b'"') == body.count(b'"')


def _read_patiently(body: bytes) -> Any:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Refusal("json.malformed", f"Not UTF-8 at byte {error.start}.") from None
    try:
        return _json.decode(text)
    except json.JSONDecodeError as error:
        raise Refusal(
            "json.malformed", f"{error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except (ValueError, ArithmeticError):
        pass  # a number that Python does not take; its neighbours may still be good
    try:
        return _bounded_json.decode(text)
    except ValueError as error:
        raise Refusal("json.malformed", f"{str(error)[:200]}.") from None


def repeated_name(value: object, pointer: str = "") -> tuple[str, str] | None:
    """Where a JSON object has a name twice: its pointer and the name."""
    found = _marker(value, _Repeated, pointer)
    return None if found is None else (found[0], found[1].name)


def endless_number(value: object, pointer: str) -> str | None:
    """Where a number has more digits than anybody means: its pointer."""
    found = _marker(value, _Endless, pointer)
    return None if found is None else found[0]


def _marker(value: object, kind: type[T], pointer: str) -> tuple[str, T] | None:
    """The first marker of a kind, and where it stands."""
    if isinstance(value, kind):
        return pointer, value
    entries: Iterable[tuple[object, object]] = ()
    if isinstance(value, dict):
        entries = value.items()
    elif isinstance(value, list):
        entries = enumerate(value)
    for name, inner in entries:
        if (found := _marker(inner, kind, f"{pointer}/{escape(str(name))}")) is not None:
            return found
    return None


def escape(name: str) -> str:
    """A name as a JSON Pointer writes it (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
