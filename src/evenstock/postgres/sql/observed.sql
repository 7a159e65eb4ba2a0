-- name: take
-- Connections whose turn it is to be looked at, of these connectors; whoever takes one looks. Where somebody asked for a look it is
-- sooner ($5).
insert into observings as o (connection_id, sampled_at, passed_at)
select k.connection_id, $1::timestamptz, case when $4::boolean then $1::timestamptz end
from connections k
left join observings l using (connection_id)
where k.connector = any ($2::text[]) and k.flow <> 'off' and k.handling <> 'paused'
    and (coalesce(case when $4::boolean then l.passed_at else l.sampled_at end, '-infinity') <= $3
        or (not $4::boolean and l.sampled_at <= $5 and exists (
            select from looks_asked a join channels c using (channel_id) where c.connection_id = k.connection_id)))
    and exists (select from exposures e join channels c using (channel_id) where c.connection_id = k.connection_id and e.acked is not null)
order by k.connection_id
on conflict (connection_id) do update set
    sampled_at = case when $4::boolean then o.sampled_at else excluded.sampled_at end,
    passed_at = coalesce(excluded.passed_at, o.passed_at)
where coalesce(case when $4::boolean then o.passed_at else o.sampled_at end, '-infinity') <= $3
    or (not $4::boolean and o.sampled_at <= $5)
returning connection_id;

-- name: targets
-- What a connection confirmed and owes no other number for: what somebody asked for, then what was not looked at for longest.
select e.channel_id, e.item_id, c.id as channel, i.sku, i.scale, k.code
from channels c
join exposures e using (channel_id)
join items i using (item_id)
left join observed o on o.channel_id = e.channel_id and o.item_id = e.item_id
left join looks_asked a on a.channel_id = e.channel_id and a.item_id = e.item_id
left join lateral (select min(code) as code from item_codes x where x.connection_id = $1 and x.item_id = e.item_id) k on true
where c.connection_id = $1 and e.connection_id = $1 and e.due_at is null and e.acked is not null
order by a.asked_at nulls last, o.observed_at nulls first, e.channel_id, e.item_id
limit $2;

-- name: named
-- Items of a channel by the names that a system's own statement has for them.
select c.channel_id, i.item_id, i.scale, t.n
from json_to_recordset($2::json) as t(n integer, h text, s text, k text)
join channels c on c.id = t.h and c.connection_id = $1
left join lateral (select min(x.item_id) as item_id from item_codes x where x.connection_id = $1 and x.code = t.k) x on true
join items i on i.item_id = x.item_id or (x.item_id is null and i.sku = t.s);

-- name: note
-- What was seen, of numbers that were settled before the look began and are still. What strays once may be a sale that is on its way
-- to us; what strays again is told again; what strays a third time is a person's.
with seen as (
    select * from json_to_recordset($2::json) as t(c integer, i integer, q bigint)
), fits as (
    select s.c, s.i, s.q, e.acked from seen s
    join exposures e on e.channel_id = s.c and e.item_id = s.i
    where e.connection_id = $1 and e.due_at is null and e.acked is not null and e.acked_at < $3::timestamptz
    order by s.c, s.i for update of e
), noted as (
    insert into observed as o (channel_id, item_id, quantity, observed_at, strays)
    select c, i, q, $4::timestamptz, (q <> acked)::integer from fits
    on conflict (channel_id, item_id) do update set quantity = excluded.quantity, observed_at = excluded.observed_at,
        strays = case when excluded.strays = 0 then 0 else o.strays + 1 end
    returning channel_id, item_id, quantity, strays
), answered as (
    delete from looks_asked a using noted n where a.channel_id = n.channel_id and a.item_id = n.item_id
), again as (
    update exposures e set version = version + 1, due_at = $4::timestamptz, tries = 0, acked = null, acked_version = null, acked_at = null, because = 'observed'
    from noted n where n.strays = 2 and e.channel_id = n.channel_id and e.item_id = n.item_id
)
select n.channel_id, n.item_id, n.quantity, n.strays, f.acked, c.id as channel, i.sku, i.scale
from noted n
join fits f on f.c = n.channel_id and f.i = n.item_id
join channels c on c.channel_id = n.channel_id
join items i on i.item_id = n.item_id;
