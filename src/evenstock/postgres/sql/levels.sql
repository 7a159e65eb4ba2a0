-- Service levels and business measures, from stored timestamps alone. $1 and $2 bound the time in which we knew.
-- Each delay comes as: number, and its quantiles (0.5, 0.95, 0.99) in seconds.

-- name: apply_lag
-- From receipt to the ledger, of facts that applied at once.
select count(*) as number, percentile_cont(array[0.5, 0.95, 0.99]) within group (order by extract(epoch from b.recorded_at - f.received_at)) as quantiles
from batches b join facts f using (batch_id)
where b.recorded_at >= $1 and b.recorded_at < $2 and f.status = 'applied';

-- name: source_lag
-- From the shop to the ledger, where the source's own clock is believed. A store that was offline is in it.
select count(*) as number, percentile_cont(array[0.5, 0.95, 0.99]) within group (order by extract(epoch from b.recorded_at - f.occurred_at)) as quantiles
from batches b join facts f using (batch_id)
where b.recorded_at >= $1 and b.recorded_at < $2 and f.status = 'applied' and f.time_basis = 'source';

-- name: publish_lag
-- From the last change that a number counts in to the first acknowledgement of it or of a newer one; only numbers up to $3, of the channel $4 or of all.
-- Changes and numbers of a channel's item are laid into the ledger's order once, so the cost is one sort.
with changes as (
    select m.item_id, m.location_id, m.ledger_seq, m.recorded_at from movements m
    where m.recorded_at >= $1 and m.recorded_at < $2
    union all
    select e.item_id, e.location_id, e.ledger_seq, b.recorded_at from batches b join claim_entries e using (ledger_seq)
    where b.recorded_at >= $1 and b.recorded_at < $2
), told as (
    select l.channel_id, l.item_id, l.ledger_seq, l.version, l.quantity,
        min(a.ended_at) over (partition by l.channel_id, l.item_id order by l.version desc) as acked_at
    from exposure_log l
    left join lateral (
        select min(t.ended_at) as ended_at from attempts t
        where t.channel_id = l.channel_id and t.item_id = l.item_id and t.version = l.version and t.outcome = 'done'
    ) a on true
    where l.sent_at >= $1 and ($4::text is null or l.channel_id = (select channel_id from channels where id = $4))
), laid as (
    select t.channel_id, c.item_id, c.ledger_seq, 0 as is_number, c.recorded_at, null::timestamptz as acked_at, null::bigint as quantity
    from channel_terms_now t join changes c on c.location_id = any (t.location_ids)
    union all
    select channel_id, item_id, ledger_seq, 1, null, acked_at, quantity from told
), related as (
    select is_number, quantity, acked_at,
        max(recorded_at) over (partition by channel_id, item_id order by ledger_seq, is_number) as changed_at
    from laid
)
select count(*) as number, percentile_cont(array[0.5, 0.95, 0.99]) within group (order by extract(epoch from acked_at - changed_at)) as quantiles
from related
where is_number = 1 and acked_at is not null and changed_at is not null and acked_at < $2 and quantity <= $3;

-- name: grants
select count(*) filter (where e.kind = 'grant') as grants from batches b join claim_entries e using (ledger_seq)
where b.recorded_at >= $1 and b.recorded_at < $2;

-- name: false_grants
select count(*) as number from v_grant_within_policy g join batches b using (ledger_seq) where b.recorded_at >= $1 and b.recorded_at < $2;

-- name: reservations
-- What became of those that were made in the time.
select count(*) as made,
    count(*) filter (where status = 'fulfilled') as fulfilled,
    count(*) filter (where status = 'shorted') as shorted,
    count(*) filter (where status = 'released') as released,
    count(*) filter (where status = 'expired') as expired
from reservations where created_at >= $1 and created_at < $2;

-- name: ship_time
-- From the promise to what left for it.
select count(*) as number, percentile_cont(array[0.5, 0.95, 0.99]) within group (order by extract(epoch from b.recorded_at - r.created_at)) as quantiles
from batches b join shipments s using (ledger_seq) join reservations r using (reservation_id)
where b.recorded_at >= $1 and b.recorded_at < $2 and s.units > 0;

