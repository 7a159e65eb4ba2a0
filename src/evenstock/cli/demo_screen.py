"""What a show looks like: a living screen on a terminal, calm lines elsewhere; its summary, and a number explained."""

import asyncio
import time
from abc import abstractmethod
from collections import deque
from types import TracebackType
from typing import Any, Final, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from evenstock.core.words import movement_in_words
from evenstock.estate.cast import COLLECT, HERO
from evenstock.estate.drive import Drive, News
from evenstock.estate.hub import Availability, Movement

FRAME_S: Final = 0.25
CALM_S: Final = {"fact": 0.8, "again": 3.0, "odd": 0.4}  # between two of them told in plain lines
LIVELY_S: Final = {"fact": 0.15, "again": 1.5}  # on a living screen
STATUS_S: Final = 5.0
RATE_OVER_S: Final = 3.0
EXPLAINED_S: Final = 8.0  # an explanation stays on the screen
MARKS: Final = {
    "fact": " ",
    "again": "=",
    "odd": "·",
    "opened": "!",
    "closed": "✓",
    "note": "»",
    "promise": "+",
    "told": "→",
}
STYLES: Final = {
    "fact": "",
    "again": "dim",
    "odd": "cyan",
    "opened": "yellow",
    "closed": "green",
    "note": "bold",
    "promise": "magenta",
    "told": "bold magenta",
}
ORDER_ENDS: Final = {
    "handed_over": "sent or handed over",
    "ran_out": "never paid, their holds ran out",
    "cancelled": "cancelled",
    "turned_away": "turned away for want of stock",
    "not_there": "not on the shelf",
    "too_late": "too late",
    "cleared": "carts emptied at closing",
}
LIVE_ENDS: Final = {"handed_over": "handed over", "ran_out": "ran out", "cancelled": "cancelled"}


