-- name: wait
-- Numbers that are not told before the books have what is behind them; a channel that never heard of the item gets the number as
-- one that is not due. What waited by older terms counts for nothing, and of many numbers the newest takes the place of the last.
with new as (
    select n.*, row_number() over (order by c, i) as place, t.ledger_seq as terms_seq,
        (select count(*) from waiting_numbers x where x.channel_id = n.c and x.item_id = n.i and x.ledger_seq >= t.ledger_seq) as number
    from json_to_recordset($1::json) as n(c integer, i integer, k integer, q bigint, b text, t text, r smallint)
    cross join lateral (select max(s.ledger_seq) as ledger_seq from channel_terms s where s.channel_id = n.c) t
), gone as (
    delete from waiting_numbers w using new n
    where w.channel_id = n.c and w.item_id = n.i
        and (w.ledger_seq < n.terms_seq or (n.number >= $5 and w.ledger_seq = (
            select max(x.ledger_seq) from waiting_numbers x where x.channel_id = n.c and x.item_id = n.i)))
), kept as (
    insert into waiting_numbers (channel_id, item_id, ledger_seq, connection_id, units, computed_at, because, trace_id, rank)
    select c, i, $2, k, q, $3, b, t, r from new order by place
), waits as (
    insert into exposure_waits (channel_id, item_id, since) select c, i, $3 from new order by place
    on conflict (channel_id, item_id) do nothing
)
insert into exposures (channel_id, item_id, connection_id, version, intended, ledger_seq, computed_at, because, trace_id, revision, rank, due_at)
select c, i, k, f.base + 1, q, $2, $3, b, t, $4, r, 'infinity' from new, (select max(base) as base from fences) f order by place
on conflict (channel_id, item_id) do nothing;

-- name: hold_back
-- Numbers of a channel that are not told yet, and that from now on wait for the books.
with held as (
    update exposures set due_at = 'infinity' where channel_id = $1 and due_at < 'infinity' and not unsettled returning *
), kept as (
    insert into waiting_numbers (channel_id, item_id, ledger_seq, connection_id, units, computed_at, because, trace_id, rank)
    select channel_id, item_id, ledger_seq, connection_id, intended, computed_at, because, trace_id, rank from held
    on conflict (channel_id, item_id, ledger_seq) do nothing
)
insert into exposure_waits (channel_id, item_id, since) select channel_id, item_id, computed_at from held
on conflict (channel_id, item_id) do nothing;

-- name: look_again
-- Other terms, another policy or other books: what these channels wait for is looked for anew.
update exposure_waits set blocked_seq = null, posting_id = null, line = null where channel_id = any ($1::integer[]);

-- name: waiting
select exists (select from exposure_waits);

-- name: to_look_at
-- Waits whose cause is gone or not known.
select w.channel_id, w.item_id
from exposure_waits w
join channels c using (channel_id)
left join books b on b.connection_id = c.confirmed_by
left join postings p on p.posting_id = w.posting_id
where w.blocked_seq is null or c.publish_on <> 'erp_confirm' or (w.posting_id is null and b.ledger_seq >= w.blocked_seq)
    or p.status in ('done', 'nothing', 'shadow')
    or (p.status = 'partly' and exists (select from posting_line_ends s where s.posting_id = w.posting_id and s.line = w.line
        and (s.is_confirmed or s.stands_in <> w.posting_id)))
order by w.since limit $1;

-- name: blocked
-- For each channel and item the first movement, at a location that the channel sells from, that its books have not acknowledged: in
-- a posting, or in none yet. Of the postings only those from the first open one, or the first with an open line, are looked at.
with opened as materialized (
    select b.connection_id, b.ledger_seq, least(
        (select min(p.posting_id) from postings p where p.connection_id = b.connection_id and p.status in ('owed', 'unknown', 'rejected')),
        (select min(l.posting_id) from posting_lines l join postings p using (posting_id) join posting_line_ends s using (posting_id, line)
            where l.refused_code is not null and p.connection_id = b.connection_id and not s.is_confirmed)) as posting_id
    from books b
)
select x.channel_id, x.item_id, c.publish_on, f.ledger_seq, f.posting_id, f.line
from unnest($1::integer[], $2::integer[]) as x(channel_id, item_id)
join channels c using (channel_id)
left join opened b on b.connection_id = c.confirmed_by and c.publish_on = 'erp_confirm'
left join lateral (
    select t.location_ids from channel_terms t where t.channel_id = x.channel_id order by t.ledger_seq desc limit 1
) t on true
left join lateral (
    select u.* from (
        select e.ledger_seq, s.stands_in as posting_id, l.line
        from posting_lines l
        join postings p on p.posting_id = l.posting_id and p.connection_id = b.connection_id
        join posting_line_ends s on s.posting_id = l.posting_id and s.line = l.line and not s.is_confirmed
        join posting_entries e on e.posting_id = l.posting_id and e.line = l.line
        where l.item_id = x.item_id and l.location_id = any (t.location_ids) and l.posting_id >= b.posting_id
        union all
        select m.ledger_seq, null, null
        from movements m
        where m.ledger_seq > b.ledger_seq and m.recorded_at >= (select recorded_at from batches where ledger_seq = b.ledger_seq + 1)
            and m.item_id = x.item_id and m.location_id = any (t.location_ids)
            and (m.to_place in ('sellable', 'quarantine', 'damaged')) <> (m.from_place in ('sellable', 'quarantine', 'damaged'))
    ) u order by u.ledger_seq limit 1
) f on true
order by 1, 2;

-- name: released
-- The newest number before what blocks it, by the terms that hold where the books decide; and whether the exposure is that number
-- already. Of an older number than the exposure's nothing is told.
select n.channel_id, n.item_id, n.ledger_seq, n.connection_id, n.units, n.computed_at, n.because, n.trace_id, n.rank,
    n.ledger_seq < e.ledger_seq or (e.intended = n.units and e.connection_id is not distinct from n.connection_id and e.due_at is distinct from 'infinity')
        as is_told
from json_to_recordset($1::json) as x(c integer, i integer, s bigint, w boolean)
cross join lateral (
    select w.* from waiting_numbers w
    where w.channel_id = x.c and w.item_id = x.i and (x.s is null or w.ledger_seq < x.s)
        and (not x.w or w.ledger_seq >= (select max(t.ledger_seq) from channel_terms t where t.channel_id = x.c))
    order by w.ledger_seq desc limit 1
) n
join exposures e on e.channel_id = n.channel_id and e.item_id = n.item_id
order by n.ledger_seq, n.computed_at, n.channel_id, n.item_id;

-- name: drop_released
delete from waiting_numbers w using unnest($1::integer[], $2::integer[], $3::bigint[]) as x(c, i, s)
where w.channel_id = x.c and w.item_id = x.i and w.ledger_seq <= x.s;

-- name: note
-- What still waits, and for what.
update exposure_waits w set blocked_seq = x.s, posting_id = x.p, line = x.l, since = n.since
from json_to_recordset($1::json) as x(c integer, i integer, s bigint, p bigint, l integer)
cross join lateral (select min(n.computed_at) as since from waiting_numbers n where n.channel_id = x.c and n.item_id = x.i) n
where w.channel_id = x.c and w.item_id = x.i and n.since is not null;

-- name: end_waits
delete from exposure_waits w using unnest($1::integer[], $2::integer[]) as x(c, i)
where w.channel_id = x.c and w.item_id = x.i
    and not exists (select from waiting_numbers n where n.channel_id = x.c and n.item_id = x.i);
