"""Do it again: planned, run, paused, cancelled, stopped; by the rules of today or of then, edited, and never twice."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from channel import System, teller
from doors.door import Door, evenstock, opened, receipt, sale, until
from doors.hooked import ENVIRON, MAPPING, SETTINGS, Till, connect, settled, sold, ticket
from evenstock.connectors.contract import Rejected
from evenstock.core.errors import Refusal
from evenstock.core.replaying import ITEMS_MAX, RATE_MAX_PER_S, Wanted, budget, moved
from evenstock.pipeline import replay
from evenstock.pipeline.replay import Replayer
from evenstock.pipeline.vault import Vault
from evenstock.postgres.database import Database
from hub import STEP, hub
from hub import event as fact
from hub import line as fact_line

BAD = {"ticket": "T-9", "store": "0107", "at": "yesterday", "lines": [sold("A")]}


@pytest.fixture
def door(runner: asyncio.Runner, database: Database) -> Iterator[Door]:
    """A hub whose environment holds the till's secrets."""
    stack = AsyncExitStack()
    yield runner.run(stack.enter_async_context(opened(database, vault=Vault(None, ENVIRON))))
    runner.run(stack.aclose())


@pytest.fixture
def till(runner: asyncio.Runner, door: Door) -> Till:
    runner.run(door.know("A", "B"))
    runner.run(connect(door))
    return Till(door)


async def planned(door: Door, **wanted: Any) -> dict[str, Any]:
    answer = await door.post("/v1/replays", wanted)
    assert answer.status == 201, answer.raw
    found: dict[str, Any] = answer.body
    return found


async def ran(door: Door, plan: dict[str, Any]) -> dict[str, Any]:
    """Run a plan to its end."""
    assert (await door.post(f"/v1/replays/{plan['id']}:run", {})).status == 200

    async def done() -> bool:
        return bool((await door.get(f"/v1/replays/{plan['id']}")).body["status"] == "done")

    await until(done)
    found: dict[str, Any] = (await door.get(f"/v1/replays/{plan['id']}")).body
    return found


# Messages -----------------------------------------------------------------------------------------------------------------


async def test_dead_letters_are_planned_then_read_again_and_what_was_booked_stays_booked_once(
    door: Door, till: Till
) -> None:
    broken = SETTINGS | {"mapping": MAPPING | {"time": {"column": "when"}}}
    await connect(door, **broken)
    for number in range(3):
        await till.post(ticket(f"T-{number}", sold("A")))
    assert {row["status"] for row in await settled(door)} == {"dead"}
    plan = await planned(door, step="translate", connection="till", reason="The column is called at.")
    assert (plan["status"], plan["items"], plan["waiting"], float(plan["eta_s"])) == ("planned", 3, 3, 3 / 50)
    assert plan["oldest_at"] == (await settled(door))[-1]["received_at"]
    assert plan["effects"] == [
        {
            "target": "till",
            "items": 3,
            "words": "3 messages are read again; their 0 known events are not booked twice.",
        }
    ]
    assert {row["status"] for row in await settled(door)} == {"dead"}, "a plan does nothing"

    result = await ran(door, plan)
    assert (result["done"], result["failed"]) == (0, 3), "the mapping is still wrong"
    assert result["failures"][0]["item"].startswith("msg_")
    assert result["failures"][0]["outcome"].startswith("event.time: ")
    await connect(door)
    result = await ran(door, await planned(door, step="translate"))
    assert (result["done"], result["failed"]) == (3, 0)
    assert (await door.stock("A"))["on_hand"] == -3
    assert not [
        row for row in (await door.get("/v1/exceptions")).body["data"] if row["code"].startswith("message.")
    ]

    result = await ran(door, await planned(door, step="translate", verb="all"))
    assert (result["items"], result["done"]) == (3, 3)
    assert result["effects"][0]["words"].endswith("their 3 known events are not booked twice.")
    assert (await door.stock("A"))["on_hand"] == -3, "never a duplicate"
    assert (await planned(door, step="translate"))["items"] == 0, "nothing is left to do again"


