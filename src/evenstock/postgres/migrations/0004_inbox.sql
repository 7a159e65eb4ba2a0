-- The inbox: messages exactly as vendors sent them, until they are events; and the secrets that connections refer to.

create table messages (
    message_id bigint generated always as identity primary key,
    connection_id integer not null,
    dedupe text collate "C" not null,
    vendor_id text collate "C" not null,
    name text not null default '',
    headers jsonb not null,
    body bytea,
    body_sha256 bytea not null,
    masked boolean not null default false,
    received_at timestamptz not null,
    waiting_since timestamptz not null,
    status text collate "C" not null default 'received' constraint status_is_known check (status in ('received', 'translated', 'dead')),
    attempts integer not null default 0,
    keys text[] collate "C" not null default '{}',
    code text collate "C",
    detail text,
    pointer text,
    exception_id bigint,
    done_at timestamptz,
    constraint message_once unique (connection_id, dedupe)
) with (fillfactor = 90);
comment on table messages is 'Verified messages, byte for byte, each once; what became of them. Nothing unverified is ever here.';
comment on column messages.dedupe is 'What the vendor''s signature vouches for: its own id of the message, else the kind and the hash of the body.';
comment on column messages.body is 'Null once a translated message is older than it is kept for; the hash stays.';
comment on column messages.masked is 'A payment card number was masked before the body was stored; the hash is of what is stored.';
comment on column messages.waiting_since is 'When it was received, or last asked to be translated again.';
comment on column messages.attempts is 'Counted before each try, so that a message that kills its reader is known by it.';
comment on column messages.keys is 'The ids of the events that came of it; each is a fact of the connection.';
create index messages_waiting on messages (message_id) where status = 'received';
create index messages_by_exception on messages (exception_id) where exception_id is not null;
create index messages_with_body on messages (done_at) where status = 'translated' and body is not null;

create table secrets (
    name text collate "C" primary key,
    token text not null,
    changed_at timestamptz not null
);
comment on table secrets is 'Encrypted with keys that are not in the database; a token holds its own name, so that it opens under no other.';

-- What must hold ------------------------------------------------------------------------------------------------

create view v_message_body_is_intact as
select message_id, connection_id, status, body is null as body_missing
from messages
where case when body is null then status <> 'translated' else sha256(body) <> body_sha256 end;
comment on view v_message_body_is_intact is 'A message is not the bytes that were received, or they are gone before it was translated. Restore it from a backup.';

create view v_translated_message_is_booked as
select m.message_id, m.connection_id, k.key
from (select message_id, connection_id, unnest(keys) as key from messages where status = 'translated') as k
join messages m using (message_id)
left join facts f on f.connection_id = k.connection_id and f.key = k.key
where f.fact_id is null;
comment on view v_translated_message_is_booked is 'A message counts as translated and an event of it is no fact. Translate it again, and report it.';

create view v_message_ends as
select m.message_id, m.connection_id, m.status, m.attempts, m.received_at
from messages m cross join ledger_head h
where (m.status = 'received' and m.waiting_since < h.recorded_at - interval '10 minutes')
    or (m.status = 'received') is distinct from (m.done_at is null)
    or (m.status = 'dead') is distinct from (m.status <> 'received' and m.code is not null);
comment on view v_message_ends is 'A message was taken and neither became events nor a dead letter, while the ledger went on for ten minutes. Look whether a server runs and what its log says.';

create view v_dead_message_is_shown as
with dead as (
    select exception_id, max(message_id) as message_id, bool_or(status = 'dead') as some_dead from messages
    where status = 'dead' or exception_id is not null group by exception_id
), shown as (
    select exception_id from exceptions
    where code in ('message.untranslatable', 'message.poison', 'message.id_reused') and closed_at is null
)
select exception_id, message_id
from dead d full join shown s using (exception_id)
where (d.some_dead and s.exception_id is null) or d.message_id is null or exception_id is null;
comment on view v_dead_message_is_shown is 'A dead letter that no exception shows, or an exception without any message under it. Report it.';

create view v_inbox_keeps_what_came as
select c.relname::text as table_name, a.attname::text as column_name
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.oid = 'messages'::regclass
    and a.attname in ('message_id', 'connection_id', 'dedupe', 'vendor_id', 'name', 'headers', 'body_sha256', 'masked', 'received_at')
    and has_column_privilege('evenstock_app', c.oid, a.attnum, 'UPDATE')
union all
select 'messages', null where has_table_privilege('evenstock_app', 'messages'::regclass, 'DELETE')
    or has_table_privilege('evenstock_app', 'messages'::regclass, 'TRUNCATE');
comment on view v_inbox_keeps_what_came is 'The runtime may change or delete what was received. Take the right away from it again, and see who gave it.';

-- Grants --------------------------------------------------------------------------------------------------------

grant select, insert on messages to evenstock_app;
grant update (status, waiting_since, attempts, keys, code, detail, pointer, exception_id, done_at, body) on messages to evenstock_app;
grant select, insert, update, delete on secrets to evenstock_app;
grant select on v_message_body_is_intact, v_translated_message_is_booked, v_message_ends, v_dead_message_is_shown,
    v_inbox_keeps_what_came to evenstock_app;
