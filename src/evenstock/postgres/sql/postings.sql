-- name: keep
-- A connection's books: they begin with what the ledger takes up from now on; other rules hold for what is posted from now on.
insert into books (connection_id, ledger_from, ledger_seq, per, every_s, first, late_days)
select k.connection_id, h.ledger_seq, h.ledger_seq, $2, $3, $4, $5 from connections k, ledger_head h where k.id = $1
on conflict (connection_id) do update set per = excluded.per, every_s = excluded.every_s, first = excluded.first,
    late_days = excluded.late_days, is_kept = true;

-- name: keep_no_more
update books b set is_kept = false from connections k where k.id = any ($1::text[]) and b.connection_id = k.connection_id;

-- name: behind
-- Books that the ledger is ahead of, and whose turn it is: at once, or when a period has ended since their last movement.
select b.connection_id, b.per, b.every_s, b.first, b.late_days, k.flow, h.ledger_seq as upto
from books b
join connections k using (connection_id)
cross join lateral (
    select max(c.ledger_seq) as ledger_seq from (
        select ledger_seq from ledger_head where b.every_s = 0
        union all
        (select ledger_seq from batches where b.every_s > 0
            and recorded_at < to_timestamp(floor(extract(epoch from $1::timestamptz) / greatest(b.every_s, 1)) * b.every_s)
        order by recorded_at desc, ledger_seq desc limit 1)
    ) c
) h
where b.is_kept and k.flow in ('shadow', 'live') and h.ledger_seq > b.ledger_seq
order by b.connection_id;

-- name: take_turn
-- Until where these books are made; nobody makes them at the same time.
select ledger_seq from books where connection_id = $1 for update skip locked;

-- name: end_turn
update books set ledger_seq = $2 where connection_id = $1;

-- name: reach
-- The last number of the ledger that one turn takes: whole batches, of about so many movements.
select coalesce(max(ledger_seq), $2) as ledger_seq from (
    select m.ledger_seq from movements m
    where m.ledger_seq > $1 and m.ledger_seq <= $2 and m.recorded_at >= (select recorded_at from batches where ledger_seq = $1 + 1)
    order by m.ledger_seq, m.ordinal limit $3
) x having count(*) = $3;

-- name: movements
-- What the books must see, in the ledger's order.
select e.ledger_seq, e.ordinal, e.item_id, e.location_id, e.units, e.why, u.type as undone, e.fact_id, f.trace_id,
    (e.occurred_at at time zone l.timezone)::date as happened_on, (e.recorded_at at time zone l.timezone)::date as known_on
from (
    select m.*, m.quantity * ((m.to_place in ('sellable', 'quarantine', 'damaged'))::integer
        - (m.from_place in ('sellable', 'quarantine', 'damaged'))::integer) as units
    from movements m
    where m.ledger_seq > $1 and m.ledger_seq <= $2 and m.recorded_at >= (select recorded_at from batches where ledger_seq = $1 + 1)
) e
join locations l using (location_id)
join facts f on f.fact_id = e.fact_id
left join facts u on u.fact_id = e.reverses
where e.units <> 0
order by e.ledger_seq, e.ordinal;

-- name: make
-- Postings, with their numbers in their order; the reference is ours for ever.
with made as (
    select nextval('posting_ids') as posting_id, t.*
    from json_to_recordset($2::json) as t(n integer, k text, d date, l integer, a bigint, c bigint, f bigint, u bigint, t text, r smallint, s text)
    order by t.n
)
insert into postings (posting_id, connection_id, reference, kind, posted_on, location_id, fact_id, carries, ledger_from, ledger_to, trace_id, made_at,
    rank, status, due_at)
select posting_id, $1, $3::text || posting_id, k, d, l, a, c, f, u, t, $4::timestamptz, r, s, case when s = 'owed' then $4::timestamptz end from made order by n
returning posting_id;

-- name: add_lines
insert into posting_lines (posting_id, line, item_id, location_id, units)
select p, n, i, l, u from json_to_recordset($1::json) as t(p bigint, n integer, i integer, l integer, u bigint);

-- name: add_entries
insert into posting_entries (connection_id, ledger_seq, ordinal, posting_id, line)
select $1, s, o, p, n from json_to_recordset($2::json) as t(s bigint, o integer, p bigint, n integer);

-- name: claim
-- The posting that is sent next, written down before it is sent; one that was tried before comes after the others where no retry is
-- to be afforded ($6). A try whose sender did not live to say what became of it is settled as unknown.
with before as (
    select p.* from postings p join books b using (connection_id)
    where p.connection_id = $1 and b.withheld is null and p.due_at <= $2 and ($5::timestamptz is null or p.made_at <= $5)
    order by p.tries > 0 and not $6::boolean, p.rank, p.posting_id limit 1 for update of p
), sent as (
    update postings p set tries = p.tries + 1, first_sent_at = coalesce(p.first_sent_at, $2), sent_at = greatest(p.sent_at, $2), status = 'unknown'
    from before b where p.posting_id = b.posting_id
    returning p.*, b.status as was, b.sent_at as sent_before
), lost as (
    insert into posting_attempts (posting_id, try, connection_id, fence, started_at, ended_at, outcome, detail)
    select posting_id, tries - 1, $1, $3, sent_before, greatest(sent_before, $2), 'unknown', $4 from sent where was = 'unknown'
    on conflict do nothing
)
select posting_id, reference, kind, posted_on, ledger_from, ledger_to, trace_id, round, tries, was = 'unknown' as again, made_at, first_sent_at from sent;

