-- name: raw_tables
-- The tables of the raw limit: keys, movements with the indexes of ours, positions; in a schema of their own.
create table if not exists raw_keys (connection_id integer not null, key text collate "C" not null, unique (connection_id, key));
create table if not exists raw_movements (like movements including all);
create table if not exists raw_positions (like positions including all) with (fillfactor = 70);
truncate raw_keys, raw_movements, raw_positions;

-- name: raw_positions
insert into raw_positions (item_id, location_id, sellable) select i, l, 1000000 from generate_series(1, $1::int) i, generate_series(1, $2::int) l;

-- name: raw_batch
-- What no hub on this database can beat: one statement a batch that takes the keys, appends the movements and adds to the positions.
with k as (
    insert into raw_keys select 1, d.k from json_to_recordset($1::json) as d(k text) on conflict do nothing
), m as (
    insert into raw_movements (ledger_seq, ordinal, item_id, location_id, from_place, to_place, quantity, why, fact_id, line, occurred_at, recorded_at)
    select $2::bigint, d.n, d.i, d.l, 'sellable', 'customer', d.q, 'sale', d.n, '1', d.o, $3
    from json_to_recordset($1::json) as d(n integer, i integer, l integer, q bigint, o timestamptz)
)
update raw_positions p set sellable = p.sellable - d.q
from (select i, l, sum(q)::bigint as q from json_to_recordset($1::json) as d(i integer, l integer, q bigint) group by i, l) as d
where p.item_id = d.i and p.location_id = d.l;

-- name: raw_drop
drop table if exists raw_keys, raw_movements, raw_positions;

-- name: grow_batches
-- History for the growth rows: batches of 500 movements, two to a fact, before everything that is measured.
insert into batches (ledger_seq, batch_id, recorded_at)
select h.ledger_seq + b, nextval('batch_ids'), greatest(h.recorded_at, $2::timestamptz) + b * interval '1 microsecond'
from ledger_head h, generate_series(1, $1::bigint) b;

-- name: grow_facts
insert into facts (batch_id, connection_id, key, type, status, occurred_at, time_basis, received_at, body)
select b.batch_id, $1, 'H-' || lpad((f % 20)::text, 4, '0') || '-' || b.batch_id || '-' || lpad(f::text, 4, '0'), 'GoodsReceived.v1', 'applied',
    $2, 'source', $2, '{"id":"H","source":"bench","type":"GoodsReceived.v1","data":{"location":"0001","lines":[{"line":"1","item":{"sku":"SKU-00001"},"quantity":1},{"line":"2","item":{"sku":"SKU-00002"},"quantity":1}]}}'
from batches b, generate_series(0, 249) f
where b.ledger_seq > (select ledger_seq from ledger_head);

-- name: grow_movements
insert into movements (ledger_seq, ordinal, item_id, location_id, from_place, to_place, quantity, why, fact_id, line, occurred_at, recorded_at)
select b.ledger_seq, m, 1 + ((b.ledger_seq * 500 + m) * 7919) % $1, 1 + ((b.ledger_seq * 500 + m) * 104729) % $2, 'supplier', 'sellable', 1, 'receipt', f.fact_id, (1 + m % 2)::text,
    $3, b.recorded_at
from batches b
join (select batch_id, fact_id, row_number() over (partition by batch_id order by fact_id) - 1 as n from facts) f using (batch_id)
cross join lateral (values (2 * f.n), (2 * f.n + 1)) as v(m)
where b.ledger_seq > (select ledger_seq from ledger_head);

-- name: grow_positions
update positions p set sellable = p.sellable + d.q
from (
    select item_id, location_id, sum(quantity)::bigint as q from movements
    where ledger_seq > (select ledger_seq from ledger_head) group by item_id, location_id
) as d
where p.item_id = d.item_id and p.location_id = d.location_id;

-- name: grow_head
update ledger_head set ledger_seq = b.ledger_seq, recorded_at = b.recorded_at
from (select ledger_seq, recorded_at from batches order by ledger_seq desc limit 1) as b;

-- name: settle
-- A history that grew in months was cleaned meanwhile; one that grew in a minute is cleaned before it is measured.
vacuum (analyze) facts, movements, positions;

-- name: checkpoint
checkpoint;

-- name: count_movements
select count(*) from movements;

