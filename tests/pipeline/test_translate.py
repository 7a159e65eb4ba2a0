"""The inbox and its readers: who dies while reading, who fails, who is asked twice; nothing lost, nothing booked twice."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from doors.hooked import ENVIRON, MAPPING, sold, ticket
from evenstock import clock, wiring
from evenstock.connectors.contract import Connector, Hook
from evenstock.core.errors import Refusal
from evenstock.pipeline.bases import bases
from evenstock.pipeline.connections import Connection, Connections
from evenstock.pipeline.translate import ATTEMPTS_MAX, Translator, shape_of
from evenstock.pipeline.vault import Vault
from evenstock.postgres import channels, inbox, masters
from evenstock.postgres.database import Database, Session
from evenstock.postgres.inbox import BODY_KEPT, Arrival, Kept
from hub import Hub as Shop

SETTINGS = {"mapping": MAPPING, "secret": "env:TILL_SECRET"}


async def prepared(database: Database) -> Session:
    """A till, a store and an item; nobody reads yet."""
    db = await database.connect(application="tests")
    shop = Shop(db, clock.now())
    await shop.locations("0107")
    await shop.items("A", "B")
    await channels.upsert_connections(
        db, [{"id": "till", "connector": "http_json", "settings": SETTINGS}], clock.now(), bases()
    )
    return db


async def arrive(db: Session, *values: Any, received_at: datetime | None = None) -> list[Kept]:
    """Messages that were verified, in one batch."""
    number = (await masters.connections(db))["till"]
    arrivals = []
    for value in values:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        id_ = hashlib.sha256(body).hexdigest()
        arrivals.append(Arrival(number, "till", id_, id_, "", {}, body, False, received_at or clock.now()))
    return await inbox.keep(db, arrivals)


@asynccontextmanager
async def reading(database: Database) -> AsyncIterator[None]:
    """A hub that runs."""
    async with wiring.hub(database, vault=Vault(None, ENVIRON)):
        yield


async def settled(db: Session) -> list[tuple[str, str | None, int]]:
    """Status, code and tries of all messages, oldest first, once none waits."""
    async with asyncio.timeout(30):
        while await db.fetchval("select count(*) from messages where status = 'received'"):
            pass
    rows = await db.fetch("select status, code, attempts from messages order by message_id")
    return [tuple(row.values()) for row in rows]


async def units(db: Session, sku: str) -> int:
    return int(
        await db.fetchval(
            "select coalesce(sum(sellable), 0) from positions join items using (item_id) where sku = $1", sku
        )
    )


async def test_what_was_kept_before_anybody_read_is_booked_when_somebody_does(database: Database) -> None:
    db = await prepared(database)
    await arrive(db, *(ticket(f"T-{number}", sold("A")) for number in range(120)))
    async with reading(database):
        assert set(await settled(db)) == {("translated", None, 1)}
    assert await units(db, "A") == -120
    await db.close()


async def test_a_message_that_ends_its_reader_again_and_again_is_isolated_and_its_neighbours_are_booked(
    database: Database,
) -> None:
    db = await prepared(database)
    kept = await arrive(db, *(ticket(f"T-{number}", sold("A")) for number in range(4)))
    poison = min(one.message_id for one in kept)
    assert len(await inbox.claim(db, 50, tried_before=False)) == 4, "then the process died"
    for _ in range(ATTEMPTS_MAX - 1):
        assert await inbox.claim(db, 50, tried_before=True) == [poison], "by itself, and it died again"
    async with reading(database):
        found = await settled(db)
    assert found == [("dead", "message.poison", ATTEMPTS_MAX + 1), *[("translated", None, 2)] * 3]
    assert await units(db, "A") == -3
    codes = await db.fetch("select code from exceptions where closed_at is null and code like 'message.%'")
    assert [row["code"] for row in codes] == ["message.poison"]
    await db.close()


async def test_a_message_whose_reader_died_between_booking_and_settling_is_booked_once(
    database: Database,
) -> None:
    db = await prepared(database)
    await arrive(db, ticket("T-1", sold("A", 5)))
    async with reading(database):
        await settled(db)
    owner = await database.connect(owner=True)
    await owner.execute(
        "update messages set status = 'received', done_at = null, keys = '{}'"
    )  # as if it had died there
    await owner.close()
    async with reading(database):
        assert await settled(db) == [("translated", None, 2)]
    assert await units(db, "A") == -5
    await db.close()


async def test_two_processes_read_one_inbox_and_each_message_once(database: Database) -> None:
    db = await prepared(database)
    async with reading(database), reading(database):
        for start in range(0, 300, 30):
            await arrive(db, *(ticket(f"T-{number}", sold("A")) for number in range(start, start + 30)))
        await settled(db)
    assert await units(db, "A") == -300
    assert await db.fetchval("select count(*) from facts") == 300
    await db.close()


async def test_bytes_that_are_no_ticket_are_dead_letters_under_one_exception_a_shape(
    database: Database,
) -> None:
    db = await prepared(database)
    bodies = [
        b"", b"\xff", b"[", b"7", b"[[]]", b'{"a":1,"a":2}', b"[" * 100_000, b'{"lines":7}', b'{"lines":[7]}',
        json.dumps(ticket("T", {"qty": 1})).encode(), json.dumps(ticket("T", sold("A", [1]))).encode(),
        json.dumps(ticket("T", sold("A", 10**40))).encode(), json.dumps(ticket("", sold("A"))).encode(),
        json.dumps(ticket("T", sold("A")) | {"at": "yesterday"}).encode(), json.dumps(ticket("T", sold("A\0"))).encode(),
    ]  # fmt: skip
    await arrive(db, *bodies, ticket("T-good", sold("A")))
    async with reading(database):
        found = await settled(db)
    assert [status for status, _, _ in found] == [*["dead"] * len(bodies), "translated"]
    assert {tries for _, _, tries in found} == {1}
    exceptions = await db.fetchval("select count(*) from exceptions where code = 'message.untranslatable'")
    causes = await db.fetchval("select count(distinct exception_id) from messages where status = 'dead'")
    assert exceptions == causes
    assert 5 < exceptions <= len(bodies)
    await db.close()


class Overloaded:
    """A writer that takes nothing at first."""

    def __init__(self, writer: Any, times: int) -> None:
        self._writer = writer
        self.left = times

    async def submit(self, incoming: Any) -> Any:
        if self.left:
            self.left -= 1
            raise Refusal("hub.overloaded", "Come again.")
        return await self._writer.submit(incoming)


async def test_a_hub_that_is_overloaded_costs_a_message_no_try(database: Database) -> None:
    db = await prepared(database)
    async with wiring.hub(database, vault=Vault(None, ENVIRON)) as hub:
        await hub.translator.stop()
        await arrive(db, ticket("T-1", sold("A")))
        writer: Any = Overloaded(hub.writer, 2)
        translator = Translator(database, hub.connections, writer, clock.now, hub.tag)
        await translator.start()
        assert await settled(db) == [("translated", None, 1)]
        await translator.stop()
        assert writer.left == 0
    await db.close()


class Failing(Connections):
    """A connection whose connector fails as no connector should."""

    async def by_number(self, connection_id: int) -> Connection | None:
        def translate(settings: Any, message: Any) -> Any:
            raise RecursionError(str(settings) + str(message))

        connector = Connector(name="bad", summary="Bad.", settings=dict, translate=translate, hook=Hook())
        return Connection(connection_id, "till", connector, None)


async def test_a_connector_that_fails_makes_a_dead_letter_and_stops_nothing(database: Database) -> None:
    db = await prepared(database)
    async with wiring.hub(database) as hub:
        await hub.translator.stop()
        await arrive(db, ticket("T-1", sold("A")), ticket("T-2", sold("A")))
        translator = Translator(database, Failing(hub.pool, Vault(None, {})), hub.writer, clock.now, hub.tag)
        await translator.start()
        assert await settled(db) == [("dead", "connector.fault", 1)] * 2
        await translator.stop()
    await db.close()


async def test_bytes_of_messages_translated_long_ago_are_forgotten_and_the_message_is_still_known(
    database: Database,
) -> None:
    db = await prepared(database)
    old, good = ticket("T-1", sold("A")), ticket("T-2", sold("A"))
    await arrive(db, old, b"no ticket")
    async with reading(database):
        await settled(db)
    await inbox.forget_bodies(db, clock.now() + BODY_KEPT - timedelta(minutes=1))
    assert await db.fetchval("select count(body) from messages") == 2
    await inbox.forget_bodies(db, clock.now() + BODY_KEPT + timedelta(minutes=1))
    rows = await db.fetch("select status, body is null as forgotten from messages order by status desc")
    assert [tuple(row.values()) for row in rows] == [("translated", True), ("dead", False)]
    again, new = await arrive(db, old, good)
    assert (again.duplicate, new.duplicate) == (True, False)
    async with reading(database):
        await settled(db)
    await db.close()


def test_the_shape_of_a_fault_has_no_line_numbers() -> None:
    assert shape_of("/orders/12/lines/7/qty") == "/orders/*/lines/*/qty"
    assert shape_of("/a1/2b") == "/a1/2b"
