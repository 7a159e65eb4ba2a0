-- What people do about exceptions, how often each comes, and whether it was there before.

alter table exceptions
    add column owner text,
    add column waiting_for text,
    add column ignored_until timestamptz,
    add column hits bigint not null default 1,
    add column last_seen_at timestamptz,
    add column hour_at timestamptz,
    add column hour_hits bigint not null default 1,
    add column hour_before bigint not null default 0,
    add column regressed_from bigint;
update exceptions set last_seen_at = opened_at, hour_at = date_trunc('hour', opened_at, 'UTC');
alter table exceptions alter column last_seen_at set not null, alter column hour_at set not null;
comment on column exceptions.owner is 'Who looks after it.';
comment on column exceptions.waiting_for is 'For whom or what its owner waits.';
comment on column exceptions.ignored_until is 'It is not shown among those that need somebody until then. A new one of the same cause is shown.';
comment on column exceptions.hits is 'How many batches met the cause; hour_hits of them in the hour of the last, hour_before in the hour before that.';
comment on column exceptions.regressed_from is 'The exception of the same cause that was resolved last.';
create index exceptions_by_cause on exceptions (subject, code, exception_id);
create index exceptions_by_location on exceptions (location_id) where location_id is not null;
create index exceptions_by_connection on exceptions (connection_id) where connection_id is not null;
create index exceptions_open on exceptions (exception_id) where closed_at is null;
create index key_conflicts_by_exception on key_conflicts (exception_id);

alter table held_lines add column units numeric;
comment on column held_lines.units is 'As the line says, in its own unit.';

create table exception_notes (
    note_id bigint generated always as identity primary key,
    exception_id bigint not null,
    noted_at timestamptz not null,
    who text not null,
    words text not null
);
comment on table exception_notes is 'What people said and did about exceptions, for ever.';
create index exception_notes_by_exception on exception_notes (exception_id, note_id);

grant select, insert on exception_notes to evenstock_app;

create view v_exception_notes_are_kept as
select c.relname::text as table_name, p.privilege
from pg_class c cross join unnest(array['UPDATE', 'DELETE', 'TRUNCATE']) as p(privilege)
where c.oid = 'exception_notes'::regclass and has_table_privilege('evenstock_app', c.oid, p.privilege)
union all
select 'exception_notes', a.attname::text from pg_attribute a
where a.attrelid = 'exception_notes'::regclass and a.attnum > 0 and has_column_privilege('evenstock_app', a.attrelid, a.attnum, 'UPDATE');
comment on view v_exception_notes_are_kept is 'The runtime may rewrite what people said about exceptions. Take the right away from it again.';

create view v_exception_is_about_its_past as
select e.exception_id, e.regressed_from
from exceptions e left join exceptions p on p.exception_id = e.regressed_from and p.code = e.code and p.subject = e.subject and p.closed_at is not null
where e.regressed_from is not null and p.exception_id is null;
comment on view v_exception_is_about_its_past is 'An exception says that it came back, and what it came back from is not there, is open, or is another. Report it.';

grant select on v_exception_notes_are_kept, v_exception_is_about_its_past to evenstock_app;
