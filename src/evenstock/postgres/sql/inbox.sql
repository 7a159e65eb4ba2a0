-- name: insert
-- Each message once; those that were there before come back by `known`.
insert into messages (connection_id, dedupe, vendor_id, name, headers, body, body_sha256, masked, received_at, waiting_since, trace_id)
select c, d, v, n, h::jsonb, b, sha256(b), m, r, r, t
from unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::boolean[], $8::timestamptz[], $9::text[])
    as k(c, d, v, n, h, b, m, r, t)
order by c, d
on conflict (connection_id, dedupe) do nothing
returning message_id, connection_id, dedupe;

-- name: known
select m.message_id, m.connection_id, m.dedupe, m.body_sha256, m.trace_id
from unnest($1::integer[], $2::text[]) as k(connection_id, dedupe) join messages m using (connection_id, dedupe);

-- name: bury_reused
-- Another content under an id that was used before: kept, and shown at once.
update messages set status = 'dead', code = 'message.id_reused', detail = $2, exception_id = $3, done_at = $4
where message_id = $1 and status = 'received' and exception_id is null;

-- name: count_attempt
-- Committed before anybody works on them: what kills its reader is known by its count. A message that was tried before is
-- taken by itself, so that its neighbours do not share its fate.
update messages m set attempts = attempts + 1
from (
    select message_id from messages
    where status = 'received' and case when $2::bigint is null then attempts = 0 else message_id = $2 end
    order by message_id limit $1 for update skip locked
) as t
where m.message_id = t.message_id
returning m.message_id;

-- name: tried_before
-- The oldest that was tried and not finished, unless somebody works on it.
select message_id from messages where status = 'received' and attempts > 0 order by message_id limit 1 for update skip locked;

-- name: take
-- Locked until they are settled or we are gone: then the next may have them at once.
select m.message_id, m.connection_id, m.name, m.headers::text as headers, m.body, m.received_at, m.attempts, m.exception_id, m.trace_id, m.as_was
from messages m where m.message_id = any ($1::bigint[]) and m.status = 'received'
order by m.message_id for update skip locked;

-- name: give_back
-- A try that was cut short by no fault of the message does not count.
update messages set attempts = attempts - 1 where message_id = any ($1::bigint[]) and status = 'received' and attempts > 0;

-- name: settle
update messages m set status = n.s, keys = m.keys || array(select t.k from json_array_elements_text(n.k) with ordinality as t(k, o) where t.k <> all (m.keys) order by t.o), code = n.c, detail = n.d, pointer = n.p,
    exception_id = n.e, done_at = $2
from json_to_recordset($1::json) as n(i bigint, s text, k json, c text, d text, p text, e bigint)
where m.message_id = n.i and m.status = 'received';

-- name: lock_exceptions
-- Taken before it is asked what is under them, so that a dead letter on its way is seen.
select exception_id from exceptions where exception_id = any ($1::bigint[]) and closed_at is null order by 1 for update;

-- name: close_empty
update exceptions e set closed_at = $2
where e.exception_id = any ($1::bigint[]) and e.closed_at is null
    and not exists (select from messages m where m.exception_id = e.exception_id);

-- name: exceptions_of
select distinct exception_id from messages where message_id = any ($1::bigint[]) and exception_id is not null;

-- name: ask_again
-- Dead letters wait once more; their exception stays until it is known what becomes of them.
update messages set status = 'received', waiting_since = $5, attempts = 0, code = null, detail = null, pointer = null, done_at = null
where message_id in (
    select message_id from messages m join connections c using (connection_id)
    where m.status = 'dead' and ($1::bigint[] is null or m.message_id = any ($1)) and ($2::bigint is null or m.exception_id = $2)
        and ($3::text is null or c.id = $3)
    order by message_id limit $4 for update of m skip locked
)
returning message_id;

-- name: page
select m.message_id, c.id as connection, m.vendor_id, m.name, m.status, m.attempts, m.keys, m.code, m.detail, m.pointer, m.exception_id,
    m.masked, m.received_at, m.done_at, encode(m.body_sha256, 'hex') as body_sha256
from messages m join connections c using (connection_id)
where m.message_id < $1 and ($2::text is null or m.status = $2) and ($3::text is null or c.id = $3)
    and ($4::bigint is null or m.exception_id = $4)
order by m.message_id desc limit $5;

-- name: forget_bodies
update messages set body = null
where message_id in (
    select message_id from messages where status = 'translated' and body is not null and replaced_by is null and done_at < $1 order by done_at limit $2
    for update skip locked
);
