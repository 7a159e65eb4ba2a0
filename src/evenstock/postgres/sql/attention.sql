-- What needs a person: exceptions as people see them, what they do about them, and where to find them by any business key.

-- name: exceptions
-- Newest first, each with what waits under it and its state: the first of these that fits. $5 now, $6 causes that mostly end by
-- themselves, $7 only these, $8 only of this state, $9 only of this owner.
with seen as (
    select e.*, c.id as source, i.sku, i.scale, i.unit_value, i.value_currency, l.id as location, w.lines, w.facts, coalesce(y.units, v.units, w.units) as held_units, coalesce(y.worth, v.worth) as owed_worth, coalesce(y.currency, v.currency) as owed_currency, w.oldest_at, w.newest_at, m.messages,
        o.orders, p.closed_at as regressed_at,
        case e.code
            when 'stock.negative' then -least(s.sellable, s.quarantine, s.damaged)
            when 'stock.in_transit_negative' then -s.in_transit
            when 'stock.overcommitted' then s.reserved + s.allocated - greatest(s.sellable, 0)
            when 'transfer.short' then z.short
            when 'exposure.rejected' then x.off when 'exposure.delayed' then x.off
        end / power(10::numeric, i.scale) as short_by,
        case when e.code = 'stock.negative' then case least(s.sellable, s.quarantine, s.damaged)
            when s.sellable then 'sellable' when s.quarantine then 'quarantine' else 'damaged' end end as bucket,
        case
            when e.closed_at is not null then 'resolved'
            when e.ignored_until > $5 then 'ignored'
            when m.again > 0 then 'resolving'
            when e.hour_at > $5 - interval '2 hours' and e.hour_hits >= 10 and e.hour_hits > 2 * e.hour_before then 'escalating'
            when e.owner is null and e.opened_at < $5 - interval '24 hours' and e.code <> all ($6::text[]) then 'escalating'
            when e.waiting_for is not null then 'waiting'
            when e.owner is null and p.closed_at > e.opened_at - interval '7 days' then 'regressed'
            when e.code = any ($6) then 'waiting'
            when e.owner is null and e.opened_at > $5 - interval '1 hour' then 'new'
            else 'ongoing'
        end as state
    from exceptions e
    left join connections c using (connection_id)
    left join items i using (item_id)
    left join locations l using (location_id)
    left join exceptions p on p.exception_id = e.regressed_from
    left join positions s on e.closed_at is null and s.item_id = e.item_id and s.location_id = e.location_id
    left join lateral (
        select max(abs(x.intended - coalesce(x.acked, 0))) as off
        from exposures x where e.code like 'exposure.%' and e.closed_at is null and e.subject = 'exposure:' || x.channel_id || ':' || x.item_id
            and x.item_id = e.item_id
    ) as x on true
    left join lateral (
        select sum(t.shipped - t.received)::bigint as short from transfers t
        where e.code = 'transfer.short' and e.closed_at is null and t.transfer = regexp_replace(e.subject, '^transfer:(.*):\d+:\d+:\d+$', '\1')
            and t.item_id = e.item_id and t.to_location_id = e.location_id
    ) as z on true
    left join lateral (
        select sum(abs(b.units) / power(10::numeric, t.scale)) as units, min(t.value_currency) as currency,
            case when count(t.value_currency) = count(*) and count(distinct t.value_currency) = 1
                then sum(abs(b.units) / power(10::numeric, t.scale) * t.unit_value) end as worth
        from postings q join posting_lines b using (posting_id) join items t on t.item_id = b.item_id left join postings r on r.posting_id = b.carried_by
        where e.closed_at is null and e.code like 'posting.%' and q.connection_id = e.connection_id and (q.refused_code is not null or q.is_late or q.status = 'partly')
            and case e.code
                when 'posting.rejected' then q.status = 'rejected' and e.subject = 'books:' || q.connection_id || ':' || q.refused_code
                when 'posting.line_refused' then b.item_id = e.item_id and b.refused_code = split_part(e.subject, ':', 3)
                    and (b.carried_by is null or r.status not in ('done', 'partly'))
                else q.is_late and q.due_at is not null end
    ) as y on true
    left join lateral (
        select sum(b.units / power(10::numeric, t.scale)) as units, min(t.value_currency) as currency,
            case when count(t.value_currency) = count(*) and count(distinct t.value_currency) = 1
                then sum(b.units / power(10::numeric, t.scale) * t.unit_value) end as worth
        from commands q join command_lines b using (command_id) join items t on t.item_id = b.item_id
        where e.closed_at is null and e.code like 'command.%' and q.connection_id = e.connection_id and (q.refused_code is not null or q.is_late)
            and case e.code when 'command.rejected' then e.subject = 'work:' || q.connection_id || ':' || q.refused_code else q.is_late and q.due_at is not null end
    ) as v on true
    left join lateral (
        select count(*) as lines, count(distinct fact_id) as facts, sum(h.units) as units, min(occurred_at) as oldest_at, max(occurred_at) as newest_at
        from held_lines h where h.exception_id = e.exception_id and h.settled_at is null
    ) as w on true
    left join lateral (
        select count(*) as messages, count(*) filter (where m.status = 'received') as again from messages m where m.exception_id = e.exception_id
    ) as m on true
    left join lateral (
        select string_agg(format('%s (%s)', coalesce(r.order_ref, 'rsv_' || lpad(r.reservation_id::text, 10, '0')),
            trim_scale(p.open / power(10::numeric, i.scale))), ', ' order by r.reservation_id) as orders
        from (
            select reservation_id, sum(c.open) as open from claims c
            where c.item_id = e.item_id and c.location_id = e.location_id and c.open > 0
            group by reservation_id order by reservation_id limit 20
        ) as p join reservations r using (reservation_id)
    ) as o on e.code = 'stock.overcommitted' and e.closed_at is null
    where e.exception_id < $1 and ($2 or e.closed_at is null) and ($3::text is null or e.code = $3)
        and ($7::bigint[] is null or e.exception_id = any ($7)) and ($9::text is null or e.owner = $9)
)
select *, coalesce(owed_worth, short_by * unit_value) as worth, coalesce(owed_currency, value_currency) as currency
from seen where $8::text is null or state = $8
order by exception_id desc
limit $4;

