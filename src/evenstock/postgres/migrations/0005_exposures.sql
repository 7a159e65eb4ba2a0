-- What channels are told: their terms as they were at any time, the number each should see for each item, every number ever
-- sent, and every try to send it.
--
-- Changed items are not marked: they are read from the ledger's own order (D16) from where the last look ended (`exposing`).

alter table channels add column publish_on text collate "C" not null default 'hub_commit'
    constraint publish_on_is_known check (publish_on in ('hub_commit', 'never'));
comment on column channels.publish_on is 'When a number may leave: hub_commit, as soon as the ledger has it; never, it is only computed (D7).';

create table channel_terms (
    channel_id integer not null,
    ledger_seq bigint not null,
    location_ids integer[] not null,
    safety_stock bigint not null,
    connection_id integer,
    buckets text[] not null,
    own_orders_back boolean not null,
    decimals smallint not null,
    primary key (channel_id, ledger_seq)
);
comment on table channel_terms is 'What decides a channel''s numbers, append-only. A change takes its place in the ledger''s order, so that a ledger_seq tells it all.';
comment on column channel_terms.own_orders_back is 'The system takes its own open orders off what it is told, so we do not (S35).';
create index channel_terms_by_seq on channel_terms (ledger_seq);

create table exposing (
    only_row boolean primary key default true constraint one_row check (only_row),
    ledger_seq bigint not null,
    revision bigint not null default 0
);
comment on table exposing is 'Until where the ledger is reflected in exposures. Whoever holds this row computes; the others skip it.';
comment on column exposing.revision is 'Raised by every look that changed an exposure, in commit order: what streams follow.';
insert into exposing (ledger_seq) select ledger_seq - 1 from ledger_head;

create table exposure_refreshes (
    channel_id integer primary key,
    after_item_id integer not null
);
comment on table exposure_refreshes is 'Channels whose terms changed, and until which item their numbers were computed anew.';

create table exposures (
    channel_id integer not null,
    item_id integer not null,
    connection_id integer,
    version bigint not null,
    intended bigint not null constraint intended_is_not_negative check (intended >= 0),
    was bigint,
    ledger_seq bigint not null,
    computed_at timestamptz not null,
    because text collate "C" not null,
    trace_id text collate "C",
    revision bigint not null,
    rank smallint not null,
    due_at timestamptz,
    tries integer not null default 0,
    sent_version bigint,
    sent bigint,
    sent_at timestamptz,
    unsettled boolean not null default false,
    acked_version bigint,
    acked bigint,
    acked_at timestamptz,
    refused_version bigint,
    primary key (channel_id, item_id)
) with (fillfactor = 70);
comment on table exposures is 'What a channel should see for an item (intended), what it was sent, and what it confirmed (acked).';
comment on column exposures.connection_id is 'Whom the versions are for; with another connection everything is told anew.';
comment on column exposures.due_at is 'When it may be told; null when the system has the number, or refused it.';
comment on column exposures.tries is 'Tries of sent_version.';
comment on column exposures.unsettled is 'sent_version may have arrived: the same is sent again under the same key before anything else.';
create index exposures_due on exposures (channel_id, rank, due_at) where due_at is not null;
create index exposures_by_item on exposures (item_id);
create index exposures_by_revision on exposures (revision, channel_id, item_id);

create table exposure_log (
    channel_id integer not null,
    item_id integer not null,
    version bigint not null,
    connection_id integer not null,
    quantity bigint not null constraint quantity_is_not_negative check (quantity >= 0),
    ledger_seq bigint not null,
    computed_at timestamptz not null,
    because text collate "C" not null,
    trace_id text collate "C",
    sent_at timestamptz not null,
    primary key (channel_id, item_id, version)
);
comment on table exposure_log is 'Every number ever sent, written before it is sent, for ever (D13).';
create index exposure_log_by_time on exposure_log (channel_id, sent_at, item_id, version);
create index exposure_log_by_trace on exposure_log (trace_id) where trace_id is not null;

