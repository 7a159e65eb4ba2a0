-- name: whose
-- With the ledger's order held: who works at these locations, and what of these reservations whom was told to pick and not to cancel.
select w.location_id, w.connection_id, k.flow <> 'shadow' as is_told, null::bigint as reservation_id, null as line, null::bigint as units, 0 as number
from workers_now w join connections k using (connection_id)
where w.location_id = any ($1::integer[])
union all
select c.location_id, c.connection_id, c.status <> 'shadow', c.reservation_id, l.line, sum(case c.kind when 'pick' then l.units else -l.units end)::bigint,
    max(c.number)
from commands c join command_lines l using (command_id)
where c.reservation_id = any ($2::bigint[])
group by c.location_id, c.connection_id, c.status <> 'shadow', c.reservation_id, l.line
having sum(case c.kind when 'pick' then l.units else -l.units end) > 0
order by number;

-- name: make
-- Commands, each with the next number of its reservation, whose row is locked; the reference is ours for ever.
with drafts as materialized (
    select nextval('command_ids') as command_id, t.*, t.nth + coalesce((select max(number) from commands c where c.reservation_id = t.r), 0) as number
    from (
        select d.*, row_number() over (partition by d.r order by d.n) as nth
        from json_to_recordset($3::json) as d(n integer, c integer, r bigint, l integer, k text, s text, x json)
    ) t
    order by t.n
), made as (
    insert into commands (command_id, connection_id, reservation_id, number, location_id, kind, reference, ledger_seq, trace_id, made_at, status, due_at)
    select d.command_id, d.c, d.r, d.number, d.l, d.k, 'EV-' || h.tag || '-C' || d.command_id, $1,
        coalesce(r.trace_id, h.tag || '8' || lpad(to_hex(r.reservation_id), 15, '0')), $2::timestamptz, d.s, case when d.s = 'owed' then $2::timestamptz end
    from drafts d cross join ledger_head h join reservations r on r.reservation_id = d.r
    order by d.command_id
)
insert into command_lines (command_id, line, item_id, units)
select d.command_id, x.l, x.i, x.u from drafts d cross join lateral json_to_recordset(d.x) as x(l text, i integer, u bigint);

-- name: claim
-- The command that is sent next, written down before it is sent: none before what goes before it for its reservation at its location
-- is done. One that was tried before comes after the others where no retry is to be afforded ($6). A try whose sender did not
-- live to say what became of it is settled as unknown.
with before as (
    select c.* from commands c
    where c.connection_id = $1 and c.due_at <= $2 and ($5::timestamptz is null or c.made_at <= $5)
        and not exists (
            select from commands b where b.reservation_id = c.reservation_id and b.location_id = c.location_id and b.number < c.number
                and b.connection_id = c.connection_id and b.status in ('owed', 'unknown', 'rejected'))
    order by c.tries > 0 and not $6::boolean, c.command_id limit 1 for update of c
), sent as (
    update commands c set tries = c.tries + 1, sent_at = greatest(c.sent_at, $2), status = 'unknown',
        first_sent_at = coalesce(c.first_sent_at, greatest($2, (
            select max(d.done_at) from commands d where d.reservation_id = c.reservation_id and d.location_id = c.location_id and d.number < c.number)))
    from before b where c.command_id = b.command_id
    returning c.*, b.status as was, b.sent_at as sent_before
), lost as (
    insert into command_attempts (command_id, try, connection_id, fence, started_at, ended_at, outcome, detail)
    select command_id, tries - 1, $1, $3, sent_before, greatest(sent_before, $2), 'unknown', $4 from sent where was = 'unknown'
    on conflict do nothing
)
select s.command_id, s.reference, s.kind, s.reservation_id, r.order_ref, h.id as channel, l.id as location, s.number, s.trace_id, s.round, s.tries,
    s.was = 'unknown' as again, s.made_at, s.first_sent_at
