"""Payment card numbers: found before anything is stored, for they have no place in a stock hub (PCI DSS 3).

A number is a card's when it has the length and the first digits of an issuer and Luhn's check digit. Lengths of 13 and 14 are
barcodes too, and one barcode in ten passes Luhn: they count only where the name beside them speaks of a card. A number that is
declared as an identifier of something else (`gtin`, `id`, `…_id`) is never taken for a card.
"""

import re
from collections.abc import Iterator
from typing import Final

DIGITS_MIN, DIGITS_MAX = 13, 19
KEPT: Final = 4  # last digits, as receipts print them

# Digits, and what may stand between the groups of a card number, to one byte: a long run is then found by a plain search.
_BETWEEN: Final = b" -"
_SAME: Final = bytes(0x30 if byte in b"0123456789" + _BETWEEN else byte for byte in range(256))
_RUN: Final = b"0" * DIGITS_MIN
_CANDIDATE: Final = re.compile(rb"(?<![0-9])(?<![0-9]\.)[0-9](?:[ -]?[0-9]){12,18}(?![ -]?[0-9])")
_NAME: Final = re.compile(rb'"([^"\\]{1,64})"\s*:\s*"?$')
_NAME_BYTES: Final = 80  # before a number in which its name is looked for
_IDENTIFIES: Final = re.compile(rb"(?:^|_)(?:ids?|gtins?|eans?|upcs?|barcodes?|imei|serial)$", re.IGNORECASE)
_OF_A_CARD: Final = re.compile(
    rb"card|(?:^|_)(?:pan|cc|cvv|ccnumber|creditnumber)(?:$|_)|karte", re.IGNORECASE
)


def card_at(text: bytes) -> tuple[int, int] | None:
    """Where the first card number stands, as start and end; the bytes are JSON or any text."""
    return next(_cards(text), None)


def masked(text: bytes) -> bytes:
    """The same text with all but the last four digits of each card number masked; JSON stays JSON."""
    parts, end = [], 0
    for start, stop in _cards(text):
        cover = b"*" if _in_string(text, start, stop) else b"9"
        digits = sum(1 for byte in text[start:stop] if 0x30 <= byte <= 0x39)
        parts += [text[end:start], _covered(text[start:stop], digits - KEPT, cover)]
        end = stop
    return b"".join([*parts, text[end:]]) if parts else text


def _cards(text: bytes) -> Iterator[tuple[int, int]]:
    for found in _candidates(text):
        digits = found.group().translate(None, _BETWEEN)
        if not _luhn(digits):
            continue
        before = _NAME.search(text[max(0, found.start() - _NAME_BYTES) : found.start()])
        name = before.group(1) if before else b""
        if _OF_A_CARD.search(name) or (_issued(digits) and not _IDENTIFIES.search(name)):
            yield found.span()


def _candidates(text: bytes) -> Iterator[re.Match[bytes]]:
    """Numbers of the right length; only where a long run stands is anything looked at twice."""
    same = text.translate(_SAME)
    start = same.find(_RUN)
    while start >= 0:
        stop = start + DIGITS_MIN
        while stop < len(same) and same[stop] == 0x30:
            stop += 1
        if len(text[start:stop].strip()) >= DIGITS_MIN:
            yield from _CANDIDATE.finditer(text, start, stop)
        start = same.find(_RUN, stop)


def _issued(digits: bytes) -> bool:
    """Whether these are the length and first digits of an issuer, where no barcode or device number has them too."""
    two, four, length = int(digits[:2]), int(digits[:4]), len(digits)
    if length == 15:
        return two in {34, 37}  # American Express; device numbers (IMEI) begin otherwise
    if length == 16:
        return (
            digits[:1] == b"4"
            or 51 <= two <= 55
            or 2221 <= four <= 2720
            or two in {62, 65}
            or four == 6011
            or 644 <= int(digits[:3]) <= 649
            or 3528 <= four <= 3589
        )
    return length > 16 and (two == 62 or (length == 19 and digits[:1] == b"4"))


def _luhn(digits: bytes) -> bool:
    total = 0
    for place, byte in enumerate(reversed(digits)):
        digit = byte - 0x30
        total += digit if place % 2 == 0 else digit * 2 - 9 * (digit > 4)
    return total % 10 == 0


def _in_string(text: bytes, start: int, stop: int) -> bool:
    """Whether the number stands within a JSON string; a bare number has structure on both sides."""
    before, after = text[:start].rstrip()[-1:], text[stop:].lstrip()[:1]
    return not (before in {b":", b"[", b","} and after in {b",", b"]", b"}", b""})


def _covered(text: bytes, digits: int, cover: bytes) -> bytes:
    covered = bytearray(text)
    for place, byte in enumerate(text):
        if digits and 0x30 <= byte <= 0x39:
            covered[place] = cover[0]
            digits -= 1
    return bytes(covered)