async def test_the_rules_of_then_are_those_of_when_it_was_received(door: Door, till: Till) -> None:
    await till.post(ticket("T-1", sold("A"), other="X-1"))
    await settled(door)
    renamed = SETTINGS | {"mapping": MAPPING | {"key": {"parts": ["other"]}}}
    await connect(door, **renamed)
    result = await ran(door, await planned(door, step="translate", verb="all", rules="as_was"))
    assert (result["done"], (await door.stock("A"))["on_hand"]) == (1, -1)
    assert (await settled(door))[0]["events"] == ["T-1"]
    result = await ran(door, await planned(door, step="translate", verb="all", rules="current"))
    assert (result["done"], (await door.stock("A"))["on_hand"]) == (1, -2), (
        "under today's rules it is another fact"
    )
    assert (await settled(door))[0]["events"] == ["T-1", "X-1"], "what came of it before is not forgotten"


async def test_an_edited_body_is_replayed_and_what_was_received_is_kept(door: Door, till: Till) -> None:
    dead = (await till.post(BAD)).body["id"]
    await settled(door)
    assert json.loads((await door.get(f"/v1/messages/{dead}")).body["body"]) == BAD
    good = json.dumps(ticket("T-9", sold("A")))
    answer = await door.post(f"/v1/messages/{dead}:edit", {"body": good, "reason": "The till wrote a word."})
    assert answer.status == 200, answer.raw
    new = answer.body["id"]
    assert answer.body["edited_from"] == dead
    first = (await settled(door))[0]
    assert (first["id"], first["status"], first["events"]) == (new, "translated", ["T-9"])
    kept = (await door.get(f"/v1/messages/{dead}")).body
    assert (json.loads(kept["body"]), kept["replaced_by"]) == (BAD, new)
    edit = (await door.get(f"/v1/messages/{new}")).body
    assert (edit["body"], edit["edited_by"], edit["edit_reason"]) == (good, "all", "The till wrote a word.")
    assert not [
        row for row in (await door.get("/v1/exceptions")).body["data"] if row["code"].startswith("message.")
    ]
    for body, problem in (
        ({"body": good, "reason": "x"}, (409, "message.not_dead")), ({"body": "x"}, (422, "request.malformed")),
        ({"body": "x", "body_base64": "eA==", "reason": "x"}, (422, "request.malformed")),
        ({"body_base64": "!", "reason": "x"}, (422, "request.malformed")),
    ):  # fmt: skip
        assert (await door.post(f"/v1/messages/{dead}:edit", body)).problem[:2] == problem, body
    assert (await door.post("/v1/messages/msg_99:edit", {"body": "x", "reason": "x"})).problem[:2] == (
        404,
        "message.not_found",
    )
    assert (await planned(door, step="translate", verb="all"))["items"] == 1, "the edit speaks for it"


# Held lines ----------------------------------------------------------------------------------------------------------------


async def test_held_lines_are_booked_when_what_they_wait_for_is_there(door: Door) -> None:
    await door.know("A")
    await door.report(sale("s-1", "NEW"), sale("s-2", "OTHER"))
    plan = await planned(door, step="apply")
    assert [effect["target"] for effect in plan["effects"]] == ["sku:NEW", "sku:OTHER"]
    result = await ran(door, plan)
    assert (result["done"], result["failed"]) == (0, 2)
    assert result["failures"][0] == {
        "item": "sku:NEW",
        "outcome": "Lines still wait for it: it is not in the masters.",
    }


# Numbers told ----------------------------------------------------------------------------------------------------------------