create table attempts (
    channel_id integer not null,
    item_id integer not null,
    version bigint not null,
    try integer not null,
    connection_id integer not null,
    fence bigint not null,
    started_at timestamptz not null,
    ended_at timestamptz not null,
    outcome text collate "C" not null constraint outcome_is_known
        check (outcome in ('done', 'retry', 'rejected', 'unauthorized', 'unknown')),
    detail text,
    document text,
    primary key (channel_id, item_id, version, try)
);
comment on table attempts is 'Every try to tell a number and what became of it, for ever (D13).';
comment on column attempts.document is 'The system''s own number for it.';

create table lanes (
    connection_id integer primary key,
    holder text collate "C" not null,
    fence bigint not null,
    leased_until timestamptz not null,
    not_before timestamptz not null,
    failures integer not null default 0,
    paused text collate "C"
);
comment on table lanes is 'Who talks to a connection now. One at a time, so that an older number never lands after a newer one.';
comment on column lanes.fence is 'Raised by each new holder; what an older one still brings is not believed.';
comment on column lanes.paused is 'Why nothing is sent until the connection''s settings change.';

insert into channel_terms
select channel_id, h.ledger_seq, location_ids, safety_stock, connection_id, '{sellable}', false, 6 from channels, ledger_head h;

-- What must hold ------------------------------------------------------------------------------------------------

create view channel_terms_now as
select distinct on (channel_id) * from channel_terms order by channel_id, ledger_seq desc;
comment on view channel_terms_now is 'The terms that hold.';

create view exposure_function as
select t.channel_id, p.item_id,
    sum(greatest(0, greatest(0, w.units - p.reserved - p.allocated + coalesce(o.units, 0)) - t.safety_stock * u.base))::bigint as units,
    sum(greatest(0, w.units))::bigint as stock,
    (case when t.decimals < i.scale then (10 ^ (i.scale - t.decimals))::bigint else 1 end) as step
from channel_terms_now t
join positions p on p.location_id = any (t.location_ids)
join items i using (item_id)
left join (
    select r.channel_id, c.item_id, c.location_id, sum(c.open) as units
    from claims c join reservations r using (reservation_id) where c.open > 0 group by 1, 2, 3
) o on t.own_orders_back and o.channel_id = t.channel_id and o.item_id = p.item_id and o.location_id = p.location_id
cross join lateral (select (10 ^ i.scale)::bigint as base) u
cross join lateral (
    select case when 'sellable' = any (t.buckets) then p.sellable else 0 end + case when 'quarantine' = any (t.buckets) then p.quarantine else 0 end
        + case when 'damaged' = any (t.buckets) then p.damaged else 0 end + case when 'in_transit' = any (t.buckets) then p.in_transit else 0 end as units
) w
group by t.channel_id, p.item_id, t.decimals, i.scale;
comment on view exposure_function is 'What each channel should see now, by the same rule in other words: `units` rounded down to `step`; `stock` is what there is.';

create view exposure_not_marked as
select e.* from exposures e
join channel_terms_now t using (channel_id)
join exposing x on t.ledger_seq <= x.ledger_seq
left join exposure_refreshes f using (channel_id)
left join (
    select m.item_id from movements m join exposing x on m.ledger_seq > x.ledger_seq
    union
    select c.item_id from claim_entries c join exposing x on c.ledger_seq > x.ledger_seq
) changed using (item_id)
where f.channel_id is null and changed.item_id is null;
comment on view exposure_not_marked is 'Exposures about whose item and channel nothing was committed since they were last looked at.';

create view v_exposure_is_its_function as
select e.channel_id, e.item_id, e.intended, f.units, f.step
from exposure_not_marked e left join exposure_function f using (channel_id, item_id)
where e.intended <> coalesce(f.units - f.units % f.step, 0);
comment on view v_exposure_is_its_function is 'A channel should see another number than positions, claims and its terms give. Report it; changing the channel''s safety stock and back computes all of its numbers anew.';

