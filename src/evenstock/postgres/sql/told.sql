-- name: terms_at
-- A channel's terms as they were at a number of the ledger, with its first ones where it was not there yet.
select c.channel_id, c.id, t.ledger_seq, t.location_ids, t.safety_stock, t.connection_id, t.buckets, t.own_orders_back, t.decimals
from channels c
left join lateral (
    select * from channel_terms t where t.channel_id = c.channel_id and t.ledger_seq <= $2 order by t.ledger_seq desc limit 1
) t on true
where c.id = $1;

-- name: exposures_of
-- What a channel should see of items, what it was sent and confirmed.
select i.sku, i.scale, e.version, coalesce(n.units, e.intended) as intended, case when n.item_id is null then e.because else n.because end as because,
    case when n.item_id is null then e.trace_id else n.trace_id end as trace_id, e.sent, e.sent_version, e.sent_at, e.acked, e.acked_version, e.acked_at,
    case when e.unsettled then 'unknown' when w.item_id is not null then 'withheld' when e.refused_version = e.version then 'refused'
        when e.due_at is null then 'told' when c.connection_id is null or c.publish_on = 'never' then 'withheld' else 'owed' end as status,
    w.since as waits_since, b.id as waits_for, w.posting_id as waits_posting, p.refused_detail as waits_detail
from channels c
join exposures e using (channel_id)
join items i using (item_id)
left join exposure_waits w on w.channel_id = e.channel_id and w.item_id = e.item_id
left join lateral (
    select * from waiting_numbers x where x.channel_id = e.channel_id and x.item_id = e.item_id order by x.ledger_seq desc limit 1
) n on true
left join connections b on b.connection_id = c.confirmed_by
left join postings p on p.posting_id = w.posting_id
where c.id = $1 and i.sku = any ($2::text[]);

-- name: told_at
-- What a channel had been sent of an item at an instant, and what had become of it by then.
select i.scale, l.version, l.quantity, l.because, l.trace_id, l.sent_at, a.outcome, a.ended_at, d.version as acked_version, d.quantity as acked,
    d.ended_at as acked_at
from channels c
cross join items i
join lateral (
    select * from exposure_log l where l.channel_id = c.channel_id and l.item_id = i.item_id and l.sent_at <= $3 order by l.version desc limit 1
) l on true
left join lateral (
    select a.outcome, a.ended_at from attempts a
    where a.channel_id = c.channel_id and a.item_id = i.item_id and a.version = l.version and a.ended_at <= $3 order by a.try desc limit 1
) a on true
left join lateral (
    select a.version, a.ended_at, o.quantity from attempts a join exposure_log o using (channel_id, item_id, version)
    where a.channel_id = c.channel_id and a.item_id = i.item_id and a.outcome = 'done' and a.ended_at <= $3 order by a.version desc limit 1
) d on true
where c.id = $1 and i.sku = $2;

-- name: own_then
-- What orders of a channel claimed of an item at a number of the ledger, by location.
select e.location_id, sum(e.reserved + e.allocated)::bigint as units
from items i
join claim_entries e using (item_id)
join reservations r using (reservation_id)
where i.sku = $1 and e.ledger_seq <= $2 and r.channel_id = $3
group by e.location_id;

-- name: promises_then
-- The reservations that claimed an item at these locations at a number of the ledger; of those that are open now only what is
-- not over its time.
select r.reservation_id, r.order_ref, c.id as channel, e.location, e.reserved, e.allocated
from (
    select e.reservation_id, l.id as location, sum(e.reserved)::bigint as reserved, sum(e.allocated)::bigint as allocated
    from items i join claim_entries e using (item_id)
    join locations l using (location_id)
    where i.sku = $1 and e.ledger_seq <= $2 and l.id = any ($5::text[])
    group by e.reservation_id, l.id
    having sum(e.reserved) <> 0 or sum(e.allocated) <> 0
) e
join reservations r using (reservation_id)
left join channels c using (channel_id)
where $3::timestamptz is null or r.expires_at is null or r.expires_at > $3
order by r.reservation_id, e.location
limit $4;

-- name: exposures
-- What channels should see, what changed last first; the cursor is (revision, channel_id, item_id) of the last row seen.
select e.revision, e.channel_id, e.item_id, c.id as channel, i.sku, i.scale, k.id as connection, e.version, coalesce(n.units, e.intended) as intended,
    coalesce(n.ledger_seq, e.ledger_seq) as ledger_seq, coalesce(n.computed_at, e.computed_at) as computed_at,
    case when n.item_id is null then e.because else n.because end as because, case when n.item_id is null then e.trace_id else n.trace_id end as trace_id,
    e.sent, e.sent_version, e.sent_at, e.acked, e.acked_version, e.acked_at, e.tries, nullif(e.due_at, 'infinity') as due_at,
    o.quantity as observed, o.observed_at,
    case when e.unsettled then 'unknown' when w.item_id is not null then 'withheld' when e.refused_version = e.version then 'refused'
        when e.due_at is null then 'told' when c.connection_id is null or c.publish_on = 'never' then 'withheld' else 'owed' end as status,
    w.since as waits_since, b.id as waits_for, w.posting_id as waits_posting, p.refused_detail as waits_detail
from exposures e
join channels c using (channel_id)
join items i using (item_id)
left join connections k on k.connection_id = e.connection_id
left join observed o on o.channel_id = e.channel_id and o.item_id = e.item_id
left join exposure_waits w on w.channel_id = e.channel_id and w.item_id = e.item_id
left join lateral (
    select * from waiting_numbers x where x.channel_id = e.channel_id and x.item_id = e.item_id order by x.ledger_seq desc limit 1
) n on true
left join connections b on b.connection_id = c.confirmed_by
left join postings p on p.posting_id = w.posting_id
where (e.revision, e.channel_id, e.item_id) < ($1, $2, $3)
    and ($4::text is null or c.id = $4) and ($5::text is null or i.sku = $5)
    and (not $6 or e.due_at is not null or w.item_id is not null or e.refused_version = e.version)
order by e.revision desc, e.channel_id desc, e.item_id desc
limit $7;

-- name: log
-- Numbers sent to a channel, newest first, each with what became of it; the cursor is (sent_at, item_id, version).
select l.item_id, l.sent_at, c.id as channel, i.sku, i.scale, k.id as connection, l.version, l.quantity, l.ledger_seq, l.computed_at, l.because, l.trace_id,
    a.outcome, a.detail, a.ended_at, a.tries
from channels c
join exposure_log l using (channel_id)
join items i using (item_id)
left join connections k on k.connection_id = l.connection_id
left join lateral (
    select count(*) over () as tries, a.outcome, a.detail, a.ended_at from attempts a
    where a.channel_id = l.channel_id and a.item_id = l.item_id and a.version = l.version order by a.try desc limit 1
) a on true
where c.id = $1 and (l.sent_at, l.item_id, l.version) < ($2, $3, $4) and l.sent_at >= coalesce($5::timestamptz, '-infinity')
    and ($6::text is null or l.item_id = (select item_id from items where sku = $6))
order by l.sent_at desc, l.item_id desc, l.version desc
limit $7;
