-- What goes out beyond numbers: the ledger's movements as postings to an ERP's books; when, how fast and whether at all a
-- connection is spoken to.
--
-- Postings are read from the ledger's own order (D16), like numbers for channels; the cursor of a connection's books only goes on
-- in the transaction that writes the postings, and each movement stands in one of them by its primary key.

alter table connections
    add column closed jsonb not null default '[]',
    add column calls_per_s double precision constraint calls_per_s_is_positive check (calls_per_s > 0),
    add column flow text collate "C" not null default 'live' constraint flow_is_known check (flow in ('off', 'observe', 'shadow', 'live'));
comment on column connections.closed is 'Times of day at which nothing is sent: maintenance of the system, or the hours outside its posting window.';
comment on column connections.calls_per_s is 'At most so many calls a second; null leaves it to what the system''s answers teach.';
alter table connections
    add column handling text collate "C" not null default 'running' constraint handling_is_known check (handling in ('running', 'draining', 'paused')),
    add column handled_at timestamptz,
    add column handled_why text;
comment on column connections.handling is 'What a person said: paused, nothing is sent and all is kept; draining, only what was owed at handled_at is.';
alter table lanes add column per_s double precision constraint per_s_is_positive check (per_s > 0);
comment on column lanes.per_s is 'Calls a second that the system''s own answers taught us; null while it never complained.';
comment on column connections.flow is 'off: nothing goes out. observe: only looked at. shadow: decided and written down, not sent. live: sent.';

create table books (
    connection_id integer primary key,
    ledger_from bigint not null,
    ledger_seq bigint not null,
    per text collate "C" not null constraint per_is_known check (per in ('ticket', 'store', 'batch')),
    every_s integer not null constraint every_s_is_sane check (every_s between 0 and 86400),
    first text[] collate "C" not null,
    late_days integer not null constraint late_days_is_sane check (late_days between 0 and 366),
    is_kept boolean not null default true,
    constraint cursor_is_not_behind_its_beginning check (ledger_seq >= ledger_from)
);
comment on table books is 'Connections whose systems keep books of our stock, and how movements are added up for them.';
comment on column books.ledger_from is 'What the ledger took up until here was there before the books began, and is not posted.';
comment on column books.ledger_seq is 'Until here the ledger is in postings. Whoever holds this row makes them.';
comment on column books.first is 'Kinds in the order in which they are sent; the others follow.';
comment on column books.late_days is 'A fact that we learned of later than this is posted on the day we learned of it: its own day is closed.';
comment on column books.is_kept is 'False while the connection is not configured to keep books; nothing is lost, postings are made when it is again.';

create sequence posting_ids as bigint;

create table postings (
    posting_id bigint primary key,
    connection_id integer not null,
    reference text collate "C" not null constraint reference_is_unique unique,
    kind text collate "C" not null constraint kind_is_known check (kind in ('sales', 'returns', 'receipts', 'transfers', 'adjustments')),
    posted_on date not null,
    location_id integer,
    fact_id bigint,
    carries bigint,
    ledger_from bigint not null,
    ledger_to bigint not null,
    trace_id text collate "C",
    made_at timestamptz not null,
    rank smallint not null,
    status text collate "C" not null constraint status_is_known
        check (status in ('owed', 'unknown', 'done', 'partly', 'rejected', 'nothing', 'shadow')),
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
    constraint ends_after_it_begins check (ledger_to >= ledger_from)
);
comment on table postings is 'What is owed to the books, in the order in which it was made. Its lines never change; it is sent until the books have it.';
comment on column postings.fact_id is 'The fact it is of, where books are kept per ticket.';
comment on column postings.carries is 'The posting whose refused lines it brings again.';
comment on column postings.status is 'unknown: it may be in the books, and is looked up there before it is sent again. nothing: its lines cancel out.';
comment on column postings.round is 'Raised when a person has it sent again after it was refused: part of its key.';
comment on column postings.document is 'The books'' own number for it.';
create index postings_due on postings (connection_id, rank, posting_id) where due_at is not null;
create index postings_by_document on postings (document) where document is not null;
create index postings_refused on postings (connection_id) where refused_code is not null or is_late;
create index postings_by_fact on postings (fact_id) where fact_id is not null;

create table posting_lines (
    posting_id bigint not null,
    line integer not null,
    item_id integer not null,
    location_id integer not null,
    units bigint not null,
    refused_code text collate "C",
    refused_detail text,
    carried_by bigint,
    primary key (posting_id, line)
);
comment on table posting_lines is 'What a posting adds to the stock on hand of an item at a location. Zero is not sent.';
comment on column posting_lines.carried_by is 'The posting that brings this refused line again.';
create index posting_lines_refused on posting_lines (posting_id) where refused_code is not null;

