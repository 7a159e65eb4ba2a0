-- Replays: planned with their exact items, run a few at a time at their rate, ended with what became of each.

-- name: messages_failed
-- What could not be read. ($1 connection, $2 exception, $3 messages, $4 now, $5 limit)
select m.message_id as target, null::integer as channel_id, null as subject, m.received_at as at, c.id as place, cardinality(m.keys) as known
from messages m join connections c using (connection_id)
where m.status = 'dead' and m.body is not null and ($1::text is null or c.id = $1) and ($2::bigint is null or m.exception_id = $2)
    and ($3::bigint[] is null or m.message_id = any ($3)) and $4::timestamptz is not null
order by m.message_id limit $5;

-- name: messages_missing
-- What was received and nobody has read for a minute.
select m.message_id as target, null::integer as channel_id, null as subject, m.received_at as at, c.id as place, cardinality(m.keys) as known
from messages m join connections c using (connection_id)
where m.status = 'received' and m.waiting_since < $4::timestamptz - interval '1 minute' and ($1::text is null or c.id = $1)
    and ($2::bigint is null or m.exception_id = $2) and ($3::bigint[] is null or m.message_id = any ($3))
order by m.message_id limit $5;

-- name: messages_all
-- Everything of which the bytes are there; what was edited is spoken for by its edit.
select m.message_id as target, null::integer as channel_id, null as subject, m.received_at as at, c.id as place, cardinality(m.keys) as known
from messages m join connections c using (connection_id)
where m.body is not null and m.replaced_by is null and ($1::text is null or c.id = $1) and ($2::bigint is null or m.exception_id = $2)
    and ($3::bigint[] is null or m.message_id = any ($3)) and $4::timestamptz is not null
order by m.message_id limit $5;

-- name: held
-- What held lines wait for.
select null::bigint as target, null::integer as channel_id, h.subject, min(h.occurred_at) as at, h.subject as place, count(*)::integer as known
from held_lines h join facts f using (fact_id) join connections c using (connection_id)
where h.settled_at is null and ($1::text is null or c.id = $1) and ($2::bigint is null or h.exception_id = $2)
    and $3::bigint[] is null and $4::timestamptz is not null
group by h.subject order by h.subject limit $5;

-- name: exposures_failed
-- Numbers that their system refused. ($1 connection, $2 exception, $3 channel, $4 now, $5 limit)
select e.item_id::bigint as target, e.channel_id, null as subject, e.computed_at as at, c.id as place, 0 as known
from exposures e join channels c using (channel_id) left join connections k on k.connection_id = e.connection_id
where e.refused_version = e.version and ($1::text is null or k.id = $1) and ($3::text is null or c.id = $3) and $4::timestamptz is not null
    and ($2::bigint is null or (select subject from exceptions where exception_id = $2) = 'exposure:' || e.channel_id || ':' || e.item_id)
order by e.channel_id, e.item_id limit $5;

-- name: exposures_missing
-- Numbers that their system has not confirmed.
select e.item_id::bigint as target, e.channel_id, null as subject, e.computed_at as at, c.id as place, 0 as known
from exposures e join channels c using (channel_id) left join connections k on k.connection_id = e.connection_id
where e.due_at is not null and ($1::text is null or k.id = $1) and ($3::text is null or c.id = $3) and $4::timestamptz is not null
    and ($2::bigint is null or (select subject from exceptions where exception_id = $2) = 'exposure:' || e.channel_id || ':' || e.item_id)
order by e.channel_id, e.item_id limit $5;

-- name: exposures_all
select e.item_id::bigint as target, e.channel_id, null as subject, e.computed_at as at, c.id as place, 0 as known
from exposures e join channels c using (channel_id) left join connections k on k.connection_id = e.connection_id
where ($1::text is null or k.id = $1) and ($3::text is null or c.id = $3) and $4::timestamptz is not null
    and ($2::bigint is null or (select subject from exceptions where exception_id = $2) = 'exposure:' || e.channel_id || ':' || e.item_id)
order by e.channel_id, e.item_id limit $5;

-- name: postings_failed
-- Postings that the books refused, or lines of which they refused. ($1 connection, $2 exception, $3 nothing, $4 now, $5 limit)
select p.posting_id as target, null::integer as channel_id, null as subject, p.made_at as at, k.id as place, 0 as known
from postings p join connections k using (connection_id)
cross join lateral (
    select array_agg(format('books:%s:%s:%s', p.connection_id, l.refused_code, l.item_id)) as subjects from posting_lines l
    where l.posting_id = p.posting_id and l.refused_code is not null and l.carried_by is null
) r
where (p.status = 'rejected' or (p.status = 'partly' and r.subjects is not null)) and ($1::text is null or k.id = $1)
    and $3::bigint[] is null and $4::timestamptz is not null
    and ($2::bigint is null or (select subject from exceptions where exception_id = $2)
        = any (array_append(r.subjects, format('books:%s:%s', p.connection_id, p.refused_code))))
