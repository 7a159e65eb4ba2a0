"""How our own things are named to others."""

DIGITS_MAX = 18


def public_id(reservation_id: int) -> str:
    """`rsv_0000000042`."""
    return f"rsv_{reservation_id:010d}"


def internal_id(text: str) -> int | None:
    """The number of `rsv_0000000042`; None when it is no id of ours."""
    digits = text.removeprefix("rsv_")
    if (
        not text.startswith("rsv_")
        or not digits.isascii()
        or not digits.isdigit()
        or len(digits) > DIGITS_MAX
    ):
        return None
    return int(digits)