create view v_exposure_is_there as
select f.channel_id, f.item_id, f.units
from exposure_function f
join channel_terms_now t using (channel_id)
join exposing x on t.ledger_seq <= x.ledger_seq
left join exposures e using (channel_id, item_id)
left join exposure_refreshes r using (channel_id)
left join (
    select m.item_id from movements m join exposing x on m.ledger_seq > x.ledger_seq
    union
    select c.item_id from claim_entries c join exposing x on c.ledger_seq > x.ledger_seq
) changed using (item_id)
where e.item_id is null and f.units > 0 and r.channel_id is null and changed.item_id is null;
comment on view v_exposure_is_there is 'A channel may sell an item and was never told. Report it; changing the channel''s safety stock and back computes all of its numbers anew.';

create view v_exposure_is_not_above_stock as
select e.channel_id, e.item_id, e.intended, f.stock
from exposure_not_marked e left join exposure_function f using (channel_id, item_id)
where e.intended > coalesce(f.stock, 0);
comment on view v_exposure_is_not_above_stock is 'A channel should see more than there is. It sells what nobody has: report it at once.';

create view v_exposure_versions_are_in_order as
select e.channel_id, e.item_id, e.version, e.sent_version, e.acked_version, e.refused_version
from exposures e
where e.version < 1 or coalesce(e.sent_version, 0) > e.version or coalesce(e.acked_version, 0) > coalesce(e.sent_version, 0)
    or coalesce(e.refused_version, 0) > coalesce(e.sent_version, 0)
    or (e.unsettled and e.sent_version is null) or (e.sent_version = e.version and e.sent <> e.intended);
comment on view v_exposure_versions_are_in_order is 'A channel confirmed what it was not sent, or was sent what was never intended. Report it.';

create view v_sent_exposure_is_logged as
select e.channel_id, e.item_id, e.sent_version, e.sent, s.quantity as sent_logged, e.acked_version, e.acked, a.quantity as acked_logged
from exposures e
left join exposure_log s on s.channel_id = e.channel_id and s.item_id = e.item_id and s.version = e.sent_version
left join exposure_log a on a.channel_id = e.channel_id and a.item_id = e.item_id and a.version = e.acked_version
where e.sent is distinct from s.quantity or e.acked is distinct from a.quantity;
comment on view v_sent_exposure_is_logged is 'What a channel was told is not what the log says. Restore the log from a backup.';

create view v_exposure_log_goes_forward as
select channel_id, item_id, version, ledger_seq, sent_at, before_seq, before_at
from (
    select channel_id, item_id, version, ledger_seq, sent_at, lag(ledger_seq) over w as before_seq, lag(sent_at) over w as before_at
    from exposure_log window w as (partition by channel_id, item_id order by version)
) l
where before_seq > ledger_seq or before_at > sent_at;
comment on view v_exposure_log_goes_forward is 'An older number was sent after a newer one. Look whether two hubs, or a restored one, tell the same connection.';

create view v_unsaid_exposure_is_due as
select channel_id, item_id, version, due_at, unsettled, acked, intended, refused_version
from exposures
where (due_at is not null) <> (unsettled or (acked is distinct from intended and refused_version is distinct from version));
comment on view v_unsaid_exposure_is_due is 'A channel does not have its number and nobody will tell it, or has it and will be told again. Report it.';

create view v_acked_exposure_was_done as
select e.channel_id, e.item_id, e.acked_version
from exposures e
left join attempts a on a.channel_id = e.channel_id and a.item_id = e.item_id and a.version = e.acked_version and a.outcome = 'done'
where e.acked_version is not null and a.version is null;
comment on view v_acked_exposure_was_done is 'A number counts as confirmed and no try says so. Report it.';

