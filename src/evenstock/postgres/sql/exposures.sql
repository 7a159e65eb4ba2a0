-- name: behind
-- Whether there is anything to compute: cheap, for it is asked many times a second.
select (select max(ledger_seq) from channel_terms) is not null
    and (h.ledger_seq > x.ledger_seq or exists (select from exposure_refreshes)) as is_behind
from exposing x, ledger_head h;

-- name: take_turn
-- One process computes at a time; the others pass by.
select ledger_seq, revision from exposing for update skip locked;

-- name: wait_turn
-- The same, for who has to have it.
select from exposing for update;

-- name: terms_now
-- The terms of every channel, the newest of each, and the first that any channel ever had.
select distinct on (t.channel_id) t.channel_id, t.ledger_seq, t.location_ids, t.safety_stock, t.connection_id, t.buckets,
    t.own_orders_back, t.decimals, c.publish_on = 'erp_confirm' as waits, (select min(ledger_seq) from channel_terms) as first_seq
from channel_terms t join channels c using (channel_id)
order by t.channel_id, t.ledger_seq desc;

-- name: begin_refreshes
insert into exposure_refreshes (channel_id, after_item_id) select x, 0 from unnest($1::integer[]) as x order by 1
on conflict (channel_id) do update set after_item_id = 0;

-- name: to_refresh
-- The next items of channels that are computed anew: where the channel sells, and what it was told before.
select f.channel_id, n.item_id
from exposure_refreshes f
cross join lateral (select location_ids from channel_terms t where t.channel_id = f.channel_id order by t.ledger_seq desc limit 1) t
cross join lateral (
    select i.item_id from items i
    where i.item_id > f.after_item_id
        and (exists (select from positions p where p.item_id = i.item_id and p.location_id = any (t.location_ids))
            or exists (select from exposures e where e.channel_id = f.channel_id and e.item_id = i.item_id))
    order by i.item_id
    limit $1
) n
order by 1, 2;

-- name: advance_refresh
update exposure_refreshes set after_item_id = $2 where channel_id = $1;

-- name: end_refresh
delete from exposure_refreshes where channel_id = $1;

-- name: look
-- In one snapshot: what changed after $1 in at most $2 numbers of the ledger, and the items $3; for each its positions as they
-- are at `head`, what its channels ($4, those whose system takes off its own orders) claim there, and its newest cause.
with head as (
    select h.ledger_seq, least(h.ledger_seq, $1 + $2) as upto, h.tag, b.recorded_at as since, (select max(ledger_seq) from channel_terms) as terms_seq
    from ledger_head h
    left join batches b on b.ledger_seq = $1 + 1
), caused as (
    select m.item_id, m.ledger_seq, m.ordinal, m.why as because, m.fact_id, null::bigint as reservation_id from head h
    join movements m on m.ledger_seq > $1 and m.ledger_seq <= h.upto and m.recorded_at >= h.since
    union all
    select c.item_id, c.ledger_seq, c.ordinal - 1000000, c.kind, null, c.reservation_id from head h
    join claim_entries c on c.ledger_seq > $1 and c.ledger_seq <= h.upto
), newest as (
    select distinct on (item_id) item_id, because, fact_id, reservation_id from caused order by item_id, ledger_seq desc, ordinal desc
), wanted as (
    select coalesce(n.item_id, x.item_id) as item_id, n.because, n.fact_id, n.reservation_id from newest n full join unnest($3::integer[]) as x(item_id) using (item_id)
)
select h.ledger_seq, h.upto, h.terms_seq, i.item_id, i.scale, w.because,
    case when f.fact_id is not null then coalesce(f.trace_id, h.tag || lpad(to_hex(f.fact_id), 16, '0'))
        when r.reservation_id is not null then coalesce(r.trace_id, h.tag || '8' || lpad(to_hex(r.reservation_id), 15, '0')) end as trace_id,
    p.locations, p.sellable, p.quarantine, p.damaged, p.in_transit, p.reserved, p.allocated,
    case when cardinality($4::integer[]) > 0 then (
        select json_agg(json_build_array(r.channel_id, c.location_id, c.open))
        from claims c join reservations r using (reservation_id)
        where c.item_id = i.item_id and c.open > 0 and r.channel_id = any ($4)
    ) end as own
