"""Any system is told what to do by a template: over real HTTP, against the sandbox, under every fault; and the recorder."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from connectors.sandboxed import Peer, served
from evenstock import clock
from evenstock.connectors import recorder
from evenstock.connectors.contract import (
    Command,
    CommandLine,
    Done,
    Outcome,
    Rejected,
    RetryLater,
    Unauthorized,
    Unknown,
    World,
)
from evenstock.connectors.http_json import connector
from evenstock.connectors.http_json.command import do
from evenstock.connectors.http_json.sandbox import JsonSandbox
from evenstock.connectors.http_json.settings import Settings
from evenstock.pipeline.files import Folder
from floor import SECRETS, of_the_readme


def command(
    kind: Literal["pick", "cancel"] = "pick", number: int = 1, *, again: bool = False, **more: Any
) -> Command:
    reference = f"EV-9-C{number}"
    known: dict[str, Any] = {
        "kind": kind, "reference": reference, "key": f"{reference}-0", "reservation": "rsv_0000000001", "order_ref": "O-1",
        "channel": "web", "location": "DC 1", "lines": (CommandLine("1", "TSH", "T/SH", "DC 1", 2), CommandLine("2", "CUP", "CUP", "DC 1", Decimal("1.5"))),
        "number": number,
    }  # fmt: skip
    return Command(**known | more, again=again)


def settings(url: str, **others: Any) -> Settings:
    return msgspec.convert({"command": of_the_readme(url) | others}, Settings)


@asynccontextmanager
async def store() -> AsyncIterator[Peer]:
    async with served(
        JsonSandbox(clock.now), {f"env:{name}": text for name, text in SECRETS.items()}
    ) as peer:
        await peer.control("items", [{"store": "DC 1", "code": code} for code in ("T/SH", "CUP")])
        yield peer


async def told(peer: Peer, given: Command, **others: Any) -> Outcome:
    return await do(settings(peer.url, **others), peer.world, given)


def to_pick(peer: Peer) -> dict[str, float]:
    found: dict[str, float] = peer.sandbox.state.to_pick.get("DC 1/O-1", {})
    return found


async def test_a_store_is_told_what_to_pick_and_what_to_cancel() -> None:
    async with store() as peer:
        assert await told(peer, command()) == Done("W-1")
        assert to_pick(peer) == {"T/SH": 2, "CUP": 1.5}
        assert await told(peer, command("cancel", 2)) == Done("W-2")
        assert to_pick(peer) == {"T/SH": 0, "CUP": 0}
        asked = json.loads((await peer.log())[0]["body"], parse_float=Decimal)
        assert asked == {
            "do": "pick", "order": "O-1",
            "lines": [{"line": "1", "item": "T/SH", "quantity": 2}, {"line": "2", "item": "CUP", "quantity": Decimal("1.5")}],
        }  # fmt: skip


async def test_a_template_says_what_things_are_called_there() -> None:
    async with store() as peer:
        shape = {
            "kinds": {"pick": "cancel"},
            "locations": {"DC 1": "DC/9"},
            "body": {"do": "{kind}", "order": "{reservation}-{number}", "lines": "{lines}"},
            "line": {"item": "{sku}@{location}", "quantity": "{quantity}"},
        }
        assert await told(peer, command(order_ref=None), **shape) == Rejected(
            "There is no TSH@DC/9 at DC/9.", "unknown_item"
        )
        asked = json.loads((await peer.log())[0]["body"])
        assert (asked["do"], asked["order"]) == ("cancel", "rsv_0000000001-1")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("429", RetryLater),
        ("503", RetryLater),
        ("maintenance", RetryLater),
        ("500", Unknown),
        ("500-after", Unknown),
        ("html-after", Unknown),
        ("cut", Unknown),
        ("cut-after", Unknown),
        ("no", Rejected),
    ],
)
async def test_after_every_fault_the_command_is_told_again_and_done_once(
    fault: str, kind: type[Outcome]
) -> None:
    async with store() as peer:
        await peer.faults(fault, retry_after_s=7)
        first = await told(peer, command())
        assert isinstance(first, kind), first
        if isinstance(first, RetryLater):
            assert first.after_s == 7
        assert await told(peer, command(again=True)) == Done("W-1")
        assert to_pick(peer) == {"T/SH": 2, "CUP": 1.5}
        assert await told(peer, command(again=True)) == Done("W-1")


async def test_a_store_refuses_what_it_was_not_to_pick_and_a_key_that_came_with_something_else() -> None:
    async with store() as peer:
        assert await told(peer, command("cancel")) == Rejected(
            "O-1 has less to pick at DC 1 than is cancelled.", "not_picked"
        )
        assert await told(peer, command()) == Done("W-1")
        reused = await told(peer, command("cancel"))
        assert isinstance(reused, Rejected)
        assert reused.code == "key_reused"
        assert to_pick(peer) == {"T/SH": 2, "CUP": 1.5}


async def test_a_connection_that_does_not_say_how_is_told_nothing() -> None:
    async with store() as peer:
        mute = msgspec.convert({"call": {"url": peer.url + "/x"}}, Settings)
        assert not connector.commands(mute)
        assert connector.commands(settings(peer.url))
        assert isinstance(await do(mute, peer.world, command()), Unauthorized)
        lost = await told(peer, command(), secret_headers={"Authorization": "env:NOBODY"})
        assert isinstance(lost, RetryLater)
        assert await peer.log() == [], "without its secret nothing is sent"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"url": "https://store.example/{lines}"}, "there is no {lines}"),
        ({"url": "https://store.example/{version}"}, "there is no {version}"),
        ({"line": {"x": "{order}"}}, "there is no {order}"),
        ({"body": {"x": "{sku}"}}, "there is no {sku}"),
        ({"kinds": {"count": "x"}}, "kinds"),
    ],
)
def test_a_template_that_cannot_be_is_refused_when_it_is_configured(
    wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert({"command": of_the_readme("https://store.example") | wrong}, Settings)
    assert words in str(refused.value)


async def test_the_recorder_writes_each_command_once_beside_its_numbers(tmp_path: Path) -> None:
    world = World(None, Folder(tmp_path, "rec"))
    given = recorder.Settings("work.jsonl")
    for each in (
        command(),
        command(again=True),
        command("cancel", 2, again=True),
        command("cancel", 2, again=True),
    ):
        assert await recorder.do(given, world, each) == Done(each.key)
    lines = [
        json.loads(line) for line in (Folder(tmp_path, "rec").path / "work.jsonl").read_bytes().splitlines()
    ]
    assert [(line["kind"], line["number"], line["key"]) for line in lines] == [
        ("pick", 1, "EV-9-C1-0"),
        ("cancel", 2, "EV-9-C2-0"),
    ]
    assert lines[0]["lines"][1]["quantity"] == 1.5
    assert "again" not in lines[0]
