-- name: due
-- Connections that are owed a number, a posting or a command now and that we may talk to; of one that drains only what it was owed when that began.
select k.connection_id
from connections k
left join lanes l using (connection_id)
where k.connector = any ($3::text[]) and k.flow = 'live' and k.handling <> 'paused'
    and (l.connection_id is null
        or (l.paused is null and l.not_before <= $1 and (l.holder = $2 or l.leased_until <= $1)))
    and (exists (select from postings p join books b using (connection_id) where p.connection_id = k.connection_id and p.due_at <= $1
            and b.withheld is null and (k.handling = 'running' or p.made_at <= k.handled_at))
        or exists (select from commands o where o.connection_id = k.connection_id and o.due_at <= $1
            and (k.handling = 'running' or o.made_at <= k.handled_at)
            and not exists (
                select from commands b where b.reservation_id = o.reservation_id and b.location_id = o.location_id and b.number < o.number
                    and b.connection_id = o.connection_id and b.status in ('owed', 'unknown', 'rejected')))
        or exists (
            select from channels c join exposures e using (channel_id)
            where c.connection_id = k.connection_id and c.publish_on <> 'never' and c.withheld is null and e.connection_id = k.connection_id
                and e.due_at <= $1
                and (k.handling = 'running' or e.computed_at <= k.handled_at)));

-- name: hold
-- Take a connection, or keep it; a new holder raises the fence. Nobody gets it while another's lease runs.
insert into lanes as l (connection_id, holder, fence, leased_until, not_before)
select $1, $2, max(base) + 1, $4, $3 from fences
on conflict (connection_id) do update set holder = excluded.holder, fence = l.fence + (l.holder <> excluded.holder)::integer,
    leased_until = excluded.leased_until
where (l.holder = excluded.holder or l.leased_until <= $3) and l.paused is null and l.not_before <= $3
returning fence, failures, per_s, retries;

-- name: leave
update lanes set leased_until = $2 where holder = $1;

-- name: connection
select id, connector, settings::text as settings, closed::text as closed, calls_per_s, flow = 'live' and handling <> 'paused' as is_open,
    case when handling = 'draining' then handled_at end as drained_at
from connections where connection_id = $1;

-- name: claim
-- What is told next, zero first: written down before it is sent. What may have arrived is sent again as it was. A try whose
-- sender did not live to say what became of it is settled as unknown. What was tried before gets so many places ($7), and
-- those that nothing new takes.
with looked as (
    select d.*
    from channels c
    cross join lateral (
        select e.* from exposures e
        where e.channel_id = c.channel_id and e.connection_id = $1 and e.due_at <= $2 and ($6::timestamptz is null or e.computed_at <= $6)
        order by e.rank, e.due_at limit $4
        for update skip locked
    ) d
    where c.connection_id = $1 and c.publish_on <> 'never' and c.withheld is null
    order by d.rank, d.due_at, d.channel_id, d.item_id
    limit $4
), new as (
    select d.*
    from channels c
    cross join lateral (
        select e.* from exposures e
        where e.channel_id = c.channel_id and e.connection_id = $1 and e.due_at <= $2 and ($6::timestamptz is null or e.computed_at <= $6)
            and not (e.unsettled or coalesce(e.sent_version = e.version, false))
        order by e.rank, e.due_at limit $4
        for update skip locked
    ) d
    where c.connection_id = $1 and c.publish_on <> 'never' and c.withheld is null
        and exists (select from looked where unsettled or sent_version = version)
    order by d.rank, d.due_at, d.channel_id, d.item_id
    limit $4
), due as (
    select * from looked union select * from new
), counted as (
    select d.*, t.is_again, row_number() over (partition by t.is_again order by d.rank, d.due_at, d.channel_id, d.item_id) as nth,
        count(*) filter (where not t.is_again) over () as fresh
    from due d cross join lateral (select d.unsettled or coalesce(d.sent_version = d.version, false) as is_again) t
), before as (
    select * from counted where not is_again or nth <= greatest($7::integer, $4 - fresh)
    order by rank, due_at, channel_id, item_id
    limit $4
), sent as (
    update exposures e set
        tries = case when b.unsettled or b.sent_version = b.version then b.tries + 1 else 1 end,
        sent_version = case when b.unsettled then b.sent_version else b.version end,
        sent = case when b.unsettled then b.sent else b.intended end,
        sent_at = greatest(b.sent_at, $2), unsettled = true
    from before b where e.channel_id = b.channel_id and e.item_id = b.item_id
    returning e.channel_id, e.item_id, e.sent_version, e.sent, e.sent_at, e.tries, e.rank, e.due_at, b.unsettled as again, b.ledger_seq, b.computed_at,
        b.because, b.trace_id, b.tries as tries_before, b.sent_at as sent_before
), logged as (
    insert into exposure_log (channel_id, item_id, version, connection_id, quantity, ledger_seq, computed_at, because, trace_id, sent_at)
    select channel_id, item_id, sent_version, $1, sent, ledger_seq, computed_at, because, trace_id, sent_at from sent where not again
    on conflict (channel_id, item_id, version) do nothing
), lost as (
    insert into attempts (channel_id, item_id, version, try, connection_id, fence, started_at, ended_at, outcome, detail)
    select s.channel_id, s.item_id, s.sent_version, s.tries_before, $1, $3, s.sent_before, greatest(s.sent_before, $2), 'unknown', $5
    from sent s where s.again
    on conflict do nothing
)
select s.channel_id, s.item_id, s.sent_version, s.sent, s.tries, s.again, c.id as channel, i.sku, i.scale, k.code,
    coalesce(l.ledger_seq, s.ledger_seq) as ledger_seq, coalesce(l.computed_at, s.computed_at) as computed_at,
    case when l.version is null then s.trace_id else l.trace_id end as trace_id
