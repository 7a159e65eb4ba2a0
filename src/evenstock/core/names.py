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


def posting_id(number: int) -> str:
    """`pst_0000000042`."""
    return f"pst_{number:010d}"


def command_id(number: int) -> str:
    """`cmd_0000000042`."""
    return f"cmd_{number:010d}"


def dispatch_id(tag: str, channel_id: int, item_id: int, version: int) -> str:
    """The key under which a channel is told a number, the same in each try: `9f2c4a1700aa4b7e-3-17-4`."""
    return f"{tag}-{channel_id}-{item_id}-{version}"


def numbers_of(text: str, prefix: str, separator: str, count: int) -> tuple[int, ...] | None:
    """The numbers behind a prefix of ours, as in `mov_17_0`; None when it is no such id."""
    if not text.startswith(prefix):
        return None
    parts = text.removeprefix(prefix).split(separator)
    if len(parts) != count or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    return tuple(map(int, parts)) if max(map(len, parts)) <= DIGITS_MAX else None
