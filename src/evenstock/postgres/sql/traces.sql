-- Everything that belongs to one transaction, found by indexes only: however large the ledger is, a trace costs what it shows.

-- name: facts_of_trace
select fact_id from facts where trace_id = $1 order by fact_id limit $2;

-- name: facts_of_key
-- By the id that their source gave them, of one connection or of any.
select f.fact_id
from connections c
join facts f on f.connection_id = c.connection_id and f.key = $1
where $2::text is null or c.id = $2
order by f.fact_id limit $3;

-- name: facts_of_ticket
select fact_id from facts where ticket = $1 order by fact_id limit $2;

-- name: facts_of_movement
select m.fact_id from batches b join movements m on m.ledger_seq = b.ledger_seq and m.recorded_at = b.recorded_at
where b.ledger_seq = $1 and m.ordinal = $2;

-- name: facts_of_message
-- The facts that came of messages.
select f.fact_id
from messages m
cross join lateral unnest(m.keys) as k(key)
join facts f on f.connection_id = m.connection_id and f.key = k.key
where m.message_id = any ($1::bigint[])
order by f.fact_id limit $2;

-- name: facts_shipped
-- What was said of these reservations and what left for them; and the same of this order, without any.
select s.fact_id
from claim_entries e
join shipments s on s.ledger_seq = e.ledger_seq and s.reservation_id = e.reservation_id
where e.reservation_id = any ($1::bigint[]) and e.kind in ('ship', 'unship')
union
select fact_id from shipments where order_ref = $2 and reservation_id is null
union
select fact_id from order_events where reservation_id = any ($1::bigint[])
union
select fact_id from order_events where order_ref = $2
order by fact_id limit $3;

-- name: facts_related
-- What voids these facts, and what they void where they are voids themselves.
select v.void_fact_id as fact_id from voids v where v.target_fact_id = any ($1::bigint[])
union
select t.fact_id
from unnest($2::text[], $3::text[]) as n(source, key)
join connections c on c.id = n.source
join facts t on t.connection_id = c.connection_id and t.key = n.key
order by fact_id limit $4;

-- name: facts
select f.fact_id, c.id as source, f.key, f.type, f.status, f.reason, f.occurred_at, f.time_basis, f.received_at, f.trace_id, f.body,
    b.ledger_seq, b.recorded_at, o.channel, o.order_ref, o.status as order_status, o.code as order_code, e.exception_id as order_exception_id
from facts f
join connections c using (connection_id)
join batches b using (batch_id)
left join order_events o using (fact_id)
left join exceptions e on o.status in ('waits', 'parked') and e.code in ('order.waits', 'order.cancel_waits')
    and e.subject = 'order:' || o.channel || ':' || o.order_ref and e.closed_at is null
where f.fact_id = any ($1::bigint[])
order by f.fact_id;

-- name: held
select h.fact_id, h.line_index, h.code, h.exception_id, h.settled_at, h.settled_seq from held_lines h
where h.fact_id = any ($1::bigint[]) order by h.fact_id, h.line_index;

-- name: reused
-- When other contents came under their keys.
select f.fact_id, k.received_at from facts f join key_conflicts k using (connection_id, key)
where f.fact_id = any ($1::bigint[]) order by 1, 2;

-- name: movements
-- What these facts moved, in the batches that they were booked in.
select m.ledger_seq, m.ordinal, m.fact_id, m.item_id, m.location_id, i.sku, i.scale, l.id as location, m.from_place::text, m.to_place::text,
    m.quantity, m.why, m.occurred_at, m.recorded_at
from unnest($2::bigint[]) as s(ledger_seq)
join batches b using (ledger_seq)
join movements m on m.ledger_seq = b.ledger_seq and m.recorded_at = b.recorded_at and m.fact_id = any ($1::bigint[])
join items i using (item_id)
join locations l using (location_id)
order by m.ledger_seq, m.ordinal limit $3;

-- name: reservations_of_trace
select reservation_id from reservations where trace_id = $1 order by reservation_id limit $2;

-- name: reservations_of_order
select reservation_id from reservations where order_ref = $1 order by reservation_id limit $2;

-- name: reservations_shipped
select reservation_id from shipments where fact_id = any ($1::bigint[]) and reservation_id is not null
union
select reservation_id from order_events where fact_id = any ($1::bigint[]) and reservation_id is not null
order by 1 limit $2;

-- name: reservations
select r.reservation_id, r.order_ref, c.id as channel, r.trace_id
from reservations r left join channels c using (channel_id)
where r.reservation_id = any ($1::bigint[])
order by r.reservation_id;

-- name: claims
select e.reservation_id, e.ledger_seq, e.kind, e.item_id, e.location_id, i.sku, i.scale, l.id as location, e.reserved, e.allocated, b.recorded_at
from claim_entries e
join batches b using (ledger_seq)
join items i using (item_id)
join locations l using (location_id)
where e.reservation_id = any ($1::bigint[])
order by e.ledger_seq, e.ordinal limit $2;