from sent s join reservations r using (reservation_id) left join channels h using (channel_id) join locations l using (location_id);

-- name: lines
-- What a command says.
select l.line, i.sku, i.scale, i.base_uom, k.code, l.units
from command_lines l
join items i using (item_id)
left join lateral (select min(code) as code from item_codes x where x.connection_id = $2 and x.item_id = l.item_id) k on true
where l.command_id = $1
order by l.line;

-- name: settle
-- What became of a try. Nothing is believed of a holder that lost its fence: its try counts as unknown already.
with lane as (
    select connection_id from lanes where connection_id = $1 and fence = $2 for update
), ours as (
    select c.command_id, c.sent_at from commands c join lane using (connection_id)
    where c.command_id = $3 and c.tries = $4 and c.status = 'unknown' for update of c
), noted as (
    insert into command_attempts (command_id, try, connection_id, fence, started_at, ended_at, outcome, detail, document)
    select command_id, $4, $1, $2, sent_at, greatest(sent_at, $9::timestamptz), $5::text, $6::text, $7::text from ours
)
update commands c set
    status = case when $5 in ('retry', 'unauthorized') then 'owed' else $5 end,
    due_at = case when $5 in ('retry', 'unauthorized', 'unknown') then $8::timestamptz end,
    document = $7,
    done_at = case when $5 = 'done' then greatest(o.sent_at, $9) end,
    refused_code = case when $5 = 'rejected' then $10::text end,
    refused_detail = case when $5 = 'rejected' then $6 end,
    is_late = $11::boolean and $5 in ('retry', 'unauthorized', 'unknown')
from ours o where c.command_id = o.command_id
returning c.command_id;

-- name: again
-- Refused commands are owed again, under a new key: what was refused is certainly not done.
update commands c set status = 'owed', due_at = $3, round = round + 1, refused_code = null, refused_detail = null
from connections k
where ($1::text is null or k.id = $1) and c.connection_id = k.connection_id and c.status = 'rejected' and ($2::text is null or c.refused_code = $2)
    and ($4::bigint[] is null or c.command_id = any ($4))
returning c.command_id;

-- name: hasten
-- Commands that are not done are sent as soon as their connection is.
update commands set due_at = least(due_at, $2) where command_id = any ($1::bigint[]) and due_at is not null returning command_id;

-- name: connections_of
select distinct k.connection_id, k.id from commands join connections k using (connection_id) where command_id = any ($1::bigint[]) order by 1;

-- name: commands
-- Newest first, from behind the cursor; by any of: connection, status, reservation, order, location, the system's own number.
select c.command_id, k.id as connection, c.reference, c.kind, l.id as location, c.reservation_id, c.number, r.order_ref, h.id as channel, c.status,
    (select min(b.command_id) from commands b where c.due_at is not null and b.reservation_id = c.reservation_id and b.location_id = c.location_id
        and b.connection_id = c.connection_id and b.number < c.number and b.status in ('owed', 'unknown', 'rejected')) as waits_for,
    c.document, c.made_at, c.first_sent_at, c.done_at, c.tries, c.ledger_seq, c.refused_code, c.refused_detail, c.trace_id
from commands c
join connections k using (connection_id)
join locations l using (location_id)
join reservations r using (reservation_id)
left join channels h using (channel_id)
where c.command_id < $1 and ($2::text is null or k.id = $2)
    and case $3::text when 'open' then c.due_at is not null when 'refused' then c.status = 'rejected' else true end
    and ($4::bigint is null or c.reservation_id = $4) and ($5::text is null or r.order_ref = $5) and ($6::text is null or l.id = $6)
    and ($7::text is null or c.document = $7)
order by c.command_id desc
limit $8;

-- name: lines_of
select l.line, i.sku, i.scale, l.units from command_lines l join items i using (item_id) where l.command_id = $1 order by l.line;

-- name: tries_of
select try, started_at, ended_at, outcome, detail, document from command_attempts where command_id = $1 order by try desc limit $2;