from sent s
join channels c using (channel_id)
join items i using (item_id)
left join lateral (select min(code) as code from item_codes x where x.connection_id = $1 and x.item_id = s.item_id) k on true
left join exposure_log l on s.again and l.channel_id = s.channel_id and l.item_id = s.item_id and l.version = s.sent_version
order by s.rank, s.due_at, s.channel_id, s.item_id;

-- name: settle
-- What became of tries. Nothing is believed of a holder that lost its fence: its tries count as unknown already.
with lane as (
    select connection_id from lanes where connection_id = $1 and fence = $2 for update
), told as (
    select n.* from lane, json_to_recordset($3::json) as n(c integer, i integer, v bigint, n integer, o text, d text, x text, w timestamptz)
), locked as materialized (
    select e.channel_id, e.item_id from told n join exposures e on e.channel_id = n.c and e.item_id = n.i and e.sent_version = n.v
        and e.connection_id = $1 and e.unsettled
    order by 1, 2 for update of e
), noted as (
    insert into attempts (channel_id, item_id, version, try, connection_id, fence, started_at, ended_at, outcome, detail, document)
    select n.c, n.i, n.v, n.n, $1, $2, e.sent_at, greatest(e.sent_at, $4), n.o, n.d, n.x
    from told n join exposures e on e.channel_id = n.c and e.item_id = n.i
    on conflict do nothing
)
update exposures e set
    unsettled = n.o = 'unknown',
    acked_version = case when n.o = 'done' then n.v else e.acked_version end,
    acked = case when n.o = 'done' then e.sent else e.acked end,
    acked_at = case when n.o = 'done' then $4 else e.acked_at end,
    refused_version = case when n.o = 'rejected' then n.v else e.refused_version end,
    due_at = case
        when n.o = 'unknown' then n.w
        when (case when n.o = 'done' then e.sent else e.acked end) is not distinct from e.intended then null
        when n.o = 'rejected' and n.v = e.version then null
        when n.o in ('done', 'rejected') or n.v <> e.version then $4
        else n.w end
from told n, locked k
where e.channel_id = n.c and e.item_id = n.i and k.channel_id = e.channel_id and k.item_id = e.item_id
returning e.channel_id, e.item_id, coalesce(e.refused_version = e.version, false) as is_refused;

-- name: set_lane
-- How a connection answered as a whole: failures in a row, when it may be asked again, why not at all, and the budget for retries.
update lanes set failures = $3, not_before = $4, paused = $5, per_s = $6, retries = $7 where connection_id = $1 and fence = $2 returning fence;

-- name: take_turn
-- The next free turn of a connection that has a limit of calls, taken if it comes by $3.
with limited as (
    select connection_id, make_interval(secs => 1 / calls_per_s) as gap from connections where id = $1 and calls_per_s is not null
), taken as (
    insert into turns as t (connection_id, free_at) select connection_id, $2::timestamptz + gap from limited
    on conflict (connection_id) do update set free_at = greatest(t.free_at, $2::timestamptz) + (select gap from limited)
    where t.free_at <= $3
    returning free_at
)
select coalesce(k.free_at - l.gap, t.free_at) as at, k.free_at is not null as is_ours
from limited l left join taken k on true left join turns t using (connection_id);

-- name: rest
-- A connection is closed: nobody asks it before it opens.
update lanes set not_before = $3, leased_until = $4 where connection_id = $1 and fence = $2;

-- name: resume
-- Settings changed: what was paused may be tried again, at once.
update lanes set paused = null, not_before = $2
where connection_id in (select connection_id from connections where id = any ($1::text[]));

-- name: wake
-- A person says: go on. What was put off is tried at once; what is stopped for its settings stays so.
update lanes set not_before = least(not_before, $2) where connection_id = (select connection_id from connections where id = $1);

-- name: troubled
-- Whether anything is open about single numbers of a connection.
select exists (select from exceptions where code in ('exposure.rejected', 'exposure.delayed') and closed_at is null and connection_id = $1);

-- name: clock_went_back
-- What was put off at a time that is yet to come was put off by a clock that has gone back since: it may be told and asked at once.
-- $2: how far ahead nobody's clock may be, $3: how long a lane is leased, $4: a turn waited for.
with lane as (
    update lanes set leased_until = $1, not_before = least(not_before, $1) where leased_until > $1::timestamptz + $2::interval + $3::interval
), number as (
    update exposures set due_at = $1 where due_at > $1 and due_at < 'infinity' and computed_at > $1 + $2
), turn as (
    update turns t set free_at = $1 from connections k
    where k.connection_id = t.connection_id and t.free_at > $1 + $2 + $4::interval + make_interval(secs => coalesce(1 / k.calls_per_s, 0))
)
update postings set due_at = $1 where due_at > $1 and made_at > $1 + $2;