async def test_numbers_are_told_again_under_keys_of_their_own(database: Database, tmp_path: Path) -> None:
    system = System()
    async with hub(database, "pos") as till, teller(database, tmp_path, system) as tells:
        await till.locations("A")
        await till.items("TEE", "MUG")
        await tells.connection()
        await tells.channel("web", "A")
        for sku in ("TEE", "MUG"):
            await till.apply(fact("receipt", sku, tells.now, {"location": "A", "lines": [fact_line(sku, 5)]}))
            tells.now = till.now
        system.next = [Rejected("Not listed here.")]
        await tells.say()
        replayer = Replayer(None, lambda: None, "tag", lambda: tells.now)  # type: ignore[arg-type]  # no held lines here

        async def again(verb: str, **more: Any) -> Any:
            wanted = Wanted(step="dispatch", verb=verb, **more)  # type: ignore[arg-type]  # one of them
            plan = await replay.plan(tells.db, wanted, "me", tells.now)
            number = int(plan.id.removeprefix("rpl_"))
            await replay.command(tells.db, number, "run", tells.now)
            tells.later(1)
            await replayer.round(tells.db)  # type: ignore[arg-type]  # a session like any
            await tells.tell()
            await replayer.round(tells.db)  # type: ignore[arg-type]  # a session like any
            return await replay.show(tells.db, number)

        told = await again("failed", channel="web")
        assert (told.status, told.items, told.done) == ("done", 1, 1)
        told = await again("all")
        assert (told.status, told.items, told.done) == ("done", 2, 2)
        assert len(system.keys) == len(set(system.keys)), "each number under a key of its own"
        assert system.shows == {("web", "TEE"): 5, ("web", "MUG"): 5}
        assert (await again("missing")).items == 0
        system.next = [Rejected("Not listed here.")]
        told = await again("all", connection="shop")
        assert (told.done, told.failed, told.failures[0].outcome) == (1, 1, "refused")
        await again("failed")


# Its course ----------------------------------------------------------------------------------------------------------------


async def test_a_replay_keeps_its_rate_and_pauses_cancels_and_stops(database: Database) -> None:
    async with hub(database, "pos") as till:
        await till.locations("A")
        await till.apply(
            *(
                fact("sale", f"s-{n}", till.now, {"location": "A", "lines": [fact_line(f"N-{n}", 1)]})
                for n in range(9)
            )
        )

        class Writer:
            async def release(self, subjects: list[str]) -> int:  # noqa: ARG002
                return 0

        replayer = Replayer(Writer(), lambda: None, "tag", lambda: till.now)  # type: ignore[arg-type]  # its one method
        plan = await replay.plan(till.db, Wanted(step="apply", rate_per_s=1), "me", till.now)
        number = int(plan.id.removeprefix("rpl_"))

        async def after(seconds: int) -> int:
            for _ in range(seconds):
                till.now += STEP
                await replayer.round(till.db)  # type: ignore[arg-type]  # a session like any
            return (await replay.show(till.db, number)).failed

        assert await after(3) == 0, "a plan waits to be run"
        await replay.command(till.db, number, "run", till.now)
        assert await after(2) == 3, "one to begin with, then one a second"
        await replay.command(till.db, number, "pause", till.now)
        assert await after(3) == 3
        await replay.command(till.db, number, "run", till.now)
        assert await after(1) == 5, "what was paused is not made good in a burst"
        await replay.stop_all(till.db, "me", "The shop is on fire.", till.now, stopped=True)
        assert await after(3) == 5, "the kill switch stops what runs"
        assert (await replay.show(till.db, number)).stopped
        other = await replay.plan(till.db, Wanted(step="apply"), "me", till.now)
        with pytest.raises(Refusal, match="on fire"):
            await replay.command(till.db, int(other.id.removeprefix("rpl_")), "run", till.now)
        await replay.stop_all(till.db, "me", None, till.now, stopped=False)
        await replay.command(till.db, number, "cancel", till.now)
        await after(3)
        ended = await replay.show(till.db, number)
        assert (ended.status, ended.failed, ended.skipped) == ("cancelled", 5, 4)
        for command in ("run", "pause"):
            with pytest.raises(Refusal, match="is cancelled"):
                await replay.command(till.db, number, command, till.now)
        assert (await replay.command(till.db, number, "cancel", till.now)).status == "cancelled", (
            "the same again"
        )


