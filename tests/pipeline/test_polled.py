"""A system that is asked what changed: what it shows is kept once, with the place to go on from, whatever it does meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from conftest import NOW, owner
from evenstock import clock
from evenstock.connectors.contract import (
    Arrived,
    Connector,
    Failed,
    Failure,
    Polled,
    Question,
    Rejected,
    RetryLater,
    Stream,
    World,
)
from evenstock.core.polling import PAGES_MAX
from evenstock.pipeline.bases import bases
from evenstock.pipeline.connections import Connection, Connections
from evenstock.pipeline.inbox import Inbox
from evenstock.pipeline.intake import polled as polled_module
from evenstock.pipeline.intake.polled import MESSAGES_MAX, Overfull, Poller
from evenstock.pipeline.vault import Vault
from evenstock.postgres import channels, masters
from evenstock.postgres.database import Database, Pool
from hub import Hub
from turned_back import dumped, put_back

WORLD = cast("World", None)  # the system of these tests is in the house
SALES = Stream(name="sales", every_s=60, overlap_s=600, begins=NOW - timedelta(hours=1))


class Settings(msgspec.Struct, frozen=True):
    """Nothing is set."""


class System:
    """Rows with the time at which they changed, and misbehaviour to order."""

    def __init__(self) -> None:
        self.rows: list[tuple[datetime, str]] = []
        self.page = 3
        self.asked: list[Question] = []
        self.fails: list[Failure] = []
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self.name_of_page: Callable[[int], str] = str

    def sell(self, name: str, minute: float) -> None:
        self.rows.append((NOW + timedelta(minutes=minute), name))

    async def poll(self, settings: Any, world: Any, question: Question) -> Polled:
        del settings, world
        self.asked.append(question)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        if self.fails:
            raise Failed(self.fails.pop(0))
        rows = [row for row in sorted(self.rows) if row[0] >= question.since]
        start = int(question.after.strip("x")) if question.after else 0
        found, end = rows[start : start + self.page], start + self.page
        after = self.name_of_page(end) if end < len(rows) else None
        arrived = [Arrived(json.dumps({"sale": name}).encode(), "sale", name) for _, name in found]
        return Polled(arrived, found[-1][0] if found else None, after)


class Asking:
    """A poller over a database, its system and its clock."""

    def __init__(self, pool: Pool, inbox: Inbox, connection: Connection, system: System) -> None:
        self.pool = pool
        self.system = system
        self.connection = connection
        self.now = NOW
        self.answers = 0
        self._inbox = inbox
        self.poller = self.anew()

    def anew(self, *streams: Stream) -> Poller:
        """As another process begins: with nothing but what is durable."""
        self.poller = Poller(
            self.pool, self._inbox, self.connection, streams or (SALES,), lambda: self.now, self._answered
        )
        return self.poller

    async def _answered(self) -> None:
        self.answers += 1

    async def round(self, after: timedelta = timedelta(0)) -> None:
        self.now += after
        await self.poller.round(WORLD)

    async def kept(self) -> list[str]:
        async with self.pool.acquire() as db:
            rows = await db.fetch("select vendor_id from messages")
        return sorted(row["vendor_id"] for row in rows)

    async def place(self, stream: str = "sales") -> tuple[float, str | None, int]:
        """Minutes from NOW until which it was read, the page that comes next, and the pages of the pass."""
        async with self.pool.acquire() as db:
            row = await db.fetchrow("select mark, after, pages from polls where stream = $1", stream)
        assert row is not None
        return (row["mark"] - NOW) / timedelta(minutes=1), row["after"], row["pages"]

    async def configure(self, **given: Any) -> None:
        async with self.pool.acquire() as db:
            one = {"id": "shop", "connector": "api", "settings": {}} | given
            await channels.upsert_connections(db, [one], clock.now(), bases())


@asynccontextmanager
async def asking(database: Database, system: System | None = None) -> AsyncIterator[Asking]:
    db = await database.connect(application="tests")
    hub = Hub(db, clock.now())
    await hub.locations("0107")
    await channels.upsert_connections(
        db, [{"id": "shop", "connector": "api", "settings": {}}], clock.now(), bases()
    )
    number = (await masters.connections(db))["shop"]
    await db.close()
    system = system or System()
    connector = Connector(
        name="shop", summary="", settings=Settings, poll=system.poll, streams=lambda _: (SALES,)
    )
    async with database.pool() as pool:
        inbox = Inbox(database, Connections(pool, Vault(None, {})), clock.now, lambda: None)
        await inbox.start()
        try:
            yield Asking(pool, inbox, Connection(number, "shop", connector, Settings()), system)
        finally:
            await inbox.stop()


async def test_what_changed_is_kept_page_by_page_and_the_next_pass_asks_for_an_overlap(
    database: Database,
) -> None:
    async with asking(database) as one:
        for number in range(7):
            one.system.sell(f"S-{number}", -30 + number)
        one.system.sell("too old", -71)
        await one.round()
        assert await one.kept() == [f"S-{number}" for number in range(7)]
        assert await one.place() == (-24, None, 0)
        assert [each.since - NOW for each in one.system.asked] == [timedelta(minutes=-70)] * 3
        assert one.answers == 3
        await one.round(timedelta(seconds=59))
        assert len(one.system.asked) == 3, "its turn comes a minute after the pass ended"
        one.system.sell("late", -33)
        await one.round(timedelta(seconds=1))
        assert one.system.asked[3].since == NOW + timedelta(minutes=-34)
        assert await one.kept() == sorted([f"S-{number}" for number in range(7)] + ["late"]), (
            "what was there before is kept once, and what the system showed late is found"
        )


async def test_a_stream_begins_when_it_is_first_asked_unless_told_otherwise(database: Database) -> None:
    async with asking(database) as one:
        one.anew(Stream(name="sales"), Stream(name="returns", begins=NOW - timedelta(days=2)))
        await one.round()
        assert [(each.stream, each.since) for each in one.system.asked] == [
            ("sales", NOW - timedelta(seconds=600)),
            ("returns", NOW - timedelta(days=2, seconds=600)),
        ]
        await one.round(timedelta(days=1))
        assert one.system.asked[2].since == NOW - timedelta(seconds=600), "nothing changed: the place stands"


async def test_a_pass_that_was_cut_off_goes_on_with_its_next_page(database: Database) -> None:
    async with asking(database) as one:
        for number in range(7):
            one.system.sell(f"S-{number}", -30 + number)

        async def dies() -> None:
            raise asyncio.CancelledError

        async def goes_on_once() -> None:
            one.system.meanwhile = dies

        one.system.meanwhile = goes_on_once
        with pytest.raises(asyncio.CancelledError):
            await one.round()
        assert await one.kept() == ["S-0", "S-1", "S-2"]
        assert await one.place() == (-28, "3", 1)
        one.anew()
        await one.round()
        assert [each.after for each in one.system.asked] == [None, "3", "3", "6"]
        assert await one.kept() == [f"S-{number}" for number in range(7)]


async def test_a_page_is_kept_with_its_place_or_not_at_all(database: Database) -> None:
    async with asking(database) as one:
        one.system.sell("S-1", -30)
        await one.round()
        one.system.sell("S-2", -20)

        async def another_process_moves() -> None:
            async with one.pool.acquire() as db:
                await db.execute("update polls set revision = revision + 1")

        one.system.meanwhile = another_process_moves
        before = await one.place()
        await one.round(timedelta(minutes=1))
        assert (await one.kept(), await one.place()) == (["S-1"], before), "what came is the other's to keep"
        await one.round()
        assert (await one.kept(), await one.place()) == (["S-1", "S-2"], (-20, None, 0))


async def test_pages_that_come_again_end_the_pass_and_keep_what_they_brought(database: Database) -> None:
    async with asking(database) as one:
        for number in range(20):
            one.system.sell(f"S-{number}", -30 + number)
        one.system.name_of_page = lambda end: str(end % 9)
        with pytest.raises(Failed, match="its pages come again and again"):
            await one.round()
        assert len(one.system.asked) == 4
        assert len(await one.kept()) == 9
        assert await one.place() == (-22, None, 0), "the next pass begins from there"


async def test_pages_that_do_not_end_are_given_up_where_they_lead_nowhere(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(database) as one:
        one.system.page = 1
        number = iter(range(10**6))
        one.system.name_of_page = lambda end: (
            f"{'x' * (next(number) % 999)}{0 * end}"
        )  # the same page by other names
        for row in range(2):
            one.system.sell(f"S-{row}", -90 + row)
        async with owner(database) as db:
            await db.execute(
                "insert into polls (connection_id, stream, mark, asked_at) select connection_id, 'sales', $1, $1 from connections where id = 'shop'",
                NOW - timedelta(minutes=85),
            )
        monkeypatch.setattr("evenstock.core.polling.PAGES_MAX", 20)
        with pytest.raises(Failed, match="gets nowhere"):
            await one.round()
        assert len(one.system.asked) == 20
        assert await one.place() == (-85, None, 0)
        assert PAGES_MAX == 1_000


async def test_a_long_answer_that_leads_somewhere_goes_on_in_another_pass(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(database) as one:
        monkeypatch.setattr("evenstock.core.polling.PAGES_MAX", 2)
        for number in range(9):
            one.system.sell(f"S-{number}", -50 + 15 * number)
        one.now = NOW + timedelta(days=1)
        for _ in range(5):
            await one.round()
        assert await one.kept() == [f"S-{number}" for number in range(9)]


async def test_a_page_that_the_system_does_not_know_any_more_begins_the_pass_anew(database: Database) -> None:
    async with asking(database) as one:
        for number in range(7):
            one.system.sell(f"S-{number}", -30 + number)

        async def then_refuse() -> None:
            one.system.meanwhile = refuse

        async def refuse() -> None:
            one.system.fails = [Rejected("This page is too old.")]

        one.system.meanwhile = then_refuse
        with pytest.raises(Failed, match="too old"):
            await one.round()
        assert await one.place() == (-28, None, 0)
        await one.round()
        assert await one.kept() == [f"S-{number}" for number in range(7)]
        assert one.system.asked[2].since == NOW - timedelta(minutes=38)


async def test_a_system_that_says_when_is_asked_then_and_other_streams_meanwhile(database: Database) -> None:
    async with asking(database) as one:
        one.anew(SALES, Stream(name="returns"))
        one.system.fails = [RetryLater("Not so fast.", 30.0, "rate")]
        await one.round()
        await one.round(timedelta(seconds=29))
        assert [each.stream for each in one.system.asked] == ["sales", "returns"]
        await one.round(timedelta(seconds=1))
        assert [each.stream for each in one.system.asked] == ["sales", "returns", "sales"]


async def test_a_stream_that_fails_does_not_hold_up_the_others(database: Database) -> None:
    async with asking(database) as one:
        one.anew(SALES, Stream(name="returns"))
        one.system.fails = [RetryLater("Nobody is there.")]
        with pytest.raises(Failed, match="Nobody is there"):
            await one.round()
        assert [each.stream for each in one.system.asked] == ["sales", "returns"]
        assert (await one.place(), await one.kept()) == ((-60, None, 0), [])


@pytest.mark.parametrize(
    "given",
    [
        {"flow": "off"},
        {"closed": [{"begin": "13:00", "end": "15:00"}]},
    ],
)
async def test_a_connection_that_is_off_or_closed_is_not_asked(
    database: Database, given: dict[str, Any]
) -> None:
    async with asking(database) as one:
        await one.configure(**given)
        await one.round()
        assert one.system.asked == []
        await one.configure()
        await one.round()
        assert len(one.system.asked) == 1


async def test_a_connection_that_a_person_paused_is_not_asked_and_one_in_shadow_is(
    database: Database,
) -> None:
    async with asking(database) as one:
        async with owner(database) as db:
            await db.execute("update connections set handling = 'paused' where id = 'shop'")
        await one.round()
        assert one.system.asked == []
        async with owner(database) as db:
            await db.execute("update connections set handling = 'running', flow = 'shadow' where id = 'shop'")
        await one.round()
        assert len(one.system.asked) == 1


async def test_questions_keep_the_operators_pace(database: Database) -> None:
    async with asking(database) as one:
        await one.configure(calls_per_s=20)
        for number in range(10):
            one.system.sell(f"S-{number}", -30 + number)
        began = asyncio.get_running_loop().time()
        await one.round()
        assert len(one.system.asked) == 4
        assert asyncio.get_running_loop().time() - began >= 4 / 20


async def test_a_page_with_more_than_is_kept_at_once_is_not_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MESSAGES_MAX == 10_000
    monkeypatch.setattr(polled_module, "MESSAGES_MAX", 3)
    async with asking(database) as one:
        for number in range(4):
            one.system.sell(f"S-{number}", -30 + number)
        await one.round()
        one.system.page = 4
        before = await one.place()
        with pytest.raises(Overfull, match="4 messages in one page; at most 3"):
            await one.round(timedelta(minutes=1))
        assert (await one.place(), len(await one.kept())) == (before, 4)


async def test_a_system_whose_clock_is_ahead_hides_nothing(database: Database) -> None:
    async with asking(database) as one:
        one.system.sell("from the year after next", 10**6)
        await one.round()
        assert (await one.place())[0] == 0
        one.system.sell("S-1", 2)
        await one.round(timedelta(minutes=5))
        assert await one.kept() == ["S-1", "from the year after next"]


async def test_a_system_that_is_asked_what_changed_is_asked_again_from_the_restored_place(
    database: Database, tmp_path: Path
) -> None:
    async with asking(database) as polls:
        polls.system.sell("S-1", 0)
        await polls.round()
        backup = dumped(database, tmp_path / "backup.sql")
        polls.system.sell("S-2", 1)
        await polls.round(timedelta(minutes=1))
        assert await polls.kept() == ["S-1", "S-2"]
        system = polls.system
    await put_back(database, backup)
    async with asking(database, system) as polls:
        assert await polls.kept() == ["S-1"]
        await polls.round(timedelta(minutes=30))
        assert await polls.kept() == ["S-1", "S-2"]


async def test_a_clock_that_went_back_does_not_keep_us_from_asking(database: Database) -> None:
    async with asking(database) as polls:
        polls.system.sell("S-1", 0)
        await polls.round()
        polls.system.sell("S-2", 0)
        await polls.round()
        assert len(polls.system.asked) == 1, "it is not due yet"
        await polls.round(timedelta(hours=-1))
        assert await polls.kept() == ["S-1", "S-2"]