create view v_attempt_was_logged as
select a.channel_id, a.item_id, a.version, a.try, a.started_at, l.sent_at
from attempts a left join exposure_log l using (channel_id, item_id, version)
where l.version is null or a.started_at < l.sent_at or a.ended_at < a.started_at;
comment on view v_attempt_was_logged is 'A number was sent that was not written down before. Report it.';

create view v_number_is_done_once as
select channel_id, item_id, version, count(*) from attempts where outcome = 'done' group by 1, 2, 3 having count(*) > 1;
comment on view v_number_is_done_once is 'A number that was confirmed was sent again. Report it.';

create view v_later_tries_have_later_fences as
select channel_id, item_id, version, try, fence, before
from (
    select a.*, lag(fence) over (partition by connection_id, channel_id, item_id order by version, try) as before from attempts a
) t
where before > fence;
comment on view v_later_tries_have_later_fences is 'Somebody who no longer held a connection told it something. Report it.';

create view v_refused_exposure_is_shown as
with exposure as (
    select 'exposure:' || channel_id || ':' || item_id as subject, refused_version is not distinct from version as is_refused,
        due_at is not null as is_due
    from exposures
), shown as (
    select subject, true as is_shown from exceptions where code = 'exposure.rejected' and closed_at is null
)
select subject, is_refused, is_due, is_shown
from exposure full join shown using (subject)
where (is_refused and is_shown is null) or (is_shown and not coalesce(is_refused or is_due, false));
comment on view v_refused_exposure_is_shown is 'A system refused a number and no exception says so, or one says so of a number that is settled. Report it.';

create view v_paused_lane_is_shown as
with paused as (
    select 'connection:' || connection_id as subject from lanes where paused is not null
), shown as (
    select subject from exceptions where code = 'connection.paused' and closed_at is null
)
select subject from paused left join shown using (subject) where shown.subject is null;
comment on view v_paused_lane_is_shown is 'Nothing is sent to a connection and no exception says why. Report it.';

create view v_channel_has_its_terms as
select c.channel_id, c.id, t.ledger_seq
from channels c left join channel_terms_now t using (channel_id)
where (c.location_ids, c.safety_stock, c.connection_id) is distinct from (t.location_ids, t.safety_stock, t.connection_id);
comment on view v_channel_has_its_terms is 'A channel''s numbers are computed by other terms than it has. Send the channel again with channels:batch.';

create view v_exposing_is_not_ahead as
select x.ledger_seq, h.ledger_seq as head, x.revision from exposing x, ledger_head h
where x.ledger_seq > h.ledger_seq or x.revision < (select coalesce(max(revision), 0) from exposures);
comment on view v_exposing_is_not_ahead is 'Changes were passed over before they were there, so channels miss them. Restore from a backup.';

create view v_told_is_append_only as
select c.relname::text as table_name, null::text as column_name, p.privilege
from pg_class c
cross join unnest(array['UPDATE', 'DELETE', 'TRUNCATE']) as p(privilege)
where c.relnamespace = (select relnamespace from pg_class where oid = 'exposure_log'::regclass)
    and c.relname in ('exposure_log', 'attempts', 'channel_terms') and has_table_privilege('evenstock_app', c.oid, p.privilege)
union all
select c.relname::text, a.attname::text, 'UPDATE'
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = (select relnamespace from pg_class where oid = 'exposure_log'::regclass)
    and c.relname in ('exposure_log', 'attempts', 'channel_terms') and has_column_privilege('evenstock_app', c.oid, a.attnum, 'UPDATE');
comment on view v_told_is_append_only is 'The runtime may rewrite what was told. Take the privilege away: REVOKE it from evenstock_app.';

-- Grants ----------------------------------------------------------------------------------------------------------

grant select, insert on channel_terms, exposures, exposure_log, attempts, lanes, exposure_refreshes to evenstock_app;
grant select on exposing to evenstock_app;
grant update on exposing, exposures, lanes, exposure_refreshes to evenstock_app;
grant delete on exposure_refreshes to evenstock_app;

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
