"""Programs that believe in another time: libfaketime, where the machine has it."""

from pathlib import Path
from typing import Final

LIBRARY: Final = "libfaketime.so.1"
PLACES: Final = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib")
HOW_TO_GET: Final = "install libfaketime (Debian: apt-get install faketime)"


def library() -> Path | None:
    """Where libfaketime is, if it is."""
    for place in PLACES:
        for pattern in (f"*/faketime/{LIBRARY}", f"faketime/{LIBRARY}", LIBRARY):
            for found in sorted(Path(place).glob(pattern)):
                return found
    return None


def wrong_by(found: Path, seconds: int) -> dict[str, str]:
    """The environment of a program whose clock is so many seconds ahead. What measures spans is left alone."""
    return {
        "LD_PRELOAD": str(found),
        "FAKETIME": f"{seconds:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }
