-- name: waiting_for
-- The parked facts that wait for one of these keys.
select a.connection_id, a.key, a.kind, a.fact_id, f.body, f.occurred_at, f.received_at, f.connection_id as own_connection_id
from unnest($1::integer[], $2::text[]) as k(connection_id, key)
join awaiting a using (connection_id, key)
join facts f on f.fact_id = a.fact_id
order by a.connection_id, a.key, a.fact_id;

-- name: park
insert into awaiting (connection_id, key, fact_id, kind)
select c, k, a, w from json_to_recordset($1::json) as n(c integer, k text, a bigint, w text);

-- name: unpark
delete from awaiting a using json_to_recordset($1::json) as n(c integer, k text, a bigint)
where a.connection_id = n.c and a.key = n.k and a.fact_id = n.a;

-- name: returns_waiting
select connection_id, key, fact_id from awaiting where fact_id = any ($1::bigint[]) and kind = 'return' order by 1, 2, 3;

-- name: count_awaiting
select count(*) from json_to_recordset($1::json) as n(c integer, k text, a bigint)
join awaiting w on w.connection_id = n.c and w.key = n.k and w.fact_id = n.a;

-- name: note_waiting
-- Held with the ledger's order: whoever begins a batch later sees it.
update ledger_head set parkings = parkings + $1, waiting = waiting + $2;

-- name: set_status
update facts set status = n.s, reason = n.r from json_to_recordset($1::json) as n(a bigint, s text, r text) where fact_id = n.a;

-- name: voids_of
select v.target_fact_id, v.void_fact_id, v.goods, f.occurred_at
from voids v join facts f on f.fact_id = v.void_fact_id where v.target_fact_id = any ($1::bigint[]);

-- name: insert_voids
insert into voids (target_fact_id, void_fact_id, goods)
select t, v, g from json_to_recordset($1::json) as n(t bigint, v bigint, g text);
