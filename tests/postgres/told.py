"""What channels are told in a day, and a breach of each invariant that speaks of it."""

from datetime import timedelta

from channel import Teller
from evenstock.connectors.contract import Done, Rejected, Unauthorized, Unknown
from evenstock.pipeline.confirm import confirm
from hub import Hub, event, line

PLANTED_TOLD = {
    "v_exposure_is_its_function": "update exposures set intended = intended - 1, was = 1 where intended > 0",
    "v_exposure_is_there": "delete from exposures where intended > 0",
    "v_exposure_is_not_above_stock": "update exposures set intended = 1000",
    "v_exposure_versions_are_in_order": "update exposures set acked_version = sent_version + 1 where acked_version is not null",
    "v_sent_exposure_is_logged": "update exposure_log set quantity = quantity + 1",
    "v_exposure_log_goes_forward": "update exposure_log set sent_at = sent_at - interval '1 day' where version = 2",
    "v_unsaid_exposure_is_due": "update exposures set due_at = null where due_at is not null",
    "v_acked_exposure_was_done": "delete from attempts where outcome = 'done'",
    "v_attempt_was_logged": "delete from exposure_log where version = 1",
    "v_number_is_done_once": "update attempts set outcome = 'done'",
    "v_later_tries_have_later_fences": "update attempts set fence = fence + 1 where version = 1 and try = 1",
    "v_refused_exposure_is_shown": "delete from exceptions where code = 'exposure.rejected'",
    "v_paused_lane_is_shown": "delete from exceptions where code = 'connection.paused'",
    "v_channel_has_its_terms": "update channels set safety_stock = safety_stock + 1",
    "v_exposing_is_not_ahead": "update exposing set ledger_seq = ledger_seq + 1000",
    "v_overwritten_exposure_is_shown": "insert into observed select channel_id, item_id, 0, computed_at, 3 from exposures",
    "v_released_number_was_confirmed": "update exposures set due_at = computed_at where due_at = 'infinity'",
    "v_waiting_number_is_kept": "delete from waiting_numbers",
    "v_told_is_append_only": "grant update (quantity) on exposure_log to evenstock_app",
}  # fmt: skip

PLANTED_TOLD_TOO = (
    ("v_exposure_is_its_function", "update positions set reserved = reserved + 1 where sellable > 0"),
    ("v_exposure_is_not_above_stock", "update positions set sellable = 0"),
    ("v_exposure_versions_are_in_order", "update exposures set sent = sent + 1 where sent_version = version"),
    ("v_exposure_log_goes_forward", "update exposure_log set ledger_seq = 0 where version = 2"),
    ("v_unsaid_exposure_is_due", "update exposures set due_at = computed_at where due_at is null"),
    ("v_attempt_was_logged", "update attempts set started_at = started_at - interval '1 s'"),
    ("v_refused_exposure_is_shown", "update exposures set refused_version = null where refused_version is not null"),
    ("v_channel_has_its_terms", "delete from channel_terms"),
    ("v_exposing_is_not_ahead", "update exposing set revision = 0"),
    ("v_released_number_was_confirmed", "update channels set confirmed_from = -1, publish_on = 'erp_confirm', confirmed_by = (select connection_id from books)"),
    ("v_waiting_number_is_kept", "delete from exposure_waits"),
    ("v_exposure_is_its_function", "update waiting_numbers set units = units + 1"),
    ("v_told_is_append_only", "grant delete on attempts to evenstock_app"),
)  # fmt: skip


async def tell_some(shop: Hub, tells: Teller) -> None:
    """Something of everything that invariants of exposures speak of, and all is well."""
    tells.now = shop.now
    skus = ("CUP", "JAR", "PAN", "POT")
    await shop.items(*skus)
    await tells.connection()
    await tells.channel("web", "store-a", safety_stock=1)

    async def happens(kind: str, id_: str, *units: int) -> None:
        lines = [line(sku, number, sku) for sku, number in zip(skus, units, strict=False)]
        earlier = shop.now - timedelta(hours=1)
        await shop.apply(event(kind, id_, earlier, {"location": "store-a", "lines": lines}))

    await happens("receipt", "pots", 9, 9, 9, 9)
    tells.system.next = [Unknown("cut off"), Done(), Rejected("not for sale")]
    await tells.say()
    tells.later(61)
    await tells.tell()
    await happens("sale", "one cup", 1)
    await tells.say()
    await tells.connection("closed")
    await tells.channel("app", "store-a", connection="closed")
    await tells.expose()
    tells.system.next = [Unauthorized("no")] * 100
    tells.system.deaf = True
    await tells.tell()


async def wait_some(tells: Teller) -> None:
    """A channel that waits for books that are not done, and one that does not and sells the same."""
    await tells.channel("patient", "store-a", publish_on="erp_confirm")
    await tells.expose()
    await confirm(tells.db, lambda: tells.now)
    assert await tells.db.fetchval("select count(*) from exposure_waits") > 0