from head h
left join wanted w on true
left join items i using (item_id)
left join facts f on f.fact_id = w.fact_id
left join reservations r on r.reservation_id = w.reservation_id
left join lateral (
    select array_agg(location_id) as locations, array_agg(sellable) as sellable, array_agg(quarantine) as quarantine,
        array_agg(damaged) as damaged, array_agg(in_transit) as in_transit, array_agg(reserved) as reserved, array_agg(allocated) as allocated
    from positions p where p.item_id = i.item_id and p.location_id = any ($5::integer[])
) p on i.item_id is not null;

-- name: known
-- What channels were last meant to see of these items, and for whom; of what waits for the books by older terms no number.
select e.channel_id, e.item_id, case when n.ledger_seq is null then e.intended when n.ledger_seq >= t.ledger_seq then n.units end as intended,
    case when n.ledger_seq is null then e.connection_id else n.connection_id end as connection_id
from exposures e
left join lateral (
    select * from waiting_numbers w where w.channel_id = e.channel_id and w.item_id = e.item_id order by w.ledger_seq desc limit 1
) n on true
left join lateral (
    select max(s.ledger_seq) as ledger_seq from channel_terms s where n.ledger_seq is not null and s.channel_id = e.channel_id
) t on true
where e.item_id = any ($1::integer[]);

-- name: intend
-- New numbers. A number that the system already has, with nothing under way, is not told again; a new connection is told all.
-- Tells which of them need not be told.
insert into exposures as e (channel_id, item_id, connection_id, version, intended, ledger_seq, computed_at, because, trace_id, revision, rank, due_at)
select c, i, k, f.base + 1, q, $2, $3, b, t, $4, r, $3
from json_to_recordset($1::json) as n(c integer, i integer, k integer, q bigint, b text, t text, r smallint), (select max(base) as base from fences) f
order by c, i
on conflict (channel_id, item_id) do update set
    version = e.version + 1, was = case when e.due_at = 'infinity' then e.acked else e.intended end, intended = excluded.intended, ledger_seq = excluded.ledger_seq,
    computed_at = excluded.computed_at, because = excluded.because, trace_id = excluded.trace_id, revision = excluded.revision,
    rank = excluded.rank,
    connection_id = excluded.connection_id,
    due_at = case
        when e.connection_id is distinct from excluded.connection_id then excluded.due_at
        when e.unsettled then e.due_at
        when e.acked is distinct from excluded.intended then least(e.due_at, excluded.due_at) end,
    unsettled = e.unsettled and e.connection_id is not distinct from excluded.connection_id,
    sent_version = case when e.connection_id is not distinct from excluded.connection_id then e.sent_version end,
    sent = case when e.connection_id is not distinct from excluded.connection_id then e.sent end,
    acked_version = case when e.connection_id is not distinct from excluded.connection_id then e.acked_version end,
    acked = case when e.connection_id is not distinct from excluded.connection_id then e.acked end,
    refused_version = case when e.connection_id is not distinct from excluded.connection_id then e.refused_version end
returning channel_id, item_id, due_at is null as is_told;

-- name: end_turn
update exposing set ledger_seq = $1, revision = $2;

-- name: refreshing
select channel_id from exposure_refreshes order by 1;

-- name: changed_terms
-- Channels, of these or of all, whose terms are not the last that were written; what a number means comes from their
-- connection's connector.
select c.channel_id, c.location_ids, c.safety_stock, c.connection_id, coalesce(b.b, '{sellable}') as buckets,
    coalesce(b.o, false) as own_orders_back, coalesce(b.d, 6) as decimals
from channels c
left join connections k on k.connection_id = c.connection_id
left join json_to_recordset($1::json) as b(c text, b text[], o boolean, d smallint) on b.c = k.connector
left join lateral (
    select * from channel_terms t where t.channel_id = c.channel_id order by t.ledger_seq desc limit 1
) t on true
where (t.location_ids, t.safety_stock, t.connection_id, t.buckets, t.own_orders_back, t.decimals) is distinct from
    (c.location_ids, c.safety_stock, c.connection_id, coalesce(b.b, '{sellable}'), coalesce(b.o, false), coalesce(b.d, 6::smallint))
    and ($2::text[] is null or c.id = any ($2) or k.id = any ($2))
order by 1;

-- name: insert_terms
insert into channel_terms (channel_id, ledger_seq, location_ids, safety_stock, connection_id, buckets, own_orders_back, decimals)
select c, $1, l, s, k, b, o, d
from json_to_recordset($2::json) as n(c integer, l integer[], s bigint, k integer, b text[], o boolean, d smallint);