-- name: recovered
-- Numbers of which a try failed in a way that may pass; recovered when the channel confirmed it or a newer one within $3 seconds.
with failed as (
    select channel_id, item_id, version, min(ended_at) as failed_at from attempts
    where outcome in ('retry', 'unknown') and ended_at >= $1 and ended_at < $2::timestamptz - make_interval(secs => $3::float8)
    group by 1, 2, 3
)
select count(*) as failed, count(*) filter (where exists (
    select 1 from attempts a
    where a.channel_id = f.channel_id and a.item_id = f.item_id and a.version >= f.version and a.outcome = 'done'
        and a.ended_at <= f.failed_at + make_interval(secs => $3::float8)
)) as recovered
from failed f;

-- name: dead
-- Messages that nobody retries unasked, and how many of them somebody was told of within $3 seconds.
select count(*) as dead, count(*) filter (where e.opened_at <= m.done_at + make_interval(secs => $3::float8)) as told
from messages m left join exceptions e using (exception_id)
where m.status = 'dead' and m.done_at >= $1 and m.done_at < $2;

-- name: translate_lag
select count(*) as number, percentile_cont(array[0.5, 0.95, 0.99]) within group (order by extract(epoch from done_at - received_at)) as quantiles
from messages where status = 'translated' and done_at >= $1 and done_at < $2;

-- name: exceptions
select count(*) filter (where opened_at >= $1 and opened_at < $2) as opened,
    count(*) filter (where closed_at is null) as open,
    count(*) filter (where closed_at is null and owner is null and opened_at < $2::timestamptz - make_interval(secs => $3::float8)) as old
from exceptions;

-- name: resolution
select count(*) as number, percentile_cont(array[0.5, 0.95, 0.99]) within group (order by extract(epoch from closed_at - opened_at)) as quantiles
from exceptions where closed_at >= $1 and closed_at < $2;

-- name: counted
-- How often the books were right when somebody looked, and how many units they were off; first counts prove nothing.
select count(*) as lines, count(*) filter (where c.adjusted = 0) as exact
from counts c where c.standing and not c.opening and c.counted_at >= $1 and c.counted_at < $2;

-- name: drift_found
-- From the count before to the one that found a difference: no drift lay hidden for longer.
select count(*) as number, percentile_cont(array[0.5, 0.95, 0.99]) within group (order by extract(epoch from counted_at - before)) as quantiles
from (
    select counted_at, adjusted, opening, lag(counted_at) over (partition by item_id, location_id, scope order by counted_at, count_id) as before
    from counts where standing
) c
where adjusted <> 0 and not opening and before is not null and counted_at >= $1 and counted_at < $2;

-- name: posted
-- Of what is owed to the books: how much they have. What cancels out and what is only written down is not owed.
select count(*) as owed, count(*) filter (where status = 'done') as done
from postings where made_at >= $1 and made_at < $2 and status not in ('nothing', 'shadow');

-- name: posting_lag
select count(*) as number, percentile_cont(array[0.5, 0.95, 0.99]) within group (order by extract(epoch from done_at - made_at)) as quantiles
from postings where status = 'done' and done_at >= $1 and done_at < $2;

-- name: outcomes
-- Tries to tell channels, by what became of them.
select outcome, count(*) as number from attempts where ended_at >= $1 and ended_at < $2 group by outcome order by outcome;

-- name: failed
-- What came in and could not be used in the time.
select (select count(*) from rejected_events where received_at >= $1 and received_at < $2)
    + (select count(*) from key_conflicts where received_at >= $1 and received_at < $2)
    + (select count(*) from messages where status = 'dead' and done_at >= $1 and done_at < $2)
    + (select count(*) from files where status = 'quarantined' and done_at >= $1 and done_at < $2) as number;

-- name: backlog
-- What waits now.
select (select count(*) from exposures where due_at <= $1) as to_tell,
    (select count(*) from messages where status = 'received') as to_translate,
    (select count(*) from held_lines where settled_at is null) as held,
    (select count(*) from awaiting) as parked;