-- name: messages_of_trace
select message_id from messages where trace_id = $1 order by message_id limit $2;

-- name: messages
select m.message_id, c.id as connection, m.name, m.status, m.keys, m.detail, m.exception_id, m.received_at, m.done_at, m.trace_id
from messages m join connections c using (connection_id)
where m.message_id = any ($1::bigint[])
order by m.message_id;

-- name: exposure
-- A number that was told, by the id it was told under.
select l.channel_id, l.item_id, l.version, l.ledger_seq, l.trace_id, t.location_ids[1] as location_id
from exposure_log l
left join lateral (
    select t.location_ids from channel_terms t where t.channel_id = l.channel_id and t.ledger_seq <= l.ledger_seq order by t.ledger_seq desc limit 1
) t on true
where l.channel_id = $1 and l.item_id = $2 and l.version = $3;

-- name: numbers
-- For each change (item, location, number of the ledger) and each channel that sold from there then: the first number told that
-- counts it in, what stood before it, and how the channel stands now.
with changed as (
    select c.item_id, c.ledger_seq, array_agg(distinct c.location_id) as location_ids
    from unnest($1::integer[], $2::integer[], $3::bigint[]) as c(item_id, location_id, ledger_seq)
    group by 1, 2
), concerned as (
    select h.channel_id, h.id as channel, h.publish_on, h.confirmed_by, x.item_id, x.ledger_seq as since_seq
    from changed x
    cross join channels h
    cross join lateral (
        select t.location_ids from channel_terms t where t.channel_id = h.channel_id and t.ledger_seq <= x.ledger_seq
        order by t.ledger_seq desc limit 1
    ) t
    where t.location_ids && x.location_ids
)
select c.channel_id, c.channel, c.publish_on, c.item_id, i.sku, i.scale, c.since_seq, b.recorded_at as since_at, x.ledger_seq as computed_until,
    k.id as connection,
    coalesce(a.paused, case when h.withheld is not null then 'its numbers are not for the hub to tell' end) as paused, coalesce(n.units, e.intended) as intended, coalesce(n.ledger_seq, e.ledger_seq) as intended_seq,
    coalesce(n.computed_at, e.computed_at) as intended_at, e.due_at is not null or n.item_id is not null as is_due,
    w.since as waits_since, d.id as waits_for, w.posting_id as waits_posting, r.refused_detail as waits_detail,
    e.acked_version, l.version, l.quantity, p.quantity as before, l.ledger_seq, l.computed_at, l.sent_at, l.trace_id,
    coalesce(e.refused_version = l.version and e.version = l.version, false) as is_refused,
    v.quantity as observed, v.observed_at, coalesce(v.strays, 0) as strays, s.exception_id
from concerned c
cross join exposing x
join items i using (item_id)
join batches b on b.ledger_seq = c.since_seq
left join exposures e on e.channel_id = c.channel_id and e.item_id = c.item_id
left join exposure_waits w on w.channel_id = c.channel_id and w.item_id = c.item_id
left join lateral (
    select * from waiting_numbers y where y.channel_id = c.channel_id and y.item_id = c.item_id order by y.ledger_seq desc limit 1
) n on true
left join connections d on d.connection_id = c.confirmed_by
left join postings r on r.posting_id = w.posting_id
left join connections k on k.connection_id = e.connection_id
left join lanes a on a.connection_id = e.connection_id
join channels h on h.channel_id = c.channel_id
left join observed v on v.channel_id = c.channel_id and v.item_id = c.item_id
left join exceptions s on s.code = 'exposure.overwritten' and s.closed_at is null and s.subject = 'exposure:' || c.channel_id || ':' || c.item_id
left join lateral (
    select * from exposure_log o where o.channel_id = c.channel_id and o.item_id = c.item_id and o.ledger_seq >= c.since_seq
    order by o.ledger_seq, o.version limit 1
) l on true
left join lateral (
    select o.quantity from exposure_log o where o.channel_id = c.channel_id and o.item_id = c.item_id and o.version < l.version
    order by o.version desc limit 1
) p on true
order by c.since_seq, c.channel_id, c.item_id
limit $4;

-- name: tries
select a.channel_id, a.item_id, a.version, a.try, a.started_at, a.ended_at, a.outcome, a.detail, a.document
from unnest($1::integer[], $2::integer[], $3::bigint[]) as n(channel_id, item_id, version)
join attempts a using (channel_id, item_id, version)
order by a.channel_id, a.item_id, a.version, a.try limit $4;

-- name: facts_of_posting
-- The facts whose movements are in a posting, by its number or by the books' own number of its document; a posting that brings
-- refused lines again has those of the lines that it brings.
select distinct m.fact_id
from postings p
join posting_lines l using (posting_id)
join posting_entries x on x.posting_id = coalesce(p.carries, p.posting_id) and x.line = l.line
join batches b on b.ledger_seq = x.ledger_seq
join movements m on m.ledger_seq = b.ledger_seq and m.recorded_at = b.recorded_at and m.ordinal = x.ordinal
where p.posting_id = $1 or p.document = $2
order by m.fact_id limit $3;

