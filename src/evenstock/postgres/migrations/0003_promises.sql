-- Promises: channels, reservations and the claims they hold, every change of a claim, and what shipped under them.
--
-- A claim is our own decision, so it has one time axis: the ledger's order (K1). Its counters stand on the position, beside
-- the buckets, so that a sale and a grant see each other (K2).

create table channels (
    channel_id integer generated always as identity primary key,
    id text collate "C" not null constraint channel_id_is_unique unique,
    name text,
    location_ids integer[] not null,
    safety_stock bigint not null default 0 constraint safety_stock_is_not_negative check (safety_stock >= 0),
    connection_id integer,
    hold_s integer not null default 900 constraint hold_is_positive check (hold_s > 0),
    unpaid_s integer not null default 86400 constraint unpaid_is_positive check (unpaid_s > 0),
    created_at timestamptz not null
);
comment on column channels.location_ids is 'Where the channel sells from, in the order in which its reservations are placed.';
comment on column channels.safety_stock is 'Base units that each location keeps back from this channel.';
comment on column channels.hold_s is 'How long a cart is held; unpaid_s: an order that is not paid. A paid one never expires.';

alter table connections add column settings jsonb not null default '{}';
comment on column connections.settings is 'What the connector needs to know; secrets only by reference.';

create sequence reservation_ids as bigint cache 1;

create table reservations (
    reservation_id bigint primary key,
    channel_id integer,
    order_ref text collate "C",
    status text collate "C" not null constraint status_is_known
        check (status in ('held', 'confirmed', 'allocated', 'picked', 'fulfilled', 'expired', 'released', 'shorted')),
    ended boolean generated always as (status in ('fulfilled', 'expired', 'released', 'shorted')) stored,
    all_or_nothing boolean not null,
    asked text not null,
    expires_at timestamptz,
    reason text,
    created_at timestamptz not null
) with (fillfactor = 80);
comment on table reservations is 'What somebody was promised. One that has not ended is alone under its channel and order_ref (K6).';
comment on column reservations.asked is 'The lines as they were asked for, resolved, as canonical JSON: the same again is the same reservation.';
comment on column reservations.expires_at is 'When an open one ends by itself; null is never. Due is due, whether the sweeper came by or not (K5).';
create unique index reservation_open_once on reservations (coalesce(channel_id, 0), order_ref) where not ended and order_ref is not null;
create index reservations_by_order on reservations (order_ref) where order_ref is not null;
create index reservations_by_expiry on reservations (expires_at) where not ended and expires_at is not null;

create table claims (
    reservation_id bigint not null,
    claim_no integer not null,
    line text collate "C" not null,
    item_id integer not null,
    location_id integer not null,
    granted bigint not null constraint granted_is_positive check (granted > 0),
    shipped bigint not null default 0 constraint shipped_is_not_negative check (shipped >= 0),
    released bigint not null default 0 constraint released_is_not_negative check (released >= 0),
    closed boolean not null default false,
    allocated boolean not null default false,
    expires_at timestamptz,
    open bigint generated always as (case when closed then 0 else greatest(0, granted - shipped - released) end) stored,
    primary key (reservation_id, claim_no)
) with (fillfactor = 80);
comment on table claims is 'A line''s promise at one location: five facts that only grow, and what is open of it (K3).';
comment on column claims.released is 'As it was asked for, not as there was left to release, so that shipping and releasing commute.';
comment on column claims.expires_at is 'That of its reservation, so that what is due at a position is found by its index.';
create index claims_open_by_position on claims (item_id, location_id, expires_at) where open > 0;

create table claim_entries (
    ledger_seq bigint not null,
    ordinal integer not null,
    reservation_id bigint not null,
    claim_no integer not null,
    item_id integer not null,
    location_id integer not null,
    kind text collate "C" not null constraint kind_is_known
        check (kind in ('grant', 'allocate', 'move', 'release', 'expire', 'ship', 'unship')),
    reserved bigint not null,
    allocated bigint not null,
    seen_sellable bigint,
    seen_reserved bigint,
    seen_allocated bigint,
    seen_safety bigint,
    primary key (ledger_seq, ordinal)
);
comment on table claim_entries is 'Every change of a claim, append-only: what positions have reserved and allocated is the sum of these, at any time (K1).';
comment on column claim_entries.seen_sellable is 'What a grant saw, with the three after it, so that it can be judged for ever.';
create index claim_entries_by_position on claim_entries (item_id, location_id, ledger_seq);

create table releases (
    reservation_id bigint not null,
    key text collate "C" not null,
    line text collate "C" not null,
    request_sha256 bytea not null,
    requested bigint not null,
    released bigint not null,
    ledger_seq bigint not null,
    primary key (reservation_id, key, line)
);
comment on table releases is 'Releases by the line, each once under its key; requested beyond released is the excess (S33).';