create table posting_entries (
    connection_id integer not null,
    ledger_seq bigint not null,
    ordinal integer not null,
    posting_id bigint not null,
    line integer not null,
    primary key (connection_id, ledger_seq, ordinal)
);
comment on table posting_entries is 'Which line of which posting each movement is in: one for each books, by the primary key.';
create index posting_entries_by_posting on posting_entries (posting_id, line);

create table posting_attempts (
    posting_id bigint not null,
    try integer not null,
    connection_id integer not null,
    fence bigint not null,
    started_at timestamptz not null,
    ended_at timestamptz not null,
    outcome text collate "C" not null constraint outcome_is_known
        check (outcome in ('done', 'partly', 'retry', 'rejected', 'unauthorized', 'unknown')),
    detail text,
    document text,
    primary key (posting_id, try)
);
comment on table posting_attempts is 'Every try to bring a posting into the books and what became of it, for ever (D13).';

-- What must hold ------------------------------------------------------------------------------------------------

create view posting_effects as
select m.ledger_seq, m.ordinal, m.item_id, m.location_id, m.fact_id,
    m.quantity * ((m.to_place in ('sellable', 'quarantine', 'damaged'))::integer - (m.from_place in ('sellable', 'quarantine', 'damaged'))::integer) as units
from movements m
where (m.to_place in ('sellable', 'quarantine', 'damaged')) <> (m.from_place in ('sellable', 'quarantine', 'damaged'));
comment on view posting_effects is 'What each movement changes of the stock on hand; those that change nothing are left out, for the books do not see them.';

create view posting_troubles as
select connection_id, 'posting.rejected'::text as code, 'books:' || connection_id || ':' || refused_code as subject,
    count(*) as number, min(refused_detail) as detail, null::integer as item_id
from postings where status = 'rejected' group by connection_id, refused_code
union all
select p.connection_id, 'posting.line_refused', 'books:' || p.connection_id || ':' || l.refused_code || ':' || l.item_id,
    count(*), min(l.refused_detail), l.item_id
from posting_lines l join postings p using (posting_id) left join postings c on c.posting_id = l.carried_by
where l.refused_code is not null and (l.carried_by is null or c.status not in ('done', 'partly')) group by p.connection_id, l.refused_code, l.item_id
union all
select connection_id, 'posting.delayed', 'books:' || connection_id, count(*), min(reference), null
from postings where is_late and status in ('owed', 'unknown') group by connection_id;
comment on view posting_troubles is 'What a person should know of postings, one row for each cause.';

create view v_movement_is_posted_once as
select b.connection_id, coalesce(e.ledger_seq, x.ledger_seq) as ledger_seq, coalesce(e.ordinal, x.ordinal) as ordinal, x.posting_id, e.units
from books b
cross join lateral (
    select * from posting_effects e where e.ledger_seq > b.ledger_from and e.ledger_seq <= b.ledger_seq
) e
full join posting_entries x on x.connection_id = b.connection_id and x.ledger_seq = e.ledger_seq and x.ordinal = e.ordinal
where e.ledger_seq is null or x.ledger_seq is null;
comment on view v_movement_is_posted_once is 'A movement is missing from the books'' postings, or a posting holds what is no movement. Report it.';

create view v_posting_line_is_sum as
select coalesce(l.posting_id, s.posting_id) as posting_id, coalesce(l.line, s.line) as line, l.units, s.units as sum
from posting_lines l
join postings p on p.posting_id = l.posting_id and p.carries is null
full join (
    select x.posting_id, x.line, e.item_id, e.location_id, sum(e.units)::bigint as units
    from posting_entries x join posting_effects e using (ledger_seq, ordinal) group by 1, 2, 3, 4
) s on s.posting_id = l.posting_id and s.line = l.line and s.item_id = l.item_id and s.location_id = l.location_id
where l.units is distinct from s.units;
comment on view v_posting_line_is_sum is 'A line of a posting is not the sum of its movements. Restore it from a backup.';

create view v_carried_line_is_the_refused_one as
select c.posting_id, l.posting_id as carrying, c.line, c.units, l.units as carried
from (select * from posting_lines where carried_by is not null) c
full join (select l.*, p.carries from posting_lines l join postings p using (posting_id) where p.carries is not null) l
    on l.posting_id = c.carried_by and l.carries = c.posting_id and l.line = c.line
