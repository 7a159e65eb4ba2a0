"""What really goes wrong in a run, and when: drawn from the seed, as a list; and how each of them is done and healed."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from evenstock.estate.chance import stream
from evenstock.estate.program import Program
from evenstock.estate.stack import clockwork
from evenstock.estate.stack.house import BOOKS, DATABASE, FRONT, SHOP, TO_DATABASE, House
from evenstock.estate.stack.told import Timeline
from evenstock.estate.stack.wire import Wire

Kind = Literal[
    "server killed", "server frozen", "database killed", "database restarted", "database line cut", "database answers lost", "line cut", "line silent", "line slow",
    "answers lost", "shop misbehaves", "shop line cut", "shop killed", "books closed", "books line cut", "agent killed",
    "agent line cut", "agent clock wrong", "server clock wrong", "disk full",
]  # fmt: skip
KINDS: Final[dict[Kind, str]] = {
    "server killed": "kill -9 of a server of the hub; it is started again",
    "server frozen": "SIGSTOP of a server: it goes on as if no time had passed",
    "database killed": "kill -9 of every process of the database",
    "database restarted": "the database server stops and is started again",
    "database line cut": "the line between a server and the database breaks",
    "database answers lost": "what the database answers to a server is lost after it was done: even to a commit",
    "line cut": "connections to the hub break, and none gets through",
    "line silent": "connections to the hub stay, and nothing comes through",
    "line slow": "every packet to and from the hub is late",
    "answers lost": "what the hub answers is lost after it was done",
    "shop misbehaves": "the shop refuses, answers with errors after it has done it, breaks off",
    "shop line cut": "the line between hub and shop breaks",
    "shop killed": "kill -9 of the shop; it is started again with what it remembers",
    "books closed": "the ERP is in maintenance",
    "books line cut": "the line between hub and ERP breaks",
    "agent killed": "kill -9 of a store agent; it is started again",
    "agent line cut": "the line between a store agent and the hub breaks",
    "agent clock wrong": "a store agent is started again with a clock two hours ahead, then with the right one",
    "server clock wrong": "a server of the hub is started again with a clock a minute behind, then with the right one",
    "disk full": "not a block more can be written on the disk of the database",
}
TO_A_DATABASE: Final = ("database line cut", "database answers lost")
LASTS_S: Final = (0.8, 2.5)  # of the wall's clock
SLOW_S: Final = 0.15
ANSWERS_LOST: Final = 6
SHOP_RATES: Final = {"429": 0.2, "503": 0.1, "500-after": 0.1, "cut": 0.1, "cut-after": 0.2, "throttled": 0.1}
AGENT_AHEAD_S: Final = 7_200
SERVER_BEHIND_S: Final = -60


class Trouble(NamedTuple):
    """One thing that goes wrong, in seconds into the run; `luck` chooses whom it hits."""

    begins_s: float
    lasts_s: float
    kind: Kind
    luck: float


def drawn(seed: int, seconds: float, rounds: int, kinds: Sequence[Kind]) -> list[Trouble]:
    """Each kind once a round, in an order and at times of the seed's, over the given span."""
    found = []
    span = seconds / max(1, rounds * len(kinds))
    for number in range(rounds):
        chance = stream(seed, "stack", "faults", str(number))
        for turn, kind in enumerate(chance.sample(list(kinds), len(kinds))):
            at = (number * len(kinds) + turn + chance.random()) * span
            found.append(Trouble(at, chance.uniform(*LASTS_S), kind, chance.random()))
    return sorted(found)


