"""Steering a show from outside: what can be broken and mended, and a challenge in which somebody must find out what was."""

from collections.abc import Callable
from random import Random
from typing import Any, Final, Protocol

import msgspec

from evenstock.estate.cast import BOOKS, HERO
from evenstock.estate.drive import Drive
from evenstock.estate.facts import SPEED_MAX

FLASH_ORDERS: Final = 60
PLANTED: Final = 3  # problems of a challenge
CHALLENGE_S: Final = 600.0
BREAKS: Final = {
    "store-offline": "a store loses its line; its tickets wait in the shop",
    "erp-down": "the ERP is in maintenance; postings wait",
    "duplicates": "everything is sent twice, and the latest 200 facts once more",
    "mapping": "a store's tills name items by codes that nobody has mapped",
    "flash-sale": f"{FLASH_ORDERS} customers of the web shop want the same item at once",
}
AT_A_STORE: Final = frozenset({"store-offline", "mapping"})
HIDDEN: Final = ("store-offline", "erp-down", "duplicates", "mapping")  # what a challenge is made of
HINTS: Final = {
    "store-offline": "one store has stopped talking: compare when each last sold (`evenstock why SKU --location STORE`)",
    "erp-down": "what the ERP is owed grows (`GET /v1/postings?status=open`, `GET /v1/connections`)",
    "duplicates": "more is answered `duplicate` than usual (`GET /metrics`)",
    "mapping": "lines are held (`evenstock exceptions list`)",
}


class Erp(Protocol):
    """An ERP that can be away."""

    def close(self) -> None: ...

    def open(self) -> None: ...


class Misled(Exception):  # noqa: N818 - it names what happened
    """What was asked for cannot be done; the message says why, and what can."""


class Challenge(msgspec.Struct):
    """Problems that were planted, and how far somebody is with finding them."""

    planted: dict[str, str | None]  # what → where
    began_s: float
    found: list[str] = []
    wrong: int = 0
    ended_s: float | None = None