-- name: lines
-- What a posting says, without what cancels out.
select l.line, i.sku, i.scale, i.base_uom, k.code, s.id as location, l.units
from posting_lines l
join items i using (item_id)
join locations s using (location_id)
left join lateral (select min(code) as code from item_codes x where x.connection_id = $2 and x.item_id = l.item_id) k on true
where l.posting_id = $1 and l.units <> 0
order by l.line;

-- name: settle
-- What became of a try. Nothing is believed of a holder that lost its fence: its try counts as unknown already.
with lane as (
    select connection_id from lanes where connection_id = $1 and fence = $2 for update
), ours as (
    select p.posting_id, p.sent_at from postings p join lane using (connection_id)
    where p.posting_id = $3 and p.tries = $4 and p.status = 'unknown' for update of p
), noted as (
    insert into posting_attempts (posting_id, try, connection_id, fence, started_at, ended_at, outcome, detail, document)
    select posting_id, $4, $1, $2, sent_at, greatest(sent_at, $9::timestamptz), $5::text, $6::text, $7::text from ours
)
update postings p set
    status = case when $5 in ('retry', 'unauthorized') then 'owed' else $5 end,
    due_at = case when $5 in ('retry', 'unauthorized', 'unknown') then $8::timestamptz end,
    document = $7,
    done_at = case when $5 in ('done', 'partly') then greatest(p.made_at, $9) end,
    refused_code = case when $5 = 'rejected' then $10::text end,
    refused_detail = case when $5 = 'rejected' then $6 end,
    is_late = $11::boolean and $5 in ('retry', 'unauthorized', 'unknown')
from ours o where p.posting_id = o.posting_id
returning p.posting_id;

-- name: refuse_lines
update posting_lines l set refused_code = t.c, refused_detail = t.d
from json_to_recordset($2::json) as t(n integer, c text, d text)
where l.posting_id = $1 and l.line = t.n;

-- name: again
-- Refused postings are owed again, under a new key: what was refused is certainly not there.
update postings p set status = 'owed', due_at = $3, round = round + 1, refused_code = null, refused_detail = null
from connections k
where ($1::text is null or k.id = $1) and p.connection_id = k.connection_id and p.status = 'rejected' and ($2::text is null or p.refused_code = $2)
    and ($4::bigint[] is null or p.posting_id = any ($4))
returning p.posting_id;

-- name: to_carry
-- Lines that the books refused while they took the rest of their posting, and that nothing brings again yet.
select p.posting_id, p.connection_id, p.kind, p.posted_on, p.location_id, p.fact_id, p.trace_id, p.ledger_from, p.ledger_to, p.rank,
    array_agg(l.line order by l.line) as lines
from postings p
join connections k on ($1::text is null or k.id = $1) and k.connection_id = p.connection_id
join posting_lines l using (posting_id)
where p.status = 'partly' and ($3::bigint[] is null or p.posting_id = any ($3)) and l.refused_code is not null and l.carried_by is null and ($2::text is null or l.refused_code = $2)
group by p.posting_id
order by p.posting_id;

-- name: carry
-- A posting of another's refused lines, by their own numbers; those point to it.
with lines as (
    update posting_lines set carried_by = $2 where posting_id = $1 and line = any ($3::integer[]) returning line, item_id, location_id, units
)
insert into posting_lines (posting_id, line, item_id, location_id, units) select $2, line, item_id, location_id, units from lines;

-- name: postings
-- Newest first, from behind the cursor; by any of: connection, status, the books' document, a movement, the fact's trace, an item.
select p.posting_id, k.id as connection, p.reference, p.kind, p.posted_on, s.id as location, f.key as fact, p.status, p.document, p.made_at, p.first_sent_at,
    p.done_at, p.tries, p.ledger_from, p.ledger_to, p.refused_code, p.refused_detail, c.reference as carries, p.trace_id
from postings p
join connections k using (connection_id)
left join locations s using (location_id)
left join facts f using (fact_id)
left join postings c on c.posting_id = p.carries
where p.posting_id < $1 and ($2::text is null or k.id = $2)
    and case $3::text when 'open' then p.due_at is not null when 'refused' then p.status = 'rejected' or exists (
            select from posting_lines l where l.posting_id = p.posting_id and l.refused_code is not null and l.carried_by is null)
        else true end
    and ($4::text is null or p.document = $4)
    and ($5::bigint is null or p.posting_id in (
        select x.posting_id from posting_entries x where x.connection_id = p.connection_id and x.ledger_seq = $5 and x.ordinal = $6
        union select l.carried_by from posting_entries x join posting_lines l using (posting_id, line)
            where x.connection_id = p.connection_id and x.ledger_seq = $5 and x.ordinal = $6))
    and ($7::text is null or p.posting_id in (
        select l.posting_id from posting_lines l join items i using (item_id) where i.sku = $7))
order by p.posting_id desc
limit $8;

-- name: lines_of
-- All lines of a posting with the movements that they are the sum of; a carried line has those of the line that it brings again.
select l.line, i.sku, i.scale, s.id as location, l.units, l.refused_code, l.refused_detail, c.reference as carried_by,
    array(select 'mov_' || x.ledger_seq || '_' || x.ordinal from posting_entries x
        where x.posting_id = coalesce(p.carries, p.posting_id) and x.line = l.line order by x.ledger_seq, x.ordinal limit $2) as movements
from posting_lines l
join postings p using (posting_id)
join items i using (item_id)
join locations s on s.location_id = l.location_id
left join postings c on c.posting_id = l.carried_by
where l.posting_id = $1
order by l.line;

-- name: tries_of
select try, started_at, ended_at, outcome, detail, document from posting_attempts where posting_id = $1 order by try desc limit $2;