-- name: found
-- Exceptions by whatever somebody holds in their hand: an item, barcode, location, connection, event, ticket, order or message.
with fact as (
    select f.fact_id, f.connection_id, f.key from connections c join facts f on f.connection_id = c.connection_id and f.key = $1
    union select fact_id, connection_id, key from facts where ticket = $1
    union select fact_id, connection_id, key from shipments s join facts f using (fact_id) where s.order_ref = $1 and s.reservation_id is null
), item as (
    select item_id from items where sku = $1 union select item_id from item_gtins where gtin = $1
), spot as (
    select k.item_id, k.location_id from reservations r join claims k using (reservation_id) where r.order_ref = $1 and k.open > 0
)
select exception_id from exceptions where subject = any (array['sku:' || $1, 'gtin:' || $1, 'location:' || $1, 'transfer:' || $1])
union select e.exception_id from item join exceptions e using (item_id)
union select e.exception_id from locations l join exceptions e using (location_id) where l.id = $1
union select e.exception_id from connections c join exceptions e using (connection_id) where c.id = $1
union select h.exception_id from fact join held_lines h using (fact_id)
union select k.exception_id from fact join key_conflicts k using (connection_id, key)
union select e.exception_id from fact f join exceptions e on e.subject = any (array['return:' || f.fact_id, 'shipment:' || f.fact_id, 'void:' || f.fact_id])
union select e.exception_id from spot join exceptions e using (item_id, location_id) where e.code = 'stock.overcommitted'
union select e.exception_id from reservations r join commands c using (reservation_id)
    join exceptions e on e.code = 'command.rejected' and e.subject = format('work:%s:%s', c.connection_id, c.refused_code) and e.closed_at is null
    where r.order_ref = $1 and c.status = 'rejected'
