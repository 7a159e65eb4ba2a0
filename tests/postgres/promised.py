"""Promises of a day in a shop, and a breach of each invariant that speaks of them."""

from datetime import timedelta

from evenstock.core.reservations import Release
from evenstock.pipeline.apply import Memory
from evenstock.pipeline.orders import Orders
from evenstock.pipeline.promise import Promising
from evenstock.postgres.stock import LocationNames
from hub import Hub, event, line
from seller import Seller, allocate, confirm, some_of, wish

PLANTED_PROMISES = {
    "v_claimed_is_sum_of_open": "update positions set reserved = reserved + 1 where item_id = 1 and location_id = 1",
    "v_claim_is_sum_of_entries": "delete from claim_entries where kind = 'allocate'",
    "v_grant_within_policy": "update claim_entries set seen_safety = seen_sellable where kind = 'grant'",
    "v_claim_entry_has_batch": "update claim_entries set ledger_seq = ledger_seq + 1000 where kind = 'allocate'",
    "v_claim_has_reservation": "delete from claims where reservation_id = (select min(reservation_id) from reservations)",
    "v_ended_reservation_claims_nothing": "update reservations set status = 'released' where status = 'held'",
    "v_status_fits_claims": "update reservations set status = 'held' where status = 'allocated'",
    "v_claim_expires_with_reservation": "update claims set expires_at = expires_at + interval '1 s' where open > 0 and expires_at is not null",
    "v_hold_is_not_stale": "update reservations set expires_at = '2020-01-01' where status = 'held'",
    "v_overcommitted_is_shown": "delete from exceptions where code = 'stock.overcommitted'",
    "v_shipped_is_sum_of_shipments": "update claims set shipped = shipped + 1 where shipped > 0",
    "v_shipment_is_its_movements": "delete from shipments where reservation_id is not null",
    "v_order_event_has_fact": "update order_events set fact_id = fact_id + 1000 where kind = 'cancelled'",
    "v_placed_order_is_promised": "update order_events set reservation_id = null where kind = 'placed' and status = 'done'",
    "v_waiting_order_is_shown": "delete from exceptions where code = 'order.waits'",
    "v_shipped_without_claim_is_shown": "delete from exceptions where code = 'stock.shipped_without_claim'",
}  # fmt: skip

PLANTED_PROMISES_TOO = (
    ("v_applied_fact_has_effect", "delete from order_events where kind = 'cancelled'"),
    ("v_waiting_order_is_shown", "update order_events set status = 'owed' where status = 'waits'"),
    ("v_claim_is_sum_of_entries", "delete from claim_entries where kind = 'accept'"),
    ("v_claimed_is_sum_of_open", "update claims set closed = true where open > 0"),
    ("v_claim_is_sum_of_entries", "delete from claims where open > 0"),
    ("v_claim_entry_has_batch", "update releases set ledger_seq = ledger_seq + 1000"),
    ("v_ended_reservation_claims_nothing", "update reservations set status = 'held' where status = 'released'"),
    ("v_overcommitted_is_shown", "update positions set sellable = 1000 where reserved > 0"),
    ("v_ledger_is_append_only", "grant update (reserved) on claim_entries to evenstock_app"),
)  # fmt: skip


async def promise_some(shop: Hub, sells: Seller) -> None:
    """Something of everything that invariants of promises speak of, and all is well."""
    sells.now = shop.now
    await shop.items("MUG")
    earlier = shop.now - timedelta(hours=1)

    def told(kind: str, id_: str, units: int, **more: str) -> dict[str, object]:
        return event(kind, id_, earlier, {"location": "store-a", "lines": [line("MUG", units)], **more})

    async def hold(order_ref: str, units: int) -> int:
        return await sells.hold(order_ref, "MUG", units, at="store-a")

    await shop.apply(told("receipt", "mugs", 20))
    await hold("held", 2)
    worked, part, gone, sent = (
        await hold("worked", 3),
        await hold("part", 4),
        await hold("gone", 1),
        await hold("sent", 2),
    )
    await sells.do(confirm(worked), allocate(worked), some_of(part, ("1", 3)), Release(gone), confirm(sent))
    await sells.do(wish("key", ("MUG", 1), at="store-a", key="k-1"))
    await shop.apply(
        told("ship_order", "sent", 2, order_ref="sent"), told("ship_order", "lost", 1, order_ref="never seen")
    )
    await shop.apply(told("sale", "many", 15))
    await sells.channel("orders", "store-a")

    def ordered(kind: str, ref: str, *lines: dict[str, object]) -> dict[str, object]:
        what = {"channel": "orders", "order_ref": ref} | ({"lines": list(lines)} if lines else {})
        return event(kind, f"{kind}-{ref}", earlier, what)

    await shop.apply(
        ordered("order", "taken", line("MUG", 9)),
        ordered("order", "odd", line("NOBODY-KNOWS", 1)),
        ordered("cancel", "early"),
    )
    taker = Orders(Promising(Memory(), LocationNames()), lambda: shop.now)
    while await taker.round(shop.db):
        pass
