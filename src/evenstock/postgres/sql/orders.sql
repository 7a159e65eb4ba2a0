-- What events say of orders, and what became of it.

-- name: owe
-- In the transaction that takes the fact.
insert into order_events (fact_id, kind, channel, order_ref, due_at)
select a, k, c, o, t from json_to_recordset($1::json) as n(a bigint, k text, c text, o text, t timestamptz);

-- name: due
-- What is to be looked at, in the order in which it came. Those of one order that come after one that is not due wait with it.
select o.fact_id, o.kind, o.channel, o.order_ref, o.status, f.connection_id, k.id as source, f.body, f.received_at,
    coalesce(f.trace_id, h.tag || lpad(to_hex(f.fact_id), 16, '0')) as trace_id
from order_events o join facts f using (fact_id) join connections k using (connection_id) cross join ledger_head h
where o.status <> 'done' and o.due_at <= $1
order by o.fact_id limit $2;

-- name: reservation_of
-- The newest reservation of each order.
select distinct on (k.channel, k.order_ref) k.channel, k.order_ref, r.reservation_id
from unnest($1::text[], $2::text[]) as k(channel, order_ref)
join reservations r on r.order_ref = k.order_ref join channels c on c.channel_id = r.channel_id and c.id = k.channel
order by k.channel, k.order_ref, r.reservation_id desc;

-- name: settle
update order_events o set status = n.s, code = n.c, reservation_id = coalesce(n.r, o.reservation_id), due_at = n.d,
    settled_at = case when n.s = 'done' then $2::timestamptz end
from json_to_recordset($1::json) as n(a bigint, s text, c text, r bigint, d timestamptz) where o.fact_id = n.a;

-- name: withdraw
-- Orders that were never promised, and are cancelled: there is nothing to promise any more. Those that came before their cancellation.
update order_events o set status = 'done', code = 'order.cancelled', settled_at = $2
from json_to_recordset($1::json) as n(a bigint, c text, o text)
where o.kind = 'placed' and o.status <> 'done' and o.channel = n.c and o.order_ref = n.o and o.fact_id < n.a
returning o.channel, o.order_ref;

-- name: wake
-- Cancellations that waited for these orders are looked at again.
update order_events o set due_at = $2
from json_to_recordset($1::json) as n(c text, o text)
where o.kind = 'cancelled' and o.status = 'parked' and o.channel = n.c and o.order_ref = n.o;
