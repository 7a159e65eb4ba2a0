"""What is wrong with a cell, in one sentence that names the column and shows the value."""

from evenstock.core.errors import Refusal

SHOWN_MAX = 60  # characters of a value quoted in a problem


def problem(code: str, column: str, text: str, why: str) -> Refusal:
    """`Quantity 'x' is no number.`, pointing at the column."""
    shown = text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "…"
    return Refusal(code, f"{column} {shown!r} {why}.", "/" + column.replace("~", "~0").replace("/", "~1"))