class Steering:
    """Of one show. `now_s` measures spans."""

    def __init__(self, drive: Drive, erp: Erp, now_s: Callable[[], float], seed: int) -> None:
        self.broken: dict[str, str | None] = {}
        self.challenge: Challenge | None = None
        self._drive = drive
        self._erp = erp
        self._now_s = now_s
        self._chance = Random(seed)  # noqa: S311 - a game, no secret

    async def break_(self, what: str, at: str | None = None, *, secret: bool = False) -> str:
        """Break something; what happens from now on, in words. Raises Misled."""
        at = self._where(what, at)
        if self._is_on() and not secret:
            raise Misled("A challenge is on: nothing else is broken meanwhile.")
        if what in self.broken:
            raise Misled(f"{what} is broken already. Mend it first: evenstock demo mend {what}")
        drive = self._drive
        match what:
            case "store-offline":
                drive.upsets.offline[at or ""] = secret
            case "erp-down":
                self._erp.close()
            case "duplicates":
                drive.upsets.repeats = True
                drive.say_again()
            case "mapping":
                drive.upsets.recoded = at
            case _:
                drive.flash_sale(at or drive.cast.collect_stores[0], HERO, FLASH_ORDERS)
        if what != "flash-sale":
            self.broken[what] = at
        words = BREAKS[what] + (f": {at}" if at else "")
        if not secret:
            drive.announce(f"you: {words}")
        return words

    async def mend(self, what: str) -> str:
        """Mend what was broken; what follows, in words. Raises Misled."""
        if self._is_on():
            raise Misled("A challenge is on: say what you find, and it is mended: evenstock demo found WHAT")
        return await self._mend(what)

    async def _mend(self, what: str) -> str:
        if what not in self.broken:
            there = ", ".join(self.broken) or "nothing"
            raise Misled(f"{what} is not broken. Broken is: {there}.")
        at, drive = self.broken.pop(what), self._drive
        match what:
            case "store-offline":
                words = f"{at} is back, with {drive.reconnect(at or '')} facts"
            case "erp-down":
                self._erp.open()
                await drive.hub.resume(BOOKS)
                words = "the ERP is open again"
            case "duplicates":
                drive.upsets.repeats = False
                words = "everything is sent once again"
            case _:
                drive.upsets.recoded = None
                words = f"the codes of {at} are mapped: {await drive.map_codes()} held lines are booked"
        drive.announce(f"mended: {words}")
        return words

    async def mend_all(self) -> None:
        """Everything is as it should be."""
        for what in list(self.broken):
            await self._mend(what)

    def speed(self, times: int | None) -> int:
        """Let the show go so many times faster than a real shop, from now on; None only asks. Raises Misled."""
        drive = self._drive
        if times is None:
            return drive.pace.speed
        if not 1 <= times <= SPEED_MAX:
            raise Misled(f"A show goes 1 to {SPEED_MAX} times as fast as a real shop, not {times}.")
        drive.change_speed(times)
        drive.announce(f"you: speed ×{times}, {times} minutes of shop life pass in a minute")
        return times

    # The challenge

    async def begin(self) -> dict[str, Any]:
        """Plant problems, and say how many; of one that is on, how it stands. Raises Misled."""
        if not self._is_on():
            if self.broken:
                raise Misled(f"Mend first what is broken: {', '.join(self.broken)}.")
            planted: dict[str, str | None] = {}
            for what in self._chance.sample(HIDDEN, PLANTED):
                at = self._chance.choice(self._drive.cast.stores) if what in AT_A_STORE else None
                await self.break_(what, at, secret=True)
                planted[what] = at
            self.challenge = Challenge(planted, self._now_s())
        return self.standing()

    async def guess(self, what: str, at: str | None) -> dict[str, Any]:
        """Somebody thinks that this is broken. What is found is mended. Raises Misled."""
        game = self.challenge
        if game is None or game.ended_s is not None:
            raise Misled("No challenge is on. Begin one: evenstock demo challenge")
        if what not in HIDDEN:
            raise Misled(f"There is no problem {what!r}. It can be: {', '.join(HIDDEN)}.")
        is_right = what in game.planted and what not in game.found and game.planted[what] == at
        if is_right:
            game.found.append(what)
            await self._mend(what)
        else:
            game.wrong += 1
        if len(game.found) == len(game.planted) or self._left_s(game) <= 0:
            game.ended_s = self._now_s()
        return {"right": is_right} | self.standing()

    def standing(self) -> dict[str, Any]:
        """How a challenge stands; what was planted once it is over."""
        game = self.challenge
        if game is None:
            return {"on": False}
        over = game.ended_s is not None or self._left_s(game) <= 0
        if over and game.ended_s is None:
            game.ended_s = self._now_s()
        left = [what for what in game.planted if what not in game.found]
        return {
            "on": not over,
            "planted": len(game.planted),
            "found": list(game.found),
            "wrong": game.wrong,
            "seconds": round((game.ended_s if game.ended_s is not None else self._now_s()) - game.began_s, 1),
            "seconds_left": max(0.0, round(self._left_s(game), 1)),
            "hints": [] if over else list(HINTS.values()),
            "it_was": {what: game.planted[what] for what in left} if over else {},
        }

    def _is_on(self) -> bool:
        return bool(self.standing()["on"])

    def _left_s(self, game: Challenge) -> float:
        return game.began_s + CHALLENGE_S - self._now_s()

    def _where(self, what: str, at: str | None) -> str | None:
        """The store that is meant; the last one where none was named."""
        if what not in BREAKS:
            raise Misled(f"Nothing called {what!r} can be broken. There are: {', '.join(BREAKS)}.")
        stores = self._drive.cast.stores
        if at is not None and at not in stores:
            raise Misled(f"There is no store {at!r}. There are: {', '.join(stores)}.")
        if what == "flash-sale" and at is not None and at not in self._drive.cast.collect_stores:
            there = ", ".join(self._drive.cast.collect_stores)
            raise Misled(f"Customers pick up in {there} only.")
        return at if at is not None else stores[-1] if what in AT_A_STORE else None