-- name: postings
-- The postings that movements are in, those that bring refused lines of theirs again, and how each stands.
with recursive chain as (
    select x.posting_id, x.line
    from books b
    cross join unnest($1::bigint[], $2::integer[]) as m(ledger_seq, ordinal)
    join posting_entries x on x.connection_id = b.connection_id and x.ledger_seq = m.ledger_seq and x.ordinal = m.ordinal
    union
    select l.carried_by, l.line from chain c join posting_lines l using (posting_id, line) where l.carried_by is not null
), found as (
    select posting_id, array_agg(line) as lines from chain group by 1 order by 1 limit $3
)
select p.posting_id, k.id as connection, p.reference, p.kind, p.posted_on, p.status, p.made_at, p.trace_id, c.reference as carries,
    coalesce(a.paused, case when b.withheld is not null then 'another system may own its books' end) as paused, p.refused_detail,
    r.refused_lines, coalesce(r.is_carried, false) as is_carried, e.exception_id
from found f
join postings p using (posting_id)
join connections k using (connection_id)
join books b using (connection_id)
left join lanes a using (connection_id)
left join postings c on c.posting_id = p.carries
left join lateral (
    select string_agg(i.sku || ': ' || l.refused_detail, ' ' order by l.line) as refused_lines, bool_and(l.carried_by is not null) as is_carried,
        array_agg(format('books:%s:%s:%s', p.connection_id, l.refused_code, l.item_id)) as subjects
    from posting_lines l join items i using (item_id)
    where l.posting_id = p.posting_id and l.line = any (f.lines) and l.refused_code is not null
) r on true
left join lateral (
    select min(exception_id) as exception_id from exceptions x
    where x.connection_id = p.connection_id and x.closed_at is null and case p.status
        when 'rejected' then x.code = 'posting.rejected' and x.subject = format('books:%s:%s', p.connection_id, p.refused_code)
        when 'partly' then x.code = 'posting.line_refused' and x.subject = any (r.subjects)
        else p.is_late and x.code = 'posting.delayed' and x.subject = 'books:' || p.connection_id end
) e on true
order by p.posting_id;

-- name: posting_tries
select posting_id, try, started_at, ended_at, outcome, detail, document from posting_attempts where posting_id = any ($1::bigint[])
order by posting_id, try limit $2;

-- name: books_behind
-- Books that owe movements a posting which is not made yet, and since when.
select k.id as connection, b.every_s, min(t.recorded_at) as since
from books b
join connections k using (connection_id)
cross join unnest($1::bigint[], $2::integer[]) as n(ledger_seq, ordinal)
join batches t on t.ledger_seq = n.ledger_seq
join movements m on m.ledger_seq = t.ledger_seq and m.recorded_at = t.recorded_at and m.ordinal = n.ordinal
where b.is_kept and k.flow in ('shadow', 'live') and n.ledger_seq > b.ledger_seq
    and (m.to_place in ('sellable', 'quarantine', 'damaged')) <> (m.from_place in ('sellable', 'quarantine', 'damaged'))
group by 1, 2 order by 1;

-- name: reservations_of_command
-- The reservations that a command is for, by its number or by its system's own number of it.
select distinct reservation_id from commands where command_id = $1 or document = $2 order by 1 limit $3;

-- name: commands
-- What systems were commanded for reservations, what each waits for, and how it stands.
select c.command_id, k.id as connection, c.reference, c.kind, l.id as location, c.reservation_id, c.status, c.made_at, c.trace_id, b.reference as waits_for,
    a.paused, c.refused_detail, e.exception_id
from commands c
join connections k using (connection_id)
join locations l using (location_id)
left join lanes a using (connection_id)
left join lateral (
    select b.reference from commands b
    where c.due_at is not null and b.reservation_id = c.reservation_id and b.location_id = c.location_id and b.connection_id = c.connection_id
        and b.number < c.number and b.status in ('owed', 'unknown', 'rejected')
    order by b.number limit 1
) b on true
left join lateral (
    select min(exception_id) as exception_id from exceptions x
    where x.connection_id = c.connection_id and x.closed_at is null and case c.status
        when 'rejected' then x.code = 'command.rejected' and x.subject = format('work:%s:%s', c.connection_id, c.refused_code)
        else c.is_late and x.code = 'command.delayed' and x.subject = 'work:' || c.connection_id end
) e on true
where c.reservation_id = any ($1::bigint[])
order by c.command_id limit $2;

-- name: command_lines
select l.command_id, i.sku, i.scale, l.units from command_lines l join items i using (item_id) where l.command_id = any ($1::bigint[])
order by l.command_id, l.line;

-- name: command_tries
select command_id, try, started_at, ended_at, outcome, detail, document from command_attempts where command_id = any ($1::bigint[])
order by command_id, try limit $2;
