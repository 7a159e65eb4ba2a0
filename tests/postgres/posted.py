"""A day of postings: taken, in part, refused, brought again, lost on the way; and a breach of each invariant that speaks of them."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from evenstock.connectors.contract import (
    Connector,
    Done,
    Outcome,
    PartlyDone,
    Posting,
    RefusedLine,
    Rejected,
    Unknown,
    World,
)
from evenstock.core.postings import Books
from evenstock.pipeline.dispatch import LEASE_S, Dispatcher
from evenstock.pipeline.postings import post, prefix
from evenstock.pipeline.vault import Vault
from evenstock.pipeline.worlds import Worlds
from evenstock.postgres import channels, postings, troubles
from evenstock.postgres.database import Pool
from hub import Hub, event, line

TAG = "0123456789abcdef"

PLANTED_POSTED = {
    "v_movement_is_posted_once": "delete from posting_entries where line = 1",
    "v_posting_line_is_sum": "update posting_lines set units = units + 1 where line = 1",
    "v_carried_line_is_the_refused_one": "update posting_lines set units = units * 2 where carried_by is not null",
    "v_posting_is_due_until_done": "update postings set due_at = null where status = 'unknown'",
    "v_posting_done_was_confirmed": "delete from posting_attempts where outcome = 'done'",
    "v_posting_is_done_once":
        "insert into posting_attempts select posting_id, try + 1, connection_id, fence, ended_at, ended_at, outcome, detail, document "
        "from posting_attempts where outcome = 'done'",
    "v_posting_attempts_do_not_overlap": "update posting_attempts set ended_at = ended_at + interval '1 day' where try = 1",
    "v_posting_trouble_is_shown": "delete from exceptions where code = 'posting.rejected'",
    "v_postings_are_append_only": "grant update (units) on posting_lines to evenstock_app",
}  # fmt: skip

PLANTED_POSTED_TOO = (
    ("v_movement_is_posted_once", "update books set ledger_seq = ledger_seq - 1, ledger_from = ledger_from - 1"),
    ("v_movement_is_posted_once", "update posting_entries set ordinal = ordinal + 1000 where line = 1"),
    ("v_posting_line_is_sum", "delete from posting_lines where line = 1 and carried_by is null"),
    ("v_carried_line_is_the_refused_one", "update posting_lines set carried_by = null"),
    ("v_posting_is_due_until_done", "update postings set document = null where status = 'done'"),
    ("v_posting_done_was_confirmed", "update postings set document = 'another' where status = 'done'"),
    ("v_posting_is_done_once", "update postings set document = 'same' where document is not null"),
    ("v_posting_attempts_do_not_overlap", "update posting_attempts set fence = fence + 9 where try = 1"),
    ("v_posting_trouble_is_shown", "update posting_lines set refused_code = null"),
    ("v_postings_are_append_only", "grant delete on posting_entries to evenstock_app"),
)  # fmt: skip


class _None(msgspec.Struct, frozen=True):
    """No settings."""


async def post_some(shop: Hub, pool: Pool) -> None:
    """Something of everything that invariants of postings speak of, and all is well."""
    answers: list[Outcome | PartlyDone] = [
        Done("4901"), PartlyDone("4902", (RefusedLine("2", "What is that?", "unknown_item"),)), Rejected("Closed.", "closed"),
        PartlyDone("4903", (RefusedLine("1", "What is that?", "unknown_item"),)), Unknown("cut off"),
    ]  # fmt: skip

    async def take(settings: _None, world: World, posting: Posting) -> Outcome | PartlyDone:  # noqa: ARG001
        return answers.pop(0)

    connector: Connector[Any] = Connector(name="ledgers", summary="A test's own.", settings=_None, post=take)
    await shop.items("PEN", "INK")
    row = {"id": "erp", "connector": "ledgers", "settings": {}, "books": Books()}
    await channels.upsert_connections(shop.db, [row], shop.now, [])
    for number in range(5):
        await _sells(shop, f"pens-{number}", ("PEN", "INK"))
    worlds = Worlds(pool, Vault(None, {}), Path("/nonexistent"), lambda: shop.now)
    sender = Dispatcher(pool, {"ledgers": connector}, worlds, TAG, lambda: shop.now, lambda: 1.0)
    await post(shop.db, TAG, lambda: shop.now)
    (connection_id,) = await sender.due()
    for _ in range(5):
        await sender.tell(connection_id)
    await postings.send_again(shop.db, "erp", "unknown_item", prefix(TAG), shop.now)
    # what is new comes before what is tried again
    answers += [Done("4904"), Unknown("cut off"), Done("4905")]
    for _ in range(3):
        shop.now += timedelta(seconds=LEASE_S + 61)
        await sender.tell(connection_id)
    await troubles.show(shop.db, connection_id, "erp", shop.now)


async def _sells(shop: Hub, id_: str, skus: Sequence[str]) -> None:
    lines = [line(sku, 1, str(number)) for number, sku in enumerate(skus, 1)]
    at = shop.now - timedelta(hours=1)
    await shop.apply(event("receipt", id_, at, {"location": "store-a", "lines": lines}))