class Faults:
    """Does them to a house."""

    def __init__(self, house: House, timeline: Timeline) -> None:
        self.done = 0
        self._house = house
        self._timeline = timeline
        self._busy: dict[str, asyncio.Lock] = {}

    async def go_wrong(self, trouble: Trouble) -> None:
        """Let it happen, and heal. A program or line is hit by one thing at a time; others are hit meanwhile."""
        whom = self._whom(trouble)
        async with self._busy.setdefault(whom, asyncio.Lock()):
            self._timeline.note(f"{trouble.kind}: {whom}, for {trouble.lasts_s:.1f} s", is_fault=True)
            await self._do(trouble, whom)
            self.done += 1
            self._timeline.note(f"healed: {trouble.kind}: {whom}", is_fault=True)

    def _whom(self, trouble: Trouble) -> str:
        first = trouble.kind.partition(" ")[0]
        if first in {"server", "agent"}:
            among = self._house.servers if first == "server" else self._house.agents
            return among[int(trouble.luck * len(among))].name
        if trouble.kind in TO_A_DATABASE:
            return TO_DATABASE
        return {"shop": SHOP, "books": BOOKS, "database": DATABASE, "disk": DATABASE}.get(first, FRONT)

    async def _do(self, trouble: Trouble, whom: str) -> None:  # noqa: C901, PLR0912 - one case for each kind
        house, lasts_s = self._house, trouble.lasts_s
        match trouble.kind:
            case "server killed" | "shop killed" | "agent killed":
                await self._kill(whom, lasts_s)
            case "server frozen":
                await self._freeze(house.program(whom), lasts_s)
            case "database killed":
                house.hit_database(signal.SIGKILL)
                await asyncio.sleep(lasts_s)
            case "database restarted":
                house.hit_database(signal.SIGINT)
                await asyncio.sleep(lasts_s)
            case "database line cut" | "line cut" | "shop line cut" | "books line cut" | "agent line cut":
                await self._hurt(house.lines[whom], lasts_s, Wire.cut)
            case "line silent":
                await self._hurt(house.lines[whom], lasts_s, Wire.silence)
            case "line slow":
                await self._hurt(house.lines[whom], lasts_s, _slow)
            case "database answers lost" | "answers lost":
                await self._hurt(house.lines[whom], lasts_s, _lose)
            case "shop misbehaves":
                await house.control(SHOP, "faults", {"rates": SHOP_RATES, "retry_after_s": 1}, "PUT")
                await asyncio.sleep(lasts_s)
                await house.control(SHOP, "faults", {}, "PUT")
            case "books closed":
                await house.control(BOOKS, "maintenance", {"for_s": lasts_s})
                await asyncio.sleep(lasts_s)
            case "agent clock wrong":
                await self._wrong_clock(whom, lasts_s, AGENT_AHEAD_S)
            case "server clock wrong":
                await self._wrong_clock(whom, lasts_s, SERVER_BEHIND_S)
            case "disk full":
                assert house.disk is not None  # noqa: S101 - drawn only where there is one
                house.disk.fill()
                try:
                    await asyncio.sleep(lasts_s)
                finally:
                    house.disk.empty()

    async def _kill(self, whom: str, lasts_s: float) -> None:
        program = self._house.program(whom)
        program.kill()
        await asyncio.sleep(lasts_s)
        await self._house.up(program)

    async def _freeze(self, program: Program, lasts_s: float) -> None:
        program.freeze()
        await asyncio.sleep(lasts_s)
        program.thaw()

    async def _hurt(self, line: Wire, lasts_s: float, how: Callable[[Wire], None]) -> None:
        how(line)
        await asyncio.sleep(lasts_s)
        line.heal()

    async def _wrong_clock(self, whom: str, lasts_s: float, by_s: int) -> None:
        """Started again with a wrong clock; then with the right one.

        The database is left alone until it runs: under libfaketime Python cannot wait for it (`time.sleep` fails).
        """
        library = clockwork.library()
        assert library is not None  # noqa: S101 - drawn only where there is one
        program = self._house.program(whom)
        async with self._busy.setdefault(DATABASE, asyncio.Lock()):
            await self._house.ready(*self._house.servers)
            await asyncio.to_thread(program.stop)
            await self._house.up(program, clockwork.wrong_by(library, by_s))
        await asyncio.sleep(lasts_s)
        await asyncio.to_thread(program.stop)
        await self._house.up(program)


def _slow(line: Wire) -> None:
    line.delay_s = SLOW_S


def _lose(line: Wire) -> None:
    line.lose_answers = ANSWERS_LOST


def possible(*, disk: bool, agents: bool) -> tuple[list[Kind], list[str]]:
    """The faults that this machine can have, and in words those that are left out, why, and how to have them too."""
    left_out = []
    kinds = list(KINDS)
    if not disk:
        kinds.remove("disk full")
        left_out.append(
            "disk full: this system lets us have no mount namespace of our own; run as root, or allow user namespaces"
        )
    if clockwork.library() is None:
        kinds = [kind for kind in kinds if "clock" not in kind]
        left_out.append(f"clocks of programs: {clockwork.LIBRARY} is not here; {clockwork.HOW_TO_GET}")
    if not agents:
        kinds = [kind for kind in kinds if not kind.startswith("agent")]
    return kinds, left_out
