-- name: positions_of
-- The positions of items as they are, a row for each item, and the number of the ledger in the same snapshot; and whether
-- any hold is over its time and not swept yet: then `due_claims` tells what to leave out.
select i.sku, i.scale, h.ledger_seq, exists (select from reservations where not ended and expires_at <= $2) as some_are_due, p.*
from ledger_head h
cross join unnest($1::text[]) as t(sku)
join items i using (sku)
cross join lateral (
    select array_agg(location_id) as location_ids, array_agg(sellable), array_agg(quarantine), array_agg(damaged),
        array_agg(in_transit), array_agg(reserved), array_agg(allocated)
    from positions p where p.item_id = i.item_id
) as p;

-- name: due_claims
-- What holds that are over their time still claim of these items.
select i.sku, c.location_id, sum(c.open)::bigint as units
from items i join claims c using (item_id)
where i.sku = any ($1::text[]) and c.open > 0 and c.expires_at <= $2
group by i.sku, c.location_id;

-- name: claims_then
-- What was claimed at a number of the ledger: the counters less what changed after it.
select p.location_id, (p.reserved - coalesce(sum(e.reserved), 0))::bigint as reserved,
    (p.allocated - coalesce(sum(e.allocated), 0))::bigint as allocated
from items i
join positions p using (item_id)
left join claim_entries e on e.item_id = p.item_id and e.location_id = p.location_id and e.ledger_seq > $2
where i.sku = $1
group by p.location_id, p.reserved, p.allocated;

-- name: positions_as_of
-- What was true at an instant, as known now: the position less what moved after it.
select i.sku, i.scale, p.location_id,
    (p.sellable - coalesce(a.sellable, 0))::bigint as sellable, (p.quarantine - coalesce(a.quarantine, 0))::bigint as quarantine,
    (p.damaged - coalesce(a.damaged, 0))::bigint as damaged, (p.in_transit - coalesce(a.in_transit, 0))::bigint as in_transit,
    h.ledger_seq, o.observed
from ledger_head h
cross join items i
left join positions p using (item_id)
left join lateral (
    select
        sum(case when m.to_place = 'sellable' then m.quantity when m.from_place = 'sellable' then -m.quantity end) as sellable,
        sum(case when m.to_place = 'quarantine' then m.quantity when m.from_place = 'quarantine' then -m.quantity end) as quarantine,
        sum(case when m.to_place = 'damaged' then m.quantity when m.from_place = 'damaged' then -m.quantity end) as damaged,
        sum(case when m.to_place = 'in_transit' then m.quantity when m.from_place = 'in_transit' then -m.quantity end) as in_transit
    from movements m
    where m.item_id = p.item_id and m.location_id = p.location_id and m.occurred_at > $2 and m.recorded_at >= $2 - interval '10 minutes'
) as a on true
left join lateral (
    select exists (select from counts c where c.item_id = p.item_id and c.location_id = p.location_id and c.counted_at <= $2 and c.standing)
        or exists (select from movements m where m.item_id = p.item_id and m.location_id = p.location_id and m.occurred_at <= $2
            and m.why in ('receipt', 'transfer_arrival') and not exists (select from voids v where v.target_fact_id = m.fact_id)) as observed
) as o on true
where i.sku = $1;

-- name: positions_known_at
-- What was believed at a number of the ledger, about an instant (or about everything booked until then).
select i.sku, i.scale, m.location_id,
    coalesce(sum(case when m.to_place = 'sellable' then m.quantity when m.from_place = 'sellable' then -m.quantity end), 0)::bigint as sellable,
    coalesce(sum(case when m.to_place = 'quarantine' then m.quantity when m.from_place = 'quarantine' then -m.quantity end), 0)::bigint as quarantine,
    coalesce(sum(case when m.to_place = 'damaged' then m.quantity when m.from_place = 'damaged' then -m.quantity end), 0)::bigint as damaged,
    coalesce(sum(case when m.to_place = 'in_transit' then m.quantity when m.from_place = 'in_transit' then -m.quantity end), 0)::bigint as in_transit,
    $3::bigint as ledger_seq,
    coalesce(bool_or(m.why in ('receipt', 'transfer_arrival', 'count')), false) as observed
