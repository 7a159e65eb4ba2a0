"""Postings go into an ERP's books once each: over real HTTP, against the connector's sandbox, under every fault."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.sandboxed import Peer, served
from evenstock import clock
from evenstock.connectors.contract import (
    Done,
    Failed,
    Level,
    Outcome,
    PartlyDone,
    Posting,
    PostingLine,
    RefusedLine,
    Rejected,
    RetryLater,
    Unauthorized,
    Unknown,
)
from evenstock.connectors.erp_rest.post import LOOKS_MAX, post
from evenstock.connectors.erp_rest.sandbox import ErpSandbox, State
from evenstock.connectors.erp_rest.settings import Settings
from evenstock.connectors.erp_rest.stock import pages
from evenstock.connectors.sandbox import Misused, remembered

SEND = "POST /documents"
FIND = "GET /documents"
LOOK = "GET /jobs"


@asynccontextmanager
async def erp(**served_with: Any) -> AsyncIterator[Peer]:
    async with served(ErpSandbox(clock.now), {"env:TOKEN": "sandbox"}, **served_with) as peer:
        await peer.control("stock", [{"item": "TSH", "location": "NL01", "quantity": 100}])
        yield peer


def settings(peer: Peer, **others: Any) -> Settings:
    given = {"url": peer.url, "token": "env:TOKEN", "locations": {"0107": "NL01"}, "types": {"sales": "251"}}
    return msgspec.convert(given | others, Settings)


def posting(*lines: tuple[str, str], reference: str = "EV-1", again: bool = False) -> Posting:
    return Posting(
        kind="sales",
        reference=reference,
        key=f"key-{reference}",
        posted_on=date(2026, 11, 20),
        lines=tuple(
            PostingLine(str(number), sku, sku, "0107", Decimal(quantity))
            for number, (sku, quantity) in enumerate(lines or (("TSH", "-12"),), 1)
        ),
        ledger_from=10,
        ledger_to=20,
        again=again,
    )


async def posted(peer: Peer, *lines: tuple[str, str], again: bool = False) -> Outcome | PartlyDone:
    return await post(settings(peer), peer.world, posting(*lines, again=again))


def on_hand(peer: Peer, item: str = "TSH") -> float:
    return float(peer.sandbox.state.stock["NL01"].get(item, 0))


async def test_a_posting_is_a_document_of_the_erps() -> None:
    async with erp() as peer:
        assert await posted(peer, ("TSH", "-12"), ("TSH", "0.250")) == Done("4900000001")
        assert on_hand(peer) == 88.25
        sent = msgspec.json.decode((await peer.log())[0]["body"])
        assert (sent["type"], sent["date"], sent["lines"][0]["location"]) == ("251", "2026-11-20", "NL01")


async def test_a_line_that_is_refused_does_not_hold_up_the_others() -> None:
    async with erp() as peer:
        refused = RefusedLine("2", "There is no item NIX.", "unknown_item")
        assert await posted(peer, ("TSH", "-1"), ("NIX", "-1")) == PartlyDone("4900000001", (refused,))
        assert on_hand(peer) == 99


async def test_a_document_that_is_refused_is_told_with_the_erps_words() -> None:
    async with erp() as peer:
        outcome = await posted(peer, ("NIX", "-1"))
        assert outcome == Rejected("No line names an item that we know.", "no_valid_line")
        assert peer.sandbox.state.posted == 0


NOT_DONE: dict[str, tuple[type, str]] = {
    "429": (RetryLater, "rate"),
    "429-bare": (RetryLater, "rate"),
    "503": (RetryLater, "busy"),
    "maintenance": (RetryLater, "busy"),
    "500": (Unknown, ""),
    "html": (Unknown, ""),
    "cut": (Unknown, ""),
}


@pytest.mark.parametrize("fault", NOT_DONE)
async def test_what_was_not_done_is_never_called_done(fault: str) -> None:
    kind, cause = NOT_DONE[fault]
    async with erp() as peer:
        await peer.faults(fault, on=SEND, retry_after_s=9)
        outcome = await posted(peer)
        assert type(outcome) is kind, outcome
        if isinstance(outcome, RetryLater):
            assert (outcome.cause, outcome.after_s) == (cause, None if fault == "429-bare" else 9.0)
        assert on_hand(peer) == 100
        assert await posted(peer, again=kind is Unknown) == Done("4900000001")
        assert on_hand(peer) == 88


@pytest.mark.parametrize("fault", ["cut-after", "500-after", "html-after"])
@pytest.mark.parametrize("again", [True, False])
async def test_what_was_done_and_not_said_is_not_done_twice(fault: str, again: bool) -> None:
    """Found by its reference; and were it sent without looking, its key would hold."""
    async with erp() as peer:
        await peer.faults(fault, on=SEND)
        assert isinstance(await posted(peer), Unknown)
        assert await posted(peer, again=again) == Done("4900000001")
        assert (on_hand(peer), peer.sandbox.state.posted) == (88, 1)
        assert (await peer.did()).count(SEND) == (1 if again else 2)


async def test_an_erp_without_keys_is_asked_by_reference() -> None:
    async with erp() as peer:
        await peer.faults("cut-after", on=SEND)
        await posted(peer)
        other = msgspec.structs.replace(posting(), key="another")
        assert await post(settings(peer), peer.world, other) == Done("4900000001")
        assert on_hand(peer) == 88


@pytest.mark.parametrize("fault", ["429", "503", "500", "html", "cut"])
async def test_nothing_is_sent_while_nobody_can_say_whether_it_is_there(fault: str) -> None:
    async with erp() as peer:
        await peer.faults("cut-after", on=SEND)
        await posted(peer)
        await peer.faults(fault, on=FIND)
        assert isinstance(await posted(peer, again=True), RetryLater)
        assert ((await peer.did()).count(SEND), on_hand(peer)) == (1, 88)


async def test_a_key_that_came_with_another_document_is_refused() -> None:
    async with erp() as peer:
        await posted(peer)
        outcome = await posted(peer, ("TSH", "-13"))
        assert isinstance(outcome, Rejected)
        assert (outcome.code, on_hand(peer)) == ("key_reused", 88)


async def test_a_job_is_looked_at_until_it_has_ended() -> None:
    async with erp() as peer:
        await peer.faults("later", on=SEND)
        assert await posted(peer) == Done("4900000001")
        assert (await peer.did()) == [SEND, LOOK, LOOK]


async def test_a_job_that_never_ends_is_unknown_after_a_few_looks_and_found_again() -> None:
    async with erp() as peer:
        await peer.faults("never", on=SEND)
        assert isinstance(await posted(peer), Unknown)
        assert (await peer.did()).count(LOOK) == LOOKS_MAX
        assert isinstance(await posted(peer, again=True), Unknown)
        await peer.control("finish")
        assert await posted(peer, again=True) == Done("4900000001")
        assert ((await peer.did()).count(SEND), on_hand(peer)) == (1, 88)


async def test_a_job_that_fails_is_refused_with_its_words() -> None:
    async with erp() as peer:
        await peer.faults("failing", on=SEND)
        assert await posted(peer) == Rejected("The period is closed.", "period_closed")
        assert on_hand(peer) == 100


@pytest.mark.parametrize("fault", ["429", "500", "html", "cut"])
async def test_a_look_that_fails_does_not_make_the_job_undone(fault: str) -> None:
    async with erp() as peer:
        await peer.faults("later", on=SEND)
        await peer.faults("later", fault, on="")
        assert isinstance(await posted(peer), Unknown)
        assert await posted(peer, again=True) == Done("4900000001")
        assert on_hand(peer) == 88


async def test_maintenance_says_when_it_ends() -> None:
    at = [datetime(2026, 11, 20, 1, 0, tzinfo=UTC)]
    async with served(ErpSandbox(lambda: at[0]), {"env:TOKEN": "sandbox"}) as peer:
        await peer.control("stock", [{"item": "TSH", "location": "NL01", "quantity": 100}])
        await peer.control("maintenance", {"for_s": 4 * 3600})
        outcome = await posted(peer)
        assert isinstance(outcome, RetryLater)
        assert (outcome.cause, outcome.after_s) == ("busy", 4 * 3600 + 1)
        at[0] += timedelta(seconds=4 * 3600 + 1)
        assert await posted(peer) == Done("4900000001")


async def test_success_without_an_effect_is_seen_in_the_stock() -> None:
    async with erp() as peer:
        await peer.faults("no-effect", on=SEND)
        assert await posted(peer) == Done("4900000001"), "the ERP says so"
        assert [level async for page in pages(settings(peer), peer.world) for level in page] == [
            Level("TSH", "TSH", 100, location="0107")
        ]


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "posted", "document": "1", "lines": []},
        {"status": "posted", "document": "1", "lines": [{"line": "2", "status": "posted"}]},
        {"status": "posted", "lines": [{"line": "1", "status": "posted"}]},
        {"status": "running"},
        {"status": "parked", "document": "1"},
        {"status": None, "document": "1"},
        {"status": "posted", "document": 7},
    ],
)
async def test_an_answer_that_does_not_account_for_every_line_is_not_done(answer: dict[str, Any]) -> None:
    async with erp() as peer:
        await posted(peer)
        peer.sandbox.state.kept["EV-1"].answer = answer
        assert isinstance(await posted(peer), Unknown)


async def test_a_token_that_is_refused_stops_the_connection() -> None:
    async with served(ErpSandbox(clock.now), {"env:TOKEN": "old"}) as peer:
        assert isinstance(await posted(peer), Unauthorized)


async def test_what_is_in_the_books_is_read_to_the_end() -> None:
    async with erp() as peer:
        await peer.control(
            "stock", [{"item": f"I{n:03}", "location": "NL02", "quantity": n} for n in range(205)]
        )
        found = [level async for page in pages(settings(peer), peer.world) for level in page]
        assert len(found) == 206
        assert found[0] == Level("TSH", "TSH", 100, location="0107")
        assert found[-1] == Level("I204", "I204", 204, location="NL02")


async def test_books_that_cannot_be_read_to_the_end_fail_loudly() -> None:
    async with erp() as peer:
        await peer.control(
            "stock", [{"item": f"I{n:03}", "location": "NL02", "quantity": n} for n in range(205)]
        )
        await peer.faults("slow", "cut", on="GET /stock", slow_s=0.0)
        reading = pages(settings(peer), peer.world)
        only = await anext(reading)
        with pytest.raises(Failed) as caught:
            await anext(reading)
        assert isinstance(caught.value.outcome, RetryLater)
        assert len(only) == 100


async def test_what_an_erp_remembers_outlives_it(tmp_path: Path) -> None:
    keep = tmp_path / "erp.json"
    async with erp(keep=keep) as peer:
        await posted(peer)
    again = ErpSandbox(clock.now)
    again.state = remembered(keep, State)
    async with served(again, {"env:TOKEN": "sandbox"}, keep=keep) as peer:
        assert await posted(peer, again=True) == Done("4900000001")
        assert on_hand(peer) == 88
    keep.write_text("{")
    with pytest.raises(Misused, match="Name another file"):
        remembered(keep, State)
