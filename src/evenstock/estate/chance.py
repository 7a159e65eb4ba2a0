"""Randomness that stays put: one stream for each actor and purpose, so that one actor more changes nobody's luck."""

import hashlib
from random import Random


def stream(seed: int, *purpose: str) -> Random:
    """The random numbers of one purpose; the same seed and purpose give the same numbers on every machine."""
    digest = hashlib.sha256("/".join((str(seed), *purpose)).encode()).digest()
    return Random(int.from_bytes(digest[:16]))  # noqa: S311 - chance, not secrecy
