"""What happens next, in virtual time: integer microseconds since the scenario opened."""

import heapq
from collections.abc import Callable
from typing import Any, Final

MS: Final = 1_000
SECOND: Final = 1_000 * MS
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

NUMBER_BITS: Final = 40  # of the number of an action

Action = Callable[..., None]


class Agenda:
    """Actions by their time; of two at one time the one planned first comes first."""

    def __init__(self) -> None:
        self.now = 0
        self._heap: list[int] = []  # time and number in one, for numbers are compared fastest
        self._actions: dict[int, tuple[Action, tuple[Any, ...]]] = {}
        self._planned = 0

    def plan(self, at: int, action: Action, *args: Any) -> None:
        """Do something at a time; what is already past is done next."""
        self._planned += 1
        key = max(self.now, at) << NUMBER_BITS | self._planned
        self._actions[key] = (action, args)
        heapq.heappush(self._heap, key)

    def run(self, until: int) -> None:
        """Do everything that is due up to and including a time, which is now afterwards."""
        heap, pop, actions = self._heap, heapq.heappop, self._actions
        last = (until + 1) << NUMBER_BITS
        while heap and heap[0] < last:
            key = pop(heap)
            self.now = key >> NUMBER_BITS
            action, args = actions.pop(key)
            action(*args)
        self.now = max(self.now, until)

    @property
    def next_at(self) -> int | None:
        """When the next action is due; None when nothing is left to do."""
        return self._heap[0] >> NUMBER_BITS if self._heap else None
