"""What happens next, in virtual time: integer microseconds since the scenario opened."""

import heapq
from collections.abc import Callable
from typing import Any, Final

MS: Final = 1_000
SECOND: Final = 1_000 * MS
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

Action = Callable[..., None]


class Agenda:
    """Actions by their time; of two at one time the one planned first comes first."""

    def __init__(self) -> None:
        self.now = 0
        self._heap: list[tuple[int, int, Action, tuple[Any, ...]]] = []
        self._planned = 0

    def plan(self, at: int, action: Action, *args: Any) -> None:
        """Do something at a time; what is already past is done next."""
        self._planned += 1
        heapq.heappush(self._heap, (max(at, self.now), self._planned, action, args))

    def run(self, until: int) -> None:
        """Do everything that is due up to and including a time, which is now afterwards."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= until:
            self.now, _, action, args = pop(heap)
            action(*args)
        self.now = max(self.now, until)

    @property
    def next_at(self) -> int | None:
        """When the next action is due; None when nothing is left to do."""
        return self._heap[0][0] if self._heap else None
