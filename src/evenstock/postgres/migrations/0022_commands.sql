-- Commands: what is owed to the systems that work at locations (D6). A pick when units become allocated there, a cancel when they are
-- given back; written in the transaction that changes the claims, never added up and never dropped, and sent strictly in order for
-- each reservation at each location.

create table location_workers (
    location_id integer not null,
    ledger_seq bigint not null,
    connection_id integer,
    primary key (location_id, ledger_seq)
);
comment on table location_workers is 'Whose system works at a location, since which number of the ledger; null: nobody''s is commanded.';

alter table claim_entries add column elsewhere boolean;
comment on column claim_entries.elsewhere is 'Of ship and unship: true where the units left from another location than the one they were claimed at.';

create sequence command_ids as bigint;

create table commands (
    command_id bigint primary key,
    connection_id integer not null,
    reservation_id bigint not null,
    number integer not null constraint number_is_positive check (number > 0),
    location_id integer not null,
    kind text collate "C" not null constraint kind_is_known check (kind in ('pick', 'cancel')),
    reference text collate "C" not null constraint command_reference_is_unique unique,
    ledger_seq bigint not null,
    trace_id text collate "C" not null,
    made_at timestamptz not null,
    status text collate "C" not null constraint status_is_known check (status in ('owed', 'unknown', 'done', 'rejected', 'shadow')),
    due_at timestamptz,
    round integer not null default 0,
    tries integer not null default 0,
    first_sent_at timestamptz,
    sent_at timestamptz,
    document text,
    done_at timestamptz,
    refused_code text collate "C",
    refused_detail text,
    is_late boolean not null default false,
    constraint number_is_once unique (reservation_id, number)
);
comment on table commands is 'What a system that works at a location is to do for a reservation. It never changes; it is sent until the system has done it.';
comment on column commands.number is '1, 2, 3 … in the reservation, in the order in which it was decided.';
comment on column commands.ledger_seq is 'The claims that it follows from changed under this number of the ledger.';
comment on column commands.status is 'unknown: it may have been done. shadow: it is only written down, for its connection''s flow was shadow.';
comment on column commands.round is 'Raised when a person has it sent again after it was refused: part of its key.';
comment on column commands.document is 'The system''s own number for it.';
create index commands_due on commands (connection_id, command_id) where due_at is not null;
create index commands_open on commands (reservation_id, location_id, number) where status in ('owed', 'unknown', 'rejected');
create index commands_refused on commands (connection_id) where refused_code is not null or is_late;
create index commands_by_document on commands (document) where document is not null;

create table command_lines (
    command_id bigint not null,
    line text collate "C" not null,
    item_id integer not null,
    units bigint not null constraint units_are_positive check (units > 0),
    primary key (command_id, line)
);
comment on table command_lines is 'How many units of which line of the reservation a command is about.';

create table command_attempts (
    command_id bigint not null,
    try integer not null,
    connection_id integer not null,
    fence bigint not null,
    started_at timestamptz not null,
    ended_at timestamptz not null,
    outcome text collate "C" not null constraint outcome_is_known check (outcome in ('done', 'retry', 'rejected', 'unauthorized', 'unknown')),
    detail text,
    document text,
    primary key (command_id, try)
);
comment on table command_attempts is 'Every try to have a command done and what became of it, for ever (D13).';

alter table replays drop constraint step_is_known;
alter table replays add constraint step_is_known check (step in ('translate', 'apply', 'dispatch', 'post', 'command', 'observe'));
comment on column replay_items.target is 'A message (translate), an item of channel_id (dispatch, observe), a posting (post) or a command (command).';

-- What must hold ------------------------------------------------------------------------------------------------

create view workers_now as
select distinct on (location_id) location_id, connection_id, ledger_seq from location_workers order by location_id, ledger_seq desc;
comment on view workers_now is 'Whose system works at each location by now.';

create view command_troubles as
select connection_id, 'command.rejected'::text as code, 'work:' || connection_id || ':' || refused_code as subject,
    count(*) as number, min(refused_detail) as detail, null::integer as item_id
from commands where status = 'rejected' group by connection_id, refused_code
union all
select connection_id, 'command.delayed', 'work:' || connection_id, count(*), min(reference), null
from commands where is_late and status in ('owed', 'unknown') group by connection_id;
comment on view command_troubles is 'What a person should know of commands, one row for each cause.';

create view dispatch_troubles as
select connection_id, code, subject, number, detail, item_id from posting_troubles
union all
select connection_id, code, subject, number, detail, item_id from command_troubles;
comment on view dispatch_troubles is 'What a person should know of what connections are owed, beside numbers.';

create view v_work_is_commanded as
with claimed as (
    select e.reservation_id, c.line, e.location_id, sum(e.allocated) as units,
        coalesce(sum(e.allocated) filter (where e.allocated > 0 and w.connection_id is not null), 0) as worked,
        count(*) filter (where e.allocated > 0 and w.connection_id is null) as unworked
    from claim_entries e
    join claims c using (reservation_id, claim_no)
    left join lateral (
        select w.connection_id from location_workers w where w.location_id = e.location_id and w.ledger_seq <= e.ledger_seq
        order by w.ledger_seq desc limit 1
    ) w on true
    where e.allocated <> 0 and (e.kind not in ('ship', 'unship') or e.elsewhere)
    group by 1, 2, 3
), commanded as (
    select c.reservation_id, l.line, c.location_id, sum(case c.kind when 'pick' then l.units else -l.units end) as units
    from commands c join command_lines l using (command_id) group by 1, 2, 3
)
select reservation_id, line, location_id, a.units as allocated, coalesce(k.units, 0) as commanded
from claimed a full join commanded k using (reservation_id, line, location_id)
where a.reservation_id is null
    or case when a.unworked = 0 then coalesce(k.units, 0) <> a.units else coalesce(k.units, 0) not between 0 and a.worked end;
