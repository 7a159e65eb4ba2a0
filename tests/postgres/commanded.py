"""A day of commands: done, refused, lost on the way, waiting; and a breach of each invariant that speaks of them."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from evenstock.connectors.contract import Command, Connector, Done, Outcome, Rejected, Unknown, World
from evenstock.core.reservations import Release
from evenstock.pipeline.dispatch import LEASE_S, Dispatcher
from evenstock.pipeline.vault import Vault
from evenstock.pipeline.worlds import Worlds
from evenstock.postgres import channels, ledger
from evenstock.postgres.database import Pool
from hub import Hub, event, line
from seller import Seller, allocate, confirm, some_of

TAG = "0123456789abcdef"

PLANTED_COMMANDED = {
    "v_work_is_commanded": "update command_lines set units = units + 1 where line = '1'",
    "v_cancel_follows_its_pick": "update commands set kind = 'cancel' where number = 1",
    "v_commands_go_in_order": "update commands set number = number + 10 where number = 2",
    "v_command_is_due_until_done": "update commands set due_at = null where status = 'unknown'",
    "v_command_done_was_confirmed": "delete from command_attempts where outcome = 'done'",
    "v_command_attempts_do_not_overlap": "update command_attempts set ended_at = ended_at + interval '1 day' where try = 1",
    "v_command_trouble_is_shown": "delete from exceptions where code = 'command.rejected'",
    "v_commands_are_append_only": "grant update (units) on command_lines to evenstock_app",
}  # fmt: skip

PLANTED_COMMANDED_TOO = (
    ("v_work_is_commanded", "delete from command_lines where command_id = (select max(command_id) from command_lines)"),
    ("v_work_is_commanded", "update location_workers set ledger_seq = 0"),
    ("v_work_is_commanded", "update claim_entries set elsewhere = true where kind = 'ship' and allocated <> 0"),
    ("v_commands_go_in_order", "update commands set done_at = done_at + interval '1 day' where number = 1 and status = 'done'"),
    ("v_commands_go_in_order", "update commands set tries = 1, first_sent_at = made_at where number = 2 and tries = 0"),
    ("v_command_is_due_until_done", "update commands set due_at = made_at where status = 'done'"),
    ("v_command_is_due_until_done", "delete from command_lines"),
    ("v_command_done_was_confirmed", "update commands set document = 'another' where status = 'done'"),
    ("v_command_done_was_confirmed",
        ("insert into command_attempts select command_id, try + 1, connection_id, fence, ended_at, ended_at, outcome, detail, 'twice' "
        "from command_attempts where outcome = 'done'")),
    ("v_command_attempts_do_not_overlap", "update command_attempts set fence = fence + 9 where try = 1"),
    ("v_command_trouble_is_shown", "update commands set refused_code = 'another' where status = 'rejected'"),
    ("v_commands_are_append_only", "grant delete on command_attempts to evenstock_app"),
)  # fmt: skip


class _None(msgspec.Struct, frozen=True):
    """No settings."""


async def command_some(shop: Hub, sells: Seller, pool: Pool) -> None:
    """Something of everything that invariants of commands speak of, and all is well."""
    answers: list[Outcome] = []

    async def take(settings: _None, world: World, command: Command) -> Outcome:  # noqa: ARG001
        return answers.pop(0)

    connector: Connector[Any] = Connector(name="floor", summary="A test's own.", settings=_None, command=take)
    await ledger.prepare_storage(shop.db, TAG, shop.now)
    await shop.items("JAR")
    at = shop.now - timedelta(hours=1)
    await shop.apply(event("receipt", "jars", at, {"location": "store-a", "lines": [line("JAR", 50)]}))
    sells.now = shop.now
    before = await sells.hold("jar-before", "JAR", 2, at="store-a")
    await sells.do(confirm(before), allocate(before))
    row = {"id": "floor", "connector": "floor", "settings": {}, "works": ["store-a"]}
    await channels.upsert_connections(shop.db, [row], shop.now, [])
    orders = [await sells.hold(f"jar-{number}", "JAR", 3, at="store-a") for number in range(4)]
    for order in orders:
        await sells.do(confirm(order), allocate(order))
    worlds = Worlds(pool, Vault(None, {}), Path("/nonexistent"), lambda: shop.now)
    sender = Dispatcher(pool, {"floor": connector}, worlds, TAG, lambda: shop.now, lambda: 1.0)
    (connection_id,) = await sender.due()
    for answer in (
        Unknown("cut off"),
        Rejected("Closed.", "closed"),
        Done("W-2"),
        Done("W-1"),
        Unknown("cut off"),
    ):
        answers.append(answer)
        await sender.tell(connection_id)
        shop.now += timedelta(seconds=LEASE_S + 1)
    sells.now = shop.now
    left = {"location": "store-a", "order_ref": "jar-2", "lines": [line("JAR", 1)]}
    await shop.apply(event("ship_order", "jar-left", at, left))
    sells.now = shop.now
    await sells.do(some_of(orders[2], ("1", 1)), Release(orders[1]), Release(before))
    answers.append(Done("W-3"))
    await sender.tell(connection_id)
    shop.now += timedelta(seconds=LEASE_S + 1)
    sells.now = shop.now
    assert not answers
