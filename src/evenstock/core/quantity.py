"""Quantities are integers of an item's smallest unit (D10): `units = decimal × 10^scale`, never a float.

At the doors a quantity is a plain decimal, a JSON number or a string of the same pattern, in a unit of measure. It is
checked by pattern before anything converts it, so that `1e2000000` costs nothing.
"""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Annotated

import msgspec

from evenstock.core.errors import Refusal

DECIMALS_MAX = 6
DIGITS_MAX = 15
UNITS_MAX = 10**12  # of one line, in units
PATTERN = rf"^-?(0|[1-9][0-9]{{0,{DIGITS_MAX - 1}}})(\.[0-9]{{1,{DECIMALS_MAX}}})?$"
Amount = Annotated[str, msgspec.Meta(pattern=PATTERN)] | int  # as a request holds one, still unread
_LITERAL = re.compile(
    rf"-?(?:0|[1-9][0-9]{{0,{DIGITS_MAX - 1}}})(?:\.([0-9]{{1,{DECIMALS_MAX}}}))?", re.ASCII
)
_INTEGER_MAX = 10**DIGITS_MAX


class Quantity:
    """An exact decimal as it was sent: `digits / 10^decimals`, without trailing zeros, so that 1.50 equals 1.5."""

    __slots__ = ("decimals", "digits")

    def __init__(self, digits: int, decimals: int = 0) -> None:
        while decimals and digits % 10 == 0:
            digits //= 10
            decimals -= 1
        self.digits = digits
        self.decimals = decimals

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and (self.digits, self.decimals) == (other.digits, other.decimals)

    def __hash__(self) -> int:
        return hash((self.digits, self.decimals))

    def __repr__(self) -> str:
        return f"Quantity({self})"

    def __str__(self) -> str:
        return plain(self.digits, self.decimals)


class Factor(msgspec.Struct, frozen=True):
    """How many base units one unit of measure is, as an exact fraction: a CASE of 12 is 12/1, a third of a roll 1/3."""

    numerator: int
    denominator: int = 1


ONE = Factor(1)


@lru_cache(maxsize=4096)
def _from_text(text: str) -> Quantity:
    match = _LITERAL.fullmatch(text)
    if match is None:
        raise ValueError(
            "expected a plain decimal number such as 12 or 0.250, got "
            + msgspec.json.encode(text[:40]).decode()
        )
    return Quantity(int(text.replace(".", "")), len(match[1] or ""))


@lru_cache(maxsize=4096)
def _from_integer(value: int) -> Quantity:
    if not -_INTEGER_MAX < value < _INTEGER_MAX:
        raise ValueError(f"expected at most {DIGITS_MAX} digits")
    return Quantity(value)


def read(value: object) -> Quantity:
    """The quantity that a JSON value means.

    Raises ValueError, in words, for anything that is no plain decimal: exponents, NaN, other digits, booleans, floats.
    """
    if type(value) is int:
        return _from_integer(value)
    if type(value) is str:
        return _from_text(value)
    if isinstance(value, Decimal):
        return _from_text(str(value))
    raise ValueError(f"expected a plain decimal number such as 12 or 0.250, got {type(value).__name__}")


def units(quantity: Quantity, scale: int, factor: Factor = ONE) -> int:
    """Base units × 10^scale that a quantity in a unit of measure is; exact or refused.

    Raises Refusal `stock.too_precise` when it does not come out even, `quantity.too_large` beyond UNITS_MAX.
    """
    if quantity.decimals == 0 and factor is ONE:
        result, rest = quantity.digits * int(10**scale), 0
    else:
        result, rest = divmod(
            quantity.digits * factor.numerator * 10**scale, 10**quantity.decimals * factor.denominator
        )
    if rest:
        raise Refusal(
            "stock.too_precise",
            f"{quantity} is not a whole number of the item's smallest unit (scale {scale}).",
        )
    if not -UNITS_MAX <= result <= UNITS_MAX:
        raise Refusal("quantity.too_large", f"{quantity} is more than {UNITS_MAX:,} units.")
    return result


def plain(number: int, scale: int) -> str:
    """`number / 10^scale` in plain digits, without trailing zeros: (1500, 3) is 1.5."""
    if scale == 0:
        return str(number)
    whole, part = divmod(abs(number), int(10**scale))
    text = f"{whole}.{part:0{scale}}".rstrip("0").rstrip(".")
    return f"-{text}" if number < 0 else text


def as_number(number: int, scale: int) -> int | Decimal:
    """The base-unit amount of `number` units, exactly, for an answer in JSON."""
    return number if scale == 0 else Decimal(plain(number, scale))


def read_factor(text: str) -> Factor:
    """The factor that `"12"`, `"0.5"` or `"1/3"` means. Raises ValueError, in words."""
    numerator_text, _, denominator_text = text.partition("/")
    numerator, denominator = _from_text(numerator_text), _from_text(denominator_text or "1")
    if numerator.digits <= 0 or denominator.digits <= 0:
        raise ValueError("a unit holds more than nothing: expected a factor above zero")
    return Factor(numerator.digits * 10**denominator.decimals, denominator.digits * 10**numerator.decimals)
