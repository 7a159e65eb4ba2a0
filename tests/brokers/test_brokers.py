"""What comes over a broker is acknowledged once it is ours and never before; what goes out is confirmed. Real servers, and a mock for Kafka."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest

from brokers.peers import PEERS, Peer
from brokers.servers import NAMES, Ports
from conftest import NOW
from doors.door import Door, opened, sale, until
from evenstock.cli.config_file import read_configuration
from evenstock.connectors.brokered import BrokerSettings, body_of, translate
from evenstock.connectors.contract import (
    Arrived,
    Command,
    CommandLine,
    Done,
    Exposure,
    Message,
    Rejected,
    World,
)
from evenstock.connectors.found import configured
from evenstock.core.errors import Refusal
from evenstock.core.reading import Received, read_event
from evenstock.outbound import Outbound
from evenstock.pipeline.files import Folder
from evenstock.postgres.database import Database

each_broker = pytest.mark.parametrize("name", NAMES)


@asynccontextmanager
async def peer_of(name: str, ports: Ports) -> AsyncIterator[Peer]:
    peer = PEERS[name](ports(name))
    await peer.open()
    yield peer
    await peer.close()


def bodies(*ids: str) -> list[bytes]:
    return [json.dumps(sale(id_, "A", source="whatever")).encode() for id_ in ids]


class Secrets:
    async def keep(self, reference: str, value: str) -> None:
        raise AssertionError(reference, value)

    async def open(self, reference: str) -> str:
        raise Refusal("secret.unknown", f"There is no {reference}.")


def world(peer: Peer, tmp_path: Path) -> World:
    http = Outbound([peer.allow])
    return World(http=http, files=Folder(tmp_path, "x"), secrets=Secrets(), addresses=http.addresses)


async def heard(name: str, peer: Peer, tmp_path: Path, number: int, *, keeps: bool) -> list[bytes]:
    """Listen until so many messages came; who keeps returns, who does not raises. Then a moment for the acknowledgement."""
    found = configured(name, peer.settings)
    assert found is not None
    connector, settings = found
    assert connector.listen is not None
    got: list[bytes] = []
    enough = asyncio.Event()

    async def keep(arrived: Sequence[Arrived]) -> None:
        got.extend(each.body for each in arrived)
        if not keeps and got:
            raise Refusal("hub.memory_away", "The database is away.")
        if len(got) >= number:
            enough.set()

    task: asyncio.Future[None] = asyncio.ensure_future(
        connector.listen(settings, world(peer, tmp_path), keep)
    )
    waiting = asyncio.ensure_future(enough.wait())
    both: list[asyncio.Future[Any]] = [task, waiting]
    done, _ = await asyncio.wait(both, timeout=30, return_when=asyncio.FIRST_COMPLETED)
    if keeps:
        assert task not in done, task.exception()
        for _ in range(50):
            await asyncio.sleep(0)
    task.cancel()
    waiting.cancel()
    await asyncio.wait(both)
    assert task.cancelled() if keeps else isinstance(task.exception(), Refusal)
    return got


@each_broker
async def test_what_could_not_be_kept_comes_again(name: str, ports: Ports, tmp_path: Path) -> None:
    async with peer_of(name, ports) as peer:
        sent = bodies("T-1", "T-2", "T-3")
        await peer.send(sent)
        assert await heard(name, peer, tmp_path, 3, keeps=False)
        again = await heard(name, peer, tmp_path, 3, keeps=True)
        assert set(again) == set(sent)
        await peer.send(bodies("T-4"))
        last = await heard(name, peer, tmp_path, 1, keeps=True)
        assert bodies("T-4")[0] in last


@asynccontextmanager
async def connected(
    name: str, peer: Peer, database: Database, tmp_path: Path, **settings: Any
) -> AsyncIterator[Door]:
    async with opened(database, data=tmp_path, outbound_allow=[peer.allow]) as door:
        await door.know("A")
        one = {"id": "broker", "connector": name, "settings": peer.settings | settings}
        answer = await door.post("/v1/connections:batch", {"connections": [one]})
        assert answer.status == 200, answer.raw
        yield door


async def on_hand(door: Door) -> Any:
    return (await door.get("/v1/availability/A")).body["on_hand"]


@each_broker
async def test_sales_are_booked_once_and_numbers_are_told(
    name: str, ports: Ports, database: Database, tmp_path: Path
) -> None:
    async with peer_of(name, ports) as peer:
        await peer.send(bodies("T-1", "T-2"))
        async with connected(name, peer, database, tmp_path) as door:

            async def booked() -> bool:
                return bool(await on_hand(door) == -2)

            await until(booked)
        await peer.send([*bodies("T-2", "T-3"), b"no event", *bodies("T-4")])
        async with connected(name, peer, database, tmp_path) as door:

            async def more() -> bool:
                dead = (await door.get("/v1/messages", status="dead")).body["data"]
                return bool(await on_hand(door) == -4 and dead)

            await until(more)
            [dead] = (await door.get("/v1/messages", status="dead")).body["data"]
            assert dead["code"] == "json.malformed"
            receipt = {"location": "0107", "lines": [{"line": "1", "item": {"sku": "A"}, "quantity": 10}]}
            event = sale("R-1", "A", source="pos-nl") | {"type": "GoodsReceived.v1", "data": receipt}
            assert (await door.post("/v1/events", event)).status == 200
            channel = {"id": "web", "locations": ["0107"], "connection": "broker"}
            assert (await door.post("/v1/channels:batch", {"channels": [channel]})).status == 200
            [told] = await peer.told(1)
            number = json.loads(told)
            assert (number["channel"], number["sku"], number["quantity"]) == ("web", "A", 6)

            async def acked() -> bool:
                rows = (await door.get("/v1/exposures", channel="web")).body["data"]
                return bool(rows and rows[0]["acked"] is not None)

            await until(acked)


def command(kind: Literal["pick", "cancel"], number: int) -> Command:
    lines = (CommandLine("1", "A", "A", "0107", Decimal("1.5")),)
    reference = f"EV-9-C{number}"
    return Command(
        kind=kind, reference=reference, key=f"{reference}-0", reservation="rsv_0000000001", order_ref="O-1",
        channel=None, location="0107", lines=lines, number=number,
    )  # fmt: skip


@each_broker
async def test_commands_are_told_in_order_each_under_its_key(name: str, ports: Ports, tmp_path: Path) -> None:
    async with peer_of(name, ports) as peer:
        found = configured(name, peer.settings)
        assert found is not None
        connector, settings = found
        assert connector.command is not None
        assert connector.commands(settings)
        for each in (command("pick", 1), command("cancel", 2)):
            done = await connector.command(settings, world(peer, tmp_path), each)
            assert isinstance(done, Done), done
        told = [json.loads(body) for body in await peer.commanded(2)]
        assert [(each["kind"], each["number"], each["key"]) for each in told] == [
            ("pick", 1, "EV-9-C1-0"),
            ("cancel", 2, "EV-9-C2-0"),
        ]
        assert told[0]["lines"] == [
            {"line": "1", "sku": "A", "code": "A", "location": "0107", "quantity": 1.5, "uom": "EA"}
        ]
        mute = configured(name, peer.settings | {"commands": None})
        assert mute is not None
        assert not connector.commands(mute[1])
        assert isinstance(
            await connector.command(mute[1], world(peer, tmp_path), command("pick", 3)), Rejected
        )


def test_the_how_to_is_a_configuration_that_passes(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "talk-over-a-broker.md").read_text(
        encoding="utf-8"
    )
    [config] = re.findall(r"```toml\n(.+?)```", page, re.DOTALL)
    (tmp_path / "evenstock.toml").write_text(config)
    found, mistakes = read_configuration(tmp_path / "evenstock.toml")
    assert (found.ids, mistakes) == (["tills"], [])
    event, number = (json.loads(block) for block in re.findall(r"```json\n(.+?)```", page, re.DOTALL))
    [told] = translate(BrokerSettings(url="nats://x:1"), Message(json.dumps(event).encode(), NOW))
    assert isinstance(read_event({"specversion": "1.0", "source": "tills", **told}), Received)
    exposure = Exposure("app", "TSH-BLK-M", "TSH-BLK-M", 6, 12, "7f3a-1-4-12", 9412871, NOW)
    assert json.loads(body_of(exposure)).keys() == number.keys()


@each_broker
def test_an_address_with_a_password_in_it_is_refused(name: str) -> None:
    for url in ("nats://me:secret@host:1", "host:1", "nats://host:1/path", "nats://host:many"):
        with pytest.raises(Refusal) as refused:
            configured(name, {"url": url})
        assert refused.value.problem.code == "connection.settings"


async def test_a_broker_of_the_house_is_reached_only_where_the_operator_says_so(
    ports: Ports, database: Database, tmp_path: Path
) -> None:
    name = "nats"  # one door for all: connectors/brokered.broker
    async with peer_of(name, ports) as peer:
        allowed, peer.allow = peer.allow, "elsewhere:1"
        async with connected(name, peer, database, tmp_path) as door:

            async def told() -> bool:
                found = (await door.get("/v1/sources")).body["data"]
                return any(f"--outbound-allow {allowed}" in (source["detail"] or "") for source in found)

            await until(told)