order by p.posting_id limit $5;

-- name: postings_missing
-- Postings that are not in the books yet, and that nobody refused.
select p.posting_id as target, null::integer as channel_id, null as subject, p.made_at as at, k.id as place, 0 as known
from postings p join connections k using (connection_id)
where p.due_at is not null and ($1::text is null or k.id = $1) and $3::bigint[] is null and $4::timestamptz is not null
    and ($2::bigint is null or (select subject from exceptions where exception_id = $2) = 'books:' || p.connection_id)
order by p.posting_id limit $5;

-- name: postings_all
-- Everything that is not in the books: what is there is never sent again.
select p.posting_id as target, null::integer as channel_id, null as subject, p.made_at as at, k.id as place, 0 as known
from postings p join connections k using (connection_id)
where ($1::text is null or k.id = $1) and $3::bigint[] is null and $4::timestamptz is not null and $2::bigint is null
    and (p.due_at is not null or p.status = 'rejected' or (p.status = 'partly' and exists (
        select from posting_lines l where l.posting_id = p.posting_id and l.refused_code is not null and l.carried_by is null)))
order by p.posting_id limit $5;

-- name: commands_failed
-- Commands that their system refused. ($1 connection, $2 exception, $3 nothing, $4 now, $5 limit)
select c.command_id as target, null::integer as channel_id, null as subject, c.made_at as at, k.id as place, 0 as known
from commands c join connections k using (connection_id)
where c.status = 'rejected' and ($1::text is null or k.id = $1) and $3::bigint[] is null and $4::timestamptz is not null
    and ($2::bigint is null or (select subject from exceptions where exception_id = $2) = format('work:%s:%s', c.connection_id, c.refused_code))
order by c.command_id limit $5;

-- name: commands_missing
-- Commands that are not done yet, and that nobody refused.
select c.command_id as target, null::integer as channel_id, null as subject, c.made_at as at, k.id as place, 0 as known
from commands c join connections k using (connection_id)
where c.due_at is not null and ($1::text is null or k.id = $1) and $3::bigint[] is null and $4::timestamptz is not null
    and ($2::bigint is null or (select subject from exceptions where exception_id = $2) = 'work:' || c.connection_id)
order by c.command_id limit $5;

-- name: commands_all
-- Everything that is not done: what was done is never sent again.
select c.command_id as target, null::integer as channel_id, null as subject, c.made_at as at, k.id as place, 0 as known
from commands c join connections k using (connection_id)
where c.status in ('owed', 'unknown', 'rejected') and ($1::text is null or k.id = $1) and $3::bigint[] is null and $4::timestamptz is not null
    and $2::bigint is null
order by c.command_id limit $5;

-- name: looks
-- Numbers that their system confirmed and that it can be asked to show. ($1 connection, $2 exception, $3 channel, $4 now, $5 limit,
-- $6 connectors that can be asked, $7 which: failed, those that it showed otherwise; missing, those not looked at since; all)
select e.item_id::bigint as target, e.channel_id, null as subject, e.acked_at as at, c.id as place, 0 as known
from exposures e
join channels c using (channel_id)
join connections k on k.connection_id = e.connection_id
left join observed o on o.channel_id = e.channel_id and o.item_id = e.item_id
where e.due_at is null and e.acked is not null and k.connector = any ($6::text[]) and ($1::text is null or k.id = $1)
    and ($3::text is null or c.id = $3) and $4::timestamptz is not null
    and case $7::text when 'failed' then o.strays > 0 when 'missing' then o.observed_at is null or o.observed_at < e.acked_at else true end
    and ($2::bigint is null or (select subject from exceptions where exception_id = $2) = 'exposure:' || e.channel_id || ':' || e.item_id)
order by e.channel_id, e.item_id limit $5;

-- name: insert
insert into replays (step, verb, rules, reason, rate_per_s, items, oldest_at, effects, made_by, made_at)
values ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9, $10) returning replay_id;

-- name: insert_items
insert into replay_items (replay_id, ordinal, target, channel_id, subject)
select $1, n, t, c, s from unnest($2::integer[], $3::bigint[], $4::integer[], $5::text[]) as i(n, t, c, s);

-- name: page
select r.*, r.effects::text as told, i.done, i.failed, i.skipped, i.asked, s.stopped
from replays r cross join replay_switch s
cross join lateral (
    select count(*) filter (where status = 'done') as done, count(*) filter (where status = 'failed') as failed,
        count(*) filter (where status = 'skipped') as skipped, count(*) filter (where status = 'asked') as asked
    from replay_items i where i.replay_id = r.replay_id
) as i
where r.replay_id < $1 and ($2::bigint is null or r.replay_id = $2)
order by r.replay_id desc limit $3;

