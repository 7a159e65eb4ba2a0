-- name: begin_batch
-- A number for the batch before it has its place in the order, and what this writer must know before it decides.
select nextval('batch_ids') as batch_id, h.waiting, h.parkings, h.ledger_seq, h.tag, v.version
from ledger_head h, master_version v;

-- name: claim
-- Facts take their keys, in key order; a key already taken is left out and settled by `claimed_before`. Then positions are
-- locked in the one global order, where the batch knows already which: keys before positions, in every batch. One row
-- tells it all, with a number for the batch before it has its place in the order, and what its writer must know to decide.
with head as (
    select nextval('batch_ids') as batch_id, h.waiting, h.parkings, h.ledger_seq, h.tag, v.version
    from ledger_head h, master_version v
), claimed as (
    insert into facts (batch_id, connection_id, key, type, status, reason, occurred_at, time_basis, received_at, trace_id, ticket, body)
    select h.batch_id, f.c, f.k, f.t, f.s, f.r, f.o, f.b, f.v, f.i, f.x, f.body
    from head h, rows from (
        json_to_recordset($1::json) as (c integer, k text, t text, s text, r text, o timestamptz, b text, v timestamptz, i text, x text),
        string_to_table($2, chr(10))
    ) as f(c, k, t, s, r, o, b, v, i, x, body)
    on conflict (connection_id, key) do nothing
    returning fact_id, connection_id, key
), locked as materialized (
    select p.*
    from unnest($3::text::integer[], $4::text::integer[]) as t(item_id, location_id)
    join positions p using (item_id, location_id)
    where (select count(*) from claimed) >= 0
    order by p.item_id, p.location_id
    for update of p
)
select h.batch_id, h.waiting, h.parkings, h.ledger_seq, h.tag, h.version, c.*, l.*
from head h
cross join (select array_agg(fact_id), array_agg(connection_id), array_agg(key) from claimed) as c(fact_ids, connection_ids, keys)
cross join (
    select array_agg(item_id), array_agg(location_id), array_agg(sellable), array_agg(quarantine), array_agg(damaged),
        array_agg(in_transit), array_agg(reserved), array_agg(allocated), array_agg(last_counted_at)
    from locked
) as l;

-- name: claimed_before
-- What stands under keys that are taken.
select f.fact_id, f.connection_id, f.key, f.type, f.status, f.reason, f.trace_id, f.body, f.received_at
from unnest($1::integer[], $2::text[]) as k(connection_id, key)
join facts f using (connection_id, key);

-- name: lock_positions
-- Locks positions in the one global order (item, location) and tells their balances.
select p.item_id, p.location_id, p.sellable, p.quarantine, p.damaged, p.in_transit, p.reserved, p.allocated, p.last_counted_at
from unnest($1::text::integer[], $2::text::integer[]) as t(item_id, location_id)
join positions p using (item_id, location_id)
order by p.item_id, p.location_id
for update of p;

-- name: create_positions
-- Missing positions are made before a batch begins, never while positions are locked: that would deadlock. Masters stand
-- still meanwhile: an item with a position keeps its scale, and whoever read an older one sees that the version has changed. None is
-- made for masters that are only remembered, of before the database went back in time.
with masters as materialized (select version from master_version for share)
insert into positions (item_id, location_id)
select t.item_id, t.location_id
from masters, unnest($1::integer[], $2::integer[]) as t(item_id, location_id) join items using (item_id) join locations using (location_id)
order by 1, 2
on conflict do nothing;

-- name: number_and_write
-- The batch takes its place in the order, held to the COMMIT, and is written: movements appended, positions changed by
-- relative deltas. `parkings` tells whether somebody began to wait for a fact since this batch looked.
with head as (
    update ledger_head
    set ledger_seq = ledger_seq + 1, recorded_at = greatest(recorded_at, $2::timestamptz)
    returning ledger_seq, recorded_at, parkings
), batch as (
    insert into batches (ledger_seq, batch_id, recorded_at) select ledger_seq, $1, recorded_at from head
), moved as (
    insert into movements (ledger_seq, recorded_at, ordinal, item_id, location_id, from_place, to_place, quantity, why, fact_id,
        occurred_at, line, count_id, reverses)
    select h.ledger_seq, h.recorded_at, m.n, m.i, m.l, m.f, m.t, m.q, m.w, m.a, m.o, m.e, m.c, m.r
    from head h, json_to_recordset($3::json) as m(n integer, i integer, l integer, f place, t place, q bigint, w text, a bigint,
        o timestamptz, e text, c bigint, r bigint)
), changed as (
    update positions p
    set sellable = p.sellable + coalesce(d.s, 0), quarantine = p.quarantine + coalesce(d.q, 0),
        damaged = p.damaged + coalesce(d.d, 0), in_transit = p.in_transit + coalesce(d.t, 0),
        last_counted_at = greatest(p.last_counted_at, d.c)
    from json_to_recordset($4::json) as d(i integer, l integer, s bigint, q bigint, d bigint, t bigint, c timestamptz)
    where p.item_id = d.i and p.location_id = d.l
)
select ledger_seq, recorded_at, parkings from head;

-- name: head
select ledger_seq, recorded_at, tag from ledger_head;

-- name: set_tag
update ledger_head set tag = $1 where tag is null;

-- name: own_movements
-- The moves that a fact itself made (not the counts it re-based), for its void.
select m.item_id, m.location_id, m.from_place::text, m.to_place::text, m.quantity, m.why, m.line, m.occurred_at
from movements m
where m.fact_id = $1 and m.count_id is null and m.reverses is null and m.ledger_seq in (
    select b.ledger_seq from facts f join batches b using (batch_id) where f.fact_id = $1
    union select h.settled_seq from held_lines h where h.fact_id = $1 and h.settled_seq is not null
)
order by m.ledger_seq, m.ordinal;

-- name: add_transfers
insert into transfers (transfer, item_id, from_location_id, to_location_id, shipped, received)
select t, i, f, l, s, r from json_to_recordset($1::json) as n(t text, i integer, f integer, l integer, s bigint, r bigint)
order by t, i, f, l
on conflict (transfer, item_id, from_location_id, to_location_id)
do update set shipped = transfers.shipped + excluded.shipped, received = transfers.received + excluded.received
returning transfer, item_id, from_location_id, to_location_id, shipped, received;

-- name: ensure_partitions
select ensure_movement_partitions($1, $2);

-- name: tag
select tag from ledger_head;

-- name: invariants
select count(*) from pg_views where schemaname = current_schema() and viewname like 'v\_%';