comment on view v_work_is_commanded is 'What a system was commanded to pick at a location, less what was cancelled, is not what is allocated there and was not given back. Report it.';

create view v_cancel_follows_its_pick as
select * from (
    select c.reservation_id, c.number, l.line, c.connection_id,
        sum(case c.kind when 'pick' then l.units else -l.units end) over (
            partition by c.connection_id, c.reservation_id, c.location_id, l.line, c.status = 'shadow' order by c.number) as units
    from commands c join command_lines l using (command_id)
) t where units < 0;
comment on view v_cancel_follows_its_pick is 'A system is told to cancel units that it was not told to pick. Report it.';

create view v_commands_go_in_order as
select reservation_id, max(number) as number, null::integer as before from commands group by reservation_id having max(number) <> count(*)
union all
select c.reservation_id, c.number, b.number
from commands c
join commands b on b.reservation_id = c.reservation_id and b.location_id = c.location_id and b.connection_id = c.connection_id and b.number < c.number
where c.tries > 0 and b.status <> 'shadow' and (b.done_at is null or b.done_at > c.first_sent_at);
comment on view v_commands_go_in_order is 'A command was sent before the one that goes before it was done, or one of a reservation is missing. Report it.';

create view v_command_is_due_until_done as
select command_id, status, due_at, done_at from commands
where (due_at is not null) <> (status in ('owed', 'unknown')) or (done_at is not null) <> (status = 'done')
    or (document is not null and status <> 'done') or (refused_code is not null) <> (status = 'rejected')
union all
select c.command_id, c.status, c.due_at, c.done_at from commands c where not exists (select from command_lines l where l.command_id = c.command_id);
comment on view v_command_is_due_until_done is 'A command is not done and nobody will send it, or it is and will be sent again, or it says nothing. Report it.';

create view v_command_done_was_confirmed as
select c.command_id, c.status, c.document, count(a.command_id) as times
from commands c
left join command_attempts a on a.command_id = c.command_id and a.outcome = 'done' and a.document is not distinct from c.document
group by 1, 2, 3 having count(a.command_id) <> (c.status = 'done')::integer
union all
select a.command_id, 'done', min(a.document), count(*) from command_attempts a where a.outcome = 'done' group by 1 having count(*) > 1;
comment on view v_command_done_was_confirmed is 'A command counts as done and no answer says so, or more than one does. Look in that system how often it was done, and report it.';

create view v_command_attempts_do_not_overlap as
select command_id, try, fence, before, started_at, ended_before
from (
    select a.*, lag(fence) over w as before, lag(ended_at) over w as ended_before from command_attempts a window w as (partition by command_id order by try)
) t
where before > fence or ended_before > started_at or ended_at < started_at;
comment on view v_command_attempts_do_not_overlap is 'Somebody who no longer held a connection sent it a command. Report it.';

create view v_command_trouble_is_shown as
select coalesce(t.code, e.code) as code, coalesce(t.subject, e.subject) as subject, t.number
from command_troubles t
full join (select code, subject from exceptions where code in ('command.rejected', 'command.delayed') and closed_at is null) e
    on e.code = t.code and e.subject = t.subject
where t.code is null or e.code is null;
comment on view v_command_trouble_is_shown is 'A system refuses a command and no exception says so, or one says so of what is settled. Report it.';

create view v_commands_are_append_only as
select c.relname::text as table_name, a.attname::text as column_name
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = (select relnamespace from pg_class where oid = 'commands'::regclass)
    and (c.relname in ('location_workers', 'command_lines', 'command_attempts')
        or (c.relname = 'commands' and a.attname in ('command_id', 'connection_id', 'reservation_id', 'number', 'location_id', 'kind', 'reference',
            'ledger_seq', 'trace_id', 'made_at')))
    and has_column_privilege('evenstock_app', c.oid, a.attnum, 'UPDATE')
union all
select t, null from unnest(array['location_workers', 'commands', 'command_lines', 'command_attempts']) as t
where has_table_privilege('evenstock_app', t::regclass, 'DELETE') or has_table_privilege('evenstock_app', t::regclass, 'TRUNCATE');
comment on view v_commands_are_append_only is 'The runtime may rewrite what was commanded. Take the privilege away: REVOKE it from evenstock_app.';

-- Grants --------------------------------------------------------------------------------------------------------

grant usage on sequence command_ids to evenstock_app;
grant select, insert on location_workers, commands, command_lines, command_attempts to evenstock_app;
grant update (status, due_at, round, tries, first_sent_at, sent_at, document, done_at, refused_code, refused_detail, is_late) on commands to evenstock_app;
grant select on workers_now, command_troubles, dispatch_troubles, v_work_is_commanded, v_cancel_follows_its_pick, v_commands_go_in_order,
    v_command_is_due_until_done, v_command_done_was_confirmed, v_command_attempts_do_not_overlap, v_command_trouble_is_shown,
    v_commands_are_append_only to evenstock_app;