-- name: failures
-- The first items that came to nothing, and why.
select r.step, i.ordinal, i.target, i.subject, i.outcome, h.id as channel, t.sku from replay_items i
join replays r using (replay_id)
left join channels h using (channel_id)
left join items t on i.channel_id is not null and t.item_id = i.target
where i.replay_id = $1 and i.status in ('failed', 'skipped') order by i.ordinal limit $2;

-- name: lock
select status from replays where replay_id = $1 for update;

-- name: set_status
update replays set status = $2, running_since = case when $2 = 'running' then $3::timestamptz else running_since end,
    asked_before = case when $2 = 'running' then (select count(*) from replay_items i where i.replay_id = $1 and i.status <> 'waiting') else asked_before end,
    ended_at = case when $2 in ('cancelled', 'done') then $3::timestamptz end
where replay_id = $1;

-- name: skip_waiting
update replay_items set status = 'skipped', outcome = $2, done_at = $3 where replay_id = $1 and status = 'waiting';

-- name: switch
select stopped, changed_by, changed_at, reason from replay_switch;

-- name: set_switch
update replay_switch set stopped = $1, changed_by = $2, changed_at = $3, reason = $4;

-- name: turn
-- The replay whose turn it is: the oldest running one that nobody else works on, unless all are stopped.
select r.replay_id, r.step, r.verb, r.rules, r.rate_per_s, r.running_since,
    (select count(*) from replay_items i where i.replay_id = r.replay_id and i.status <> 'waiting') - r.asked_before as asked
from replays r cross join replay_switch s
where r.status = 'running' and not s.stopped and r.replay_id > $1
order by r.replay_id limit 1 for update of r skip locked;

-- name: next
select ordinal, target, channel_id, subject from replay_items where replay_id = $1 and status = 'waiting' order by ordinal limit $2;

-- name: ask_messages
-- Read once more; what somebody has meanwhile read or edited is left alone by who asks for what failed.
update messages set status = 'received', waiting_since = $2, attempts = 0, code = null, detail = null, pointer = null, done_at = null, as_was = $3
where message_id in (
    select message_id from messages
    where message_id = any ($1::bigint[]) and body is not null and replaced_by is null and (status = any ($4::text[]))
    order by message_id for update
)
returning message_id;

-- name: tell_again
-- Refused or confirmed numbers are told as a new version, under a key of their own; those that are owed go first now.
update exposures e set
    version = case when r.is_new then e.version + 1 else e.version end,
    was = case when r.is_new then e.intended else e.was end,
    because = case when r.is_new then 'replay' else e.because end,
    trace_id = case when r.is_new then null else e.trace_id end,
    computed_at = case when r.is_new then $3 else e.computed_at end,
    acked = case when r.is_new then null else e.acked end,
    acked_version = case when r.is_new then null else e.acked_version end,
    due_at = least(e.due_at, $3)
from (
    select e.channel_id, e.item_id, e.due_at is null as is_new
    from unnest($1::integer[], $2::bigint[]) as n(channel_id, item_id) join exposures e on e.channel_id = n.channel_id and e.item_id = n.item_id
    order by 1, 2 for update of e
) r
where e.channel_id = r.channel_id and e.item_id = r.item_id
returning e.channel_id, e.item_id, e.version;

-- name: mark
update replay_items i set status = n.s, outcome = n.w, version = n.v, done_at = case when n.s = 'asked' then null else $3::timestamptz end,
    asked_at = $3::timestamptz
from json_to_recordset($2::json) as n(o integer, s text, w text, v bigint)
where i.replay_id = $1 and i.ordinal = n.o;

-- name: settle_messages
update replay_items i set status = case when m.status = 'dead' then 'failed' else 'done' end, done_at = $2,
    outcome = case when m.status = 'dead' then m.code || ': ' || m.detail else cardinality(m.keys) || ' events' end
from messages m
where i.replay_id = $1 and i.status = 'asked' and m.message_id = i.target and m.status <> 'received';

-- name: settle_exposures
update replay_items i set status = case when e.acked_version >= i.version then 'done' else 'failed' end, done_at = $2,
    outcome = case when e.acked_version >= i.version then 'confirmed' else 'refused' end
from exposures e
where i.replay_id = $1 and i.status = 'asked' and e.channel_id = i.channel_id and e.item_id = i.target
    and (e.acked_version >= i.version or e.refused_version >= i.version);

-- name: hasten
-- Postings that are not in the books are sent as soon as their connection is.
update postings set due_at = least(due_at, $2) where posting_id = any ($1::bigint[]) and due_at is not null returning posting_id;

-- name: books_of
select distinct k.connection_id, k.id from postings join connections k using (connection_id) where posting_id = any ($1::bigint[]) order by 1;

