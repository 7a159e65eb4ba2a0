-- Orders that channels have taken and tell us of: promises by event, made and given back once their fact is in the ledger.

create table order_events (
    fact_id bigint primary key,
    kind text collate "C" not null constraint kind_is_known check (kind in ('placed', 'cancelled')),
    channel text collate "C" not null,
    order_ref text collate "C" not null,
    status text collate "C" not null default 'owed' constraint status_is_known check (status in ('owed', 'waits', 'parked', 'done')),
    code text collate "C",
    reservation_id bigint,
    due_at timestamptz not null,
    settled_at timestamptz,
    constraint done_is_settled check ((status = 'done') = (settled_at is not null))
);
comment on table order_events is 'What events say of orders, and what became of it: each is done once, those of one order in their order.';
comment on column order_events.status is 'owed: not looked at yet; waits: something must be mended first; parked: a cancellation that waits for its order; done.';
comment on column order_events.code is 'Why it waits, or why there was nothing to do.';
comment on column order_events.due_at is 'When it is looked at next.';
create index order_events_due on order_events (due_at) where status <> 'done';
create index order_events_of_order on order_events (order_ref, channel);
create index order_events_of_reservation on order_events (reservation_id) where reservation_id is not null;

alter table claim_entries drop constraint kind_is_known,
    add constraint kind_is_known check (kind in ('grant', 'accept', 'allocate', 'move', 'release', 'expire', 'ship', 'unship'));
comment on column claim_entries.kind is 'accept: units that somebody else has promised to a customer, taken over whatever there was; the others are our own doing.';

-- What must hold ------------------------------------------------------------------------------------------------

create or replace view v_applied_fact_has_effect as
select f.fact_id, f.connection_id, f.key, f.type
from facts f
where f.status = 'applied'
    and not exists (select from own_movements m where m.fact_id = f.fact_id)
    and not exists (select from counts c where c.fact_id = f.fact_id)
    and not exists (select from voids v where v.void_fact_id = f.fact_id)
    and not exists (select from order_events o where o.fact_id = f.fact_id);
comment on view v_applied_fact_has_effect is 'A fact is called applied and did nothing: its movements, counts, void or order are missing. Restore from a backup and report it.';

create view v_order_event_has_fact as
select o.fact_id, o.channel, o.order_ref from order_events o left join facts f using (fact_id) where f.fact_id is null;
comment on view v_order_event_has_fact is 'Something is said of an order by a fact that is not there. Restore from a backup and report it.';

create view v_placed_order_is_promised as
select o.fact_id, o.channel, o.order_ref
from order_events o left join reservations r using (reservation_id)
where o.kind = 'placed' and o.status = 'done' and r.reservation_id is null and o.code is distinct from 'order.cancelled';
comment on view v_placed_order_is_promised is 'An order is called done, and nothing is promised to it, nor was it cancelled. Report it.';

create view v_waiting_order_is_shown as
with waiting as (
    select distinct 'order.waits' as code, 'order:' || channel || ':' || order_ref as subject from order_events where status = 'waits'
), shown as (
    select code, subject from exceptions where closed_at is null and code = 'order.waits'
)
select coalesce(w.subject, s.subject) as subject, w.subject is not null as waits
from waiting w full join shown s using (code, subject)
where w.subject is null or s.subject is null;
comment on view v_waiting_order_is_shown is 'An order waits and no exception says so, or one says so and none waits. Report it.';

grant select, insert, update on order_events to evenstock_app;
grant select on v_order_event_has_fact, v_placed_order_is_promised, v_waiting_order_is_shown to evenstock_app;