from items i
left join movements m on m.item_id = i.item_id and m.ledger_seq <= $3 and m.occurred_at <= coalesce($2::timestamptz, 'infinity')
where i.sku = $1
group by i.sku, i.scale, m.location_id;

-- name: seq_at
-- The last committed number at an instant; what came later was not known then.
select coalesce(max(ledger_seq), 0) from batches where recorded_at <= $1;

-- name: recorded_at
-- When a number of the ledger was known; before the first, nothing was.
select coalesce((select recorded_at from batches where ledger_seq <= $1 order by ledger_seq desc limit 1), 'epoch');

-- name: location_names
select location_id, id from locations;

-- name: item
select item_id, sku, name, base_uom, scale from items where sku = $1;

-- name: movements
-- Newest first; the cursor is (ledger_seq, ordinal) of the last row seen.
select m.ledger_seq, m.ordinal, i.sku, i.scale, l.id as location, m.from_place::text, m.to_place::text, m.quantity, m.why, m.line,
    m.occurred_at, m.recorded_at, m.count_id, c.id as source, f.key, f.type, f.fact_id, f.trace_id, f.received_at, f.time_basis
from movements m
join items i using (item_id)
join locations l using (location_id)
join facts f using (fact_id)
join connections c using (connection_id)
where (m.ledger_seq, m.ordinal) < ($1, $2)
    and ($3::text is null or i.sku = $3)
    and ($4::text is null or l.id = $4)
    and ($5::timestamptz is null or m.occurred_at >= $5)
    and ($6::timestamptz is null or m.occurred_at < $6)
    and m.ledger_seq <= $7
    and ($9::text is null or m.why = $9)
    and ($10::timestamptz is null or m.occurred_at <= $10)
order by m.ledger_seq desc, m.ordinal desc
limit $8;

-- name: movements_of_item
-- The same for one item, by its own index; newest knowledge first.
select m.ledger_seq, m.ordinal, i.sku, i.scale, l.id as location, m.from_place::text, m.to_place::text, m.quantity, m.why, m.line,
    m.occurred_at, m.recorded_at, m.count_id, c.id as source, f.key, f.type, f.fact_id, f.trace_id, f.received_at, f.time_basis
from items i
cross join lateral (
    select * from movements m
    where m.item_id = i.item_id and (m.ledger_seq, m.ordinal) < ($1, $2)
        and ($4::text is null or m.location_id = (select location_id from locations where id = $4))
        and m.occurred_at >= coalesce($5::timestamptz, '-infinity') and m.occurred_at < coalesce($6::timestamptz, 'infinity')
        and m.ledger_seq <= $7 and ($9::text is null or m.why = $9)
        and m.occurred_at <= coalesce($10::timestamptz, 'infinity')
    order by m.ledger_seq desc, m.ordinal desc
    limit $8
) as m
join locations l using (location_id)
join facts f using (fact_id)
join connections c using (connection_id)
where i.sku = $3
order by m.ledger_seq desc, m.ordinal desc;

-- name: summary
-- For `status`: sizes are estimates of the planner, so that nothing is scanned to draw them.
select h.ledger_seq, h.recorded_at, h.waiting,
    (select count(*) from exceptions where closed_at is null) as exceptions_open,
    (select coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint from pg_inherits x join pg_class c on c.oid = x.inhrelid
        where x.inhparent = 'movements'::regclass) as movements_about,
    (select greatest(reltuples, 0)::bigint from pg_class where oid = 'positions'::regclass) as positions_about,
    (select count(*) from items) as items, (select count(*) from locations) as locations,
    (select count(*) from connections) as connections
from ledger_head h;