@given(
    rate=some.integers(1, RATE_MAX_PER_S), seconds=some.floats(0, 10_000), asked=some.integers(0, ITEMS_MAX)
)
def test_no_more_is_asked_than_the_time_allows(rate: int, seconds: float, asked: int) -> None:
    running_for = timedelta(seconds=seconds)  # in whole microseconds
    allowed = budget(rate, running_for, asked)
    assert allowed == 0 or asked + allowed <= 1 + rate * running_for.total_seconds()


def test_a_replay_that_has_ended_does_nothing_more() -> None:
    for status in ("done", "cancelled"):
        with pytest.raises(Refusal):
            moved(status, "run")


async def test_what_cannot_be_planned_is_refused(door: Door) -> None:
    for body, pointer in (
        ({}, ""), ({"step": "dream"}, "/step"), ({"step": "apply", "verb": "some"}, "/verb"),
        ({"step": "apply", "rules": "as_was"}, "/rules"), ({"step": "apply", "rate_per_s": 0}, "/rate_per_s"),
        ({"step": "apply", "rate_per_s": RATE_MAX_PER_S + 1}, "/rate_per_s"), ({"step": "apply", "messages": ["msg_1"]}, "/messages"),
        ({"step": "translate", "channel": "web"}, "/channel"), ({"step": "translate", "messages": ["x"]}, "/messages/0"),
        ({"step": "translate", "exception": "msg_1"}, "/exception"),
    ):  # fmt: skip
        answer = await door.post("/v1/replays", body)
        assert answer.problem == (422, "request.malformed", pointer), body
    assert (await door.get("/v1/replays")).body["data"] == [], "nothing was planned"
    for path in ("rpl_9", "x"):
        assert (await door.get(f"/v1/replays/{path}")).problem[:2] == (404, "replay.not_found")
        assert (await door.post(f"/v1/replays/{path}:run", {})).problem[:2] == (404, "replay.not_found")


async def test_a_plan_has_a_limit(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "ITEMS_MAX", 2)
    await door.know("A")
    for number in range(2):
        await door.report(sale(f"s-{number}", f"NEW-{number}"))
    assert (await planned(door, step="apply"))["items"] == 2
    await door.report(sale("s-3", "NEW-3"))
    assert (await door.post("/v1/replays", {"step": "apply"})).problem[:2] == (422, "replay.too_many")


# The command ---------------------------------------------------------------------------------------------------------------


async def test_the_command_plans_runs_and_tells(door: Door, database: Database) -> None:
    at = ("--database-url", database.url, "--schema", database.schema)
    await door.know("A")
    await door.report(receipt("r", "A", 1), sale("s", "NEW"))
    code, out, _ = await evenstock("replay", "plan", "apply", "--reason", "Try.", "--json", *at)
    plan = json.loads(out)
    assert (code, plan["items"], plan["status"]) == (0, 1, "planned")
    code, out, _ = await evenstock("replay", "stop", "--reason", "Not now.", *at)
    assert (code, out) == (0, "All replays are stopped.\n")
    code, out, said = await evenstock("replay", "run", plan["id"], *at)
    assert (code, out, "Not now." in said) == (5, "", True)
    assert (await evenstock("replay", "allow", *at))[0] == 0
    assert (await evenstock("replay", "run", plan["id"], *at))[0] == 0

    async def done() -> bool:
        return bool((await door.get(f"/v1/replays/{plan['id']}")).body["status"] == "done")

    await until(done)
    code, out, _ = await evenstock("replay", "status", plan["id"], *at)
    assert (code, "✕ sku:NEW: Lines still wait for it" in out) == (3, True), out
    assert (await evenstock("replay", "status", "rpl_99", *at))[0] == 4
    assert (await evenstock("replay", "plan", "dream", *at))[0] == 2
