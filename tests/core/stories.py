"""Reads the stories: what a retailer would tell, one line per fact, in the order in which the hub hears of it.

    story 1  A sale sent after the count it came before lowers the shrink and not the stock.
    08:00 opening o-1 store-a TEE-M 10            a fact: when, what, its key, where, which item, how many
    10:00-11:00 count c-1 store-a TEE-M 9 on_hand a count over an interval, of a scope (else sellable)
    + 10:00 ship t-1 store-a>store-b TEE-M 4      in one batch with the line above
    12:00 void v-1 of count c-1                   of a count, or of any other fact
          answers parked                          what the hub answers to it (else applied)
          booked 11:00 store-a TEE-M 1 shrink > sellable   all that its batch brings to the ledger; or: nothing
          booked 11:00 store-a TEE-M 1 shrink > sellable because of s-1   and which fact made it necessary
          now store-a TEE-M sellable 8 at 12:00   what is known at this moment of the telling
    only in this order                            arrival matters to this story (§5)
    expect store-a TEE-M sellable 9, quarantine 1 the end, in every order; buckets not named are empty
    expect store-a TEE-M shrink 1, found 2        the end at boundaries: units that passed; those not named are not asked
    adjusted c-1 -1                               what a count adjusted in the end
    conflict store-a TEE-M sellable at 11:00      counts that disagree in the end; all of them are named

`booked`, `answers` and `now` hold for the order of the telling; the rest holds in every order.
"""

import re
from datetime import UTC, date, datetime, time
from pathlib import Path

import msgspec
from model import Fact, Kind, Line

from evenstock.core.ledger import BUCKETS

FOLDER = Path(__file__).parent / "stories"
DAY = date(2026, 3, 2)
SOURCES_OF_UNITS = ("supplier", "found", "opening")  # boundaries that give; the others take

_FACT = re.compile(
    r"(?P<more>\+ )?(?:(?P<start>\d\d:\d\d)-)?(?P<at>\d\d:\d\d) (?P<kind>\w+) (?P<id>\S+)"
    r" (?P<here>[\w-]+)(?:>(?P<there>[\w-]+))? (?P<item>\S+) (?P<quantity>-?\d+)(?: (?P<place>\w+))?"
)
_VOID = re.compile(r"(?P<more>\+ )?(?P<at>\d\d:\d\d) void (?P<id>\S+) of (?P<kind>\w+) (?P<target>\S+)")
_BOOKED = re.compile(r"booked (\d\d:\d\d) (\S+) (\S+) (\d+) (\w+) > (\w+)(?: because of (\S+))?")
_STATE = re.compile(r"(?:expect|now) (\S+) (\S+) ([^:]+?)(?: at (\d\d:\d\d))?( unobserved)?")
_ADJUSTED = re.compile(r"adjusted (\S+) (-?\d+)")
_CONFLICT = re.compile(r"conflict (\S+) (\S+) (\w+) at (\d\d:\d\d)")
_TITLE = re.compile(r"story (\d+)  (.+)")


class Booked(msgspec.Struct, frozen=True, order=True):
    """A movement that a batch brings."""

    at: datetime
    location: str
    item: str
    quantity: int
    from_place: str
    to_place: str
    cause: str = ""  # the key of the fact that made it necessary; empty: not told


class State(msgspec.Struct, frozen=True):
    """What a position holds, now or as of an instant. Boundaries are units that passed, so above zero."""

    location: str
    item: str
    units: dict[str, int]
    at: datetime | None = None
    observed: bool = True


class Step(msgspec.Struct):
    """One fact as it arrives, and what holds right after the last of its batch."""

    fact: Fact
    batch: int  # from 1
    answers: str = "applied"
    booked: list[Booked] | None = None  # of the whole batch, in any order; None: not told
    now: list[State] = []


class Story(msgspec.Struct):
    number: int
    title: str
    any_order: bool = True
    steps: list[Step] = []
    expect: list[State] = []
    adjusted: dict[str, int] = {}  # by the key of the count
    conflicts: set[tuple[str, str, str, datetime]] = set()  # location, item, scope, instant


def load() -> list[Story]:
    """All stories, by number."""
    stories: list[Story] = []
    for path in sorted(FOLDER.glob("*.txt")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            words = line.strip()
            if not words or words.startswith("#"):
                continue
            try:
                _read(words, stories)
            except (ValueError, IndexError) as error:
                raise ValueError(f"{path.name}, line {number}: {error}: {words}") from error
    return sorted(stories, key=lambda story: story.number)


def _read(words: str, stories: list[Story]) -> None:
    """Adds one line to the story it belongs to."""
    if words.startswith("story "):
        number, title = _match(_TITLE, words).groups()
        stories.append(Story(int(number), title))
        return
    story = stories[-1]
    match words.split(maxsplit=1)[0]:
        case "only":
            story.any_order = False
        case "answers":
            story.steps[-1].answers = words.split()[1]
        case "booked":
            story.steps[-1].booked = [*(story.steps[-1].booked or []), *_booked(words)]
        case "now":
            story.steps[-1].now.append(_state(words))
        case "expect":
            story.expect.append(_state(words))
        case "adjusted":
            key, units = _match(_ADJUSTED, words).groups()
            story.adjusted[key] = int(units)
        case "conflict":
            location, item, scope, at = _match(_CONFLICT, words).groups()
            story.conflicts.add((location, item, scope, _instant(at)))
        case _:
            story.steps.append(_step(words, story.steps[-1].batch if story.steps else 0))


def _step(words: str, batch: int) -> Step:
    void = _VOID.fullmatch(words)
    fields = (void or _match(_FACT, words)).groupdict()
    fact = _void(fields) if void else _fact(fields)
    return Step(fact, batch if fields["more"] else batch + 1)


def _void(fields: dict[str, str]) -> Fact:
    kind: Kind = "void_count" if fields["kind"] == "count" else "void"
    return Fact(kind=kind, id=fields["id"], at=_instant(fields["at"]), target=("pos", fields["target"]))


def _fact(fields: dict[str, str]) -> Fact:
    opening = fields["kind"] == "opening"
    line = Line(
        item=fields["item"],
        quantity=int(fields["quantity"]),
        place=fields["place"] or "sellable",
        started_at=_instant(fields["start"]) if fields["start"] else None,
    )
    return Fact(
        kind=msgspec.convert("count" if opening else fields["kind"], Kind),
        id=fields["id"],
        at=_instant(fields["at"]),
        location=fields["here"],
        to_location=fields["there"] or "",
        lines=(line,),
        opening=opening,
    )


def _booked(words: str) -> list[Booked]:
    if words == "booked nothing":
        return []
    at, location, item, quantity, from_place, to_place, cause = _match(_BOOKED, words).groups()
    return [Booked(_instant(at), location, item, int(quantity), from_place, to_place, cause or "")]


def _state(words: str) -> State:
    location, item, said, at, unobserved = _match(_STATE, words).groups()
    units = {place: int(number) for place, number in (part.split() for part in said.split(","))}
    if not units.keys().isdisjoint(BUCKETS):
        units = dict.fromkeys(BUCKETS, 0) | units
    return State(location, item, units, _instant(at) if at else None, observed=not unobserved)


def _match(pattern: re.Pattern[str], words: str) -> re.Match[str]:
    match = pattern.fullmatch(words)
    if match is None:
        raise ValueError("not a line of a story")
    return match


def _instant(text: str) -> datetime:
    return datetime.combine(DAY, time.fromisoformat(text), UTC)
