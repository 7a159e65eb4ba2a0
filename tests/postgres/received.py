"""Messages of a day in a shop, and a breach of each invariant that speaks of them."""

from evenstock.postgres import exceptions, inbox, sources
from evenstock.postgres.exceptions import Cause
from evenstock.postgres.inbox import Arrival, Settled
from hub import Hub

PLANTED_MESSAGES = {
    "v_message_body_is_intact": "update messages set body = body || ' '::bytea",
    "v_translated_message_is_booked": "update messages set keys = array['nobody booked it'] where status = 'translated'",
    "v_message_ends": "update messages set waiting_since = waiting_since - interval '11 minutes' where status = 'received'",
    "v_dead_message_is_shown": "update exceptions set closed_at = opened_at where code = 'message.untranslatable'",
    "v_file_ends": "update files set done_at = null",
    "v_inbox_keeps_what_came": "grant update (received_at) on messages to evenstock_app",
}

PLANTED_MESSAGES_TOO = (
    ("v_message_body_is_intact", "update messages set body = null where status = 'dead'"),
    ("v_message_ends", "update messages set status = 'translated' where status = 'received'"),
    ("v_message_ends", "update messages set code = null where status = 'dead'"),
    ("v_dead_message_is_shown", "update messages set exception_id = null where status = 'dead'"),
    ("v_dead_message_is_shown", "delete from messages where status = 'dead'"),
    ("v_file_ends", "update files set status = 'quarantined'"),
    ("v_inbox_keeps_what_came", "grant delete on messages to evenstock_app"),
)


def arrival(connection_id: int, vendor_id: str, shop: Hub, body: bytes = b"{}") -> Arrival:
    return Arrival(connection_id, "pos", vendor_id, vendor_id, "", {}, body, False, shop.now)


async def receive_some(shop: Hub) -> None:
    """One message that was booked, one that is a dead letter, one that waits; and all is well."""
    connection_id = await shop.db.fetchval("select connection_id from connections where id = 'pos'")
    kept = await inbox.keep(
        shop.db, [arrival(connection_id, id_, shop) for id_ in ("booked", "dead", "waits")]
    )
    cause = Cause("message.untranslatable", "message:pos::message.shape:/lines", "No list.", connection_id)
    ids = await exceptions.open_causes(shop.db, [cause], shop.now)
    booked = Settled(kept[0].message_id, ["s-1"])
    dead = Settled(
        kept[1].message_id, [], "message.shape", "No list.", "/lines", ids[cause.code, cause.subject]
    )
    await inbox.settle(shop.db, [booked, dead], [], shop.now)
    file_id = await sources.take_file(shop.db, connection_id, "day.csv", 3, b"its hash", shop.now)
    await sources.end_file(shop.db, file_id, 1, {"applied": 1}, shop.now)
