-- Reservations and claims. Lock order: positions, then reservations (by number), then the ledger's order.

-- name: only_by_key
-- This lane looks everything up by its key. A plan made while the tables were small would read all of them for ever after.
select set_config(name, 'off', false) from unnest(array['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin']) as name;

-- name: new_ids
select nextval('reservation_ids') as reservation_id from generate_series(1, $1);

-- name: begin
-- A batch begins: its head, and its positions, locked in the global order.
with head as (
    select nextval('batch_ids') as batch_id, h.ledger_seq, v.version from ledger_head h, master_version v
), locked as (
    select p.item_id, p.location_id, p.sellable, p.quarantine, p.damaged, p.in_transit, p.reserved, p.allocated
    from unnest($1::integer[], $2::integer[]) as t(item_id, location_id)
    join positions p using (item_id, location_id)
    order by p.item_id, p.location_id
    for update of p
)
select batch_id, ledger_seq, version, null::integer as item_id, null::integer as location_id, null::bigint as sellable,
    null::bigint as quarantine, null::bigint as damaged, null::bigint as in_transit, null::bigint as reserved, null::bigint as allocated
from head
union all
select null, null, null, item_id, location_id, sellable, quarantine, damaged, in_transit, reserved, allocated from locked;

-- name: spots_of
-- Where reservations claim, so that their positions can be locked before they are: whoever changes a claim holds its position.
select distinct reservation_id, item_id, location_id from claims where reservation_id = any ($1::bigint[]);

-- name: ids_of_orders
-- The reservations of orders, ended ones too, and all of the orders that these reservations are for.
select reservation_id from reservations where order_ref = any ($1::text[])
union
select unnest($2::bigint[])
union
select o.reservation_id from reservations r join reservations o using (order_ref) where r.reservation_id = any ($2::bigint[]);

-- name: lock_reservations
-- By number, by the order they are open for, and by the requests that made them; locked by number. The first row tells what left
-- for these orders before anybody had promised it: a statement of its own would be one more round trip, for what is rare.
with found as (
    select r.reservation_id, r.channel_id, c.id as channel, r.order_ref, r.status, r.all_or_nothing, r.asked, r.expires_at, r.reason,
        r.created_at, r.trace_id, c.location_ids, c.safety_stock, c.hold_s, c.unpaid_s
    from reservations r left join channels c using (channel_id)
    where r.reservation_id in (
        select unnest($1::bigint[])
        union all
        select o.reservation_id from unnest($2::integer[], $3::text[]) as k(channel_id, order_ref)
        join reservations o on o.order_ref = k.order_ref and coalesce(o.channel_id, 0) = coalesce(k.channel_id, 0) and not o.ended
        union all
        select i.reservation_id from unnest($4::text[], $5::text[]) as k(caller, key) join idempotency_keys i using (caller, key)
    )
    order by r.reservation_id
    for update of r
), unclaimed as (
    select json_agg(json_build_array(fact_id, order_ref, item_id, location_id, units) order by fact_id, item_id, location_id)::text as rows
    from (
        select fact_id, order_ref, item_id, location_id, sum(units)::bigint as units
        from shipments where order_ref = any ($3::text[]) and reservation_id is null
        group by fact_id, order_ref, item_id, location_id having sum(units) > 0
    ) as u
)
select rows as unclaimed, null::bigint as reservation_id, null::integer as channel_id, null as channel, null as order_ref,
    null as status, null::boolean as all_or_nothing, null as asked, null::timestamptz as expires_at, null as reason,
    null::timestamptz as created_at, null as trace_id, null::integer[] as location_ids, null::bigint as safety_stock, null::integer as hold_s,
    null::integer as unpaid_s
from unclaimed
union all
select null, * from found;

-- name: claims_of
select reservation_id, claim_no, line, item_id, location_id, granted, shipped, released, closed, allocated
from claims where reservation_id = any ($1::bigint[])
order by reservation_id, claim_no;

-- name: requests
select i.caller, i.key, i.request_sha256, i.reservation_id
from unnest($1::text[], $2::text[]) as k(caller, key) join idempotency_keys i using (caller, key);

-- name: releases
select r.reservation_id, r.key, r.line, r.request_sha256, r.requested, r.released
from unnest($1::bigint[], $2::text[]) as k(reservation_id, key) join releases r using (reservation_id, key)
order by r.reservation_id, r.key, r.line;

-- name: unclaimed
-- What had left for these orders before a batch, and before anybody had promised it.
select fact_id, order_ref, item_id, location_id, sum(units)::bigint as units
from shipments where order_ref = any ($1::text[]) and reservation_id is null and ledger_seq < $2
group by fact_id, order_ref, item_id, location_id having sum(units) > 0
order by fact_id, item_id, location_id;

-- name: unclaimed_facts
-- Which of these shipments have units that nobody promised.
select fact_id from shipments where fact_id = any ($1::bigint[]) and reservation_id is null group by fact_id having sum(units) > 0;

-- name: shipments_of
-- What is left of shipments, by claim, for their voids.
select fact_id, order_ref, item_id, location_id, sum(units)::bigint as units, reservation_id, claim_no
from shipments where fact_id = any ($1::bigint[])
group by fact_id, order_ref, item_id, location_id, reservation_id, claim_no having sum(units) > 0
order by fact_id, item_id, location_id, reservation_id, claim_no;

-- name: due
-- What is over its time, oldest first.
select reservation_id from reservations where not ended and expires_at <= $1 order by expires_at limit $2;