create table idempotency_keys (
    caller text collate "C" not null,
    key text collate "C" not null,
    request_sha256 bytea not null,
    reservation_id bigint not null,
    ledger_seq bigint not null,
    primary key (caller, key)
);
comment on table idempotency_keys is 'Requests that were granted, by the key their caller gave them. Refusals are not remembered.';

create table shipments (
    fact_id bigint not null,
    ordinal integer not null,
    order_ref text collate "C",
    item_id integer not null,
    location_id integer not null,
    reservation_id bigint,
    claim_no integer,
    units bigint not null,
    ledger_seq bigint not null,
    primary key (ledger_seq, ordinal)
);
comment on table shipments is 'Which claim each shipped unit fulfilled; without a claim: nobody had promised it (yet). Taken back by rows below zero.';
create index shipments_by_fact on shipments (fact_id);
create index shipments_without_claim on shipments (order_ref) where reservation_id is null;

-- What must hold ------------------------------------------------------------------------------------------------

create view v_claimed_is_sum_of_open as
select item_id, location_id, p.reserved, p.allocated, c.reserved as open_reserved, c.allocated as open_allocated
from positions p
full join (
    select item_id, location_id, sum(open) filter (where not allocated) as reserved, sum(open) filter (where allocated) as allocated
    from claims where open > 0 group by item_id, location_id
) c using (item_id, location_id)
where (coalesce(p.reserved, 0), coalesce(p.allocated, 0)) is distinct from (coalesce(c.reserved, 0), coalesce(c.allocated, 0));
comment on view v_claimed_is_sum_of_open is 'What a position has reserved or allocated is not the sum of its open claims: too little sells twice, too much sells nothing. Report it.';

create view v_claim_is_sum_of_entries as
select reservation_id, claim_no, item_id, location_id, c.open, c.allocated as is_allocated, e.reserved, e.allocated
from claims c
full join (
    select reservation_id, claim_no, item_id, location_id, sum(reserved) as reserved, sum(allocated) as allocated
    from claim_entries group by reservation_id, claim_no, item_id, location_id
) e using (reservation_id, claim_no, item_id, location_id)
where c.reservation_id is null
    or (case when c.allocated then 0 else c.open end, case when c.allocated then c.open else 0 end)
        is distinct from (coalesce(e.reserved, 0), coalesce(e.allocated, 0));
comment on view v_claim_is_sum_of_entries is 'A claim is not the sum of its entries, so what was claimed at a time cannot be told. Report it.';

create view v_grant_within_policy as
select ledger_seq, ordinal, reservation_id, item_id, location_id, reserved + allocated as units, seen_sellable, seen_reserved,
    seen_allocated, seen_safety
from claim_entries
where kind = 'grant'
    and (seen_sellable is null or (reserved + allocated > 0
        and seen_reserved + seen_allocated + reserved + allocated > greatest(0, seen_sellable - seen_safety)));
comment on view v_grant_within_policy is 'More was promised than there was to promise when it was promised. This is our fault: report it.';

create view v_claim_entry_has_batch as
select e.ledger_seq, e.ordinal, e.reservation_id from claim_entries e left join batches b using (ledger_seq) where b.ledger_seq is null
union all
select r.ledger_seq, null, r.reservation_id from releases r left join batches b using (ledger_seq) where b.ledger_seq is null;
comment on view v_claim_entry_has_batch is 'A claim changed in a batch that is not there, so nobody can say when. Restore from a backup.';

create view v_claim_has_reservation as
select reservation_id, c.claim_no, r.status
from claims c full join reservations r using (reservation_id)
where r.reservation_id is null or (c.reservation_id is null);
comment on view v_claim_has_reservation is 'A claim without its reservation, or a reservation that never held one. Restore from a backup.';

create view v_ended_reservation_claims_nothing as
select r.reservation_id, r.status, coalesce(sum(c.open), 0) as open
from reservations r left join claims c using (reservation_id)
group by r.reservation_id, r.status, r.ended
having r.ended <> (coalesce(sum(c.open), 0) = 0);
comment on view v_ended_reservation_claims_nothing is 'A reservation has ended and still claims units, or claims none and has not ended. Report it.';

create view v_status_fits_claims as
select r.reservation_id, r.status, sum(c.shipped) as shipped, bool_or(c.allocated and c.open > 0) as any_allocated
from reservations r join claims c using (reservation_id)
group by r.reservation_id, r.status
having (r.status = 'fulfilled' and sum(c.shipped) = 0)
    or (r.status in ('held', 'confirmed') and bool_or(c.allocated and c.open > 0))
    or (r.status in ('allocated', 'picked') and bool_or(not c.allocated and c.open > 0));
comment on view v_status_fits_claims is 'A reservation''s status is not what its claims say. Report it.';

create view v_claim_expires_with_reservation as
select c.reservation_id, c.claim_no, c.expires_at, r.expires_at as reservation_expires_at
from claims c join reservations r using (reservation_id)
where c.open > 0 and c.expires_at is distinct from r.expires_at;
comment on view v_claim_expires_with_reservation is 'A claim expires at another time than its reservation, so it is freed too early or too late. Report it.';

