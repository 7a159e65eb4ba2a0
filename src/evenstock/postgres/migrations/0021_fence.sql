-- A database that went back in time: restored from a backup, or a standby that took over and lost the last seconds. What was told
-- after that point is not in it, and must not be contradicted under the same names: a fence is raised, and from there on every
-- version, fence of a lane and number in an id is above all that were ever given.

create table fences (
    epoch bigint primary key constraint epoch_is_not_negative check (epoch >= 0),
    base bigint not null generated always as (epoch * 1048576) stored,
    raised_at timestamptz not null,
    why text collate "C" not null constraint why_is_known check (why in ('made', 'moved', 'said')),
    ledger_seq bigint not null,
    recorded_at timestamptz not null,
    system_identifier bigint,
    timeline bigint,
    table_oid bigint not null,
    settled_at timestamptz
);
comment on table fences is 'When this database may have gone back in time, and where it stands since: the newest row is the one that holds.';
comment on column fences.epoch is 'Seconds since 1970 when it was raised, 0 for the first; always above the one before.';
comment on column fences.base is 'What is numbered under this fence has numbers above it.';
comment on column fences.why is 'made: the first. moved: found elsewhere than it stood. said: by an operator.';
comment on column fences.recorded_at is 'When the ledger''s last batch was recorded: what came later may be lost.';
comment on column fences.system_identifier is 'Of the PostgreSQL that it stands in; null where we may not ask.';
comment on column fences.timeline is 'Of that PostgreSQL: another one after a restore to a point in time, and after a standby took over.';
comment on column fences.table_oid is 'Of this table: another one after a dump was restored, also into the same server.';
comment on column fences.settled_at is 'When an operator said that the sources have sent again what they had sent.';

create function whereabouts(out system_identifier bigint, out timeline bigint, out table_oid bigint)
language plpgsql security definer set search_path from current as $$
begin
    table_oid := 'fences'::regclass::oid::bigint;
    if has_function_privilege('pg_control_system()', 'execute') then
        select s.system_identifier into system_identifier from pg_control_system() s;
    end if;
    -- Of the log that is written now: the control file names it only at the next checkpoint.
    if not pg_is_in_recovery() and has_function_privilege('pg_walfile_name(pg_lsn)', 'execute') then
        timeline := ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint;
    end if;
end $$;
comment on function whereabouts() is 'Where this database stands now.';

create function number_from(base bigint) returns void
language plpgsql security definer set search_path from current as $$
declare
    s record;
begin
    for s in
        select q.oid::regclass as name, d.seqtypid = 'bigint'::regtype as is_wide
        from pg_class q join pg_sequence d on d.seqrelid = q.oid
        where q.relnamespace = (select relnamespace from pg_class where oid = 'fences'::regclass)
    loop
        -- Ids of masters are small numbers, which never leave us but with a version: they are kept from being given twice to
        -- those who remember them.
        perform setval(s.name, case when s.is_wide then greatest(nextval(s.name), base) else nextval(s.name) + 1000000 end);
    end loop;
end $$;
comment on function number_from(bigint) is 'Every id given from now on is above this; ids of masters skip a million. Numbers only go forward.';
revoke all on function whereabouts(), number_from(bigint) from public;

insert into fences (epoch, raised_at, why, ledger_seq, recorded_at, system_identifier, timeline, table_oid, settled_at)
select 0, h.recorded_at, 'made', h.ledger_seq, h.recorded_at, w.system_identifier, w.timeline, w.table_oid, h.recorded_at
from ledger_head h, whereabouts() w;

-- What must hold ------------------------------------------------------------------------------------------------

create view v_number_is_above_the_fence as
with fence as (select max(base) as base from fences)
select 'exposure ' || e.channel_id || ' of ' || e.item_id as subject, e.version as number, f.base from exposures e, fence f where e.version <= f.base
union all
select 'lane ' || l.connection_id, l.fence, f.base from lanes l, fence f where l.fence <= f.base
union all
select 'revision', x.revision, f.base from exposing x, fence f where x.revision < f.base;
comment on view v_number_is_above_the_fence is 'A channel may be told a number under a version that it has seen already, so it may believe an older one. Report it; `evenstock fence` has all numbers told anew.';

create view v_fence_is_shown as
with raised as (
    select epoch from fences where settled_at is null order by epoch desc limit 1
), shown as (
    select exception_id from exceptions where code = 'hub.fence_raised' and closed_at is null
)
select r.epoch, s.exception_id from raised r full join shown s on true where r.epoch is null or s.exception_id is null;
comment on view v_fence_is_shown is 'The database went back in time and no exception says so, or one says so of what is settled. Report it.';

-- Grants --------------------------------------------------------------------------------------------------------

grant select, insert on fences to evenstock_app;
grant update (settled_at) on fences to evenstock_app;
grant execute on function whereabouts(), number_from(bigint) to evenstock_app;
grant select on v_number_is_above_the_fence, v_fence_is_shown to evenstock_app;
