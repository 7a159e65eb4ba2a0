"""Stores that are not heard: after a while they are taken off the channels, and put back when they have caught up."""

from typing import TYPE_CHECKING, Final

from evenstock.estate.box.agenda import MINUTE, SECOND

if TYPE_CHECKING:
    from evenstock.estate.box.box import Box

CAUGHT_UP_AFTER: Final = 30 * SECOND


class Silence:
    """Listens to the stores' lines: a till says that it is there once a minute, sale or not."""

    def __init__(self, box: "Box") -> None:
        self._box = box
        self._since: dict[str, int] = {}
        self._after = box.policy.dark_minutes * MINUTE

    def fell_silent(self, name: str) -> None:
        now = self._box.agenda.now
        if name not in self._since:
            self._since[name] = now
            if self._after:
                self._box.agenda.plan(now + self._after, self._darken, name, now)

    def is_back(self, name: str) -> None:
        now = self._box.agenda.now
        self._box.measures.dark[name] += now - self._since.pop(name)
        if self._after:
            self._box.agenda.plan(now + CAUGHT_UP_AFTER, self._light, name)

    def _darken(self, name: str, since: int) -> None:
        if self._since.get(name) == since:
            self._box.view.darken(self._box.place_ids[name], dark=True)
            self._box.trace.note(self._box.agenda.now, "dark", name)

    def _light(self, name: str) -> None:
        if name not in self._since:
            self._box.view.darken(self._box.place_ids[name], dark=False)
            self._box.trace.note(self._box.agenda.now, "lit", name)