class Screen(Protocol):
    """Whoever watches a drive."""

    def opens(self, drive: Drive, welcome: list[str]) -> None: ...
    def tell(self, news: News) -> None: ...
    def says(self, words: str) -> None: ...
    def explains(self, lines: list[str]) -> None: ...
    async def draws(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Watcher:
    """What both kinds of screen have: a console, the drive they watch, and its pace."""

    drive: Drive

    def __init__(self, console: Console) -> None:
        self.console = console
        self._counted: deque[tuple[float, int]] = deque(maxlen=64)
        self._next: dict[str, float] = {}  # when news of a kind may be told again

    def opens(self, drive: Drive, welcome: list[str]) -> None:
        self.drive = drive
        for line in welcome:
            self.console.print(line, markup=False, soft_wrap=True)

    @abstractmethod
    def tell(self, news: News) -> None: ...

    def too_soon(self, kind: str, between_s: dict[str, float]) -> bool:
        """Whether news of this kind would come faster than one can read."""
        now = time.monotonic()
        if now < self._next.get(kind, 0.0):
            return True
        self._next[kind] = now + between_s.get(kind, 0.0)
        return False

    def pace(self) -> float:
        """Movements a second, lately."""
        now = time.monotonic()
        self._counted.append((now, self.drive.tally.movements))
        while len(self._counted) > 2 and now - self._counted[0][0] > RATE_OVER_S:
            self._counted.popleft()
        (since, before), (until, after) = self._counted[0], self._counted[-1]
        return (after - before) / (until - since) if until > since else 0.0

    def cut_off(self) -> list[tuple[str, str]]:
        """Which lines are cut: location, and what of it."""
        plan, at, found = self.drive.plan, self.drive.world_time(), []
        for store in plan.cast.stores:
            if plan.away_until(store, at) is not None or self.drive.upsets.offline.get(store) is False:
                found.append((store, "offline"))
                continue
            parts = [*(str(number + 1) for number in range(plan.cast.registers)), "office"]
            away = [part for part in parts if plan.away_until(f"{store}/{part}", at) is not None]
            if away:
                found.append(
                    (store, "office offline" if away[0] == "office" else f"register {away[0]} offline")
                )
        return found


class Plain(_Watcher):
    """Lines at a pace that can be read."""

    def tell(self, news: News) -> None:
        if self.too_soon(news.kind, CALM_S):
            return
        self.console.print(_line(news), soft_wrap=True)

    def says(self, words: str) -> None:
        self.console.print(f"— {words}", markup=False, soft_wrap=True)

    def explains(self, lines: list[str]) -> None:
        for line in ("", *lines, ""):
            self.console.print(line, markup=False, soft_wrap=True)

    async def draws(self) -> None:
        self.pace()
        while True:
            await asyncio.sleep(STATUS_S)
            self.says(self._status())

    def _status(self) -> str:
        tally = self.drive.tally
        away = [f"{store} {words}, {self.drive.waiting(store)} facts wait" for store, words in self.cut_off()]
        parts = [
            f"×{self.drive.pace.speed}",
            f"{tally.sent:,} facts, {self.pace():.0f} movements/s",
            f"{len(self.drive.open)} exceptions open",
            *away,
        ]
        if (hero := self.drive.hero) is not None:
            here = {place.id: place for place in hero.locations}
            shelves = [
                f"{store} {here[store].sellable}" for store in self.drive.cast.collect_stores if store in here
            ]
            parts.append(f"{HERO}: {', '.join(shelves)}, {self.drive.shoppers.open} orders open")
        return " · ".join(parts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


class Living(_Watcher):
    """A screen that is drawn again and again: stores, the item that most happens to, exceptions, the latest facts."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._facts: deque[News] = deque(maxlen=40)
        self._troubles: deque[News] = deque(maxlen=40)
        self._explained: tuple[float, list[str]] = (0.0, [])
        self._closing = ""
        self._before: dict[
            str, tuple[int, float]
        ] = {}  # the hero's stock by location, and when it last changed
        self._welcome: list[str] = []
        self._live = Live(console=console, auto_refresh=False, screen=True)

    def opens(self, drive: Drive, welcome: list[str]) -> None:
        super().opens(drive, welcome)
        self._welcome = [line for line in welcome if line]

    def tell(self, news: News) -> None:
        if news.kind in {"opened", "closed", "note"}:
            self._troubles.append(news)
        elif not self.too_soon(news.kind, LIVELY_S):
            self._facts.append(news)

    def says(self, words: str) -> None:
        self._closing = words
        self._live.update(self._frame(), refresh=True)

    def explains(self, lines: list[str]) -> None:
        self._explained = (time.monotonic() + EXPLAINED_S, lines)

    async def draws(self) -> None:
        while True:
            self._live.update(self._frame(), refresh=True)
            await asyncio.sleep(FRAME_S)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        for line in self._explained[1]:
            self.console.print(line, markup=False)
        self.console.print()

    def _frame(self) -> RenderableType:
        height = self.console.size.height
        stores = len(self.drive.cast.stores) + 2
        layout = Layout()
        layout.split_column(
            Layout(self._head(), size=3),
            Layout(self._channel(), size=3),
            Layout(name="middle", size=min(stores + 3, max(8, height // 2))),
            Layout(name="below"),
            Layout(self._foot(), size=3),
        )
        layout["middle"].split_row(Layout(self._stores(), ratio=5), Layout(self._exceptions(), ratio=6))
        until, lines = self._explained
        rows = max(3, height - 11 - min(stores + 3, max(8, height // 2)))
        if time.monotonic() < until:
            body = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
            layout["below"].update(Panel(body, title="why", title_align="left", border_style="bold"))
        else:
            shown = [_line(news, wrap=False) for news in list(self._facts)[-rows:]]
            layout["below"].update(Panel(Group(*shown), title="latest facts", title_align="left"))
        return layout

    def _head(self) -> RenderableType:
        tally = self.drive.tally
        grid = Table.grid(expand=True, padding=(0, 1))
        for _ in range(6):
            grid.add_column(justify="center")
        grid.add_row(
            f"[bold]{tally.sent:,}[/] facts",
            f"[bold]{self.pace():.0f}[/] movements/s",
            f"[bold]{tally.outcomes['duplicate']:,}[/] duplicates ignored",
            f"[bold]{tally.late:,}[/] late",
            f"[bold]{tally.held_lines}[/] held, [bold]{tally.released}[/] released",
            f"answers [bold]{tally.took.percentile(50):.0f}[/] ms, p99 [bold]{tally.took.percentile(99):.0f}[/] ms",
        )
        title = f"Evenstock · Tulip & Co · ×{self.drive.pace.speed}"
        return Panel(grid, title=title, title_align="left", subtitle=self._closing or None)

    def _channel(self) -> RenderableType:
        """What the web shop was told of the hero lately, and how its orders fare."""
        shown, shoppers = self.drive.shown, self.drive.shoppers
        before = " → ".join(map(str, list(shown)[:-1]))
        ends = [f"{shoppers.counts[end]} {words}" for end, words in LIVE_ENDS.items()]
        text = Text.assemble(
            f"{HERO}  ", (f"{before} → " if before else "", "dim"), (str(shown[-1]) if shown else "…", "bold magenta"),
            f"   orders: {shoppers.open} open, {', '.join(ends)}",
            no_wrap=True, overflow="ellipsis",
        )  # fmt: skip
        return Panel(text, title=f"what {COLLECT} is told", title_align="left", border_style="magenta")

    def _stores(self) -> RenderableType:
        table = Table(box=None, expand=True, pad_edge=False)
        table.add_column("location", no_wrap=True)
        table.add_column("line", no_wrap=True)
        table.add_column("wait", justify="right")
        table.add_column(f"{HERO}", justify="right", no_wrap=True)
        away = dict(self.cut_off())
        stock = (
            {place.id: place for place in self.drive.hero.locations} if self.drive.hero is not None else {}
        )
        for location in self.drive.cast.locations:
            state = Text(
                away.get(location, "online"),
                style="red" if away.get(location) == "offline" else "yellow" if location in away else "dim",
            )
            waiting = self.drive.waiting(location)
            here = stock.get(location)
            table.add_row(
                location, state, str(waiting or ""), self._amount(location, here.sellable) if here else ""
            )
        return Panel(table, title="stores", title_align="left")

    def _amount(self, location: str, units: int) -> Text:
        """A number that lights up when it has just changed."""
        before, changed = self._before.get(location, (units, 0.0))
        now = time.monotonic()
        if before != units:
            changed = now
            self._before[location] = (units, now)
        elif location not in self._before:
            self._before[location] = (units, 0.0)
        return Text(str(units), style="bold reverse" if now - changed < 1.0 else "red" if units < 0 else "")

    def _exceptions(self) -> RenderableType:
        shown = [_line(news, wrap=False) for news in list(self._troubles)[-20:]]
        opened, closed = self.drive.opened.total(), self.drive.closed.total()
        height = min(len(self.drive.cast.stores) + 5, max(8, self.console.size.height // 2)) - 2
        return Panel(
            Group(*shown[-height:]),
            title=f"exceptions: {opened} opened, {closed} closed by facts",
            title_align="left",
        )

    def _foot(self) -> RenderableType:
        tries = [line.strip() for line in self._welcome if line.startswith("  ") and "curl" not in line]
        return Panel(
            Text("   ".join(tries), no_wrap=True, overflow="ellipsis"),
            title="try · Ctrl-C stops",
            title_align="left",
        )


def _line(news: News, *, wrap: bool = True) -> Text:
    """`14:02:11 ! Stock is below zero: …`."""
    words = f"{news.at.astimezone():%H:%M:%S} {MARKS[news.kind]} {news.words}"
    return Text(words, style=STYLES[news.kind], no_wrap=not wrap, overflow="fold" if wrap else "ellipsis")


def why_in_words(found: Availability, movements: list[Movement], location: str) -> list[str]:
    """What `evenstock why` says of an item at a location."""
    here = next(place for place in found.locations if place.id == location)
    everywhere = f"{found.on_hand} on hand in {len(found.locations)} locations"
    buckets = f"{here.sellable} sellable, {here.quarantine} in quarantine, {here.damaged} damaged, {here.in_transit} in transit"
    return [
        f"$ evenstock why {found.sku} --location {location}",
        f"{found.sku}: {everywhere}; at {location} {buckets}   ledger_seq {found.ledger_seq:,}",
        *(f"{row.occurred_at.astimezone():%H:%M:%S}  {movement_in_words(row)}" for row in movements),
    ]


def summary_in_words(seconds: float, numbers: dict[str, Any]) -> list[str]:
    """What happened, in numbers."""
    facts, exceptions, answers = numbers["facts"], numbers["exceptions"], numbers["answers_ms"]
    opened, closed = exceptions["opened"], exceptions["closed"]
    kinds = [f"{code} {number} opened, {closed.get(code, 0)} closed" for code, number in opened.items()]
    orders = numbers["orders"]
    ends = [f"{orders[end]:,} {words}" for end, words in ORDER_ENDS.items() if end in orders]
    fates = f"{facts['applied']:,} applied, {facts['duplicates_ignored']:,} duplicates ignored, {facts['late']:,} came late"
    took = f"answered in {answers['p50']:.1f} ms (p50), {answers['p99']:.1f} ms (p99)"
    return [
        f"{seconds:.0f} s: {facts['sent']:,} facts sent, {fates}, {facts['rejected']} rejected",
        f"web shop: {sum(orders.values()):,} orders: {', '.join(ends)}; told {numbers['numbers_told']:,} numbers",
        f"held for an unknown item: {facts['held_lines']} lines, {facts['released_lines']} released when it was added",
        *(f"{'' if index else 'exceptions:':<11} {words}" for index, words in enumerate(kinds)),
        f"{facts['per_second']:.0f} facts/s in {answers['requests']:,} requests, {took}",
    ]
