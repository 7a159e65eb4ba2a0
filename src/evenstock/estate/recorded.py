"""What the web shop's own system was told: the file that a `recorder` connection writes, read as it grows."""

from pathlib import Path

import msgspec


class Told(msgspec.Struct, frozen=True):
    """A number as it reached the web shop."""

    channel: str
    sku: str
    quantity: int
    version: int


class Recorded:
    """The lines so far, and the last number of each channel and item."""

    def __init__(self, path: Path) -> None:
        self.last: dict[tuple[str, str], Told] = {}
        self.lines = 0
        self.backwards: list[str] = []  # numbers that came after a newer one: there must be none
        self._path = path
        self._read_to = 0

    def read(self) -> list[tuple[Told, int | None]]:
        """What came since the last look, each with the number that was there before."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read_to)
                text = file.read()
        except FileNotFoundError:  # nothing was told yet
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._read_to += len(whole)
        return [self._note(msgspec.json.decode(line, type=Told)) for line in whole.splitlines()]

    async def shown(self) -> dict[tuple[str, str], int]:
        """The number that each channel has of each item now."""
        self.read()
        return {where: told.quantity for where, told in self.last.items()}

    def _note(self, told: Told) -> tuple[Told, int | None]:
        self.lines += 1
        before = self.last.get((told.channel, told.sku))
        if before is not None and before.version >= told.version:
            self.backwards.append(f"{told.channel} {told.sku}: version {told.version} after {before.version}")
        self.last[told.channel, told.sku] = told
        return told, before.quantity if before else None
