"""How fast a show goes: its speed may be changed while it lives, and whoever waits for a world time is woken then."""

import asyncio

from evenstock.estate.facts import SECOND


class Pace:
    """`speed` times faster than a real shop's time."""

    def __init__(self, speed: int) -> None:
        self.speed = speed
        self._woken = asyncio.Event()

    @property
    def second(self) -> int:
        """One second of the wall's clock in world time: networks do not hurry with the world."""
        return self.speed * SECOND

    def change(self, speed: int) -> None:
        """Go on at another speed."""
        self.speed = speed
        self.wake()

    def wake(self) -> None:
        """Whoever waits looks again whether there is still something to wait for."""
        self._woken.set()
        self._woken = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        """So long, or until everybody is woken; whether that was so."""
        try:
            return await asyncio.wait_for(self._woken.wait(), max(0.0, seconds))
        except TimeoutError:
            return False