union select m.exception_id from messages m where m.message_id = $2 and m.exception_id is not null
union select exception_id from exceptions where exception_id = $3
order by 1 desc limit $4;

-- name: change
-- What a person decided; those that are resolved stay as they are.
update exceptions set
    owner = case when $2 then $3::text else owner end,
    waiting_for = case when $4 then $5::text else waiting_for end,
    ignored_until = case when $6 then $7::timestamptz else ignored_until end
where exception_id = $1 and closed_at is null
returning exception_id;

-- name: note
insert into exception_notes (exception_id, noted_at, who, words) select $1, $2, $3, w from unnest($4::text[]) as w;

-- name: notes
select noted_at, who, words from exception_notes where exception_id = $1 order by note_id desc limit $2;

-- name: overdue_voids
-- Voids that came before $1, still wait for their fact, and are not shown yet.
select a.fact_id, f.connection_id, f.key, k.id as source, a.key as target
from awaiting a join facts f using (fact_id) join connections k on k.connection_id = a.connection_id
where a.kind = 'void' and f.received_at < $1
    and not exists (select from exceptions e where e.code = 'void.without_target' and e.subject = 'void:' || a.fact_id and e.closed_at is null)
order by a.fact_id limit $2;

-- name: settled_voids
-- Voids across a count, at positions that were counted again after the exception opened.
select e.code, e.subject from exceptions e
where e.code = 'void.before_count' and e.closed_at is null and exists (
    select from counts c where c.item_id = e.item_id and c.location_id = e.location_id and c.counted_at > e.opened_at
        and c.standing and c.scope in ('sellable', 'on_hand')
);

-- name: right_clocks
-- Sources that reported for an hour with no time ahead: their last fact ahead is an hour old, and newer ones came.
select e.code, e.subject from exceptions e
where e.code = 'source.clock_skew' and e.closed_at is null and e.last_seen_at < $1::timestamptz - interval '1 hour' and exists (
    select from (select connection_id, received_at from facts order by fact_id desc limit 10000) f
    where f.connection_id = e.connection_id and f.received_at >= e.last_seen_at + interval '1 hour'
);

-- name: voided_keys
-- Keys with several contents, of which the one that stands was voided.
select e.code, e.subject from exceptions e
where e.code = 'event.key_reused' and e.closed_at is null and exists (
    select from key_conflicts k join facts f using (connection_id, key) join voids v on v.target_fact_id = f.fact_id
    where k.exception_id = e.exception_id
);

-- name: given_up_masters
-- Masters that somebody wrote who is not right about them, and has not tried for a day.
select e.code, e.subject from exceptions e
where e.code in ('ownership.other', 'ownership.disputed') and e.closed_at is null and split_part(e.subject, ':', 2) in ('item_master', 'location_master')
    and e.last_seen_at < $1::timestamptz - interval '1 day';

-- name: refused_contents
-- The contents that were refused under keys used before, of exceptions that are open.
select e.exception_id, e.code, e.subject, k.connection_id, k.key, k.body
from exceptions e join key_conflicts k using (exception_id)
where e.code = 'event.key_reused' and e.closed_at is null and e.exception_id > $1
order by e.exception_id, k.body_sha256 limit $2;

-- name: alike
-- Facts of a connection under another key that happened at the same instant to an item or location of the same name.
select distinct f.fact_id, f.body
from (
    select item_id from items where sku = $4 union select item_id from item_gtins where gtin = $4
    union select item_id from item_codes where connection_id = $1 and code = $4
) i
join movements m using (item_id)
join locations l on l.location_id = m.location_id and l.id = $3
join facts f on f.fact_id = m.fact_id and f.connection_id = $1 and f.key <> $2 and f.type = $6
where m.occurred_at = $5
limit $7;
