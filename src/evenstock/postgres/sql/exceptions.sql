-- name: open_exceptions
-- One open exception for each cause: the one that is open, or a new one.
insert into exceptions as e (code, subject, connection_id, item_id, location_id, detail, opened_at, last_seen_at, hour_at, regressed_from)
select c, s, o, i, l, d, $2::timestamptz, $2, date_trunc('hour', $2, 'UTC'),
    (select max(p.exception_id) from exceptions p where p.subject = n.s and p.code = n.c and p.closed_at is not null)
from json_to_recordset($1::json) as n(c text, s text, o integer, i integer, l integer, d text)
order by c, s
on conflict (code, subject) where closed_at is null do update set detail = excluded.detail, hits = e.hits + 1,
    last_seen_at = greatest(e.last_seen_at, excluded.last_seen_at), hour_at = greatest(e.hour_at, excluded.hour_at),
    hour_hits = case when excluded.hour_at > e.hour_at then 1 else e.hour_hits + 1 end,
    hour_before = case when excluded.hour_at = e.hour_at + interval '1 hour' then e.hour_hits
        when excluded.hour_at > e.hour_at then 0 else e.hour_before end
returning exception_id, code, subject;

-- name: close_exceptions
update exceptions e set closed_at = $2
from json_to_recordset($1::json) as n(c text, s text)
where e.code = n.c and e.subject = n.s and e.closed_at is null;

-- name: hold_lines
insert into held_lines (fact_id, line_index, code, subject, exception_id, occurred_at, units)
select a, i, c, s, e, o, u from json_to_recordset($1::json) as n(a bigint, i integer, c text, s text, e bigint, o timestamptz, u numeric)
on conflict (fact_id, line_index) do update set code = excluded.code, subject = excluded.subject, exception_id = excluded.exception_id
where held_lines.settled_at is null;

-- name: lines_to_release
-- Lines that wait for one of these subjects, oldest first. Nothing is locked: that they still wait is asked again with the
-- ledger's order held, under which alone held lines change.
select h.fact_id, h.line_index, h.subject, h.exception_id, f.connection_id, f.key, f.type, f.body, f.received_at, h.occurred_at
from held_lines h join facts f using (fact_id)
where h.subject = any ($1::text[]) and h.settled_at is null and (h.occurred_at, h.fact_id, h.line_index) > ($2, $3, $4)
order by h.occurred_at, h.fact_id, h.line_index
limit $5;

-- name: unsettled_lines
-- The lines of a fact that still wait.
select line_index from held_lines where fact_id = $1 and settled_at is null order by line_index;

-- name: held_voids
-- Voids of this fact that wait for who owns sales to be settled.
select h.fact_id
from held_lines h join facts f using (fact_id)
where h.settled_at is null and h.code in ('ownership.other', 'ownership.disputed') and f.type = 'FactVoided.v1'
    and f.body::json #>> '{data,target,source}' = $1 and f.body::json #>> '{data,target,id}' = $2
order by 1;

-- name: count_unsettled
select count(*) from json_to_recordset($1::json) as n(a bigint, i integer)
join held_lines h on h.fact_id = n.a and h.line_index = n.i where h.settled_at is null;

-- name: settle_lines
update held_lines h set settled_at = $2, settled_seq = $3
from json_to_recordset($1::json) as n(a bigint, i integer)
where h.fact_id = n.a and h.line_index = n.i and h.settled_at is null;

-- name: drop_lines
-- The held lines of a fact that was voided are dropped.
update held_lines set settled_at = $2, settled_seq = $3 where fact_id = any ($1::bigint[]) and settled_at is null;

-- name: close_settled_exceptions
-- Exceptions of held lines end when no line waits under them.
update exceptions e set closed_at = $1
where e.closed_at is null
    and (e.code in ('stock.unknown_item', 'stock.unknown_location', 'stock.unknown_uom', 'stock.too_precise', 'count.from_the_future',
        'quantity.not_positive', 'quantity.too_large', 'event.time')
        or (e.code in ('ownership.other', 'ownership.disputed') and e.subject like 'owner:store\_sales:%'))
    and not exists (select from held_lines h where h.exception_id = e.exception_id and h.settled_at is null);

-- name: facts_held
-- Which of these facts have the status of facts of which nothing is booked.
select fact_id from facts where fact_id = any ($1::bigint[]) and status = 'held';

-- name: keep_conflicts
insert into key_conflicts (connection_id, key, body_sha256, body, exception_id, received_at)
select n.c, n.k, sha256(convert_to(n.b, 'UTF8')), n.b, n.e, $2 from json_to_recordset($1::json) as n(c integer, k text, b text, e bigint)
on conflict (connection_id, key, body_sha256) do nothing;

-- name: keep_rejected
insert into rejected_events (key_id, code, detail, body, exception_id, received_at)
select $1, r.code, r.detail, r.body, $5, $6 from unnest($2::text[], $3::text[], $4::bytea[]) as r(code, detail, body);