create view v_hold_is_not_stale as
select r.reservation_id, r.expires_at, h.recorded_at
from reservations r join ledger_head h on r.expires_at < h.recorded_at - interval '60 s'
where not r.ended;
comment on view v_hold_is_not_stale is 'A hold is more than a minute over its time and nobody has ended it: no server sweeps. Look whether one runs and what its log says.';

create view v_overcommitted_is_shown as
with overcommitted as (
    select item_id, location_id from positions where reserved + allocated > greatest(sellable, 0)
), shown as (
    select item_id, location_id, exception_id from exceptions where code = 'stock.overcommitted' and closed_at is null
)
select item_id, location_id, exception_id, o.item_id is not null as is_overcommitted
from overcommitted o full join shown s using (item_id, location_id)
where o.item_id is null or s.exception_id is null;
comment on view v_overcommitted_is_shown is 'More is promised than there is and no exception says so, or one says so where all is well. Report it.';

create view v_shipped_is_sum_of_shipments as
select reservation_id, claim_no, c.shipped, s.units
from (select * from claims where shipped > 0) c
full join (
    select reservation_id, claim_no, sum(units) as units from shipments where reservation_id is not null
    group by reservation_id, claim_no having sum(units) <> 0
) s using (reservation_id, claim_no)
where c.shipped is distinct from s.units;
comment on view v_shipped_is_sum_of_shipments is 'A claim counts other units as shipped than its shipments say. Report it.';

create view v_shipment_is_its_movements as
select fact_id, item_id, location_id, m.units as moved, s.units as shipped
from (
    select coalesce(reverses, fact_id) as fact_id, item_id, location_id,
        sum(case when to_place = 'customer' then quantity else -quantity end) as units
    from movements
    where count_id is null and coalesce(reverses, fact_id) in (select fact_id from facts where type = 'ShipmentConfirmed.v1')
    group by 1, 2, 3
) m full join (
    select fact_id, item_id, location_id, sum(units) as units from shipments group by fact_id, item_id, location_id
) s using (fact_id, item_id, location_id)
where coalesce(m.units, 0) <> coalesce(s.units, 0);
comment on view v_shipment_is_its_movements is 'Other units left under a shipment than were taken from claims or shown as promised to nobody. Report it.';

create view v_shipped_without_claim_is_shown as
with unclaimed as (
    select 'shipment:' || fact_id as subject from shipments where reservation_id is null group by fact_id having sum(units) > 0
), shown as (
    select subject, exception_id from exceptions where code = 'stock.shipped_without_claim' and closed_at is null
)
select subject, exception_id from unclaimed u full join shown s using (subject) where u.subject is null or s.exception_id is null;
comment on view v_shipped_without_claim_is_shown is 'Units left that nobody had promised and no exception says so, or one says so of a shipment that is settled. Report it.';

-- Grants: entries are append-only; what is derived from them is changed under the lock of the reservation -----------

create or replace view v_ledger_is_append_only as
select c.relname::text as table_name, null::text as column_name, p.privilege
from pg_class c
cross join unnest(array['UPDATE', 'DELETE', 'TRUNCATE']) as p(privilege)
where c.relnamespace = (select relnamespace from pg_class where oid = 'movements'::regclass)
    and (c.relname in ('movements', 'batches', 'facts', 'counts', 'voids', 'claim_entries', 'releases', 'shipments', 'idempotency_keys')
        or c.oid in (select inhrelid from pg_inherits where inhparent = 'movements'::regclass))
    and has_table_privilege('evenstock_app', c.oid, p.privilege)
union all
select c.relname::text, a.attname::text, 'UPDATE'
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = (select relnamespace from pg_class where oid = 'movements'::regclass)
    and c.relname in ('movements', 'batches', 'facts', 'counts', 'voids', 'claim_entries', 'releases', 'shipments', 'idempotency_keys')
    and (c.relname, a.attname) not in (('facts', 'status'), ('facts', 'reason'), ('counts', 'adjusted'), ('counts', 'standing'))
    and has_column_privilege('evenstock_app', c.oid, a.attnum, 'UPDATE');

grant select, insert on channels, reservations, claims, claim_entries, releases, idempotency_keys, shipments to evenstock_app;
grant update on channels, connections to evenstock_app;
grant update (status, expires_at, reason) on reservations to evenstock_app;
grant update (shipped, released, closed, allocated, expires_at) on claims to evenstock_app;
grant usage on sequence reservation_ids to evenstock_app;

do $$
declare
    name text;
begin
    for name in
        select format('%I', relname) from pg_class
        where relnamespace = (select relnamespace from pg_class where oid = 'movements'::regclass) and relkind = 'v'
    loop
        execute 'grant select on ' || name || ' to evenstock_app';
    end loop;
end $$;