-- name: open_batch
-- The next batch of the ledger, in which the open reservations are made.
with head as (
    update ledger_head set ledger_seq = ledger_seq + 1, recorded_at = greatest(recorded_at, $1::timestamptz) returning ledger_seq, recorded_at
)
insert into batches (ledger_seq, batch_id, recorded_at) select ledger_seq, nextval('batch_ids'), recorded_at from head;

-- name: open_reservations
insert into reservations (reservation_id, channel_id, order_ref, status, all_or_nothing, asked, expires_at, created_at)
select nextval('reservation_ids'), null, 'open-' || n, 'held', true,
    json_build_array(json_build_object('line', '1', 'item_id', 1 + n % $2::integer, 'sku', 'SKU-' || lpad((n % $2::integer)::text, 5, '0'),
        'scale', 0, 'units', 1, 'pickup', 1 + n / $2::integer % $3::integer)),
    $4::timestamptz + interval '1 day', $4
from generate_series(0, $1::integer - 1) n;

-- name: open_claims
insert into claims (reservation_id, claim_no, line, item_id, location_id, granted, expires_at)
select reservation_id, 1, '1', 1 + n % $1::integer, 1 + n / $1::integer % $2::integer, 1, expires_at
from reservations r cross join lateral (select substr(order_ref, 6)::integer as n) s where order_ref like 'open-%';

-- name: open_entries
insert into claim_entries (ledger_seq, ordinal, reservation_id, claim_no, item_id, location_id, kind, reserved, allocated,
    seen_sellable, seen_reserved, seen_allocated, seen_safety)
select h.ledger_seq, row_number() over (order by reservation_id) - 1, reservation_id, 1, item_id, location_id, 'grant', 1, 0,
    sellable, p.reserved, p.allocated, 0
from ledger_head h, claims c join positions p using (item_id, location_id) join reservations r using (reservation_id)
where r.order_ref like 'open-%';

-- name: open_counters
update positions p set reserved = p.reserved + d.units
from (
    select item_id, location_id, count(*) as units from claim_entries where ledger_seq = (select ledger_seq from ledger_head)
    group by item_id, location_id
) d
where p.item_id = d.item_id and p.location_id = d.location_id;

-- name: is_owed
select exists (select from exposures where due_at is not null) or exists (select from exposure_refreshes) or h.ledger_seq > x.ledger_seq
from exposing x, ledger_head h;

-- name: owed
select case when exists (select from exposure_refreshes) or h.ledger_seq > x.ledger_seq then -1
    else (select count(*) from exposures where due_at is not null) end
from exposing x, ledger_head h;

-- name: untranslated
select exists (select from messages where status = 'received');

-- name: messages
select count(*) from messages where status = 'translated';

-- name: owe_postings
-- What an ERP that is away for long is owed: documents of one line each.
with made as (
    insert into postings (posting_id, connection_id, reference, kind, posted_on, location_id, ledger_from, ledger_to, made_at, rank, status, due_at)
    select nextval('posting_ids'), k.connection_id, 'bench-' || n, 'sales', $5::timestamptz::date, 1 + n % $4::integer, 1, 1, $5, 0, 'owed', $5
    from connections k, generate_series(1, $2::integer) n where k.id = $1
    returning posting_id, location_id
)
insert into posting_lines (posting_id, line, item_id, location_id, units)
select posting_id, 1, 1 + posting_id % $3::integer, location_id, -1 from made;

-- name: settle_postings
vacuum (analyze) postings, posting_lines;

-- name: head
select ledger_seq from ledger_head;

-- name: lag
-- From when a movement was recorded to the first confirmation of a number that holds it.
select count(*)::integer as events, percentile_cont(array[0.5, 0.99]) within group (order by ms) as lags
from (
    select 1000 * extract(epoch from min(a.ended_at) - m.recorded_at)::float8 as ms
    from movements m
    join exposures e on e.item_id = m.item_id and e.channel_id = (select channel_id from channels where id = $2)
    join exposure_log l on l.channel_id = e.channel_id and l.item_id = m.item_id and l.ledger_seq >= m.ledger_seq
    join attempts a on a.channel_id = l.channel_id and a.item_id = l.item_id and a.version = l.version and a.outcome = 'done'
    where m.ledger_seq > $1
    group by m.ledger_seq, m.ordinal, m.recorded_at
) as each;