-- name: due_at
-- What is over its time at positions where there was too little, whether a sweeper came by or not.
select distinct c.reservation_id
from unnest($1::integer[], $2::integer[]) as k(item_id, location_id)
join claims c using (item_id, location_id)
where c.open > 0 and c.expires_at <= $3
limit $4;

-- name: offers
-- Where else there is something of these items.
select t.item_id, o.location_id, o.offer
from unnest($1::integer[]) as t(item_id)
cross join lateral (
    select p.location_id, p.sellable - p.reserved - p.allocated as offer from positions p
    where p.item_id = t.item_id and p.sellable - p.reserved - p.allocated > 0
    order by 2 desc, 1 limit $2
) as o
order by t.item_id, o.offer desc, o.location_id;

-- name: change
-- Reservations and claims that were there before. What ends is written before what goes on (which waits for the sum of it),
-- for both may stand under the same order; what is made comes after both, in a statement of its own.
with ended as (
    update reservations r set status = n.s, expires_at = n.e, reason = n.w
    from json_to_recordset($1::json) as n(r bigint, s text, e timestamptz, w text)
    where r.reservation_id = n.r
    returning 1
), changed as (
    update reservations r set status = n.s, expires_at = n.e, reason = n.w
    from json_to_recordset($2::json) as n(r bigint, s text, e timestamptz, w text)
    where r.reservation_id = n.r and (select count(*) from ended) >= 0
)
update claims o set shipped = n.s, released = n.x, closed = n.c, allocated = n.a, expires_at = n.e
from json_to_recordset($3::json) as n(r bigint, n integer, s bigint, x bigint, c boolean, a boolean, e timestamptz)
where o.reservation_id = n.r and o.claim_no = n.n;

-- name: make
-- New reservations and claims, entries, and counters by relative deltas, in the batch's place in the ledger's order: $1, or
-- else the next, taken here and held to the COMMIT. Tells how many new ones and how many new requests there are: fewer than
-- meant means that another process was first.
with head as (
    update ledger_head set ledger_seq = ledger_seq + 1, recorded_at = greatest(recorded_at, $3::timestamptz)
    where $1::bigint is null
    returning ledger_seq, recorded_at
), batch as (
    insert into batches (ledger_seq, batch_id, recorded_at) select ledger_seq, $2, recorded_at from head
), place as (
    select coalesce($1::bigint, (select ledger_seq from head)) as ledger_seq
), made as (
    insert into reservations (reservation_id, channel_id, order_ref, status, all_or_nothing, asked, expires_at, reason, created_at, trace_id)
    select r, c, o, s, a, q, e, w, t, i
    from place p, json_to_recordset($4::json) as n(r bigint, c integer, o text, s text, a boolean, q text, e timestamptz, w text, t timestamptz, i text)
    where p.ledger_seq is not null
    order by o, c
    on conflict do nothing
    returning 1
), claimed as (
    insert into claims (reservation_id, claim_no, line, item_id, location_id, granted, shipped, released, closed, allocated, expires_at)
    select r, n, k, i, l, g, s, x, c, a, e from json_to_recordset($5::json) as n(r bigint, n integer, k text, i integer, l integer,
        g bigint, s bigint, x bigint, c boolean, a boolean, e timestamptz)
), noted as (
    insert into claim_entries (ledger_seq, ordinal, reservation_id, claim_no, item_id, location_id, kind, reserved, allocated,
        seen_sellable, seen_reserved, seen_allocated, seen_safety, elsewhere)
    select p.ledger_seq, n, r, c, i, l, k, d, a, (s ->> 0)::bigint, (s ->> 1)::bigint, (s ->> 2)::bigint, (s ->> 3)::bigint, e
    from place p, json_to_recordset($6::json) as n(n integer, r bigint, c integer, i integer, l integer, k text, d bigint, a bigint, s json, e boolean)
), counted as (
    update positions p set reserved = p.reserved + n.d, allocated = p.allocated + n.a
    from json_to_recordset($7::json) as n(i integer, l integer, d bigint, a bigint)
    where p.item_id = n.i and p.location_id = n.l
), remembered as (
    insert into idempotency_keys (caller, key, request_sha256, reservation_id, ledger_seq)
    select c, k, decode(h, 'base64'), r, p.ledger_seq
    from place p, json_to_recordset($8::json) as n(c text, k text, h text, r bigint)
    order by c, k
    on conflict do nothing
    returning 1
)
select ledger_seq, (select count(*) from made) as made, (select count(*) from remembered) as remembered from place;

-- name: write_releases
insert into releases (reservation_id, key, line, request_sha256, requested, released, ledger_seq)
select r, k, l, decode(h, 'base64'), q, g, $1
from json_to_recordset($2::json) as n(r bigint, k text, l text, h text, q bigint, g bigint);

-- name: write_shipments
insert into shipments (fact_id, ordinal, order_ref, item_id, location_id, reservation_id, claim_no, units, ledger_seq)
select a, n, o, i, l, r, c, u, $1
from json_to_recordset($2::json) as t(n integer, a bigint, o text, i integer, l integer, r bigint, c integer, u bigint);

-- name: reservation
select r.reservation_id, r.channel_id, c.id as channel, r.order_ref, r.status, r.all_or_nothing, r.asked, r.expires_at, r.reason,
    r.created_at, r.trace_id, c.location_ids, c.safety_stock, c.hold_s, c.unpaid_s
from reservations r left join channels c using (channel_id)
where r.reservation_id = $1;

-- name: try_sweeping
-- One sweeper at a time is enough; what it does is right without this.
select pg_try_advisory_xact_lock(hashtextextended('evenstock/sweeping/' || current_schema(), 0));