-- name: settle_postings
update replay_items i set status = case when p.status = 'rejected' or l.refused then 'failed' else 'done' end, done_at = $2,
    outcome = case when p.status = 'rejected' then p.refused_detail when l.refused then 'document ' || p.document || ', without lines that it refused'
        else coalesce('document ' || p.document, p.status) end
from postings p
cross join lateral (
    select exists (select from posting_lines x where x.posting_id = p.posting_id and x.refused_code is not null) as refused
) l
where i.replay_id = $1 and i.status = 'asked' and p.posting_id = coalesce(i.version, i.target) and p.due_at is null;

-- name: settle_commands
-- What was done or refused; what waits behind a refused one comes to nothing in this replay, and goes by itself once that is mended.
update replay_items i set status = case when c.status = 'rejected' or b.reference is not null then 'failed' else 'done' end, done_at = $2,
    outcome = case when c.status = 'rejected' then c.refused_detail when b.reference is not null then 'It waits for ' || b.reference || ', which is refused.'
        else coalesce('acknowledged as ' || c.document, c.status) end
from commands c
left join lateral (
    select min(b.reference) as reference from commands b
    where c.due_at is not null and b.reservation_id = c.reservation_id and b.location_id = c.location_id and b.connection_id = c.connection_id
        and b.number < c.number and b.status = 'rejected'
) b on true
where i.replay_id = $1 and i.status = 'asked' and c.command_id = i.target and (c.due_at is null or b.reference is not null);

-- name: ask_looks
-- What is settled is looked at before its turn.
insert into looks_asked (channel_id, item_id, asked_at)
select e.channel_id, e.item_id, $3 from unnest($1::integer[], $2::bigint[]) as n(channel_id, item_id)
join exposures e on e.channel_id = n.channel_id and e.item_id = n.item_id
where e.due_at is null and e.acked is not null
order by 1, 2
on conflict (channel_id, item_id) do update set asked_at = excluded.asked_at
returning channel_id, item_id;

-- name: settle_looks
-- What was seen since it was asked; what is told another number meanwhile, or was not seen for too long ($3), is let go.
update replay_items i set done_at = $2,
    status = case when e.due_at is not null then 'skipped' when o.observed_at >= i.asked_at and o.strays = 0 then 'done' else 'failed' end,
    outcome = case when e.due_at is not null then 'It is being told another number.'
        when o.observed_at >= i.asked_at then 'shows ' || trim_scale(o.quantity / power(10::numeric, t.scale)) || case when o.strays = 0 then '' else
            ', and had confirmed ' || trim_scale(e.acked / power(10::numeric, t.scale)) end
        else 'It was not seen in time.' end
from exposures e
join items t using (item_id)
left join observed o on o.channel_id = e.channel_id and o.item_id = e.item_id
where i.replay_id = $1 and i.status = 'asked' and e.channel_id = i.channel_id and e.item_id = i.target
    and (e.due_at is not null or o.observed_at >= i.asked_at or i.asked_at < $3);

-- name: forget_looks
-- What was asked too long ago waits for its turn like everything else.
delete from looks_asked where asked_at < $1;

-- name: is_open
select exists (select from replay_items where replay_id = $1 and status in ('waiting', 'asked'));

-- name: are_held
select exists (select from held_lines where subject = $1 and settled_at is null);

-- name: settings_then
-- A connection's connector and settings at an instant; before the first that were kept, those.
select c.id, s.connector, s.settings::text as settings
from connections c
join lateral (
    select * from connection_settings s where s.connection_id = c.connection_id order by s.since <= $2 desc, abs(extract(epoch from s.since - $2)) limit 1
) s on true
where c.connection_id = $1;

-- name: message
select m.message_id, c.id as connection, m.connection_id, m.dedupe, m.vendor_id, m.name, m.headers::text as headers, m.body, m.received_at, m.status,
    m.replaced_by, m.edited_from, m.edited_by, m.edit_reason, m.trace_id
from messages m join connections c using (connection_id) where m.message_id = $1 for update of m;

-- name: insert_edit
insert into messages (connection_id, dedupe, vendor_id, name, headers, body, body_sha256, masked, received_at, waiting_since, trace_id, edited_from,
    edited_by, edit_reason)
select connection_id, dedupe || '#edit:' || encode(sha256($2), 'hex'), vendor_id, name, headers, $2, sha256($2), masked or $3, received_at, $4, trace_id,
    message_id, $5, $6
from messages where message_id = $1
on conflict (connection_id, dedupe) do nothing
returning message_id;

-- name: replace
-- The message as it was received: spoken for by its edit, and kept.
update messages set status = 'translated', replaced_by = $2, exception_id = null, code = null, detail = null, pointer = null, done_at = $3
where message_id = $1;