where (c.item_id, c.location_id, c.units) is distinct from (l.item_id, l.location_id, l.units) or c.refused_code is null;
comment on view v_carried_line_is_the_refused_one is 'A refused line was brought to the books again otherwise than it was, or without having been refused. Report it.';

create view v_posting_is_due_until_done as
select posting_id, status, due_at, document, done_at
from postings
where (due_at is not null) <> (status in ('owed', 'unknown')) or (done_at is not null) <> (status in ('done', 'partly'))
    or (document is not null) <> (status in ('done', 'partly')) or (status = 'rejected' and refused_code is null);
comment on view v_posting_is_due_until_done is 'A posting is not in the books and nobody will send it, or it is and will be sent again. Report it.';

create view v_posting_done_was_confirmed as
select p.posting_id, p.status, p.document, a.outcome
from postings p
left join posting_attempts a on a.posting_id = p.posting_id and a.outcome in ('done', 'partly')
where case when p.status in ('done', 'partly') then a.outcome is distinct from p.status or a.document is distinct from p.document
    else a.outcome is not null end;
comment on view v_posting_done_was_confirmed is 'A posting counts as in the books and no answer of theirs says so, or the other way round. Report it.';

create view v_posting_is_done_once as
select posting_id, count(*) from posting_attempts where outcome in ('done', 'partly') group by posting_id having count(*) > 1
union all
select min(posting_id), count(*) from postings where document is not null group by connection_id, document having count(*) > 1;
comment on view v_posting_is_done_once is 'A posting went into the books twice, or two share a document. Cancel one document there, and report it.';

create view v_posting_attempts_do_not_overlap as
select posting_id, try, fence, before, started_at, ended_before
from (
    select a.*, lag(fence) over w as before, lag(ended_at) over w as ended_before from posting_attempts a window w as (partition by posting_id order by try)
) t
where before > fence or ended_before > started_at or ended_at < started_at;
comment on view v_posting_attempts_do_not_overlap is 'Somebody who no longer held a connection sent it a posting. Report it.';

create view v_posting_trouble_is_shown as
select coalesce(t.code, e.code) as code, coalesce(t.subject, e.subject) as subject, t.number
from posting_troubles t
full join (select code, subject from exceptions where code in ('posting.rejected', 'posting.line_refused', 'posting.delayed') and closed_at is null) e
    on e.code = t.code and e.subject = t.subject
where t.code is null or e.code is null;
comment on view v_posting_trouble_is_shown is 'The books refuse something and no exception says so, or one says so of what is settled. Report it.';

create view v_postings_are_append_only as
select c.relname::text as table_name, a.attname::text as column_name
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = (select relnamespace from pg_class where oid = 'postings'::regclass)
    and (c.relname in ('posting_entries', 'posting_attempts')
        or (c.relname = 'postings' and a.attname in ('posting_id', 'connection_id', 'reference', 'kind', 'posted_on', 'fact_id', 'carries', 'made_at'))
        or (c.relname = 'posting_lines' and a.attname in ('posting_id', 'line', 'item_id', 'location_id', 'units')))
    and has_column_privilege('evenstock_app', c.oid, a.attnum, 'UPDATE')
union all
select t, null from unnest(array['postings', 'posting_lines', 'posting_entries', 'posting_attempts']) as t
where has_table_privilege('evenstock_app', t::regclass, 'DELETE') or has_table_privilege('evenstock_app', t::regclass, 'TRUNCATE');
comment on view v_postings_are_append_only is 'The runtime may rewrite what was posted. Take the privilege away: REVOKE it from evenstock_app.';

-- Grants --------------------------------------------------------------------------------------------------------

grant select, insert, update on books to evenstock_app;
grant usage on sequence posting_ids to evenstock_app;
grant select, insert on postings, posting_lines, posting_entries, posting_attempts to evenstock_app;
grant update (status, due_at, round, tries, first_sent_at, sent_at, document, done_at, refused_code, refused_detail, is_late) on postings to evenstock_app;
grant update (refused_code, refused_detail, carried_by) on posting_lines to evenstock_app;
grant select on posting_effects, posting_troubles, v_movement_is_posted_once, v_posting_line_is_sum, v_carried_line_is_the_refused_one,
    v_posting_is_due_until_done, v_posting_done_was_confirmed, v_posting_is_done_once, v_posting_attempts_do_not_overlap,
    v_posting_trouble_is_shown, v_postings_are_append_only to evenstock_app;
